"""Files are written to a temporary name and renamed: a reader sees the old one or the whole new one, never a half."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asteroid_nb.errors import DiskFull


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, with its ending; rename it on success, remove it on any failure.

    Raises:
        DiskFull: the disk filled up while writing; ``path`` is as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ending = "".join(path.suffixes[-2:]) or ".tmp"
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-", suffix=ending)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"The disk is full: {path} could not be written and is as it was before. "
            "Free some space or choose another folder, then run the same command again: finished work is kept."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def runs_folder() -> Path:
    """Return the folder below which commands begin their run folders: ``runs``, or what ASTEROID_NB_RUNS names."""
    return Path(os.environ.get("ASTEROID_NB_RUNS", "runs"))


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
