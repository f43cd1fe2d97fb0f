"""What the solver explorer draws from: numbers of each policy at each tolerance over the same frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Replay:
    """What one policy at one tolerance did, frame by frame; NaN where it found no answer.

    Args:
        steps: [frames] evaluations of f.
        adjoint_steps: [frames] vector–Jacobian products.
        residuals: per frame [evaluations] of z.
        deviation_percent: [frames] ‖F − F_tight‖ / ‖F_tight‖.
        force_error_meV_per_ang: [frames] mean absolute error against the labels; NaN where there are none.
        ms: [frames] for energy and forces.
        atom_shares_percent: [frames, atoms] of the squared residual that is left.
        atom_deviations_meV_per_ang: [frames, atoms] distance from the tight solution's force.
        atom_errors_meV_per_ang: [frames, atoms] distance from the label.
    """

    steps: Float[np.ndarray, " frames"]
    adjoint_steps: Float[np.ndarray, " frames"]
    residuals: tuple[np.ndarray, ...] = field(repr=False)
    deviation_percent: Float[np.ndarray, " frames"]
    force_error_meV_per_ang: Float[np.ndarray, " frames"]
    ms: Float[np.ndarray, " frames"]
    atom_shares_percent: Float[np.ndarray, "frames atoms"]
    atom_deviations_meV_per_ang: Float[np.ndarray, "frames atoms"]
    atom_errors_meV_per_ang: Float[np.ndarray, "frames atoms"]

    @property
    def evaluations(self) -> Float[np.ndarray, " frames"]:
        """Return evaluations of f and of its vector–Jacobian product."""
        return self.steps + self.adjoint_steps

    @property
    def n_lost(self) -> int:
        """Return the frames without an answer."""
        return int(np.isnan(self.steps).sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class SolverStudy:
    """Numbers of every policy at every tolerance over the same frames.

    Args:
        trajectory: the frames.
        replays: by policy and tolerance, every pair of the two.

    Raises:
        InvalidSettings: no replay, or a pair that is missing.
        InvalidTrajectory: arrays of another length than the trajectory.
    """

    trajectory: Trajectory
    replays: Mapping[tuple[str, float], Replay]

    def __post_init__(self) -> None:
        missing = [(p, t) for p in self.policies for t in self.tolerances if (p, t) not in self.replays]
        if not self.replays or missing:
            raise InvalidSettings(
                f"Found replays of {sorted(self.replays) or 'nothing'}; missing are {missing or 'all'}. Give one for "
                "every policy at every tolerance."
            )
        for (policy, tolerance), replay in self.replays.items():
            for one in fields(replay):
                if len(getattr(replay, one.name)) != self.n_frames:
                    raise InvalidTrajectory(
                        f"{one.name} of {policy} at {tolerance:g} has {len(getattr(replay, one.name))} frames, the "
                        f"trajectory {self.n_frames}. Give one entry per frame."
                    )

    @property
    def n_frames(self) -> int:
        return self.trajectory.n_frames

    @cached_property
    def policies(self) -> tuple[str, ...]:
        """Return the policies in the order given, the cold start first."""
        found = list(dict.fromkeys(policy for policy, _ in self.replays))
        return tuple(sorted(found, key=lambda policy: policy != "cold"))

    @cached_property
    def tolerances(self) -> tuple[float, ...]:
        """Return the tolerances, the loosest first."""
        return tuple(sorted({tolerance for _, tolerance in self.replays}, reverse=True))

    @property
    def reference(self) -> str:
        """Return the policy that others are held against."""
        return self.policies[0]

    @cached_property
    def labelled(self) -> bool:
        """Return whether forces are known that the model should have found."""
        return any(np.isfinite(one.force_error_meV_per_ang).any() for one in self.replays.values())

    def per_tolerance(self, what: str, *, middle: bool = False) -> dict[str, np.ndarray]:
        """Return per policy [tolerances] the mean of a replay's numbers over its frames.

        A policy that found no answer for some frame has none: it must not look better for what it left out.

        Args:
            what: a field of `Replay` with one number per frame, or "evaluations".
            middle: the median instead, which a busy machine disturbs less.
        """
        summary = np.median if middle else np.mean
        per_frame = lambda policy, tolerance: getattr(self.replays[policy, tolerance], what)  # noqa: E731
        return {
            policy: np.array([float(summary(per_frame(policy, tolerance))) for tolerance in self.tolerances])
            for policy in self.policies
        }
