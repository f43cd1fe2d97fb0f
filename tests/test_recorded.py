"""Steps of training replayed as a CUDA graph: the same training as launched kernel by kernel."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, shaken_ethanol

from asteroid_nb import captured
from asteroid_nb.captured import recorder, shape_of
from asteroid_nb.data.windows import Window
from asteroid_nb.forecast.training import train


class Task:
    steps_alike = True


@pytest.mark.parametrize(("task", "precision"), [(Task(), "16-mixed"), (object(), "32-true")])
def test_steps_that_differ_and_other_precisions_are_launched_one_by_one(task, precision):
    assert recorder(task, precision) is None


def test_a_shape_is_that_of_all_tensors_of_a_batch():
    window = Window.of(torch.zeros(2, 4, 3, 3), dt_fs=1.0, future=torch.zeros(2, 5, 3, 3))
    assert shape_of(window) == ((2, 4, 3, 3), (2, 5, 3, 3), (2, 3))
    assert shape_of(torch.zeros(2)) == ((2,),) and shape_of((torch.zeros(1), torch.zeros(2))) == ((1,), (2,))


@pytest.mark.gpu
@pytest.mark.parametrize("skip", ["ridge", "newton"])
def test_a_replayed_training_is_the_launched_one(skip, monkeypatch):
    options = {"potential": {"n_steps": 20, "n_path_steps": 3}} if skip == "newton" else {}
    settings = TINY.replace(skip=skip)
    fitting = {"device": "cuda", "precision": "32-true", "n_epochs": 2}
    once = lambda: train(  # noqa: E731
        shaken_ethanol(), settings=settings, fit_settings=ONE_EPOCH, observers=(), **options, **fitting
    )
    recorded = once()
    monkeypatch.setattr(captured, "RECORDED", {})
    launched = once()
    assert recorded.history[-1]["validation_loss"] == pytest.approx(launched.history[-1]["validation_loss"], rel=2e-3)
    window = recorded.split.test[:4]
    assert_close(recorded.forecast(window), launched.forecast(window), rtol=0, atol=2e-3)
