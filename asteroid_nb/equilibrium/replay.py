"""Solve consecutive frames one after the other, by each warm-start policy at each tolerance, and keep the numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.forces import Answer, evaluate
from asteroid_nb.equilibrium.graph import graph
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.study import Replay, SolverStudy
from asteroid_nb.equilibrium.warm_start import Policy, WarmStart
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, NotConverged
from asteroid_nb.shapes import Float
from asteroid_nb.units import MEV_PER_EV

POLICIES = ("cold", "previous", "linear", "linear+recycle")
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)

#: Frames before the first one that counts, over which a warm start gathers what it starts from.
N_WARM = 8

#: Of the solution that all others are held against.
TIGHT = 1e-9

#: Evaluations before a solve is given up.
MOST_STEPS = 100


def study(
    run: ForceFieldRun,
    trajectory: Trajectory,
    *,
    policies: Sequence[str] = POLICIES,
    tolerances: Sequence[float] = TOLERANCES,
    n_frames: int = 40,
    n_warm: int = N_WARM,
    device: str = "cpu",
    on_replay: Callable[[str, float], object] | None = None,
) -> SolverStudy:
    """Solve consecutive frames of a trajectory by every policy at every tolerance, in double precision.

    Args:
        trajectory: its first frames are used; their spacing stands for the MD step.
        policies: see `asteroid_nb.equilibrium.warm_start.POLICIES`.
        n_frames: that count; all there are after ``n_warm`` if these are fewer.
        n_warm: frames before them, so that no cold start of a warm policy is counted.
        on_replay: called with policy and tolerance before each replay.

    Raises:
        InvalidSettings: an explicit twin, no policy or tolerance, or an unknown one.
        InvalidTrajectory: no frame is left after ``n_warm``.
        ModelMismatch: an element the model has not learnt from.
        NotConverged: not even the tight solution was found.
    """
    frames = _frames(run, trajectory, n_warm, n_frames, device)
    if not policies or not tolerances:
        raise InvalidSettings("There is nothing to compare: give at least one policy and one tolerance.")
    pairs = [
        (Policy(policy), Solver(tolerance=float(one), max_steps=MOST_STEPS))
        for policy in policies
        for one in tolerances
    ]
    tight = _tight_forces(frames)
    replays = {}
    for policy, solver in pairs:
        if on_replay is not None:
            on_replay(policy.name, solver.tolerance)
        replays[policy.name, solver.tolerance] = _replay(frames, policy, solver, tight, n_warm)
    counted = trajectory[n_warm : n_warm + n_frames]
    return SolverStudy(trajectory=counted, replays=replays)


class _Frames(NamedTuple):
    """What is solved: model, elements, [frames, atoms, 3] Å, labels in eV/Å and box vectors where there are any."""

    model: Any
    numbers: torch.Tensor
    places: torch.Tensor
    labels: np.ndarray | None
    cells: torch.Tensor | None

    def inputs(self, frame: int) -> dict[str, Any]:
        return {"cell": None if self.cells is None else self.cells[frame]}


class _Frame(NamedTuple):
    """The numbers of one frame, named and ordered as in `Replay`."""

    steps: float
    adjoint_steps: float
    residuals: np.ndarray
    deviation_percent: float
    force_error_meV_per_ang: float
    ms: float
    atom_shares_percent: np.ndarray
    atom_deviations_meV_per_ang: np.ndarray
    atom_errors_meV_per_ang: np.ndarray


def _frames(run: ForceFieldRun, trajectory: Trajectory, n_warm: int, n_frames: int, device: str) -> _Frames:
    if not run.settings.implicit:
        raise InvalidSettings(
            f"The model is an explicit stack of {run.settings.depth} blocks, which needs no solver. Give an "
            "equilibrium model (depth=0)."
        )
    run.must_know(trajectory.atomic_numbers)
    used = trajectory[: n_warm + n_frames]
    if n_frames < 1 or used.n_frames <= n_warm:
        raise InvalidTrajectory(
            f"{trajectory.name!r} has {trajectory.n_frames} frames, n_frames is {n_frames}; needed are {n_warm} to "
            "warm up and at least one that counts. Give a longer trajectory or a smaller n_warm."
        )
    double = {"dtype": torch.float64, "device": device}
    return _Frames(
        run.copy_of_model(device, torch.float64),
        torch.as_tensor(np.array(used.atomic_numbers), dtype=torch.int64, device=device)[None],
        torch.as_tensor(np.array(used.positions), **double),
        None if used.forces is None else np.array(used.forces, dtype=float),
        None if used.cell is None else torch.as_tensor(np.array(used.cell), **double),
    )


def _tight_forces(frames: _Frames) -> Float[np.ndarray, "frames atoms 3"]:
    """Return the forces of the model itself, whatever the solver."""
    solver, found = Solver(tolerance=TIGHT, max_steps=5 * MOST_STEPS), []
    warm = WarmStart("previous")
    for frame, places in enumerate(frames.places):
        answer = evaluate(
            frames.model, places[None], frames.numbers, solver=solver, start=warm.start(places[None]),
            **frames.inputs(frame),
        )  # fmt: skip
        warm.update(answer, places[None])
        found.append(answer.forces[0].double().cpu().numpy())
    return np.stack(found)


def _replay(frames: _Frames, policy: Policy, solver: Solver, tight: np.ndarray, n_warm: int) -> Replay:
    """Solve all frames in turn; one without an answer is NaN, and the next begins cold, as in a simulation."""
    warm, solver, rows = WarmStart(policy), policy.solver(solver), []
    for frame, one in enumerate(frames.places):
        places, began = one[None], time.perf_counter()
        try:
            answer = evaluate(
                frames.model, places, frames.numbers, solver=solver, start=warm.start(places), **frames.inputs(frame)
            )
            ms = 1000 * (time.perf_counter() - began)
            warm.update(answer, places)
            rows.append(_answered(frames, frame, answer, tight[frame], ms))
        except NotConverged:
            warm.reset()
            rows.append(_unanswered(tight.shape[1]))
    columns = dict(zip(_Frame._fields, zip(*rows[n_warm:], strict=True), strict=True))
    residuals = columns.pop("residuals")
    return Replay(residuals=residuals, **{name: np.array(column) for name, column in columns.items()})


def _answered(frames: _Frames, frame: int, answer: Answer, tight: np.ndarray, ms: float) -> _Frame:
    forces = answer.forces[0].double().cpu().numpy()
    assert answer.z is not None  # the model is implicit
    labels = np.full_like(forces, np.nan) if frames.labels is None else frames.labels[frame]
    steps, adjoint = (0.0 if one is None else float(one.n_evaluations) for one in (answer.z, answer.adjoint))
    return _Frame(
        steps, adjoint, answer.z.residuals[:, 0].double().cpu().numpy(),
        100 * float(np.linalg.norm(forces - tight) / np.linalg.norm(tight)),
        MEV_PER_EV * float(np.abs(forces - labels).mean()), ms, _shares(frames, frame, answer.z.z),
        MEV_PER_EV * np.linalg.norm(forces - tight, axis=-1), MEV_PER_EV * np.linalg.norm(forces - labels, axis=-1),
    )  # fmt: skip


def _unanswered(n_atoms: int) -> _Frame:
    nobody, lost = np.full(n_atoms, np.nan), float("nan")
    return _Frame(lost, lost, np.array([]), lost, lost, lost, nobody, nobody, nobody)


def _shares(frames: _Frames, frame: int, z: torch.Tensor) -> Float[np.ndarray, " atoms"]:
    """Return each atom's part in the squared residual of a state, in %."""
    model = frames.model
    with torch.no_grad():
        edges = graph(
            frames.places[frame][None], frames.numbers, cutoff_ang=model.settings.cutoff_ang, **frames.inputs(frame)
        )
        squares = (model.f(z, model.prepare(edges)) - z).square().sum((2, 3))[0].double().cpu().numpy()
    return 100 * squares / max(float(squares.sum()), np.finfo(float).tiny)
