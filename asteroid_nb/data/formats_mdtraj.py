"""MDTraj's formats and objects. Its nm and ps end here, and so do the times it invents."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb import units
from asteroid_nb.data.bonds import bonds_of, mended_bonds
from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.data.formats_dcd import check_length, quiet
from asteroid_nb.data.spacing import agreed_dt_fs, even_dt_fs
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import AsteroidError, InvalidTrajectory, MissingExtra, UnreadableFile, need

if TYPE_CHECKING:
    import mdtraj

#: Endings of formats that store times, and of those for which MDTraj invents 0, 1, 2 … ps.
TIMED = (".xtc", ".trr", ".nc", ".ncdf", ".netcdf", ".h5", ".hdf5")
UNTIMED = (".dcd", ".pdb", ".gro", ".cif", ".lammpstrj", ".mdcrd", ".crd")

#: Endings of formats that store the atoms too.
WITH_ATOMS = (".h5", ".hdf5", ".pdb", ".gro", ".cif")

#: A box axis may point this far, in Å, from where MDTraj puts it.
BOX_TOLERANCE_ANG = 1e-3


def read(
    path: Path, *, top: Any, dt_fs: float | None, stride: int, atoms: Sequence[int] | np.ndarray | str | None
) -> Trajectory:
    """Return the frames of a file; ``dt_fs`` is between those of the file, ``atoms`` indices or an MDTraj selection."""
    ending = path.suffix.lower()
    still, known = _opening(path, top)
    with _mdtraj_errors(path), still():
        loaded = need("mdtraj").load(str(path), stride=stride, **known)
    if not loaded.n_frames:
        raise UnreadableFile(f"{path} holds no frame. Was it written to the end?")
    in_file = even_dt_fs(loaded.time * units.FS_PER_PS, path=path) if ending in TIMED else None
    dt_fs = _agreed(in_file, dt_fs, stride, path)
    if atoms is not None:
        loaded = loaded.atom_slice(_indices(loaded.topology, atoms))
    return from_mdtraj(loaded, dt_fs=dt_fs, name=path.stem, provenance={"file": path.name})


def pieces(
    path: Path, *, top: Any, dt_fs: float | None, stride: int, atoms: Any, n_values: int
) -> Iterator[Trajectory]:
    """Yield the frames of a file in parts of about ``n_values`` coordinates, in order; see `read`."""
    still, known = _opening(path, top)
    n_frames = max(1, n_values // (3 * topology(known.get("top", path)).n_atoms))
    with _mdtraj_errors(path), still():
        iterator = iter(need("mdtraj").iterload(str(path), chunk=n_frames, stride=stride, **known))
    times: list[np.ndarray] = []
    first, chosen = None, None
    while True:
        with _mdtraj_errors(path), still():
            loaded = next(iterator, None)
        if loaded is None or not loaded.n_frames:
            break
        times.append(loaded.time * units.FS_PER_PS)
        if first is None and atoms is not None:
            chosen = _indices(loaded.topology, atoms)
        if chosen is not None:
            loaded = loaded.atom_slice(chosen)
        if first is None:
            in_file = even_dt_fs(times[0], path=path) if path.suffix.lower() in TIMED else None
            spacing_fs = _agreed(in_file, dt_fs, stride, path)
            first = from_mdtraj(loaded, dt_fs=spacing_fs, name=path.stem, provenance={"file": path.name})
            yield first
        else:
            yield first.replace(**_coordinates(loaded))
    if path.suffix.lower() in TIMED and first is not None:
        agreed_dt_fs(even_dt_fs(np.concatenate(times), path=path), first.dt_fs, path=path, why="")


def _opening(path: Path, top: Any) -> tuple[Any, dict[str, Any]]:
    """Return what keeps the reader quiet, and the atoms it must be told; a DCD cut short is refused."""
    known = {} if path.suffix.lower() in WITH_ATOMS else {"top": _topology_for(path, top)}
    if path.suffix.lower() != ".dcd":
        return nullcontext, known
    check_length(path, lambda: _length(path))
    return quiet, known


def _length(path: Path) -> int:
    with _mdtraj_errors(path), quiet(), need("mdtraj").open(str(path)) as stored:
        return len(stored)


def _agreed(in_file: float | None, dt_fs: float | None, stride: int, path: Path) -> float:
    ending = path.suffix.lower()
    why = f"{ending} carries no trustworthy time, and MDTraj invents 0, 1, 2 … ps"
    why = "it holds a single time" if ending in TIMED else why
    return agreed_dt_fs(in_file, None if dt_fs is None else dt_fs * stride, path=path, why=why)


def _topology_for(path: Path, top: Any) -> mdtraj.Topology:
    if top is None:
        raise UnreadableFile(
            f"{path} holds no atoms, as every {path.suffix} file, and no topology was given. "
            "Pass top=…, a PDB file or a Trajectory."
        )
    return topology(top)


def topology(top: Any) -> mdtraj.Topology:
    """Return the atoms of a file, a `Trajectory`, or an MDTraj object."""
    md = need("mdtraj")
    if isinstance(top, (str, Path)):
        path = Path(top)
        if not path.is_file():
            raise UnreadableFile(f"There is no topology file {path}. Check the name and the folder.")
        with _mdtraj_errors(path):
            return md.load_topology(str(path))
    if isinstance(top, Trajectory):
        return _new_topology(top)
    found = getattr(top, "topology", top)
    if not isinstance(found, md.Topology):
        raise InvalidTrajectory(
            f"A topology was given as {type(top).__name__}; pass a file, a Trajectory or an MDTraj object."
        )
    return found


@contextmanager
def _mdtraj_errors(path: Path) -> Iterator[None]:
    """Turn whatever MDTraj raises into one of our errors; keep it quiet about a package it can do without."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*netCDF4.*")
            yield
    except AsteroidError:
        raise
    except ImportError as error:
        package = re.search(r"python module (\w+)", str(error))
        name = {"PyTables": "tables"}.get(package[1], package[1]) if package else (error.name or "a further package")
        raise MissingExtra(
            f"{path.suffix} files need {name}, which is not installed. Run: pip install {name}"
        ) from error
    except Exception as error:
        if "same atoms" in str(error) or "xyz must be shape" in str(error):
            raise InvalidTrajectory(
                f"{path} does not hold the same atoms as the topology given for it. Use the topology it was "
                "written with, whole: to keep some atoms of both pass atoms=…."
            ) from error
        message = " ".join(str(error).split())[:200]
        raise UnreadableFile(
            f"{path} cannot be read as {path.suffix} ({message}). Is it complete, and of that format?"
        ) from error


