"""Reference dynamics from OpenMM: force field files in, `Trajectory` objects in Å and fs out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from asteroid_nb import units
from asteroid_nb.data import engines, runs
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import AsteroidError, Interrupted, SimulationFailed, UnreadableFile, need

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

#: OpenMM's forces are kJ/mol/nm, its velocities nm/ps.
EV_PER_ANG, ANG_PER_FS = units.EV_PER_KJ_PER_MOL / units.ANG_PER_NM, units.ANG_PER_NM / units.FS_PER_PS


@dataclass(frozen=True, kw_only=True)
class OpenmmSettings:
    """How OpenMM makes a reference trajectory; the integrator is its Langevin middle scheme.

    Args:
        force_field: XML names that OpenMM knows; the second one here is implicit water. Not used with a ready System.
        dt_fs: between stored frames, a whole multiple of ``timestep_fs``.
        hydrogen_mass_amu: of repartitioned hydrogens, for longer steps.
        constraints: "HBonds" or "AllBonds", waters rigid with both; or None, where even waters bend.
        platform: such as "CPU" or "CUDA"; the fastest there is when not named.
    """

    force_field: tuple[str, ...] = ("amber14-all.xml", "implicit/gbn2.xml")
    temperature_K: float = 300.0
    n_walkers: int = 1
    n_frames: int = 1000
    dt_fs: float = 1000.0
    timestep_fs: float = 2.0
    equilibration_fs: float = 10000.0
    friction_per_fs: float = 0.001
    hydrogen_mass_amu: float | None = None
    constraints: str | None = "HBonds"
    platform: str | None = None
    seed: int = 0
    chunk_frames: int = 500

    def __post_init__(self) -> None:
        for key in ("n_walkers", "n_frames", "dt_fs", "timestep_fs", "chunk_frames"):
            if not getattr(self, key) > 0:
                raise AsteroidError(f"{key} was {getattr(self, key)!r}; it must be positive.")
        if abs(self.steps_per_frame * self.timestep_fs - self.dt_fs) > 1e-9:
            raise AsteroidError(f"dt_fs={self.dt_fs:g} is not a whole number of {self.timestep_fs:g} fs. Change one.")

    @property
    def steps_per_frame(self) -> int:
        return round(self.dt_fs / self.timestep_fs)

    @property
    def chunking(self) -> dict[str, int]:
        return {"n_frames": self.n_frames, "chunk_frames": self.chunk_frames}


def simulate_openmm(
    what: str | Path | Topology,
    *,
    settings: OpenmmSettings | None = None,
    positions: np.ndarray | None = None,
    system: openmm.System | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> list[Trajectory]:
    """Return one `Trajectory` per walker, unwrapped, with velocities, forces and energies.

    Args:
        what: a PDB or mmCIF file with all hydrogens, or an OpenMM Topology.
        positions: [atoms, 3] Å, needed with a Topology.
        system: a ready OpenMM System, used instead of the force field files.
        out: folder that keeps finished chunks; the same call continues there, exactly so on the same hardware.

    Raises:
        MissingExtra: OpenMM is not installed.
        UnreadableFile: the file cannot be read, or the force field does not know its residues.
        SettingsDiffer: the folder holds a run with other settings.
        SimulationFailed: the energy is no longer finite.
        Interrupted: stopped by Ctrl-C; finished chunks are kept in ``out``.
    """
    need("openmm", extra="md")
    settings = settings or OpenmmSettings()
    topology, start = _start(what, positions)
    system = system or _system(topology, settings)
    numbers = np.array([atom.element.atomic_number if atom.element else 0 for atom in topology.atoms()])
    total = settings.n_walkers * settings.n_frames
    bar = tqdm(
        total=total, unit="frame", disable=not progress, mininterval=0.5, desc=f"OpenMM {settings.temperature_K:g} K"
    )
    with runs.opened(out) as folder, bar:
        record = runs.agree(folder, _record(settings, numbers, start, system))
        try:
            for number in range(settings.n_walkers):
                _walk(topology, system, start, settings, number, folder, bar.update)
        except KeyboardInterrupt:
            raise Interrupted(runs.kept_message(out, n_walkers=settings.n_walkers, **settings.chunking)) from None
        return [
            _trajectory(folder, number, settings, topology, system, numbers, record)
            for number in range(settings.n_walkers)
        ]


def _start(what: Any, positions: np.ndarray | None) -> tuple[Topology, np.ndarray]:
    """Return the topology and [atoms, 3] nm."""
    from openmm import app

    if isinstance(what, app.Topology):
        if positions is None:
            raise AsteroidError("A Topology carries no coordinates. Pass positions=[atoms, 3] in Å with it.")
        start = np.asarray(positions, dtype=float) / units.ANG_PER_NM
        if start.shape != (what.getNumAtoms(), 3):
            raise AsteroidError(f"positions have shape {start.shape}, the topology needs {(what.getNumAtoms(), 3)}.")
        return what, start
    path = Path(what)
    if not path.exists():
        raise UnreadableFile(f"There is no file {path}. Pass a PDB or mmCIF file, or an OpenMM Topology.")
    try:
        read: Any = (app.PDBxFile if path.suffix in (".cif", ".pdbx") else app.PDBFile)(str(path))
    except Exception as error:  # OpenMM's parsers raise whatever they stumble over
        raise UnreadableFile(f"{path} could not be read by OpenMM ({error}).") from error
    return read.topology, np.asarray(read.getPositions(asNumpy=True)._value)


def _system(topology: Topology, settings: OpenmmSettings) -> openmm.System:
    from openmm import app

    periodic = topology.getPeriodicBoxVectors() is not None
    options: dict[str, Any] = {"nonbondedMethod": app.PME if periodic else app.NoCutoff}
    options["rigidWater"] = settings.constraints is not None
    if settings.constraints:
        options["constraints"] = getattr(app, settings.constraints)
    if settings.hydrogen_mass_amu:
        options["hydrogenMass"] = settings.hydrogen_mass_amu
    try:
        return app.ForceField(*settings.force_field).createSystem(topology, removeCMMotion=False, **options)
    except (ValueError, OSError) as error:
        raise UnreadableFile(
            f"The force field {', '.join(settings.force_field)} cannot describe this molecule ({error}) "
            "Add hydrogens, choose other XML files, or pass a ready system=."
        ) from error


def _record(settings: OpenmmSettings, numbers: np.ndarray, start: np.ndarray, system: openmm.System) -> dict[str, Any]:
    from openmm import XmlSerializer

    described = hashlib.sha256(XmlSerializer.serialize(system).encode()).hexdigest()
    return {
        "settings": dataclasses.asdict(settings) | {"method": "OpenMM", "ensemble": "langevin"},
        "molecule": {
            "atomic_numbers": numbers.tolist(),
            "start_sha256": hashlib.sha256(np.ascontiguousarray(start).tobytes()).hexdigest(),
            "system_sha256": described,
        },
        "versions": engines.versions("openmm"),
    }


def _context(topology: Topology, system: openmm.System, settings: OpenmmSettings, number: int) -> openmm.Context:
    import openmm

    integrator = openmm.LangevinMiddleIntegrator(
        settings.temperature_K, settings.friction_per_fs * units.FS_PER_PS, settings.timestep_fs / units.FS_PER_PS
    )
    integrator.setRandomNumberSeed(_seed(settings, number))
    platform = [openmm.Platform.getPlatformByName(settings.platform)] if settings.platform else []
    context = openmm.Context(system, integrator, *platform)
    if (box := topology.getPeriodicBoxVectors()) is not None:
        context.setPeriodicBoxVectors(*box)
    return context


def _seed(settings: OpenmmSettings, number: int) -> int:
    # 0 would make OpenMM draw a seed from the clock.
    return int(np.random.default_rng([settings.seed, number]).integers(1, 2**31 - 1))


def _walk(
    topology: Topology,
    system: openmm.System,
    start: np.ndarray,
    settings: OpenmmSettings,
    number: int,
    folder: Path,
    report: Callable[[int], Any],
) -> None:
    """Let one walker do what it has not yet done; a chunk ends with OpenMM's own checkpoint."""
    context = _context(topology, system, settings, number)
    fresh = True
    for path, n_frames in runs.chunks(folder, number, **settings.chunking):
        kept = runs.read(path)
        if kept is not None and len(kept["positions"]) >= n_frames:
            context.loadCheckpoint(kept["checkpoint"].tobytes())
        else:
            if fresh:
                _equilibrate(context, start, settings, number)
            runs.write(path, _frames(context, settings, n_frames, number))
        fresh = False
        report(n_frames)


