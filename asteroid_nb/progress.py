"""Watching and stopping long work: a progress bar, any number of observers, and Ctrl-C that waits for a safe moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, Protocol


class Observer(Protocol):
    """Somebody who watches a training and may stop it: a bar, a live curve with a Stop button."""

    stopped: bool

    def start(self, *, total_epochs: int) -> None: ...

    def update(self, record: dict[str, float]) -> None: ...

    def finish(self, message: str) -> None: ...


class Bar:
    """A ``tqdm.auto`` bar over steps, with loss and time left: for kernels, terminals and logs alike."""

    stopped = False

    def __init__(self, label: str = "training") -> None:
        self.label = label
        self.validation = float("nan")

    def start(self, *, total_epochs: int, n_steps: int = 1) -> None:
        from tqdm.auto import tqdm

        self.bar = tqdm(total=total_epochs * n_steps, desc=self.label, unit="step", mininterval=0.5, dynamic_ncols=True)
        self.n_steps = n_steps

    def step(self, epoch: int, index: int, *, loss: float, seconds_left: float) -> None:
        self.bar.set_postfix(epoch=epoch + 1, loss=f"{loss:.3g}", validation=f"{self.validation:.3g}", refresh=False)
        self.bar.update(epoch * self.n_steps + index + 1 - self.bar.n)

    def update(self, record: dict[str, float]) -> None:
        self.validation = record["validation_loss"]

    def finish(self, message: str) -> None:
        self.bar.close()
        self.bar.write(f"{self.label}: {message}")


class Quietly:
    """Hands on nothing but the wish to stop: for what precedes the training that observers watch."""

    def __init__(self, observers: Sequence[Any]) -> None:
        self.observers = observers

    @property
    def stopped(self) -> bool:
        return any(observer.stopped for observer in self.observers)

    def start(self, *, total_epochs: int) -> None:
        """Say nothing, here and below."""

    def update(self, record: dict[str, float]) -> None: ...

    def finish(self, message: str) -> None: ...


class Observers:
    """Several observers as one. Those that ask for nothing finer than epochs need no ``step``."""

    def __init__(self, observers: Sequence[Any]) -> None:
        self.all = list(observers)
        self.begun: list[Any] = []

    def __enter__(self) -> Observers:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self.finish(f"{kind.__name__ if kind else 'error'}: {error}")

    @property
    def stopped(self) -> bool:
        return any(observer.stopped for observer in self.all)

    def start(self, *, total_epochs: int, n_steps: int) -> None:
        for observer in self.all:
            finer = {"n_steps": n_steps} if hasattr(observer, "step") else {}
            observer.start(total_epochs=total_epochs, **finer)
            self.begun.append(observer)

    def step(self, epoch: int, index: int, **values: float) -> None:
        for observer in self.all:
            if hasattr(observer, "step"):
                observer.step(epoch, index, **values)

    def update(self, record: dict[str, float]) -> None:
        for observer in self.all:
            observer.update(record)

    def finish(self, message: str) -> None:
        """Tell those that have begun, once."""
        finishing, self.begun = self.begun, []
        for observer in finishing:
            observer.finish(message)


class Interruptible:
    """While inside, the first Ctrl-C is noted in ``asked``, so that work stops at a safe place; a second one raises.

    So is SIGTERM, with which schedulers and ``torchrun`` end a job some seconds before they kill it. ``torchrun`` may
    send it after a Ctrl-C: only the same signal a second time raises.
    """

    def __enter__(self) -> Interruptible:
        self.heard: set[int] = set()
        self.previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {one: signal.signal(one, self._note) for one in (signal.SIGINT, signal.SIGTERM)}
        return self

    @property
    def asked(self) -> bool:
        return bool(self.heard)

    def __exit__(self, *_: object) -> None:
        for number, before in self.previous.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in self.heard:
            raise KeyboardInterrupt
        self.heard.add(number)
