"""Attention in figures and sentences: the numbers they are given, what is chosen, what would be by chance."""

import json

import numpy as np
import pytest

from asteroid_nb.views import attention, attention_words
from asteroid_nb.views.attention_heads import head_bars
from asteroid_nb.views.style import alt_text, plain

HOSTILE = "<script>alert(1)</script>"
LABELS = ["C1", "O1", HOSTILE]
WEIGHTS = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [0.4, 0.6, np.nan]])
DISTANCES = np.array([[0.0, 1.1, 2.2], [1.1, 0.0, 1.4], [2.2, 1.4, 0.0]])
HEADS = {"entropy": np.array([0.9, np.nan]), HOSTILE: np.array([0.3, 0.7])}


def named(figure, name):
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


def texts(figure):
    (found,) = [trace.text for trace in figure.data if trace.mode == "markers+text"]
    return found


class TestMap:
    def test_outlines_the_chosen_row_and_no_other(self):
        assert not attention.attention_map(WEIGHTS, LABELS, LABELS).layout.shapes
        (outline,) = attention.attention_map(WEIGHTS, LABELS, LABELS, chosen=1).layout.shapes
        assert (outline.y0, outline.y1, outline.x0, outline.x1) == (0.5, 1.5, 0, 1)

    def test_colours_end_where_they_are_told(self):
        assert attention.attention_map(WEIGHTS, LABELS, LABELS, largest=0.5).data[0].zmax == 0.5
        assert attention.attention_map(WEIGHTS, LABELS, LABELS).data[0].zmax == 0.7

    def test_a_cell_says_who_looks_at_whom_or_that_it_cannot(self):
        heat = attention.attention_map(WEIGHTS, LABELS[:2] + ["H1"], LABELS[:2] + ["H1"]).data[0]
        assert heat.text[0][1] == "C1 looks at O1: 0.200" and heat.text[2][2] == "H1 cannot see H1"
        assert "%{z" not in heat.hovertemplate
        heat = attention.attention_map(np.eye(3), LABELS, LABELS).data[0]
        assert heat.text[0][1] == "C1 looks at O1" and "%{z:.3f}" in heat.hovertemplate

    def test_a_large_map_has_no_numbers_in_its_cells_and_few_ticks(self):
        names = [str(index) for index in range(90)]
        figure = attention.attention_map(np.ones((90, 90)) / 90, names, names)
        assert figure.data[0].texttemplate is None and len(figure.layout.xaxis.tickvals) <= 40
        assert "and 78 more" in alt_text(figure)


class TestByDistance:
    def test_the_pairs_of_the_chosen_query_stand_out_and_are_named(self):
        figure = attention.attention_by_distance(WEIGHTS, DISTANCES, labels=LABELS, chosen=0)
        mine = named(figure, "of C1")
        np.testing.assert_allclose((mine.x, mine.y), (DISTANCES[0], WEIGHTS[0]))
        assert list(texts(figure)) == [plain(label) for label in (HOSTILE, "O1", "C1")]
        assert mine.marker.symbol != named(figure, "pairs").marker.symbol
        assert mine.customdata.tolist() == [[0, 0], [0, 1], [0, 2]]

    def test_only_the_strongest_are_named(self):
        weights = np.arange(1.0, 37).reshape(6, 6)
        figure = attention.attention_by_distance(weights, weights, labels=list("abcdef"), chosen=2)
        assert list(texts(figure)) == ["f", "e", "d", "c"]

    def test_masked_pairs_are_left_out(self):
        figure = attention.attention_by_distance(WEIGHTS, DISTANCES, labels=LABELS)
        assert len(named(figure, "pairs").x) == 8 and [2, 2] not in named(figure, "pairs").customdata.tolist()
        assert [trace.name for trace in figure.data] == ["pairs", "mean"]

    def test_the_even_weight_is_drawn_where_it_is(self):
        shapes = [attention.attention_by_distance(WEIGHTS, DISTANCES, even=even).layout.shapes for even in (None, 0.2)]
        assert [shape.y0 for (shape,) in shapes] == [pytest.approx(1 / 3), 0.2]

    def test_thinning_is_said(self):
        many = np.random.default_rng(0).random((80, 80))
        pairs = attention.attention_by_distance(many, 5 * many).data[0]
        assert pairs.name == "one pair in 3" and len(pairs.x) == np.ceil(6400 / 3)


