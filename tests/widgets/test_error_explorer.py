"""The error explorer: one choice, shown by three figures, by words and by controls; told once to whoever asked."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import pytest
from error_tables import NAMES, error_table
from traitlets import TraitError
from vibrating import vibrating_ethanol

from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.widgets import error_explorer
from asteroid_nb.widgets.compare import compare
from asteroid_nb.widgets.error_explorer import ErrorExplorer, explore_errors
from asteroid_nb.widgets.parts import _parts
from asteroid_nb.widgets.plot import Plot, PlotlyLibrary, library


@pytest.fixture
def table() -> ErrorTable:
    return error_table()


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def explorer(table, told):
    made = ErrorExplorer(table, on_window=told.append)
    made.moment.pause_s = 0
    yield made
    made.close()


def drawn(plot: Plot) -> dict:
    return json.loads(plot.figure)


def decoded(array) -> np.ndarray:
    """Return what plotly packed."""
    if isinstance(array, list):
        return np.asarray(array)
    flat = np.frombuffer(base64.b64decode(array["bdata"]), dtype=np.dtype(array["dtype"]))
    return flat.reshape([int(size) for size in str(array.get("shape", len(flat))).split(",")])


def heat_rows(explorer: ErrorExplorer) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of the map, [rows, leads], and each row's window."""
    (heat,) = drawn(explorer.map)["data"]
    return decoded(heat["z"]), decoded(heat["customdata"])[:, 0, 0]


def click(plot: Plot, **point) -> None:
    """Do what the browser does when a point is clicked."""
    plot.clicked = {"count": plot.clicked.get("count", 0) + 1, **point}


def outlined_row(explorer: ErrorExplorer) -> int:
    (shape,) = drawn(explorer.map)["layout"]["shapes"]
    assert shape["y1"] - shape["y0"] == 1
    return int((shape["y0"] + shape["y1"]) / 2)


def trace(plot: Plot, name: str) -> dict:
    (found,) = [one for one in drawn(plot)["data"] if one["name"] == name]
    return found


@pytest.mark.parametrize("order", ["start", "worst"])
@pytest.mark.parametrize("measure", ["rmse", "ade"])
def test_each_row_of_the_map_holds_the_window_it_names(explorer, table, order, measure):
    explorer.controls.rows.value, explorer.controls.measure.value = order, measure
    values, windows = heat_rows(explorer)
    assert sorted(windows) == list(range(table.n_windows))
    np.testing.assert_allclose(values, table.per_window("model", measure)[windows], rtol=1e-6)
    if order == "worst":
        assert (np.diff(values.mean(axis=1)) <= 0).all()
    else:
        assert (np.diff(1000 * table.walkers[windows] + table.starts[windows]) > 0).all()


@pytest.mark.parametrize("order", ["start", "worst"])
def test_a_clicked_cell_chooses_the_window_of_its_row_and_outlines_it(explorer, told, order):
    explorer.controls.rows.value = order
    _, windows = heat_rows(explorer)
    for row in (3, 0, 11):
        click(explorer.map, x=4.0, y=row, customdata=[int(windows[row]), 0, 0])
        assert explorer.window == windows[row] and outlined_row(explorer) == row
        assert told[-1] == windows[row]
    assert len(told) == 3


def test_the_chosen_window_is_told_once_however_it_is_chosen(explorer, table, told):
    assert told == []
    explorer.window = 5
    explorer.controls.rows.value = "worst"
    click(explorer.map, x=4.0, y=0, customdata=[5, 0, 0])
    assert told == [5]
    order = np.lexsort((table.starts, table.walkers))
    for place in (2, 7):
        explorer.controls.place.value = place
        assert explorer.window == order[place] and told[-1] == order[place]
    averages = table.per_window("model").mean(axis=1)
    for name, expected in (("best", averages.argmin()), ("worst", averages.argmax())):
        explorer.controls.window.value = name
        assert explorer.window == expected == told[-1]
    assert len(told) == 5


def test_the_controls_say_what_is_chosen(explorer, table):
    averages = table.per_window("model").mean(axis=1)
    order = np.lexsort((table.starts, table.walkers))
    for window in (*range(table.n_windows), int(averages.argmax())):
        explorer.window = window
        assert order[explorer.controls.place.value] == window
        rank = int((averages > averages[window]).sum())
        assert explorer.controls.window.value == {0: "worst", 6: "median", 11: "best"}.get(rank, "chosen")


