"""`explore`: panels that show one window, and change together."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
from ipywidgets import HTML, Widget
from ipywidgets.widgets.widget import _instances
from numpy.testing import assert_allclose
from small_run import small_run, small_table

from asteroid_nb.dashboard import Dashboard, explore
from asteroid_nb.data.splits import Split
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import ModelMismatch
from asteroid_nb.evaluation import evaluate
from asteroid_nb.exhibit import Exhibit
from asteroid_nb.forecast.run import Run
from asteroid_nb.widgets.parts import _parts


@pytest.fixture
def dashboard() -> Dashboard:
    return explore(small_run(), errors=small_table())


def shown(dashboard: Dashboard, pane: int) -> np.ndarray:
    return np.frombuffer(dashboard.comparison.views[pane].anb_positions, "<f4").reshape(-1, 9, 3)


def words(widget: Widget) -> str:
    texts = [part.value for part in _parts(widget, seen=set()) if isinstance(part, HTML)]
    return " ".join(re.sub("<style.*?</style>|<[^>]*>", " ", text) for text in texts)


def test_it_begins_with_the_worst_window_at_the_present(dashboard):
    means = small_table().per_window(small_run().name).mean(1)
    assert dashboard.window == means.argmax() == dashboard.panels["errors"].window
    truth, forecast = dashboard.exhibit.pair(dashboard.window)
    assert_allclose(shown(dashboard, 0), truth.positions, atol=1e-5)
    assert_allclose(shown(dashboard, 1), forecast.positions, atol=1e-5)
    assert dashboard.comparison.times_fs[dashboard.comparison.frame] == 0


def test_choosing_a_window_in_the_map_changes_the_molecules_and_the_panel_in_sight(dashboard):
    other = (dashboard.window + 7) % small_table().n_windows
    dashboard.tabs.selected_index = list(dashboard.panels).index("delay matrix")
    delay = dashboard.panels["delay matrix"]
    before = delay.plot.figure
    dashboard.panels["errors"].window = other
    assert dashboard.window == other
    assert_allclose(shown(dashboard, 0), dashboard.exhibit.pair(other)[0].positions, atol=1e-5)
    assert delay.plot.figure != before


def test_a_panel_out_of_sight_follows_when_it_is_opened(dashboard):
    attention, structure = dashboard.panels["attention"], dashboard.panels["structure"]
    before = attention.heat.figure, structure.plot.figure
    dashboard.load((dashboard.window + 7) % small_table().n_windows)
    assert (attention.heat.figure, structure.plot.figure) == before
    for name in ("attention", "structure"):
        dashboard.tabs.selected_index = list(dashboard.panels).index(name)
    assert attention.heat.figure != before[0] and structure.plot.figure != before[1]
    last = attention.heat.figure
    dashboard.tabs.selected_index = 0
    dashboard.tabs.selected_index = 1
    assert attention.heat.figure == last, "nothing is computed twice"


def test_a_window_loaded_by_program_is_the_one_the_error_panel_marks(dashboard):
    other = (dashboard.window + 7) % small_table().n_windows
    dashboard.load(other)
    assert dashboard.window == other == dashboard.panels["errors"].window


def test_titles_name_the_walker_of_the_window():
    walkers = [walker[:160] for walker in small_run().split.train.trajectories[:1] * 2]
    walkers = [walker.replace(name=f"walker {number}") for number, walker in enumerate(walkers)]
    run = copy.copy(small_run())
    run.fitted, run.split = [], Split(*[Windows(walkers, run.settings.window_shape(1))] * 3)
    dashboard = explore(run, errors=evaluate([run], run.split.test, most=12))
    dashboard.tabs.selected_index = list(dashboard.panels).index("structure")
    for walker in (0, 1):
        dashboard.load(int(np.flatnonzero(dashboard.exhibit.table.walkers == walker)[0]))
        assert f"Reference: walker {walker}." in words(dashboard.comparison)
        assert f"walker {1 - walker}" not in words(dashboard.comparison)
        assert f"walker {walker}" in dashboard.panels["structure"].plot.figure


def test_attention_is_drawn_among_the_molecules_only_while_its_panel_is_open(dashboard):
    first = dashboard.comparison.views[0]
    dashboard.panels["attention"].atom = 2
    assert first.anb_links == []
    dashboard.tabs.selected_index = list(dashboard.panels).index("attention")
    assert {link[0] for link in first.anb_links} == {2}
    dashboard.tabs.selected_index = 0
    assert first.anb_links == []


def test_frame_and_atom_are_linked_in_the_browser(dashboard):
    player = dashboard.comparison.player
    followers = {
        (link.target[0], link.target[1])
        for widget in _instances.values()
        if type(widget).__name__ == "Link" and (link := widget).source[0] is player
    }
    panels = dashboard.panels
    assert {(panels["errors"].curves, "frame"), (panels["errors"].bars, "atom")} <= followers
    assert {(panels["delay matrix"], "frame"), (panels["delay matrix"], "atom")} <= followers
    assert {(view, "frame") for view in dashboard.comparison.views} <= followers


def test_what_fails_when_a_window_is_loaded_is_shown(dashboard, monkeypatch):
    def fail(*_):
        raise ValueError("the disk is <gone>")

    monkeypatch.setattr(Exhibit, "pair", fail)
    with pytest.raises(ValueError, match="gone"):
        dashboard.panels["errors"].window = (dashboard.window + 1) % small_table().n_windows
    assert "the disk is &lt;gone&gt;" in dashboard.panels["errors"].errors.value


def test_a_model_without_attention_or_delay_matrices_says_so_in_their_place():
    run = small_run(sti=False, encoder_layers=0, decoder_layers=0)
    said = words(explore(run))
    assert "sti=False" in said and "uses no attention" in said


def test_error_colours_hold_nearly_all_errors_of_all_windows_not_of_one_alone(dashboard):
    table = small_table()
    scale = dashboard.comparison.views[1].anb_scene["error_max_ang"]
    assert 0.98 <= (np.sqrt(table.squared[small_run().name]) <= scale).mean()
    tenfold = replace(table, squared={name: 100 * errors for name, errors in table.squared.items()})
    other = Dashboard(replace(dashboard.exhibit, table=tenfold)).comparison
    assert other.views[1].anb_scene["error_max_ang"] == pytest.approx(10 * scale)
    assert f"≥ {10 * scale:g} Å" in words(other)


def test_names_are_text(dashboard):
    assert "walker &lt;b&gt;2" in words(dashboard) and "walker <b>2" not in words(dashboard)


def test_closing_leaves_nothing_behind():
    explore(small_run(), errors=small_table()).close()
    before = set(_instances)
    dashboard = explore(small_run(), errors=small_table())
    assert len(_instances) > len(before) + 60
    dashboard.close()
    left = [_instances[key] for key in set(_instances) - before]
    assert not [widget for widget in left if type(widget).__name__ not in ("Layout", "Image")]
    assert len(left) <= 6


def test_widgets_hold_little(dashboard):
    sizes = {}
    for widget in _parts(dashboard, seen=set()):
        state = widget.get_state()
        sizes[widget] = sum(len(value) if isinstance(value, bytes) else len(str(value)) for value in state.values())
    assert max(sizes.values()) < 8e6 and sum(sizes.values()) < 12e6


def test_a_run_without_its_split_is_told_what_to_do(tmp_path):
    loaded = Run.load(small_run().save(tmp_path / "run"))
    with pytest.raises(ModelMismatch, match="run.split"):
        explore(loaded)
