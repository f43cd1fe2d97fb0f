"""From coordinates to states: `Partition`, and its makers, each fitted on the training trajectories it is given alone.

Three factors decide whether slow motion shows in the states, and each is a knob here: which coordinates are looked at
(``dimensions``, or the components of `projection.tica`), how often (``coordinates[::n]``), and how they are parted
(the maker). `pcca_cores` merges the states of any partition into slow sets; `core_states` removes recrossings.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.memory import giving_back
from asteroid_nb.shapes import Float
from asteroid_nb.states.cells import Partition
from asteroid_nb.states.core_states import core_states, pcca_cores
from asteroid_nb.states.gathering import Several, gathered
from asteroid_nb.states.load_deeptime import load_deeptime
from asteroid_nb.states.regions import Balls, Boxes, Points, circled, grid

__all__ = ["Partition", "bins", "core_states", "cores", "kmeans", "nearest", "pcca_cores"]

#: Frames that k-means looks at: more move the centres little, and cost in proportion.
MOST_FRAMES = 50_000


def bins(
    trajectories: Several,
    n_bins: int | Sequence[int],
    *,
    low: float | Sequence[float] | None = None,
    high: float | Sequence[float] | None = None,
    dimensions: Sequence[str] | None = None,
    every_cell: bool = False,
) -> Partition:
    """Return a partition into equal bins along each dimension, a cell of the grid each.

    Args:
        n_bins: along every dimension, or one number each.
        low: where the first bin begins; −π for angles, else the least value met, when not given.
        high: where the last one ends.
        every_cell: count cells never met by the trajectories as states too. Otherwise such a cell belongs to the
            nearest one that was met.

    Raises:
        InvalidTrajectory: no trajectory.
        InvalidSettings: no bin, a constant dimension, or too many cells.
    """
    data = gathered(trajectories, dimensions)
    size = data.values.shape[1]
    ends = (-np.pi, np.pi) if data.periodic else (data.values.min(axis=0), data.values.max(axis=0))
    from_, to = (
        _each(what, end if given is None else given, size)
        for what, given, end in (("low", low, ends[0]), ("high", high, ends[1]))
    )
    counts = _each("n_bins", n_bins, size)
    if (counts != np.rint(counts)).any():
        raise InvalidSettings(f"n_bins was {n_bins!r}; bins are counted in whole numbers. Give those.")
    cells = grid(low=from_, high=to, n_bins=counts.astype(int), periodic=data.periodic)
    state_of = np.arange(cells.n_regions)
    if not every_cell:
        met = np.unique(cells.nearest(data.values))
        state_of = Points(centres=cells.middles[met], periodic=data.periodic).nearest(cells.middles)
    made = {"by": "bins", "n_bins": cells.n_bins.tolist(), **data.record}
    return Partition(regions=cells, dimensions=data.names, state_of=state_of, projection=data.projection, made=made)


@giving_back()
def kmeans(
    trajectories: Several,
    n_states: int,
    *,
    dimensions: Sequence[str] | None = None,
    seed: int = 0,
    most_frames: int = MOST_FRAMES,
) -> Partition:
    """Return a partition into the cells of k-means centres, angles measured by cosine and sine.

    A centre that ends without a frame is left out, so there may be fewer states than asked for. Centres that still move
    after 500 rounds part the frames well enough; ``made["converged"]`` says so.

    Args:
        most_frames: a random sample of so many is fitted where there are more.

    Raises:
        InvalidTrajectory: no trajectory, or fewer distinct frames than states.
        InvalidSettings: fewer than two states.

    Reference:
        Arthur & Vassilvitskii (2007), k-means++, Proceedings of SODA, 1027–1035, for the starting centres.
    """
    data = gathered(trajectories, dimensions)
    vectors = circled(data.values) if data.periodic else data.values
    if len(vectors) > most_frames:
        vectors = vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), size=most_frames, replace=False))]
    distinct = len(np.unique(vectors, axis=0))
    if n_states < 2:
        raise InvalidSettings(f"n_states was {n_states!r}; a partition needs at least two. Ask for more.")
    if n_states > distinct:
        raise InvalidTrajectory(
            f"{n_states} states were asked for, the trajectories hold {distinct} distinct frames. Ask for fewer states "
            "or give more data; are the coordinates constant?"
        )
    centres, converged = _kmeans_centres(vectors, n_states, seed)
    held = np.unique(Points(centres=centres).nearest(vectors))
    regions = Points(centres=centres[held], periodic=data.periodic, circles=data.periodic)
    return Partition(
        regions=regions,
        dimensions=data.names,
        state_of=np.arange(regions.n_regions),
        projection=data.projection,
        made={"by": "kmeans", "seed": int(seed), "n_frames": len(vectors), "converged": converged, **data.record},
    )


def _kmeans_centres(vectors: np.ndarray, n_states: int, seed: int) -> tuple[np.ndarray, bool]:
    load_deeptime()
    from deeptime.clustering import KMeans

    options: dict[str, Any] = {"max_iter": 500, "tolerance": 1e-4, "fixed_seed": int(seed), "n_jobs": 1}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Algorithm did not reach convergence")
        model: Any = KMeans(n_states, **options).fit(vectors).fetch_model()
    return np.asarray(model.cluster_centers, dtype=float), bool(model.converged)


def nearest(
    centres: Any,
    *,
    dimensions: Sequence[str],
    periodic: bool = False,
    labels: Sequence[str] = (),
    projection: str = "",
) -> Partition:
    """Return a partition into the frames nearest to each of some centres.

    Args:
        centres: [states, dimensions]; rad where ``periodic``, and angles are then parted the short way round.
        projection: its fingerprint, where the dimensions are components of one.

    Raises:
        InvalidSettings: no centre, or not of these dimensions.
    """
    points = _centres(centres, dimensions)
    return Partition(
        regions=Points(centres=points, periodic=periodic),
        dimensions=tuple(dimensions),
        state_of=np.arange(len(points)),
        labels=tuple(labels),
        projection=projection,
        made={"by": "nearest"},
    )


def cores(
    centres: Any,
    *,
    dimensions: Sequence[str],
    radius: float | Sequence[float] | None = None,
    half_widths: Any = None,
    core_of: Sequence[int] | None = None,
    periodic: bool = False,
    labels: Sequence[str] = (),
    projection: str = "",
) -> Partition:
    """Return cores: balls of a radius, or boxes, around centres; frames elsewhere lie between them.

    Args:
        centres: [regions, dimensions]; rad where ``periodic``, and a region may then reach across ±π.
        radius: of each ball, or of all.
        half_widths: [regions, dimensions] of each box, or [dimensions] of all; instead of a radius.
        core_of: [regions] the core each region belongs to, where several make one; every region a core if not given.
        projection: its fingerprint, where the dimensions are components of one.

    Raises:
        InvalidSettings: both sizes or neither, sizes that are not positive, cores that overlap.
    """
    points = _centres(centres, dimensions)
    if (radius is None) == (half_widths is None):
        raise InvalidSettings("Cores need a radius or half_widths, one of the two. Give one.")
    sizes = _sizes(radius, (len(points),)) if half_widths is None else _sizes(half_widths, points.shape)
    regions = (
        Balls(centres=points, periodic=periodic, radii=sizes)
        if half_widths is None
        else Boxes(centres=points, periodic=periodic, half_widths=sizes)
    )
    owner = np.arange(len(points)) if core_of is None else np.asarray(core_of, dtype=int)
    if owner.shape != (len(points),) or set(owner.tolist()) != set(range(owner.max() + 1)):
        raise InvalidSettings(
            f"core_of was {owner.tolist()}; give each of {len(points)} regions a core, from 0, no gaps."
        )
    _apart(regions, owner)
    made = {"by": "cores", "shape": type(regions).__name__.lower()}
    return Partition(
        regions=regions,
        dimensions=tuple(dimensions),
        state_of=owner,
        labels=tuple(labels),
        projection=projection,
        made=made,
    )


def _each(what: str, given: Any, size: int) -> Float[np.ndarray, " dimensions"]:
    """Return one number per dimension, from one for all or one each."""
    values = np.asarray(given, dtype=float)
    if values.shape not in ((), (size,)) or not np.isfinite(values).all():
        raise InvalidSettings(f"{what} was {given!r}; give one number, or one for each of {size} dimensions.")
    return np.broadcast_to(values, size)


def _centres(centres: Any, dimensions: Sequence[str]) -> Float[np.ndarray, "regions dimensions"]:
    points = np.asarray(centres, dtype=float)
    if points.ndim != 2 or not points.size or points.shape[1] != len(dimensions) or not np.isfinite(points).all():
        raise InvalidSettings(
            f"Centres of shape {points.shape} must be finite numbers [states, {len(dimensions)}], one column each for "
            f"{', '.join(dimensions)}. Give at least one row."
        )
    return points


def _sizes(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return positive numbers of a shape, from one for all, or one for each dimension or region."""
    sizes = np.asarray(given, dtype=float)
    if sizes.shape not in ((), shape[-1:], shape) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise InvalidSettings(
            f"Cores had sizes {sizes.tolist()}; each must be a positive number, one for all or {shape} of them."
        )
    return np.broadcast_to(sizes, shape)


def _apart(regions: Balls | Boxes, core_of: np.ndarray) -> None:
    """Raise unless regions of different cores stand apart."""
    touching = (regions.reach() <= 0) & (core_of[:, None] != core_of)
    if touching.any():
        first, second = np.argwhere(touching)[0]
        raise InvalidSettings(
            f"The cores {core_of[first]} and {core_of[second]} overlap around {regions.centres[first].tolist()} and "
            f"{regions.centres[second].tolist()}. Make them smaller."
        )
