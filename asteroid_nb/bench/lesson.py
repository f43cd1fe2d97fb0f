"""What the notebook on the equilibrium force field needs beside the package's own verbs.

Runs that know the true energy of what they did, and molecular dynamics as one forecaster among others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.bench.runs import N_WARM
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE, WarmForces, calculator
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import n_parameters
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.md import run_md
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import InvalidSettings, SimulationFailed, TrajectoryTooShort
from asteroid_nb.finding import spread
from asteroid_nb.metrics.conservation import energy_drift, kinetic_energy_ev
from asteroid_nb.shapes import Float
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2, MEV_PER_EV

#: Between stored frames whose true energy is looked up.
STORED_FS = 5.0

#: Of energy and forces as they are, whatever the run's solver found; hot molecules take it longer.
TRUE = Solver(tolerance=1e-5, max_steps=500)

#: Frames that are asked about together.
BATCH = 16

#: Frames that make a drift.
FEWEST = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Moved:
    """What walkers did under one policy at one tolerance.

    Args:
        walkers: as stored.
        evaluations: [steps, walkers] of f and of its vector–Jacobian product.
        totals: [walkers, frames] eV, the kinetic energy and what the model's energy truly is there.
        deviation_percent: [walkers, frames] ‖F − F_tight‖ / ‖F_tight‖ of the forces that moved the walkers.
        why: it ended early; empty where it did not.
    """

    walkers: list[Trajectory]
    evaluations: np.ndarray
    totals: Float[np.ndarray, "walkers frames"]
    deviation_percent: Float[np.ndarray, "walkers frames"]
    why: str = ""

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return times in fs and the mean change of the total energy in meV per atom."""
        first = self.walkers[0]
        off = self.totals - self.totals[:, :1]
        return first.times_fs, MEV_PER_EV * off.mean(axis=0) / first.n_atoms

    @property
    def drifts(self) -> Float[np.ndarray, " walkers"]:
        """Return each walker's slope in meV/atom/ps, by which it heats or cools."""
        first = self.walkers[0]
        known = [one[: _n_known(one)] for one in self.totals]
        return np.array([energy_drift(one, first.dt_fs, n_atoms=first.n_atoms) for one in known])

    @property
    def work(self) -> Float[np.ndarray, " walkers"]:
        """Return each walker's mean evaluations per step, the first steps left out."""
        return self.evaluations[N_WARM:].mean(axis=0)


def move(
    run: ForceFieldRun,
    molecule: Trajectory,
    *,
    length_fs: float,
    policy: str = DEFAULT_POLICY,
    tolerance: float = DEFAULT_TOLERANCE,
    n_walkers: int = 3,
    temperature_K: float = 500.0,
    timestep_fs: float = 0.5,
    stored_fs: float = STORED_FS,
    seed: int = 0,
) -> Moved:
    """Move walkers from one geometry at constant energy, then ask the tightly solved model what they did.

    A run that fails keeps the frames before.

    Args:
        run: a trained equilibrium force field.
        molecule: whose last frame all walkers start from, with velocities of their own.
        stored_fs: between the frames that are asked about.

    Raises:
        SimulationFailed: it ended before there were frames enough for a drift.
    """
    forces = calculator(run, n_molecules=n_walkers, policy=policy, tolerance=tolerance, precision="single")
    why = ""
    try:
        found: Any = run_md(
            run, molecule, n_frames=round(length_fs / stored_fs) + 1, n_walkers=n_walkers, seed=seed,
            temperature_K=temperature_K, timestep_fs=timestep_fs, dt_fs=stored_fs, calculator=forces, progress=False,
        )  # fmt: skip
    except SimulationFailed as error:
        found, why = error.trajectory or [], str(error)  # type: ignore[attr-defined]
    walkers = [found] if isinstance(found, Trajectory) else found
    asked = [_true(run, one) for one in walkers]
    if min((_n_known(totals) for totals, _ in asked), default=0) < FEWEST:
        raise SimulationFailed(f"Fewer than {FEWEST} frames are left. {why or 'Use a longer run.'}")
    evaluations = np.array([np.add(call.each_steps, call.each_adjoint_steps) for call in forces.history])
    totals, deviations = (np.stack(part) for part in zip(*asked, strict=True))
    return Moved(walkers=walkers, evaluations=evaluations, totals=totals, deviation_percent=deviations, why=why)


