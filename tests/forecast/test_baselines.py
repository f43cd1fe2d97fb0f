"""The closed-form rivals: the contract, and motions each of them solves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.forecaster import ForecasterContract
from contracts.small_models import training, validating
from molecules_for_tests import AT_REST_ANG, amplitude_ang, harmonic_windows
from small_molecules import ETHANOL_BONDS, ETHANOL_NUMBERS
from torch.testing import assert_close

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.forecast import baselines
from asteroid_nb.forecast.baselines import (
    Autoregression,
    ConstantVelocity,
    Copy,
    EquivariantRidge,
    FrameRidge,
    MeanOfHistory,
    rivals,
)
from asteroid_nb.forecast.linear import STRENGTHS, Moments, best_strength


class TestSimpleRivals(ForecasterContract):
    mirrors = True

    @pytest.fixture(scope="class", params=[Copy, MeanOfHistory, ConstantVelocity, Autoregression, EquivariantRidge])
    @classmethod
    def forecaster(cls, request):
        return request.param(8).fit(training(), validating())


class TestRidgeInFrames(ForecasterContract):
    @pytest.fixture(scope="class", params=["window", "local"])
    @classmethod
    def forecaster(cls, request):
        return FrameRidge(8, frame=request.param).fit(training(), validating())


def moving(path_of_time, n_frames: int = 60) -> Windows:
    """Return windows (16 frames to 8) of ethanol whose atoms leave their places by ``path_of_time(t)`` [t, 9, 3]."""
    moved = path_of_time(np.arange(n_frames)[:, None, None])
    trajectory = Trajectory(AT_REST_ANG + moved, ETHANOL_NUMBERS, 1.0, bonds=ETHANOL_BONDS, check_distances=False)
    return Windows([trajectory], WindowShape(history=16, horizon=8))


def error_ang(forecaster, windows: Windows) -> float:
    window = windows[:]
    return float((forecaster.forecast(window) - window.truth).square().mean().sqrt())


def test_copy_solves_rest_and_constant_velocity_solves_drift():
    drift = np.random.default_rng(0).normal(scale=0.01, size=(9, 3))
    assert error_ang(Copy(8), moving(lambda t: 0.0 * t * drift)) < 1e-6
    assert error_ang(ConstantVelocity(8), moving(lambda t: t * drift)) < 1e-5
    assert error_ang(Copy(8), moving(lambda t: t * drift)) > 0.01


def test_the_mean_is_that_of_the_history():
    window = moving(lambda t: np.where(t < 16, t % 2, 5.0) * np.ones((9, 3)))[[0]]
    expected = window.history[:, :1] + 0.5
    assert_close(MeanOfHistory(8).forecast(window), expected.expand_as(window.truth), rtol=0, atol=1e-5)


def test_autoregression_solves_a_cosine_whose_mean_the_history_knows():
    rng = np.random.default_rng(0)
    phase, amplitude = rng.uniform(0, 6, (9, 3)), rng.uniform(0.05, 0.2, (9, 3))
    windows = moving(lambda t: amplitude * np.cos(2 * np.pi * t / 8 + phase))
    fitted = Autoregression(8, order=2).fit(windows, windows)
    assert error_ang(fitted, windows) < 0.01 * amplitude.mean()
    assert_close(fitted.weights[:, 0], torch.tensor([-1.0, 2 * np.cos(np.pi / 4)]).float(), rtol=0, atol=1e-2)
    assert error_ang(Copy(8), windows) > 0.5 * amplitude.mean()


@pytest.mark.parametrize(
    "make",
    [lambda: EquivariantRidge(8), lambda: FrameRidge(8), lambda: FrameRidge(8, frame="local")],
    ids=["equivariant", "superposed", "local"],
)
def test_ridge_beats_everything_simple_on_a_harmonic_molecule(make):
    shape = WindowShape(history=8, horizon=8)
    train, validation, test = (harmonic_windows(shape, seeds=range(a, b)) for a, b in ((0, 3), (3, 4), (4, 5)))
    simple = [each(8).fit(train, validation) for each in (Copy, MeanOfHistory, ConstantVelocity, Autoregression)]
    error = error_ang(make().fit(train, validation), test)
    assert error < 0.7 * min(error_ang(each, test) for each in simple)
    assert error < 0.1 * amplitude_ang(test)


def test_rivals_come_fitted_with_names_of_their_own():
    listed = rivals(training(), validating())
    assert [each.name for each in listed] == [
        *("copy", "mean of history", "constant velocity", "AR(8)"),
        *("ridge, equivariant", "ridge, superposed", "ridge, local frames"),
    ]


@pytest.mark.parametrize("intercept", [False, True])
def test_a_ridge_map_minimises_what_it_is_said_to(intercept):
    x, y = torch.randn(1, 60, 3).double(), torch.randn(1, 60, 2).double() + 5
    sums = Moments.of([(x, y)])
    for strength, (weights, offset) in zip((0.1, 2.0), sums.solve((0.1, 2.0), intercept=intercept), strict=True):
        free = [one.clone().requires_grad_() for one in ((weights, offset) if intercept else (weights,))]
        error = x @ free[0] + (free[1][:, None] if intercept else 0) - y
        (error.square().sum() / 60 + strength * free[0].square().sum()).backward()
        assert all(float(one.grad.abs().max()) < 1e-10 for one in free)


def test_the_strength_is_chosen_for_all_groups_together_on_other_data():
    x, truth = torch.randn(2, 400, 5), torch.randn(2, 5, 6)
    y = x @ truth + torch.tensor([0.0, 3.0])[:, None, None] * torch.randn(2, 400, 6)
    few, parts = Moments.of([(x[:, :8], y[:, :8])]), (slice(8, 100), slice(100, 400))
    error, weights, offset = best_strength(few, [(x[:, p], y[:, p]) for p in parts], horizon=3, intercept=True)
    solutions = [(w.float(), b.float()) for w, b in few.solve(STRENGTHS, intercept=True)]
    squared = [(x[:, 8:] @ w + b[:, None] - y[:, 8:]).square().unflatten(-1, (3, 2)) for w, b in solutions]
    rmse = [float(each.mean((0, 1, 3)).sqrt().mean()) for each in squared]
    assert error == pytest.approx(min(rmse), rel=1e-5)
    assert_close((weights, offset), solutions[rmse.index(min(rmse))])


def test_two_atoms_have_no_frames_and_so_no_ridge_in_them():
    apart = 1.0 + 0.05 * np.cos(0.5 * np.arange(80))
    positions = np.stack([np.zeros((80, 3)), apart[:, None] * np.array([[1.0, 0.0, 0.0]])], axis=1)
    windows = Windows([Trajectory(positions, [1, 1], 0.5, bonds=np.array([[0, 1]]))], WindowShape(history=8, horizon=8))
    listed = rivals(windows, windows)
    assert [each.name for each in listed][-1] == "ridge, equivariant"
    assert error_ang(listed[-1], windows) < 0.05 * error_ang(listed[0], windows)


def test_no_single_map_sees_all_of_a_large_system(monkeypatch):
    train, validation = training(), validating()
    everyone = [one.name for one in rivals(train, validation)]
    monkeypatch.setattr(baselines, "MOST_SEEN", train.molecule.n_atoms - 1)
    assert [one.name for one in rivals(train, validation)] == [
        name for name in everyone if name != "ridge, equivariant"
    ]
