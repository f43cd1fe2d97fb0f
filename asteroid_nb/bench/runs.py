"""MD runs of a bench, each kept as a raw log: what its solves took, which energy it kept, and how it ended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_nb import __version__
from asteroid_nb.bench.arms import DEQ
from asteroid_nb.bench.setting import Setting
from asteroid_nb.data.bonds import bonds_of, find_torsions
from asteroid_nb.data.geometry import torsions
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE, SolverRecord, calculator
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.md import run_md
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import SimulationFailed
from asteroid_nb.files import replacing
from asteroid_nb.finding import plain
from asteroid_nb.metrics.conservation import energy_drift, kinetic_energy_ev, temperature_K
from asteroid_nb.metrics.structure import bond_lengths
from asteroid_nb.parallel import side_by_side
from asteroid_nb.units import FS_PER_PS, MEV_PER_EV

#: Of velocities, and of Langevin's bath.
BATH_K = 500.0

#: Of the energy a model really has, whatever the run's solver found.
TRUE = Solver(tolerance=1e-8, max_steps=500)

#: Frames of each walker whose true energy is looked up, spread evenly, and how many are solved as one batch.
TRUE_FRAMES, TRUE_BATCH = 200, 25

#: Calls at the start of a run that are not counted: a warm start has nothing to start from.
N_WARM = 8

Log = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One MD run from the first frame of the test on.

    Args:
        model, direct: of the trained arm.
        policy, tolerance: of its solver.
        ensemble: "nve" or "langevin", with velocities drawn at `BATH_K`.
        length_ps: of the run.
        timestep_fs, stored_fs: of the integrator, and between stored frames.
        friction_per_fs: of Langevin.
        n_walkers: with velocities of their own, solved as one batch.
        seed: of velocities and Langevin.
        structure: keep bond lengths and torsions, too.
    """

    model: str = DEQ
    direct: bool = False
    policy: str = DEFAULT_POLICY
    tolerance: float = DEFAULT_TOLERANCE
    ensemble: str = "nve"
    length_ps: float = 10.0
    timestep_fs: float = 0.5
    stored_fs: float = 5.0
    friction_per_fs: float = 0.02
    n_walkers: int = 5
    seed: int = 0
    structure: bool = False

    @property
    def n_frames(self) -> int:
        return round(self.length_ps * FS_PER_PS / self.stored_fs) + 1

    def trained(self, setting: Setting) -> ForceFieldRun:
        return setting.run(self.model, **({"direct": True} if self.direct else {}))


def log_path(setting: Setting, name: str, run: ForceFieldRun, *told: Any) -> Path:
    """Return where a raw log is kept; weights, start and whatever else it depends on have a part in its name."""
    digest = hashlib.sha256(repr((told, run.settings, run.atomic_energies_eV, __version__)).encode())
    digest.update(np.ascontiguousarray(setting.parts.test.positions[0]).tobytes())
    _add_weights(digest, run)
    return setting.folder / "logs" / f"{name}-{digest.hexdigest()[:12]}.json"


def weights_digest(run: ForceFieldRun) -> str:
    """Return what is the same for equal weights alone, to tell a log of several models."""
    digest = hashlib.sha256(repr(run.settings).encode())
    _add_weights(digest, run)
    return digest.hexdigest()


def _add_weights(digest: Any, run: ForceFieldRun) -> None:
    for weight in run.model.state_dict().values():
        digest.update(weight.detach().cpu().numpy().tobytes())


def kept(path: Path, make: Callable[[], Log]) -> Log:
    """Return a raw log, making it where it is not there."""
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(plain(make())), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def moved(setting: Setting, motions: Sequence[Motion]) -> list[Log]:
    """Return the logs of all runs, in order, moving what was not moved yet."""
    runs = {(one.model, one.direct): one.trained(setting) for one in motions}
    paths = [_path(setting, one, runs[one.model, one.direct]) for one in motions]
    waiting = {one: path for one, path in zip(motions, paths, strict=True) if not path.is_file()}
    if waiting:
        jobs = [(setting, one) for one in waiting]
        side_by_side(move, jobs, processes=setting.processes, label="molecular dynamics", unit="run")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _path(setting: Setting, motion: Motion, run: ForceFieldRun) -> Path:
    name = "".join(
        letter if letter.isalnum() else "-" for letter in f"{motion.ensemble}-{motion.model}-{motion.policy}"
    )
    compiled = ["compiled"] if _compiled(setting, run) else []
    return log_path(setting, name, run, motion, BATH_K, TRUE, TRUE_FRAMES, *compiled)


def _compiled(setting: Setting, run: ForceFieldRun) -> bool:
    return setting.compiled and run.settings.implicit


def move(setting: Setting, motion: Motion) -> None:
    """Run one motion and keep its log."""
    run = motion.trained(setting)
    kept(_path(setting, motion, run), lambda: _moved(setting, motion, run))


