"""The explorer shows exactly the weights that were recorded, whatever is chosen in whatever order, and in 3D too."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from numpy.testing import assert_allclose
from trained import TINY, shaken_ethanol, tiny_run

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, TrajectoryTooShort
from asteroid_nb.forecast.rollout import attention, window_at
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.transformer import STITransformer
from asteroid_nb.widgets.attention import AttentionExplorer, attention_explorer
from asteroid_nb.widgets.attention_door import explore_attention
from asteroid_nb.widgets.attention_records import AttentionLabels, Recorded, attention_labels, record
from asteroid_nb.widgets.compare import compare
from asteroid_nb.widgets.plot import library

SHAPES = {
    "encoder.0.local": (16, 4, 9, 9),
    "encoder.1.local": (16, 4, 9, 9),
    "encoder.1.global": (16, 2, 9, 13),
    "decoder.0.temporal": (9, 2, 8, 24),
}
ATOMS = ["C1", "C2", "O1", "H1", "H2", "H3", "H4", "H5", "H6"]
START = 3


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    raw = {name: rng.random(shape).astype(np.float32) for name, shape in SHAPES.items()}
    return {name: weights / weights.sum(-1, keepdims=True) for name, weights in raw.items()}


@pytest.fixture
def explorer():
    made = explore_attention(tiny_run(), shaken_ethanol(), start=START)
    made._follow.pause_s = 0
    yield made
    made.close()


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return attention(tiny_run(), window_at(tiny_run(), shaken_ethanol(), START))


def figure(plot) -> dict:
    return json.loads(plot.figure)


def shown(explorer) -> np.ndarray:
    """Return the numbers that the browser is given, what stays blank as 0."""
    z = figure(explorer.heat)["data"][0]["z"]
    numbers = np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"]).reshape([int(n) for n in z["shape"].split(",")])
    return np.nan_to_num(numbers)


def blanks(explorer) -> int:
    return sum("cannot see" in text for line in figure(explorer.heat)["data"][0]["text"] for text in line)


def outlined(explorer) -> list[float]:
    """Return the rows that the figure itself outlines; atoms are outlined by the browser."""
    return [(shape["y0"] + shape["y1"]) / 2 for shape in figure(explorer.heat)["layout"].get("shapes", [])]


def links(explorer) -> list:
    return explorer.comparison.views[0].anb_links


def choose(explorer, kind: str, *, head: int = 0, node: int | None = None, time: int | None = None) -> None:
    explorer.controls.kind.value, explorer.controls.head.index = kind, head
    if node is not None:
        explorer.controls.query.index = node + 1
    if time is not None:
        explorer.controls.time.index = time


class TestRecords:
    def test_it_begins_with_the_mean_over_heads(self, records):
        explorer = attention_explorer(records)
        assert_allclose(shown(explorer), records["encoder.0.local"][0].mean(0), rtol=1e-6)

    def test_every_choice_shows_its_own_weights(self, records):
        explorer = attention_explorer(records, {"temporal": AttentionLabels(each=ATOMS, each_name="atom")})
        for name, weights in records.items():
            part, layer, kind = name.split(".")
            explorer.controls.kind.value, explorer.controls.layer.value = f"{part} {kind}", int(layer)
            each = explorer.controls.query if kind == "temporal" else explorer.controls.time
            for head in range(weights.shape[1]):
                for index in (0, weights.shape[0] - 1):
                    explorer.controls.head.index, each.index = head + 1, index + (kind == "temporal")
                    assert explorer.record == name
                    assert_allclose(explorer.weights, weights[index, head], rtol=0)
                    assert_allclose(shown(explorer), weights[index, head], rtol=1e-6)

    def test_over_time_all_atoms_are_the_mean_over_them(self, records):
        explorer = attention_explorer(records, {"temporal": AttentionLabels(each=ATOMS, each_name="atom", n_atoms=7)})
        choose(explorer, "decoder temporal", head=2, node=-1)
        assert_allclose(explorer.weights, records["decoder.0.temporal"][:7, 1].mean(0), rtol=1e-6)

    def test_a_choice_that_the_next_record_lacks_falls_back_to_its_last(self, records):
        explorer = attention_explorer(records)
        explorer.controls.head.index, explorer.controls.time.index = 4, 15
        explorer.controls.kind.value = "decoder temporal"
        assert explorer.controls.time.index == 8 and explorer.controls.head.index == 2 and explorer.errors.value == ""
        assert_allclose(shown(explorer), records["decoder.0.temporal"][8, 1], rtol=1e-6)

    def test_only_layers_that_were_recorded_are_offered(self, records):
        explorer = attention_explorer(records)
        explorer.controls.kind.value = "encoder global"
        assert explorer.controls.layer.options == (1,) and explorer.record == "encoder.1.global"

    def test_labels_are_found_by_kind_and_name_the_axes(self, records):
        labels = {
            "local": AttentionLabels(queries=ATOMS, keys=ATOMS, each=[f"{k} fs" for k in range(16)]),
            "temporal": AttentionLabels(each=ATOMS, each_name="atom"),
        }
        explorer = attention_explorer(records, labels)
        assert figure(explorer.heat)["layout"]["xaxis"]["ticktext"] == ATOMS
        assert explorer.controls.time.label == "0 fs" and list(explorer.controls.query.options[1]) == ["C1", 1]
        explorer.controls.kind.value = "decoder temporal"
        assert [name for name, _ in explorer.controls.query.options[1:]] == ATOMS

    def test_atoms_of_one_name_stay_apart(self, records):
        explorer = attention_explorer(records, {"local": AttentionLabels(queries=["H"] * 9)})
        explorer.controls.query.index = 7
        assert explorer.controls.row == 6

    def test_without_positions_there_is_no_pane_and_no_distance(self, records):
        explorer = attention_explorer(records, {"local": AttentionLabels(queries=ATOMS, keys=ATOMS, n_atoms=9)})
        assert explorer.comparison is None and explorer.far.layout.display == "none"
        explorer.controls.query.index = 3
        assert explorer.atom == 2 and "O1 looks mostly at" in explorer.words.value

    def test_names_are_text(self, records):
        hostile = "<script>alert(1)</script>"
        explorer = attention_explorer(records, {"local": AttentionLabels(queries=[hostile] * 9, keys=[hostile] * 9)})
        explorer.controls.query.index = 1
        assert hostile not in explorer.words.value and "&lt;script&gt;" in explorer.words.value
        drawn = figure(explorer.heat)
        del drawn["layout"]["meta"]
        assert hostile not in json.dumps(drawn)


@pytest.mark.parametrize(
    ("records", "labels", "said"),
    [
        ({}, {}, "No attention was recorded"),
        ({"encoder.0.local": np.ones((9, 9))}, {}, r"\(9, 9\), not \[each, heads, queries, keys\]"),
        ({"encoder.0.local": np.full((1, 1, 2, 2), np.nan)}, {}, "nothing but NaN"),
        ({"encoder.0.local": np.full((1, 1, 2, 2), np.inf)}, {}, "holds infinity"),
        ({"encoder.0.local": np.ones((1, 1, 301, 2))}, {}, r"301 × 2 weights per map.*anb\.attention"),
        ({"a.0": np.ones((1, 1, 9, 9))}, {"a.0": AttentionLabels(queries=["a", "b"])}, "9 queries, but 2 labels"),
    ],
)
def test_records_that_cannot_be_shown_are_refused(records, labels, said):
    with pytest.raises(InvalidTrajectory, match=said):
        attention_explorer(records, labels)


def test_an_error_while_drawing_appears_under_the_widget(records, monkeypatch):
    explorer = attention_explorer(records)
    monkeypatch.setattr(explorer, "_redraw", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explorer.controls.head.index = 1
    assert "ZeroDivisionError" in explorer.errors.value
    monkeypatch.undo()
    explorer.controls.head.index = 2
    assert explorer.errors.value == ""


class TestOfARun:
    def test_it_begins_at_the_present_with_the_first_atom_and_shows_it_in_3d(self, explorer, recorded):
        assert explorer.controls.time.label == "now" and explorer.frame == TINY.history - 1
        assert (explorer.atom, explorer.controls.query.label) == (0, "C1")
        assert_allclose(shown(explorer), recorded["encoder.0.local"][-1].mean(0), rtol=1e-6)
        assert len(links(explorer)) > 1 and {link[0] for link in links(explorer)} == {0}

    def test_sticks_are_as_strong_as_the_colours(self, explorer, recorded):
        choose(explorer, "encoder global", head=2, node=4, time=0)
        row = recorded["encoder.0.global"][0, 1][4]
        scale = figure(explorer.heat)["data"][0]["zmax"]
        assert scale == pytest.approx(recorded["encoder.0.global"][0, 1].max())
        expected = {(4, key): row[key] / scale for key in range(9)}
        found = {(a, b): strength for a, b, strength in links(explorer)}
        assert found == pytest.approx(expected, rel=1e-5)  # an untrained model looks everywhere; itself is a ball

    def test_weak_links_are_left_out(self):
        weights = np.full((1, 1, 9, 9), 0.001)
        weights[..., 2] = 1.0
        labels = {"local": AttentionLabels(queries=ATOMS, keys=ATOMS, n_atoms=9, first_atom_key=0)}
        explorer = attention_explorer({"encoder.0.local": weights}, labels, shaken_ethanol()[:4])
        assert links(explorer) == [[0, 2, 1.0]]
        explorer.close()

    def test_what_is_masked_stays_blank(self, explorer, recorded):
        weights = recorded["encoder.0.local"][-1]
        assert blanks(explorer) == (weights == 0).all(0).sum() > 20
        choose(explorer, "encoder global")
        assert blanks(explorer) == 0

    def test_a_register_alone_with_itself_does_not_set_the_scale(self, explorer, recorded):
        choose(explorer, "encoder local", head=1)
        weights = recorded["encoder.0.local"][-1, 0]
        assert weights[9, 9] == 1.0
        assert figure(explorer.heat)["data"][0]["zmax"] == pytest.approx(weights[:9].max())

    def test_a_register_has_no_place(self, explorer):
        choose(explorer, "encoder global", node=10)
        assert explorer.atom == -1 and links(explorer) == [] and outlined(explorer) == [10]
        assert "register 2 looks" in explorer.words.value and "nothing is drawn in 3D" in explorer.words.value

    def test_atom_and_query_are_one(self, explorer):
        explorer.atom = 5
        assert explorer.controls.query.label == "H3" and {link[0] for link in links(explorer)} == {5}
        explorer.controls.query.index = 3
        assert explorer.atom == 2 and {link[0] for link in links(explorer)} == {2}
        explorer.atom = -1
        assert explorer.controls.query.label == "all atoms" and links(explorer) == []
        assert "On average over all atoms" in explorer.words.value

    def test_the_transformation_links_the_atoms_it_reads_now(self, explorer, recorded):
        choose(explorer, "decoder transformation", head=1, node=2, time=1)
        weights, n_rows = recorded["decoder.0.transformation"][2, 0], len(TINY.rows)
        assert_allclose(explorer.weights, weights)
        assert outlined(explorer) == [1]
        found = {b: strength for a, b, strength in links(explorer)}
        had_choice = (weights > 0).sum(1) > 1
        expected = weights[1, n_rows : n_rows + 9] / weights[had_choice].max()
        assert found == pytest.approx(dict(enumerate(expected)), rel=1e-5)
        assert "of the weight lies on its own history" in explorer.words.value

    def test_attention_in_time_is_a_map_alone_and_says_so(self, explorer, recorded):
        choose(explorer, "encoder temporal", node=6)
        assert_allclose(explorer.weights, recorded["encoder.0.temporal"][6].mean(0))
        assert links(explorer) == [] and explorer.far.layout.display == "none"
        assert "not at other atoms: there is nothing to draw in 3D" in explorer.words.value
        explorer.atom = 1
        assert_allclose(explorer.weights, recorded["encoder.0.temporal"][1].mean(0))

    def test_frame_and_time_follow_each_other(self, explorer):
        history = TINY.history
        explorer.controls.time.index = 0
        assert explorer.frame == TINY.rows[0]
        explorer.controls.kind.value = "decoder global"
        slots = TINY.context_starts + TINY.slot_starts
        explorer.controls.time.index = len(slots) - 1
        assert explorer.frame == slots[-1] > history - 1
        for frame in range(history + TINY.horizon):
            explorer.frame = frame
            assert explorer.controls.time.index == np.abs(np.subtract(slots, frame)).argmin()
            assert explorer.frame == frame, "a player that plays must not be held back"

    def test_a_film_is_followed_as_fast_as_it_can_be_drawn(self, explorer, monkeypatch):
        drawn = []
        monkeypatch.setattr(explorer, "_redraw", lambda: drawn.append(explorer.controls.time.label))
        explorer._follow.pause_s = 1.0
        for _ in range(20):
            for frame in (15, 1, 7):
                explorer.frame = frame
        assert len(drawn) <= 2, "what is on show when the film began"
        explorer.frame = 0
        deadline = time.monotonic() + 20
        while drawn[-1:] != ["−4 fs"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert drawn[-1] == "−4 fs" and len(drawn) <= 4

    def test_another_kind_keeps_atom_and_time_where_it_has_them(self, explorer):
        explorer.atom = 7
        for kind in explorer.controls.kind.options:
            explorer.controls.kind.value = kind
            assert explorer.controls.query.label == "H5" and explorer.controls.time.label == "now", kind
        assert explorer.errors.value == ""

    def test_distances_are_those_of_the_chosen_time(self, explorer):
        choose(explorer, "encoder global", node=2, time=0)
        at = shaken_ethanol().positions[START + TINY.rows[0]]
        (mine,) = [trace for trace in figure(explorer.far)["data"] if trace.get("name") == "of O1"]
        x = np.frombuffer(base64.b64decode(mine["x"]["bdata"]), mine["x"]["dtype"])
        assert_allclose(x, np.linalg.norm(at - at[2], axis=1), atol=1e-5)

    def test_clicks_choose_rows_pairs_and_heads(self, explorer):
        click = {"x": 0, "z": None, "curve": 0, "meta": None, "axis": "x", "customdata": None}
        choose(explorer, "encoder global", node=2)
        explorer.heat.clicked = {**click, "y": 9, "count": 1}
        assert explorer.controls.query.label == "register 1"
        explorer.far.clicked = {**click, "y": 0.1, "customdata": [4, 1], "count": 1}
        assert explorer.atom == 4
        explorer.far.clicked = {**click, "y": 0.1, "count": 2}
        assert explorer.atom == 4, "the mean is of no atom"
        explorer.per_head.clicked = {**click, "y": 2, "customdata": 2, "count": 1}
        assert explorer.controls.head.label == "2"
        choose(explorer, "decoder transformation")
        explorer.heat.clicked = {**click, "y": 0, "count": 2}
        assert explorer.controls.time.index == 0 and explorer.atom == 4

    def test_the_browser_chooses_atoms_on_the_axis_that_counts_them(self, explorer):
        for kind, axis in (("encoder local", "y"), ("encoder temporal", ""), ("decoder transformation", "")):
            explorer.controls.kind.value = kind
            assert (explorer.heat.atom_axis, explorer.heat.n_atoms) == (axis, 9)


class TestWindows:
    def test_another_window_makes_no_new_widget(self, explorer):
        choose(explorer, "decoder global", head=2, node=3, time=2)
        before = set(_instances)
        explorer.show(tiny_run(), shaken_ethanol(), 90)
        assert set(_instances) == before
        elsewhere = attention(tiny_run(), window_at(tiny_run(), shaken_ethanol(), 90))
        assert_allclose(shown(explorer), elsewhere["decoder.0.global"][2, 1], rtol=1e-6)
        assert (
            explorer.atom == 3 and "window at frame 90" in figure(explorer.heat)["layout"]["title"]["subtitle"]["text"]
        )

    def test_the_mean_over_windows_says_of_how_many(self):
        explorer = explore_attention(tiny_run(), shaken_ethanol(), start=20, n_windows=5)
        starts = np.linspace(20, 240 - 16, 5).astype(int)
        each = [attention(tiny_run(), window_at(tiny_run(), shaken_ethanol(), int(at))) for at in starts]
        expected = np.mean([one["encoder.0.local"][-1].mean(0) for one in each], axis=0)
        assert_allclose(shown(explorer), expected, atol=1e-5)
        subtitle = figure(explorer.heat)["layout"]["title"]["subtitle"]["text"]
        assert "mean of 5 windows" in subtitle and "5 windows that begin at frames 20 to 224" in explorer.words.value
        at = shaken_ethanol().positions[starts + TINY.history - 1]
        apart = np.linalg.norm(at[:, :, None] - at[:, None], axis=-1).mean(0)
        assert_allclose(explorer.controls.recorded.distances(0.0), apart, atol=1e-5)
        explorer.close()

    def test_no_window_is_refused(self):
        with pytest.raises(InvalidSettings, match="n_windows was 0"):
            explore_attention(tiny_run(), shaken_ethanol(), n_windows=0)
        with pytest.raises(TrajectoryTooShort, match="Choose a start between 0 and 224"):
            explore_attention(tiny_run(), shaken_ethanol(), start=225, n_windows=3)

    def test_a_model_without_attention_is_refused(self):
        settings = TINY.replace(encoder_layers=0, decode="none")
        run = Run(STITransformer(settings, tiny_run().model.molecule), 1.0)
        with pytest.raises(InvalidSettings, match="uses no attention: it has 0 encoder layers.*decode='none'"):
            explore_attention(run, shaken_ethanol())

    def test_too_many_atoms_are_refused_before_anything_is_computed(self, monkeypatch):
        monkeypatch.setattr("asteroid_nb.widgets.attention_records.MOST_NODES", 8)
        monkeypatch.setattr("asteroid_nb.widgets.attention_records.attention", lambda *_: 1 / 0)
        with pytest.raises(InvalidTrajectory, match="9 × 9 weights per map; a browser draws at most 8 × 8"):
            explore_attention(tiny_run(), shaken_ethanol())

    def test_labels_tell_where_atoms_and_times_are(self):
        slots = np.subtract(TINY.context_starts + TINY.slot_starts, TINY.history - 1)
        labels = attention_labels(tiny_run(), shaken_ethanol(), "decoder.0.transformation")
        assert labels.times_fs == slots.tolist() and labels.times[list(slots).index(0)] == "now"
        assert labels.keys[labels.first_atom_key] == "C1 now" and labels.nodes[labels.n_atoms] == "register 1"


class TestBesideAComparison:
    @pytest.fixture
    def panel(self):
        made = compare(shaken_ethanol()[START : START + 16], history=TINY.history)
        yield made
        made.close()

    def test_it_draws_there_and_makes_no_pane(self, panel):
        before = sum(type(widget).__name__ == "Scene" for widget in _instances.values())
        panel.atom = 4
        explorer = explore_attention(tiny_run(), shaken_ethanol(), start=START, comparison=panel)
        assert sum(type(widget).__name__ == "Scene" for widget in _instances.values()) == before
        assert explorer.atom == 4 and explorer.frame == panel.frame == TINY.history - 1
        assert {link[0] for link in panel.views[0].anb_links} == {4}
        explorer.close()
        assert panel.views[0].anb_links == [] and panel.player.comm is not None

    def test_its_sticks_can_be_put_aside(self, panel):
        panel.atom = 4
        explorer = explore_attention(tiny_run(), shaken_ethanol(), start=START, comparison=panel)
        before = panel.views[0].anb_links
        explorer.draws = False
        explorer.controls.head.index = 1
        assert panel.views[0].anb_links == []
        explorer.draws, explorer.controls.head.index = True, 0
        assert panel.views[0].anb_links == before != []
        explorer.close()

    def test_it_chooses_nothing_for_others(self, panel):
        explorer = explore_attention(tiny_run(), shaken_ethanol(), start=START, comparison=panel)
        assert panel.atom == explorer.atom == -1 and explorer.controls.query.label == "all atoms"
        explorer.close()

    def test_another_molecule_is_refused(self, panel):
        small = shaken_ethanol().select(range(8))
        few = compare(small[:16], history=8)
        with pytest.raises(InvalidTrajectory, match="records are of 9 atoms, the linked panel shows 8"):
            explore_attention(tiny_run(), shaken_ethanol(), comparison=few)
        few.close()

    def test_times_of_a_longer_panel_are_found_by_their_fs(self):
        panel = compare(shaken_ethanol()[START : START + 40], history=TINY.history)
        explorer = explore_attention(tiny_run(), shaken_ethanol(), start=START, comparison=panel)
        explorer.controls.kind.value = "decoder global"
        explorer.frame = 39
        assert explorer.controls.time.index == len(explorer.controls.time.options) - 1
        explorer.close()
        panel.close()


class TestMissing:
    def test_a_message_stands_in_its_place(self, explorer):
        explorer.missing("No <b>layer</b> attends.")
        assert (
            "role='alert'" in explorer.notice.value and "No &lt;b&gt;layer&lt;/b&gt; attends." in explorer.notice.value
        )
        assert explorer.body.layout.display == "none" and links(explorer) == []

    def test_until_something_is_loaded(self):
        explorer = AttentionExplorer(None)
        assert "No attention has been recorded yet" in explorer.notice.value
        with pytest.raises(InvalidTrajectory, match="Nothing is on show"):
            _ = explorer.weights
        explorer.atom, explorer.frame = 1, 0
        explorer.show(tiny_run(), shaken_ethanol(), START)
        assert explorer.notice.value == "" and explorer.body.layout.display is None
        assert explorer.atom == 1 and explorer.weights.shape == (11, 11)
        explorer.close()

    def test_records_of_another_length_get_another_pane(self, explorer):
        former = explorer.comparison
        few = Recorded(
            records={"encoder.0.local": np.ones((1, 1, 8, 8)) / 8}, trajectory=shaken_ethanol().select(range(8))
        )
        explorer.load(few)
        assert explorer.comparison is not former and former.comm is None
        assert explorer.comparison in explorer.body.children[2].children


def test_closing_leaves_nothing_behind():
    library()
    before = set(_instances)
    explorer = explore_attention(tiny_run(), shaken_ethanol(), start=START)
    explorer.controls.kind.value = "decoder global"
    explorer.show(tiny_run(), shaken_ethanol(), 50)
    explorer.close()
    left = [_instances[key] for key in set(_instances) - before]
    assert [type(widget).__name__ for widget in left] in ([], ["Layout"]), left  # NGLView's picture leaves its layout


def test_the_state_is_small(explorer):
    sizes = {type(widget).__name__: len(json.dumps(widget.get_state(), default=str)) for widget in explorer.plots}
    assert max(sizes.values()) < 200_000
    assert record(tiny_run(), shaken_ethanol()).what == "window at frame 0"
