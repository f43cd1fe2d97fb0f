"""Compare two samples of one quantity along molecular dynamics: thin until independent, then test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asteroid_nb.shapes import Float


def frames_per_sample(values: Float[np.ndarray, "walkers frames"], *, periodic: bool = False) -> float:
    """Return how many frames count as one independent sample: 1 + 2 Σ of the autocorrelation, at least 1.

    The largest of what the value and its squared deviation say, for an angle in rad of sine and cosine of it and of
    twice it: a bond's length swings about its mean and soon forgets it, its amplitude does not.

    Reference:
        Geyer (1992), doi:10.1214/ss/1177011137, for where the sum ends: pairs are added while positive, and never grow.
    """
    if periodic:
        seen = [part(order * values) for order in (1, 2) for part in (np.sin, np.cos)]
    else:
        seen = [values, np.square(values - values.mean())]
    return max(_inefficiency(one) for one in seen)


def _inefficiency(values: Float[np.ndarray, "walkers frames"]) -> float:
    off = values - values.mean()
    variance = float(np.mean(off**2))
    if variance <= np.finfo(float).eps * float(np.mean(values**2)):
        return 1.0
    n_frames = off.shape[1]
    power = np.abs(np.fft.rfft(off, 2 * n_frames, axis=1)) ** 2
    products = np.fft.irfft(power, axis=1)[:, :n_frames].mean(axis=0)
    correlation = products / (n_frames * variance)
    pairs = correlation[: n_frames // 2 * 2].reshape(-1, 2).sum(axis=1)
    end = int((pairs <= 0).argmax()) if (pairs <= 0).any() else len(pairs)
    return max(1.0, 2 * float(np.minimum.accumulate(pairs[:end]).sum()) - 1)


def thinned(values: Float[np.ndarray, "walkers frames"], every: int) -> Float[np.ndarray, " samples"]:
    """Return every so many frames of all walkers in one row."""
    return values[:, ::every].ravel()


def opened(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return angles in rad counted from the widest gap that both leave together, where cutting the circle hurts least.

    The gap does not know which sample is which, so it favours neither hypothesis.
    """
    turn = 2 * np.pi
    together = np.sort(np.concatenate([one, other]) % turn)
    gaps = np.diff(together, append=together[0] + turn)
    widest = int(gaps.argmax())
    start = together[widest] + gaps[widest] / 2
    return (one - start) % turn, (other - start) % turn


class Compared(NamedTuple):
    """Two samples by the Kolmogorov–Smirnov test.

    Args:
        n_one, n_other: independent values.
        distance: largest difference of the cumulative distributions.
        p: of a distance at least as large, were both the same.
        smallest_p: that so many values can give.
    """

    n_one: int
    n_other: int
    distance: float
    p: float
    smallest_p: float


def compared(one: Float[np.ndarray, " samples"], other: Float[np.ndarray, " others"]) -> Compared:
    """Return the two-sample Kolmogorov–Smirnov test.

    Reference:
        Hodges (1958), doi:10.1007/BF02589501, as `scipy.stats.ks_2samp` has it.
    """
    from scipy.stats import ks_2samp

    found = ks_2samp(one, other)
    smallest = min(1.0, 2 / math.comb(len(one) + len(other), len(one)))
    return Compared(len(one), len(other), float(found.statistic), float(found.pvalue), smallest)  # type: ignore[attr-defined]


def detectable(n_one: int, n_other: int, level: float) -> float:
    """Return the distance from which two samples so large differ at this level; the known limit of large samples.

    Reference:
        Smirnov (1948), doi:10.1214/aoms/1177730256.
    """
    return min(1.0, math.sqrt(-math.log(level / 2) / 2 * (n_one + n_other) / (n_one * n_other)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for how many there are: one of them falls below a level by chance as rarely as said.

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65.
    """
    order, adjusted, highest = np.argsort(p_values), [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order.tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * float(p_values[at])))
        adjusted[at] = highest
    return adjusted
