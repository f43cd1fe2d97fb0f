"""The simulation run on from the frames that chains start from: a truth as long, and seen as often, as they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb import units
from asteroid_nb.data import engines
from asteroid_nb.data.simulate import simulate
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import InvalidSettings, need
from asteroid_nb.files import replacing
from asteroid_nb.parallel import side_by_side

#: The longest step of velocity Verlet.
TIMESTEP_FS = 0.5

#: By how much forces of frames may differ from a method's, in eV/Å, that is said to have made them.
SAME_FORCE_EV_PER_ANG = 0.005

#: Frames on either side of the present that its velocity is told by.
AROUND = 3


def run_on(folder: Path, windows: Windows, *, method: str, n_starts: int, n_frames: int, processes: int = 2) -> Windows:
    """Return windows over dynamics at constant energy from the present of some windows, run where that is not kept.

    Velocities at the present come from the frames around it, so that every path goes on as its walker did.
    What is returned are windows of two frames, which cover all that was run, a trajectory for each path.

    Args:
        folder: that keeps a file of each path.
        windows: that chains start from.
        method: of tblite, which made these frames.
        n_frames: of each path beside the present, a frame of the windows apart.

    Raises:
        InvalidSettings: frames without forces, or with others than the method's; a horizon of fewer than three frames.
        MissingExtra: tblite is not installed.
        SimulationFailed: a molecule flew apart.
    """
    must_have_made(method, windows)
    presents = [_present(windows, start) for start in windows.subset(most=n_starts).starts]
    paths = [folder / f"{number:03d}.npy" for number in range(len(presents))]
    how: dict[str, Any] = {"method": method, "n_frames": n_frames, "dt_fs": windows.dt_fs}
    how["timestep_fs"] = timestep_fs(windows.trajectories[0].dt_fs)
    jobs = [
        (path, *_at_present(walker, frame), walker.atomic_numbers, walker.masses, how)
        for path, (walker, frame) in zip(paths, presents, strict=True)
        if not path.is_file()
    ]
    side_by_side(_keep_path, jobs, processes=processes, label=method, unit="path")
    return _over([np.load(path) for path in paths], windows)


def must_have_made(method: str, windows: Windows) -> None:
    """Raise what `run_on` would, before there is anything to run."""
    shape = windows.shape
    if min(shape.history - 1, shape.horizon) * shape.stride_frames < AROUND:
        raise InvalidSettings(f"A velocity needs {AROUND} frames on either side of the present. Ask for more of both.")
    walker, frame = _present(windows, windows.starts[0])
    if walker.forces is None:
        raise InvalidSettings(f"{walker.name} has no forces, so that nobody can tell whether {method} made it.")
    atoms = _atoms(np.asarray(walker.positions[frame], dtype=float), walker.atomic_numbers, walker.masses)
    atoms.calc = engines.factory(method, None)()
    off = float(np.abs(atoms.get_forces() - walker.forces[frame]).max())
    if not off <= SAME_FORCE_EV_PER_ANG:
        raise InvalidSettings(
            f"Forces of {walker.name} are up to {off:.3g} eV/Å off those of {method}, which therefore did not make it. "
            "Ask for no reference, or for the method that did."
        )


def _present(windows: Windows, start: np.ndarray) -> tuple[Trajectory, int]:
    """Return the trajectory of a window and which of its frames is the last that is seen."""
    number, first = start
    return windows.trajectories[number], first + (windows.shape.history - 1) * windows.shape.stride_frames


def _at_present(walker: Trajectory, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and velocities of a frame, in Å and Å/fs."""
    around = np.asarray(walker.positions[frame - AROUND : frame + AROUND + 1], dtype=float)
    return around[AROUND], np.tensordot(velocity_weights(walker.dt_fs), around, axes=1)


def velocity_weights(dt_fs: float) -> np.ndarray:
    """Return what frames around one weigh in its velocity, as velocity Verlet of `timestep_fs` has it, in 1/fs.

    That is the difference of the positions a step after and a step before over two steps, and less than the slope, by
    2 % for the fastest vibrations. Between frames positions are those of the polynomial through all of them.
    """
    frames, step = np.arange(-AROUND, AROUND + 1.0), timestep_fs(dt_fs) / dt_fs
    powers = np.arange(len(frames))
    after_less_before = step**powers - (-step) ** powers
    return np.linalg.solve(frames ** powers[:, None], after_less_before) / (2 * step * dt_fs)


def timestep_fs(dt_fs: float) -> float:
    """Return the longest step of at most `TIMESTEP_FS` that goes into a spacing."""
    return dt_fs / math.ceil(dt_fs / TIMESTEP_FS)


def _keep_path(
    path: Path, positions: np.ndarray, velocities: np.ndarray, numbers: np.ndarray, masses: np.ndarray,
    how: dict[str, Any],
) -> None:  # fmt: skip
    """Write the frames [1 + frames, atoms, 3] of one path, the first that which it starts from."""
    atoms = _atoms(positions, numbers, masses)
    atoms.set_velocities(velocities * units.FS_PER_ASE_TIME)
    ahead = simulate(atoms, **how, equilibration_fs=0.0, relax=False, processes=0, progress=False)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.concatenate([positions[None].astype(np.float32), ahead.positions]))


def _atoms(positions: np.ndarray, numbers: np.ndarray, masses: np.ndarray) -> Any:
    return need("ase", extra="md").Atoms(numbers, positions, masses=masses)


def _over(paths: list[np.ndarray], like: Windows) -> Windows:
    one = like.trajectories[0]
    walkers = [
        Trajectory(path, one.atomic_numbers, like.dt_fs, masses=one.masses, bonds=one.bonds, check_distances=False)
        for path in paths
    ]
    return Windows(walkers, WindowShape(history=1, horizon=1))
