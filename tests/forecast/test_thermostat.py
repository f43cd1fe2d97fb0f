"""A thermostat for chained forecasts: canonical between blocks, the present untouched, bad input refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_molecules import ETHANOL_ANG, ethanol
from torch import Tensor
from trained import TINY, shaken_ethanol, tiny_run

from asteroid_nb.data.splits import split
from asteroid_nb.data.windows import Window
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.baselines import Copy
from asteroid_nb.forecast.rollout import chained, predict
from asteroid_nb.forecast.thermostat import Rescaling, Thermostat
from asteroid_nb.metrics.conservation import temperature_K
from asteroid_nb.rolling import chains, rollout_quality
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2

MASSES = ethanol(full=False).masses
FREE = 3 * len(MASSES) - 6
LONG_FS = 1e6


def histories(n_windows: int = 4000, *, kelvin: float = 300.0, n_frames: int = 3) -> Tensor:
    """Return ethanol on straight paths, 0.5 fs a frame, as warm as asked on the average."""
    rng = np.random.default_rng(0)
    sigma = np.sqrt(8.617333e-5 * kelvin / (EV_PER_AMU_ANG2_PER_FS2 * MASSES))
    speeds = rng.normal(size=(n_windows, 1, 9, 3)) * sigma[:, None]
    return torch.from_numpy(ETHANOL_ANG + speeds * 0.5 * np.arange(n_frames)[:, None, None])


def held(kelvin: float = 500.0, **options: float) -> Rescaling:
    return Rescaling(Thermostat(temperature_K=kelvin, **options), MASSES, 0.5)


class TestTemperature:
    def test_is_that_of_the_metrics(self):
        paths = histories(20, n_frames=2)
        velocities, places = ((paths[:, 1] - paths[:, 0]) / 0.5).numpy(), paths.mean(1).numpy()
        expected = temperature_K(velocities, MASSES, positions=places)
        np.testing.assert_allclose(held().temperature_K(paths).numpy(), expected, rtol=1e-9)

    def test_neither_flight_nor_rotation_is_heat(self):
        still = torch.from_numpy(ETHANOL_ANG)
        spun = still + 0.5 * (torch.linalg.cross(torch.tensor([1e-3, 2e-3, -1e-3]).double().expand(9, 3), still) + 0.02)
        assert float(held().temperature_K(torch.stack([still, spun])[None])) < 1e-3


class TestRescaling:
    def test_leaves_the_present_and_the_directions(self):
        before, rescaling = histories(50), held()
        after = rescaling(before, 100.0)
        assert torch.equal(after[:, -1], before[:, -1])
        inner, changed = (rescaling._parts(one[:, -2:])[0] for one in (before, after))
        ratio = (changed * inner).sum((1, 2)) / inner.square().sum((1, 2))
        torch.testing.assert_close(changed, ratio[:, None, None] * inner, rtol=0.05, atol=1e-4)
        assert float(ratio.std()) > 0.1, "each window has its own factor"

    def test_leaves_flight_and_rotation(self):
        before, rescaling = histories(50), held()
        drift, after = (rescaling._parts(one[:, -2:])[1] for one in (before, rescaling(before, 100.0)))
        torch.testing.assert_close(after, drift, rtol=0.02, atol=1e-4)

    def test_does_nothing_in_no_time(self):
        before = histories(50)
        torch.testing.assert_close(held()(before, 0.0), before)

    def test_relaxes_the_mean_as_fast_as_told(self):
        before = histories(kelvin=300.0)
        after = held(500.0, coupling_fs=80.0)(before, 40.0)
        hot, warm = (float(held().temperature_K(one[:, -2:]).mean()) for one in (before, after))
        assert warm == pytest.approx(500 + (hot - 500) * np.exp(-40 / 80), rel=0.02)

    def test_forgets_what_was_in_favour_of_the_canonical_ensemble(self):
        after = held(500.0)(histories(kelvin=20.0), LONG_FS)
        found = held().temperature_K(after[:, -2:])
        assert float(found.mean()) == pytest.approx(500, rel=0.02)
        assert float(found.std()) == pytest.approx(500 * np.sqrt(2 / FREE), rel=0.05)

    def test_the_seed_decides_and_each_call_draws_anew(self):
        before = histories(3)
        one, again, other = (held(seed=seed) for seed in (1, 1, 2))
        first = one(before, 50.0)
        assert torch.equal(first, again(before, 50.0))
        assert not torch.equal(first, other(before, 50.0)) and not torch.equal(first, one(before, 50.0))


class Springs:
    """Water with springs for bonds, integrated by the Verlet recurrence: an exact forecaster that keeps its energy."""

    places = torch.tensor([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]], dtype=torch.float64)
    masses = np.array([15.999, 1.008, 1.008])

    def __init__(self, dt_fs: float) -> None:
        self.dt_fs = dt_fs
        stiff = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
        for one, other, k in [(0, 1, 20.0), (0, 2, 20.0), (1, 2, 5.0)]:  # eV/Å²
            along = self.places[one] - self.places[other]
            block = k * torch.outer(along, along) / along.square().sum()
            for a, b, sign in [(one, one, 1), (other, other, 1), (one, other, -1), (other, one, -1)]:
                stiff[a, :, b] += sign * block
        self.pull = -stiff / torch.as_tensor(self.masses)[:, None, None, None] / EV_PER_AMU_ANG2_PER_FS2

    def forecast(self, window: Window) -> Tensor:
        before, now = window.history.double().unbind(1)
        path = []
        for _ in range(8):
            pulled = torch.einsum("aibj,wbj->wai", self.pull, now - self.places)
            before, now = now, 2 * now - before + self.dt_fs**2 * pulled
            path.append(now)
        return torch.stack(path, 1).float()


def test_chains_come_to_the_temperature_that_was_asked_for():
    """Three degrees of freedom, far from it at first; without the thermostat they stay where they were."""
    springs, n_windows, cold = Springs(0.5), 300, 60.0
    seen = springs.places.expand(n_windows, 2, 3, 3).clone()
    warm = Rescaling(Thermostat(temperature_K=500.0, coupling_fs=40.0), springs.masses, 0.5)
    seen[:, 1] += 0.002 * torch.randn(n_windows, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    seen[:, 1] -= 0.5 * warm._parts(seen)[1]  # springs of this kind know no rotation
    late = {}
    for name, holding in {"free": None, "held": warm}.items():
        path = chained(springs, seen, dt_fs=0.5, n_blocks=250, held=holding)[:, 1000:]
        late[name] = warm.temperature_K(torch.stack([path[:, :-1], path[:, 1:]], 2).flatten(0, 1)).reshape(
            n_windows, -1
        )
    assert late["free"].mean() < cold
    assert float(late["held"].mean()) == pytest.approx(500, rel=0.06)
    assert float(late["held"].std()) == pytest.approx(500 * np.sqrt(2 / 3), rel=0.15)


class Exploding:
    """Every frame twice as far as the last, one window of several thousand times; refuses what is no number."""

    def forecast(self, window: Window) -> Tensor:
        assert window.history.isfinite().all()
        growth = torch.full((len(window), 1, 1, 1), 2.0)
        growth[1] = 1e30
        return window.history[:, -1:] * growth ** torch.arange(1, 3)[:, None, None]


def test_a_chain_that_runs_away_does_not_stop_the_others():
    seen = histories(3)
    free = chained(Exploding(), seen, dt_fs=0.5, n_blocks=6)
    alone = chained(Exploding(), seen[[0, 0]], dt_fs=0.5, n_blocks=1)
    assert free[[0, 2]].isfinite().all() and free[0].abs().max() > 1e3 and torch.equal(free[0, :2], alone[0])
    assert torch.equal(free[1, 2:], free[1, 1:2].expand(10, -1, -1)), "it stays where it got to"
    assert not (free[1, 1:].abs().amax((1, 2)) < 1e6).any()
    warm = chained(Exploding(), seen, dt_fs=0.5, n_blocks=6, held=held())
    assert warm[[0, 2]].isfinite().all() and torch.equal(warm[1], free[1])


class TestPredict:
    def test_the_first_block_is_free_and_the_rest_is_held(self):
        run, source = tiny_run(), shaken_ethanol()
        thermostat = Thermostat(temperature_K=300.0)
        free = predict(run, source, n_blocks=3)
        made, again = (predict(run, source, n_blocks=3, thermostat=thermostat) for _ in range(2))
        first = TINY.history + TINY.horizon
        assert np.array_equal(made.positions[:first], free.positions[:first])
        assert not np.allclose(made.positions[first:], free.positions[first:], atol=1e-5)
        assert np.array_equal(made.positions, again.positions)
        assert made.provenance["thermostat"] == {"temperature_K": 300.0, "coupling_fs": 100.0, "seed": 0}
        assert "thermostat" not in free.provenance

    def test_a_single_block_has_nothing_to_hold(self):
        with pytest.raises(InvalidSettings, match="between two horizons"):
            predict(tiny_run(), shaken_ethanol(), thermostat=Thermostat(temperature_K=300.0))


class TestRollouts:
    thermostat = Thermostat(temperature_K=321.0)

    @pytest.fixture
    def test(self):
        return split(shaken_ethanol(), TINY.window_shape()).test

    def test_are_held_from_the_second_block_on(self, test):
        free, held = (
            chains(tiny_run(), test, n_starts=2, n_blocks=2, thermostat=one) for one in (None, self.thermostat)
        )
        second = 1 + TINY.horizon
        assert np.array_equal(free[1][:second], held[1][:second])
        assert not np.allclose(free[1][second:], held[1][second:], atol=1e-5)

    def test_are_judged_by_what_was_asked_for(self, test):
        quality = rollout_quality(Copy(TINY.horizon), test, n_starts=3, n_blocks=2, thermostat=self.thermostat)
        assert {expected for _, expected in quality.temperatures_K.values()} == {321.0}


class TestRefused:
    @pytest.mark.parametrize("name", ["temperature_K", "coupling_fs"])
    @pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
    def test_are_temperatures_and_times_that_are_none(self, name, value):
        with pytest.raises(InvalidSettings, match=f"{name} was"):
            Thermostat(**{"temperature_K": 300.0, name: value})

    def test_are_frames_too_far_apart(self):
        Rescaling(Thermostat(temperature_K=300.0), MASSES, 2.0)
        with pytest.raises(InvalidSettings, match="10 fs apart"):
            Rescaling(Thermostat(temperature_K=300.0), MASSES, 10.0)

    def test_are_atoms_without_internal_motion(self):
        with pytest.raises(InvalidSettings, match="Found 2 atoms"):
            Rescaling(Thermostat(temperature_K=300.0), MASSES[:2], 1.0)

    def test_is_a_history_of_one_frame(self):
        with pytest.raises(InvalidSettings, match="two frames"):
            held()(histories(2)[:, :1], 10.0)

    def test_is_a_periodic_box(self):
        boxed = shaken_ethanol().replace(cell=20 * np.eye(3))
        with pytest.raises(InvalidSettings, match="periodic box"):
            predict(tiny_run(), boxed, n_blocks=2, thermostat=Thermostat(temperature_K=300.0))
