"""Figures of notebooks 03 and 04: what is drawn are the numbers given, and the words say the same."""

from __future__ import annotations

import numpy as np
import pytest

from asteroid_nb.metrics.attention import rank_agreement
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.views.causes import error_against, medians_of_groups
from asteroid_nb.views.influence import effect_against_attention, pair_maps
from asteroid_nb.views.style import alt_text
from asteroid_nb.views.survival import whole_over_time

DRAW = np.random.default_rng(5)
LABELS = ("C1", "O1", "H1", "H2")


@pytest.fixture
def table() -> ErrorTable:
    truth = np.zeros((40, 6, 4, 3))
    noise = DRAW.normal(size=truth.shape) * np.linspace(0.01, 0.4, 40)[:, None, None, None]
    return ErrorTable.of({"<b>mine": noise, "copy": 2 * noise}, truth, dt_fs=1.0)


def test_each_window_is_a_point_and_medians_rise_with_the_cause(table):
    values = np.arange(40.0)
    fig = error_against(table, "<b>mine", values, what="turn", unit="°", rival="copy")
    points, own, rival = fig.data
    np.testing.assert_allclose(points.y, table.per_window("<b>mine").mean(1))
    np.testing.assert_array_equal(points.customdata, np.arange(40))
    assert (np.diff(own.y) > 0).all() and own.y[-1] > 5 * own.y[0]
    np.testing.assert_allclose(rival.y, 2 * np.asarray(own.y), rtol=1e-5)
    assert "<b>" not in own.name and "in the highest" in alt_text(fig)
    with pytest.raises(ValueError, match="one for each of 40 windows"):
        error_against(table, "copy", values[:-1], what="turn")


def test_groups_are_equally_filled():
    x, y = medians_of_groups(np.array([3.0, 1, 2, 5, 4, 6]), np.array([30.0, 10, 20, 50, 40, 60]), 3)
    np.testing.assert_allclose((x, y), ([1.5, 3.5, 5.5], [15, 35, 55]))


def test_chains_fall_when_a_bond_breaks_and_stay_at_those_that_never_do():
    fig = whole_over_time({"mine": np.array([30.0, 10.0, np.inf, 30.0]), "copy": np.full(4, np.inf)}, length_fs=50)
    drawn = {trace.name: trace for trace in fig.data}
    np.testing.assert_allclose(drawn["mine"].x, [0, 10, 30, 30, 50])
    np.testing.assert_allclose(drawn["mine"].y, [1, 0.75, 0.5, 0.25, 0.25])
    np.testing.assert_allclose(drawn["copy"].y, [1, 1])
    assert "mine 30 fs" in alt_text(fig) and "copy not within 50 fs" in alt_text(fig)
    assert fig.data[-1].name == "mine"


def test_maps_leave_the_diagonal_blank_and_end_at_one():
    maps = {"attention": DRAW.random((4, 4)) + 9 * np.eye(4), "unseen (Å)": DRAW.random((4, 4))}
    fig = pair_maps(maps, LABELS)
    for trace, values in zip(fig.data, maps.values(), strict=True):
        assert np.isnan(np.diag(trace.z)).all()
        assert np.nanmax(trace.z) == 1
        off = ~np.eye(4, dtype=bool)
        np.testing.assert_allclose(np.asarray(trace.customdata)[off], values[off])
    assert "largest for" in alt_text(fig)


def test_pairs_are_drawn_once_each_with_their_rank_correlation():
    attention, effect = DRAW.random((2, 4, 4))
    bonded = np.zeros((4, 4), dtype=bool)
    bonded[0, 1] = bonded[1, 0] = True
    fig = effect_against_attention(attention, effect, LABELS, bonded=bonded, what="not being seen")
    other, near = fig.data
    assert len(other.x) == 10 and len(near.x) == 2
    assert set(near.text) == {"C1 from O1", "O1 from C1"}
    assert near.y[list(near.text).index("C1 from O1")] == effect[0, 1]
    assert f"{rank_agreement(attention, effect):.2f}" in fig.layout.title.subtitle.text