def test_the_curve_of_the_chosen_window_is_drawn(explorer, table):
    explorer.window = 4
    np.testing.assert_allclose(decoded(trace(explorer.curves, "window 4")["y"]), table.per_window("model")[4])
    explorer.controls.forecaster.value = "ridge"
    np.testing.assert_allclose(decoded(trace(explorer.curves, "window 4")["y"]), table.per_window("ridge")[4])


def test_an_error_of_the_callback_is_shown_and_raised_and_hides_nothing(table):
    wanted: list[int] = []

    def load(window: int) -> None:
        wanted.append(window)
        if len(wanted) == 1:
            raise FileNotFoundError(f"walker <{window}> is gone")

    explorer = ErrorExplorer(table, on_window=load)
    explorer.moment.pause_s = 0
    with pytest.raises(FileNotFoundError):
        explorer.window = 7
    shown = explorer.errors.value
    assert "FileNotFoundError" in shown and "walker &lt;7&gt; is gone" in shown
    assert "Window 7:" in explorer.words.value and explorer.window == 7
    explorer.frame = 2
    explorer.controls.measure.value = "mae"
    assert explorer.errors.value == shown, "other callbacks succeed, and the window still could not be loaded"
    click(explorer.map, x=4.0, y=0, customdata=[7, 0, 0])
    assert wanted == [7, 7] and explorer.errors.value == ""


