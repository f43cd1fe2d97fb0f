"""One walker of `simulate`: relax, equilibrate, produce, chunk by chunk, each chunk written whole or not at all.

Every chunk starts with a fresh calculator from the stored state (positions, momenta, random generator) alone. An SCF
that remembers its last density would otherwise make a resumed run differ from an uninterrupted one in the last digits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.data import engines, runs
from asteroid_nb.errors import AsteroidError, SimulationFailed

if TYPE_CHECKING:
    import ase

#: Steps between two saved states of the equilibration.
EQUILIBRATION_PIECE = 2000

#: A kinetic temperature that no healthy molecule reaches, as a multiple of the target; and what an NVE run may
#: lose or gain, eV per atom.
TOO_HOT, TOO_MUCH_DRIFT_EV = 30.0, 0.1


@dataclass(frozen=True, kw_only=True)
class SimulationSettings:
    """How a reference trajectory is made.

    Args:
        method: of tblite, or the name of the calculator.
        n_frames: stored per walker.
        dt_fs: between stored frames, a whole multiple of ``timestep_fs``.
        equilibration_fs: of Langevin dynamics before the first stored frame.
        friction_per_fs: of Langevin dynamics.
        ensemble: "nve" (velocity Verlet, momentum and angular momentum removed first) or "langevin".
        seed: walker w draws from the generator seeded with (seed, w).
        relax: to the nearest minimum before velocities are drawn.
        chunk_frames: written at once.
    """

    method: str = "GFN2-xTB"
    temperature_K: float = 500.0
    n_walkers: int = 1
    n_frames: int = 1000
    dt_fs: float = 1.0
    timestep_fs: float = 0.5
    equilibration_fs: float = 2000.0
    friction_per_fs: float = 0.02
    ensemble: str = "nve"
    seed: int = 0
    relax: bool = True
    chunk_frames: int = 500

    def __post_init__(self) -> None:
        for key in (
            "temperature_K",
            "n_walkers",
            "n_frames",
            "dt_fs",
            "timestep_fs",
            "friction_per_fs",
            "chunk_frames",
        ):
            if not getattr(self, key) > 0:
                raise AsteroidError(f"{key} was {getattr(self, key)!r}; it must be positive.")
        if not self.equilibration_fs >= 0:
            raise AsteroidError(f"equilibration_fs was {self.equilibration_fs!r}; it must be 0 or more.")
        if self.ensemble not in ("nve", "langevin"):
            raise AsteroidError(f"ensemble was {self.ensemble!r}; choose 'nve' or 'langevin'.")
        if self.steps_per_frame < 1 or abs(self.steps_per_frame * self.timestep_fs - self.dt_fs) > 1e-9:
            raise AsteroidError(
                f"dt_fs={self.dt_fs:g} is not a whole number of timesteps of {self.timestep_fs:g} fs. Change one."
            )

    @property
    def steps_per_frame(self) -> int:
        return round(self.dt_fs / self.timestep_fs)

    @property
    def equilibration_steps(self) -> int:
        return round(self.equilibration_fs / self.timestep_fs)

    @property
    def chunking(self) -> dict[str, int]:
        return {"n_frames": self.n_frames, "chunk_frames": self.chunk_frames}

    @property
    def n_steps(self) -> int:
        """Steps of one walker, equilibration included."""
        return self.equilibration_steps + self.n_frames * self.steps_per_frame


@dataclass(frozen=True)
class State:
    """All that the next step depends on; momenta in ASE's units, so that nothing is rounded."""

    positions: np.ndarray
    momenta: np.ndarray
    random: Mapping[str, Any]