def _equilibrate(context: openmm.Context, start: np.ndarray, settings: OpenmmSettings, number: int) -> None:
    import openmm

    context.setPositions(start)
    openmm.LocalEnergyMinimizer.minimize(context)
    context.setVelocitiesToTemperature(settings.temperature_K, _seed(settings, number))
    context.getIntegrator().step(round(settings.equilibration_fs / settings.timestep_fs))


def _frames(context: openmm.Context, settings: OpenmmSettings, n_frames: int, number: int) -> dict[str, np.ndarray]:
    """Return one chunk in Å, Å/fs, eV/Å and eV, with the checkpoint after it."""
    import openmm

    columns: dict[str, list] = {key: [] for key in ("positions", "velocities", "forces", "energies", "cell")}
    for _ in range(n_frames):
        try:
            context.getIntegrator().step(settings.steps_per_frame)
        except openmm.OpenMMException as error:
            raise SimulationFailed(
                f"Walker {number} exploded ({error}). Shorten timestep_fs, now {settings.timestep_fs:g}."
            ) from error
        state = context.getState(positions=True, velocities=True, forces=True, energy=True)
        columns["positions"].append(state.getPositions(asNumpy=True)._value * units.ANG_PER_NM)
        columns["velocities"].append(state.getVelocities(asNumpy=True)._value * ANG_PER_FS)
        columns["forces"].append(state.getForces(asNumpy=True)._value * EV_PER_ANG)
        columns["energies"].append(state.getPotentialEnergy()._value * units.EV_PER_KJ_PER_MOL)
        columns["cell"].append(state.getPeriodicBoxVectors(asNumpy=True)._value * units.ANG_PER_NM)
        if not np.isfinite(columns["energies"][-1]):
            raise SimulationFailed(
                f"The energy of walker {number} is not finite. Shorten timestep_fs, now {settings.timestep_fs:g}."
            )
    arrays = {key: np.array(column) for key, column in columns.items()}
    return arrays | {"checkpoint": np.frombuffer(context.createCheckpoint(), dtype=np.uint8)}