def _moved(setting: Setting, motion: Motion, run: ForceFieldRun) -> Log:
    ase_calculator = calculator(
        run, n_molecules=motion.n_walkers, policy=motion.policy, tolerance=motion.tolerance,
        compiled=_compiled(setting, run),
    )  # fmt: skip
    why = None
    try:
        found: Any = run_md(
            run, setting.parts.test[0], n_frames=motion.n_frames, ensemble=motion.ensemble, temperature_K=BATH_K,
            timestep_fs=motion.timestep_fs, dt_fs=motion.stored_fs, friction_per_fs=motion.friction_per_fs,
            n_walkers=motion.n_walkers, seed=motion.seed, calculator=ase_calculator, progress=False,
        )  # fmt: skip
    except SimulationFailed as error:
        found, why = error.trajectory or [], str(error)  # type: ignore[attr-defined]
    walkers: list[Trajectory] = [found] if isinstance(found, Trajectory) else found
    n_frames = walkers[0].n_frames if walkers else 0
    if why is None and n_frames < motion.n_frames:
        raise KeyboardInterrupt  # Ctrl-C ends a run softly; what it leaves is no result
    history = ase_calculator.history
    told: Log = {"motion": dataclasses.asdict(motion), "n_atoms": setting.parts.test.n_atoms, "why": why}
    told["ended_fs"] = None if why is None else max(0, n_frames - 1) * motion.stored_fs
    told["work"] = [_work(call) for call in history]
    told["cold_calls"] = sum(call.cold for call in history[N_WARM:])
    told["ms_per_step"] = 1000 * float(np.median([call.seconds for call in history])) if history else None
    return told | _energies(run, walkers) | (_structure(setting.parts.test, walkers) if motion.structure else {})


def _energies(run: ForceFieldRun, walkers: Sequence[Trajectory]) -> Log:
    """Return total energies, as the run saw them and as they are, in eV, and temperatures in K."""
    every = max(1, -(-max((one.n_frames for one in walkers), default=1) // TRUE_FRAMES))
    totals, true, temperatures = [], [], []
    for one in walkers:
        assert one.velocities is not None and one.energies is not None  # run_md gives both
        kinetic = kinetic_energy_ev(one.velocities, one.masses)
        totals.append(np.round(one.energies + kinetic, 8))
        tight = run.predict_known(one[::every], solver=TRUE, precision=torch.float64, batch_size=TRUE_BATCH)
        true.append(np.round(tight.energies + kinetic[::every], 8))
        temperatures.append(np.round(temperature_K(one.velocities, one.masses), 2))
    return {"total_eV": totals, "true_every": every, "true_eV": true, "temperature_K": temperatures}


def _work(call: SolverRecord) -> list[float]:
    """Return what a molecule needs on average; a batch needs what its slowest molecule does."""
    return [round(float(np.mean(steps)), 3) for steps in (call.each_steps, call.each_adjoint_steps)]


def _structure(molecule: Trajectory, walkers: Sequence[Trajectory]) -> Log:
    bonds = bonds_of(molecule)
    quadruples = find_torsions(bonds, molecule.atomic_numbers)
    named = lambda rows: ["–".join(molecule.labels[atom] for atom in row) for row in rows.tolist()]  # noqa: E731
    return {
        "bond_names": named(bonds),
        "torsion_names": named(quadruples),
        "bonds_ang": [np.round(bond_lengths(one.positions, bonds), 5) for one in walkers],
        "torsions_rad": [np.round(torsions(one.positions, quadruples), 4) for one in walkers],
    }


def drifts(log: Log, *, true: bool = True) -> np.ndarray:
    """Return each walker's drift in meV/atom/ps, of the energy as it is, or as the run's solver saw it."""
    return np.array([_line(curve, log["n_atoms"])[0] for curve in curves(log, true=true)])


def fluctuations(log: Log) -> np.ndarray:
    """Return the RMS of each walker's true energy about its drift, in meV per atom."""
    return np.array([_line(curve, log["n_atoms"])[1] for curve in curves(log)])


def curves(log: Log, *, true: bool = True) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each walker times in fs and total energies in eV, as far as they are known."""
    every = log["true_every"] if true else 1
    found = []
    for values in log["true_eV" if true else "total_eV"]:
        energies = np.array(values, dtype=float)
        end = len(energies) if np.isfinite(energies).all() else int(np.isfinite(energies).argmin())
        found.append((np.arange(end) * every * log["motion"]["stored_fs"], energies[:end]))
    return found


def known_to_ps(log: Log) -> float | None:
    """Return the time in ps up to which all walkers' true energies are known, or None where all are known."""
    every_ps = log["true_every"] * log["motion"]["stored_fs"] / FS_PER_PS
    if not log["true_eV"]:
        return 0.0
    known = min(curves(log), key=lambda curve: len(curve[0]))[0]
    complete = all(np.isfinite(np.array(one, dtype=float)).all() for one in log["true_eV"])
    return None if complete else max(0, len(known) - 1) * every_ps


def _line(curve: tuple[np.ndarray, np.ndarray], n_atoms: int) -> tuple[float, float]:
    """Return slope in meV/atom/ps and RMS about it in meV/atom, NaN of fewer than three frames."""
    times, energies = curve
    if len(times) < 3:
        return float("nan"), float("nan")
    slope = energy_drift(energies, float(times[1] - times[0]), n_atoms=n_atoms)
    off = MEV_PER_EV * (energies - energies.mean()) / n_atoms - slope * (times - times.mean()) / FS_PER_PS
    return slope, float(np.sqrt(np.mean(off**2)))


def evaluations(log: Log) -> tuple[float, float]:
    """Return calls of f and of its vector–Jacobian product in a step, once a warm start has something to start from."""
    work = np.array(log["work"], dtype=float).reshape(-1, 2)[N_WARM:]
    return (float(work[:, 0].mean()), float(work[:, 1].mean())) if len(work) else (float("nan"), float("nan"))


def how_it_ended(log: Log) -> str:
    motion, known_ps = log["motion"], known_to_ps(log)
    lost = f", energy known to {known_ps:g} ps" if log["true_eV"] and known_ps is not None else ""
    if log["why"] is None:
        return f"complete, {motion['length_ps']:g} ps{lost}"
    reason = log["why"].split(": ", 1)[-1].split(". ", 1)[0]
    return f"ended after {log['ended_fs']:g} fs: {reason}{lost}"
