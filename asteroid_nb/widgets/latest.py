"""Doing something slow for values that change quickly: only for the latest of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Latest:
    """Calls ``act`` at once if it has rested, else once when it has, however often it was asked meanwhile.

    Every frame of a film asks for a new picture. Drawn one after another they would queue up, and go on after the film.

    Args:
        act: takes the state as it is then.
        pause_s: between two calls.
    """

    def __init__(self, act: Callable[[], object], *, pause_s: float = 0.1):
        self.pause_s = pause_s
        self._act = act
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._acted_at = float("-inf")

    def __call__(self) -> None:
        with self._lock:
            if self._timer is not None:
                return
            wait_s = self._acted_at + self.pause_s - time.monotonic()
            if wait_s > 0:
                self._timer = threading.Timer(wait_s, self._late)
                self._timer.daemon = True
                self._timer.start()
                return
            self._acted_at = time.monotonic()
        self._act_and_rest()

    def close(self) -> None:
        """Forget what was asked for."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            self._acted_at = time.monotonic()
        self._act_and_rest()

    def _act_and_rest(self) -> None:
        try:
            self._act()
        finally:
            self._acted_at = time.monotonic()
