"""What the error explorer lets one choose; every click on its figures has a twin here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipywidgets import Dropdown, HBox, IntSlider, Layout, SelectionSlider, VBox

from asteroid_nb.metrics.horizon import MEASURES, ErrorTable
from asteroid_nb.widgets.parts import hear_while_busy

#: Values of ``rival`` are places in the table's names, and this one.
BEST = -1

WORDS = {"description_width": "initial"}


class ErrorControls(VBox):
    """Two rows: what is compared, and where one looks.

    ``place`` counts the windows by walker and start. ``time`` is there only where no other player moves the frame.
    """

    def __init__(self, table: ErrorTable, name: str, times_fs: Sequence[float], *, own_time: bool):
        self._table = table
        self._best: dict[str, str] = {}
        self.forecaster = _choice("forecaster", table.names, name)
        self.rival = _choice("against", self._rivals(name), BEST)
        self.measure = _choice("measure", [(measure.upper(), measure) for measure in MEASURES], "rmse")
        self.scale = _choice("scale", ["linear", "log"], "linear")
        self.window = _choice("window", ["worst", "median", "best", "chosen"], "worst")
        # A slider with a single place cannot be drawn.
        last = max(1, table.n_windows - 1)
        wide = {"layout": Layout(width="300px"), "style": WORDS}
        self.place = IntSlider(
            max=last, description="place", continuous_update=False, disabled=table.n_windows < 2, **wide
        )
        self.rows = _choice("rows", [("by walker and start", "start"), ("worst first", "worst")], "start")
        atoms = [(label, atom) for atom, label in enumerate(table.atom_labels)]
        self.atom = _choice("atom", [("none", -1), *atoms], -1)
        what = [self.forecaster, self.rival, self.measure, self.scale]
        where: list[Any] = [self.window, self.place, self.rows, self.atom]
        self.time = None
        if own_time and len(times_fs) > 1:
            options = [(f"{time:g} fs", frame) for frame, time in enumerate(times_fs)]
            self.time = SelectionSlider(options=options, description="lead time", **wide)
            where.append(self.time)
        for control in (*what, *where):
            hear_while_busy(control)
        super().__init__([HBox(row, layout=Layout(flex_flow="row wrap", width="100%")) for row in (what, where)])

    def offer_rivals(self, name: str) -> None:
        """Offer all but the forecaster itself; keep the chosen rival where it still is one."""
        kept, options = self.rival.value, self._rivals(name)
        if list(self.rival.options) == options:
            return
        self.rival.options = options
        self.rival.value = kept if kept in [value for _, value in options] else BEST

    def rival_of(self, name: str) -> str | None:
        """Return the chosen rival, or the best other; None where there is no other."""
        place: Any = self.rival.value
        if len(self._table.names) < 2:
            return None
        return self._best_other(name) if place in (BEST, self._table.names.index(name)) else self._table.names[place]

    def _rivals(self, name: str) -> list[tuple[str, int]]:
        others = [(other, place) for place, other in enumerate(self._table.names) if other != name]
        return [(f"the best other: {self._best_other(name)}" if others else "none", BEST), *others]

    def _best_other(self, name: str) -> str:
        """Return whose RMSE over all windows is least, found once: it is asked for at every frame."""
        if name not in self._best:
            self._best[name] = self._table.best_of([other for other in self._table.names if other != name])
        return self._best[name]


def _choice(words: str, options: Sequence[Any], value: Any) -> Dropdown:
    layout = Layout(width="auto", max_width="340px", margin="2px 12px 2px 0")
    return Dropdown(options=list(options), value=value, description=words, style=WORDS, layout=layout)
