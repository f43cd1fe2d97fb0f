"""Walkers in processes of their own: ``python -m asteroid_nb.data.walker_process`` reads a task from its input.

A fresh interpreter is started instead of ``multiprocessing``, which would import the caller's script again and so
demand a ``__main__`` guard. The task is pickled through the pipe, never through a file: nothing is unpickled from disk.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from asteroid_nb import errors
from asteroid_nb.data import walker

#: Least seconds between two words of progress from one worker, and seconds a stopped one has to clear up.
REPORT_EVERY_S, CLEAR_UP_S = 0.3, 5.0


def run_all(task: bytes, n_walkers: int, *, n_processes: int, report: Callable[[int], Any]) -> None:
    """Run walkers 0 … n_walkers − 1, ``n_processes`` at a time; on any failure or Ctrl-C stop them all.

    Raises:
        SimulationFailed: a worker failed, with its own words.
        DiskFull: a worker could not write.
    """
    messages: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    waiting, running = list(range(n_walkers)), {}
    try:
        while waiting or running:
            while waiting and len(running) < n_processes:
                number = waiting.pop(0)
                running[number] = _Worker(number, messages)
                running[number].give(task)
            number, message = messages.get()
            if "steps" in message:
                report(message["steps"])
            elif "error" in message:
                raise _rebuilt(message)
            else:
                running.pop(number).close()
    finally:
        for worker in running.values():
            worker.process.terminate()
        for worker in running.values():
            worker.close()


class _Worker:
    """One process and the two threads that read what it says, so that no pipe can fill up."""

    def __init__(self, number: int, messages: queue.Queue) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        # In a session of its own, so that Ctrl-C reaches only the parent, which then stops it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asteroid_nb.data.walker_process", str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": path},
        )  # fmt: skip
        self.number, self.messages = number, messages
        self.complaints: deque[bytes] = deque(maxlen=12)
        self.complaining = threading.Thread(
            target=lambda: self.complaints.extend(self.process.stderr or ()), daemon=True
        )
        self.reporting = threading.Thread(target=self._listen, daemon=True)
        self.complaining.start()
        self.reporting.start()

    def give(self, task: bytes) -> None:
        """Send the task; a worker that died at once is reported by `_listen`."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(task)
            self.process.stdin.close()
        except BrokenPipeError:
            self.complaining.join()

    def _listen(self) -> None:
        """Pass on what the worker says; one that ends without a last word has failed."""
        last: dict[str, Any] = {}
        for line in self.process.stdout or ():
            last = json.loads(line)
            self.messages.put((self.number, last))
        if "done" in last or "error" in last:
            return
        self.complaining.join()
        said = b"".join(self.complaints).decode(errors="replace").strip() or "nothing"
        words = f"Walker {self.number} died (exit code {self.process.wait()}). It said: {said}"
        self.messages.put((self.number, {"error": "SimulationFailed", "message": words}))

    def close(self) -> None:
        """Wait for the end, hasten it if need be, and close the pipes."""
        try:
            self.process.wait(CLEAR_UP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for thread in (self.complaining, self.reporting):
            thread.join()
        self.process.__exit__(None, None, None)


def _rebuilt(message: dict[str, Any]) -> errors.AsteroidError:
    """Return the worker's error as the class it was."""
    kind = getattr(errors, message["error"], None)
    if not (isinstance(kind, type) and issubclass(kind, errors.AsteroidError)):
        return errors.SimulationFailed(f"{message['error']}: {message['message']}")
    return kind(message["message"])


class _Reporter:
    """Sends steps to the parent, not too often. A parent that is gone closes the pipe, and that ends the worker."""

    def __init__(self, channel: Any) -> None:
        self.channel, self.steps, self.last = channel, 0, time.monotonic()

    def __call__(self, steps: int) -> None:
        self.steps += steps
        if time.monotonic() - self.last >= REPORT_EVERY_S:
            self.flush()

    def flush(self) -> None:
        self.say({"steps": self.steps})
        self.steps, self.last = 0, time.monotonic()

    def say(self, message: dict[str, Any]) -> None:
        self.channel.write(json.dumps(message) + "\n")
        self.channel.flush()


def main() -> None:
    """Run the walker named on the command line; what an engine prints goes to stderr, for stdout is the channel."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exception, so that unfinished files are removed
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    reporter = _Reporter(channel)
    start, settings, make, folder = pickle.load(sys.stdin.buffer)
    try:
        walker.Walker(int(sys.argv[1]), start, settings, make, folder, reporter).run()
    except errors.AsteroidError as error:
        reporter.say({"error": type(error).__name__, "message": str(error)})
        return
    reporter.flush()
    reporter.say({"done": True})


if __name__ == "__main__":
    main()