def _trajectory(
    folder: Path,
    number: int,
    settings: OpenmmSettings,
    topology: Topology,
    system: openmm.System,
    numbers: np.ndarray,
    record: dict[str, Any],
) -> Trajectory:
    keys = ("positions", "velocities", "forces", "energies", "cell")
    gathered = runs.gather(folder, number, **settings.chunking, keys=keys)
    real = numbers > 0  # virtual sites have no element
    atoms = range(len(numbers))
    index = np.cumsum(real) - 1
    bonds = [(index[a.index], index[b.index]) for a, b in topology.bonds() if real[a.index] and real[b.index]]
    return Trajectory(
        positions=gathered["positions"][:, real].astype(np.float32),
        velocities=gathered["velocities"][:, real].astype(np.float32),
        forces=gathered["forces"][:, real].astype(np.float32),
        atomic_numbers=numbers[real],
        masses=np.array([system.getParticleMass(atom)._value for atom in atoms])[real],
        dt_fs=settings.dt_fs,
        energies=gathered["energies"],
        cell=gathered["cell"] if topology.getPeriodicBoxVectors() is not None else None,
        bonds=np.array(bonds, dtype=np.int64).reshape(-1, 2),
        name=f"OpenMM walker {number}" if settings.n_walkers > 1 else "OpenMM",
        provenance=record | {"walker": number},
    )