def _true(run: ForceFieldRun, walker: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Return total energies in eV and how far the forces are off in %, by the tight solution; NaN where it has none."""
    assert walker.velocities is not None and walker.forces is not None  # run_md gives both
    energies, forces = run.predict_known(walker, solver=TRUE, batch_size=BATCH)[:2]
    sizes = [np.linalg.norm(one, axis=(1, 2)) for one in (walker.forces - forces, forces)]
    return energies + kinetic_energy_ev(walker.velocities, walker.masses), 100 * sizes[0] / sizes[1]


def _n_known(values: np.ndarray) -> int:
    """Return how many values come before the first that is not finite."""
    return len(values) if np.isfinite(values).all() else int(np.isfinite(values).argmin())


class Dynamics:
    """Molecular dynamics as a forecaster: the future is moved by the force field, at constant energy.

    It sees the history alone. Velocities at the present come from its last two frames and the forces there, by
    Beeman's rule; central differences would need the frame after the present.

    Args:
        run: a trained force field.
        molecule: whose elements and masses count.
        horizon: frames forecast.
        steps_per_frame: of the integrator, velocity Verlet.
        options: of `WarmForces`: policy, tolerance.

    Reference:
        Beeman (1976), doi:10.1016/0021-9991(76)90059-0.
    """

    def __init__(
        self,
        run: ForceFieldRun,
        molecule: Trajectory,
        horizon: int,
        *,
        steps_per_frame: int = 2,
        name: str = "force field",
        **options: Any,
    ) -> None:
        if horizon < 1 or steps_per_frame < 1:
            raise InvalidSettings(f"horizon was {horizon}, steps_per_frame {steps_per_frame}; both must be at least 1.")
        self.run, self.molecule, self.horizon = run, molecule, horizon
        self.steps_per_frame, self.name, self.options = steps_per_frame, name, options

    def forecast(self, window: Window) -> Tensor:
        """Return [windows, horizon, atoms, 3] Å.

        Raises:
            TrajectoryTooShort: a history of one frame has no velocities.
        """
        history = np.asarray(window.history, dtype=float)
        if history.shape[1] < 2:
            raise TrajectoryTooShort("A history of one frame has no velocities. Give two frames or more.")
        pushed = _Accelerations(self.run, self.molecule, len(history), self.options)
        before, here = pushed(history[:, -2]), pushed(history[:, -1])
        speed = beeman_velocities(history[:, -2], history[:, -1], before, here, dt_fs=window.dt_fs)
        place, step_fs, path = history[:, -1], window.dt_fs / self.steps_per_frame, []
        for _ in range(self.horizon):
            for _ in range(self.steps_per_frame):
                speed = speed + 0.5 * step_fs * here
                place = place + step_fs * speed
                here = pushed(place)
                speed = speed + 0.5 * step_fs * here
            path.append(place)
        return torch.from_numpy(np.stack(path, axis=1)).to(window.history.dtype)

    def predict(self, trajectory: Trajectory, *, start: int, history: int) -> Trajectory:
        """Return a history of a trajectory and what follows it, as `anb.predict` does for other forecasters."""
        seen = trajectory[start : start + history]
        window = Window.of(torch.tensor(np.array(seen.positions, dtype=float))[None], dt_fs=seen.dt_fs)
        future = window.place(self.forecast(window))[0].numpy()
        path = np.concatenate([np.asarray(seen.positions, dtype=float), future])
        told = {"source": trajectory.name, "start_frame": start, "history_frames": history, **self.options}
        return Trajectory(
            path, seen.atomic_numbers, seen.dt_fs, masses=seen.masses, bonds=seen.bonds,
            name=f"{self.name} forecast", provenance=told, check_distances=False,
        )  # fmt: skip


class _Accelerations:
    """Forces over masses in Å/fs² of a batch of one molecule, each solve begun where the last one ended."""

    def __init__(self, run: ForceFieldRun, molecule: Trajectory, n_molecules: int, options: dict[str, Any]) -> None:
        self.forces = WarmForces(run, **options)
        self.numbers = np.tile(molecule.atomic_numbers, (n_molecules, 1))
        self.scale = 1 / (EV_PER_AMU_ANG2_PER_FS2 * molecule.masses[:, None])

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return self.scale * self.forces(positions, self.numbers)[1]


def beeman_velocities(
    before: np.ndarray, here: np.ndarray, before_push: np.ndarray, here_push: np.ndarray, *, dt_fs: float
) -> np.ndarray:
    """Return velocities in Å/fs at the later of two frames, from positions in Å and accelerations in Å/fs² at both.

    The error is of third order in the spacing, and nothing after the later frame is looked at.
    """
    return (here - before) / dt_fs + dt_fs / 6 * (2 * here_push + before_push)


def error_table(runs: Mapping[str, ForceFieldRun], test: Trajectory) -> str:
    """Return a Markdown table of mean absolute errors, and those of no force and the best constant energy."""
    labels = Frames.of([test])
    nothing = float(np.abs(labels.forces).mean()), float(np.abs(labels.energies - np.median(labels.energies)).mean())
    rows = [("no force, one energy", "–", *(MEV_PER_EV * one for one in nothing))]
    for name, run in runs.items():
        errors = run.errors(test)
        rows.append((name, f"{n_parameters(run.settings):,}", errors.force_meV_per_ang, errors.energy_meV))
    lines = [f"| {name} | {weights} | {force:.1f} | {energy:.1f} |" for name, weights, force, energy in rows]
    head = "| force field | weights | force error (meV/Å) | energy error (meV) |"
    return "\n".join([head, "|---|---:|---:|---:|", *lines])


def warning_table(runs: Mapping[str, Moved]) -> str:
    """Return a Markdown table of work, force deviation and drift, mean ± standard deviation over walkers."""
    head = "| start, tolerance | evaluations a step | force deviation (%) | drift (meV/atom/ps) | |"
    lines = [
        f"| {name} | {spread(one.work)} | {np.nanmean(one.deviation_percent):.2f} | {spread(one.drifts)} | "
        f"{'ended early' if one.why else ''} |"
        for name, one in runs.items()
    ]
    return "\n".join([head, "|---|---:|---:|---:|---|", *lines])
