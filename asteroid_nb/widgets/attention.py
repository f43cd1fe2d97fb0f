"""A first look at attention: choose kind, layer, head and time, and see who looks at whom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from ipywidgets import Dropdown, HBox, Layout, SelectionSlider, VBox

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.views.attention import attention_map
from asteroid_nb.widgets.parts import ErrorLine, replace_former

MEAN = "mean over heads"


@dataclass(frozen=True, kw_only=True)
class AttentionLabels:
    """Names along the axes of one record [each, heads, queries, keys]; empty ones are counted from 1.

    Args:
        queries: who looks.
        keys: whom they look at.
        each: one map per entry: times for attention between atoms, atoms for attention in time.
        each_name: what ``each`` counts.
    """

    queries: Sequence[str] = ()
    keys: Sequence[str] = ()
    each: Sequence[str] = ()
    each_name: str = "time"


def attention_explorer(
    records: Mapping[str, np.ndarray], labels: Mapping[str, AttentionLabels] | None = None
) -> AttentionExplorer:
    """Return an explorer of recorded attention weights.

    Args:
        records: [each, heads, queries, keys], NaN where masked, by a name with a layer number in it:
            ``"encoder.0.local"``.
        labels: by a record's name, or by a part of it (``"local"``).

    Raises:
        InvalidTrajectory: no record, another shape, infinity, or labels that do not fit.
    """
    explorer = AttentionExplorer(records, labels or {})
    replace_former(explorer)
    return explorer


class AttentionExplorer(VBox):
    """What `attention_explorer` returns; its controls are ``kind``, ``layer``, ``head`` and ``each``."""

    #: True while one choice changes what the others offer: until then they do not fit each other.
    _fitting = False

    def __init__(self, records: Mapping[str, np.ndarray], labels: Mapping[str, AttentionLabels]):
        self._records = {name: _checked(name, weights) for name, weights in records.items()}
        if not self._records:
            raise InvalidTrajectory("No attention was recorded. Run the forecast again with recording switched on.")
        self._labels = {name: _labels(name, weights, labels) for name, weights in self._records.items()}
        self._names = _by_kind_and_layer(self._records)
        wide = {"layout": Layout(width="auto", min_width="150px"), "style": {"description_width": "initial"}}
        self.kind = Dropdown(options=list(self._names), description="kind", **wide)
        self.layer = Dropdown(options=self._layers(), description="layer", **wide)
        self.head = Dropdown(options=[MEAN], description="head", **wide)
        self.each = SelectionSlider(
            options=["1"], description="time", layout=Layout(width="360px"), style={"description_width": "initial"}
        )
        self.errors = ErrorLine()
        self._fit_controls()
        self.figure = go.FigureWidget(self._map())
        for control in (self.kind, self.layer):
            control.observe(self.errors.guard(self._changed_record), "value")
        for control in (self.head, self.each):
            control.observe(self.errors.guard(self._redraw), "index")
        row = HBox([self.kind, self.layer, self.head, self.each], layout=Layout(flex_flow="row wrap"))
        super().__init__([row, self.figure, self.errors])

    @property
    def record(self) -> str:
        """Return the name of the record on show."""
        return self._names[str(self.kind.value)][int(self.layer.value or 0)]

    @property
    def weights(self) -> np.ndarray:
        """Return the weights on show, [queries, keys]."""
        chosen = self._records[self.record][self.each.index]
        return chosen[self.head.index - 1] if self.head.index else chosen.mean(0)

    def _layers(self) -> list[int]:
        return sorted(self._names[str(self.kind.value)])

    def _changed_record(self, change: dict) -> None:
        if self._fitting:
            return
        self._fitting = True
        try:
            if change["owner"] is self.kind and list(self.layer.options) != self._layers():
                self.layer.options = self._layers()
            self._fit_controls()
        finally:
            self._fitting = False
        self._redraw()

    def _fit_controls(self) -> None:
        """Offer the heads and entries that the record has; keep what was chosen where it still exists."""
        each, heads = self._records[self.record].shape[:2]
        labels = self._labels[self.record]
        self.each.description = labels.each_name
        for control, options in (
            (self.head, [MEAN, *(str(head + 1) for head in range(heads))]),
            (self.each, list(zip(labels.each, range(each), strict=True))),
        ):
            if list(control.options) != options:
                kept = min(control.index or 0, len(options) - 1)
                control.options = options
                control.index = kept

    def _map(self) -> go.Figure:
        labels = self._labels[self.record]
        head = f"head {self.head.value}" if self.head.index else MEAN
        title = f"{self.kind.value}, layer {self.layer.value}, {head}, {labels.each_name} {self.each.label}"
        kind = str(self.kind.value).split()[-1]
        return attention_map(self.weights, list(labels.queries), list(labels.keys), title=title, kind=kind)

    def _redraw(self, _: object = None) -> None:
        if self._fitting:
            return
        shown, new = self.figure, self._map()
        pairs: Any = zip(shown.data, new.data, strict=True)
        with shown.batch_update():
            for trace, drawn in pairs:
                trace.update(drawn.to_plotly_json(), overwrite=True)
            shown.layout.update(new.layout.to_plotly_json(), overwrite=True)


def _checked(name: str, weights: np.ndarray) -> np.ndarray:
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim != 4 or 0 in weights.shape:
        raise InvalidTrajectory(f"Attention {name!r} has shape {weights.shape}, not [each, heads, queries, keys].")
    if np.isinf(weights).any() or np.isnan(weights).all():
        raise InvalidTrajectory(f"Attention {name!r} holds infinity, or nothing but NaN: did the training diverge?")
    return weights


def _labels(name: str, weights: np.ndarray, labels: Mapping[str, AttentionLabels]) -> AttentionLabels:
    parts = [name, *reversed(re.split(r"[. ]", name))]
    given = next((labels[part] for part in parts if part in labels), AttentionLabels())
    counts = {"each": weights.shape[0], "queries": weights.shape[2], "keys": weights.shape[3]}
    filled = {}
    for axis, count in counts.items():
        words = [str(word) for word in getattr(given, axis)] or [str(i + 1) for i in range(count)]
        if len(words) != count:
            raise InvalidTrajectory(f"Attention {name!r} has {count} {axis}, but {len(words)} labels. Give one each.")
        filled[axis] = words
    return AttentionLabels(**filled, each_name=given.each_name)


def _by_kind_and_layer(names: Mapping[str, np.ndarray]) -> dict[str, dict[int, str]]:
    """Sort "encoder.0.local" under kind "encoder local", layer 0; a name without a number is layer 0."""
    sorted_names: dict[str, dict[int, str]] = {}
    for name in names:
        parts = name.split(".")
        numbers = [int(part) for part in parts if part.isdigit()]
        kind = " ".join(part for part in parts if not part.isdigit())
        sorted_names.setdefault(kind, {})[numbers[0] if numbers else 0] = name
    return sorted_names
