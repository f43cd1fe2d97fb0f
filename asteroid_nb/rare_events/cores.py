"""Cores that are certain: one state that lies across the barrier brings all recrossings back."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.states.discretise import Partition, pcca_cores

log = logging.getLogger(__name__)

#: Memberships that make a core, the surest first.
MEMBERSHIPS = (0.99, 0.95, 0.9, 0.8)


def purest_cores(fine: Partition, train: Sequence[Coordinates], *, lag_frames: int, n_sets: int) -> Partition:
    """Return PCCA+ cores of the highest membership that leaves every set one.

    Raises:
        InvalidTrajectory: not even the lowest does.
    """
    for at_least in MEMBERSHIPS[:-1]:
        try:
            return pcca_cores(fine, train, lag_frames=lag_frames, n_sets=n_sets, at_least=at_least)
        except InvalidTrajectory as error:
            log.info("no cores by %g: %s", at_least, error)
    return pcca_cores(fine, train, lag_frames=lag_frames, n_sets=n_sets, at_least=MEMBERSHIPS[-1])
