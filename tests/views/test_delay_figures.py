"""The delay matrix as a picture: which cells are known, which frame each stands for, what agrees and what does not."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from asteroid_nb.metrics.delay import along_antidiagonals
from asteroid_nb.views import delay
from asteroid_nb.views.style import alt_text

#: As the models of this package have them, finest and coarsest, and one with frames that no cell holds.
ROWS = {"every frame": (0, 1, 2, 3, 4), "every second": (2, 4, 6), "two": (7, 15), "far apart": (3, 20), "one": (4,)}
COLUMNS = 9


@pytest.fixture(params=list(ROWS.values()), ids=list(ROWS))
def rows(request):
    return np.array(request.param)


def oscillator(rows, columns=COLUMNS):
    """Return what a harmonic oscillator does at the frame each cell stands for."""
    return np.sin((np.asarray(rows)[:, None] + np.arange(columns)) / 2.0)


def drawn(figure, name):
    (found,) = [one for one in figure.data if one.name == name]
    return found


def heat_maps(figure):
    return [one for one in figure.data if one.type == "heatmap"]


def test_a_perfect_forecast_has_neither_spread_nor_error(rows):
    matrix = oscillator(rows)
    figure = delay.delay_matrix(matrix, matrix, rows=rows, dt_fs=0.5, forecast=matrix[-1, 1:])
    for name in ("spread of the cells", "error of their mean", "error of the forecast"):
        values = np.asarray(drawn(figure, name).y)
        np.testing.assert_allclose(values[np.isfinite(values)], 0, atol=1e-12)
    assert not np.any(heat_maps(figure)[2].z)


def test_every_cell_tells_its_frame_and_whether_it_was_seen(rows):
    for heat in heat_maps(delay.delay_matrix(oscillator(rows), oscillator(rows), rows=rows, dt_fs=0.5)):
        for number, row in enumerate(rows):
            for column in range(COLUMNS):
                frame, time, seen = heat.customdata[number][column]
                assert frame == row + column and time == (row + column - rows[-1]) * 0.5
                assert seen == ("seen" if row + column <= rows[-1] else "future")


@pytest.mark.parametrize("columns", [1, 3, 12])
def test_the_staircase_parts_seen_from_future(rows, columns):
    x, y = delay.boundary(rows, columns)
    edge = np.array([x[y == number + 0.5][0] for number in range(len(rows))])
    frames = rows[:, None] + np.arange(columns)
    np.testing.assert_array_equal(np.arange(columns) < edge[:, None], frames <= rows[-1])


def test_the_staircase_is_drawn_in_fs_and_rows_are_named_by_the_time_they_start():
    figure = delay.delay_matrix(oscillator((7, 15)), rows=(7, 15), dt_fs=0.5)
    stairs = [one for one in figure.data if one.type == "scatter" and one.mode == "lines"]
    assert [list(one.x) for one in stairs] == [[4.25, 4.25, 0.25, 0.25]] * 2
    assert list(figure.layout.yaxis.ticktext) == ["−4", "now"] and list(figure.layout.yaxis.tickvals) == [0, 1]
    np.testing.assert_allclose(heat_maps(figure)[0].x, np.arange(COLUMNS) * 0.5)


def test_many_rows_keep_few_ticks_and_the_present_among_them():
    figure = delay.delay_matrix(oscillator(range(100)), dt_fs=1.0)
    assert len(figure.layout.yaxis.tickvals) <= 8 and figure.layout.yaxis.ticktext[-1] == "now"
    assert figure.layout.yaxis.tickvals[-1] == 99


def test_a_shifted_row_shows_where_two_cells_meet():
    """Rows start at −8 and 0 fs: with 9 columns they share the present alone; with 12, 0 to 3 fs."""
    truth = oscillator((7, 15), 12)
    shifted = truth + [[0.1], [0.0]]
    figure = delay.delay_matrix(shifted, truth, rows=(7, 15), dt_fs=1.0)
    spread, error = drawn(figure, "spread of the cells"), drawn(figure, "error of their mean")
    np.testing.assert_array_equal(spread.x, np.arange(-8, 12))
    expected = np.full(20, np.nan)
    expected[8:12] = 0.05
    np.testing.assert_allclose(spread.y, expected)
    np.testing.assert_allclose(error.y, [0.1] * 8 + [0.05] * 4 + [0.0] * 8, atol=1e-12)
    held = [facts[1] for facts in spread.customdata]
    assert held == [1] * 8 + [2] * 4 + [1] * 8
    said = alt_text(figure)
    assert "Two cells or more, at most 2, hold 3 of 11 future frames" in said
    assert "spread of the cells: 0.05 on average, at most 0.05 Å at +" in said


def test_the_forecasts_error_stands_beside_the_matrixs_and_in_the_future_alone(rows):
    truth = oscillator(rows)
    figure = delay.delay_matrix(truth + 0.2, truth, rows=rows, dt_fs=1.0, forecast=truth[-1, 1:] - 0.03)
    line = drawn(figure, "error of the forecast")
    np.testing.assert_allclose(line.x, np.arange(1, COLUMNS))
    np.testing.assert_allclose(line.y, 0.03)
    mean = np.asarray(drawn(figure, "error of their mean").y)
    np.testing.assert_allclose(mean[np.isfinite(mean)], 0.2)


def test_the_difference_is_prediction_minus_truth_and_its_colours_are_symmetric():
    truth = oscillator((7, 15))
    figure = delay.delay_matrix(truth + 0.1, truth, rows=(7, 15), dt_fs=1.0)
    prediction, true, difference = heat_maps(figure)
    np.testing.assert_allclose(difference.z, np.asarray(prediction.z) - np.asarray(true.z))
    assert figure.layout.coloraxis2.cmax == -figure.layout.coloraxis2.cmin == pytest.approx(0.1)
    both = np.concatenate([truth + 0.1, truth])
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (both.min(), both.max())


@pytest.mark.parametrize("known", [True, False])
def test_the_browser_is_told_where_rows_start_and_which_axis_is_time(rows, known):
    truth = oscillator(rows) if known else None
    figure = delay.delay_matrix(oscillator(rows), truth, rows=rows, dt_fs=0.5)
    time_axis = "x4" if known else "x2"
    assert figure.layout.meta["time_axes"] == [time_axis]
    assert drawn(figure, "spread of the cells").xaxis == time_axis
    panels = figure.layout.meta["delays"]
    assert [(one["xref"], one["yref"]) for one in panels] == [(one.xaxis, one.yaxis) for one in heat_maps(figure)]
    for panel, heat in zip(panels, heat_maps(figure), strict=True):
        times = np.array(panel["starts_fs"])[:, None] + np.asarray(heat.x)
        np.testing.assert_allclose(times, [[facts[1] for facts in row] for row in heat.customdata])
        assert panel["longest_fs"] == heat.x[-1] and panel["dt_fs"] == 0.5
    assert alt_text(figure) and json.loads(figure.to_json())


def test_what_is_not_finite_is_left_out_and_said():
    matrix = oscillator((7, 15))
    matrix[0, 3], matrix[1, 2] = np.inf, np.nan
    figure = delay.delay_matrix(matrix, oscillator((7, 15)), rows=(7, 15), dt_fs=1.0)
    assert "2 cells are not finite" in alt_text(figure)
    assert np.isfinite([figure.layout.coloraxis.cmin, figure.layout.coloraxis2.cmax]).all()
    with pytest.raises(ValueError, match="nothing but NaN"):
        delay.delay_matrix(np.full((2, 3), np.nan), dt_fs=1.0)


def test_what_does_not_fit_is_refused():
    matrix = oscillator((7, 15))
    with pytest.raises(ValueError, match=r"\(2, 9\) and \(2, 8\)"):
        delay.delay_matrix(matrix, matrix[:, 1:], dt_fs=1.0)
    for rows in ((7,), (7, 7), (15, 7)):
        with pytest.raises(ValueError, match="needed are 2 rising frames"):
            delay.delay_matrix(matrix, rows=rows, dt_fs=1.0)
    with pytest.raises(ValueError, match=r"\(9,\).*each of 8 frames"):
        delay.delay_matrix(matrix, matrix, dt_fs=1.0, forecast=np.zeros(9))


def test_spread_is_the_standard_deviation_of_what_should_agree():
    cells = along_antidiagonals(np.array([[0.0, 1, 5], [3, 7, 2]]))
    np.testing.assert_array_equal(cells.frames, [0, 1, 2, 3])
    np.testing.assert_allclose(cells.means, [0, 2, 6, 2])
    np.testing.assert_allclose(cells.spread, [np.nan, 1, 1, np.nan])
    np.testing.assert_array_equal(cells.counts, [1, 2, 2, 1])


def test_frames_between_rows_that_no_cell_holds_have_no_mean():
    cells = along_antidiagonals(np.array([[1.0, 2.0], [5.0, np.inf]]), (3, 7))
    np.testing.assert_array_equal(cells.frames, [3, 4, 5, 6, 7, 8])
    np.testing.assert_allclose(cells.means, [1, 2, np.nan, np.nan, 5, np.nan])
    np.testing.assert_array_equal(cells.counts, [1, 1, 0, 0, 1, 0])


def test_words_stand_alone():
    said = delay.agreement(oscillator((0, 2), 4) + [[0.2], [0.0]], rows=(0, 2), dt_fs=2.0)
    assert said == (
        "Two cells or more, at most 2, hold 1 of 3 future frames; "
        "spread of the cells: 0.1 on average, at most 0.1 Å at +2 fs."
    )


def test_a_refilled_figure_is_the_one_that_would_be_drawn_anew():
    rng = np.random.default_rng(5)
    matrices = [
        {"predicted": rng.normal(size=(2, 9)), "truth": rng.normal(size=(2, 9)), "forecast": rng.normal(size=8)}
        for _ in range(2)
    ]
    matrices[1]["predicted"][0, 3] = np.nan
    common = {"dt_fs": 0.5, "rows": (3, 7)}
    first, second = (json.loads(delay.delay_matrix(**one, **common, what="C1, x").to_json()) for one in matrices)
    refilled = delay.refilled(first, **matrices[1], **common, what="C1, x")
    for own, anew in zip(refilled["data"], second["data"], strict=True):
        for axis in ("z", "y"):
            if axis in anew:
                assert_allclose(as_floats(own[axis]), as_floats(anew[axis]), atol=6e-5)
    assert refilled["layout"]["meta"]["alt"] == second["layout"]["meta"]["alt"]
    for axis in ("coloraxis", "coloraxis2"):
        assert refilled["layout"][axis] == second["layout"][axis]
    assert delay.refilled(first, **matrices[1], **common, what="<b>")["layout"]["title"]["text"].endswith("&lt;b&gt;")


def as_floats(values) -> np.ndarray:
    if isinstance(values, dict):
        shape = [int(size) for size in str(values.get("shape", "-1")).split(",")]
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).reshape(shape)
    return np.array(values, dtype=float)
