"""Regions in the space of coordinates, of which states and cores are made: points, balls, boxes, a grid.

Each says in which region every frame lies, −1 in none, and which one is nearest. Distances between angles are taken the
short way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.partitions import CHUNK_VALUES, equal_bins

#: The most cells of a grid: beyond it, few would ever be met by a trajectory.
MOST_CELLS = 1_000_000


def wrapped(angles: np.ndarray) -> np.ndarray:
    """Return angles in rad brought between −π and π."""
    return angles - 2 * np.pi * np.round(angles / (2 * np.pi))


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Every frame belongs to the nearest centre.

    Args:
        centres: [regions, dimensions], or [regions, 2 × dimensions] cosines and sines where ``circles`` says so.
        periodic: coordinates are angles in rad.
        circles: distances are taken between cosines and sines, where means have a meaning.
    """

    centres: np.ndarray
    periodic: bool = False
    circles: bool = False

    @property
    def n_regions(self) -> int:
        return len(self.centres)

    @property
    def n_dimensions(self) -> int:
        return self.centres.shape[1] // (2 if self.circles else 1)

    @property
    def middles(self) -> Float[np.ndarray, "regions dimensions"]:
        """Return the centres in the unit of the coordinates."""
        pairs = self.centres.reshape(self.n_regions, -1, 2) if self.circles else None
        return self.centres if pairs is None else np.arctan2(pairs[..., 1], pairs[..., 0])

    def nearest(self, values: Float[np.ndarray, "frames dimensions"]) -> Int[np.ndarray, " frames"]:
        return _smallest(self._gaps, self._measured(values), self.centres.size)[0]

    def inside(self, values: Float[np.ndarray, "frames dimensions"]) -> Int[np.ndarray, " frames"]:
        return self.nearest(values)

    def _measured(self, values: np.ndarray) -> np.ndarray:
        return circled(values) if self.circles else values

    def _gaps(self, values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(self._arms(values), axis=-1)

    def _arms(self, values: np.ndarray) -> np.ndarray:
        arms = values[:, None] - self.centres[None]
        return wrapped(arms) if self.periodic and not self.circles else arms


@dataclass(frozen=True, kw_only=True, eq=False)
class Balls(Points):
    """Regions within a radius of their centres; the nearest is the one whose surface is.

    Args:
        radii: [regions], in the unit of the coordinates.
    """

    radii: np.ndarray

    def inside(self, values: Float[np.ndarray, "frames dimensions"]) -> Int[np.ndarray, " frames"]:
        index, gaps = _smallest(self._gaps, values, self.centres.size)
        return np.where(gaps <= 0, index, -1)

    def _gaps(self, values: np.ndarray) -> np.ndarray:
        return super()._gaps(values) - self.radii

    def reach(self) -> Float[np.ndarray, "regions regions"]:
        """Return how far each pair stands apart; negative where they overlap."""
        return Points._gaps(self, self.centres) - self.radii - self.radii[:, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes(Points):
    """Regions within half a width of their centres along every dimension.

    Args:
        half_widths: [regions, dimensions], in the unit of the coordinates.
    """

    half_widths: np.ndarray

    def inside(self, values: Float[np.ndarray, "frames dimensions"]) -> Int[np.ndarray, " frames"]:
        index, gaps = _smallest(self._gaps, values, self.centres.size)
        return np.where(gaps <= 0, index, -1)

    def _gaps(self, values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.maximum(np.abs(self._arms(values)) - self.half_widths, 0), axis=-1)

    def reach(self) -> Float[np.ndarray, "regions regions"]:
        """Return how far each pair stands apart along the dimension that parts them most."""
        widths = self.half_widths + self.half_widths[:, None]
        return (np.abs(self._arms(self.centres)) - widths).max(axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Equal bins along each dimension, the outermost without end; angles are counted from ``low`` once round.

    Args:
        low: [dimensions].
        high: [dimensions].
        n_bins: [dimensions].
    """

    low: np.ndarray
    high: np.ndarray
    n_bins: np.ndarray
    periodic: bool = False

    @property
    def n_regions(self) -> int:
        return int(np.prod(self.n_bins))

    @property
    def n_dimensions(self) -> int:
        return len(self.n_bins)

    @property
    def middles(self) -> Float[np.ndarray, "regions dimensions"]:
        width = (self.high - self.low) / self.n_bins
        index = np.stack(np.unravel_index(np.arange(self.n_regions), tuple(self.n_bins)), axis=1)
        return self.low + (index + 0.5) * width

    def nearest(self, values: Float[np.ndarray, "frames dimensions"]) -> Int[np.ndarray, " frames"]:
        if self.periodic:  # the first bin need not begin at −π
            values = self.low + (values - self.low) % (2 * np.pi)
        bins = [
            equal_bins(values[:, at], int(count), low=float(self.low[at]), high=float(self.high[at]))
            for at, count in enumerate(self.n_bins)
        ]
        return np.ravel_multi_index(tuple(bins), tuple(self.n_bins)).astype(np.int64)

    def inside(self, values: Float[np.ndarray, "frames dimensions"]) -> Int[np.ndarray, " frames"]:
        return self.nearest(values)


Regions = Points | Balls | Boxes | Grid
KINDS: dict[str, type] = {kind.__name__: kind for kind in (Points, Balls, Boxes, Grid)}


def described(regions: Regions) -> dict[str, Any]:
    """Return the kind and every field of it, as JSON-able values."""
    values = {one.name: getattr(regions, one.name) for one in fields(regions)}
    return {"kind": type(regions).__name__} | {key: np.asarray(value).tolist() for key, value in values.items()}


def rebuilt(description: Mapping[str, Any]) -> Regions:
    """Return the regions that `described` wrote; KeyError, TypeError or ValueError where it did not."""
    kind = KINDS[description["kind"]]
    values = {one.name: description[one.name] for one in fields(kind)}
    return kind(**{key: np.asarray(value) if isinstance(value, list) else value for key, value in values.items()})


def circled(angles: Float[np.ndarray, "frames dimensions"]) -> Float[np.ndarray, "frames numbers"]:
    """Return cosine and sine of each angle, in pairs, as `Coordinates.vectors` does."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(len(angles), -1)


def grid(*, low: np.ndarray, high: np.ndarray, n_bins: np.ndarray, periodic: bool) -> Grid:
    """Return the grid.

    Raises:
        InvalidSettings: no bin or no range along a dimension, or more than `MOST_CELLS` in all.
    """
    if (n_bins < 1).any() or not (low < high).all():
        raise InvalidSettings(
            f"Found {n_bins.tolist()} bins from {low.tolist()} to {high.tolist()}; needed are at least one, and a "
            "range, along every dimension. Leave a constant dimension out."
        )
    cells = float(np.prod(n_bins.astype(float)))
    if cells > MOST_CELLS:
        raise InvalidSettings(f"{cells:g} cells are more than {MOST_CELLS}. Use fewer bins or dimensions, or kmeans.")
    return Grid(low=low, high=high, n_bins=n_bins, periodic=periodic)


def _smallest(
    gaps: Callable[[np.ndarray], np.ndarray], values: np.ndarray, size: int
) -> tuple[Int[np.ndarray, " frames"], Float[np.ndarray, " frames"]]:
    """Return the region of the smallest gap for each frame, the first of equals, and that gap."""
    index, gap = np.empty(len(values), dtype=np.int64), np.empty(len(values))
    rows = max(1, CHUNK_VALUES // size)
    for start in range(0, len(values), rows):
        some = slice(start, start + rows)
        found = gaps(values[some])
        index[some], gap[some] = found.argmin(axis=1), found.min(axis=1)
    return index, gap
