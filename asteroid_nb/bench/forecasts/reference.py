"""Dynamics of the method that made the data, from starts that are equilibrated one by one: a truth for many chains."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.data import engines
from asteroid_nb.data.simulate import simulate
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidSettings, need
from asteroid_nb.files import replacing
from asteroid_nb.parallel import side_by_side

#: The longest step of velocity Verlet; how long Langevin dynamics goes before, at the friction of `simulate`.
TIMESTEP_FS, EQUILIBRATION_FS = 0.5, 1000.0

#: By how much forces may differ from those of the method that is said to have made them: in eV/Å, and of their size.
OFF_EV_PER_ANG, OFF_SHARE = 0.005, 0.002

#: Frames that are looked at for that.
LOOKED_AT = 3


def reference_paths(
    folder: Path,
    windows: Windows,
    *,
    method: str,
    temperature_K: float,
    n_paths: int,
    n_frames: int,
    processes: int = 2,
) -> list[Trajectory]:
    """Return paths at constant energy, a frame of the windows apart, simulated where they are not kept.

    Each begins with a structure of the windows, spread over them, that was equilibrated for `EQUILIBRATION_FS` with a
    seed of its own. What is finished stays when this is stopped.

    Args:
        folder: that keeps a file of each path.
        windows: of the molecule, which the method made.
        method: of tblite.

    Raises:
        InvalidSettings: a method that does not exist or did not make the frames; frames without forces.
        MissingExtra: tblite is not installed.
        SimulationFailed: a molecule flew apart.
    """
    must_have_made(method, windows)
    how: dict[str, Any] = {"method": method, "temperature_K": temperature_K, "n_frames": n_frames}
    how |= {"dt_fs": windows.dt_fs, "timestep_fs": windows.dt_fs / math.ceil(windows.dt_fs / TIMESTEP_FS)}
    one, files = windows.trajectories[0], [folder / f"{number:03d}.npy" for number in range(n_paths)]
    jobs = [
        (file, _present(windows, start), one.atomic_numbers, one.masses, how | {"seed": number})
        for number, (file, start) in enumerate(zip(files, _spread(windows, n_paths), strict=True))
        if not file.is_file()
    ]
    side_by_side(_keep_path, jobs, processes=processes, label=method, unit="path")
    make = functools.partial(Trajectory, masses=one.masses, bonds=one.bonds, name=method, check_distances=False)
    return [make(np.load(file), one.atomic_numbers, windows.dt_fs) for file in files]


def must_have_made(method: str, windows: Windows) -> None:
    """Raise what `reference_paths` would, before there is anything to simulate."""
    if method not in engines.XTB_METHODS:
        raise InvalidSettings(f"The reference {method!r} is none of {', '.join(engines.XTB_METHODS)}.")
    for number, first in _spread(windows, LOOKED_AT):
        walker, frame = windows.trajectories[number], first
        if walker.forces is None:
            raise InvalidSettings(
                f"{walker.name} has no forces, so that nobody can tell whether {method} made it. Ask for no reference."
            )
        atoms = _atoms(np.asarray(walker.positions[frame], dtype=float), walker.atomic_numbers, walker.masses)
        atoms.calc = engines.factory(method, None)()
        given = np.asarray(walker.forces[frame], dtype=float)
        off = np.abs(atoms.get_forces() - given)
        if not (off <= OFF_EV_PER_ANG + OFF_SHARE * np.abs(given)).all():
            raise InvalidSettings(
                f"Forces of {walker.name}, frame {frame}, are up to {off.max():.3g} eV/Å off those of {method}, which "
                "therefore did not make it. Ask for no reference, or for the method that did."
            )


def _spread(windows: Windows, n: int) -> np.ndarray:
    """Return so many [trajectory, first frame], spread over windows, the same again where there are fewer."""
    return windows.starts[np.linspace(0, len(windows) - 1, n).astype(int)]


def _present(windows: Windows, start: np.ndarray) -> np.ndarray:
    number, first = start
    return np.asarray(windows.trajectories[number].positions[first], dtype=float)


def _keep_path(file: Path, positions: np.ndarray, numbers: np.ndarray, masses: np.ndarray, how: dict[str, Any]) -> None:
    atoms = _atoms(positions, numbers, masses)
    (path,) = simulate(atoms, **how, equilibration_fs=EQUILIBRATION_FS, relax=False, processes=0, progress=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, open(temporary, "wb") as opened:
        np.save(opened, path.positions)


def _atoms(positions: np.ndarray, numbers: np.ndarray, masses: np.ndarray) -> Any:
    return need("ase", extra="md").Atoms(numbers, positions, masses=masses)
