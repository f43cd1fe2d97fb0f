"""From files and streams larger than memory to one file that is mapped into it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from asteroid_nb.data import formats_ase, formats_mapped, formats_mdtraj, readers
from asteroid_nb.data.formats_mapped import ENDING, PIECE_BYTES
from asteroid_nb.data.spacing import agreed_dt_fs
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, UnreadableFile
from asteroid_nb.files import replacing

#: Coordinates handled at a time.
PIECE_VALUES = PIECE_BYTES // 4


def convert(
    source: str | Path | Trajectory | Iterable[Trajectory],
    path: str | Path,
    *,
    top: Any = None,
    dt_fs: float | None = None,
    stride: int = 1,
    atoms: Sequence[int] | np.ndarray | str | None = None,
) -> Path:
    """Write a trajectory, a piece at a time, into a file that `load` maps instead of reading it, and return its path.

    Args:
        source: a file that `load` reads; a trajectory; or pieces of one, in order, which need never be in memory
            together. Archives (.npz), PDB and CIF files are read whole all the same.
        path: ends in .safetensors; written whole or not at all. Frames are kept in single precision.
        top, dt_fs: of a file, see `load`.
        stride, atoms: of a file or a trajectory, see `load`. Choose atoms here: later they are a copy in memory.

    Raises:
        UnreadableFile: another ending, or what `load` raises of the source.
        InvalidTrajectory: NaN, uneven times, pieces of different atoms, or no frame.
        DiskFull: what was there before is untouched.
    """
    path = Path(path)
    if path.suffix.lower() != ENDING:
        raise UnreadableFile(f"{path.name} must end in {ENDING}: only that is mapped. For other formats use anb.save.")
    parts = _parts(source, top=top, dt_fs=dt_fs, stride=stride, atoms=atoms)
    with replacing(path) as temporary, tqdm(desc=path.name, unit="frames", unit_scale=True) as bar:
        formats_mapped.write_pieces(_counted(parts, bar), temporary)
    return path


def asked(options: argparse.Namespace) -> None:
    """Do what ``asteroid-nb convert`` was asked for."""
    keep = {"top": options.top, "dt_fs": options.dt_fs, "stride": options.stride, "atoms": options.atoms}
    print(readers.load(convert(options.source, options.out, **keep)))


def _parts(source: Any, *, atoms: Any, **options: Any) -> Iterable[Trajectory]:
    readers.must_be_a_stride(options["stride"])
    if isinstance(source, Trajectory):
        return _of_trajectory(source, atoms=atoms, **options)
    if not isinstance(source, (str, Path)):
        if atoms is not None or options != {"top": None, "dt_fs": None, "stride": 1}:
            raise InvalidTrajectory("Pieces are written as they are: top, dt_fs, stride and atoms are for files.")
        return source
    file = readers.existing(Path(source))
    ending = file.suffix.lower()
    if ending in readers.MDTRAJ and ending != ".cif":  # which MDTraj reads at once only
        return formats_mdtraj.pieces(file, **options, atoms=atoms, n_values=PIECE_VALUES)
    if ending in readers.ASE and options["top"] is None and not isinstance(atoms, str):
        del options["top"]
        parts = formats_ase.pieces(file, **options, n_values=PIECE_VALUES)
        chosen = lambda one: one.select(formats_mdtraj.chosen_atoms(atoms, one.n_atoms))  # noqa: E731
        return parts if atoms is None else map(chosen, parts)
    found = readers.load(file, atoms=atoms, **options)
    if not isinstance(found, Trajectory):
        raise InvalidTrajectory(
            f"{file} holds {len(found)} walkers; a mapped file holds one. Convert each: anb.convert(walker, …)."
        )
    return formats_mapped.pieces(found)


def _of_trajectory(
    source: Trajectory, *, top: Any, dt_fs: float | None, stride: int, atoms: Any
) -> Iterable[Trajectory]:
    if top is not None or isinstance(atoms, str):
        raise InvalidTrajectory("A trajectory holds its atoms: leave top out, and choose atoms by their indices.")
    agreed_dt_fs(source.dt_fs, dt_fs, path=source.name, why="")
    parts = formats_mapped.pieces(source[::stride])
    if atoms is None:
        return parts
    chosen = formats_mdtraj.chosen_atoms(atoms, source.n_atoms)
    return (one.select(chosen) for one in parts)


def _counted(parts: Iterable[Trajectory], bar: tqdm) -> Iterator[Trajectory]:
    for part in parts:
        yield part
        bar.update(part.n_frames)
