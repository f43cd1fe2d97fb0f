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
            together. Of an archive (.npz) the whole is read all the same.
        path: ends in .safetensors; written whole or not at all. Frames are kept in single precision.
        top, dt_fs, stride, atoms: of the file, see `load`. Choose atoms here: selected later they are a copy in memory.

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
    if isinstance(source, Trajectory):
        return formats_mapped.pieces(source)
    if not isinstance(source, (str, Path)):
        return source
    file = readers.existing(Path(source))
    ending = file.suffix.lower()
    if ending in readers.MDTRAJ:
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


def _counted(parts: Iterable[Trajectory], bar: tqdm) -> Iterator[Trajectory]:
    for part in parts:
        yield part
        bar.update(part.n_frames)
