"""From coordinates to states and cores: nearest centre, equal bins, balls around centres, memberships."""

from __future__ import annotations

from typing import Any

import numpy as np

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float, Int

#: Distances held at a time while the nearest centre is sought.
CHUNK_VALUES = 2**20


def nearest_centre(coordinates: Any, centres: Any) -> Int[np.ndarray, " frames"]:
    """Return the index of the nearest centre, the first of equals.

    Args:
        coordinates: [frames, dimensions].
        centres: [states, dimensions].

    Raises:
        InvalidTrajectory: no frame, or not the centres' dimension.
    """
    return _nearest(*_pair(coordinates, centres))[0]


def cores_within(coordinates: Any, centres: Any, *, radius: float) -> Int[np.ndarray, " frames"]:
    """Return the centre within ``radius`` of each frame, −1 where there is none.

    Raises:
        InvalidSettings: a radius that is not positive, or so large that two cores overlap.
        InvalidTrajectory: no frame, or not the centres' dimension.
    """
    coordinates, centres = _pair(coordinates, centres)
    between = np.linalg.norm(centres[:, None] - centres[None], axis=-1)[np.triu_indices(len(centres), k=1)]
    most = between.min() / 2 if len(between) else np.inf
    if not 0 < radius < most:
        raise InvalidSettings(
            f"The core radius was {radius:g}; it must lie between 0 and {most:g}, half way to a core."
        )
    nearest, squared = _nearest(coordinates, centres)
    return np.where(squared <= radius**2, nearest, -1)


def equal_bins(values: Any, n_bins: int, *, low: float, high: float) -> Int[np.ndarray, " frames"]:
    """Return the bin of each value, of equal bins from ``low`` to ``high``, the outermost of them without end.

    Raises:
        InvalidSettings: fewer than one bin, or no range.
    """
    if n_bins < 1 or not low < high:
        raise InvalidSettings(f"Found {n_bins} bins from {low:g} to {high:g}; needed are at least one, and low < high.")
    position = (np.asarray(values, dtype=float) - low) / (high - low) * n_bins
    return np.clip(np.floor(position), 0, n_bins - 1).astype(np.int64)


def cores_of_memberships(memberships: Any, *, at_least: float = 0.8) -> Int[np.ndarray, " states"]:
    """Return the set that each state belongs to for certain, −1 where no membership is high enough.

    PCCA+ made hard brings recrossings on the border back; its memberships as cores do not.

    Args:
        memberships: [states, sets], rows sum to 1.
        at_least: above one half, so that no state has two sets.

    Raises:
        InvalidSettings: rows that are no memberships, or a threshold that is not above one half.
    """
    memberships = np.asarray(memberships, dtype=float)
    if memberships.ndim != 2 or not np.allclose(memberships.sum(axis=1), 1) or memberships.min() < -1e-6:
        raise InvalidSettings(
            f"Memberships of shape {memberships.shape} must be [states, sets] with rows that sum to 1."
        )
    if not 0.5 < at_least <= 1:
        raise InvalidSettings(f"The threshold was {at_least:g}; it must lie above 0.5 and at most at 1.")
    return np.where(memberships.max(axis=1) >= at_least, memberships.argmax(axis=1), -1)


def _pair(
    coordinates: Any, centres: Any
) -> tuple[Float[np.ndarray, "frames dimensions"], Float[np.ndarray, "states dimensions"]]:
    coordinates, centres = np.asarray(coordinates, dtype=float), np.asarray(centres, dtype=float)
    fits = coordinates.ndim == centres.ndim == 2 and coordinates.shape[1:] == centres.shape[1:]
    if not fits or not coordinates.size or not centres.size:
        raise InvalidTrajectory(
            f"Coordinates of shape {coordinates.shape} and centres of shape {centres.shape} must be "
            "[frames, dimensions] and [states, dimensions], at least one of each."
        )
    return coordinates, centres


def _nearest(
    coordinates: Float[np.ndarray, "frames dimensions"], centres: Float[np.ndarray, "states dimensions"]
) -> tuple[Int[np.ndarray, " frames"], Float[np.ndarray, " frames"]]:
    """Return the nearest centre and its squared distance."""
    index, squared = np.empty(len(coordinates), dtype=np.int64), np.empty(len(coordinates))
    rows = max(1, CHUNK_VALUES // centres.size)
    for start in range(0, len(coordinates), rows):
        some = slice(start, start + rows)
        distances = ((coordinates[some, None] - centres[None]) ** 2).sum(axis=-1)
        index[some], squared[some] = distances.argmin(axis=1), distances.min(axis=1)
    return index, squared
