"""The doors in and out: foreign units, invented times and half-written files end here.

MDTraj reads and writes .xtc .trr .dcd .nc .h5 .pdb .gro .cif .lammpstrj .mdcrd; ASE .traj .extxyz .xyz; NumPy .npz in
our own layout, MD17's and rMD17's. Only .npz keeps everything a `Trajectory` holds.
"""

from __future__ import annotations

import difflib
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.data import formats_ase, formats_mapped, formats_mdtraj, formats_npz
from asteroid_nb.data.formats_ase import from_ase, to_ase
from asteroid_nb.data.formats_mdtraj import from_mdtraj, to_mdtraj
from asteroid_nb.data.spacing import agreed_dt_fs
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import AsteroidError, InvalidTrajectory, MissingSpacing, UnreadableFile, need
from asteroid_nb.files import replacing

if TYPE_CHECKING:
    import nglview

__all__ = [
    "as_trajectory", "from_ase", "from_mdtraj", "load", "save", "save_walkers", "to_ase", "to_mdtraj", "to_nglview",
]  # fmt: skip

MDTRAJ, ASE, NPZ = (*formats_mdtraj.TIMED, *formats_mdtraj.UNTIMED), tuple(formats_ase.FORMATS), (".npz",)
MAPPED = (formats_mapped.ENDING,)

#: With less left than this, a writer that failed has failed for want of space, whatever it says.
FULL_BYTES = 2**16


def load(
    path: str | Path | Sequence[str | Path],
    *,
    top: Any = None,
    dt_fs: float | None = None,
    name: str | None = None,
    stride: int = 1,
    atoms: Sequence[int] | np.ndarray | str | None = None,
    energy_unit: str | None = None,
) -> Trajectory | list[Trajectory]:
    """Read a trajectory; several paths, or a file that holds several walkers, give a list.

    Args:
        path: the ending names the format. Several paths are separate runs, never joined.
        top: the atoms, for formats that hold none: a file, a `Trajectory` or an MDTraj object.
        dt_fs: between the frames of the file, before ``stride``. Needed where the format carries no trustworthy time
            (DCD, PDB, XYZ, ASE's, LAMMPS dumps, plain archives); elsewhere it must agree with the file.
        name: the file's name without its ending, or what the file says, when not given.
        stride: read every n-th frame.
        atoms: indices to keep; for MDTraj's formats also a selection such as "element != H".
        energy_unit: of MD17-like archives, forces in the same per Å: eV, kcal/mol, kJ/mol or Hartree. What the file
            says, else kcal/mol, when not given.

    Raises:
        UnreadableFile: no such file, unknown ending, empty, truncated, damaged, or without a needed key.
        MissingSpacing: the format carries no trustworthy time, and no ``dt_fs`` was given.
        InvalidTrajectory: NaN, unknown elements, atoms that differ from the topology's, uneven times.
        UnitMismatch: distances that cannot be Å.

    >>> import tempfile
    >>> from asteroid_nb.data.catalogue import sample
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(sample("ethanol")[0][:50], f"{folder}/mine.xyz")
    ...     load(path, dt_fs=1.0, stride=5)
    <Trajectory 'mine': 10 frames × 9 atoms, every 5 fs, with forces, energies>
    """
    if not isinstance(path, (str, Path)):
        return _load_several(path, top=top, dt_fs=dt_fs, name=name, stride=stride, atoms=atoms, energy_unit=energy_unit)
    path = existing(Path(path))
    must_be_a_stride(stride)
    try:
        found = _read(path, top=top, dt_fs=dt_fs, stride=int(stride), atoms=atoms, energy_unit=energy_unit)
    except InvalidTrajectory as error:
        if path.name in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    if isinstance(found, Trajectory):
        return found if name is None else found.replace(name=name)
    return found if name is None else [one.replace(name=f"{name} walker {i}") for i, one in enumerate(found)]


def must_be_a_stride(stride: Any) -> None:
    """Raise `InvalidTrajectory` unless it is a whole number of frames."""
    if isinstance(stride, bool) or not isinstance(stride, (int, np.integer)) or stride < 1:
        raise InvalidTrajectory(f"The stride was {stride!r}; it must be a whole number of frames, 1 or more.")


def _load_several(paths: Sequence[str | Path], *, name: str | None, **options: Any) -> list[Trajectory]:
    found: list[Trajectory] = []
    for index, path in enumerate(list(paths)):
        loaded = load(path, name=None if name is None else f"{name} {index}", **options)
        found += [loaded] if isinstance(loaded, Trajectory) else loaded
    if not found:
        raise UnreadableFile("No path was given. Does the pattern match any file?")
    return found


def existing(path: Path) -> Path:
    """Return a file that is there, is not empty and has an ending we know."""
    if path.is_dir():
        raise UnreadableFile(f"{path} is a folder. Name the files in it, for example sorted(folder.glob('*.xtc')).")
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else "Check the name and the folder."
        raise UnreadableFile(f"There is no file {path}. {hint}")
    _ending(path)
    if not path.stat().st_size:
        raise UnreadableFile(f"{path} is empty (0 bytes). Copy or write it again.")
    return path


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in (*MDTRAJ, *ASE, *NPZ, *MAPPED):
        raise UnreadableFile(
            f"{path.name} ends in {ending or 'nothing'}, which names no format known here. "
            f"Known are {' '.join((*NPZ, *MAPPED, *ASE, *MDTRAJ))}; convert it, or rename it to its true ending."
        )
    return ending


