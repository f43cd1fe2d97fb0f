"""The attention explorer: choose kind, layer, head, query and time, and see who looks at whom, in a map and in 3D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ipywidgets import HTML, Box, Layout, VBox
from traitlets import Bool, Int

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.forecast.run import Run
from asteroid_nb.views.attention import attention_map
from asteroid_nb.widgets.attention_controls import ALL, AttentionControls
from asteroid_nb.widgets.attention_records import AttentionLabels, Recorded, nearest, record
from asteroid_nb.widgets.attention_views import Shown
from asteroid_nb.widgets.compare import Comparison
from asteroid_nb.widgets.latest import Latest
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, ErrorLine, escaped, hear_while_busy, replace_former
from asteroid_nb.widgets.plot import Plot

#: Two panels side by side, one below the other where there is no room.
HALF, LEAST_WIDTH = "1 1 45%", "min(100%, 360px)"

ABOUT = (
    f"<details style='font-size:12px;{FAINT}'><summary style='cursor:pointer'>What these weights are</summary>"
    "<div style='line-height:1.4;max-width:110ch'>Weights show where information was read, not why a forecast came out "
    "as it did. The STI equation has no attention in a forecast: its delay matrix is read from the encoder's tokens by "
    "a linear head, and its conjugate, which does attend, runs in training alone.</div></details>"
)


def attention_explorer(
    records: Mapping[str, np.ndarray],
    labels: Mapping[str, AttentionLabels] | None = None,
    trajectory: Trajectory | None = None,
    *,
    history: int = 1,
    comparison: Comparison | None = None,
) -> AttentionExplorer:
    """Return an explorer of recorded attention weights.

    Args:
        records: [each, heads, queries, keys], NaN where masked, by a name with a layer number in it:
            ``"encoder.0.local"``.
        labels: by a record's name, or by a part of it (``"local"``).
        trajectory: the frames of the window, for 3D and distances.
        history: leading frames of it that were seen.
        comparison: a panel of the same atoms to draw into, instead of a pane of its own.

    Raises:
        InvalidTrajectory: no record, another shape, infinity, or labels that do not fit.
    """
    recorded = Recorded(records=records, labels=labels or {}, trajectory=trajectory, history=history)
    explorer = AttentionExplorer(recorded, comparison=comparison)
    replace_former(explorer)
    return explorer


class AttentionExplorer(Panel):
    """What `attention_explorer` returns; ``controls`` holds ``kind``, ``layer``, ``head``, ``query`` and ``time``.

    ``atom`` is the query, −1 for none, ``frame`` that of the 3D pane; the browser links both to map and pane. Set
    ``draws`` to False to take the sticks out of 3D for as long as nobody looks at the map.

    Args:
        recorded: what to show; without it a message stands in its place until `load`.
        comparison: a panel to draw into, instead of a pane of its own.
    """

    atom = Int(-1).tag(sync=True)
    frame = Int(0).tag(sync=True)
    draws = Bool(True)

    controls: AttentionControls | None = None

    #: True while the time follows the frame, so that the frame does not follow the time.
    _following = False

    def __init__(self, recorded: Recorded | None, *, comparison: Comparison | None = None):
        self.comparison, self._own = comparison, comparison is None
        self.errors, self.notice, self.words, self.about = ErrorLine(), HTML(), HTML(), HTML(ABOUT)
        self.panels = Box(layout=Layout(flex_flow="row wrap", width="100%", grid_gap="8px 16px"))
        empty = attention_map(np.zeros((1, 1)), ["-"], ["-"])
        self.heat, self.per_head, self.far = (Plot(empty) for _ in range(3))
        self.body = VBox(layout=Layout(width="100%"))
        super().__init__([self.notice, self.body, self.errors], layout=Layout(width="100%"))
        self._aside = [*self.plots, self.words, self.panels, self.about]
        hear_while_busy(self)
        for plot, react in zip(self.plots, (self._clicked_map, self._clicked_head, self._clicked_pair), strict=True):
            plot.layout.flex, plot.layout.min_width = HALF, LEAST_WIDTH
            plot.on_click(self.errors.guard(react))
        self.observe(self.errors.guard(self._chose_atom), "atom")
        self.observe(self.errors.guard(lambda _: self._draw_links()), "draws")
        self._follow = Latest(self.errors.guard(self._follow_frame))  # a film would queue up more than it can draw
        self.observe(lambda _: None if self._following else self._follow(), "frame")
        if recorded is None:
            self.missing("No attention has been recorded yet.")
        else:
            self.load(recorded)

    @property
    def plots(self) -> tuple[Plot, ...]:
        return self.heat, self.per_head, self.far

    @property
    def record(self) -> str:
        """Return the name of the record on show."""
        return self._chooser.record

    @property
    def weights(self) -> np.ndarray:
        """Return the weights on show, [queries, keys]."""
        return Shown(self._chooser).weights

    def show(self, run: Run, trajectory: Trajectory, start: int = 0, *, n_windows: int = 1) -> None:
        """Show another window, or the mean over several; see `asteroid_nb.widgets.attention_door.explore_attention`."""
        self.load(record(run, trajectory, start=start, n_windows=n_windows))

    def load(self, recorded: Recorded) -> None:
        """Show other records without making new widgets.

        Raises:
            InvalidTrajectory: other atoms than those of the linked panel.
        """
        former = self.comparison if self._links else None
        self._place(recorded)
        if self.controls is None:
            self.controls = AttentionControls(recorded, self._chosen, self.errors.guard)
            self.atom = max(0, self.atom) if self._own and self.controls.labels.n_atoms else self.atom
        else:
            self.controls.offer(recorded)
        if not self._links or self.comparison is not former:
            self._link()
        self._follow_frame()
        self._chose_atom()
        self._arrange()
        self._redraw()

    def missing(self, reason: str) -> None:
        """Show a message in place of the maps, until something is loaded."""
        self.notice.value = f"<div class='anb-alert' role='alert'>{escaped(reason)}</div>"
        self.body.layout.display = "none"
        self._draw_links()

    def close(self) -> None:
        """Free the plots and its own pane, and leave a linked panel as it was."""
        self._follow.close()
        self.draws = False
        if self._own and self.comparison is not None:
            self.comparison.close()
        super().close()

    @property
    def _chooser(self) -> AttentionControls:
        if self.controls is None:
            raise InvalidTrajectory("Nothing is on show: give the explorer records with load(…) or show(run, …).")
        return self.controls

    def _place(self, recorded: Recorded) -> None:
        """Put the window into the explorer's own pane, or see that the linked panel shows the same atoms."""
        window, panel = recorded.trajectory, self.comparison
        if window is None:
            return
        expected = (window.n_atoms, window.n_frames, recorded.history)
        found = panel and (panel.n_atoms, len(panel.times_fs), panel.history)
        if not self._own:
            if found and found[0] != expected[0]:
                raise InvalidTrajectory(
                    f"The records are of {expected[0]} atoms, the linked panel shows {found[0]}. Compare and explore "
                    "the same trajectory."
                )
        elif panel is not None and found == expected:
            panel.show(window)
        else:
            if panel is not None:
                panel.close()
            self.comparison = _pane(window, recorded)

    def _link(self) -> None:
        """Let the browser keep map, pane and explorer together; the player of the pane is the hub."""
        self._free_links()
        if self.comparison is None:
            self._links = link_in_browser(self, self.heat, names=("atom",))
            return
        hub = self.comparison.player
        if self._own:
            hub.atom = self.atom
        self._links = [*link_in_browser(hub, self), *link_in_browser(hub, self.heat, names=("atom",))]

    def _arrange(self) -> None:
        pane = [self.comparison] if self._own and self.comparison is not None else []
        self.panels.children = [*pane, *self.plots]
        self.body.children = [self._chooser, self.words, self.panels, self.about]
        self.notice.value, self.body.layout.display = "", None

    def _chosen(self, what: str) -> None:
        controls = self._chooser
        if what == "query":
            self.atom = controls.node if controls.node < controls.labels.n_atoms else ALL
        if what in ("time", "record") and not self._following:
            self._lead_frame()
        self._redraw()

    def _lead_frame(self) -> None:
        time_fs = self._chooser.time_fs
        if self.comparison is None or time_fs is None:
            return
        self._following = True
        try:
            self.frame = nearest(self.comparison.times_fs, time_fs)
        finally:
            self._following = False

    def _follow_frame(self) -> None:
        if self.comparison is None or self.controls is None:
            return
        self._following = True
        try:
            self.controls.choose_time_near(float(self.comparison.times_fs[self.frame]))
        finally:
            self._following = False

    def _chose_atom(self, _: object = None) -> None:
        if self.controls is None:
            return
        n_atoms, node = self.controls.labels.n_atoms, self.controls.node
        if self.atom < n_atoms and (self.atom >= 0 or node < n_atoms):
            self.controls.choose_node(self.atom)

    def _redraw(self) -> None:
        shown = Shown(self._chooser)
        self.heat.atom_axis = "y" if shown.labels.between_atoms and shown.n_atoms else ""
        self.heat.n_atoms = shown.n_atoms
        self.heat.show(shown.map())
        self.per_head.show(shown.per_head())
        self.far.layout.display = None if shown.has_places else "none"
        if shown.has_places:
            self.far.show(shown.by_distance())
        self.words.value = f"<div role='status' style='line-height:1.4'>{escaped(shown.told())}</div>"
        self._draw_links()

    def _draw_links(self) -> None:
        """Draw the sticks that belong to what is on show, if anything is."""
        if self.comparison is None or self.comparison.comm is None:
            return
        on_show = self.draws and self.controls is not None and self.body.layout.display is None
        self.comparison.views[0].links(Shown(self._chooser).links() if on_show else [])

    def _clicked_map(self, clicked: dict[str, Any]) -> None:
        """Choose the row; atoms are chosen by the browser already."""
        row, labels = round(clicked["y"]), self._chooser.labels
        if not labels.between_atoms:
            self._chooser.time.index = row
        elif row >= labels.n_atoms:
            self._chooser.choose_node(row)

    def _clicked_pair(self, clicked: dict[str, Any]) -> None:
        if clicked["customdata"]:
            self._chooser.choose_node(int(clicked["customdata"][0]))

    def _clicked_head(self, clicked: dict[str, Any]) -> None:
        self._chooser.head.index = int(clicked["customdata"])


def _pane(window: Trajectory, recorded: Recorded) -> Comparison:
    """Return a panel of the window alone."""
    look = {"style": "auto", "height_px": 360, "stage": None}
    panel = Comparison(
        [window],
        names=[window.name],
        history=recorded.history,
        colour="element",
        error_max_ang=None,
        overlay=False,
        most_frames=None,
        width="100%",
        look=look,
    )
    panel.layout.flex, panel.layout.min_width = HALF, LEAST_WIDTH
    return panel
