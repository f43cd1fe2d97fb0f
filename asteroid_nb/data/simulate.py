"""Make reference molecular dynamics: GFN2-xTB, or whatever ASE can drive, several walkers side by side, resumable.

The integrators are ASE's. Each walker is one process (`walker_process`), so neither scripts nor notebooks need a
``__main__`` guard; what a walker has done lies in the run folder in whole chunks.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from asteroid_nb import units
from asteroid_nb.data import engines, runs, walker_process
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.walker import SimulationSettings, Walker
from asteroid_nb.errors import AsteroidError, Interrupted, SettingsDiffer, SimulationFailed

__all__ = ["SettingsDiffer", "SimulationFailed", "SimulationSettings", "simulate"]


def simulate(
    molecule: Any,
    *,
    method: str = "GFN2-xTB",
    temperature_K: float = 500.0,
    n_walkers: int = 1,
    n_frames: int = 1000,
    dt_fs: float = 1.0,
    timestep_fs: float = 0.5,
    equilibration_fs: float = 2000.0,
    friction_per_fs: float = 0.02,
    ensemble: str = "nve",
    seed: int = 0,
    relax: bool = True,
    chunk_frames: int = 500,
    calculator: Callable[[], Any] | None = None,
    processes: int | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> list[Trajectory]:
    """Return one `Trajectory` per walker, with velocities, forces and energies.

    Relax, draw Maxwell-Boltzmann velocities, equilibrate with Langevin dynamics, then store every ``dt_fs``. The
    settings are explained at `SimulationSettings`. The same call gives the same frames, bit for bit on one machine.
    What each walker cost is in its ``provenance["core_seconds"]``.

    Args:
        molecule: ``ase.Atoms``, a `Trajectory` (its first frame), a file, or a name such as "ethanol".
        calculator: a factory that makes a fresh ASE calculator; then ``method`` is not used. One that no other process
            can import (a lambda, or anything defined in the script or notebook) makes walkers run one by one here.
        processes: walkers running at a time, as many as there are cores by default; 0 runs them in this process.
        out: folder that keeps what is finished. The same call with the same folder continues there, and more walkers
            or frames may be asked for; without a folder an interrupted run starts anew.

    Raises:
        MissingExtra: tblite or ASE is not installed.
        SettingsDiffer: the folder holds a run with other settings.
        SimulationFailed: the engine gave up, or the molecule flew apart.
        Interrupted: stopped by Ctrl-C; finished chunks are kept in ``out``.
        DiskFull: finished chunks are kept.
    """
    make = engines.factory(method, calculator)
    settings = SimulationSettings(
        method=engines.label(make), temperature_K=temperature_K, n_walkers=n_walkers, n_frames=n_frames, dt_fs=dt_fs,
        timestep_fs=timestep_fs, equilibration_fs=equilibration_fs, friction_per_fs=friction_per_fs, ensemble=ensemble,
        seed=seed, relax=relax, chunk_frames=chunk_frames,
    )  # fmt: skip
    start = engines.molecule(molecule)
    name = molecule if isinstance(molecule, str) and not Path(molecule).exists() else start.get_chemical_formula()
    with runs.opened(out) as folder:
        record = runs.agree(folder, _record(settings, start, make))
        try:
            _run(start, settings, make, folder, processes=processes, progress=progress)
        except KeyboardInterrupt:
            raise Interrupted(runs.kept_message(out, n_walkers=n_walkers, **settings.chunking)) from None
        record |= {"command": _command(molecule, settings)}
        return [_trajectory(folder, number, settings, start, name, record) for number in range(n_walkers)]


def _command(molecule: Any, settings: SimulationSettings) -> str:
    """Return the call that makes the same frames again; a molecule without a name is the recorded start geometry."""
    what = repr(molecule) if isinstance(molecule, str) else "molecule"
    given = {key: value for key, value in dataclasses.asdict(settings).items() if key != "method"}
    by = f"method={settings.method!r}" if settings.method in engines.XTB_METHODS else f"calculator={settings.method}"
    return f"simulate({what}, {by}, {', '.join(f'{key}={value!r}' for key, value in given.items())})"


def _record(settings: SimulationSettings, start: Any, make: Callable[[], Any]) -> dict[str, Any]:
    packages = getattr(make, "packages", ("ase",))
    return {
        "settings": dataclasses.asdict(settings),
        "molecule": engines.describe(start),
        "versions": engines.versions(*packages),
    }


def _run(
    start: Any,
    settings: SimulationSettings,
    make: Callable[[], Any],
    folder: Path,
    *,
    processes: int | None,
    progress: bool,
) -> None:
    """Let every walker do what it has not yet done."""
    task = _task(start, settings, make, folder, processes)
    title = f"{settings.method} {settings.temperature_K:g} K, {settings.n_walkers} walkers"
    n_steps = settings.n_walkers * settings.n_steps
    bar = tqdm(total=n_steps, unit="step", unit_scale=True, disable=not progress, mininterval=0.5, desc=title)
    with bar:
        if task is None:
            for number in range(settings.n_walkers):
                Walker(number, start, settings, make, folder, bar.update).run()
        else:
            n_processes = processes or min(settings.n_walkers, os.cpu_count() or 1)
            walker_process.run_all(task, settings.n_walkers, n_processes=n_processes, report=bar.update)


def _task(
    start: Any, settings: SimulationSettings, make: Callable[[], Any], folder: Path, processes: int | None
) -> bytes | None:
    """Return what a worker process needs, or None where walkers must run in this process."""
    if processes == 0:
        return None
    try:
        task = pickle.dumps((start, settings, make, folder))
    except Exception:  # pickle raises many kinds; the factory cannot travel
        task = None
    if task is not None and b"__main__" not in task:
        return task
    if processes is None:
        return None
    raise AsteroidError(
        "The calculator factory lives in this script or notebook, so worker processes cannot import it. "
        "Move it into a module, use functools.partial of an importable calculator, or pass processes=0."
    )


def _trajectory(
    folder: Path, number: int, settings: SimulationSettings, start: Any, name: str, record: dict[str, Any]
) -> Trajectory:
    """Return the frames of one walker, gathered from its chunks."""
    gathered = runs.gather(folder, number, **settings.chunking, keys=("positions", "momenta", "forces", "energies"))
    spent = runs.core_seconds(folder, number, **settings.chunking)
    masses = start.get_masses()
    velocities = gathered["momenta"] / masses[:, None] / units.FS_PER_ASE_TIME
    return Trajectory(
        positions=gathered["positions"].astype(np.float32),
        atomic_numbers=start.numbers.astype(np.int64),
        dt_fs=settings.dt_fs,
        masses=masses,
        velocities=velocities.astype(np.float32),
        forces=gathered["forces"].astype(np.float32),
        energies=gathered["energies"],
        cell=np.asarray(start.cell[:]) if start.pbc.any() else None,
        bonds=engines.bonds(start),
        name=f"{name} walker {number}" if settings.n_walkers > 1 else name,
        provenance=record
        | {"walker": number, "seed": [settings.seed, number]}
        | ({} if spent is None else {"core_seconds": spent})
        | _report(gathered, velocities, masses, settings, bool(start.pbc.any())),
    )


def _report(
    gathered: dict[str, np.ndarray],
    velocities: np.ndarray,
    masses: np.ndarray,
    settings: SimulationSettings,
    periodic: bool,
) -> dict[str, float]:
    """Return mean temperature and, for NVE, how far the total energy moved."""
    kinetic = 0.5 * units.EV_PER_AMU_ANG2_PER_FS2 * np.einsum("tad,a->t", velocities**2, masses)
    freedom = max(1, 3 * len(masses) - _removed(gathered["positions"][0], settings, periodic))
    report = {"mean_temperature_K": float(2 * kinetic.mean() / (freedom * units.BOLTZMANN_EV_PER_K))}
    if settings.ensemble == "nve":
        total = kinetic + gathered["energies"]
        report["total_energy_spread_meV"] = float(1000 * total.std())
        slope = np.polyfit(np.linspace(0, 1, len(total)), total, 1)[0] if len(total) > 1 else 0.0
        report["total_energy_drift_meV"] = float(1000 * slope)
    return report


def _removed(frame: np.ndarray, settings: SimulationSettings, periodic: bool) -> int:
    """Return the degrees of freedom that `Walker` stilled: 3 of shift; 3, 2 or 0 of rotation (body, line, point)."""
    if settings.ensemble == "langevin":
        return 0
    rank = 0 if periodic else np.linalg.matrix_rank(frame - frame.mean(axis=0), tol=1e-3)
    return 3 + (0, 2, 3, 3)[rank]
