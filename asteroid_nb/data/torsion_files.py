"""Torsions in NumPy archives: one array [frames, torsions] in rad per trajectory, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.errors import InvalidTrajectory, UnreadableFile


def load_torsions(
    path: str | Path,
    *,
    dt_fs: float,
    names: Sequence[str],
    name: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> list[Coordinates]:
    """Return one `Coordinates` per array of an .npz file, numbers in their keys counted: job2 before job10.

    Args:
        dt_fs: between frames; the file does not say.
        names: one per column, such as φ and ψ.
        name: before the key in titles; the file's name without its ending when not given.

    Raises:
        UnreadableFile: no such file, damaged, empty, or arrays of other shapes.
        InvalidTrajectory: NaN, or values beyond ±π.
    """
    path = Path(path)
    found = []
    for key, values in arrays(path, n_columns=len(names)).items():
        about = {**(provenance or {}), "array": key}
        try:
            title = f"{name or path.stem} {key}"
            found.append(
                Coordinates(values=values, dt_fs=dt_fs, names=tuple(names), periodic=True, name=title, provenance=about)
            )
        except InvalidTrajectory as error:
            raise InvalidTrajectory(f"{path}, array {key}: {error}") from error
    return found


def arrays(path: Path, *, n_columns: int) -> dict[str, np.ndarray]:
    """Return every array of an archive, numbers in their keys counted.

    Raises:
        UnreadableFile: damaged, empty, or arrays that are not [frames, ``n_columns``].
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            found = {key: stored[key] for key in sorted(stored.files, key=_counted)}
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise UnreadableFile(f"{path} is no complete .npz archive ({error}). Copy or fetch it again.") from error
    wrong = any(array.ndim != 2 or array.shape[1] != n_columns or not len(array) for array in found.values())
    if not found or wrong:
        raise UnreadableFile(
            f"{path} holds shapes {[array.shape for array in found.values()]}; needed are [frames, {n_columns}], one "
            "column per name. Copy or fetch it again, and count its columns."
        )
    return found


def _counted(key: str) -> list[tuple[int, int, str]]:
    """Return what sorts keys by their words and numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", key)]
