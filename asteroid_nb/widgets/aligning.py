"""Trajectories made comparable before they are shown together: same atoms, same frames, or words for what differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from asteroid_nb.data.geometry import superposition
from asteroid_nb.data.readers import as_trajectory
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory

MOST_PANES = 4

Superposing = Literal["none", "first", "every"]


def comparable(
    things: Sequence[Any],
    *,
    history: int | None = None,
    dt_fs: float | None = None,
    superpose: Superposing = "none",
) -> list[Trajectory]:
    """Return trajectories over the same frames of the same atoms, the reference first.

    Args:
        things: `Trajectory`, MDTraj trajectory or ASE frames.
        history: leading frames of the reference that a forecast may lack; it then gets them from the reference.
        dt_fs: needed where an object carries no time of its own.
        superpose: lay each on the reference by its first frame, by every frame, or not at all.

    Raises:
        InvalidTrajectory: other atoms, length or spacing, too many trajectories, a history outside the reference.
    """
    given = [thing if isinstance(thing, Trajectory) else as_trajectory(thing, dt_fs=dt_fs) for thing in things]
    reference = given[0]
    if len(given) > MOST_PANES:
        raise InvalidTrajectory(
            f"{len(given)} trajectories were given; {MOST_PANES} panes is what a browser can hold. Show them in turns."
        )
    if history is not None and not 1 <= history <= reference.n_frames:
        raise InvalidTrajectory(
            f"history was {history}; the reference has {reference.n_frames} frames, the history included. "
            f"Give a number from 1 to {reference.n_frames}, or a reference that begins with the history."
        )
    if superpose not in ("none", "first", "every"):
        raise ValueError(f'superpose was {superpose!r}; choose "none", "first" or "every".')
    return [reference, *(_laid_on(reference, _like(reference, other, history), superpose) for other in given[1:])]


def _laid_on(reference: Trajectory, other: Trajectory, superpose: Superposing) -> Trajectory:
    if superpose == "none":
        return other
    if superpose == "first":
        rigid = superposition(other.positions[0], reference.positions[0])
    else:
        rigid = superposition(other.positions, reference.positions)
    moved = rigid.apply(other.positions)
    return Trajectory(moved, other.atomic_numbers, other.dt_fs, name=other.name, check_distances=False)


def _like(reference: Trajectory, other: Trajectory, history: int | None) -> Trajectory:
    _same_atoms(reference, other)
    if not math.isclose(other.dt_fs, reference.dt_fs, rel_tol=1e-6):
        raise InvalidTrajectory(
            f"{other.name!r} has a frame every {other.dt_fs:g} fs, the reference every {reference.dt_fs:g} fs. "
            "Thin the finer one: trajectory[::n]."
        )
    if other.n_frames == reference.n_frames:
        return other
    if history is not None and other.n_frames == reference.n_frames - history:
        seen = reference.positions[:history]
        joined = np.concatenate([seen, np.asarray(other.positions, dtype=seen.dtype)])
        return Trajectory(joined, other.atomic_numbers, other.dt_fs, name=other.name, check_distances=False)
    after = "" if history is None else f", or the {reference.n_frames - history} after the history"
    raise InvalidTrajectory(
        f"{other.name!r} has {other.n_frames} frames, the reference {reference.n_frames}. "
        f"Needed are the same frames{after}: cut one with trajectory[a:b]."
    )


def _same_atoms(reference: Trajectory, other: Trajectory) -> None:
    if reference.n_atoms != other.n_atoms:
        raise InvalidTrajectory(
            f"{other.name!r} has {other.n_atoms} atoms, the reference {reference.n_atoms}. "
            "Select the same atoms in both: trajectory.select(…)."
        )
    differ = np.flatnonzero(reference.atomic_numbers != other.atomic_numbers)
    if len(differ):
        first = int(differ[0])
        raise InvalidTrajectory(
            f"{other.name!r} differs in element from the reference at {len(differ)} atoms, first at index {first}, "
            f"{other.symbols[first]} for {reference.symbols[first]}. Bring both into one order: trajectory.select(…)."
        )


def pane_names(panes: Sequence[Trajectory], names: Sequence[str] | None) -> list[str]:
    if names is None:
        return [pane.name for pane in panes]
    if isinstance(names, str) or len(names) != len(panes):
        raise ValueError(f"names was {names!r}; needed is one for each of {len(panes)} panes, the reference first.")
    return [str(name) for name in names]
