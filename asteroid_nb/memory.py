"""Freed memory goes back to the system: glibc, left alone, keeps most of what large tensors leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Return freed memory to the system before the work within and after it, so that a kernel holds what it uses.

    It takes milliseconds. Where the C library cannot (only glibc has ``malloc_trim``) nothing is done.
    """
    _trim()
    try:
        yield
    finally:
        _trim()


def _trim() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
