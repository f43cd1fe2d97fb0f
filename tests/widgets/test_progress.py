"""The training view follows records, stops on demand, and never ends a training by itself."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from asteroid_nb.progress import Observers
from asteroid_nb.widgets import progress
from asteroid_nb.widgets.progress import TrainingView


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = {"s": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: now["s"])
    return now


def drawn(view: TrainingView) -> list[dict]:
    """Return the two curves as the browser has them."""
    return json.loads(view.plot.figure)["data"]


def record(epoch: int, **others) -> dict:
    return {"epoch": epoch, "step": 10 * epoch, "train_loss": 1 / epoch, "validation_loss": 2 / epoch, **others}


def test_every_record_is_in_the_curve_at_the_end(clock):
    view = TrainingView()
    view.start(total_epochs=3)
    for epoch in (1, 2, 3):
        view.update(record(epoch))
    view.finish("done")
    train, validation = drawn(view)
    assert train["x"] == [1, 2, 3] and train["y"] == [1, 1 / 2, 1 / 3]
    assert validation["y"] == [2, 1, 2 / 3]


def test_it_draws_at_most_twice_a_second(clock):
    view = TrainingView()
    drawn = []
    view._draw = lambda: drawn.append(clock["s"])
    for epoch in range(1, 101):
        clock["s"] = epoch * 0.1
        view.update(record(epoch))
    assert len(drawn) <= 20 and np.diff(drawn).min() >= 0.5 - 1e-9


def train_points(view: TrainingView) -> list[tuple[float, float]]:
    return list(zip(drawn(view)[0]["x"], drawn(view)[0]["y"], strict=True))


def test_the_curve_moves_within_an_epoch(clock):
    view = TrainingView()
    view.start(total_epochs=2, n_steps=4)
    for index in range(3):
        clock["s"] += 0.5
        view.step(0, index, loss=3.0 - index, seconds_left=1.0)
        assert train_points(view)[-1] == ((index + 1) / 4, 3.0 - index)
    assert len(train_points(view)) == 3 and drawn(view)[1]["x"] == []


def test_within_an_epoch_too_it_draws_at_most_twice_a_second(clock):
    view = TrainingView()
    view.start(total_epochs=2, n_steps=100)
    for index in range(100):
        view.step(0, index, loss=1.0, seconds_left=1.0)
        clock["s"] += 0.125
    assert len(train_points(view)) == 25


def test_the_record_takes_the_place_of_the_last_step(clock):
    view = TrainingView()
    view.start(total_epochs=2, n_steps=2)
    for index in (0, 1):
        view.step(0, index, loss=3.0, seconds_left=1.0)
        clock["s"] += 0.5
    view.update(record(1))
    assert train_points(view) == [(0.5, 3.0), (1, 1.0)]


def test_a_long_training_has_a_bounded_number_of_points_and_all_records(clock):
    view = TrainingView()
    view.start(total_epochs=3, n_steps=1000)
    for epoch in range(3):
        for index in range(1000):
            clock["s"] += 0.5
            if index % 4 == 0:
                view.step(epoch, index, loss=1.0, seconds_left=1.0)
        view.update(record(epoch + 1))
    points = train_points(view)
    assert 300 < len(points) <= progress.MOST_POINTS + 3
    assert {1, 2, 3} <= {epoch for epoch, _ in points} and drawn(view)[1]["x"] == [1, 2, 3]


def test_a_training_begun_anew_or_resumed_leaves_no_zigzag(clock):
    view = TrainingView()
    for _ in range(2):
        view.start(total_epochs=2, n_steps=2)
        for epoch in (0, 1):
            clock["s"] += 0.5
            view.step(epoch, 0, loss=3.0, seconds_left=1.0)
            view.update(record(epoch + 1))
    view.finish("done")
    assert [epoch for epoch, _ in train_points(view)] == [0.5, 1, 1.5, 2]
    assert drawn(view)[1]["x"] == [1, 2]


def test_the_time_left_is_said(clock):
    view = TrainingView()
    view.start(total_epochs=8)
    view.update(record(2, seconds_left=125))
    assert view.status.value == "Epoch 2 of 8 · train 0.5 · validation 1 · 2 min 05 s left"


def test_stop_is_one_click(clock):
    view = TrainingView()
    view.start(total_epochs=8)
    assert not view.stopped
    view.stop_button.click()
    assert view.stopped and view.stop_button.disabled and "Stopping" in view.status.value


def test_a_new_start_may_be_stopped_again(clock):
    view = TrainingView()
    view.start(total_epochs=8)
    view.stop_button.click()
    view.start(total_epochs=8)
    assert not view.stopped and not view.stop_button.disabled


def test_records_without_a_finite_loss_leave_a_gap(clock):
    view = TrainingView()
    view.update({"epoch": 1, "train_loss": math.nan, "validation_loss": None})
    view.finish("done")
    assert drawn(view)[0]["y"] == [None] and drawn(view)[1]["y"] == [None]


def test_messages_are_shown_as_text(clock):
    view = TrainingView(title="<script>")
    view.finish("<script>alert(1)</script>")
    assert (
        "<script" not in view.status.value and "<script" not in json.loads(view.plot.figure)["layout"]["title"]["text"]
    )


def test_the_whole_training_is_on_the_axis_from_its_start(clock):
    view = TrainingView()
    view.start(total_epochs=8)
    assert json.loads(view.plot.figure)["layout"]["xaxis"]["range"] == [0, 8]


def test_a_picture_is_a_few_thousand_bytes(clock):
    view = TrainingView()
    view.start(total_epochs=1000)
    for epoch in range(1, 401):
        view.update(record(epoch))
    view.finish("done")
    assert "400" in view.plot.figure and len(view.plot.figure) < 40_000


def test_a_drawing_that_fails_is_shown_and_the_training_goes_on(clock):
    view = TrainingView()
    view._draw = lambda: 1 / 0
    view.start(total_epochs=2)
    view.update(record(1))
    assert "ZeroDivisionError" in view.errors.value


def test_it_is_an_observer_of_the_training_loop(clock):
    view = TrainingView()
    with Observers([view]) as watched:
        watched.start(total_epochs=2, n_steps=4)
        watched.step(0, 1, loss=3.0, seconds_left=7.0)
        assert view.status.value == "Epoch 0.5 of 2 · train 3 · 7 s left"
        watched.update(record(1))
        view.stop_button.click()
        assert watched.stopped
