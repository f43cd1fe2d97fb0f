"""A file is the old one or the whole new one, whatever happens while it is written."""

import errno
import os
import stat
from pathlib import Path

import pytest

from asteroid_nb.errors import DiskFull
from asteroid_nb.files import replacing


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "kept.v2.npz"
    path.write_text("old")
    return path


def only(path: Path) -> bool:
    return list(path.parent.iterdir()) == [path]


def test_success_replaces_the_file_and_leaves_nothing_else(old):
    with replacing(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old"
        assert temporary.parent == old.parent and temporary.suffix == ".npz"
    assert old.read_text() == "new" and only(old)


def test_folders_are_made_on_the_way(tmp_path):
    with replacing(tmp_path / "a" / "b" / "file.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "file.txt").read_text() == "new"


@pytest.mark.parametrize("stop", [ValueError("broken"), KeyboardInterrupt(), OSError(errno.EACCES, "not allowed")])
def test_any_failure_leaves_the_old_file_and_passes_on(old, stop):
    with pytest.raises(type(stop)) as caught, replacing(old) as temporary:
        temporary.write_text("half")
        raise stop
    assert caught.value is stop
    assert old.read_text() == "old" and only(old)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so_and_leaves_the_old_file(old, code):
    with pytest.raises(DiskFull, match=r"disk is full.*kept\.v2\.npz.*Free some space"), replacing(old) as temporary:
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))
    assert old.read_text() == "old" and only(old)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_a_disk_that_is_really_full(old):
    with pytest.raises(DiskFull), replacing(old) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("more than fits")
    assert old.read_text() == "old" and only(old)


def test_others_may_read_what_the_umask_allows(old):
    before = os.umask(0o027)
    try:
        with replacing(old) as temporary:
            temporary.write_text("new")
        assert stat.S_IMODE(old.stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
