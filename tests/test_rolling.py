"""Chained forecasts are judged by what they are: a copy of the truth is perfect, a broken one is seen to break."""

from __future__ import annotations

import numpy as np
import pytest
from trained import shaken_ethanol, tiny_run

import asteroid_nb as anb
from asteroid_nb import rolling
from asteroid_nb.rolling import rollout_quality


def given(monkeypatch, change):
    """Let ``predict`` return the truth, changed."""

    def predict(run, trajectory, *, starts, n_blocks):
        length = run.settings.history + n_blocks * run.settings.horizon
        return [
            trajectory[start : start + length].replace(positions=change(trajectory, start, length)) for start in starts
        ]

    monkeypatch.setattr(rolling, "predict", predict)


def test_the_truth_itself_is_whole_and_as_warm(monkeypatch):
    walker = anb.sample("ethanol")[0][:400]
    given(monkeypatch, lambda trajectory, start, length: trajectory.positions[start : start + length])
    run = tiny_run()
    quality = rollout_quality(run, walker, n_starts=4, n_blocks=4)
    assert np.isinf(quality.stable_fs).all()
    assert quality.distance_mae < 0.6
    own, true = quality.temperatures_K["H"]
    assert own == pytest.approx(true, rel=0.3)


def test_a_bond_pulled_apart_is_timed(monkeypatch):
    walker, run = shaken_ethanol(), tiny_run()

    def pull(trajectory, start, length):
        positions = np.array(trajectory.positions[start : start + length], dtype=float)
        positions[run.settings.history - 1 + 10 :, 3] += 5.0
        return positions[: len(trajectory.positions) - start]

    given(monkeypatch, pull)
    quality = rollout_quality(run, walker[:200], n_starts=1, n_blocks=3)
    assert quality.stable_fs.tolist() == [10.0 * run.dt_fs]
    assert "median breaks after 10 fs" in str(quality)


def test_a_real_rollout_can_be_judged():
    quality = rollout_quality(tiny_run(), shaken_ethanol(), n_starts=3, n_blocks=2)
    assert len(quality.stable_fs) == 3 and set(quality.temperatures_K) <= {"H", "C", "O", "heavy"}