def chosen_atoms(atoms: Sequence[int] | np.ndarray, n_atoms: int) -> np.ndarray:
    """Return atom indices, from a mask too, or say which do not exist."""
    given = np.asarray(atoms)
    indices = np.flatnonzero(given) if given.dtype == bool and given.shape == (n_atoms,) else given
    whole = indices.ndim == 1 and np.issubdtype(indices.dtype, np.integer) and len(indices) > 0
    if not whole or indices.min() < 0 or indices.max() >= n_atoms or len(np.unique(indices)) < len(indices):
        raise InvalidTrajectory(f"atoms={given.tolist()!r:.80} must be different indices from 0 to {n_atoms - 1}.")
    return indices


def _indices(topology: mdtraj.Topology, atoms: Sequence[int] | np.ndarray | str) -> np.ndarray:
    if not isinstance(atoms, str):
        return chosen_atoms(atoms, topology.n_atoms)
    try:
        chosen = topology.select(atoms)
    except Exception as error:  # pyparsing's own
        raise InvalidTrajectory(f"{atoms!r} is no MDTraj selection ({error}). An example: 'element != H'.") from error
    if not len(chosen):
        raise InvalidTrajectory(f"The selection {atoms!r} leaves none of {topology.n_atoms} atoms. Choose others.")
    return chosen


