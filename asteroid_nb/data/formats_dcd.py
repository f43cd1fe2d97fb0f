"""DCD files through MDTraj: its reader talks, and says nothing where a file is cut short."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asteroid_nb.errors import UnreadableFile


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the reader of DCD quiet, which talks to the process's own output about byte order at every file."""
    if os.name != "posix":
        yield
        return
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)


def check_length(path: Path, length: Callable[[], int]) -> None:
    """Raise where a DCD holds fewer frames than its header says: MDTraj reads what there is without a word."""
    with open(path, "rb") as handle:
        head = handle.read(12)
    for order in "<>":
        if head[:8] == struct.pack(f"{order}i", 84) + b"CORD" and len(head) == 12:
            promised = struct.unpack(f"{order}i", head[8:])[0]
            found = length()
            if 0 < found < promised:
                raise UnreadableFile(
                    f"{path} is cut short: its header promises {promised} frames, {found} are there. "
                    "Copy it again, or keep what is there: from_mdtraj(mdtraj.load(…), dt_fs=…)."
                )
