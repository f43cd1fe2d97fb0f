"""The explorer shows exactly the weights that were recorded, whatever is chosen in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.widgets.attention import AttentionLabels, attention_explorer

SHAPES = {
    "encoder.0.local": (16, 4, 9, 9),
    "encoder.1.local": (16, 4, 9, 9),
    "encoder.1.global": (16, 2, 9, 13),
    "decoder.0.temporal": (9, 2, 8, 24),
}
ATOMS = ["C1", "C2", "O1", "H1", "H2", "H3", "H4", "H5", "H6"]


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    raw = {name: rng.random(shape).astype(np.float32) for name, shape in SHAPES.items()}
    return {name: weights / weights.sum(-1, keepdims=True) for name, weights in raw.items()}


def shown(explorer) -> np.ndarray:
    return np.asarray(explorer.figure.data[0].z)


def test_it_begins_with_the_mean_over_heads(records):
    explorer = attention_explorer(records)
    assert_allclose(shown(explorer), records["encoder.0.local"][0].mean(0), rtol=1e-6)


def test_every_choice_shows_its_own_weights(records):
    explorer = attention_explorer(records)
    for name, weights in records.items():
        part, layer, kind = name.split(".")
        explorer.kind.value = f"{part} {kind}"
        explorer.layer.value = int(layer)
        for head in range(weights.shape[1]):
            for index in (0, weights.shape[0] - 1):
                explorer.head.index, explorer.each.index = head + 1, index
                assert explorer.record == name
                assert_allclose(shown(explorer), weights[index, head], rtol=1e-6)


def test_a_choice_that_the_next_record_lacks_falls_back_to_its_last(records):
    explorer = attention_explorer(records)
    explorer.head.index, explorer.each.index = 4, 15
    explorer.kind.value = "decoder temporal"
    assert explorer.each.index == 8 and explorer.head.index == 2 and explorer.errors.value == ""
    assert_allclose(shown(explorer), records["decoder.0.temporal"][8, 1], rtol=1e-6)


def test_only_layers_that_were_recorded_are_offered(records):
    explorer = attention_explorer(records)
    explorer.kind.value = "encoder global"
    assert explorer.layer.options == (1,) and explorer.record == "encoder.1.global"


def test_labels_are_found_by_kind_and_name_the_axes(records):
    labels = {
        "local": AttentionLabels(queries=ATOMS, keys=ATOMS, each=[f"{k} fs" for k in range(16)]),
        "temporal": AttentionLabels(each=ATOMS, each_name="atom"),
    }
    explorer = attention_explorer(records, labels)
    assert list(explorer.figure.layout.xaxis.ticktext) == ATOMS and explorer.each.label == "0 fs"
    explorer.kind.value = "decoder temporal"
    assert explorer.each.description == "atom" and explorer.each.label == "C1"


def test_labels_that_do_not_fit_are_refused(records):
    with pytest.raises(InvalidTrajectory, match="9 queries, but 2 labels"):
        attention_explorer(records, {"encoder.0.local": AttentionLabels(queries=["a", "b"])})


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({}, "No attention was recorded"),
        ({"encoder.0.local": np.ones((9, 9))}, r"\(9, 9\), not \[each, heads, queries, keys\]"),
        ({"encoder.0.local": np.full((1, 1, 2, 2), np.nan)}, "nothing but NaN"),
    ],
)
def test_records_that_cannot_be_shown_are_refused(records, said):
    with pytest.raises(InvalidTrajectory, match=said):
        attention_explorer(records)


def test_an_error_while_drawing_appears_under_the_widget(records, monkeypatch):
    explorer = attention_explorer(records)
    monkeypatch.setattr(explorer, "_map", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explorer.head.index = 1
    assert "ZeroDivisionError" in explorer.errors.value
    monkeypatch.undo()
    explorer.head.index = 2
    assert explorer.errors.value == ""
