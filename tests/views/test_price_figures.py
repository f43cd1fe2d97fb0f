"""Figures of notebooks 08 and 09: what is drawn are the numbers given, and the words say the same."""

from __future__ import annotations

import numpy as np
import pytest

from asteroid_nb.metrics.price import Price
from asteroid_nb.metrics.resampling import Interval
from asteroid_nb.views.price import price_over_time, right_against_price
from asteroid_nb.views.style import alt_text
from asteroid_nb.views.throughput import rate_over_batch
from asteroid_nb.views.training import loss_curves

SIMULATION = Price(per_fs_s=0.01)
PRICES = {"<b>mine": Price(once_s=50.0, per_fs_s=0.005), "copy": Price(per_fs_s=1e-9), "MD": SIMULATION}


def named(figure, name):
    (found,) = [one for one in figure.data if one.name.startswith(name) and one.mode == "lines"]
    return found


def test_lines_are_prices_and_the_star_is_where_two_cross():
    fig = price_over_time(PRICES, rival="MD")
    line, (star,) = named(fig, "MD"), [one for one in fig.data if one.mode == "markers"]
    np.testing.assert_allclose(line.y, 0.01 * np.asarray(line.x))
    assert star.x == (pytest.approx(10_000.0),) and star.y == (pytest.approx(100.0),)
    assert star.text == ("&lt;b&gt;mine: cheaper from 10 ps on",)
    assert named(fig, "&lt;b&gt;mine").name.endswith(": cheaper from 10 ps on")
    copied = named(fig, "copy").y
    assert min(copied) < 10 ** fig.layout.yaxis.range[0] < 100, "a copy does not squeeze the rest"
    assert (fig.layout.xaxis.type, fig.layout.yaxis.type) == ("log", "log")
    assert "10 ps" in fig.layout.xaxis.ticktext and 10 ** fig.layout.xaxis.range[1] > 10_000
    assert "<b>mine is cheaper from 10 ps on" in alt_text(fig) and "copy: 0 s once" in alt_text(fig)


def test_what_never_pays_and_what_is_never_right_have_no_star():
    fig = price_over_time({"slow": Price(once_s=1.0, per_fs_s=1.0), "MD": SIMULATION}, rival="MD")
    assert not [one for one in fig.data if one.mode == "markers"]
    assert "slow is never cheaper" in alt_text(fig)
    never = Price(once_s=1.0, per_fs_s=float("inf"))
    assert [one.name for one in price_over_time({"never": never, "MD": SIMULATION}, rival="MD").data] == ["MD"]


def test_nothing_is_held_against_a_simulation_that_nobody_timed():
    fig = price_over_time({"mine": PRICES["<b>mine"]}, rival="MD")
    assert [one.name for one in fig.data] == ["mine"] and "MD" not in alt_text(fig)


def test_each_forecaster_is_a_point_with_its_interval():
    right = {"<b>mine": Interval(25.0, 24.0, 27.0), "copy": Interval(3.0, 2.0, 3.0)}
    fig = right_against_price(right, PRICES, tolerated_ang=0.05, horizon_fs=32.0, simulation=SIMULATION)
    mine, copy = fig.data
    assert (mine.x, mine.y, mine.error_y.array, mine.error_y.arrayminus) == ((0.005,), (25.0,), (2.0,), (1.0,))
    assert copy.y == (3.0,) and mine.marker.symbol != copy.marker.symbol and "<b>" not in mine.name
    assert 0.01 in {line.x0 for line in fig.layout.shapes} and 32.0 in {line.y0 for line in fig.layout.shapes}
    assert "0.05 Å" in fig.layout.yaxis.title.text and "copy: 3 fs at 1e-09 s a fs" in alt_text(fig)
    bare = right_against_price(right, PRICES, tolerated_ang=0.05, horizon_fs=32.0)
    assert len(bare.layout.shapes) == 1 and "Simulating" not in alt_text(bare)


def test_rates_are_drawn_against_batches_with_levels_across():
    rates = {"<b>mine": {1: 1e3, 64: 5e4}, "H100": {64: 1e6, 16384: 8e6}}
    fig = rate_over_batch(rates, levels={"MD": 300.0})
    mine, gpu = fig.data
    assert (mine.x, mine.y) == ((1, 64), (1e3, 5e4)) and (gpu.x, gpu.y) == ((64, 16384), (1e6, 8e6))
    assert list(fig.layout.xaxis.ticktext) == ["1", "64", "16,384"] and fig.layout.shapes[0].y0 == 300.0
    assert 10 ** fig.layout.yaxis.range[0] < 300 and fig.layout.yaxis.title.text.endswith("(fs/s)")
    assert "<b>mine: 1e+03 with 1, 5e+04 with 64 windows" in alt_text(fig) and "MD: 300" in alt_text(fig)


def test_trainings_lie_over_one_another_and_the_largest_gap_is_told():
    one = [{"epoch": n, "train_loss": 1 / n, "validation_loss": 1.0} for n in (1, 2, 3)]
    other = [{**row, "train_loss": row["train_loss"] * (1.01 if row["epoch"] == 2 else 1)} for row in one]
    fig = loss_curves({"<b>one": one, "two": other})
    assert fig.data[0].y == pytest.approx((1, 1 / 2, 1 / 3)) and fig.data[1].y[1] == pytest.approx(0.505)
    assert "0.01" in fig.layout.title.subtitle.text and "0.01" in alt_text(fig)
    assert fig.layout.yaxis.title.text == "train loss (no unit)" and "<b>" not in fig.data[0].name
    validated = loss_curves({"one": one}, key="validation_loss")
    assert validated.data[0].y == (1.0, 1.0, 1.0) and validated.layout.yaxis.title.text.startswith("validation")
