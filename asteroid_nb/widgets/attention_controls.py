"""The controls of an attention explorer: they offer what a record has and keep what was chosen where it exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import Dropdown, HBox, Layout, SelectionSlider

from asteroid_nb.widgets.attention_records import AttentionLabels, Recorded, nearest
from asteroid_nb.widgets.parts import hear_while_busy

MEAN = "mean over heads"

#: In place of one query: the whole map, or the mean over atoms.
ALL = -1


class AttentionControls(HBox):
    """Kind, layer, head, query and time of `Recorded` attention.

    Args:
        recorded: what there is to choose from.
        changed: called with "record", "head", "query" or "time" once all controls fit each other.
        guard: shows the errors of a callback, see `asteroid_nb.widgets.parts.ErrorLine`.
    """

    #: True while one choice changes what the others offer: until then they do not fit each other.
    _fitting = False

    #: The time on show last, which another record may lack.
    _last_fs = 0.0

    def __init__(self, recorded: Recorded, changed: Callable[[str], Any], guard: Callable[[Any], Any]):
        look: dict[str, Any] = {"layout": Layout(width="auto", min_width="110px", max_width="320px")}
        look["style"] = {"description_width": "initial"}
        self.kind = Dropdown(options=["-"], description="kind", **look)
        self.layer = Dropdown(options=["-"], description="layer", **look)
        self.head = Dropdown(options=["-"], description="head", **look)
        self.query = Dropdown(options=["-"], description="query", **look)
        self.time = SelectionSlider(options=["-"], description="time", **look)
        self.time.layout = Layout(width="300px", max_width="100%")
        self._changed = changed
        self.offer(recorded)
        names = {self.kind: "record", self.layer: "record", self.head: "head", self.query: "query", self.time: "time"}
        for control, name in names.items():
            control.observe(guard(lambda _, name=name: self._chosen(name)), "index")
            hear_while_busy(control)
        super().__init__(list(names), layout=Layout(flex_flow="row wrap", width="100%", grid_gap="0 12px"))

    def offer(self, recorded: Recorded) -> None:
        """Offer other records; what was chosen stays where they have it."""
        self.recorded = recorded
        self._fit()

    @property
    def record(self) -> str:
        """Return the name of the record on show."""
        return self.recorded.names[str(self.kind.value)][int(self.layer.value or 0)]

    @property
    def labels(self) -> AttentionLabels:
        return self.recorded.labels[self.record]

    @property
    def node(self) -> int:
        """Return the chosen atom, or register after them, or `ALL`."""
        return int(self.query.index or 0) - 1

    @property
    def each(self) -> int | None:
        """Return which entry of the record is on show, None for the mean over its atoms."""
        if self.labels.between_atoms:
            return int(self.time.index or 0)
        return None if self.node == ALL else self.node

    @property
    def row(self) -> int | None:
        """Return which query of the map is the chosen one, if any."""
        if not self.labels.between_atoms:
            return int(self.time.index or 0)
        return None if self.node == ALL else self.node

    @property
    def time_fs(self) -> float | None:
        """Return the chosen time, the present being 0; None where the record has none."""
        return float(self.labels.times_fs[self.time.index or 0]) if self.labels.times_fs else None

    def choose_node(self, node: int) -> None:
        self.query.index = node + 1

    def choose_time_near(self, time_fs: float) -> None:
        """Choose the recorded time nearest to another."""
        if self.labels.times_fs:
            self.time.index = nearest(self.labels.times_fs, time_fs)

    def _chosen(self, name: str) -> None:
        if self._fitting:
            return
        if name == "record":
            self._fit()
        self._last_fs = self.time_fs or 0.0
        self._changed(name)

    def _fit(self) -> None:
        self._fitting = True
        try:
            _offer(self.kind, list(self.recorded.names))
            _offer(self.layer, sorted(self.recorded.names[str(self.kind.value)]))
            heads = self.recorded.records[self.record].shape[1]
            _offer(self.head, [MEAN, *(str(head + 1) for head in range(heads))])
            nodes = [f"all {'atoms' if self.labels.n_atoms else ''}".strip(), *self.labels.nodes]
            _offer(self.query, _numbered(nodes))
            _offer(self.time, _numbered(list(self.labels.times)))
            self.choose_time_near(self._last_fs)
        finally:
            self._fitting = False


def _numbered(labels: list[str]) -> list[tuple[str, int]]:
    """Return options that stay apart where labels are the same."""
    return [(label, index) for index, label in enumerate(labels)]


def _offer(control: Any, options: list) -> None:
    """Offer options; what was chosen stays by its name, else by its place."""
    if list(control.options) == options:
        return
    names = [option[0] if isinstance(option, tuple) else str(option) for option in options]
    kept = names.index(control.label) if control.label in names else min(control.index or 0, len(options) - 1)
    control.options = options
    control.index = kept
