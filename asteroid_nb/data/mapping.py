"""Arrays that stay on disk: mapped into memory, read where they are touched, and given back."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np


class Mapped(np.memmap):
    """A read-only array of a file of ours, whose writer found every value finite."""


def mapped(path: Path, *, dtype: np.dtype, offset: int, shape: tuple[int, ...]) -> Mapped:
    found: Any = Mapped(path, dtype=dtype, mode="r", offset=offset, shape=shape)
    return found


def map_of(array: Any) -> Mapped | None:
    """Return the map that an array is a view of, if it is one."""
    while isinstance(array, np.ndarray):
        if isinstance(array, Mapped):
            return array
        array = array.base
    return None


def release(array: Any) -> None:
    """Give back the memory into which parts of a map were read; touched again, they are read again."""
    found: Any = map_of(array)
    if found is not None and hasattr(mmap, "MADV_DONTNEED"):
        found._mmap.madvise(mmap.MADV_DONTNEED)  # NumPy offers the map under no other name
