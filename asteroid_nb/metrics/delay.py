"""Whether a delay matrix agrees with itself: all cells of an anti-diagonal claim to be the same frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asteroid_nb.shapes import Float, Int


class AntiDiagonals(NamedTuple):
    """What the cells of a delay matrix say of each frame, from the first row's start to the last row's end.

    Args:
        frames: counted as the rows are.
        means: of all cells that hold the frame; NaN where none does.
        spread: their standard deviation; NaN where fewer than two hold the frame.
        counts: how many cells hold it.
    """

    frames: Int[np.ndarray, " frames"]
    means: Float[np.ndarray, " frames"]
    spread: Float[np.ndarray, " frames"]
    counts: Int[np.ndarray, " frames"]


def along_antidiagonals(
    matrix: Float[np.ndarray, "rows columns"], rows: Sequence[int] | np.ndarray | None = None
) -> AntiDiagonals:
    """Return what the cells of one coordinate's matrix say of each frame; a cell that is not finite says nothing.

    Args:
        matrix: entry (i, j) stands for the frame rows[i] + j.
        rows: frames at which the rows start, rising; 0, 1, 2 … when not given.
    """
    starts = np.arange(len(matrix)) if rows is None else np.asarray(rows)
    index = (starts[:, None] + np.arange(matrix.shape[1]) - starts[0]).ravel()
    n_frames, finite = int(index.max()) + 1, np.isfinite(matrix).ravel()
    index, values = index[finite], matrix.ravel()[finite]
    counts = np.bincount(index, minlength=n_frames)
    filled = np.where(counts > 0, counts, np.nan)
    means = np.bincount(index, values, n_frames) / filled
    spread = np.sqrt(np.bincount(index, np.square(values - means[index]), n_frames) / filled)
    return AntiDiagonals(starts[0] + np.arange(n_frames), means, np.where(counts > 1, spread, np.nan), counts)
