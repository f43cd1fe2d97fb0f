"""How forecasts are asked for, so that numbers may stand beside others: spacing, history, horizon, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import ModelMismatch, TrajectoryTooShort
from asteroid_nb.forecast.settings import STISettings

#: Of a single trajectory: what is learnt from at most, and where the half begins that judges.
LEARNT, JUDGED = 0.4, 0.5

#: Spans of a window that the part of a single trajectory holds at least by which is chosen.
CHOOSING_SPANS = 1.25


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way to ask.

    Args:
        name: short.
        spacing_fs: between the frames of a window.
        history, horizon: frames seen and predicted.
        leads_fs: lead times that are shown.
        about: in words.
    """

    name: str
    spacing_fs: float
    history: int
    horizon: int
    leads_fs: tuple[float, ...]
    about: str

    def settings(self, **changes: Any) -> STISettings:
        """Return the model this protocol trains by default, some of its fields changed."""
        chosen = {"history": self.history, "horizon": self.horizon, **DEFAULTS[self.name], **changes}
        return STISettings(**chosen)

    def stride(self, trajectory: Trajectory) -> int:
        """Return every how many stored frames a window takes one.

        Raises:
            ModelMismatch: the spacing of the protocol is no whole multiple of the trajectory's.
        """
        stride = round(self.spacing_fs / trajectory.dt_fs)
        if stride < 1 or not np.isclose(stride * trajectory.dt_fs, self.spacing_fs):
            raise ModelMismatch(
                f"{self.name} looks every {self.spacing_fs:g} fs, {trajectory.name!r} is stored every "
                f"{trajectory.dt_fs:g} fs, which does not divide it. Store it more often, or choose another protocol."
            )
        return stride

    def parts(self, trajectories: Sequence[Trajectory]) -> Split:
        """Return windows to learn from, to choose by, and to judge on.

        With three trajectories or more the last judges and the one before it chooses. Of a single one the second half
        judges, one window after the first, of which the last fifth chooses, or more where that holds no window. No part
        shares a frame with another.

        Raises:
            TrajectoryTooShort: a part would hold no window, or there are two trajectories.
        """
        shape = WindowShape(history=self.history, horizon=self.horizon, stride_frames=self.stride(trajectories[0]))
        if len(trajectories) >= 3:
            return split(trajectories, shape)
        if len(trajectories) == 2:
            raise TrajectoryTooShort("Two trajectories leave none to choose by. Give one, or three and more.")
        (one,) = trajectories
        half, span = round(JUDGED * one.n_frames), shape.span_frames
        learnt = min(round(LEARNT * one.n_frames), half - round(CHOOSING_SPANS * span))
        borders = [(0, learnt), (learnt, half), (half + span, one.n_frames)]
        return Split(*(Windows([one], shape, starts=_within(one, shape, *pair)) for pair in borders))


def _within(trajectory: Trajectory, shape: WindowShape, first: int, end: int) -> np.ndarray:
    """Return the starts of the windows of a trajectory that hold frames from ``first`` to before ``end`` alone."""
    frames = np.arange(first, end - shape.span_frames + 1)
    if not len(frames):
        raise TrajectoryTooShort(
            f"{shape} spans {shape.span_frames} frames and does not fit into frames {first} to {end} of the "
            f"{trajectory.n_frames} of {trajectory.name!r}. Use a longer trajectory, or three of them."
        )
    return np.stack([np.zeros_like(frames), frames], axis=1)


PROTOCOLS = {
    "F1": Protocol(
        name="F1", spacing_fs=1.0, history=16, horizon=32, leads_fs=(1, 2, 4, 8, 16, 32),
        about="every femtosecond, 16 frames seen, 32 predicted",
    ),
    "P3": Protocol(
        name="P3", spacing_fs=5.0, history=10, horizon=20, leads_fs=(5, 10, 25, 50, 100),
        about="every 5 fs, 10 frames seen, 20 predicted (100 fs), as GeoTDM asks (arXiv:2410.13027)",
    ),
}  # fmt: skip

#: What a protocol's default model has otherwise than `STISettings`.
DEFAULTS: dict[str, dict[str, Any]] = {
    "F1": {},
    "P3": {"delay_frames": 8, "row_stride": 2, "slot_frames": 10},
}
