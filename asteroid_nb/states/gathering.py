"""Training trajectories taken together: the frames of all, once they are found to fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch

Several = Coordinates | Sequence[Coordinates]


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Frames of several trajectories.

    Args:
        values: [all frames, dimensions].
        record: how many there were and how far apart, as JSON-able values.
    """

    values: np.ndarray
    names: tuple[str, ...]
    periodic: bool
    projection: str
    record: dict[str, Any]


def listed(trajectories: Several) -> list[Coordinates]:
    """Return the trajectories as a list.

    Raises:
        InvalidTrajectory: there is none.
        ModelMismatch: they differ in names, kind, spacing or projection.
    """
    several = [trajectories] if isinstance(trajectories, Coordinates) else list(trajectories)
    if not several:
        raise InvalidTrajectory("No trajectory was given. Pass one `Coordinates` or more.")
    if other := [one for one in several if not isinstance(one, Coordinates)]:
        raise InvalidTrajectory(
            f"Found a {type(other[0]).__name__} where `Coordinates` are needed. Make them of a trajectory with "
            "backbone_torsions, or of any numbers [frames, dimensions] with Coordinates(values, dt_fs)."
        )
    kinds = {(one.names, one.periodic, one.dt_fs, projection_of(one)) for one in several}
    if len(kinds) > 1:
        seen = "; ".join(sorted(f"{', '.join(names)} every {dt_fs:g} fs" for names, _, dt_fs, _ in kinds))
        raise ModelMismatch(
            f"The trajectories differ in names, kind, spacing or projection: {seen}. Use trajectories that agree."
        )
    return several


def gathered(trajectories: Several, dimensions: Sequence[str] | None = None) -> Gathered:
    """Return all frames of some dimensions, of every one when not given.

    Raises:
        InvalidTrajectory: no trajectory, or no such dimension.
        ModelMismatch: they differ in names, kind, spacing or projection.
    """
    several = listed(trajectories)
    if dimensions is not None:
        several = [one.select(dimensions) for one in several]
    first = several[0]
    return Gathered(
        values=np.concatenate([one.values for one in several]).astype(float),
        names=first.names,
        periodic=first.periodic,
        projection=projection_of(first),
        record={"n_trajectories": len(several), "dt_fs": first.dt_fs},
    )


def projection_of(coordinates: Coordinates) -> str:
    """Return the fingerprint of the projection that made these coordinates, empty for none."""
    return str(coordinates.provenance.get("projection", {}).get("fingerprint", ""))
