"""The figure of calibration: numbers as given, equal axes with units, and nothing told by colour or picture alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asteroid_nb.metrics.calibration import CalibrationCurve
from asteroid_nb.views.calibration import calibration_curves
from asteroid_nb.views.style import alt_text

HOSTILE = "<script>alert(1)</script>"
GOOD = CalibrationCurve(np.array([0.01, 0.02, 0.04]), np.array([0.012, 0.02, 0.05]), np.array([30, 30, 29]))
EMPTY = CalibrationCurve(np.array([0.0, 0.03]), np.array([0.01, 0.03]), np.array([5, 5]))


@pytest.fixture
def fig():
    return calibration_curves({"ensemble": GOOD, "temperature": EMPTY, HOSTILE: GOOD})


def test_points_are_the_bins_and_say_how_many_they_hold(fig):
    line, first = fig.data[:2]
    np.testing.assert_allclose([first.x, first.y], [GOOD.said, GOOD.found])
    assert list(first.customdata) == [30, 30, 29] and "in the bin" in first.hovertemplate
    np.testing.assert_array_equal(line.x, line.y)
    assert line.x[0] < 0.01 and line.x[1] > 0.05 and "Å" in first.hovertemplate


def test_axes_are_alike_and_name_their_unit(fig):
    across, up = fig.layout.xaxis, fig.layout.yaxis
    assert across.range == up.range and across.type == up.type == "log"
    assert across.title.text == "spread said (Å)" and up.title.text == "RMSE per coordinate found (Å)"


def test_what_cannot_be_shown_is_told(fig):
    assert len(fig.data[2].x) == 1
    assert "temperature: 1 bins of 5 to 5, 0.03 Å said and 0.03 Å found; 1 bins cannot be shown" in alt_text(fig)


def test_the_words_hold_the_ends(fig):
    said = "ensemble: 3 bins of 29 to 30, 0.01 Å said and 0.012 Å found, to 0.04 Å said and 0.05 Å found"
    assert said in alt_text(fig)


def test_curves_differ_by_more_than_colour(fig):
    looks = {(one.line.dash, one.marker.symbol, one.line.width) for one in fig.data[1:]}
    assert len(looks) == 3


def test_names_are_escaped_and_it_can_be_written(fig):
    assert all("<script" not in (one.name or "") for one in fig.data)
    json.loads(fig.to_json())


def test_nothing_at_all_is_a_figure_too():
    nothing = CalibrationCurve(np.zeros(1), np.zeros(1), np.ones(1, dtype=int))
    assert "no bin can be shown" in alt_text(calibration_curves({"ensemble": nothing}))
    assert "No curve" in alt_text(calibration_curves({}))
