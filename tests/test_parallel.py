"""Jobs side by side: none is forgotten, none is begun after an error, and each has one core."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.parallel import side_by_side

N_JOBS = 12


def _leave_a_mark(folder: Path, number: int) -> None:
    import torch

    (folder / str(number)).write_text(str(torch.get_num_threads()))


def _fail_first(folder: Path, number: int) -> None:
    _leave_a_mark(folder, number)
    if not number:
        raise ValueError("the first job is broken")
    time.sleep(0.2)


def _marks(folder: Path) -> dict[int, str]:
    return {int(mark.name): mark.read_text() for mark in folder.iterdir()}


def test_in_one_process_jobs_are_done_in_order():
    done = []
    side_by_side(lambda *job: done.append(job), [(3, "a"), (1, "b"), (2, "c")], processes=0, label="jobs")
    assert done == [(3, "a"), (1, "b"), (2, "c")]


def test_in_one_process_an_error_is_raised_and_later_jobs_are_not_begun(tmp_path):
    with pytest.raises(ValueError, match="first job is broken"):
        side_by_side(_fail_first, [(tmp_path, n) for n in range(3)], processes=0, label="jobs")
    assert set(_marks(tmp_path)) == {0}


def test_processes_do_every_job_on_one_thread_each(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # what a child would take if nobody told it
    side_by_side(_leave_a_mark, [(tmp_path, n) for n in range(N_JOBS)], processes=2, label="jobs")
    assert _marks(tmp_path) == dict.fromkeys(range(N_JOBS), "1")


def test_an_error_in_a_process_is_raised_and_waiting_jobs_are_not_begun(tmp_path):
    with pytest.raises(ValueError, match="first job is broken"):
        side_by_side(_fail_first, [(tmp_path, n) for n in range(N_JOBS)], processes=2, label="jobs")
    assert 0 in _marks(tmp_path) and len(_marks(tmp_path)) <= 6, "two under way, and what was handed over already"


def test_fewer_than_no_processes_are_refused():
    with pytest.raises(InvalidSettings, match="Found -1 processes"):
        side_by_side(print, [("job",)], processes=-1, label="jobs")


def test_nothing_to_do_is_done_at_once():
    side_by_side(_leave_a_mark, [], processes=0, label="jobs")
