"""A trained run with what is looked at: the errors of every forecaster on its test windows, and those windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast.baselines import rivals
from asteroid_nb.forecast.run import Run
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.views.colour_bar import colours_end
from asteroid_nb.views.worst_windows import windows_in_order

#: The closed-form rivals are fitted on every n-th window when nobody brings a table: seconds instead of a minute.
THINNED = 4

#: The same window forecast in another batch is rounded otherwise, which the linear map amplifies to some thousandths of
#: the errors; another run's errors differ by tens of per cent.
SAME_ERRORS, ROUNDING_ANG = 0.03, 1e-4

#: Windows measured when nobody brings a table, and windows forecast at a time.
MOST_WINDOWS, AT_A_TIME = 300, 64


@dataclass(frozen=True, eq=False, kw_only=True)
class Exhibit:
    """What `explore` and `report` show.

    Args:
        run: the trained model.
        trajectories: those the table's walkers count, from 0.
        table: errors of the run and its rivals, a row per window.

    Raises:
        ModelMismatch: the table has no errors of this run, or windows these trajectories do not hold.
    """

    run: Run
    trajectories: list[Trajectory]
    table: ErrorTable

    def __post_init__(self) -> None:
        if self.run.name not in self.table.names:
            raise ModelMismatch(
                f"The errors are those of {', '.join(self.table.names)}; needed are those of {self.run.name!r} too. "
                "Measure them with anb.evaluate([run, *rivals], run.split.test)."
            )
        walkers, starts = self.table.walkers, self.table.starts
        shape = self.run.shape_for(self.trajectories[0])
        ends = starts + shape.span_frames
        held = [0 <= walker < len(self.trajectories) for walker in walkers]
        if len(self.table.lead_times_fs) != self.run.settings.horizon or not all(held):
            raise ModelMismatch(
                f"The errors cover {len(self.table.lead_times_fs)} lead times on {walkers.max() + 1} trajectories; the "
                f"run predicts {self.run.settings.horizon} frames and {len(self.trajectories)} trajectories "
                "were given. Measure the errors again on these."
            )
        if self.table.atom_labels != self.trajectories[0].labels:
            raise ModelMismatch(
                f"The errors are of atoms {_few(self.table.atom_labels)}, the trajectories hold "
                f"{_few(self.trajectories[0].labels)}. Measure the errors again on these trajectories."
            )
        if any(end > self.trajectories[walker].n_frames for walker, end in zip(walkers, ends, strict=True)):
            raise ModelMismatch(
                "Some windows of the errors end after their trajectory. Measure the errors again on these trajectories."
            )

    @classmethod
    def of(cls, run: Run, *, errors: ErrorTable | None = None) -> Exhibit:
        """Return the exhibit of a run, measured here if no errors are given.

        Raises:
            ModelMismatch: a run read from a folder, without the split that says which windows are for testing.
            InvalidTrajectory: the run predicts NaN.
        """
        parts = run.split
        if parts is None:
            raise ModelMismatch(
                "A run read from a folder does not know its data. Give the trajectories it was trained on, in their "
                "order: run.split = anb.split(trajectories, run.shape_for(trajectories[0]))."
            )
        run.must_not_have_seen(parts.test)
        if errors is None:
            simple = rivals(parts.train.thinned(THINNED), parts.validation)
            errors = evaluate([run, *simple], parts.test, most=MOST_WINDOWS)
        exhibit = cls(run=run, trajectories=parts.test.trajectories, table=errors)
        exhibit._must_be_this_runs()
        return exhibit

    def _must_be_this_runs(self) -> None:
        """Raise `ModelMismatch` if the errors were measured with other weights or on other frames."""
        truth, forecast = self.pair(0)
        history = self.history
        apart = np.asarray(forecast.positions, dtype=float)[history:] - truth.positions[history:]
        found, told = np.linalg.norm(apart, axis=-1), np.sqrt(self.table.squared[self.name][0])
        differ = float(np.median(np.abs(found - told) / (told + ROUNDING_ANG)))
        if not differ < SAME_ERRORS:
            raise ModelMismatch(
                f"The errors do not belong to this run: in the first window its atoms are {found.mean():.4f} Å off on "
                f"average, the errors say {told.mean():.4f} Å, and half of them differ by {100 * differ:.0f} %. "
                "Measure them again: anb.evaluate([run, *rivals], run.split.test), or asteroid-nb evaluate RUN DATA."
            )

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def history(self) -> int:
        return self.run.settings.history

    @property
    def times_fs(self) -> np.ndarray:
        """Return the time of every frame of a window, the present at 0."""
        frames = np.arange(self.history + self.run.settings.horizon)
        return (frames - (self.history - 1)) * self.run.dt_fs

    def place(self, window: int) -> tuple[Trajectory, int]:
        """Return the trajectory of a window and the stored frame at which it begins."""
        return self.trajectories[int(self.table.walkers[window])], int(self.table.starts[window])

    def pair(self, window: int) -> tuple[Trajectory, Trajectory]:
        """Return the truth and the forecast over the frames of one window."""
        return self.pairs([window])[0]

    def pairs(self, windows: Sequence[int] | np.ndarray) -> list[tuple[Trajectory, Trajectory]]:
        """Return truth and forecast of many windows, but for rounding those that were measured."""
        starts = np.stack([self.table.walkers[windows], self.table.starts[windows]], axis=1)
        shape = self.run.shape_for(self.trajectories[0])
        seen = Windows(self.trajectories, shape, starts=starts)[:].replace(future=None)
        ahead = torch.cat([self.run.forecast(part) for part in seen.pieces(AT_A_TIME)])
        paths = torch.cat([seen.place(seen.history), seen.place(ahead)], dim=1).numpy()
        if not np.isfinite(paths).all():
            raise InvalidTrajectory(
                f"{self.name} predicts NaN or infinity in {(~np.isfinite(paths)).any((1, 2, 3)).sum()} of {len(paths)} "
                "windows: there is nothing to show. Look at run.history, where its training diverged, and train again "
                "with a smaller learning rate."
            )
        pairs = []
        for (walker, start), path in zip(starts, paths, strict=True):
            truth = self.trajectories[walker][start : start + shape.span_frames : shape.stride_frames]
            pairs.append((truth, self._forecast(truth, path)))
        return pairs

    def _forecast(self, truth: Trajectory, path: np.ndarray) -> Trajectory:
        return Trajectory(
            path,
            truth.atomic_numbers,
            truth.dt_fs,
            masses=truth.masses,
            bonds=self.run.model.molecule.bonds,
            name=self.name,
            check_distances=False,
        )

    @cached_property
    def worst_first(self) -> np.ndarray:
        """Return the windows' indices, that with the largest mean error first."""
        return windows_in_order(self.table, self.name, order="worst")

    @property
    def error_max_ang(self) -> float:
        """Return where error colours end, Å: they hold nearly all errors, and mean the same in every window."""
        return colours_end(np.sqrt(self.table.squared[self.name]))

    @property
    def best_rival(self) -> str | None:
        others = [name for name in self.table.names if name != self.name]
        return self.table.best_of(others) if others else None


def _few(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:4])}{' …' * (len(labels) > 4)} ({len(labels)})"