class TestHeads:
    figure = head_bars(HEADS, even={HOSTILE: 0.4}, chosen=1, heads=["mean", "head 1"])

    def test_bars_hold_the_shares_and_their_head(self):
        bars = named(self.figure, "entropy"), named(self.figure, plain(HOSTILE))
        np.testing.assert_allclose([bar.x for bar in bars], list(HEADS.values()))
        assert all(bar.customdata.tolist() == [0, 1] for bar in bars)
        assert bars[0].marker.pattern.shape != bars[1].marker.pattern.shape, "not told apart by colour alone"

    def test_numbers_stand_beside_them(self):
        texts = [trace.text for trace in self.figure.data if trace.type == "scatter" and trace.mode == "text"]
        assert [list(text) for text in texts] == [["0.90", "no choice"], ["0.30", "0.70"]]

    def test_even_is_a_tick_on_the_bars_of_its_measure(self):
        tick, bar = named(self.figure, "if even"), named(self.figure, plain(HOSTILE))
        assert list(tick.x) == [0.4, 0.4]
        low = np.arange(2) + bar.offset
        assert ((tick.y > low) & (tick.y < low + bar.width)).all()
        assert not [trace for trace in head_bars(HEADS).data if trace.name == "if even"]

    def test_the_chosen_head_is_marked(self):
        assert list(self.figure.layout.yaxis.ticktext) == ["mean", "▸ head 1"]
        assert list(head_bars(HEADS).layout.yaxis.ticktext) == ["head 1", "head 2"]

    def test_it_is_told_in_words_and_brings_no_markup(self):
        assert "entropy: mean 0.90, head 1 no choice" in alt_text(self.figure) and self.figure.layout.title.text
        drawn = json.loads(self.figure.to_json())
        del drawn["layout"]["meta"]
        assert HOSTILE not in json.dumps(drawn)


class TestWords:
    allowed = np.array([[True, True, True]])

    def test_the_strongest_come_first_and_itself_by_name(self):
        row = np.array([0.2, 0.5, 0.05, 0.25])
        said = attention_words.looks_at("C1", row, ["C1", "O1", "H1", "H2"], own=0)
        assert said == "C1 looks mostly at O1 (0.50), H2 (0.25) and itself (0.20)."

    def test_all_that_is_looked_at_is_not_mostly(self):
        assert attention_words.looks_at("C1", np.array([0.0, 1.0, np.nan]), LABELS) == "C1 looks at O1 (1.00)."
        assert attention_words.looks_at("C1", np.zeros(3), LABELS) == "C1 looks at nothing."

    def test_entropy_or_no_choice(self):
        assert "Entropy 1 of the most possible" in attention_words.spread(np.ones((1, 3)), self.allowed)
        assert "no choice" in attention_words.spread(np.array([[1.0, 0, 0]]), np.array([[True, False, False]]))

    def test_nearness_beside_what_it_would_be_evenly(self):
        near = np.array([[True, False]])
        said = attention_words.nearness(np.array([[0.5, 0.2, 0.3]]), self.allowed, near, hops=2)
        assert said == "50 % of the weight lies within 2 bonds (33 % if even), 30 % on registers."
        said = attention_words.nearness(np.array([[0.5, 0.5]]), self.allowed[:, :2], near, hops=1)
        assert said == "50 % of the weight lies within 1 bond (50 % if even)."

    def test_reach(self):
        said = attention_words.reach(np.array([[0.75, 0.25, 7.0]]), self.allowed, np.array([[0.0, 2.0]]))
        assert said == "Mean distance looked at: 0.5 Å (1 Å if even)."
        assert (
            attention_words.reach(np.array([[0.0, 0, 1]]), self.allowed, np.ones((1, 2))) == "No weight lies on atoms."
        )

    def test_its_own_history(self):
        said = attention_words.own_past(np.array([0.3, 0.3, 0.4, 0.0]), 2)
        assert said == "60 % of the weight lies on its own history (50 % if even), the rest on all nodes now."

    def test_sums_are_told_only_where_they_are_not_one(self):
        assert attention_words.sums(np.array([[0.5, 0.5], [1.0, np.nan]])) == ""
        assert "they sum to 1.3," in attention_words.sums(np.array([[1.0, 0.3]]))
        assert "they sum to 0.5 to 1.3," in attention_words.sums(np.array([[1.0, 0.3], [0.2, 0.3]]))
