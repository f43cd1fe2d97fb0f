"""What the structure view reads: trajectories over the same frames, what counts of them, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from asteroid_nb.data.bonds import bonds_of, find_torsions
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory

#: Further from the origin than this nothing is a molecule any more, and squares overflow.
FARTHEST_ANG = 1e6


@dataclass(frozen=True, eq=False)
class Sources:
    """Trajectories over the same frames, the reference first.

    Args:
        trajectories: as `asteroid_nb.widgets.aligning.comparable` returns them.
        names: of each, no two alike.
        history: leading frames that the forecasts were given: they count for nobody.

    Raises:
        InvalidTrajectory: the history is all there is.
    """

    trajectories: Sequence[Trajectory]
    names: Sequence[str]
    history: int | None = None

    def __post_init__(self) -> None:
        if self.first >= self.reference.n_frames:
            raise InvalidTrajectory(
                f"The reference has {self.reference.n_frames} frames and all of them are history. "
                "Give one that goes on after the present."
            )

    @property
    def reference(self) -> Trajectory:
        return self.trajectories[0]

    @property
    def first(self) -> int:
        """Return the first frame that counts."""
        return self.history or 0

    @property
    def since_fs(self) -> float | None:
        return None if self.history is None else 0.0

    @cached_property
    def times_fs(self) -> np.ndarray:
        return (np.arange(self.reference.n_frames) - max(0, self.first - 1)) * self.reference.dt_fs

    @cached_property
    def bonds(self) -> np.ndarray:
        return bonds_of(self.reference)

    @cached_property
    def torsions(self) -> np.ndarray:
        return find_torsions(self.bonds, self.reference.atomic_numbers)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return self.reference.labels

    def label(self, atoms: np.ndarray) -> str:
        return "–".join(self.labels[atom] for atom in atoms)

    def drawn_from(self, index: int) -> int:
        """Return the first frame of a curve over time: the present for forecasts, whose history is not theirs."""
        return 0 if index == 0 else max(0, self.first - 1)

    def positions(self, index: int, first: int) -> np.ndarray:
        """Return positions from a frame on, NaN in frames that hold anything not finite or lost in space."""
        found = np.array(self.trajectories[index].positions[first:], dtype=float)
        found[~(np.abs(found) < FARTHEST_ANG).all(axis=(1, 2))] = np.nan
        return found

    def counted(self) -> dict[str, np.ndarray]:
        """Return by name the positions that count, whole frames only.

        Raises:
            InvalidTrajectory: a trajectory has none.
        """
        found = {}
        for index, name in enumerate(self.names):
            positions = self.positions(index, self.first)
            found[name] = positions[np.isfinite(positions[:, 0, 0])]
            if not len(found[name]):
                raise InvalidTrajectory(
                    f"{name} holds nothing but NaN, infinity or atoms lost in space: nothing to draw."
                )
        return found

    def series(self, measure: Callable[[np.ndarray], np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return by name times and one number per frame, NaN where a frame is left out."""
        return {
            name: (self.times_fs[first:], measure(self.positions(index, first))[:, 0])
            for index, name in enumerate(self.names)
            for first in [self.drawn_from(index)]
        }

    def lost(self) -> str:
        """Say which trajectories have frames that are left out, and how many."""
        parts = []
        for index, name in enumerate(self.names):
            n_lost = int(np.isnan(self.positions(index, self.first)[:, 0, 0]).sum())
            if n_lost:
                parts.append(f"{name}: {n_lost} frames with NaN, infinity or atoms lost in space are left out.")
        return " ".join(parts)

    @property
    def span(self) -> str:
        """Say which frames count, for the subtitle."""
        n_frames = self.reference.n_frames - self.first
        return f"{n_frames} frames{'' if self.history is None else ' after the present'}"
