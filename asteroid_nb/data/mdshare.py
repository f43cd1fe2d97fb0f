"""The alanine dipeptide files of mdshare: bare arrays, one per run, in nm, ps and rad."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb import units
from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.torsion_files import arrays, load_torsions
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, UnreadableFile

#: Heavy atoms of ACE-ALA-NME in PDB order: CH3 C O, N CA CB C O, N C.
ALA2_HEAVY = (6, 6, 8, 7, 6, 6, 6, 8, 7, 6)

DT_FS = units.FS_PER_PS


def positions(path: Path, *, name: str, provenance: Mapping[str, Any]) -> list[Trajectory]:
    """Return one `Trajectory` per array [frames, 3 × 10] in nm.

    Raises:
        UnreadableFile: other shapes, or a damaged file.
    """
    numbers = np.array(ALA2_HEAVY)
    runs = arrays(path, n_columns=3 * len(numbers))
    return [
        Trajectory(
            positions=run.reshape(len(run), -1, 3) * np.float32(units.ANG_PER_NM),
            atomic_numbers=numbers,
            dt_fs=DT_FS,
            name=f"{name} run {index}",
            provenance={**provenance, "run": index},
        )
        for index, run in enumerate(runs.values())
    ]


def torsions(path: Path, *, name: str, provenance: Mapping[str, Any]) -> list[Coordinates]:
    """Return φ and ψ of each run.

    Raises:
        UnreadableFile: other shapes, values beyond ±π or NaN, or a damaged file.
    """
    try:
        return load_torsions(path, dt_fs=DT_FS, names=("φ", "ψ"), name=name, provenance=provenance)
    except InvalidTrajectory as error:
        raise UnreadableFile(f"{error} Fetch the file again.") from error
