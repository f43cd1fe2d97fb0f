"""Jobs side by side, one core each: what is finished is kept by the jobs themselves, so a grid may be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from tqdm.auto import tqdm

from asteroid_nb.errors import InvalidSettings


def side_by_side(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], *, processes: int, label: str, unit: str = "training"
) -> None:
    """Call ``work(*job)`` for every job, so many at a time in processes of their own; in this one, in order, with 0.

    The first error ends it: jobs under way are finished, those that wait are not begun.

    Raises:
        InvalidSettings: fewer than no processes.
    """
    if processes < 0:
        raise InvalidSettings(f"Found {processes} processes; needed are one or more, or 0 for none beside this one.")
    if not processes:
        for job in tqdm(jobs, desc=label, unit=unit):
            work(*job)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        running = [pool.submit(work, *job) for job in jobs]
        try:
            for done in tqdm(as_completed(running), total=len(running), desc=label, unit=unit):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