@dataclass(frozen=True)
class Walker:
    """One walker and what it needs; ``report(steps)`` is told of progress."""

    number: int
    start: ase.Atoms
    settings: SimulationSettings
    make: Callable[[], Any]
    folder: Path
    report: Callable[[int], Any]

    def run(self) -> None:
        """Do what is not yet done.

        Raises:
            SimulationFailed: the engine gave up, or the molecule flew apart.
            DiskFull: earlier chunks are kept.
        """
        state = self._equilibrated()
        for path, n_frames in runs.chunks(self.folder, self.number, **self.settings.chunking):
            kept = runs.read(path)
            if kept is not None and len(kept["positions"]) >= n_frames:
                state = _last_state(kept)
                self.report(n_frames * self.settings.steps_per_frame)
                continue
            arrays, state = self._produce(state, n_frames)
            runs.write(path, arrays)

    def _equilibrated(self) -> State:
        """Return the state production starts from, continuing a stored equilibration."""
        path = self.folder / f"walker-{self.number:03d}" / "equilibration.npz"
        began, kept = time.process_time(), runs.read(path)
        done, state = (int(kept["steps"]), _last_state(kept)) if kept else (0, self._first_state())
        before = kept.get("core_seconds", np.nan) if kept else 0.0
        self.report(done)
        while done < self.settings.equilibration_steps:
            n_steps = min(EQUILIBRATION_PIECE, self.settings.equilibration_steps - done)
            atoms, dynamics, rng = self._engine(state, "langevin")
            for _ in _guarded(
                dynamics, n_steps, every=50, report=self.report, check=partial(self._healthy, atoms, None)
            ):
                pass
            done += n_steps
            if done == self.settings.equilibration_steps:
                self._still(atoms)
            state = State(atoms.get_positions(), atoms.get_momenta(), rng.bit_generator.state)
            spent = {"core_seconds": np.array(before + time.process_time() - began)}
            runs.write(path, _as_arrays(state) | {"steps": np.array(done)} | spent)
        return state

    def _first_state(self) -> State:
        rng = np.random.default_rng([self.settings.seed, self.number])
        atoms = self.start.copy()
        if self.settings.relax:
            self._relax(atoms)
        from ase.units import kB

        momenta = rng.standard_normal((len(atoms), 3))
        atoms.set_momenta(momenta * np.sqrt(atoms.get_masses() * kB * self.settings.temperature_K)[:, None])
        self._still(atoms)
        return State(atoms.get_positions(), atoms.get_momenta(), rng.bit_generator.state)

    def _relax(self, atoms: ase.Atoms) -> None:
        from ase.optimize import BFGS

        atoms.calc = self.make()
        with _engine_errors("relaxation"):
            BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)

    def _still(self, atoms: ase.Atoms) -> None:
        """Remove momentum and, outside a box, angular momentum and shift."""
        if not atoms.pbc.any():
            atoms.positions -= atoms.get_center_of_mass()
        engines.still(atoms)

    def _engine(self, state: State, ensemble: str) -> tuple[ase.Atoms, Any, np.random.Generator]:
        from ase import units
        from ase.md.langevin import Langevin
        from ase.md.verlet import VelocityVerlet

        atoms = self.start.copy()
        atoms.positions = state.positions
        atoms.set_momenta(state.momenta)
        atoms.calc = self.make()
        rng = np.random.default_rng()
        rng.bit_generator.state = state.random
        timestep = self.settings.timestep_fs * units.fs
        if ensemble == "nve":
            return atoms, VelocityVerlet(atoms, timestep), rng
        friction = self.settings.friction_per_fs / units.fs
        temperature = self.settings.temperature_K
        return atoms, Langevin(atoms, timestep, temperature_K=temperature, friction=friction, fixcm=False, rng=rng), rng

    def _produce(self, state: State, n_frames: int) -> tuple[dict[str, np.ndarray], State]:
        """Return one chunk of frames and the state after it; frame 0 is one spacing after the state given."""
        began = time.process_time()
        atoms, dynamics, rng = self._engine(state, self.settings.ensemble)
        every, frames = self.settings.steps_per_frame, []
        with _engine_errors("production"):
            first_energy = atoms.get_total_energy() if self.settings.ensemble == "nve" else None
        for _ in _guarded(
            dynamics,
            n_frames * every,
            every=every,
            report=self.report,
            check=partial(self._healthy, atoms, first_energy),
        ):
            frames.append(
                (atoms.get_positions(), atoms.get_momenta(), atoms.get_forces(md=True), atoms.get_potential_energy())
            )
        positions, momenta, forces, energies = (np.array(column) for column in zip(*frames, strict=True))
        state = State(positions[-1], momenta[-1], rng.bit_generator.state)
        arrays = {"positions": positions, "momenta": momenta, "forces": forces, "energies": energies}
        spent = {"core_seconds": np.array(time.process_time() - began)}
        return arrays | spent | {"random": np.array(json.dumps(state.random))}, state

    def _healthy(self, atoms: ase.Atoms, first_energy: float | None) -> None:
        """Raise `SimulationFailed` once energy or temperature say that the molecule has left physics."""
        hottest = TOO_HOT * self.settings.temperature_K
        energy, temperature = atoms.get_total_energy(), atoms.get_temperature()
        drift = 0.0 if first_energy is None else abs(energy - first_energy) / len(atoms)
        if np.isfinite(energy) and temperature < hottest and drift < TOO_MUCH_DRIFT_EV:
            return
        raise SimulationFailed(
            f"Walker {self.number} exploded: total energy {energy:.6g} eV (moved by {drift:.3g} eV per atom), kinetic "
            f"temperature {temperature:.4g} K at a target of {self.settings.temperature_K:g} K. Shorten timestep_fs "
            f"(now {self.settings.timestep_fs:g}), relax the start geometry, or lower the temperature."
        )


def _guarded(dynamics: Any, n_steps: int, *, every: int, report: Callable[[int], Any], check: Callable[[], None]):
    """Run ``n_steps``, yielding after each ``every`` healthy ones."""
    done = 0
    while done < n_steps:
        block = min(every, n_steps - done)
        with _engine_errors(f"dynamics, near step {done}"):
            dynamics.run(block)
            check()
        done += block
        report(block)
        yield done


class _engine_errors:
    """Turn what an engine raises into `SimulationFailed`, with the engine's own words."""

    def __init__(self, during: str) -> None:
        self.during = during

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, (AsteroidError, OSError)):
            raise SimulationFailed(
                f"The engine failed during {self.during}: {type(error).__name__}: {error} "
                "Is every element known to the method, and is the start geometry sensible?"
            ) from error


def _as_arrays(state: State) -> dict[str, np.ndarray]:
    return {"positions": state.positions, "momenta": state.momenta, "random": np.array(json.dumps(state.random))}


def _last_state(arrays: dict[str, np.ndarray]) -> State:
    positions, momenta = arrays["positions"], arrays["momenta"]
    if positions.ndim == 3:
        positions, momenta = positions[-1], momenta[-1]
    return State(positions, momenta, json.loads(str(arrays["random"])))
