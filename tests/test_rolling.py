"""Chained forecasts are judged by what they are: a copy of the truth is perfect, a broken one is seen to break."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trained import shaken_ethanol, tiny_run

import asteroid_nb as anb
from asteroid_nb import rolling
from asteroid_nb.data.splits import split
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.forecast.baselines import ConstantVelocity, Copy
from asteroid_nb.rolling import judge, rollout_quality


def given(monkeypatch, change):
    """Let the rollout be the truth, changed: each row of what was seen is found again in the trajectory."""

    def chained(run, seen, *, dt_fs, n_blocks, held):
        walker, length = shown["walker"], n_blocks * run.settings.horizon
        last = seen[:, -1].numpy()
        at = [int(np.abs(walker.positions - frame).sum((1, 2)).argmin()) for frame in last]
        true = np.stack([walker.positions[start + 1 : start + 1 + length] for start in at])
        return torch.from_numpy(change(true.astype(float)))

    shown = {}
    monkeypatch.setattr(rolling, "chained", chained)
    return shown


def windows(run, walker, n_frames):
    """Return windows early enough for a whole rollout to have its truth."""
    return Windows([walker[:n_frames]], run.settings.window_shape())


def test_the_truth_itself_is_whole_and_as_warm(monkeypatch):
    run, walker = tiny_run(), anb.sample("ethanol")[0][:400]
    given(monkeypatch, lambda true: true)["walker"] = walker
    quality = rollout_quality(run, windows(run, walker, 300), n_starts=4, n_blocks=4)
    assert np.isinf(quality.stable_fs).all()
    assert quality.distance_mae < 0.6
    own, true = quality.temperatures_K["H"]
    assert own == pytest.approx(true, rel=0.3)


def test_a_bond_pulled_apart_is_timed(monkeypatch):
    run, walker = tiny_run(), shaken_ethanol()

    def pull(true):
        true[:, 9:, 3] += 5.0  # the tenth frame after the present
        return true

    given(monkeypatch, pull)["walker"] = walker
    quality = rollout_quality(run, windows(run, walker, 100), n_starts=1, n_blocks=3)
    assert quality.stable_fs.tolist() == [10.0 * run.dt_fs]
    assert "median breaks after 10 fs" in str(quality)


@pytest.mark.parametrize(("atom", "ang", "stable"), [(3, 5.0, True), (3, 12.0, False), (4, 5.0, False)])
def test_a_bond_that_the_truth_breaks_may_go_as_far_as_there(monkeypatch, atom, ang, stable):
    run, walker = tiny_run(), shaken_ethanol()
    positions = walker.positions.copy()
    positions[40:60, 3] += 5.0  # of a hydrogen
    leaving = walker.replace(positions=positions, forces=None, energies=None)

    def pull(true):
        true[:, 9:, atom] += ang
        return true

    given(monkeypatch, pull)["walker"] = leaving
    quality = rollout_quality(run, windows(run, leaving, 100), n_starts=1, n_blocks=3)
    assert quality.n_loose == 1 and "but for 1 that the truth itself breaks" in str(quality)
    assert quality.stable_fs.tolist() == [np.inf if stable else 10.0 * run.dt_fs]


def test_frames_outside_the_windows_are_not_looked_at():
    run, walker = tiny_run(), shaken_ethanol()
    test = split(walker, run.settings.window_shape()).test
    spoiled = np.array(walker.positions)
    spoiled[: int(test.starts[:, 1].min())] += np.random.default_rng(0).normal(size=(1, 9, 3))
    other = Windows([walker.replace(positions=spoiled)], test.shape, starts=test.starts)
    one, two = (rollout_quality(run, each, n_starts=3, n_blocks=2) for each in (test, other))
    assert one.distance_mae == two.distance_mae and one.temperatures_K == two.temperatures_K


def test_a_real_rollout_can_be_judged():
    run = tiny_run()
    quality = rollout_quality(run, windows(run, shaken_ethanol(), 200), n_starts=3, n_blocks=2)
    assert len(quality.stable_fs) == 3 and set(quality.temperatures_K) <= {"H", "C", "O", "heavy"}


def test_no_median_is_told_where_most_stay_whole():
    said = str(
        rolling.RolloutQuality(
            length_fs=64.0, stable_fs=np.array([np.inf, np.inf, 8.0]), distance_mae=0.1, temperatures_K={}
        )
    )
    assert "2 stay whole" in said and "inf" not in said


class TestJudging:
    """Paths that are the truth, its vibrations faster, warmer, or turned about a bond."""

    walker = anb.sample("ethanol")[0]
    windows = Windows([walker], WindowShape(history=8, horizon=8))

    def path(self, first=0, n_frames=1600) -> np.ndarray:
        return np.asarray(self.walker.positions[first : first + n_frames], dtype=float)

    def test_the_truth_moves_like_itself(self):
        quality = judge([np.asarray(self.walker.positions, dtype=float)], self.windows)
        assert quality.n_whole == 1 and len(quality.peaks_per_cm) > 3
        assert quality.furthest_peak_per_cm == pytest.approx(0, abs=1e-6)
        assert quality.temperature_off == pytest.approx(0, abs=1e-6)
        assert quality.torsion_js.max() == pytest.approx(0, abs=1e-6)

    def test_faster_vibrations_are_seen_in_peaks_and_temperatures(self):
        skipping = np.asarray(self.walker.positions[::2], dtype=float)
        quality = judge([np.concatenate([skipping, skipping[::-1]])], self.windows)
        assert quality.furthest_peak_per_cm > 20
        assert quality.temperature_off > 1.0

    def test_peaks_that_both_halves_of_the_truth_show_are_told_apart(self):
        """The second half of the truth vibrates twice as fast, so that nearly no peak is in both."""
        early, late = self.path(n_frames=1500), np.asarray(self.walker.positions[:3000:2], dtype=float)
        changed = self.walker.replace(
            positions=np.concatenate([early, late]), velocities=None, forces=None, energies=None
        )
        paths = [self.path()]
        alike, unlike = (
            judge(paths, Windows([walker], WindowShape(history=8, horizon=8))) for walker in (self.walker, changed)
        )
        share = [np.mean(quality.shown_twice) for quality in (alike, unlike)]
        assert share[0] > share[1] and len(unlike.shown_twice) == len(unlike.peaks_per_cm)
        off = [
            abs(own - true) for (true, own), twice in zip(alike.peaks_per_cm, alike.shown_twice, strict=True) if twice
        ]
        assert alike.furthest_repeated_per_cm == max(off) <= alike.furthest_peak_per_cm

    def test_paths_of_unequal_length_have_a_spectrum(self):
        truth = [self.walker[:1500], self.walker[:3000]]
        quality = judge([self.path()], Windows(truth, WindowShape(history=8, horizon=8)))
        assert len(quality.peaks_per_cm) == len(quality.shown_twice) > 3

    def test_a_turned_torsion_is_seen(self):
        turned = self.path()
        turned[:, :, 0] *= -1
        assert judge([turned], self.windows).torsion_js.max() > 0.1

    def test_short_or_broken_chains_have_no_spectrum(self):
        assert judge([self.path(n_frames=100)], self.windows).peaks_per_cm == ()
        broken = self.path()
        broken[50:, 0] += 9.0
        quality = judge([broken], self.windows)
        assert quality.peaks_per_cm == () and np.isnan(quality.furthest_peak_per_cm) and quality.n_whole == 0
        assert np.isnan(quality.furthest_repeated_per_cm)


def test_rivals_are_judged_like_runs():
    walker = shaken_ethanol()
    shape = WindowShape(history=8, horizon=8)
    still, flying = (
        rollout_quality(rival(shape.horizon), Windows([walker], shape), n_starts=3, n_blocks=2)
        for rival in (Copy, ConstantVelocity)
    )
    assert np.isinf(still.stable_fs).all() and still.temperatures_K["H"][0] == pytest.approx(0, abs=1e-6)
    assert still.length_fs == flying.length_fs == 16
    assert flying.temperatures_K["H"][0] > 0
