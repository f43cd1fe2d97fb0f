"""The spatiotemporal-information (STI) equation: delay matrices, their mask, their anti-diagonals and their losses.

For each coordinate y, entry (i, j) of the delay matrix is the frame i + j. With a history of T frames and a horizon of
H the matrix is T × (H + 1): cells with i + j ≤ T − 1 are known, the rest hold H future values many times over. Rows may
be a subset of the history frames (an encoder that reads several frames per token has fewer); ``rows`` then names them.

Sources: Chen et al. 2020 (ARNN), doi:10.1038/s41467-020-18381-0; Chen et al. 2022 (STICM); Tang et al. 2022 (STNN),
Entropy 24:1651.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asteroid_nb.shapes import Bool, Float, Int


def frame_index(rows: Int[Tensor, " rows"], horizon: int) -> Int[Tensor, "rows columns"]:
    """Return which frame each cell holds: row + column."""
    return rows[:, None] + torch.arange(horizon + 1, device=rows.device)


def known_mask(rows: Int[Tensor, " rows"], history: int, horizon: int) -> Bool[Tensor, "rows columns"]:
    """Return True where the cell's frame has been seen: i + j ≤ T − 1."""
    return frame_index(rows, horizon) <= history - 1


def delay_matrix(
    sequence: Float[Tensor, "windows frames atoms 3"], rows: Int[Tensor, " rows"], horizon: int
) -> Float[Tensor, "windows rows columns atoms 3"]:
    """Return the Hankel tensor of a sequence that reaches to frame max(rows) + horizon."""
    return sequence[:, frame_index(rows, horizon)]


def anti_diagonal_mean(
    matrix: Float[Tensor, "windows rows columns atoms 3"], rows: Int[Tensor, " rows"]
) -> Float[Tensor, "windows frames atoms 3"]:
    """Return one value per frame: the mean over all cells that hold it.

    The frames run from min(rows) to max(rows) + horizon. Broadcast back over the cells this is the orthogonal
    projection onto Hankel tensors.
    """
    n_windows, n_rows, n_columns, *rest = matrix.shape
    index = (frame_index(rows, n_columns - 1) - rows.min()).flatten()
    n_frames = int(index.max()) + 1
    summed = matrix.new_zeros(n_windows, n_frames, *rest).index_add(1, index, matrix.flatten(1, 2))
    return summed / count_cells(index, n_frames).to(matrix.dtype).view(1, -1, 1, 1)


def count_cells(index: Tensor, n_frames: int) -> Tensor:
    """Return how many cells hold each frame; one between sparse rows that no cell holds counts as one cell of zero."""
    return torch.bincount(index, minlength=n_frames).clamp(min=1)


def forecast_from(
    matrix: Float[Tensor, "windows rows columns atoms 3"], rows: Int[Tensor, " rows"], history: int
) -> Float[Tensor, "windows horizon atoms 3"]:
    """Return the future part of the anti-diagonal means: the STI forecast."""
    return anti_diagonal_mean(matrix, rows)[:, history - int(rows.min()) :]


def determined_state_loss(
    matrix: Float[Tensor, "windows rows columns atoms 3"],
    seen: Float[Tensor, "windows history atoms 3"],
    rows: Int[Tensor, " rows"],
    *,
    scale_ang: Tensor | float = 1.0,
) -> Float[Tensor, ""]:
    """Return DS: the mean squared error over the known cells alone.

    Args:
        scale_ang: unit of the error, which may be a tensor [columns, 1, 1] that varies with the column.
    """
    mask = known_mask(rows, seen.shape[1], matrix.shape[2] - 1)
    frames = frame_index(rows, matrix.shape[2] - 1).clamp(max=seen.shape[1] - 1)
    error = (matrix - seen[:, frames]) / scale_ang
    return error.square().mean((0, 3, 4))[mask].sum() / mask.sum()


def future_consistency_loss(
    matrix: Float[Tensor, "windows rows columns atoms 3"],
    rows: Int[Tensor, " rows"],
    history: int,
    *,
    scale_ang: Tensor | float = 1.0,
) -> Float[Tensor, ""]:
    """Return FC: the mean squared distance of the unknown cells to their anti-diagonal means.

    Any Hankel matrix makes it zero, a wrong one too: never train on it without DS or supervision.

    Args:
        scale_ang: unit of the distance, which may be a tensor [horizon] that varies with the lead time of the frame.
    """
    horizon = matrix.shape[2] - 1
    frames = frame_index(rows, horizon)
    distance = (matrix - anti_diagonal_mean(matrix, rows)[:, frames - int(rows.min())]).square().mean((0, 3, 4))
    unknown = frames >= history
    scale = torch.as_tensor(scale_ang, device=matrix.device).expand(horizon)
    return (distance[unknown] / scale[frames[unknown] - history].square()).mean()
