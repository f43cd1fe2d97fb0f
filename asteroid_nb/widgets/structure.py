"""Does a forecast stay the molecule it was: its bonds, distances, torsions, vibrations and temperatures, to explore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ipywidgets import HTML, Dropdown, HBox, Layout
from traitlets import Int

from asteroid_nb.errors import AsteroidError
from asteroid_nb.views.structure import blank
from asteroid_nb.widgets import structure_figures as figures
from asteroid_nb.widgets.aligning import comparable, pane_names
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, ErrorLine, escaped, hear_while_busy, replace_former
from asteroid_nb.widgets.plot import Plot
from asteroid_nb.widgets.structure_figures import Drawn
from asteroid_nb.widgets.structure_sources import Sources

BONDS, DISTANCES, TORSION = "bond lengths", "all distances", "torsion"
STATES, TEMPERATURE = "density of states", "temperature"

#: Of a list in which no single one is chosen.
ALL = -1


def explore_structure(
    reference: Any,
    *forecasts: Any,
    names: Sequence[str] | None = None,
    history: int | None = None,
    dt_fs: float | None = None,
) -> StructureExplorer:
    """Show whether forecasts visit the structures of the reference; arguments as in `asteroid_nb.compare`.

    Args:
        history: leading frames that the forecaster was given: only what comes after them counts.

    Raises:
        InvalidTrajectory: trajectories that differ in atoms, length or spacing, or nothing after the history.
    """
    explorer = StructureExplorer(reference, *forecasts, names=names, history=history, dt_fs=dt_fs)
    replace_former(explorer)
    return explorer


class StructureExplorer(Panel):
    """What `explore_structure` returns. Nothing is computed before it is chosen, nor twice."""

    frame = Int().tag(sync=True)

    #: True while one choice changes what the other offers: until then they do not fit each other.
    _fitting = False

    #: True once the time is counted as another panel counts it.
    _following = False

    def __init__(
        self,
        reference: Any,
        *forecasts: Any,
        names: Sequence[str] | None = None,
        history: int | None = None,
        dt_fs: float | None = None,
    ):
        self._given = {"names": names, "history": history, "dt_fs": dt_fs}
        self._sources = _sources([reference, *forecasts], **self._given)
        self._cache: dict[tuple[str, int], Drawn] = {}
        wide = {"layout": Layout(width="auto", min_width="150px"), "style": {"description_width": "initial"}}
        self.what = Dropdown(options=_kinds(self._sources), description="show", **wide)
        self.which = Dropdown(options=_members(self._sources, str(self.what.value)), description="of", **wide)
        self.errors, self.words = ErrorLine(), HTML()
        first = self._drawn()
        self.plot = Plot(first.figure, times_fs=self._sources.times_fs.tolist())
        self.words.value = _told(first.words)
        controls = HBox([self.what, self.which], layout=Layout(flex_flow="row wrap"))
        super().__init__([controls, self.plot, self.words, self.errors], frame=max(0, self._sources.first - 1))
        self._links = link_in_browser(self, self.plot, names=["frame"])
        for control in (self.what, self.which):
            hear_while_busy(control)
        self.what.observe(self.errors.guard(self._changed_kind), "value")
        self.which.observe(self.errors.guard(self._draw), "value")

    @property
    def plots(self) -> tuple[Plot, ...]:
        return (self.plot,)

    def show(self, reference: Any, *forecasts: Any) -> None:
        """Put other trajectories in place of those on show; what was chosen stays where it still exists.

        Raises:
            InvalidTrajectory: as in `explore_structure`.
        """
        given = [reference, *forecasts]
        if self._given["names"] is not None and len(self._given["names"]) != len(given):
            self._given["names"] = None
        self._sources = _sources(given, **self._given)
        self._cache.clear()
        if not self._following:
            self.plot.times_fs = self._sources.times_fs.tolist()
        self._fit(self.what, _kinds(self._sources))
        self._changed_kind()

    def follow(self, comparison: Any) -> None:
        """Share the time with a panel that `compare` made."""
        self._free_links()
        self._following = True
        self.plot.times_fs = [float(time) for time in comparison.times_fs]
        self._links = [
            *link_in_browser(self, self.plot, names=["frame"]),
            *link_in_browser(comparison.player, self, names=["frame"]),
        ]

    def _changed_kind(self, _: object = None) -> None:
        if not self._fitting:
            self._fit(self.which, _members(self._sources, str(self.what.value)))
            self._draw()

    def _fit(self, control: Dropdown, options: Sequence[Any]) -> None:
        """Offer other options, keep what was chosen where it still exists, and draw nothing meanwhile."""
        if control.options == tuple(options):
            return  # setting them again would undo a choice that is still on its way from the browser
        self._fitting, kept = True, control.label
        try:
            control.options = options
            labels = [option if isinstance(option, str) else option[0] for option in options]
            control.index = labels.index(kept) if kept in labels else 0
            control.disabled = len(labels) == 1
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
        chosen = (str(self.what.value), int(self.which.value))  # type: ignore[arg-type]
        if chosen not in self._cache:
            try:
                self._cache[chosen] = _drawing(*chosen)(self._sources)
            except AsteroidError as error:
                self._cache[chosen] = Drawn(blank(str(self.what.value).capitalize(), str(error)), "")
        return self._cache[chosen]


def _drawing(kind: str, member: int) -> Callable[[Sources], Drawn]:
    if kind == BONDS:
        return figures.all_bonds if member == ALL else partial(figures.one_bond, bond=member)
    if kind == TORSION:
        return partial(figures.one_torsion, torsion=member)
    return {
        DISTANCES: figures.all_distances,
        STATES: figures.density_of_states,
        TEMPERATURE: figures.temperature,
    }[kind]


def _kinds(sources: Sources) -> list[str]:
    bonds, torsions = [BONDS] * (len(sources.bonds) > 0), [TORSION] * (len(sources.torsions) > 0)
    return [*bonds, DISTANCES, *torsions, STATES, TEMPERATURE]


def _members(sources: Sources, kind: str) -> list[tuple[str, int]]:
    """Return what there is of a kind to choose from."""
    atoms = {BONDS: sources.bonds, TORSION: sources.torsions}.get(kind, ())
    single = [(sources.label(chosen), index) for index, chosen in enumerate(atoms)]
    return single if kind == TORSION else [("all", ALL), *single]


def _sources(given: Sequence[Any], *, names: Sequence[str] | None, history: int | None, dt_fs: float | None) -> Sources:
    trajectories = comparable(given, history=history, dt_fs=dt_fs)
    return Sources(trajectories, _distinct(pane_names(trajectories, names)), history)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike: curves are kept by name."""
    made: list[str] = []
    for name in names:
        number = 2
        unique = name
        while unique in made:
            unique, number = f"{name} ({number})", number + 1
        made.append(unique)
    return made


def _told(words: str) -> str:
    return f"<div style='{FAINT};line-height:1.4;max-width:110ch'>{escaped(words)}</div>"
