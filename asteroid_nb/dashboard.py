"""`explore`: all panels of a run as one linked dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, Box, Layout, Tab, VBox

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.exhibit import Exhibit
from asteroid_nb.forecast.rollout import delay_matrices
from asteroid_nb.forecast.run import Run
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.views.training import loss_curve
from asteroid_nb.widgets.attention import AttentionExplorer
from asteroid_nb.widgets.compare import Comparison
from asteroid_nb.widgets.delay import DelayExplorer
from asteroid_nb.widgets.error_explorer import ErrorExplorer
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, ErrorLine, escaped, hear_while_busy, replace_former
from asteroid_nb.widgets.plot import Plot
from asteroid_nb.widgets.structure import StructureExplorer

#: Side by side where each half has this much room, else below one another.
HALF_PX = 640


def explore(run: Run, *, errors: ErrorTable | None = None, height_px: int = 360) -> Dashboard:
    """Show a trained run: molecules, errors, attention, delay matrix, structure and training, all linked.

    A click on a curve, a cell, a bar or an atom moves every panel; space plays, arrow keys step. The worst window comes
    first.

    Args:
        run: with its ``split``; looked at on windows it has not seen.
        errors: of the run and its rivals on ``run.split.test``; measured here, with closed-form rivals, if not given.
        height_px: of the molecules.

    Raises:
        ModelMismatch: the run does not know its test windows, or the errors belong to others.
    """
    dashboard = Dashboard(Exhibit.of(run, errors=errors), height_px=height_px)
    replace_former(dashboard)
    return dashboard


class Dashboard(Panel):
    """What `explore` returns. ``comparison``, ``panels["errors"]`` and its like are the explorers; ``window`` the row.

    Args:
        exhibit: the run, its errors and its windows.
        height_px: of the molecules.
    """

    def __init__(self, exhibit: Exhibit, *, height_px: int = 360):
        self.exhibit = exhibit
        self.window = int(exhibit.worst_first[0])
        self.errors = ErrorLine()
        truth, forecast = exhibit.pair(self.window)
        self.comparison = Comparison(
            [truth, forecast],
            names=[truth.name, exhibit.name],
            history=exhibit.history,
            colour="error",
            error_max_ang=exhibit.error_max_ang,
            overlay=False,
            most_frames=None,
            width="100%",
            look={"style": "auto", "height_px": height_px, "stage": None},
        )
        self.panels = self._made(truth, forecast)
        self._shown = dict.fromkeys(self.panels, self.window)
        self.tabs = Tab(list(self.panels.values()), titles=[name.capitalize() for name in self.panels])
        self._draw_attention_in_sight()
        hear_while_busy(self.tabs)
        self.tabs.observe(self.errors.guard(self._opened), "selected_index")
        halves = [
            VBox([self.comparison], layout=Layout(min_width="0")),
            VBox([self.tabs], layout=Layout(min_width="0")),
        ]
        columns = f"repeat(auto-fit, minmax(min(100%, {HALF_PX}px), 1fr))"
        for half, side in zip(halves, ("anb-left", "anb-right"), strict=True):
            half.add_class(side)
        grid = Box(halves, layout=Layout(display="grid", grid_template_columns=columns, grid_gap="10px", width="100%"))
        super().__init__([HTML(_headline(exhibit)), grid, self.errors], layout=Layout(width="100%"))

    def load(self, window: int) -> None:
        """Show another window, a row of the table, in all panels; those not in sight follow when they are opened."""
        if self.panels["errors"].window != window:
            self.panels["errors"].window = window  # which comes back here
            return
        truth, forecast = self.exhibit.pair(window)
        self.comparison.show(truth, forecast, names=[truth.name, forecast.name])
        self.window = window
        self._refresh(self.tabs.selected_index)

    def close(self) -> None:
        """Free all panels, here and in the browser."""
        for panel in (*self.panels.values(), self.comparison):
            panel.close()
        super().close()

    def _made(self, truth: Any, forecast: Any) -> dict[str, Any]:
        exhibit = self.exhibit
        errors = ErrorExplorer(
            exhibit.table,
            forecaster=exhibit.name,
            times_fs=self.comparison.times_fs,
            present=self.comparison.present,
            window=self.window,
            on_window=self.load,
        )
        errors.follow(self.comparison)
        attention = AttentionExplorer(None, comparison=self.comparison)
        self._attention(attention)
        structure = StructureExplorer(truth, forecast, history=exhibit.history)
        structure.follow(self.comparison)
        made = {"errors": errors, "attention": attention, "delay matrix": self._delay(), "structure": structure}
        if exhibit.run.history:
            made["training"] = Plot(loss_curve(exhibit.run.history))
        return made

    def _attention(self, panel: AttentionExplorer) -> None:
        trajectory, start = self.exhibit.place(self.window)
        try:
            panel.show(self.exhibit.run, trajectory, start)
        except (InvalidSettings, InvalidTrajectory) as error:
            panel.missing(str(error))

    def _delay(self) -> Any:
        try:
            panel = DelayExplorer(delay_matrices(self.exhibit.run, *self.exhibit.place(self.window)))
        except ModelMismatch as error:
            return HTML(f"<div class='anb-alert' role='alert'>{escaped(error)}</div>")
        panel.follow(self.comparison)
        return panel

    def _opened(self, change: dict[str, Any]) -> None:
        self._refresh(change["new"])
        self._draw_attention_in_sight()

    def _draw_attention_in_sight(self) -> None:
        """Let the attention panel draw its sticks among the molecules only while it can be seen what they are."""
        self.panels["attention"].draws = list(self.panels)[self.tabs.selected_index or 0] == "attention"

    def _refresh(self, index: int | None) -> None:
        """Bring the panel in sight to the window."""
        name = list(self.panels)[index or 0]
        if self._shown[name] == self.window:
            return
        renew: dict[str, Callable[[Any], Any]] = {
            "attention": self._attention,
            "delay matrix": self._renew_delay,
            "structure": lambda panel: panel.show(*self.exhibit.pair(self.window)),
        }
        if name in renew:
            renew[name](self.panels[name])
        self._shown[name] = self.window

    def _renew_delay(self, panel: Any) -> None:
        if isinstance(panel, DelayExplorer):
            panel.show(delay_matrices(self.exhibit.run, *self.exhibit.place(self.window)))


def _headline(exhibit: Exhibit) -> str:
    table = exhibit.table
    rival = exhibit.best_rival
    words = f"{table.n_windows} windows of {exhibit.trajectories[0].name} that training has not seen."
    if rival is not None:
        ratio = table.mean_ratio(exhibit.name, rival)
        words += (
            f" Averaged over the horizon the error is {ratio.value:.2f} × that of {rival}, the best rival "
            f"(90 % interval {ratio.low:.2f} to {ratio.high:.2f})."
        )
    keys = "Space plays, arrow keys step; a click on a curve, a cell, a bar or an atom moves all panels."
    return (
        f"<div style='line-height:1.4'><b style='font-size:16px'>{escaped(exhibit.name)}</b> {escaped(words)} "
        f"<span style='{FAINT}'>{keys}</span></div>"
    )
