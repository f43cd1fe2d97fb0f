"""Watching and stopping: several observers as one, a bar in any place, Ctrl-C that waits."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from straight_line import Watcher

from asteroid_nb.progress import Bar, Interruptible, Observers

RECORD = {"epoch": 1, "validation_loss": 0.5}


class ByEpoch:
    """An observer that asks for nothing finer than epochs."""

    stopped = False

    def __init__(self) -> None:
        self.told: list[str] = []

    def start(self, *, total_epochs: int) -> None:
        self.told.append(f"start {total_epochs}")

    def update(self, record: dict[str, float]) -> None:
        self.told.append("update")

    def finish(self, message: str) -> None:
        self.told.append(message)


class TestObservers:
    def test_pass_everything_on(self):
        fine, coarse = Watcher(), ByEpoch()
        with Observers([fine, coarse]) as both:
            both.start(total_epochs=2, n_steps=3)
            both.step(0, 0, loss=1.0, seconds_left=2.0)
            both.update(RECORD)
            both.finish("done")
        assert fine.told == [("start", (2, 3)), ("step", (0, 0)), ("update", RECORD), ("finish", "done")]
        assert coarse.told == ["start 2", "update", "done"]

    def test_stop_when_any_of_them_asks(self):
        one, other = Watcher(), Watcher()
        both = Observers([one, other])
        assert not both.stopped
        other.stopped = True
        assert both.stopped
        assert not Observers([]).stopped

    def test_hear_of_an_error_once_and_let_it_through(self):
        watcher = Watcher()
        with pytest.raises(ValueError, match="too hot"), Observers([watcher]) as watched:
            watched.start(total_epochs=1, n_steps=1)
            raise ValueError("too hot")
        assert watcher.all_of("finish") == ["ValueError: too hot"]

    def test_that_never_began_are_not_finished(self):
        watcher, bar = Watcher(), Bar()
        with pytest.raises(ValueError, match="nothing to resume"), Observers([watcher, bar]):
            raise ValueError("nothing to resume")
        assert not watcher.told


class TestBar:
    def test_counts_steps_of_all_epochs_and_shows_loss_and_validation(self, capsys):
        bar = Bar("ethanol")
        bar.start(total_epochs=2, n_steps=3)
        for index in range(3):
            bar.step(0, index, loss=0.25, seconds_left=1.0)
        bar.update(RECORD)
        bar.step(1, 0, loss=0.125, seconds_left=1.0)
        assert bar.bar.n == 4 and bar.bar.total == 6
        bar.bar.refresh()
        bar.finish("stopped by hand")
        out, err = capsys.readouterr()
        assert "ethanol: stopped by hand" in out + err
        assert "epoch=2" in err and "loss=0.125" in err and "validation=0.5" in err

    def test_starts_in_the_middle_when_training_is_resumed(self, capsys):
        bar = Bar()
        bar.start(total_epochs=2, n_steps=3)
        bar.step(1, 1, loss=0.25, seconds_left=1.0)
        assert bar.bar.n == 5
        bar.finish("done")


class TestInterruptible:
    def test_notes_the_first_and_raises_the_second(self):
        with Interruptible() as interrupt:
            assert not interrupt.asked
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.asked
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    def test_notes_what_schedulers_send_once_each(self):
        """torchrun hands on a Ctrl-C and may end its processes with SIGTERM after it."""
        before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
        with Interruptible() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupt.asked
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before

    def test_gives_the_handler_back_whatever_happens(self):
        mine = lambda number, frame: None  # noqa: E731
        before = signal.signal(signal.SIGINT, mine)
        try:
            with pytest.raises(ValueError, match="broken"), Interruptible():
                assert signal.getsignal(signal.SIGINT) is not mine
                raise ValueError("broken")
            assert signal.getsignal(signal.SIGINT) is mine
        finally:
            signal.signal(signal.SIGINT, before)

    def test_works_in_a_thread_where_no_handler_can_be_set(self):
        asked: list[bool] = []

        def work() -> None:
            with Interruptible() as interrupt:
                asked.append(interrupt.asked)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert asked == [False]
