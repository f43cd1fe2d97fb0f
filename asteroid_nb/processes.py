"""Several processes that train one model: how many there are, what one does for all, each one's share of a batch."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import timedelta
from traceback import format_exception
from typing import Any, TypeVar

from torch import Tensor, distributed

from asteroid_nb.errors import AsteroidError, InvalidSettings
from asteroid_nb.progress import Interruptible

Made = TypeVar("Made")

#: How long others wait for what one does for all, such as learning a potential; its death ends the wait at once.
LONGEST_WAIT = timedelta(days=2)

_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


def how_many(n_devices: int, n_nodes: int) -> tuple[int, int]:
    """Return the processes of this machine and the machines: those ``torchrun`` started, else those asked for.

    Raises:
        InvalidSettings: others were asked for than ``torchrun`` started.
    """
    if _ALONE.get():
        return 1, 1
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        return n_devices, n_nodes
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    there = here, int(os.environ["WORLD_SIZE"]) // here
    if (n_devices, n_nodes) not in ((1, 1), there):
        raise InvalidSettings(
            f"n_devices={n_devices} and n_nodes={n_nodes} were asked for, but torchrun started {there[0]} processes on "
            f"each of {there[1]} machines. Leave both out under torchrun."
        )
    return there


@functools.cache
def part_at_exit() -> None:
    """Have this process part from the others when it ends, while its interpreter still lives.

    A thread of gloo that lets go of a tensor later than that aborts the process, and ``torchrun`` takes a training that
    is done for one that failed (https://github.com/pytorch/pytorch/issues/190489). NCCL is left to torch: its parting
    waits for the others, which may have failed.
    """
    atexit.register(_part)


def _part() -> None:
    if distributed.is_available() and distributed.is_initialized():
        if distributed.get_backend() == "gloo":
            distributed.destroy_process_group()
        elif _patient.cache_info().currsize:
            distributed.destroy_process_group(_patient())
        _patient.cache_clear()


def are_several() -> bool:
    """Return whether this process belongs to a training of several, which have met."""
    return not _ALONE.get() and distributed.is_available() and distributed.is_initialized()


def is_first() -> bool:
    """Return whether this is the process that writes and speaks for all."""
    return not are_several() or distributed.get_rank() == 0


def say(text: str) -> None:
    """Print, once for all processes."""
    if is_first():
        print(text)


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process trains by itself, however many there are."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def from_the_first(make: Callable[[], Made]) -> Made:
    """Return what the first process makes, alone, to every process; its error is raised in all of them."""
    if not are_several():
        return make()
    with nullcontext() if is_first() else Interruptible():  # whoever is asked to stop meanwhile hears from the first
        distributed.barrier(group=_patient())  # which must not be at work, and stopped, before the others are here
        box: list[Any] = [_outcome(make) if is_first() else None]
        with Interruptible():
            distributed.broadcast_object_list(box, src=0, group=_patient())
    made, error = box[0]
    if error is not None:
        raise error
    return made


@functools.cache
def _patient() -> Any:
    """Return the group of all processes in which they wait; it lasts, as whoever left it first would break it off."""
    return distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)


def _outcome(make: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        with alone():
            return make(), None
    except (AsteroidError, OSError) as error:
        return None, error
    except Exception as error:  # not every exception can be sent
        return None, RuntimeError(f"The first process failed for all:\n{''.join(format_exception(error))}")


def share_of(batch: Any, rank: int, n_processes: int) -> tuple[Any, float]:
    """Return this process's part of a batch, and the weight with which its mean enters the mean over processes.

    Where there is nothing left for a process, it takes the first row with weight 0.

    Args:
        batch: a tensor, a tuple of them or a dataclass that holds some; rows lead everywhere.
    """
    if n_processes == 1:
        return batch, 1.0
    n_rows = _n_rows(batch)
    first, last = (n_rows * one // n_processes for one in (rank, rank + 1))
    weight = (last - first) * n_processes / n_rows
    return _cut(batch, slice(first, last) if last > first else slice(0, 1)), weight


def _n_rows(batch: Any) -> int:
    if isinstance(batch, Tensor):
        return len(batch)
    parts = batch if isinstance(batch, tuple) else [getattr(batch, one.name) for one in dataclasses.fields(batch)]
    return next(len(one) for one in parts if isinstance(one, Tensor))


def _cut(batch: Any, rows: slice) -> Any:
    if isinstance(batch, Tensor):
        return batch[rows]
    if isinstance(batch, tuple):
        return tuple(_cut(one, rows) for one in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        named = {one.name: getattr(batch, one.name) for one in dataclasses.fields(batch)}
        return dataclasses.replace(batch, **{name: _cut(one, rows) for name, one in named.items()})
    return batch
