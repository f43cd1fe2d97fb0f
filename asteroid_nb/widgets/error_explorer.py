"""The error explorer: how errors grow, in which windows, on which atoms; each picture drives the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets
from ipywidgets import HTML, HBox, Layout, jslink
from plotly.graph_objects import Figure
from traitlets import Int, TraitError, validate

from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.views.horizon import error_over_horizon
from asteroid_nb.views.per_atom import per_atom_bars
from asteroid_nb.views.worst_windows import error_heatmap, window_in_words, windows_in_order
from asteroid_nb.widgets.compare import Comparison
from asteroid_nb.widgets.error_controls import ErrorControls
from asteroid_nb.widgets.latest import Latest
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import ErrorLine, escaped, replace_former
from asteroid_nb.widgets.plot import Plot

#: The room that curves, map and bars need to stand beside one another: the curves have the longest legend.
LEAST_WIDTH_PX = (560, 410, 410)


def explore_errors(
    table: ErrorTable,
    *,
    comparison: Comparison | None = None,
    load: Callable[[int], Sequence[Any]] | None = None,
    forecaster: str | None = None,
    window: int | None = None,
) -> ErrorExplorer:
    """Show errors over the horizon, of each window and on each atom.

    Args:
        table: errors of all forecasters on the same windows.
        comparison: its player moves the marks here, and a click here moves it.
        load: returns reference and forecasts of a window, by its index in the table, for the comparison to show.
        forecaster: the one to begin with; the table's first when not given.
        window: the one that the comparison shows already; when not given the worst is chosen, and loaded.

    Raises:
        ValueError: ``load`` without a comparison, or a forecaster that is not in the table.
    """
    on_window = None
    if load is not None:
        if comparison is None:
            raise ValueError("load was given, and no comparison to show its windows. Give comparison=compare(…).")
        on_window = lambda chosen: comparison.show(*load(chosen))  # noqa: E731  (a closure over both)
    panel = {} if comparison is None else {"times_fs": comparison.times_fs, "present": comparison.present}
    explorer = ErrorExplorer(table, forecaster=forecaster, window=window, on_window=on_window, **panel)
    if comparison is not None:
        explorer.follow(comparison)
    explorer.tell()
    replace_former(explorer)
    return explorer


class ErrorExplorer(Panel):
    """What `explore_errors` returns; what can be chosen by hand is in ``controls``.

    ``frame`` is the index into ``times_fs``, ``window`` that of a window in the table, ``atom`` that of an atom (−1:
    none); all three may be set and observed.

    Args:
        table: of all forecasters and windows.
        forecaster: the one to begin with; the table's first when not given.
        times_fs: of the frames of a panel to be linked with; the lead times alone when not given.
        present: the frame after which forecasts begin, 0 fs here.
        window: the one to begin with, which ``on_window`` need not be told; the worst when not given.
        on_window: called with the index of each window that is chosen.
    """

    frame = Int()
    atom = Int(-1)
    window = Int()

    def __init__(
        self,
        table: ErrorTable,
        *,
        forecaster: str | None = None,
        times_fs: Sequence[float] | np.ndarray | None = None,
        present: int = 0,
        window: int | None = None,
        on_window: Callable[[int], object] | None = None,
    ):
        name = table.names[0] if forecaster is None else forecaster
        if name not in table.names:
            raise ValueError(f"No forecaster {name!r} in this table; it has {', '.join(table.names)}.")
        self.table, self.times_fs = table, _times(table, times_fs, present)
        self.errors, self.words = ErrorLine(), HTML()
        self.controls = ErrorControls(table, name, self.times_fs, own_time=times_fs is None)
        self._on_window, self._told = on_window, window
        # Callbacks may run in several threads: every figure is made from the state as it is then, one after another.
        self._drawing = threading.RLock()
        self.frame = self.frame_of(len(table.lead_times_fs) - 1)
        self.window = self._picked("worst") if window is None else window
        self.curves = Plot(self._draw_curves(), times_fs=self.times_fs)
        self.map = Plot(self._draw_map(), times_fs=self.times_fs)
        self.bars = Plot(self._draw_bars(), atom_axis="x", n_atoms=len(table.atom_labels))
        self.plots = (self.curves, self.map, self.bars)
        self._write_words()
        self._show_choice()
        self.moment = Latest(self.errors.guard(self._draw_moment))
        self._links = (self.moment, *self._link())
        self._hear()
        for plot, least_px in zip(self.plots, LEAST_WIDTH_PX, strict=True):
            plot.layout.flex, plot.layout.min_width = f"1 1 {least_px}px", "0"
        row = HBox(self.plots, layout=Layout(flex_flow="row wrap", width="100%"))
        super().__init__([self.controls, self.words, row, self.errors], layout=Layout(width="100%"))

    @property
    def forecaster(self) -> str:
        """Return the name of the forecaster that the map and the bars show."""
        return str(self.controls.forecaster.value)

    @property
    def rival(self) -> str | None:
        """Return the name of the one it is held against, None where there is no other."""
        return self.controls.rival_of(self.forecaster)

    @property
    def lead(self) -> int | None:
        """Return the index of the lead time nearest to the frame's; None in the history, the present included."""
        time_fs = self.times_fs[self.frame]
        return self.table.nearest_lead(time_fs) if time_fs > 0 else None

    def frame_of(self, lead: int) -> int:
        """Return the frame whose time is nearest to a lead time."""
        return int(np.abs(np.asarray(self.times_fs) - self.table.lead_times_fs[lead]).argmin())

    def follow(self, comparison: Comparison) -> None:
        """Link frame and atom with a comparison's player in the browser, from the player's values on."""
        frame = link_in_browser(comparison.player, self.curves, names=("frame",))
        self._links = (*self._links, *frame, *link_in_browser(comparison.player, self.bars, names=("atom",)))

    def tell(self) -> None:
        """Call ``on_window`` with the chosen window, unless the last call was with it and succeeded."""
        self.errors.guard(self._tell)()

    @validate("frame")
    def _known_frame(self, proposal: dict[str, Any]) -> int:
        return _within("frame", proposal["value"], len(self.times_fs))

    @validate("window")
    def _known_window(self, proposal: dict[str, Any]) -> int:
        return _within("window", proposal["value"], self.table.n_windows)

    def _link(self) -> list[Any]:
        traitlets.link((self, "frame"), (self.curves, "frame"))
        traitlets.link((self, "atom"), (self.bars, "atom"))
        links = link_in_browser(self.curves, self.map, names=("frame",))
        if self.controls.time is not None:
            self.controls.time.index = self.frame
            links.append(jslink((self.curves, "frame"), (self.controls.time, "index")))
        return links

    def _hear(self) -> None:
        controls, guard = self.controls, self.errors.guard
        # With the forecaster the rivals on offer change, and with one of them the rival.
        for control, plots in (
            (controls.forecaster, self.plots),
            (controls.measure, self.plots),
            (controls.rival, (self.bars,)),
            (controls.scale, (self.curves,)),
            (controls.rows, (self.map,)),
        ):
            control.observe(guard(lambda _, plots=plots: self._redraw(*plots)), "value")
        controls.window.observe(guard(self._window_named), "value")
        controls.place.observe(guard(self._window_placed), "value")
        controls.atom.observe(guard(self._atom_named), "value")
        self.map.on_click(guard(self._cell_clicked))
        self.observe(guard(lambda _: self.moment()), "frame")
        self.observe(guard(self._follow_window), "window")
        self.observe(guard(lambda _: self._show_choice()), "atom")

    def _cell_clicked(self, point: dict[str, Any]) -> None:
        chosen = int(point["customdata"][0])
        if chosen == self.window:
            self.tell()
        self.window = chosen

    def _window_named(self, change: dict[str, Any]) -> None:
        if change["new"] != "chosen":
            self.window = self._picked(change["new"])

    def _window_placed(self, change: dict[str, Any]) -> None:
        self.window = int(windows_in_order(self.table, self.forecaster)[change["new"]])

    def _atom_named(self, change: dict[str, Any]) -> None:
        self.atom = change["new"]

    def _follow_window(self, _: object) -> None:
        self._redraw(*self.plots)
        self.tell()

    def _tell(self) -> None:
        if self._on_window is not None and self._told != self.window:
            self._told = None
            self._on_window(self.window)
            self._told = self.window

    def _picked(self, which: str) -> int:
        """Return the worst, median or best window of the forecaster, by the chosen measure."""
        measure: Any = self.controls.measure.value
        ranking = windows_in_order(self.table, self.forecaster, measure, "worst")
        return int(ranking[{"worst": 0, "median": len(ranking) // 2, "best": -1}[which]])

    def _redraw(self, *plots: Plot) -> None:
        """Draw these figures again, and write the words, which follow every choice."""
        drawn = {self.curves: self._draw_curves, self.map: self._draw_map, self.bars: self._draw_bars}
        with self._drawing:
            self._show_choice()
            for plot in plots:
                plot.show(drawn[plot]())
            self._write_words()

    def _draw_moment(self) -> None:
        with self._drawing:
            self.bars.show(self._draw_bars())
            self._write_words()

    def _show_choice(self) -> None:
        """Let the controls say what is chosen, by whatever means it was."""
        controls = self.controls
        controls.offer_rivals(self.forecaster)
        order = windows_in_order(self.table, self.forecaster)
        controls.place.value = int(np.flatnonzero(order == self.window)[0])
        named: Any = controls.window.value
        if named == "chosen" or self._picked(named) != self.window:
            fitting = [which for which in ("worst", "median", "best") if self._picked(which) == self.window]
            controls.window.value = (*fitting, "chosen")[0]
        controls.atom.value = self.atom if 0 <= self.atom < len(self.table.atom_labels) else -1

    def _draw_curves(self) -> Figure:
        scale = {"log": self.controls.scale.value == "log", "compact": True}
        return error_over_horizon(self.table, forecasters=[self.forecaster], **self._what(), **scale)

    def _draw_map(self) -> Figure:
        order: Any = self.controls.rows.value
        return error_heatmap(self.table, self.forecaster, **self._what(), order=order, compact=True)

    def _draw_bars(self) -> Figure:
        lead_fs = float(self.table.lead_times_fs[self.lead or 0])
        return per_atom_bars(self.table, self.forecaster, lead_fs, **self._what(), rival=self.rival)

    def _what(self) -> dict[str, Any]:
        return {"measure": self.controls.measure.value, "window": self.window}

    def _write_words(self) -> None:
        text = window_in_words(self.table, self.forecaster, lead=self.lead, **self._what(), rival=self.rival)
        self.words.value = f"<div style='line-height:1.4'>{escaped(text)}</div>"


def _times(table: ErrorTable, times_fs: Sequence[float] | np.ndarray | None, present: int) -> list[float]:
    """Return the time of each frame, 0 fs at the present."""
    if times_fs is None:
        return table.lead_times_fs.tolist()
    times = np.asarray(times_fs, dtype=float)
    if times.ndim != 1 or not np.isfinite(times).all() or not 0 <= present < len(times):
        raise ValueError(
            f"times_fs has shape {times.shape} and present is {present}. Give the time of each frame in fs, and the "
            "index of the last one that the forecaster was given."
        )
    return (times - times[present]).tolist()


def _within(what: str, value: int, count: int) -> int:
    if not 0 <= value < count:
        raise TraitError(f"{what} was {value}; there are {count}, from 0.")
    return value
