"""The spatiotemporal-information (STI) equation: delay matrices, their mask, their anti-diagonals and their losses.

For each coordinate y, entry (i, j) of the delay matrix is the frame i + j. With a history of T frames and a horizon of
H the matrix is T × (H + 1): cells with i + j ≤ T − 1 are known, the rest hold H future values many times over. Rows may
be a subset of the history frames (an encoder that reads several frames per token has fewer); ``rows`` then names them.

Sources: Chen et al. 2020 (ARNN), doi:10.1038/s41467-020-18381-0; Chen et al. 2022 (STICM); Tang et al. 2022 (STNN),
Entropy 24:1651.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from asteroid_nb.shapes import Bool, Float, Int

#: Frames that head a row: a tensor, or numbers, which no GPU has to be waited for.
Rows = Int[Tensor, " rows"] | tuple[int, ...]


def frame_index(rows: Int[Tensor, " rows"], horizon: int) -> Int[Tensor, "rows columns"]:
    """Return which frame each cell holds: row + column."""
    return rows[:, None] + torch.arange(horizon + 1, device=rows.device)


def known_mask(rows: Int[Tensor, " rows"], history: int, horizon: int) -> Bool[Tensor, "rows columns"]:
    """Return True where the cell's frame has been seen: i + j ≤ T − 1.

    >>> known_mask(torch.arange(3), history=3, horizon=2).int()
    tensor([[1, 1, 1],
            [1, 1, 0],
            [1, 0, 0]], dtype=torch.int32)
    """
    return frame_index(rows, horizon) <= history - 1


def delay_matrix(
    sequence: Float[Tensor, "windows frames atoms 3"], rows: Int[Tensor, " rows"], horizon: int
) -> Float[Tensor, "windows rows columns atoms 3"]:
    """Return the Hankel tensor of a sequence that reaches to frame max(rows) + horizon.

    >>> frames = torch.arange(5.0).reshape(1, 5, 1, 1).expand(1, 5, 1, 3)  # one atom that moves by 1 Å a frame
    >>> delay_matrix(frames, torch.arange(3), horizon=2)[0, :, :, 0, 0]
    tensor([[0., 1., 2.],
            [1., 2., 3.],
            [2., 3., 4.]])
    """
    return sequence[:, frame_index(rows, horizon)]


def anti_diagonal_mean(
    matrix: Float[Tensor, "windows rows columns atoms 3"], rows: Rows
) -> Float[Tensor, "windows frames atoms 3"]:
    """Return one value per frame: the mean over all cells that hold it.

    The frames run from min(rows) to max(rows) + horizon. Broadcast back over the cells this is the orthogonal
    projection onto Hankel tensors. One between sparse rows that no cell holds counts as one cell of zero.

    >>> disagreeing = torch.tensor([[0.0, 1, 2], [1, 4, 3]])[None, :, :, None, None].expand(1, 2, 3, 1, 3)
    >>> anti_diagonal_mean(disagreeing, (0, 1))[0, :, 0, 0]  # two cells hold frame 2: they say 2 and 4
    tensor([0., 1., 3., 3.])
    """
    known, (n_windows, _, n_columns, *rest) = _numbers(rows), matrix.shape
    index, counts = cells(known, n_columns - 1, matrix.device)
    summed = matrix.new_zeros(n_windows, len(counts), *rest).index_add(1, index.flatten(), matrix.flatten(1, 2))
    return summed / counts.to(matrix.dtype).view(1, -1, 1, 1)


def _numbers(rows: Rows) -> tuple[int, ...]:
    return rows if isinstance(rows, tuple) else tuple(rows.tolist())


@functools.cache  # never let go: a recorded step reads where they lie
def cells(rows: tuple[int, ...], horizon: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return [rows, columns], counted from the first row, which frame each cell holds; [frames] how many hold each."""
    index = [[row - min(rows) + column for column in range(horizon + 1)] for row in rows]
    counts = [0] * (max(rows) - min(rows) + horizon + 1)
    for frame in (frame for row in index for frame in row):
        counts[frame] += 1
    with torch.inference_mode(False):  # whoever asks first may not need gradients, others will
        return torch.tensor(index, device=device), torch.tensor(counts, device=device).clamp(min=1)


def forecast_from(
    matrix: Float[Tensor, "windows rows columns atoms 3"], rows: Rows, history: int
) -> Float[Tensor, "windows horizon atoms 3"]:
    """Return the future part of the anti-diagonal means: the STI forecast."""
    return anti_diagonal_mean(matrix, rows)[:, history - min(_numbers(rows)) :]


def determined_state_loss(
    matrix: Float[Tensor, "windows rows columns atoms 3"],
    seen: Float[Tensor, "windows history atoms 3"],
    rows: Rows,
    *,
    scale_ang: Tensor | float = 1.0,
) -> Float[Tensor, ""]:
    """Return DS: the mean squared error over the known cells alone.

    Args:
        scale_ang: unit of the error, which may be a tensor [columns, 1, 1] that varies with the column.
    """
    known, last = _numbers(rows), seen.shape[1] - 1
    frames = cells(known, matrix.shape[2] - 1, matrix.device)[0] + min(known)
    error = ((matrix - seen[:, frames.clamp(max=last)]) / scale_ang).square().mean((0, 3, 4))
    mask = frames <= last
    return torch.where(mask, error, 0).sum() / mask.sum()


def future_consistency_loss(
    matrix: Float[Tensor, "windows rows columns atoms 3"],
    rows: Rows,
    history: int,
    *,
    scale_ang: Tensor | float = 1.0,
) -> Float[Tensor, ""]:
    """Return FC: the mean squared distance of the unknown cells to their anti-diagonal means.

    Any Hankel matrix makes it zero, a wrong one too: never train on it without DS or supervision.

    Args:
        scale_ang: unit of the distance, which may be a tensor [horizon] that varies with the lead time of the frame.
    """
    known, horizon = _numbers(rows), matrix.shape[2] - 1
    index, _ = cells(known, horizon, matrix.device)
    distance = (matrix - anti_diagonal_mean(matrix, known)[:, index]).square().mean((0, 3, 4))
    ahead = index + (min(known) - history)
    scale = torch.as_tensor(scale_ang, device=matrix.device).expand(horizon)[ahead.clamp(min=0)]
    return torch.where(ahead >= 0, distance / scale.square(), 0).sum() / (ahead >= 0).sum()
