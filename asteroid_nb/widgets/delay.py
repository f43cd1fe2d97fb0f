"""The delay matrices of a forecast, one coordinate at a time: what the model saw, what it said, whether it agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ipywidgets import HTML, Dropdown, HBox, Layout
from traitlets import Int

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.forecast.rollout import DelayMatrices, delay_matrices
from asteroid_nb.forecast.run import Run
from asteroid_nb.views.delay import agreement, delay_matrix
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, ErrorLine, escaped, hear_while_busy, replace_former
from asteroid_nb.widgets.player import Player
from asteroid_nb.widgets.plot import Plot

#: What of an atom's position is shown: a coordinate, or how far it is from where it is now.
DISTANCE = "distance from now"
AXES = ("x", "y", "z", DISTANCE)


def explore_delay(run: Run, trajectory: Trajectory, *, start: int = 0, comparison: Any | None = None) -> DelayExplorer:
    """Show the delay matrices behind the forecast after the history that begins at a stored frame.

    Args:
        start: stored frame at which the history begins.
        comparison: a panel `compare` made of the same window: time and atom are then shared with it.

    Raises:
        ModelMismatch: the model has no delay matrices, or the trajectory does not fit it.
        TrajectoryTooShort: the history would reach beyond the end.
    """
    explorer = DelayExplorer(delay_matrices(run, trajectory, start))
    if comparison is not None:
        explorer.follow(comparison)
    replace_former(explorer)
    return explorer


class DelayExplorer(Panel):
    """What `explore_delay` returns. A click on a cell sets ``frame`` to the frame it stands for.

    Args:
        matrices: of one forecast.
    """

    frame = Int().tag(sync=True)
    atom = Int().tag(sync=True)

    def __init__(self, matrices: DelayMatrices):
        self._matrices = matrices
        wide = {"layout": Layout(width="auto", min_width="130px"), "style": {"description_width": "initial"}}
        self.who = Dropdown(options=_numbered(matrices.labels), description="atom", **wide)
        self.axis = Dropdown(options=AXES, description="coordinate", **wide)
        self.errors, self.words = ErrorLine(), HTML(_words(self._coordinate()))
        times = matrices.times_fs.tolist()
        self.plot = Plot(delay_matrix(**self._coordinate(), what=self._what()), times_fs=times)
        self.player = Player(times, present=matrices.history - 1, marked=True)
        controls = HBox([self.who, self.axis], layout=Layout(flex_flow="row wrap"))
        super().__init__([controls, self.plot, self.words, self.player, self.errors], frame=matrices.history - 1)
        self._aside = [self.player]
        self._links = [*link_in_browser(self, self.plot, names=["frame"]), *link_in_browser(self.player, self)]
        for control in (self.who, self.axis):
            hear_while_busy(control)
        self.who.observe(self.errors.guard(self._choose), "index")
        self.observe(self.errors.guard(self._chosen), "atom")
        self.axis.observe(self.errors.guard(self._draw), "value")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return (self.plot,)

    def show(self, matrices: DelayMatrices) -> None:
        """Put the matrices of another window of the same atoms and length in their place.

        Raises:
            InvalidTrajectory: other atoms, or another number of frames.
        """
        new, old = ((one.labels, len(one.times_fs), one.history) for one in (matrices, self._matrices))
        if new != old:
            raise InvalidTrajectory(
                f"The panel shows {len(old[0])} atoms, {old[1]} frames, {old[2]} of them history; given were "
                f"{len(new[0])}, {new[1]} and {new[2]}, or other elements. Make a new panel with explore_delay(…)."
            )
        self._matrices = matrices
        self._draw()

    def follow(self, comparison: Any) -> None:
        """Share time and atom with a panel that `compare` made, whose player then serves both."""
        self._free_links()
        self.plot.times_fs = [float(time) for time in comparison.times_fs]
        self._links = [*link_in_browser(self, self.plot, names=["frame"]), *link_in_browser(comparison.player, self)]
        # The own player is taken away, yet not closed: the browser may be about to build it.
        self.children = tuple(child for child in self.children if child is not self.player)

    def _choose(self, change: dict[str, Any]) -> None:
        self.atom = change["new"]

    def _chosen(self, change: dict[str, Any]) -> None:
        """Show another atom; −1, none chosen elsewhere, leaves the one on show."""
        if 0 <= change["new"] < len(self.who.options):
            self.who.index = change["new"]
            self._draw()

    def _draw(self, _: object = None) -> None:
        shown = self._coordinate()
        self.words.value = _words(shown)
        self.plot.show(delay_matrix(**shown, what=self._what()))

    def _coordinate(self) -> dict[str, Any]:
        chosen = coordinate(self._matrices, self._atom(), str(self.axis.value))
        return {**chosen, "dt_fs": self._matrices.dt_fs, "rows": self._matrices.rows}

    def _atom(self) -> int:
        return int(self.who.index or 0)

    def _what(self) -> str:
        label, axis = self._matrices.labels[self._atom()], str(self.axis.value)
        return f"{label}, {axis}"


def coordinate(matrices: DelayMatrices, atom: int, axis: str) -> dict[str, Any]:
    """Return predicted, truth and forecast of one atom as numbers, as `delay_matrix` takes them."""
    present = matrices.predicted[-1, 0, atom]
    parts = {"predicted": matrices.predicted, "truth": matrices.truth, "forecast": matrices.forecast}

    def part(values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        values = values[..., atom, :]
        return np.linalg.norm(values - present, axis=-1) if axis == DISTANCE else values[..., AXES.index(axis)]

    return {name: part(values) for name, values in parts.items()}


def _words(shown: dict[str, Any]) -> str:
    return f"<div style='{FAINT};line-height:1.4;max-width:110ch'>{escaped(agreement(**shown))}</div>"


def _numbered(labels: Sequence[str]) -> list[tuple[str, int]]:
    return [(label, index) for index, label in enumerate(labels)]
