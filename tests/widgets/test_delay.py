"""The explorer of delay matrices: which coordinate is shown, how it shares time and atom, what it costs and leaves."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances
from trained import TINY, shaken_ethanol, tiny_run

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.forecast.rollout import DelayMatrices, delay_matrices, predict
from asteroid_nb.widgets.compare import compare
from asteroid_nb.widgets.delay import DISTANCE, DelayExplorer, coordinate, explore_delay
from asteroid_nb.widgets.parts import _parts
from asteroid_nb.widgets.plot import library

LABELS = ("C1", "O1", "H1")


def oscillating(rows=(7, 15), *, history: int = 16, horizon: int = 32, shift: float = 0.0) -> DelayMatrices:
    """Return the matrices of three atoms that move like oscillators, the prediction off by ``shift`` in each axis."""
    frames = np.arange(history + horizon)[:, None, None]
    path = np.sin(frames / 4 + np.arange(3)[:, None] + 2 * np.arange(3)) + 10 * np.arange(3)[:, None]
    truth = path[np.asarray(rows)[:, None] + np.arange(horizon + 1)]
    predicted = truth + shift * (np.arange(horizon + 1) > 0)[:, None, None]
    return DelayMatrices(
        predicted=predicted, truth=truth, forecast=path[history:] + 2 * shift, rows=rows, history=history, dt_fs=0.5,
        labels=LABELS,
    )  # fmt: skip


def shown(explorer: DelayExplorer) -> dict:
    return json.loads(explorer.plot.figure)


def heat(explorer: DelayExplorer, number: int = 0) -> np.ndarray:
    z = [trace for trace in shown(explorer)["data"] if trace["type"] == "heatmap"][number]["z"]
    return np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"]).reshape([int(n) for n in z["shape"].split(",")])


@pytest.fixture
def explorer():
    made = DelayExplorer(oscillating())
    yield made
    made.close()


def test_it_opens_at_the_present_with_the_first_atom(explorer):
    np.testing.assert_allclose(heat(explorer), oscillating().predicted[:, :, 0, 0])
    assert explorer.frame == explorer.plot.frame == explorer.player.frame == 15
    assert explorer.plot.times_fs[15] == 0 and explorer.plot.times_fs[-1] == 16
    assert "C1, x" in shown(explorer)["layout"]["title"]["text"]


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("atom", [0, 2])
def test_it_shows_the_chosen_coordinate(explorer, atom, axis):
    explorer.who.index, explorer.axis.value = atom, axis
    np.testing.assert_allclose(heat(explorer), oscillating().predicted[:, :, atom, "xyz".index(axis)])
    np.testing.assert_allclose(heat(explorer, 1), oscillating().truth[:, :, atom, "xyz".index(axis)])  # type: ignore[index]
    assert f"{LABELS[atom]}, {axis}" in shown(explorer)["layout"]["title"]["text"]


def test_the_distance_from_now_is_zero_now_and_a_length_elsewhere():
    matrices = oscillating(shift=0.1)
    found = coordinate(matrices, 1, DISTANCE)
    assert matrices.truth is not None
    now = matrices.truth[-1, 0, 1]
    assert found["predicted"][-1, 0] == 0 == found["truth"][-1, 0]
    expected = np.sqrt(np.square(matrices.predicted[0, 20, 1] - now).sum())
    assert found["predicted"][0, 20] == pytest.approx(expected)
    assert found["forecast"].shape == (32,) and (found["forecast"] >= 0).all()


def test_words_tell_the_error_of_the_matrix_and_of_the_forecast():
    said = DelayExplorer(oscillating(shift=0.1)).words.value
    assert "hold 24 of 32 future frames" in said
    assert "error of their mean: 0.1 on average" in said and "error of the forecast: 0.2 on average" in said


def test_an_atom_chosen_elsewhere_is_shown_and_no_atom_changes_nothing(explorer):
    explorer.atom = 2
    assert explorer.who.value == 2 and "H1, x" in shown(explorer)["layout"]["title"]["text"]
    for nobody in (-1, 99):
        explorer.atom = nobody
        assert explorer.who.value == 2 and not explorer.errors.value
    explorer.who.index = 0
    assert explorer.atom == 0 and "C1, x" in shown(explorer)["layout"]["title"]["text"]


def linked(explorer: DelayExplorer) -> set:
    return {(link.source[0], link.source[1], link.target[0], link.target[1]) for link in explorer._links}


def test_the_browser_links_player_and_plot(explorer):
    found = linked(explorer)
    assert (explorer, "frame", explorer.plot, "frame") in found
    assert (explorer.player, "frame", explorer, "frame") in found


def test_it_follows_a_comparison_and_gives_up_its_own_player():
    source, run = shaken_ethanol(), tiny_run()
    forecast = predict(run, source, starts=30, n_blocks=2)
    panel = compare(source[30 : 30 + len(forecast)], forecast, history=TINY.history)
    explorer = explore_delay(run, source, start=30, comparison=panel)
    assert explorer.player not in explorer.children and explorer.frame == panel.frame == TINY.history - 1
    assert list(explorer.plot.times_fs) == list(panel.times_fs)
    found = linked(explorer)
    assert {(panel.player, name, explorer, name) for name in ("frame", "atom")} <= found
    assert (explorer, "frame", explorer.plot, "frame") in found
    assert explorer.player not in {end[0] for link in explorer._links for end in (link.source, link.target)}
    explorer.close()
    panel.close()


def test_the_easy_door_shows_the_window_asked_for():
    explorer = explore_delay(tiny_run(), shaken_ethanol(), start=41)
    assert isinstance(explorer, DelayExplorer) and [name for name, _ in explorer.who.options][:3] == ["C1", "C2", "O1"]
    explorer.axis.value = "z"
    rows = TINY.rows
    stored = shaken_ethanol().positions[41 + np.array(rows)[:, None] + np.arange(TINY.horizon + 1), 0, 2]
    np.testing.assert_allclose(heat(explorer, 1), stored)


def test_another_window_takes_its_place_and_keeps_the_choice(explorer):
    explorer.who.index, explorer.axis.value = 1, "y"
    other = oscillating(shift=0.3)
    explorer.show(other)
    np.testing.assert_allclose(heat(explorer), other.predicted[:, :, 1, 1])
    assert "0.3 on average" in explorer.words.value


def test_a_window_of_another_length_is_refused(explorer):
    with pytest.raises(InvalidTrajectory, match="3 atoms, 48 frames, 16 of them history; given were 3, 40 and 8"):
        explorer.show(oscillating((3, 7), history=8))


def test_a_window_without_future_is_shown_without_truth():
    whole = oscillating()
    explorer = DelayExplorer(DelayMatrices(**{**vars(whole), "truth": None}))
    assert sum(trace["type"] == "heatmap" for trace in shown(explorer)["data"]) == 1
    explorer.axis.value = DISTANCE
    assert "error" not in explorer.words.value


def test_a_callbacks_error_is_shown_below_and_goes_when_all_is_well(explorer):
    lost = DelayMatrices(**{**vars(oscillating()), "predicted": np.full((2, 33, 3, 3), np.nan)})
    explorer._matrices = lost
    with pytest.raises(ValueError, match="nothing but NaN"):
        explorer.axis.value = "y"
    assert "did the training diverge?" in explorer.errors.value and explorer.children[-1] is explorer.errors
    explorer._matrices = oscillating()
    explorer.axis.value = "z"
    assert not explorer.errors.value


@pytest.mark.parametrize("rows", [(7, 15), tuple(range(16))])
def test_the_state_stays_small(rows):
    explorer = DelayExplorer(oscillating(rows))
    sizes = [len(json.dumps(part.get_state(), default=str)) for part in _parts(explorer, seen=set())]
    assert sum(sizes) < 200_000 and len(json.dumps(explorer.get_state(), default=str)) < 5_000


def test_closing_leaves_nothing_but_the_library():
    library()
    before = set(_instances)
    explorer = DelayExplorer(oscillating())
    explorer.axis.value = "y"
    explorer.close()
    assert [_instances[left] for left in set(_instances) - before] == []


def test_controls_say_what_they_are_and_names_cannot_bring_markup(explorer):
    controls = [part for part in _parts(explorer, seen=set()) if hasattr(part, "options")]
    assert [control.description for control in controls] == ["atom", "coordinate"]
    matrices = DelayMatrices(**{**vars(oscillating()), "labels": ("<img src=x onerror=alert(1)>", "b", "c")})
    hostile = DelayExplorer(matrices)
    drawn = re.sub(r'"alt":"[^"]*"', "", hostile.plot.figure)
    assert "<img" not in drawn and "<img" not in hostile.words.value


def test_a_real_forecast_of_a_tiny_model_is_explored_whole():
    matrices = delay_matrices(tiny_run(), shaken_ethanol(), 7)
    explorer = DelayExplorer(matrices)
    for atom in range(9):
        for axis in explorer.axis.options:
            explorer.who.index, explorer.axis.value = atom, axis
    assert not explorer.errors.value and isinstance(explorer, Widget)
