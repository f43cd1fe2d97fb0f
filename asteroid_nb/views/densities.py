"""Densities of what a molecule does: lengths and turns in bins that suit both a long run and a few frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from asteroid_nb.metrics.structure import torsion_density
from asteroid_nb.views.style import number

#: Two arrays of one length: x and y.
Curve = tuple[np.ndarray, np.ndarray]

#: How far outside the reference's range an axis of lengths reaches at most, Å: what is further is broken, not bent.
BEYOND_ANG = 0.5

#: Frames for which a turn is divided finely, else in steps of ten degrees.
MANY_FRAMES = 1000

#: Cosine of thirty degrees: nearer than that to where an axis begins, an angle jumps to its other end.
SEAM = 3**0.5 / 2


def since(pair: Curve, since_fs: float | None) -> np.ndarray:
    """Return the values after a time, all if it is None."""
    times, values = pair
    return values if since_fs is None else values[times > since_fs]


def finite(values: np.ndarray) -> np.ndarray:
    """Return the finite values in one row."""
    flat = np.ravel(np.asarray(values, dtype=float))
    return flat[np.isfinite(flat)]


def mean_and_deviation(name: str, values: np.ndarray, unit: str) -> str:
    return f"{name} {number(values.mean())} ± {number(values.std(), unit)}" if values.size else f"{name} nothing"


def length_range(reference: np.ndarray, everything: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return where an axis of lengths begins and ends: all of the reference, and of the others what is near it."""
    values = np.concatenate(list(everything))
    if not values.size:
        return 0.0, 1.0
    known = reference if reference.size else values
    low, high = known.min() - BEYOND_ANG, known.max() + BEYOND_ANG
    return float(max(low, values.min())), float(min(high, values.max()))


def length_edges(reference: np.ndarray, everything: Sequence[np.ndarray], n_bins: int | None) -> np.ndarray:
    """Return bin edges, as wide as the spread within each bond [frames, bonds] asks for (Freedman, Diaconis 1981).

    One more bin stands at either end, so that a density ends at zero.
    """
    low, high = length_range(finite(reference), everything)
    low, high = low - 1e-3, high + 1e-3
    if n_bins is None:
        columns = [np.subtract(*np.percentile(finite(one), [75, 25])) for one in reference.T if finite(one).size]
        spread = float(np.median(columns)) if columns else 0.0
        width = np.clip(2 * spread / max(1, len(reference)) ** (1 / 3), 0.002, 0.05)
        n_bins = int(np.clip((high - low) / width, 12, 400))
    width = (high - low) / n_bins
    return np.linspace(low - width, high + width, n_bins + 3)


def density(values: np.ndarray, edges: np.ndarray) -> Curve:
    """Return bin centres and the density of all values, those outside the edges included."""
    counts = np.histogram(values, edges)[0]
    return (edges[:-1] + edges[1:]) / 2, counts / (max(1, len(values)) * np.diff(edges))


def outside(values: Mapping[str, np.ndarray], edges: np.ndarray) -> str:
    """Say of each trajectory which share of its lengths the axis leaves out."""
    share = {name: np.mean((v < edges[0]) | (v > edges[-1])) for name, v in values.items() if v.size}
    far = [f"{name} {value:.1%}" for name, value in share.items() if value > 0]
    return f" More than {BEYOND_ANG:g} Å beyond the reference's range, and not drawn: {', '.join(far)}." if far else ""


def turn_bins(n_frames: int) -> int:
    """Return into how many bins a full turn is divided: a histogram of a few frames would be a comb."""
    return 100 if n_frames >= MANY_FRAMES else 36


def seam(angles: Sequence[np.ndarray]) -> float:
    """Return where an axis of torsions begins, −180 or 0 degrees: where fewer of the angles, in rad, are cut in two."""
    cosines = np.cos(finite(np.concatenate([np.ravel(one) for one in angles])))
    return 0.0 if (cosines < -SEAM).sum() > (cosines > SEAM).sum() else -180.0


def turns(values: np.ndarray, n_bins: int, *, low: float = -180.0) -> Curve:
    """Return bin centres in degrees, from ``low`` on, and the density in 1/degree of angles in rad."""
    known = finite(values)
    centres, found = torsion_density(known[:, None] if known.size else np.full((1, 1), np.nan), n_bins=n_bins)
    degrees = (np.degrees(centres) - low) % 360 + low
    order = degrees.argsort()
    return degrees[order], found[0][order] / np.degrees(1)


def mostly(name: str, curve: Curve) -> str:
    degrees, height = curve
    return f"{name} most often near {degrees[height.argmax()]:.0f}°" if height.any() else f"{name} nothing"
