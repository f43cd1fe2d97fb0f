"""What is freed goes back to the system."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from asteroid_nb.memory import giving_back


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says it here")
def test_freed_memory_goes_back_to_the_system():
    with giving_back():
        before = resident_mb()
        small = [b"x" * 100_000 for _ in range(2000)]  # 200 MB in pieces too small to be mapped one by one
        held = resident_mb() - before
        kept = small[::20]  # what lies among them keeps their neighbours with the process when they are freed
        del small
    assert held > 150
    assert resident_mb() - before < held / 4, len(kept)


def test_errors_come_through():
    with pytest.raises(ZeroDivisionError), giving_back():
        raise ZeroDivisionError
