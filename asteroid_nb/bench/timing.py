"""What times need beside them: one thread while they are taken, and on which machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from asteroid_nb.finding import processor


@contextmanager
def one_thread() -> Iterator[dict[str, Any]]:
    """Let torch have one thread for a while, and give what a log of times says of the machine.

    Once it is over, "seconds" is how long it took.
    """
    before, began = torch.get_num_threads(), time.perf_counter()
    torch.set_num_threads(1)
    machine: dict[str, Any] = {"processor": processor(), "threads": 1, "torch": torch.__version__}
    try:
        yield machine
    finally:
        torch.set_num_threads(before)
        machine["seconds"] = time.perf_counter() - began


def in_words(machine: dict[str, Any]) -> str:
    return f"{machine['processor']}, {machine['threads']} thread, torch {machine['torch']}"
