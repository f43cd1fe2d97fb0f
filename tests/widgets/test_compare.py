"""`compare`: same atoms, same frames, one player, one camera; and clear words where that cannot be."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ipywidgets import HTML, Widget
from ipywidgets.widgets.widget import _instances
from numpy.testing import assert_allclose
from vibrating import vibrating_ethanol

from asteroid_nb.errors import AsteroidError, InvalidTrajectory
from asteroid_nb.widgets import parts
from asteroid_nb.widgets.compare import compare


@pytest.fixture
def reference():
    return vibrating_ethanol(name="GFN2-xTB")


@pytest.fixture
def forecast():
    return vibrating_ethanol(seed=1, name="model")


def descendants(widget: Widget) -> list[Widget]:
    return list(parts._parts(widget, seen=set()))


def words(panel) -> str:
    texts = [part.value for part in descendants(panel) if isinstance(part, HTML)]
    return " ".join(re.sub("<style.*?</style>|<[^>]*>", " ", text) for text in texts)


def held(view) -> np.ndarray:
    return np.frombuffer(view.anb_positions, "<f4").reshape(-1, 9, 3)


def test_every_pane_holds_its_own_positions_and_the_references_bonds_and_camera(reference, forecast):
    panel = compare(reference, forecast)
    assert_allclose(held(panel.views[0]), reference.positions, atol=1e-6)
    assert_allclose(held(panel.views[1]), forecast.positions, atol=1e-6)
    assert panel.views[0].anb_scene["mol2"] == panel.views[1].anb_scene["mol2"]
    assert panel.views[0].anb_orientation == panel.views[1].anb_orientation


def test_the_browser_links_player_slider_and_every_frame(reference, forecast):
    panel = compare(reference, forecast, forecast)
    linked = {(link.source[0], link.source[1], link.target[0], link.target[1]) for link in panel._links}
    shared = ("frame", "atom", "colour")
    assert linked == {(panel.player, name, view, name) for view in panel.views for name in shared}


def test_each_camera_leads_all_others(reference, forecast):
    views = compare(reference, forecast, forecast).views
    for view in views:
        assert set(view._synced_model_ids) == {other.model_id for other in views if other is not view}


def test_time_counts_from_the_present_when_a_history_is_given(reference, forecast):
    panel = compare(reference, forecast, history=16)
    times = panel.player.times_fs
    assert times[0] == -7.5 and times[15] == 0 and times[39] == 12
    assert panel.frame == panel.present == panel.player.present == 15 and panel.views[1].frame == 15
    assert panel.player.marked


def test_time_counts_from_the_first_frame_otherwise(reference, forecast):
    panel = compare(reference, forecast)
    assert panel.player.times_fs[:3] == [0, 0.5, 1] and not panel.player.marked


def test_a_forecast_without_its_history_is_shown_after_the_references(reference, forecast):
    shown = held(compare(reference, forecast[16:], history=16).views[1])
    assert_allclose(shown[:16], reference.positions[:16], atol=1e-6)
    assert_allclose(shown[16:], forecast.positions[16:], atol=1e-6)


def test_error_colours_belong_to_forecasts_and_say_their_scale(reference):
    moved = reference.replace(positions=reference.positions + [0.3, 0, 0.4])
    panel = compare(reference, moved, colour="error")
    assert panel.views[0].anb_errors == b"" and panel.player.colour == "error" == panel.views[0].colour
    assert set(panel.views[1].anb_errors) == {255}
    assert "0.5 Å" in words(panel)


def test_a_forecast_that_flies_apart_does_not_stretch_the_colour_bar(reference):
    panel = compare(reference, reference.replace(positions=reference.positions + [80.0, 0, 0]), colour="error")
    assert "≥ 2 Å" in words(panel)


def test_the_colour_bar_is_shared_by_all_forecasts(reference):
    panes = [reference.replace(positions=reference.positions + [shift, 0, 0]) for shift in (0.08, 0.2)]
    views = compare(reference, *panes, colour="error", error_max_ang=0.2).views
    assert set(views[1].anb_errors) == {102} and set(views[2].anb_errors) == {255}


def test_colours_can_be_chosen_where_there_is_something_to_compare(reference, forecast):
    assert compare(reference, forecast).player.colours == ["element", "error"]
    assert compare(reference).player.colours == []


def test_an_overlay_is_one_pane_of_all(reference, forecast):
    panel = compare(reference, forecast, overlay=True, names=["truth", "<b>model</b>"])
    assert len(panel.views) == 1
    layers = np.frombuffer(panel.views[0].anb_positions, "<f4").reshape(2, 48, 9, 3)
    assert_allclose(layers[1], forecast.positions, atol=1e-6)
    assert "translucent" in words(panel) and "&lt;b&gt;model" in words(panel)


def test_a_chosen_atom_is_chosen_in_every_pane(reference, forecast):
    panel = compare(reference, forecast)
    assert panel.atom == -1 == panel.views[1].atom
    panel.atom = 4
    assert panel.player.atom == 4


def test_showing_another_window_keeps_the_panel_and_moves_everything_in_it(reference, forecast):
    panel = compare(reference, forecast, history=16, colour="error", error_max_ang=1.0)
    views, told = list(panel.views), panel.words.value
    moved = reference.replace(positions=reference.positions[::-1] + [5.0, 0, 0])
    panel.show(moved, moved.replace(positions=moved.positions + [0.0, 1.0, 0]))
    assert panel.views == views and panel.words.value != told
    assert_allclose(held(panel.views[0]), moved.positions, atol=1e-5)
    assert set(panel.views[1].anb_errors) == {255}
    centre = -np.array(panel.views[0].anb_orientation[12:15])
    assert_allclose(
        centre, (moved.positions.reshape(-1, 3).min(0) + moved.positions.reshape(-1, 3).max(0)) / 2, atol=1e-4
    )


def test_other_trajectories_may_bring_other_titles(reference, forecast):
    for overlay in (False, True):
        panel = compare(reference, forecast, names=["old truth", "model"], overlay=overlay)
        panel.show(forecast, reference)
        assert words(panel).count("old truth") == 2
        panel.show(reference, forecast, names=["walker <2>", "model"])
        assert "old truth" not in words(panel) and words(panel).count("walker &lt;2&gt;") == 2
        with pytest.raises(ValueError, match="one for each of 2 panes"):
            panel.show(forecast, reference, names=["alone"])
        assert_allclose(held(panel.views[0])[: len(reference)], reference.positions, atol=1e-6)


def test_showing_what_does_not_fit_leaves_all_as_it_was(reference, forecast):
    panel = compare(reference, forecast)
    before = panel.views[0].anb_positions
    for other in (
        [reference],
        [reference[:40], forecast[:40]],
        [reference.select(range(8)), forecast.select(range(8))],
    ):
        with pytest.raises(InvalidTrajectory, match="2 trajectories of 48 frames and 9 atoms"):
            panel.show(*other)
    assert panel.views[0].anb_positions == before


def test_a_superposed_forecast_has_lost_its_shift_and_turn(reference):
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = reference.replace(positions=reference.positions @ turn.T + [3.0, 1, 0])
    for how in ("first", "every"):
        assert_allclose(held(compare(reference, moved, superpose=how).views[1]), reference.positions, atol=1e-4)
    assert not np.allclose(held(compare(reference, moved).views[1]), reference.positions, atol=1)
    with pytest.raises(ValueError, match='"none", "first" or "every"'):
        compare(reference, moved, superpose="sometimes")


def test_words_say_who_is_off_and_which_bond_breaks_first(reference):
    drift = np.maximum(0, np.arange(48) - 15)[:, None, None] * [0.1, 0.0, 0.0] * np.eye(9)[4][:, None]
    panel = compare(reference, reference.replace(positions=reference.positions + drift, name="model"), history=16)
    label = reference.labels[4]
    assert f"most at {label} (3.2 Å)" in words(panel) and "first bond to break is" in words(panel)
    assert "no bond breaks" in words(compare(reference, reference))


def test_one_frame_can_be_looked_at(reference):
    panel = compare(reference[:1])
    assert panel.player.times_fs == [0.0] and "one frame" in words(panel)


def test_long_trajectories_are_thinned_with_a_note_and_keep_the_present():
    long = vibrating_ethanol(1000)
    panel = compare(long, long, history=16, most_frames=100)
    assert len(panel.player.times_fs) == 100 == len(held(panel.views[0]))
    assert panel.times_fs[panel.present] == 0
    assert_allclose(held(panel.views[0])[panel.present], long.positions[15], atol=1e-6)
    assert "one frame in 10 of 1,000" in words(panel) and "5 fs apart" in words(panel)


def test_short_ones_are_shown_whole_without_a_note(reference, forecast):
    assert "Thinned" not in words(compare(reference, forecast))


def test_a_large_molecule_stays_within_the_browsers_budget():
    grid = 1.5 * np.stack(np.meshgrid(*[np.arange(17)] * 3), -1).reshape(1, -1, 3)
    from asteroid_nb.data.trajectory import Trajectory

    large = Trajectory(np.repeat(grid, 200, 0), np.full(17**3, 18), 1.0, bonds=np.empty((0, 2)))
    panel = compare(large)
    assert len(panel.views[0].anb_positions) <= 4 * 2**20 and "Thinned" in words(panel)


def test_names_are_shown_as_text(reference, forecast):
    panel = compare(reference, forecast, names=["a", "<script>alert(1)</script>"])
    shown = [part.value for part in descendants(panel) if isinstance(part, HTML)]
    assert not any("<script" in text for text in shown)
    assert any("&lt;script&gt;" in text for text in shown)


def test_mdtraj_and_ase_objects_are_compared_as_they_are(reference):
    panel = compare(reference, reference.to_mdtraj(), reference.to_ase(), dt_fs=0.5)
    for view in panel.views:
        assert_allclose(held(view), reference.positions, atol=1e-5)


def test_closing_leaves_nothing_behind(reference, forecast):
    compare(reference, forecast).close()  # NGLView registers a few widgets of its own once
    before = set(_instances)
    panel = compare(reference, forecast, history=16, colour="error")
    assert len(_instances) > len(before) + 15
    panel.close()
    assert not [_instances[key] for key in set(_instances) - before]


def test_running_a_cell_again_closes_what_it_showed(reference, forecast, monkeypatch):
    run = {"count": 1}
    monkeypatch.setattr(parts, "_cell", lambda: ("cell", run["count"]))
    first, beside = compare(reference, forecast), compare(reference, forecast)
    assert first.comm is not None and beside.comm is not None
    run["count"] = 2
    compare(reference, forecast)
    assert first.comm is None and beside.comm is None and first.views[0].comm is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.select(range(8)), "8 atoms, the reference 9"),
        (lambda t: t.select([2, 1, 0, 3, 4, 5, 6, 7, 8]), "differs in element.*index 0, O for C"),
        (lambda t: t[:40], "40 frames, the reference 48.*or the 32 after the history"),
        (lambda t: t.replace(dt_fs=1.0), "every 1 fs, the reference every 0.5 fs"),
    ],
)
def test_what_differs_is_named(reference, spoil, said):
    with pytest.raises(InvalidTrajectory, match=said):
        compare(reference, spoil(reference), history=16)


@pytest.mark.parametrize("history", [0, 49, -1])
def test_a_history_outside_the_reference_is_refused(reference, history):
    with pytest.raises(InvalidTrajectory, match="1 to 48"):
        compare(reference, history=history)


def test_more_panes_than_a_browser_holds_are_refused(reference):
    with pytest.raises(InvalidTrajectory, match="4 panes"):
        compare(*[reference] * 5)


def test_no_atoms_and_nan_are_refused_at_the_door(reference):
    from ase import Atoms

    with pytest.raises(AsteroidError):
        compare([Atoms()], dt_fs=1.0)
    spoiled = reference.to_ase()
    spoiled[3].positions[0, 0] = np.nan
    with pytest.raises(AsteroidError, match="NaN"):
        compare(reference, spoiled, dt_fs=0.5)


def test_wrong_names_and_colours_are_refused(reference, forecast):
    with pytest.raises(ValueError, match="one for each of 2 panes"):
        compare(reference, forecast, names=["model"])
    with pytest.raises(ValueError, match='"element" or "error"'):
        compare(reference, forecast, colour="rainbow")
    with pytest.raises(ValueError, match="at least one frame"):
        compare(reference, forecast, most_frames=0)
