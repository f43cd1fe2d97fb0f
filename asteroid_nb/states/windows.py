"""Windows of states for training and judging language models."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.shapes import Int


class StateWindows:
    """Windows of equally many states, none of which runs from one trajectory into the next.

    Args:
        trajectories: of the same states at the same spacing.
        length: states in a window; a model reads all but the last and predicts all but the first.

    Raises:
        InvalidTrajectory: there is no trajectory.
        ModelMismatch: they differ in spacing or in their states.
        TrajectoryTooShort: one of them holds no window.
    """

    def __init__(self, trajectories: Sequence[StateTrajectory], length: int) -> None:
        must_agree(trajectories)
        for trajectory in trajectories:
            if trajectory.n_frames < length:
                raise TrajectoryTooShort(
                    f"A window spans {length} frames (context {length - 1} and the one after), {trajectory.name!r} has "
                    f"{trajectory.n_frames}. Shorten the context or leave this trajectory out."
                )
        self.length, self.n_states, self.dt_fs = length, trajectories[0].n_states, trajectories[0].dt_fs
        self.labels = trajectories[0].labels
        self.states = torch.as_tensor(np.concatenate([trajectory.states for trajectory in trajectories]))
        self.borders = np.cumsum([0, *(trajectory.n_frames for trajectory in trajectories)])

    @property
    def n_frames(self) -> int:
        return len(self.states)

    @property
    def fingerprint(self) -> int:
        """Return a number that other states, or the same cut otherwise, are all but sure not to have."""
        return zlib.crc32(self.borders.astype("<i8").tobytes(), zlib.crc32(self.states.numpy().astype("<i8").tobytes()))

    @property
    def frequencies(self) -> np.ndarray:
        """Return [states], the share of frames in each."""
        return np.bincount(self.states.numpy(), minlength=self.n_states) / self.n_frames

    def starts(self, generator: np.random.Generator | None = None) -> Int[np.ndarray, " windows"]:
        """Return where windows begin that cover every trajectory about once, side by side.

        Args:
            generator: shifts each window within its share of the trajectory, so that borders fall elsewhere each time.
        """
        found = []
        for first, end in pairwise(self.borders):
            n_windows = max(1, int(end - first - 1) // (self.length - 1))
            n_places = end - first - self.length + 1
            if generator is None:
                found.append(first + np.linspace(0, n_places - 1, n_windows).astype(np.int64))
            else:
                share = (np.arange(n_windows) + generator.random(n_windows)) / n_windows
                found.append(first + (share * n_places).astype(np.int64))
        return np.concatenate(found)

    def batches(self, starts: np.ndarray, size: int, device: torch.device) -> Iterator[Int[Tensor, "windows length"]]:
        """Yield the windows that begin at ``starts``, in that order, the last batch as large as it is."""
        states = self.states.to(device)
        within = torch.arange(self.length, device=device)
        for some in torch.as_tensor(starts).to(device).split(size):
            yield states[some[:, None] + within]


def must_agree(trajectories: Sequence[StateTrajectory]) -> None:
    """Raise unless there are trajectories, all of the same states at the same spacing."""
    if not trajectories:
        raise InvalidTrajectory("No state trajectory was given. Pass at least one.")
    for trajectory in trajectories[1:]:
        must_fit(trajectory, n_states=trajectories[0].n_states, dt_fs=trajectories[0].dt_fs, what="the first one")


def must_fit(trajectory: StateTrajectory, *, n_states: int, dt_fs: float, what: str) -> None:
    """Raise `ModelMismatch` unless a trajectory has these states and this spacing."""
    if trajectory.n_states != n_states:
        raise ModelMismatch(
            f"{trajectory.name!r} has {trajectory.n_states} states, {what} {n_states}. Use the same discretisation."
        )
    if not np.isclose(trajectory.dt_fs, dt_fs, rtol=1e-4, atol=0):
        raise ModelMismatch(
            f"{trajectory.name!r} has a frame every {trajectory.dt_fs:g} fs, {what} every {dt_fs:g} fs. "
            "Store or cut (trajectory[::n]) frames at that spacing."
        )