def from_mdtraj(
    loaded: mdtraj.Trajectory,
    *,
    dt_fs: float | None = None,
    name: str = "trajectory",
    provenance: dict[str, Any] | None = None,
) -> Trajectory:
    """Return the trajectory of an ``mdtraj.Trajectory``; masses are the standard weights.

    Raises:
        MissingSpacing: no ``dt_fs``, and its times are the 0, 1, 2 … ps that MDTraj invents, or state none.
        InvalidTrajectory: virtual sites, or uneven times.
    """
    topology: Any = loaded.topology
    if dt_fs is None:
        times_ps = np.asarray(loaded.time, dtype=float)
        invented = np.array_equal(times_ps, np.arange(loaded.n_frames))
        in_file = None if invented else even_dt_fs(times_ps * units.FS_PER_PS, path=name)
        dt_fs = agreed_dt_fs(in_file, None, path=name, why="its times are 0, 1, 2 … ps, which MDTraj also invents")
    numbers = _atomic_numbers(topology)
    bare = Trajectory(
        **_coordinates(loaded), atomic_numbers=numbers, dt_fs=dt_fs, name=name, provenance=provenance or {}
    )
    return bare.replace(bonds=_bonds(topology, bare))


def _coordinates(loaded: mdtraj.Trajectory) -> dict[str, Any]:
    """Return positions and, where there is one, the box, in Å."""
    cell = None if loaded.unitcell_vectors is None else loaded.unitcell_vectors * units.ANG_PER_NM
    return {"positions": np.asarray(loaded.xyz) * np.float32(units.ANG_PER_NM), "cell": cell}


def _atomic_numbers(topology: mdtraj.Topology) -> np.ndarray:
    numbers = [atom.element.atomic_number if atom.element is not None else 0 for atom in topology.atoms]
    unknown = [str(atom) for atom, number in zip(topology.atoms, numbers, strict=True) if number < 1]
    if unknown:
        raise InvalidTrajectory(
            f"{len(unknown)} atoms are of an unknown element or virtual sites: {', '.join(unknown[:5])}. "
            "Fill the element column of the PDB, or leave them out: atoms=… with the indices of all others."
        )
    return np.array(numbers)


def _bonds(topology: mdtraj.Topology, trajectory: Trajectory) -> np.ndarray | None:
    """Return the topology's bonds, mended where residue templates know an atom by another name, or by none."""
    named = np.array([(a.index, b.index) for a, b in topology.bonds], dtype=int).reshape(-1, 2)
    return mended_bonds(named, trajectory) if len(named) else None


def to_mdtraj(trajectory: Trajectory) -> mdtraj.Trajectory:
    """Return an ``mdtraj.Trajectory`` in nm and ps, all atoms in one residue.

    Raises:
        InvalidTrajectory: the box is turned; MDTraj keeps its lengths and angles only.
    """
    md = need("mdtraj")
    times_ps = trajectory.times_fs / units.FS_PER_PS
    moved = md.Trajectory(trajectory.positions / units.ANG_PER_NM, _new_topology(trajectory), time=times_ps)
    if trajectory.cell is not None:
        cell = np.asarray(trajectory.cell, dtype=float)
        upper = np.abs(cell[:, (0, 0, 1), (1, 2, 2)]).max()
        if upper > BOX_TOLERANCE_ANG:
            raise InvalidTrajectory(
                f"{trajectory.name!r}: its box is turned (a leaves the x axis or b the xy plane by {upper:.3g} Å); "
                "MDTraj and its formats keep only lengths and angles. Save it as .npz or .extxyz, or leave the box "
                "out: replace(cell=None)."
            )
        moved.unitcell_vectors = (cell / units.ANG_PER_NM).astype(np.float32)
    return moved


def _new_topology(trajectory: Trajectory) -> mdtraj.Topology:
    md = need("mdtraj")
    made = md.Topology()
    residue = made.add_residue("MOL", made.add_chain())
    atoms = [
        made.add_atom(label, md.element.get_by_symbol(SYMBOLS[number]), residue)
        for label, number in zip(trajectory.labels, trajectory.atomic_numbers, strict=True)
    ]
    for first, second in bonds_of(trajectory).tolist():
        made.add_bond(atoms[first], atoms[second])
    return made


def write(trajectory: Trajectory, path: Path) -> None:
    """Write all frames, as precisely as the format can."""
    moved = to_mdtraj(trajectory)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*netCDF4.*")
        moved.save(str(path), force_overwrite=True)
