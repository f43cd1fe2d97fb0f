"""No leaks: nothing that is fitted knows validation or test data, and nobody who is judged sees the future."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from contracts.small_models import SHAPE, held_out, small_settings, training, validating, walkers
from torch.testing import assert_close

from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.evaluation import evaluate
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast import baselines, linear
from asteroid_nb.forecast.networks import FrameNetwork, NetworkTask
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import ForecastTask, train
from asteroid_nb.forecast.transformer import STITransformer

WAYS = {"by trajectory": 3, "by blocks": 1}
SHAPES = {"dense": SHAPE, "strided": WindowShape(history=8, horizon=8, stride_frames=3)}
PARTS = ("train", "validation", "test")


def spoiled(trajectories: list[Trajectory], shape: WindowShape, *parts: str) -> list[Trajectory]:
    """Return the trajectories with every frame that a window of these parts covers replaced by a shaken one."""
    draw, found = np.random.default_rng(0), split(trajectories, shape)
    positions = [np.array(trajectory.positions) for trajectory in trajectories]
    for part in (getattr(found, name) for name in parts):
        for walker, start in part.starts:
            place = next(i for i, one in enumerate(trajectories) if one is part.trajectories[walker])
            frames = slice(start, start + shape.span_frames)
            noise = draw.normal(scale=0.05, size=positions[place][frames].shape)
            positions[place][frames] = trajectories[place].positions[frames] + noise
    return [trajectory.replace(positions=moved) for trajectory, moved in zip(trajectories, positions, strict=True)]


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def paths(request):
    return list(walkers(720)[: request.param])


@pytest.fixture(params=list(SHAPES.values()), ids=list(SHAPES))
def shape(request):
    return request.param


@pytest.fixture
def one_choice(monkeypatch):
    """Take from validation data whatever it may choose: strengths and numbers of frames."""
    monkeypatch.setattr(linear, "STRENGTHS", (1e-4,))
    monkeypatch.setattr(baselines, "RIDGE_FRAMES", (4,))


def test_spoiling_spoils(paths, shape):
    for name in PARTS:
        before, after = (split(each, shape) for each in (paths, spoiled(paths, shape, name)))
        for part in PARTS:
            same = torch.equal(getattr(before, part)[:].history, getattr(after, part)[:].history)
            assert same == (part != name)


def fitted_model(parts: Split, shape: WindowShape, **changes) -> STITransformer:
    torch.manual_seed(0)
    model = STITransformer(small_settings(**changes), parts.train.molecule)
    task = ForecastTask(model, parts.train, parts.validation, ObjectiveSettings(), batch_size=16)
    model.fit_start(parts.train, parts.validation, task.variants)
    return model


@pytest.mark.parametrize("frame", ["local", "window"])
def test_means_scales_and_ridge_of_the_model_come_from_training_windows(paths, shape, frame, one_choice):
    clean = fitted_model(split(paths, shape), shape, frame=frame).state_dict()
    later = fitted_model(split(spoiled(paths, shape, "validation", "test"), shape), shape, frame=frame).state_dict()
    for name, value in clean.items():
        assert_close(later[name], value, rtol=0, atol=0, msg=name)
    other = fitted_model(split(spoiled(paths, shape, "train"), shape), shape, frame=frame).state_dict()
    for name in ("environment.mean", "environment.scale", "skip.weights", "row_scale"):
        assert not torch.equal(other[name], clean[name])


@pytest.mark.parametrize("make", ["equivariant", "window", "local"])
def test_ridge_rivals_come_from_training_windows(paths, shape, make, one_choice):
    def weights(trajectories):
        parts = split(trajectories, shape)
        if make == "equivariant":
            return [baselines.EquivariantRidge(8).fit(parts.train, parts.validation).weights]
        return list(baselines.FrameRidge(8, frame=make).fit(parts.train, parts.validation).map.buffers())

    for clean, later in zip(weights(paths), weights(spoiled(paths, shape, "validation", "test")), strict=True):
        assert_close(later, clean, rtol=0, atol=0)


def test_no_rival_changes_with_the_test_data(paths, shape):
    window = held_out()[:8]
    clean, later = (
        baselines.rivals(*(getattr(split(each, shape), part) for part in PARTS[:2]))
        for each in (paths, spoiled(paths, shape, "test"))
    )
    for one, other in zip(clean, later, strict=True):
        assert_close(other.forecast(window), one.forecast(window), rtol=0, atol=0)


def test_no_network_starts_with_a_unit_from_elsewhere(paths, shape):
    units = []
    for each in (paths, spoiled(paths, shape, "validation", "test")):
        parts = split(each, shape)
        model = FrameNetwork(parts.train.molecule, history=8, horizon=8, core="LSTM", width=16)
        task = NetworkTask(model, parts.train, parts.validation, batch_size=16)
        units.append((model.step_ang, task.copy_error, model.reference))
    for clean, later in zip(*units, strict=True):
        assert_close(later, clean, rtol=0, atol=0)


@pytest.mark.parametrize("decode", ["parallel", "autoregressive"])
def test_a_trained_model_does_not_change_with_the_test_data(decode):
    paths = [walker[:60] for walker in walkers()[:3]]
    settings, fitting = small_settings(decode=decode), FitSettings(n_epochs=1, batch_size=8, device="cpu")
    clean, later = (
        train(each, settings=settings, fit_settings=fitting, observers=[])
        for each in (paths, spoiled(paths, SHAPE, "test"))
    )
    for name, value in clean.model.state_dict().items():
        assert_close(later.model.state_dict()[name], value, rtol=0, atol=0, msg=name)


# Evaluation.


class Witness:
    """A forecaster that copies, and remembers what it was shown."""

    name = "witness"

    def __init__(self, horizon: int = 8) -> None:
        self.horizon, self.seen = horizon, []

    def forecast(self, window):
        self.seen.append(copy.copy(window))
        return window.history[:, -1:].expand(-1, self.horizon, -1, -1)


def test_evaluation_shows_no_future():
    witness = Witness()
    evaluate([witness, baselines.Copy(8)], held_out())
    assert witness.seen
    for window in witness.seen:
        assert window.future is None
        assert window.history.shape[1] == SHAPE.history


def test_evaluation_measures_every_forecaster_on_the_same_windows():
    table = evaluate([Witness(), baselines.Copy(8)], held_out(), most=100)
    np.testing.assert_array_equal(table.squared["witness"], table.squared["copy"])
    window = held_out().subset(most=100)[:]
    squared = (window.history[:, -1:] - window.truth).square().sum(-1)
    np.testing.assert_allclose(table.squared["copy"], squared.numpy(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("history", "horizon", "stride", "leads"),
    [(10, 20, 5, np.arange(5.0, 101.0, 5.0)), (16, 32, 1, np.arange(1.0, 33.0))],
    ids=["P3", "F1"],
)
def test_the_protocols_lead_times(history, horizon, stride, leads):
    shape = WindowShape(history=history, horizon=horizon, stride_frames=stride)
    windows = Windows(walkers()[:2], shape)
    rivals = [each(horizon).fit(windows, windows) for each in (baselines.Copy, baselines.EquivariantRidge)]
    table = evaluate(rivals, windows, most=20)
    np.testing.assert_allclose(table.lead_times_fs, leads)
    assert table.squared["copy"].shape == (min(20, len(windows)), horizon, 9)


def test_the_reference_structure_is_a_training_frame():
    for count in (1, 3):
        paths = list(walkers(720)[:count])
        parts = split(paths, SHAPE)
        first = np.asarray(parts.train.trajectories[0].positions[0], dtype=float)
        np.testing.assert_allclose(parts.train.molecule.reference, first - first.mean(0))
    assert training().molecule.reference is not validating().molecule.reference
