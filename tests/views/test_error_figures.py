"""Errors over the horizon, by window and by atom: what is drawn is what the table says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.views import horizon, per_atom, worst_windows
from asteroid_nb.views.style import alt_text
from asteroid_nb.views.worst_windows import window_in_words, windows_in_order

LABELS = ("C1", "O1", "H1", "H2")


def error_table(n_windows: int = 30) -> ErrorTable:
    leads = np.arange(1, 9)
    noise = np.random.default_rng(0).normal(size=(n_windows, 8, 4, 3))
    growth = {
        "model": 0.001 * leads**2,
        "copy": 0.02 * leads,
        "mean of history": np.full(8, 0.03),
        "AR(9)": 0.002 * leads,
    }
    forecasts = {name: noise * size[:, None, None] for name, size in growth.items()}
    walkers, starts = np.arange(n_windows) % 3, np.arange(n_windows) * 10
    return ErrorTable.of(forecasts, np.zeros_like(noise), dt_fs=2.0, atom_labels=LABELS, walkers=walkers, starts=starts)


@pytest.fixture
def table() -> ErrorTable:
    return error_table()


def trace(figure, name):
    (found,) = [one for one in figure.data if one.name == name]
    return found


def test_every_forecaster_is_drawn_whole(table):
    figure = horizon.error_over_horizon(table, measure="mae")
    for name in table.names:
        drawn = trace(figure, name)
        np.testing.assert_allclose(drawn.y, table.mae(name))
        np.testing.assert_allclose(drawn.x, [2, 4, 6, 8, 10, 12, 14, 16])
        assert list(drawn.customdata) == list(range(8))
    widths = {one.name: one.line.width for one in figure.data}
    assert widths["model"] > widths["copy"]
    assert figure.layout.yaxis.title.text == "mean absolute error per coordinate (Å)"


def test_the_band_is_the_percentiles_over_windows_around_their_median(table):
    median, low, high = table.band("model")
    figure = horizon.error_over_horizon(table)
    np.testing.assert_allclose(trace(figure, "10–90 % of windows").y, [*high, *low[::-1]])
    np.testing.assert_allclose(trace(figure, "median of windows").y, median)
    assert len(horizon.error_over_horizon(table, band=False).data) == len(table.names)
    two = horizon.error_over_horizon(table, forecasters=["AR(9)", "model"])
    assert trace(two, "AR(9), median of windows") and trace(two, "model, 10–90 % of windows")


def test_the_chosen_window_is_drawn_thin_and_solid(table):
    figure = horizon.error_over_horizon(table, measure="ade", window=17)
    drawn = trace(figure, "window 17")
    np.testing.assert_allclose(drawn.y, table.per_window("model", "ade")[17])
    assert drawn.line.dash is None and drawn.line.width < trace(figure, "model").line.width


def test_the_scale_switches_both_ways_unless_the_panel_does_it(table):
    for log in (False, True):
        figure = horizon.error_over_horizon(table, log=log)
        assert figure.layout.yaxis.type == ("log" if log else "linear")
        (menu,) = figure.layout.updatemenus
        assert [button.args[0]["yaxis.type"] for button in menu.buttons] == ["linear", "log"]
        assert menu.active == int(log)
        assert not horizon.error_over_horizon(table, log=log, compact=True).layout.updatemenus


def test_the_vibrational_memory_is_marked_where_skill_ends(table):
    # 0.001 k² crosses 0.03 between k = 5 and 6, and frames are 2 fs apart.
    figure = horizon.error_over_horizon(table)
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [12.0]
    assert figure.layout.annotations[-1].text == "memory 12 fs" and "from 12 fs" in alt_text(figure)
    lasting = horizon.error_over_horizon(table, forecasters=["AR(9)"])
    assert not lasting.layout.shapes and lasting.layout.annotations[0].text == "memory over 16 fs →"
    assert not horizon.error_over_horizon(table, forecasters=["mean of history"]).layout.shapes


def test_the_mark_of_the_moment_is_not_the_mark_of_the_memory(table):
    # plot.js marks the frame by a dotted line of the main colour.
    (memory,) = [shape for shape in horizon.error_over_horizon(table).layout.shapes if shape.x0 == shape.x1]
    assert memory.line.dash == "longdash"


def test_axes_stay_where_a_mark_in_the_history_would_stretch_them(table):
    assert horizon.error_over_horizon(table).layout.xaxis.range == (0, 1.02 * 16)
    heat = worst_windows.error_heatmap(table, "copy").layout
    assert heat.xaxis.range == (1, 17) and heat.yaxis.range == (29.5, -0.5)
    assert per_atom.per_atom_bars(table, "copy", 4.0).layout.xaxis.range == (-0.5, 3.5)


@pytest.mark.parametrize("order", ["start", "worst"])
def test_the_heat_map_leads_back_to_the_window(table, order):
    (heat,) = worst_windows.error_heatmap(table, "copy", order=order).data
    windows, walkers, starts = np.asarray(heat.customdata)[:, 3].T
    np.testing.assert_allclose(heat.z, table.per_window("copy")[windows], rtol=1e-6)
    np.testing.assert_array_equal([walkers, starts], [table.walkers[windows], table.starts[windows]])
    if order == "start":
        assert list(walkers) == sorted(table.walkers)


def test_the_worst_window_is_worst_on_average_and_what_is_no_number_is_worse(table):
    averages = table.per_window("copy").mean(axis=1)
    assert windows_in_order(table, "copy", order="worst").tolist() == np.argsort(-averages).tolist()
    assert f"worst window is number {averages.argmax()} " in alt_text(worst_windows.error_heatmap(table, "copy"))
    table.squared["copy"][8, 2] = np.nan
    assert windows_in_order(table, "copy", order="worst")[0] == 8
    with pytest.raises(ValueError, match=r"'random'.*start, worst"):
        windows_in_order(table, "copy", order="random")  # type: ignore[arg-type]


def test_walkers_are_named_where_their_windows_begin(table):
    axis = worst_windows.error_heatmap(table, "copy").layout.yaxis
    assert dict(zip(axis.tickvals, axis.ticktext, strict=True)) == {0: "walker 0", 10: "walker 1", 20: "walker 2"}
    assert worst_windows.error_heatmap(table, "copy", order="worst").layout.yaxis.tickvals is None


@pytest.mark.parametrize("order", ["start", "worst"])
def test_the_outlined_row_is_that_of_the_chosen_window(table, order):
    figure = worst_windows.error_heatmap(table, "copy", order=order, window=17)
    (outline,) = figure.layout.shapes
    row = int((outline.y0 + outline.y1) / 2)
    assert np.asarray(figure.data[0].customdata)[row, 0, 0] == 17 and outline.y1 - outline.y0 == 1


def test_cells_travel_in_few_bytes():
    assert np.asarray(worst_windows.error_heatmap(error_table(200), "copy").data[0].customdata).dtype.itemsize == 2
    assert worst_windows.error_heatmap(error_table(200), "copy").data[0].z.dtype == np.float32


def test_bars_stand_at_the_nearest_lead_time(table):
    bars, rival, window = per_atom.per_atom_bars(table, "AR(9)", 8.9, rival="copy", window=5, measure="mae").data
    np.testing.assert_allclose(bars.y, table.per_atom("AR(9)", "mae")[3])
    np.testing.assert_allclose(rival.y, table.per_atom("copy", "mae")[3])
    np.testing.assert_allclose(window.y, table.absolute["AR(9)"][5, 3] / 3, rtol=1e-6)
    assert list(bars.customdata) == [0, 1, 2, 3] and window.name == "window 5"


def test_of_many_atoms_the_worst_are_told_and_labels_do_not_overlap():
    errors = np.random.default_rng(0).normal(size=(5, 2, 900, 3))
    table = ErrorTable.of({"model": errors}, np.zeros_like(errors), dt_fs=1.0)
    figure = per_atom.per_atom_bars(table, "model", 2.0)
    worst = table.per_atom("model")[1].argsort()[::-1][:12]
    told = re.findall(r"(atom \d+) ", alt_text(figure))
    assert told == [f"atom {atom}" for atom in worst] and "888 atoms with less" in alt_text(figure)
    assert len(figure.layout.xaxis.tickvals) <= 30 and len(figure.data[0].y) == 900


def test_a_window_in_words(table):
    table.squared["model"][:, 3] = (3 * np.arange(1, 31) ** 2)[:, None]
    table.squared["copy"][:, 3] = 12.0
    words = window_in_words(table, "model", 4, 3, rival="copy")
    assert words == (
        "Window 4: walker 1 from frame 40. At 8 fs: RMSE 5 Å, 2.5 × copy, worse than 14 % of the other windows."
    )
    assert window_in_words(table, "model", 4, None) == (
        "Window 4: walker 1 from frame 40. This moment is the history, which was given: no error yet."
    )


def test_a_rival_without_error_is_infinitely_better(table):
    table.squared["copy"][:, 3] = 0
    assert "inf × copy" in window_in_words(table, "model", 4, 3, rival="copy")
    table.squared["model"][:, 3] = 0
    assert "1 × copy" in window_in_words(table, "model", 4, 3, rival="copy")
