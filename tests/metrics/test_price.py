"""Prices: what is made once has to be earned back, and a forecast that is never right costs without end."""

from __future__ import annotations

import numpy as np
import pytest

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.metrics.price import Price

SIMULATION = Price(per_fs_s=0.01)


@pytest.mark.parametrize(("once_s", "per_fs_s"), [(60.0, 0.001), (0.5, 0.0099), (1e4, 0.0)])
def test_both_take_the_same_where_it_is_earned_back(once_s, per_fs_s):
    made = Price(once_s=once_s, per_fs_s=per_fs_s)
    length = made.earned_back_fs(SIMULATION)
    assert made.seconds(length) == pytest.approx(SIMULATION.seconds(length))
    assert made.seconds(0.9 * length) > SIMULATION.seconds(0.9 * length)
    assert made.seconds(1.1 * length) < SIMULATION.seconds(1.1 * length)


def test_what_is_slower_never_pays_and_what_is_free_always_does():
    assert Price(once_s=1.0, per_fs_s=0.02).earned_back_fs(SIMULATION) == np.inf
    assert Price(once_s=1.0, per_fs_s=0.01).earned_back_fs(SIMULATION) == np.inf
    assert Price(per_fs_s=0.001).earned_back_fs(SIMULATION) == 0.0
    assert SIMULATION.earned_back_fs(SIMULATION.after(5.0)) == 0.0


def test_histories_are_paid_for_and_only_what_is_right_counts():
    forecast = Price(once_s=60.0, per_fs_s=0.001)
    useful = forecast.of_what_is_right(SIMULATION, history_fs=16, horizon_fs=32, right_for_fs=24)
    assert useful.once_s == 60.0
    assert 24 * useful.per_fs_s == pytest.approx(16 * 0.01 + 32 * 0.001)
    free = Price(per_fs_s=0.0).of_what_is_right(SIMULATION, history_fs=16, horizon_fs=32, right_for_fs=8)
    assert free.earned_back_fs(SIMULATION) == np.inf, "right for less than it must see: simulating is cheaper"


def test_a_forecast_that_is_never_right_is_worth_nothing():
    useless = Price(per_fs_s=0.0).of_what_is_right(SIMULATION, history_fs=16, horizon_fs=32, right_for_fs=0.0)
    assert useless.per_fs_s == np.inf and useless.earned_back_fs(SIMULATION) == np.inf


@pytest.mark.parametrize("wrong", [-1.0, float("nan")])
def test_seconds_are_not_negative(wrong):
    with pytest.raises(InvalidSettings, match="per_fs_s was .*; seconds must be 0 or more"):
        Price(per_fs_s=wrong)
