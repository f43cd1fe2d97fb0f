"""What times need beside them: one thread while they are taken, and on which machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from asteroid_nb.finding import processor


@contextmanager
def one_thread() -> Iterator[dict[str, Any]]:
    """Let torch have one thread for a while, and give what a log of times says of the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield {"processor": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    finally:
        torch.set_num_threads(before)


def in_words(machine: dict[str, Any]) -> str:
    return f"{machine['processor']}, {machine['threads']} thread, torch {machine['torch']}"
