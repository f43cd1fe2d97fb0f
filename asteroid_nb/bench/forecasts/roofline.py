"""How much a piece of work computes and moves, against what this machine can do: the two limits of a roofline.

Reference:
    Williams, Waterman & Patterson (2009), doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

#: Of the square matrices multiplied, and of the arrays copied, to find a machine's peaks.
SIDE, COPIED_BYTES = 1024, 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a machine reached at most: of multiplications of large matrices, and of copying memory.

    Args:
        flops: floating-point operations a second.
        bytes_per_s: read and written.
    """

    flops: float
    bytes_per_s: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What was counted and how long it took.

    Args:
        flops: of matrix products; what is done element by element is not counted.
        moved_bytes: into and out of every operation, as if nothing stayed in a cache or was fused.
        seconds: the median.
    """

    flops: float
    moved_bytes: float
    seconds: float

    def share_of(self, peaks: Peaks) -> float:
        """Return what was reached as a share of what these peaks allow at its flops per byte."""
        allowed = min(peaks.flops, peaks.bytes_per_s * self.flops / self.moved_bytes)
        return self.flops / self.seconds / allowed


class _Moved(TorchDispatchMode):
    """Sums up the bytes of what goes into and comes out of every operation; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = {one.untyped_storage().data_ptr() for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        made = [one for one in tree_leaves(found) if isinstance(one, Tensor)]
        if not all(one.untyped_storage().data_ptr() in given for one in made) or func.__name__.split(".")[0][-1] == "_":
            every = [*made, *(one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor))]
            self.total += sum(one.numel() * one.element_size() for one in every)
        return found


def measured(work: Callable[[], Any], *, device: torch.device, rounds: int = 5) -> Work:
    """Return what one call of ``work`` computes and moves, and the median of its times."""
    with FlopCounterMode(display=False) as counted:
        work()
    with _Moved() as moved:
        work()
    return Work(
        flops=counted.get_total_flops(), moved_bytes=moved.total, seconds=median_s(work, device=device, rounds=rounds)
    )


def peaks(
    device: torch.device, *, dtype: torch.dtype = torch.float32, side: int = SIDE, copied_bytes: int = COPIED_BYTES
) -> Peaks:
    """Return what this device reaches with the threads that torch has."""
    square = torch.randn(side, side, device=device, dtype=dtype)
    seconds = median_s(lambda: square @ square, device=device, rounds=10)
    source = torch.ones(copied_bytes // 8, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    copied = median_s(lambda: target.copy_(source), device=device, rounds=10)
    return Peaks(flops=2 * side**3 / seconds, bytes_per_s=2 * source.numel() * source.element_size() / copied)


def median_s(work: Callable[[], Any], *, device: torch.device, rounds: int) -> float:
    """Return the median seconds of a call, after one that is not counted; a GPU is waited for."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    work()
    wait()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]
