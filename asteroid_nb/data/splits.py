"""Splits into training, validation and test windows that share no frame: by trajectory, else by blocks of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import TrajectoryTooShort


@dataclass(frozen=True)
class Split:
    """Windows that share no frame between their parts."""

    train: Windows
    validation: Windows
    test: Windows


def split(trajectories: Sequence[Trajectory] | Trajectory, shape: WindowShape) -> Split:
    """Split by trajectory where there are three or more, else by blocks of time one window apart.

    With several trajectories the last is the test set, the one before it validation, the rest training. A single one
    (or two, block by block) gives its first 70 % to training, the next 15 % to validation and the last 15 % to the
    test, with one whole window left out at each border, so that no window of one part overlaps a window of another.

    Raises:
        TrajectoryTooShort: a part would hold no window.
    """
    trajectories = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if len(trajectories) >= 3:
        parts = trajectories[:-2], trajectories[-2:-1], trajectories[-1:]
        return Split(*(Windows(part, shape) for part in parts))
    starts = [_block_starts(index, trajectory, shape) for index, trajectory in enumerate(trajectories)]
    parts = [np.concatenate([blocks[part] for blocks in starts]) for part in range(3)]
    return Split(*(Windows(trajectories, shape, starts=part) for part in parts))


def _block_starts(index: int, trajectory: Trajectory, shape: WindowShape) -> list[np.ndarray]:
    span, n_frames = shape.span_frames, trajectory.n_frames
    borders = [0, int(0.7 * n_frames), int(0.85 * n_frames), n_frames]
    blocks = []
    for part, (first, end) in enumerate(zip(borders[:-1], borders[1:], strict=True)):
        first += span if part else 0
        if end - first < span:
            raise TrajectoryTooShort(
                f"{shape} spans {span} frames; split in time, {trajectory.name!r} with {n_frames} frames leaves no "
                f"window in part {part + 1} of 3. Use a longer trajectory, a shorter window, or three trajectories."
            )
        frames = np.arange(first, end - span + 1)
        blocks.append(np.stack([np.full_like(frames, index), frames], axis=1))
    return blocks