def test_an_error_while_drawing_is_shown(explorer, monkeypatch):
    monkeypatch.setattr(error_explorer, "per_atom_bars", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explorer.frame = 2
    assert "ZeroDivisionError" in explorer.errors.value


@pytest.mark.parametrize("measure", ["rmse", "mae", "ade"])
def test_the_measure_changes_figures_and_words(explorer, table, measure):
    explorer.controls.measure.value = measure
    explorer.window, explorer.frame = 3, 5
    np.testing.assert_allclose(decoded(trace(explorer.curves, "model")["y"]), table.by_lead("model", measure))
    values, windows = heat_rows(explorer)
    np.testing.assert_allclose(values[windows == 3][0], table.per_window("model", measure)[3], rtol=1e-6)
    np.testing.assert_allclose(decoded(trace(explorer.bars, "model")["y"]), table.per_atom("model", measure)[5])
    own, rival = (table.per_window(name, measure)[3, 5] for name in ("model", "copy"))
    share = (table.per_window("model", measure)[:, 5] < own).sum() / 11
    expected = f"At 12 fs: {measure.upper()} {own:.3g} Å, {own / rival:.3g} × copy, worse than {100 * share:.0f} % of"
    assert expected in explorer.words.value
    where = f"Window 3: walker {table.walkers[3]} from frame {table.starts[3]}."
    assert where in explorer.words.value


def test_the_bars_follow_the_frame_and_mark_the_rival(explorer, table):
    explorer.window = 2
    for lead in (6, 0):
        explorer.frame = explorer.frame_of(lead)
        for name in ("model", "copy"):
            np.testing.assert_allclose(decoded(trace(explorer.bars, name)["y"]), table.per_atom(name)[lead])
        own = table.per_atom("model", windows=slice(2, 3))[lead]
        np.testing.assert_allclose(decoded(trace(explorer.bars, "window 2")["y"]), own)
        assert f"{2 * (lead + 1)} fs ahead" in drawn(explorer.bars)["layout"]["title"]["text"]


def test_the_rival_is_the_best_other_until_one_is_chosen(explorer):
    controls = explorer.controls
    assert explorer.rival == "copy" and controls.rival.label == "the best other: copy"
    controls.forecaster.value = "copy"
    assert explorer.rival == "model" and "model" in explorer.words.value
    controls.rival.value = NAMES.index("ridge")
    controls.forecaster.value = "model"
    assert explorer.rival == "ridge" and "ridge" in explorer.words.value
    controls.forecaster.value = "ridge"
    assert explorer.rival == "model" and [label for label, _ in controls.rival.options][1:] == ["model", "copy"]


def test_a_logarithmic_scale(explorer):
    assert drawn(explorer.curves)["layout"]["yaxis"]["type"] == "linear"
    explorer.controls.scale.value = "log"
    assert drawn(explorer.curves)["layout"]["yaxis"]["type"] == "log"


def test_without_times_frames_are_lead_times(explorer, table):
    assert explorer.times_fs == table.lead_times_fs.tolist()
    assert [explorer.frame_of(lead) for lead in range(8)] == list(range(8))
    assert (explorer.frame, explorer.lead) == (7, 7)
    assert [label for label, _ in explorer.controls.time.options][:2] == ["2 fs", "4 fs"]


@pytest.mark.parametrize("offset_fs", [0.0, 1000.0])
def test_frames_of_a_panel_with_history(table, offset_fs):
    present = 4
    explorer = ErrorExplorer(table, times_fs=offset_fs + 2.0 * np.arange(-4, 9), present=present)
    explorer.moment.pause_s = 0
    assert explorer.times_fs == (2.0 * np.arange(-4, 9)).tolist() == explorer.curves.times_fs == explorer.map.times_fs
    assert explorer.controls.time is None, "the panel's own player moves the frame"
    for lead in range(8):
        explorer.frame = explorer.frame_of(lead)
        assert explorer.frame == present + 1 + lead and explorer.lead == lead
    for frame in range(present + 1):
        explorer.frame = frame
        assert explorer.lead is None and "history" in explorer.words.value and "RMSE" not in explorer.words.value


def test_frames_of_a_thinned_panel_show_the_nearest_lead_time(table):
    # One frame in three of 21, the fifth being the present.
    explorer = ErrorExplorer(table, times_fs=[-8.0, -2.0, 4.0, 10.0, 16.0, 22.0], present=1)
    explorer.moment.pause_s = 0
    assert explorer.times_fs == [-6.0, 0.0, 6.0, 12.0, 18.0, 24.0]
    leads = []
    for frame in range(6):
        explorer.frame = frame
        leads.append(explorer.lead)
    assert leads == [None, None, 2, 5, 7, 7]
    assert [explorer.frame_of(lead) for lead in (0, 1, 2, 5, 6, 7)] == [1, 2, 2, 3, 3, 4]


def test_frame_and_atom_are_those_of_the_figures(explorer):
    explorer.curves.frame = 3
    assert explorer.frame == 3 and explorer.lead == 3
    explorer.frame = 6
    assert explorer.curves.frame == 6
    explorer.bars.atom = 2
    assert explorer.atom == 2 and explorer.controls.atom.value == 2
    explorer.controls.atom.value = 1
    assert explorer.bars.atom == explorer.atom == 1
    explorer.atom = -1
    assert explorer.bars.atom == -1 == explorer.controls.atom.value


def test_while_a_film_runs_only_the_latest_frame_is_drawn(explorer, monkeypatch):
    times = []
    bars = error_explorer.per_atom_bars

    def slow(*args, **kwargs):
        times.append(args[2])
        time.sleep(0.02)
        return bars(*args, **kwargs)

    monkeypatch.setattr(error_explorer, "per_atom_bars", slow)
    explorer.moment.pause_s = 1.0
    for frame in (0, 1, 2, 3, 4, 5, 6):
        explorer.frame = frame
    deadline = time.monotonic() + 60
    while "At 14 fs" not in explorer.words.value:
        assert time.monotonic() < deadline, "the last frame was never drawn"
        time.sleep(0.02)
    assert times == [2.0, 14.0] and "14 fs ahead" in explorer.bars.figure


def test_bad_input_is_refused_in_words(table):
    with pytest.raises(ValueError, match=r"No forecaster 'wizard'.*model, copy, ridge"):
        ErrorExplorer(table, forecaster="wizard")
    with pytest.raises(ValueError, match=r"shape \(3,\) and present is 3"):
        ErrorExplorer(table, times_fs=[0, 1, 2], present=3)
    with pytest.raises(ValueError, match="index of the last one"):
        ErrorExplorer(table, times_fs=[0, np.nan])
    with pytest.raises(TraitError, match="window was 12; there are 12"):
        ErrorExplorer(table, window=12)
    with pytest.raises(ValueError, match="Give comparison="):
        explore_errors(table, load=lambda window: [])
    explorer = ErrorExplorer(table)
    with pytest.raises(TraitError, match="frame was -1; there are 8"):
        explorer.frame = -1


@pytest.mark.parametrize(("n_windows", "n_leads", "names"), [(1, 8, NAMES), (12, 1, NAMES), (12, 8, ("alone",))])
def test_the_smallest_tables_are_shown(n_windows, n_leads, names):
    explorer = ErrorExplorer(error_table(n_windows, n_leads, names=names))
    assert "RMSE" in explorer.words.value and "nan" not in explorer.words.value
    assert (" × " in explorer.words.value) == (len(names) > 1)
    assert ("worse than" in explorer.words.value) == (n_windows > 1)
    assert drawn(explorer.map)["data"]


def test_a_forecast_that_is_not_a_number_is_the_worst_and_said():
    forecasts = {"model": np.ones((4, 2, 3, 3)), "copy": np.ones((4, 2, 3, 3))}
    forecasts["model"][2, 1] = np.nan
    explorer = ErrorExplorer(ErrorTable.of(forecasts, np.zeros((4, 2, 3, 3)), dt_fs=1.0))
    assert explorer.window == 2 and "not a number" in explorer.words.value
    assert heat_rows(explorer)[1].tolist() == [0, 1, 2, 3]


def test_names_are_shown_as_text():
    hostile = "<img src=x onerror=alert(1)>"
    explorer = ErrorExplorer(error_table(names=(hostile, "<i>copy</i>")))
    assert "<i>" not in explorer.words.value and "&lt;i&gt;" in explorer.words.value
    for plot in explorer.plots:
        shown = drawn(plot)
        del shown["layout"]["meta"]
        for one in shown["data"]:
            one.pop("meta", None)
        assert "<img" not in json.dumps(shown) and "<b>" not in json.dumps(shown)


def test_a_thousand_windows_stay_small():
    explorer = ErrorExplorer(
        error_table(1000, 32, tuple(f"C{atom}" for atom in range(21)), tuple(f"model {place}" for place in range(10)))
    )
    widgets = [widget for widget in _parts(explorer, seen=set()) if not isinstance(widget, PlotlyLibrary)]
    assert sum(len(json.dumps(widget.get_state(), default=lambda _: "")) for widget in widgets) < 2_000_000
    assert len(explorer.map.figure) < 800_000


def test_closing_leaves_nothing_but_what_others_use(table):
    explorer, other = ErrorExplorer(table), ErrorExplorer(table)
    widgets = list(_parts(explorer, seen=set()))
    explorer.close()
    assert not [widget for widget in widgets if widget.comm is not None]
    assert other.curves.library.comm is not None and other.curves.library is library()
    other.window = 3
    assert "window 3" in other.curves.figure


@pytest.fixture
def comparison():
    made = compare(vibrating_ethanol(n_frames=20), vibrating_ethanol(n_frames=20, seed=1), history=12)
    yield made
    made.close()


def linked(explorer: ErrorExplorer) -> set:
    links = [held for held in explorer._links if hasattr(held, "source")]
    return {(*link.source, *link.target) for link in links}


def test_beside_a_comparison_its_player_leads(table, comparison):
    comparison.frame = 14
    explorer = explore_errors(table, comparison=comparison)
    assert explorer.times_fs == comparison.times_fs.tolist() and explorer.frame == 14 and explorer.controls.time is None
    assert explorer.lead == table.nearest_lead(comparison.times_fs[14])
    player, (curves, heat, bars) = comparison.player, explorer.plots
    expected = {(player, "frame", curves, "frame"), (curves, "frame", heat, "frame"), (player, "atom", bars, "atom")}
    assert linked(explorer) == expected
    explorer.close()
    assert player.comm is not None, "the comparison stays"


def test_a_chosen_window_is_loaded_into_the_comparison(table, comparison):
    wanted = []

    def load(window: int):
        wanted.append(window)
        return [vibrating_ethanol(n_frames=20, seed=window + seed) for seed in (0, 50)]

    explorer = explore_errors(table, comparison=comparison, load=load)
    assert wanted == [int(table.per_window("model").mean(axis=1).argmax())], "what is chosen first is loaded too"
    explorer.window = 4
    shown = np.frombuffer(comparison.views[1].anb_positions, "<f4").reshape(20, 9, 3)
    np.testing.assert_allclose(shown, vibrating_ethanol(n_frames=20, seed=54).positions, atol=1e-6)
    assert wanted[1:] == [4]


def test_what_the_comparison_shows_already_is_not_loaded_again(table, comparison):
    wanted: list[int] = []
    explorer = explore_errors(table, comparison=comparison, load=wanted.append, window=3)  # type: ignore[arg-type]
    assert wanted == [] and explorer.window == 3
