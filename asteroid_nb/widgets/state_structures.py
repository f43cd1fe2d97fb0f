"""Structures of one state to look at: some of those kept, spread over its frames and laid on one another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ipywidgets import HTML, HBox, Layout, VBox

from asteroid_nb.data.backbone import find_backbone
from asteroid_nb.data.geometry import superpose
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.views.camera import orientation
from asteroid_nb.views.scene import Scene, scene
from asteroid_nb.views.time_units import time_words
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, escaped
from asteroid_nb.widgets.player import Player
from asteroid_nb.widgets.state_sources import StateSources

#: Structures shown of a state.
MOST_STRUCTURES = 20

HEIGHT_PX = 340


class Ensemble(NamedTuple):
    """Structures of one state.

    Args:
        structures: laid on the first one's backbone.
        times_fs: of each, within its own trajectory.
        members: the trajectory each is from, counted from 1.
        n_kept: how many structures of this state there are.
    """

    structures: Trajectory
    times_fs: np.ndarray
    members: np.ndarray
    n_kept: int


def has_structures(sources: StateSources) -> bool:
    return any(found.structures is not None for found in sources.coordinates.get(sources.reference, []))


def ensemble(sources: StateSources, state: int, *, most: int = MOST_STRUCTURES) -> Ensemble:
    """Return structures of the reference whose frames are in a state.

    Raises:
        InvalidTrajectory: no structure was kept of any such frame.
    """
    coordinates, paths = sources.coordinates[sources.reference], sources.paths[sources.reference]
    places: list[tuple[int, Trajectory, int, float]] = []
    for number, (found, path) in enumerate(zip(coordinates, paths, strict=True)):
        if found.structures is not None:
            frames = np.arange(found.structures.n_frames) * found.structure_every
            cut = found.n_frames - path.n_frames
            here = np.flatnonzero((frames >= cut) & (path.states[np.maximum(frames - cut, 0)] == state))
            places += [(number, found.structures, int(at), float(frames[at] * found.dt_fs)) for at in here]
    if not places:
        raise InvalidTrajectory(
            f"No structure of state {sources.labels[state]} was kept by {sources.reference}. Choose another state, or "
            "keep structures more often (structure_every)."
        )
    chosen = [places[at] for at in np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)]
    first = chosen[0][1]
    together = Trajectory(
        np.stack([kept.positions[index] for _, kept, index, _ in chosen]), first.atomic_numbers, first.dt_fs,
        masses=first.masses, bonds=first.bonds, name=sources.labels[state], check_distances=False,
    )  # fmt: skip
    return Ensemble(
        superpose(together, weights=backbone_weights(together)),
        np.array([time for *_, time in chosen]),
        np.array([number + 1 for number, *_ in chosen]),
        len(places),
    )


def backbone_weights(trajectory: Trajectory) -> np.ndarray:
    """Return 1 for the atoms of φ and ψ; of all heavy atoms where there are none, of all where these are few."""
    weights = np.zeros(trajectory.n_atoms)
    try:
        weights[np.unique(find_backbone(trajectory)[1])] = 1.0
    except InvalidTrajectory:
        heavy = trajectory.atomic_numbers > 1
        weights[:] = heavy if heavy.sum() >= 3 else 1.0
    return weights


class StateStructures(Panel):
    """A viewer of structures with a player to step through them; empty until a state is shown."""

    view: Scene | None = None

    def __init__(self, sources: StateSources):
        self._sources = sources
        self._ensembles: dict[int, Ensemble] = {}
        self.title, self.words = HTML(), HTML()
        self.player = Player([0.0])
        self.player.speed = 0.25  # one structure has nothing to do with the next
        self._aside = [self.title, self.words, self.player]
        super().__init__([])

    def show(self, state: int) -> None:
        """Show structures of a state, −1 for none.

        Raises:
            InvalidTrajectory: there are none of this state.
        """
        if state < 0:
            self.children = []
            return
        if state not in self._ensembles:
            self._ensembles[state] = ensemble(self._sources, state)
        found = self._ensembles[state]
        self.player.playing, self.player.frame = False, 0
        self.player.times_fs = [float(time) for time in found.times_fs]
        self.title.value = f"<div style='font-weight:600'>State {escaped(self._sources.labels[state])}</div>"
        self.words.value = f"<div style='{FAINT};line-height:1.4;max-width:110ch'>{escaped(self._told(state))}</div>"
        self._draw(found.structures)

    def _draw(self, structures: Trajectory) -> None:
        if self.view is None:
            self.view = scene(structures, title=f"Structures of {self._sources.reference}", height_px=HEIGHT_PX)
            self._links = link_in_browser(self.player, self.view)
            border = Layout(border="1px solid var(--jp-border-color2, #ccc)", overflow="hidden", width="100%")
            self._frame = HBox([VBox([self.view], layout=border)], layout=Layout(width="100%"))
            self._aside = [*self._aside, self._frame]
        else:
            self.view.show([structures])
            self.view.look(orientation(structures.positions))
        self.children = [self.title, self._frame, self.player, self.words]

    def _told(self, state: int) -> str:
        """Return how many structures there are, and from which times."""
        found, sources = self._ensembles[state], self._sources
        shown = len(found.times_fs)
        every = {one.structure_every for one in sources.coordinates[sources.reference]}
        span = f"between {time_words(found.times_fs.min())} and {time_words(found.times_fs.max())}"
        span = span if shown > 1 else f"at {time_words(found.times_fs[0])}"
        members = np.unique(found.members)
        listed = ", ".join(map(str, members[:12])) + (" …" if len(members) > 12 else "")
        of = f"trajectory {listed}" if len(members) == 1 else f"trajectories {listed}"
        kept = f"one frame in {min(every)} has a structure" if min(every) > 1 else "every frame has a structure"
        return (
            f"{shown} of {found.n_kept:,} structures of {sources.labels[state]} ({kept}), spread evenly, from {of} of "
            f"{sources.reference}, {span}; laid on the backbone of the first. The player steps through them; its time "
            "is that within the trajectory."
        )
