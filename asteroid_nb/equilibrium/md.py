"""Run molecular dynamics on a force field: ASE's integrators, one verb, a `Trajectory` back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from asteroid_nb import units
from asteroid_nb.data import engines
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import calculator as make_calculator
from asteroid_nb.equilibrium.dynamics import settings_of
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import AsteroidError, InvalidSettings, SimulationFailed
from asteroid_nb.progress import Interruptible

if TYPE_CHECKING:
    import ase

#: Two time steps that should divide each other may differ by so much: they are decimal numbers.
ROUNDING = 1e-6


def run_md(
    run: ForceFieldRun,
    molecule: Any,
    *,
    n_frames: int,
    ensemble: str = "nve",
    temperature_K: float | None = None,
    timestep_fs: float = 0.5,
    dt_fs: float | None = None,
    friction_per_fs: float = 0.02,
    n_walkers: int = 1,
    seed: int = 0,
    calculator: Any = None,
    progress: bool = True,
    **options: Any,
) -> Trajectory | list[Trajectory]:
    """Return molecular dynamics on a trained force field, from the given geometry and velocities on.

    Ctrl-C ends it after the step under way; the frames so far come back, and the run goes on from their last one.

    Args:
        molecule: `Trajectory` (its last frame, with its velocities where it has them), ``ase.Atoms``, file or name.
        n_frames: stored, the first one included.
        ensemble: "nve" (velocity Verlet) or "langevin".
        temperature_K: draws new velocities, and is Langevin's; None keeps those of the molecule.
        timestep_fs: of the integrator.
        dt_fs: between stored frames, a multiple of the time step; every step when not given.
        friction_per_fs: of Langevin.
        n_walkers: copies that are moved and solved as one batch, each with velocities of its own; not in a box.
        seed: of velocities and Langevin.
        calculator: of `dynamics.calculator`, to look at its ``history`` afterwards; made when not given.
        options: of the calculator that is made: policy, tolerance, max_steps, precision, device.

    Raises:
        InvalidSettings: steps that do not fit each other, no temperature where one is needed, an unknown ensemble.
        SimulationFailed: the solver did not converge, or atoms came on top of each other; its ``trajectory`` holds
            the frames before. A molecule that breaks is no failure: its parts fly on without forces between them.
        ModelMismatch: an element the force field has not learnt from.
    """
    every = _steps_per_frame(timestep_fs, dt_fs, n_frames)
    atoms = _start(molecule, n_walkers, temperature_K, seed)
    run.must_know(atoms.numbers)
    if calculator is None:
        calculator = make_calculator(run, n_molecules=n_walkers, **options)
    elif options or calculator.n_molecules != n_walkers:
        raise InvalidSettings(
            f"The calculator was given, for {calculator.n_molecules} molecules; {n_walkers} walkers and "
            f"{', '.join(options) or 'no options'} were asked for. Give options to calculator() and as many molecules."
        )
    atoms.calc = calculator
    mover = _integrator(atoms, ensemble, temperature_K, timestep_fs, friction_per_fs, seed)
    frames = _Frames(atoms, n_walkers, every * timestep_fs, len(calculator.history))
    with frames.kept_on_failure(molecule, run), Interruptible() as interrupt:
        frames.store()
        for _ in tqdm(range(n_frames - 1), disable=not progress, unit="frame", mininterval=0.5):
            if interrupt.asked:
                break
            mover.run(every)
            frames.store()
    told = {"ensemble": ensemble, "temperature_K": temperature_K, "timestep_fs": timestep_fs, "seed": seed}
    found = frames.trajectories(molecule, run, told | {"finished": len(frames.energies) == n_frames})
    return found[0] if n_walkers == 1 else found


def _steps_per_frame(timestep_fs: float, dt_fs: float | None, n_frames: int) -> int:
    if not timestep_fs > 0 or n_frames < 1:
        raise InvalidSettings(f"timestep_fs was {timestep_fs}, n_frames {n_frames}; both must be positive.")
    steps = 1.0 if dt_fs is None else dt_fs / timestep_fs
    if round(steps) < 1 or abs(steps - round(steps)) > ROUNDING * steps:
        raise InvalidSettings(
            f"dt_fs {dt_fs:g} is {steps:g} steps of {timestep_fs:g} fs; it must be a whole number of steps."
        )
    return round(steps)


def _start(molecule: Any, n_walkers: int, temperature_K: float | None, seed: int) -> ase.Atoms:
    """Return the atoms of all walkers, with velocities."""
    atoms = engines.molecule(molecule[-1] if isinstance(molecule, Trajectory) else molecule)
    if isinstance(molecule, Trajectory) and molecule.velocities is not None:
        atoms.set_velocities(np.asarray(molecule.velocities[-1], dtype=float) * units.FS_PER_ASE_TIME)
    if atoms.pbc.any() and not atoms.pbc.all():
        raise InvalidSettings(
            f"The box is periodic along {atoms.pbc.tolist()}; a Trajectory's is along all three or none. Set pbc to "
            "True or False for all, or run ASE itself with calculator()."
        )
    if n_walkers < 1 or (n_walkers > 1 and atoms.pbc.any()):
        raise InvalidSettings(f"n_walkers was {n_walkers}; it must be 1 in a box, and at least 1 elsewhere.")
    if n_walkers > 1:
        copies = atoms.copy()
        for _ in range(n_walkers - 1):
            copies.extend(atoms)
        atoms = copies
    if temperature_K is not None:
        _draw_velocities(atoms, n_walkers, temperature_K, seed)
    return atoms


def _draw_velocities(atoms: ase.Atoms, n_walkers: int, temperature_K: float, seed: int) -> None:
    """Draw velocities of a Maxwell-Boltzmann distribution; no walker drifts, nor turns where it has no box."""
    random = np.random.default_rng(seed)
    masses = atoms.get_masses()
    width = np.sqrt(units.BOLTZMANN_EV_PER_K * temperature_K * masses)[:, None]
    atoms.set_momenta(random.normal(size=(len(atoms), 3)) * width)
    momenta = []
    for rows in np.arange(len(atoms)).reshape(n_walkers, -1):
        one = atoms[rows]
        engines.still(one)
        momenta.append(one.get_momenta())
    atoms.set_momenta(np.concatenate(momenta))


def _integrator(
    atoms: ase.Atoms, ensemble: str, temperature_K: float | None, timestep_fs: float, friction_per_fs: float, seed: int
) -> Any:
    from ase.md.langevin import Langevin
    from ase.md.verlet import VelocityVerlet

    timestep = timestep_fs / units.FS_PER_ASE_TIME
    if ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    if ensemble != "langevin" or temperature_K is None:
        raise InvalidSettings(
            f"ensemble was {ensemble!r} with temperature_K {temperature_K}; needed is 'nve', or 'langevin' with a "
            "temperature."
        )
    friction = friction_per_fs * units.FS_PER_ASE_TIME
    random = np.random.default_rng([seed, 1])
    return Langevin(atoms, timestep, temperature_K=temperature_K, friction=friction, fixcm=False, rng=random)


class _Frames:
    """What was stored so far."""

    def __init__(self, atoms: ase.Atoms, n_walkers: int, dt_fs: float, first_call: int) -> None:
        self.atoms, self.n_walkers, self.dt_fs, self.first_call = atoms, n_walkers, dt_fs, first_call
        self.calculator: Any = atoms.calc
        self.arrays: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.energies: list[np.ndarray] = []

    def store(self) -> None:
        velocities = self.atoms.get_velocities() / units.FS_PER_ASE_TIME
        forces = self.atoms.get_forces()
        if not np.isfinite(forces).all():
            raise SimulationFailed("A force is not a number.")
        split = lambda array: array.reshape(self.n_walkers, -1, 3).copy()  # noqa: E731
        self.arrays.append((split(self.atoms.positions), split(velocities), split(forces)))
        self.energies.append(self.calculator.energies.copy())

    @contextmanager
    def kept_on_failure(self, molecule: Any, run: ForceFieldRun) -> Iterator[None]:
        """Say when it failed, and hand over the frames before."""
        try:
            yield
        except AsteroidError as error:
            at = (len(self.energies) - 1) * self.dt_fs
            failure = SimulationFailed(
                f"The run ended {max(0.0, at):g} fs after its start: {error} The frames before are in the error's "
                "trajectory. Use a smaller tolerance or time step, another policy, or a force field trained on "
                "geometries like these."
            )
            kept = self.trajectories(molecule, run, {"finished": False}) if self.energies else []
            failure.trajectory = kept[0] if len(kept) == 1 else kept or None  # type: ignore[attr-defined]
            raise failure from error

    def trajectories(self, molecule: Any, run: ForceFieldRun, told: dict[str, Any]) -> list[Trajectory]:
        calculator = self.calculator
        calls = calculator.history[self.first_call :]
        solver = {
            "calls": len(calls),
            "mean_steps": sum(call.steps for call in calls) / max(1, len(calls)),
            "mean_adjoint_steps": sum(call.adjoint_steps for call in calls) / max(1, len(calls)),
            "cold_calls": sum(call.cold for call in calls),
        }
        record = {"force_field": asdict(run.settings), **settings_of(calculator.solves), **told, "solver_work": solver}
        n_atoms = len(self.atoms) // self.n_walkers
        name = molecule.name if isinstance(molecule, Trajectory) else self.atoms[:n_atoms].get_chemical_formula()
        energies = np.stack(self.energies)
        stacked = [np.stack(part) for part in zip(*self.arrays, strict=True)]
        return [
            Trajectory(
                *(stacked[0][:, walker], self.atoms.numbers[:n_atoms], self.dt_fs),
                masses=self.atoms.get_masses()[:n_atoms],
                velocities=stacked[1][:, walker],
                forces=stacked[2][:, walker],
                energies=energies[:, walker],
                cell=self.atoms.cell.array if self.atoms.pbc.any() else None,
                bonds=molecule.bonds if isinstance(molecule, Trajectory) else None,
                name=f"{name}, force field" + (f", walker {walker}" if self.n_walkers > 1 else ""),
                provenance=record | {"walker": walker},
                check_distances=False,
            )
            for walker in range(self.n_walkers)
        ]
