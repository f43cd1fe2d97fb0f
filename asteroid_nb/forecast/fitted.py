"""What a model was fitted on, remembered by a few numbers, so that nobody tests it on the same frames by mistake."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows


class Stretch(NamedTuple):
    """Frames ``first`` to ``last`` of the trajectory that begins with the structure ``start`` is the fingerprint of."""

    start: str
    first: int
    last: int

    def overlaps(self, other: Stretch) -> bool:
        return self.start == other.start and self.first <= other.last and other.first <= self.last


def stretches(windows: Windows) -> list[Stretch]:
    """Return the stretch of each trajectory that the windows cover."""
    found = []
    for number in np.unique(windows.starts[:, 0]):
        starts = windows.starts[windows.starts[:, 0] == number, 1]
        last = int(starts.max()) + windows.shape.span_frames - 1
        found.append(Stretch(_fingerprint(windows.trajectories[number]), int(starts.min()), last))
    return found


def _fingerprint(trajectory: Trajectory) -> str:
    """Return a short hash of the first frame, to a thousandth of an Å, which every format keeps."""
    rounded = np.round(np.asarray(trajectory.positions[0], dtype=float), 3) + 0.0
    return hashlib.sha256(rounded.tobytes()).hexdigest()[:16]
