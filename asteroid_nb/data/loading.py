"""Making the next batches while this one is used, so that an accelerator never waits for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], *, depth: int = 2) -> Iterator[Made]:
    """Yield ``make(item)`` in order, up to ``depth`` of them made in a thread before they are asked for.

    An error in ``make`` is raised where its result is asked for; leaving the loop early makes nothing further.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="windows") as thread:
        try:
            for item in items:
                waiting.append(thread.submit(make, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for pending in waiting:
                pending.cancel()
