"""Solver studies made up of numbers that follow simple rules: what an explorer shows of them is known beforehand."""

from __future__ import annotations

import dataclasses

import numpy as np
from vibrating import vibrating_ethanol

from asteroid_nb.equilibrium.study import Replay, SolverStudy

POLICIES = ("previous", "cold", "linear+recycle")
TOLERANCES = (1e-3, 1e-1, 1e-2)

#: Residual a policy starts with, and the factor by which an evaluation lessens it.
START = {"cold": 1.0, "previous": 3e-2, "linear+recycle": 8e-3, "xl": 1e-2}
FALL = {"cold": 0.45, "previous": 0.45, "linear+recycle": 0.3, "xl": 0.5}


def residuals_of(policy: str, tolerance: float, frame: int = 0) -> np.ndarray:
    """Return residuals down to the tolerance; every fourth frame starts ten times further away."""
    first = min(1.0, START[policy] * (10 if frame % 4 == 3 else 1))
    n_steps = 1 + int(np.ceil(max(0.0, np.log(tolerance / first) / np.log(FALL[policy]))))
    return first * FALL[policy] ** np.arange(n_steps)


def replay_of(policy: str, tolerance: float, n_frames: int, n_atoms: int, *, labelled: bool = True) -> Replay:
    """Return a replay whose hardest atom is frame % atoms, and whose force is worst on the one after it."""
    residuals = tuple(residuals_of(policy, tolerance, frame) for frame in range(n_frames))
    steps = np.array([float(len(one)) for one in residuals])
    hardest = np.eye(n_atoms)[np.arange(n_frames) % n_atoms]
    deviations = 300 * tolerance * (0.2 + np.roll(hardest, 1, axis=1))
    known = 1.0 if labelled else np.nan
    return Replay(
        steps=steps, adjoint_steps=steps + 1, residuals=residuals, ms=2 + steps,
        deviation_percent=np.full(n_frames, 100 * tolerance),
        force_error_meV_per_ang=np.full(n_frames, known * (8 + 100 * tolerance)),
        atom_shares_percent=100 * (0.6 * hardest + 0.4 / n_atoms),
        atom_deviations_meV_per_ang=deviations, atom_errors_meV_per_ang=known * (10 + deviations),
    )  # fmt: skip


def made_up_study(
    n_frames: int = 24, *, policies=POLICIES, tolerances=TOLERANCES, labelled: bool = True, **fields
) -> SolverStudy:
    trajectory = vibrating_ethanol(n_frames, **fields)
    return SolverStudy(
        trajectory=trajectory,
        replays={
            (policy, tolerance): replay_of(policy, tolerance, n_frames, trajectory.n_atoms, labelled=labelled)
            for policy in policies
            for tolerance in tolerances
        },
    )


def without_answers(study: SolverStudy, policy: str, tolerance: float, frames: slice) -> SolverStudy:
    """Return the study with some frames of one replay lost."""
    one = study.replays[policy, tolerance]
    lost = np.zeros(study.n_frames, dtype=bool)
    lost[frames] = True
    cut = {
        field.name: np.where(lost if value.ndim == 1 else lost[:, None], np.nan, value)
        for field in dataclasses.fields(one)
        if isinstance(value := getattr(one, field.name), np.ndarray)
    }
    residuals = tuple(np.array([]) if gone else kept for gone, kept in zip(lost, one.residuals, strict=True))
    changed = dataclasses.replace(one, residuals=residuals, **cut)
    return SolverStudy(trajectory=study.trajectory, replays={**study.replays, (policy, tolerance): changed})
