"""ASE's formats and objects. Its unit of time ends here: velocities leave as Å/fs; lengths and energies fit already."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb import units
from asteroid_nb.data.spacing import agreed_dt_fs
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, UnreadableFile, need

if TYPE_CHECKING:
    import ase

#: Ending → ASE's name of the format. ASE reads plain and CP2K's xyz as its extended form.
FORMATS = {".traj": "traj", ".extxyz": "extxyz", ".xyz": "extxyz"}

#: Frames that are there as ``ase.Atoms`` at a time, each of which needs kilobytes besides its coordinates.
MOST_TOGETHER = 2000


def read(path: Path, *, dt_fs: float | None, stride: int) -> Trajectory:
    """Return the frames of a file; ``dt_fs`` is between those of the file."""
    with _ase_errors(path):
        frames = need("ase.io").read(path, index=slice(None, None, stride), format=FORMATS[path.suffix.lower()])
    return _of_file(path, frames, dt_fs, stride)


def pieces(path: Path, *, dt_fs: float | None, stride: int, n_values: int) -> Iterator[Trajectory]:
    """Yield the frames of a file in parts of at most about ``n_values`` coordinates, in order."""
    with _ase_errors(path):
        frames = need("ase.io").iread(path, index=slice(None, None, stride), format=FORMATS[path.suffix.lower()])
        first = next(frames, None)
    if first is None:
        return
    n_frames = max(1, min(MOST_TOGETHER, n_values // (3 * len(first))))
    waiting = [first]
    while waiting:
        with _ase_errors(path):
            waiting += itertools.islice(frames, n_frames - len(waiting))
        yield _of_file(path, waiting, dt_fs, stride)
        with _ase_errors(path):
            waiting = list(itertools.islice(frames, 1))


def _of_file(path: Path, frames: Sequence[ase.Atoms], dt_fs: float | None, stride: int) -> Trajectory:
    dt_fs = agreed_dt_fs(None, dt_fs, path=path, why=f"{path.suffix} carries no trustworthy time")
    return from_ase(frames, dt_fs=dt_fs * stride, name=path.stem, provenance={"file": path.name})


@contextmanager
def _ase_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise InvalidTrajectory(
            f"{path}: unknown element {error}. Use element symbols, and drop virtual sites and dummy atoms."
        ) from error
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise UnreadableFile(
            f"{path} cannot be read as {path.suffix} ({error}). Is it complete, and of that format?"
        ) from error


def from_ase(
    frames: Sequence[ase.Atoms], *, dt_fs: float, name: str = "trajectory", provenance: dict[str, Any] | None = None
) -> Trajectory:
    """Return the trajectory of a list of ``ase.Atoms`` or an open ASE trajectory.

    Velocities, forces and energies are taken where every frame carries them; nothing is computed.

    Raises:
        InvalidTrajectory: no frame, or frames with different atoms.
        MissingSpacing: ``dt_fs`` is None.
    """
    frames = list(frames)
    if not frames:
        raise InvalidTrajectory(f"{name}: there is no frame. Is the file or the list empty?")
    first = frames[0]
    for index, atoms in enumerate(frames):
        if not np.array_equal(atoms.numbers, first.numbers):
            raise InvalidTrajectory(
                f"{name}: frame {index} holds {atoms.get_chemical_formula()}, frame 0 {first.get_chemical_formula()}. "
                "A trajectory has the same atoms in the same order throughout: load such frames apart."
            )
    masses: Any = first.get_masses() if first.has("masses") else None
    results = [{} if atoms.calc is None else getattr(atoms.calc, "results", {}) for atoms in frames]
    return Trajectory(
        positions=np.stack([atoms.positions for atoms in frames]),
        atomic_numbers=first.numbers,
        dt_fs=dt_fs,
        masses=masses,
        velocities=_velocities(frames),
        forces=_all(results, "forces"),
        energies=_all(results, "energy"),
        cell=_cells(name, frames),
        name=name,
        provenance=provenance or {},
    )


def _velocities(frames: Sequence[ase.Atoms]) -> np.ndarray | None:
    if not all(atoms.has("momenta") for atoms in frames):
        return None
    return np.stack([atoms.get_velocities() for atoms in frames]) / units.FS_PER_ASE_TIME


def _all(results: list[dict], key: str) -> np.ndarray | None:
    found = [result.get(key) for result in results]
    return None if any(value is None for value in found) else np.asarray(found, dtype=float)


def _cells(name: str, frames: Sequence[ase.Atoms]) -> np.ndarray | None:
    periodic = {bool(atoms.pbc.any() and atoms.cell.rank == 3) for atoms in frames}
    if len(periodic) > 1:
        raise InvalidTrajectory(
            f"{name}: some frames have a box and some have none. Load them apart, or give all a box."
        )
    return np.stack([atoms.cell.array for atoms in frames]) if periodic == {True} else None


def to_ase(trajectory: Trajectory) -> list[ase.Atoms]:
    """Return one ``ase.Atoms`` per frame, with velocities, forces and energies where known."""
    ase = need("ase")
    return [_atoms(ase, trajectory, frame) for frame in range(trajectory.n_frames)]


def _atoms(ase: Any, trajectory: Trajectory, frame: int) -> ase.Atoms:
    from ase.calculators.singlepoint import SinglePointCalculator

    cell = None if trajectory.cell is None else trajectory.cell[frame]
    atoms = ase.Atoms(trajectory.atomic_numbers, np.asarray(trajectory.positions[frame], dtype=float), cell=cell)
    atoms.pbc = cell is not None
    if not np.allclose(trajectory.masses, atoms.get_masses(), rtol=1e-6):
        atoms.set_masses(trajectory.masses)
    if trajectory.velocities is not None:
        atoms.set_velocities(np.asarray(trajectory.velocities[frame], dtype=float) * units.FS_PER_ASE_TIME)
    known = {"forces": trajectory.forces, "energy": trajectory.energies}
    results = {key: array[frame].astype(float) for key, array in known.items() if array is not None}
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def write(trajectory: Trajectory, path: Path) -> None:
    """Write all frames."""
    need("ase.io").write(path, to_ase(trajectory), format=FORMATS[path.suffix.lower()])
