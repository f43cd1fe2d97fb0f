"""What a model was fitted on, remembered by a few numbers, so that nobody tests it on the same frames by mistake."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows


class Stretch(NamedTuple):
    """Frames ``first`` to ``last`` of the trajectory that begins with the structure ``start`` is the fingerprint of.

    They are ``dt_fs`` apart; folders of before this was kept have 0.
    """

    start: str
    first: int
    last: int
    dt_fs: float = 0.0

    @classmethod
    def of(cls, kept: Sequence[Any]) -> Stretch:
        """Return what a folder keeps."""
        start, first, last, *dt_fs = kept
        return cls(str(start), int(first), int(last), *map(float, dt_fs))

    def overlaps(self, other: Stretch) -> bool:
        """Return whether both cover a time in common, however many frames of it are stored."""
        mine, theirs = (self.dt_fs, other.dt_fs) if self.dt_fs and other.dt_fs else (1.0, 1.0)
        apart = self.first * mine > other.last * theirs or other.first * theirs > self.last * mine
        return self.start == other.start and not apart


def stretches(windows: Windows) -> list[Stretch]:
    """Return the stretch of each trajectory that the windows cover."""
    found = []
    for number in np.unique(windows.starts[:, 0]):
        starts = windows.starts[windows.starts[:, 0] == number, 1]
        last = int(starts.max()) + windows.shape.span_frames - 1
        trajectory = windows.trajectories[number]
        found.append(Stretch(_fingerprint(trajectory), int(starts.min()), last, trajectory.dt_fs))
    return found


def _fingerprint(trajectory: Trajectory) -> str:
    """Return a short hash of the first frame, to a thousandth of an Å, which every format keeps."""
    rounded = np.round(np.asarray(trajectory.positions[0], dtype=float), 3) + 0.0
    return hashlib.sha256(rounded.tobytes()).hexdigest()[:16]
