"""Do models see the slow motion: timescales, passages, maps and paths of their states, and structures of each state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ipywidgets import HTML, Dropdown, HBox, Layout

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import AsteroidError
from asteroid_nb.views.structure import blank
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, ErrorLine, escaped, hear_while_busy, replace_former
from asteroid_nb.widgets.plot import Plot
from asteroid_nb.widgets.state_sources import Paths, StateSources
from asteroid_nb.widgets.state_structures import StateStructures, has_structures
from asteroid_nb.widgets.state_views import kinds, members
from asteroid_nb.widgets.structure_figures import Drawn

#: In the list of states: no structures are shown.
NONE = -1


def explore_states(
    trajectories: Mapping[str, Paths],
    *,
    coordinates: Any = None,
    clean: Callable[[StateTrajectory], StateTrajectory] | Mapping[str, Paths] | None = None,
    exact_timescales_fs: Sequence[float] = (),
    exact_passage_fs: np.ndarray | None = None,
    lags_frames: Sequence[int] | None = None,
    temperature_K: float | None = None,
) -> StateExplorer:
    """Show what models make of the slow motion of a reference; a click on a state shows its structures in 3D.

    Args:
        trajectories: state trajectories by name, of the same states and spacing: the reference (MD) first, then models.
        coordinates: `Coordinates`, one for each trajectory of the reference, or a mapping that has them for models too.
            Torsions give Ramachandran maps; their ``structures`` can be looked at.
        clean: what removes recrossings from a trajectory, such as ``partial(remove_recrossings, rule=minimum_dwell,
            min_frames=20)``, or the cleaned trajectories by name.
        exact_timescales_fs: t2, t3, … where they are known.
        exact_passage_fs: [states, states] where they are known; else models are compared with the reference.
        lags_frames: of the timescales; ten up to a twentieth of the trajectories' length when not given.
        temperature_K: energies of maps are in eV then.

    Raises:
        InvalidTrajectory: no trajectories, or coordinates that do not fit them.
        ModelMismatch: trajectories of other states or spacing.
    """
    explorer = StateExplorer(
        StateSources(
            trajectories,
            coordinates=coordinates,
            clean=clean,
            exact_timescales_fs=exact_timescales_fs,
            exact_passage_fs=exact_passage_fs,
            lags_frames=lags_frames,
            temperature_K=temperature_K,
        )
    )
    replace_former(explorer)
    return explorer


class StateExplorer(Panel):
    """What `explore_states` returns. Nothing is computed before it is chosen, nor twice."""

    #: True while one choice changes what the other offers: until then they do not fit each other.
    _fitting = False

    def __init__(self, sources: StateSources):
        self._sources = sources
        self._cache: dict[tuple[str, str], Drawn] = {}
        wide = {"layout": Layout(width="auto", min_width="150px"), "style": {"description_width": "initial"}}
        offered = kinds(sources)
        self.what = Dropdown(options=offered, description="show", **wide)
        self.which = Dropdown(options=_labels(sources, offered[0]), description="of", **wide)
        states = [("none", NONE), *((label, state) for state, label in enumerate(sources.labels))]
        self.state = Dropdown(options=states, value=NONE, description="structures of", **wide)
        self.errors, self.words = ErrorLine(), HTML()
        self.structures = StateStructures(sources)
        first = self._drawn()
        self.plot = Plot(first.figure)
        self.words.value = _told(first.words)
        self._aside = [self.state]
        shown = [self.what, self.which, *([self.state] if has_structures(sources) else [])]
        controls = HBox(shown, layout=Layout(flex_flow="row wrap"))
        super().__init__([controls, self.plot, self.words, self.structures, self.errors])
        for control in (self.what, self.which, self.state):
            hear_while_busy(control)
        self._fit()
        self.what.observe(self.errors.guard(self._changed_kind), "value")
        self.which.observe(self.errors.guard(self._draw), "value")
        self.state.observe(self.errors.guard(self._changed_state), "value")
        self.plot.on_click(self.errors.guard(self._clicked))

    @property
    def plots(self) -> tuple[Plot, ...]:
        return (self.plot,)

    def _changed_kind(self, _: object = None) -> None:
        self._fit()
        self._draw()

    def _fit(self) -> None:
        """Offer what there is of the chosen kind, keep a choice that still exists, and draw nothing meanwhile."""
        self._fitting, kept = True, self.which.value
        try:
            options = _labels(self._sources, str(self.what.value))
            if self.which.options != tuple(options):
                self.which.options = options
                self.which.value = kept if kept in options else options[0]
            self.which.disabled = len(options) == 1
        finally:
            self._fitting = False

    def _draw(self, _: object = None) -> None:
        if self._fitting:
            return
        drawn = self._drawn()
        self.words.value = _told(drawn.words)
        self.plot.show(drawn.figure)

    def _drawn(self) -> Drawn:
        """Return the chosen figure, or in its place words for why there is none."""
        chosen = (str(self.what.value), str(self.which.value))
        if chosen not in self._cache:
            try:
                self._cache[chosen] = dict(members(self._sources, chosen[0]))[chosen[1]](self._sources)
            except AsteroidError as error:
                self._cache[chosen] = Drawn(blank(chosen[0].capitalize(), str(error)), "")
        return self._cache[chosen]

    def _clicked(self, point: Mapping[str, Any]) -> None:
        """Show structures of the state a click stands for, if it stands for one."""
        state = point.get("customdata")
        state = state[0] if isinstance(state, (list, tuple)) and state else state
        if not (point.get("meta") or {}).get("states") or not isinstance(state, (int, float)) or state < 0:
            return
        if not has_structures(self._sources):
            label = self._sources.labels[int(state)]
            told = f"{label}: no structures to show. Give coordinates that hold some: explore_states(…, coordinates=…)."
            self.words.value = _told(told)
            return
        self.state.value = int(state)

    def _changed_state(self, _: object = None) -> None:
        self.structures.show(int(self.state.value))  # type: ignore[arg-type]


def _labels(sources: StateSources, kind: str) -> list[str]:
    return [label for label, _ in members(sources, kind)]


def _told(words: str) -> str:
    return f"<div style='{FAINT};line-height:1.4;max-width:110ch'>{escaped(words)}</div>"
