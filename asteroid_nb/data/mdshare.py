"""The alanine dipeptide files of mdshare: bare arrays, one per run, in nm, ps and rad."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb import units
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import UnreadableFile

#: Heavy atoms of ACE-ALA-NME in PDB order: CH3 C O, N CA CB C O, N C.
ALA2_HEAVY = (6, 6, 8, 7, 6, 6, 6, 8, 7, 6)

DT_FS = units.FS_PER_PS


def positions(path: Path, *, name: str, provenance: Mapping[str, Any]) -> list[Trajectory]:
    """Return one `Trajectory` per array [frames, 3 × 10] in nm.

    Raises:
        UnreadableFile: other shapes, or a damaged file.
    """
    numbers = np.array(ALA2_HEAVY)
    runs = _arrays(path, n_columns=3 * len(numbers))
    return [
        Trajectory(
            positions=run.reshape(len(run), -1, 3) * np.float32(units.ANG_PER_NM),
            atomic_numbers=numbers,
            dt_fs=DT_FS,
            name=f"{name} run {index}",
            provenance={**provenance, "run": index},
        )
        for index, run in enumerate(runs)
    ]


def torsions(path: Path) -> list[np.ndarray]:
    """Return φ and ψ, one [frames, 2] rad per run.

    Raises:
        UnreadableFile: other shapes, values beyond ±π, or a damaged file.
    """
    runs = _arrays(path, n_columns=2)
    largest = max(float(np.abs(run).max()) for run in runs)
    if not largest < np.pi + 1e-3:
        raise UnreadableFile(f"{path} holds torsions up to {largest:.4g}; needed are rad within ±π. Fetch it again.")
    return runs


def _arrays(path: Path, *, n_columns: int) -> list[np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            runs = [stored[key] for key in sorted(stored.files)]
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise UnreadableFile(f"{path} is no complete .npz archive ({error}). Delete it and fetch it again.") from error
    if not runs or any(run.ndim != 2 or run.shape[1] != n_columns or not len(run) for run in runs):
        raise UnreadableFile(
            f"{path} holds shapes {[run.shape for run in runs]}; needed are [frames, {n_columns}]. Fetch it again."
        )
    return runs
