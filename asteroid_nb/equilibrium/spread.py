"""Which frames to learn from: evenly in time, or structures as different as possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float, Int

CHOICES = ("evenly", "farthest")

#: Distances that frames to choose from hold altogether; of more, every n-th frame is looked at.
MOST_DISTANCES = 2**25


def chosen_frames(trajectories: Sequence[Trajectory], n_frames: int | None, choose: str) -> list[np.ndarray]:
    """Return the frames of each trajectory to learn from, in order of time: all, or ``n_frames`` in all.

    Raises:
        InvalidTrajectory: fewer frames than asked for.
        InvalidSettings: another word than "evenly" or "farthest".
    """
    if choose not in CHOICES:
        raise InvalidSettings(f"choose was {choose!r}; there are {' and '.join(map(repr, CHOICES))}.")
    lengths = [one.n_frames for one in trajectories]
    total = sum(lengths)
    if n_frames is None:
        return [np.arange(length) for length in lengths]
    if not 0 < n_frames <= total:
        raise InvalidTrajectory(f"n_frames was {n_frames}; the trajectories hold {total}. Ask for 1 to {total}.")
    if choose == "evenly":
        return _parted(np.linspace(0, total - 1, n_frames).round().astype(int), lengths)
    return _parted(_farthest_of(trajectories, n_frames), lengths)


def _parted(chosen: Int[np.ndarray, " frames"], lengths: Sequence[int]) -> list[np.ndarray]:
    """Return frames counted through all trajectories as frames of each."""
    ends = np.cumsum(lengths)
    return [chosen[(chosen >= end - n) & (chosen < end)] - (end - n) for end, n in zip(ends, lengths, strict=True)]


def _farthest_of(trajectories: Sequence[Trajectory], n_frames: int) -> Int[np.ndarray, " frames"]:
    """Return frames counted through all trajectories; each molecule gets its share."""
    firsts = np.cumsum([0, *(one.n_frames for one in trajectories)])
    kinds = [one.atomic_numbers.tobytes() for one in trajectories]
    counts = {
        kind: sum(one.n_frames for one, of in zip(trajectories, kinds, strict=True) if of == kind) for kind in kinds
    }
    ends = np.round(np.cumsum(list(counts.values())) / firsts[-1] * n_frames).astype(int)
    found = []
    for kind, wanted in zip(counts, np.diff([0, *ends]), strict=True):
        mine = [number for number, of in enumerate(kinds) if of == kind]
        n_pairs = trajectories[mine[0]].n_atoms * (trajectories[mine[0]].n_atoms - 1) // 2
        every = max(1, min(-(-counts[kind] * n_pairs // MOST_DISTANCES), counts[kind] // max(1, wanted)))
        known = [fingerprints(trajectories[number], every) for number in mine]
        places = np.concatenate([firsts[n] + np.arange(trajectories[n].n_frames)[::every] for n in mine])
        found.append(places[farthest(np.concatenate(known), int(wanted))])
    return np.sort(np.concatenate(found))


def fingerprints(trajectory: Trajectory, every: int = 1) -> Float[np.ndarray, "frames pairs"]:
    """Return inverse distances in 1/Å, sorted within each pair of elements: no exchange of equal atoms changes them."""
    first, second = np.triu_indices(trajectory.n_atoms, 1)
    positions = np.asarray(trajectory.positions[::every], dtype=np.float32)
    inverse = 1 / np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)
    numbers = np.sort(trajectory.atomic_numbers[np.stack([first, second])], axis=0)
    kinds = numbers[0] * 1000 + numbers[1]
    return np.concatenate([np.sort(inverse[:, kinds == kind], axis=1) for kind in np.unique(kinds)], axis=1)


def farthest(points: Float[np.ndarray, "points features"], n: int) -> Int[np.ndarray, " chosen"]:
    """Return ``n`` points, each as far as possible from those before it; the first is the nearest to the mean.

    Reference:
        Gonzalez (1985), doi:10.1016/0304-3975(85)90224-5.
    """
    squared = ((points - points.mean(0)) ** 2).sum(1)
    chosen = [int(squared.argmin())]
    nearest = np.full(len(points), np.inf, dtype=points.dtype)
    while len(chosen) < n:
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(1))
        nearest[chosen] = -1.0  # also where several points are one
        chosen.append(int(nearest.argmax()))
    return np.array(chosen[:n])
