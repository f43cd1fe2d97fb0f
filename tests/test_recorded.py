"""Steps of training replayed as a CUDA graph: the same training as launched kernel by kernel."""

from __future__ import annotations

import pytest
import torch
from contracts.small_models import small_settings, training
from molecules_for_tests import shaken
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, shaken_ethanol

from asteroid_nb import captured
from asteroid_nb.captured import RECORDED, recorder, shape_of
from asteroid_nb.data.windows import Window
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import ForecastTask, train
from asteroid_nb.forecast.transformer import STITransformer


class Task:
    steps_alike = True


@pytest.mark.parametrize(("task", "precision"), [(Task(), "16-mixed"), (object(), "32-true")])
def test_steps_that_differ_and_other_precisions_are_launched_one_by_one(task, precision):
    assert recorder(task, precision) is None


def test_a_shape_is_that_of_all_tensors_of_a_batch():
    window = Window.of(torch.zeros(2, 4, 3, 3), dt_fs=1.0, future=torch.zeros(2, 5, 3, 3))
    assert shape_of(window) == ((2, 4, 3, 3), (2, 5, 3, 3), (2, 3))
    assert shape_of(torch.zeros(2)) == ((2,),) and shape_of((torch.zeros(1), torch.zeros(2))) == ((1,), (2,))


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({}, True),
        ({"decode": "autoregressive"}, False),
        ({"pairs": "listed"}, False),
        ({"atom_identity": False}, False),
    ],
    ids=str,
)
def test_steps_that_read_sizes_from_the_gpu_or_follow_chance_are_launched(changes, alike):
    model = STITransformer(small_settings(conjugate="none", **changes), training().molecule)
    assert ForecastTask(model, training(), training(), ObjectiveSettings(), 8).steps_alike == alike


@pytest.mark.parametrize(("dt_fs", "alike"), [(1.0, True), (10.0, False)])
def test_solving_for_velocities_is_launched(dt_fs, alike):
    model = STITransformer(small_settings(skip="newton"), training().molecule)
    model.skip.dt_fs.fill_(dt_fs)
    assert ForecastTask(model, training(), training(), ObjectiveSettings(), 8).steps_alike == alike


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_replayed_step_has_the_gradients_of_the_weights_as_they_are(precision):
    torch.manual_seed(0)
    model = shaken(STITransformer(small_settings(conjugate="none"), training().molecule))
    model.fit_start(training(), training())
    task = ForecastTask(model.cuda().train(), training(), training(), ObjectiveSettings(), 8)
    replay = recorder(task, precision)
    for batch in list(task.batches(seed=0, device=torch.device("cuda")))[:3]:
        found = []
        for loss in (replay, launched(task, precision)):
            model.zero_grad()
            loss(batch)["loss"].backward()
            found.append({name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None})
        assert found[0].keys() == found[1].keys()
        for name, expected in found[1].items():
            off = float((found[0][name] - expected).norm() / expected.norm().clamp(min=1e-3))
            assert off < (1e-4 if precision == "32-true" else 2e-2), (name, off)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.01 * torch.randn_like(weight))


def launched(task, precision):
    kind = RECORDED[precision]

    def loss(batch):
        with torch.autocast("cuda", dtype=kind, enabled=kind is not None):
            return task.loss(task.model, batch, done=0.0)

    return loss


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
