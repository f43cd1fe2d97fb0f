"""What the solver of an equilibrium force field does: where it starts, what it takes, which atoms it finds hard."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ipywidgets import HTML, Dropdown, HBox, Layout, SelectionSlider, VBox
from traitlets import Int, TraitError, validate

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.study import SolverStudy
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.views.scene import scene
from asteroid_nb.views.solver_looks import tolerance_words
from asteroid_nb.widgets import solver_views as views
from asteroid_nb.widgets.compare import Comparison
from asteroid_nb.widgets.latest import Latest
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, ErrorLine, escaped, hear_while_busy, replace_former
from asteroid_nb.widgets.player import Player
from asteroid_nb.widgets.plot import Plot

#: What is chosen first where it was studied: what the default of dynamics is near to.
FIRST_TOLERANCE = 1e-3

SCENE_PX = 250


def explore_solver(
    run: Any,
    trajectory: Trajectory,
    *,
    policies: Sequence[str] | None = None,
    tolerances: Sequence[float] | None = None,
    n_frames: int = 40,
    comparison: Comparison | None = None,
    **options: Any,
) -> SolverExplorer:
    """Solve consecutive frames by each policy at each tolerance, and show what that takes and where it is hard.

    Args:
        run: a trained equilibrium force field, a `ForceFieldRun`.
        trajectory: whose first frames are solved; their spacing stands for the MD step. With forces, errors are shown.
        policies: of the warm start; "cold", "previous", "linear" and "linear+recycle" when not given.
        tolerances: of the solver; 1e-1 to 1e-5 when not given.
        n_frames: that are shown, after a few to warm up.
        comparison: see `explore_study`.
        options: of `asteroid_nb.equilibrium.replay.study`.

    Raises:
        InvalidSettings: an explicit twin, or an unknown policy or tolerance.
        InvalidTrajectory: too few frames, or a comparison of other ones.
        ModelMismatch: an element the model has not learnt from.
    """
    from asteroid_nb.equilibrium.replay import POLICIES, TOLERANCES, study

    found = study(
        run,
        trajectory,
        policies=POLICIES if policies is None else policies,
        tolerances=TOLERANCES if tolerances is None else tolerances,
        n_frames=n_frames,
        **options,
    )
    return explore_study(found, comparison=comparison)


def explore_study(study: SolverStudy, *, comparison: Comparison | None = None) -> SolverExplorer:
    """Show a study that was made before.

    Args:
        comparison: a panel `compare` made of ``study.trajectory``, whose player and atom then lead.

    Raises:
        InvalidTrajectory: a comparison of another number of frames or atoms.
    """
    explorer = SolverExplorer(study)
    if comparison is not None:
        explorer.follow(comparison)
    replace_former(explorer)
    return explorer


class SolverExplorer(Panel):
    """What `explore_solver` returns; ``policy``, ``tolerance`` and ``colour`` are its controls.

    ``frame`` is the index into the study's frames, ``atom`` that of the chosen atom, −1 for none. A click on a step
    moves the frame, one on a point of the dial chooses its policy and tolerance.
    """

    frame = Int().tag(sync=True)
    atom = Int(-1).tag(sync=True)

    #: True while two controls change together: nothing is drawn between them.
    _choosing = False

    def __init__(self, study: SolverStudy):
        self.study = study
        self.errors, self.words, self.bar = ErrorLine(), HTML(), HTML()
        self._drawing = threading.RLock()
        self._make_controls()
        chosen, times = self._chosen(), study.trajectory.times_fs.tolist()
        self.residuals, self.dial = Plot(views.residuals(study, chosen)), Plot(views.dial(study, chosen))
        self.steps = Plot(views.steps(study, chosen), times_fs=times)
        self.plots = (self.residuals, self.dial, self.steps)
        self.player = Player(times)
        self._make_scene()
        self.moment = Latest(self.errors.guard(self._draw_moment))
        super().__init__(self._laid_out(), layout=Layout(width="100%"))
        self._aside = [self.player]
        self._links = [self.moment, *self._own_links(), *link_in_browser(self.player, self)]
        self._write_words()
        self._hear()

    @validate("frame")
    def _known_frame(self, proposal: dict[str, Any]) -> int:
        if not 0 <= proposal["value"] < self.study.n_frames:
            raise TraitError(f"frame was {proposal['value']}; there are {self.study.n_frames} frames, from 0.")
        return proposal["value"]

    def follow(self, comparison: Comparison) -> None:
        """Share time and atom with a panel that `compare` made of the same frames; its player then serves both.

        Raises:
            InvalidTrajectory: another number of frames or atoms.
        """
        own, other = (
            (self.study.n_frames, self.study.trajectory.n_atoms),
            (
                len(comparison.times_fs),
                comparison.n_atoms,
            ),
        )
        if own != other:
            raise InvalidTrajectory(
                f"The comparison shows {other[0]} frames of {other[1]} atoms, the study has {own[0]} of {own[1]}. "
                "Compare study.trajectory, or what has the same frames."
            )
        self._free_links()
        self.steps.times_fs = self.study.trajectory.times_fs.tolist()
        self._links = [self.moment, *self._own_links(), *link_in_browser(comparison.player, self)]
        # The own player is taken away, yet not closed: the browser may be about to build it.
        self.children = tuple(child for child in self.children if child is not self.player)

    def _make_controls(self) -> None:
        wide = {"layout": Layout(width="auto", min_width="180px"), "style": {"description_width": "initial"}}
        study = self.study
        tolerances = [(tolerance_words(one), one) for one in study.tolerances]
        first = min(study.tolerances, key=lambda one: abs(one / FIRST_TOLERANCE - 1))
        # A slider with a single place cannot be drawn.
        dial: Any = SelectionSlider if len(tolerances) > 1 else Dropdown
        self.tolerance = dial(
            options=tolerances, value=first, description="tolerance", layout=Layout(width="300px"), style=wide["style"]
        )
        self.policy = Dropdown(options=study.policies, value=study.policies[-1], description="start", **wide)
        offered = views.colours_on_offer(study)
        self.colour = Dropdown(options=offered, value=views.SHARE, description="atoms by", **wide)

    def _make_scene(self) -> None:
        trajectory = self.study.trajectory
        values, self.bar.value = views.colours(self.study, self._chosen(), str(self.colour.value))
        self.view = scene(trajectory, errors=[values], error_max_ang=1.0, title=trajectory.name, height_px=SCENE_PX)
        self.view.colour = "error"

    def _laid_out(self) -> list[Any]:
        controls = HBox([self.tolerance, self.policy, self.colour], layout=Layout(flex_flow="row wrap", width="100%"))
        border = Layout(border="1px solid var(--jp-border-color2, #ccc)", overflow="hidden", width="100%")
        pane = HBox([VBox([self.view], layout=border)], layout=Layout(width="100%"))
        pane.add_class("anb-panes")
        half = {"flex": "1 1 400px", "min_width": "0"}
        left = VBox([pane, self.bar, self.residuals], layout=Layout(**half))
        right = VBox([self.dial], layout=Layout(**half))
        row = HBox([left, right], layout=Layout(flex_flow="row wrap", width="100%"))
        return [controls, self.words, row, self.steps, self.player, self.errors]

    def _own_links(self) -> list[Any]:
        return [*link_in_browser(self, self.steps, names=["frame"]), *link_in_browser(self, self.view)]

    def _hear(self) -> None:
        guard = self.errors.guard
        for control in (self.tolerance, self.policy, self.colour):
            hear_while_busy(control)
        for control in (self.tolerance, self.policy):
            control.observe(guard(self._changed), "value")
        self.colour.observe(guard(self._changed_colour), "value")
        self.dial.on_click(guard(self._clicked))
        self.observe(guard(lambda _: self.moment()), "frame")

    def _chosen(self) -> views.Chosen:
        tolerance: Any = self.tolerance.value
        return views.Chosen(str(self.policy.value), float(tolerance), self.frame)

    def _clicked(self, point: Mapping[str, Any]) -> None:
        """Choose the tolerance and the policy a point of the dial stands for."""
        place = point.get("customdata")
        if not (point.get("meta") or {}).get("tolerances") or not isinstance(place, (list, tuple)):
            return
        self._choosing = True
        try:
            self.tolerance.value = self.study.tolerances[int(place[0])]
            self.policy.value = self.study.policies[int(place[1])]
        finally:
            self._choosing = False
        self._changed()

    def _changed(self, _: object = None) -> None:
        if self._choosing:
            return
        with self._drawing:
            chosen = self._chosen()
            self.dial.show(views.dial(self.study, chosen))
            self.steps.show(views.steps(self.study, chosen))
            self._draw_moment()
            self._changed_colour()

    def _changed_colour(self, _: object = None) -> None:
        coloured = str(self.colour.value)
        with self._drawing:
            values, self.bar.value = views.colours(self.study, self._chosen(), coloured)
            self.view.show([self.study.trajectory], [values])
            self.view.colour = "element" if coloured == views.ELEMENT else "error"

    def _draw_moment(self) -> None:
        """Draw what belongs to the frame alone."""
        with self._drawing:
            self.residuals.show(views.residuals(self.study, self._chosen()))
            self._write_words()

    def _write_words(self) -> None:
        said = escaped(views.in_numbers(self.study, self._chosen()))
        self.words.value = f"<div style='{FAINT};line-height:1.4;max-width:130ch'>{said}</div>"