def _read(
    path: Path, *, top: Any, dt_fs: float | None, stride: int, atoms: Any, energy_unit: str | None
) -> Trajectory | list[Trajectory]:
    ending = _ending(path)
    if ending in MDTRAJ:
        found = formats_mdtraj.read(path, top=top, dt_fs=dt_fs, stride=stride, atoms=atoms)
        return _same_atoms(found, top, path) if ending in formats_mdtraj.WITH_ATOMS and atoms is None else found
    if isinstance(atoms, str):
        raise InvalidTrajectory(f"{path}: selections in words need one of MDTraj's formats. Pass atom indices.")
    if ending in ASE:
        walkers = formats_ase.read(path, dt_fs=dt_fs, stride=stride)
    elif ending in MAPPED:
        walkers = formats_mapped.read(path, dt_fs=dt_fs, stride=stride)
    else:
        walkers = formats_npz.read(path, dt_fs=dt_fs, stride=stride, energy_unit=energy_unit)
    ready = [
        one if atoms is None else one.select(formats_mdtraj.chosen_atoms(atoms, one.n_atoms))
        for one in ([walkers] if isinstance(walkers, Trajectory) else walkers)
    ]
    if atoms is None:
        ready = [_same_atoms(one, top, path) for one in ready]
    return ready[0] if isinstance(walkers, Trajectory) else ready


def _same_atoms(found: Trajectory, top: Any, path: Path) -> Trajectory:
    """Hold a file that names its atoms against a topology that was given all the same."""
    if top is None:
        return found
    given = [getattr(atom.element, "atomic_number", 0) for atom in formats_mdtraj.topology(top).atoms]
    if given != found.atomic_numbers.tolist():
        raise InvalidTrajectory(
            f"{path} names {found.n_atoms} atoms, and they differ from the {len(given)} of the topology given. "
            "Leave top out: this format holds its own atoms."
        )
    return found


def save(trajectory: Trajectory, path: str | Path) -> Path:
    """Write a trajectory whole or not at all, in the format the ending names, and return the path.

    Only .npz keeps everything. ASE's formats keep positions, velocities, forces, energies, masses and box; MDTraj's
    positions and box, and those that hold no atoms need ``top`` to be read again. XTC rounds to 0.01 Å, PDB to 0.001 Å.

    Raises:
        UnreadableFile: an unknown ending.
        InvalidTrajectory: the format cannot hold this trajectory.
        DiskFull: what was there before is untouched.
    """
    path = Path(path)
    ending = _ending(path)
    modules = {MDTRAJ: formats_mdtraj, ASE: formats_ase, NPZ: formats_npz, MAPPED: formats_mapped}
    [module] = [one for endings, one in modules.items() if ending in endings]
    with replacing(path) as temporary:
        _write(module.write, trajectory, path, temporary)
    return path


def save_walkers(walkers: Sequence[Trajectory], path: str | Path) -> Path:
    """Write several runs of one molecule, of one length and spacing, into one .npz, and return the path.

    Raises:
        InvalidTrajectory: they differ in atoms, masses, length or spacing, or there is none.
        DiskFull: what was there before is untouched.
    """
    path = Path(path)
    if not walkers or path.suffix.lower() != ".npz":
        raise InvalidTrajectory(
            f"Found {len(walkers)} walkers for {path.name}; needed are one or more, and a name in .npz."
        )
    with replacing(path) as temporary:
        _write(formats_npz.write_walkers, walkers, path, temporary)
    return path


def _write(write: Any, what: Any, path: Path, temporary: Path) -> None:
    """Write, and turn what a foreign writer raises into one of our errors."""
    try:
        write(what, temporary)
    except (AsteroidError, ImportError):
        raise
    except Exception as error:  # MDTraj and ASE raise many kinds, for a full disk too
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if shutil.disk_usage(temporary.parent).free < FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        message = " ".join(str(error).split())[:200]
        raise InvalidTrajectory(
            f"{path.name}: {path.suffix} cannot hold this trajectory ({message}). Save it as .npz instead."
        ) from error


def to_nglview(trajectory: Trajectory) -> nglview.MDTrajTrajectory:
    """Return an adaptor for ``nglview.NGLWidget``; the box, which NGLView does not need, is left out."""
    return need("nglview").MDTrajTrajectory(to_mdtraj(trajectory.replace(cell=None)))


def as_trajectory(given: Any, *, dt_fs: float | None = None) -> Trajectory:
    """Return a `Trajectory` from one, from an ``mdtraj.Trajectory``, a list of ``ase.Atoms`` or an ASE trajectory.

    Raises:
        MissingSpacing: ASE's frames, or invented times, without ``dt_fs``.
        InvalidTrajectory: an object of another kind, or a ``dt_fs`` that differs from its own.
    """
    if isinstance(given, Trajectory):
        agreed_dt_fs(given.dt_fs, dt_fs, path=given.name, why="")
        return given
    package = type(given).__module__.split(".")[0]
    if package == "mdtraj" and hasattr(given, "xyz"):
        return from_mdtraj(given, dt_fs=dt_fs)
    frames = list(given) if isinstance(given, (list, tuple)) or package == "ase" else []
    if not frames or any(type(frame).__module__.split(".")[0] != "ase" for frame in frames):
        raise InvalidTrajectory(
            f"Found {type(given).__name__}, needed is a Trajectory, an mdtraj.Trajectory or a list of ase.Atoms. "
            "Read files with load(…); wrap arrays as Trajectory(positions, atomic_numbers, dt_fs)."
        )
    if dt_fs is None:
        raise MissingSpacing("ASE's frames carry no time. Pass dt_fs=… in fs, as the simulation stored them.")
    return from_ase(frames, dt_fs=dt_fs)
