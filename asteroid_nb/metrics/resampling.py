"""Error bars from blocks: overlapping windows repeat one another, so whole runs are redrawn, never single ones."""

from typing import NamedTuple

import numpy as np

from asteroid_nb.shapes import Float, Int


class Interval(NamedTuple):
    """A value with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def block_labels(starts: np.ndarray, walkers: np.ndarray, *, n_blocks: int = 20) -> Int[np.ndarray, " windows"]:
    """Return the block of each window: its walker where there are enough of them, else a run of windows close in time.

    Args:
        starts: [windows] first frame of each window.
        walkers: [windows] trajectory of each window.
        n_blocks: wanted at least, as far as there are windows.
    """
    starts, walkers = np.asarray(starts), np.asarray(walkers)
    names, walker = np.unique(walkers, return_inverse=True)
    runs = -(-n_blocks // len(names))
    order = np.lexsort((starts, walker))
    counts = np.bincount(walker)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    labels = np.empty(len(starts), dtype=np.int64)
    rank = np.arange(len(starts)) - first[walker[order]]
    labels[order] = walker[order] * runs + rank * runs // counts[walker[order]]
    return np.unique(labels, return_inverse=True)[1]


def resampled_means(
    values: Float[np.ndarray, "windows ..."], blocks: Int[np.ndarray, " windows"], *, n_resamples: int, seed: int
) -> Float[np.ndarray, "resamples ..."]:
    """Return means over windows, each of a draw of as many blocks as there are, with replacement.

    One seed draws the same blocks whatever the values, so that two forecasters are compared on the same draws.

    Reference:
        Künsch (1989), doi:10.1214/aos/1176347265 (blocks); Efron (1979), doi:10.1214/aos/1176344552 (bootstrap).
    """
    n_blocks = int(blocks.max()) + 1
    sums = np.zeros((n_blocks, *values.shape[1:]))
    np.add.at(sums, blocks, values)
    draws = np.random.default_rng(seed).multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_resamples)
    return np.tensordot(draws, sums, 1) / (draws @ np.bincount(blocks)).reshape(-1, *[1] * (values.ndim - 1))


def interval(value: float, resamples: np.ndarray, *, confidence: float) -> Interval:
    """Return ``value`` between the matching quantiles of ``resamples``, which may be infinite."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resamples, [tail, 1 - tail], method="inverted_cdf")
    return Interval(float(value), float(low), float(high))
