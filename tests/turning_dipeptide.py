"""Alanine dipeptide whose φ and ψ hop between three basins, every structure in step with its torsions."""

from __future__ import annotations

import functools

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.dipeptide import PHI, PSI, alanine_dipeptide
from asteroid_nb.data.geometry import torsions
from asteroid_nb.data.trajectory import StateTrajectory, Trajectory

LABELS = ("C5", "αR", "αL")
BASINS = np.radians([(-150.0, 155.0), (-75.0, -20.0), (55.0, 45.0)])
STAY = np.array([[0.98, 0.019, 0.001], [0.02, 0.979, 0.001], [0.005, 0.005, 0.99]])
DT_FS = 1000.0


@functools.cache
def _start() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    topology, positions = alanine_dipeptide()
    numbers = np.array([atom.element.atomic_number for atom in topology.atoms()])
    bonds = np.array([(first.index, second.index) for first, second in topology.bonds()])
    return np.asarray(positions), numbers, bonds


def _rotated(positions: np.ndarray, axis: tuple[int, int], moved: slice, angle: float) -> np.ndarray:
    """Turn the atoms beyond a bond about it."""
    origin, along = positions[axis[0]], positions[axis[1]] - positions[axis[0]]
    x, y, z = along / np.linalg.norm(along)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    turned = positions.copy()
    turned[moved] = (positions[moved] - origin) @ matrix.T + origin
    return turned


def structure(phi: float, psi: float) -> np.ndarray:
    """Return [22, 3] Å with these torsions."""
    positions = _start()[0]
    now_phi, now_psi = torsions(positions, np.array([PHI, PSI]))
    positions = _rotated(positions, (PHI[1], PHI[2]), slice(9, None), phi - now_phi)
    return _rotated(positions, (PSI[1], PSI[2]), slice(15, None), psi - now_psi)


def hopping(n_frames: int, seed: int, *, stay: np.ndarray = STAY, name: str = "MD") -> StateTrajectory:
    random = np.random.default_rng(seed)
    ladder, states = np.cumsum(stay, axis=1), np.zeros(n_frames, dtype=int)
    for frame, draw in enumerate(random.random(n_frames - 1), start=1):
        states[frame] = np.searchsorted(ladder[states[frame - 1]], draw)
    return StateTrajectory(np.minimum(states, 2), 3, DT_FS, labels=LABELS, name=name)


def coordinates_of(path: StateTrajectory, seed: int, *, structure_every: int = 20) -> Coordinates:
    """Return φ and ψ of each frame's basin with some spread, and structures to match."""
    random = np.random.default_rng(seed)
    angles = BASINS[path.states] + random.normal(scale=0.2, size=(path.n_frames, 2))
    angles = (angles + np.pi) % (2 * np.pi) - np.pi
    _, numbers, bonds = _start()
    positions = np.stack([structure(*pair) for pair in angles[::structure_every]])
    turns = Trajectory(positions, numbers, path.dt_fs * structure_every, bonds=bonds, check_distances=False)
    return Coordinates(
        angles, path.dt_fs, ("φ", "ψ"), periodic=True, structures=turns, structure_every=structure_every,
    )  # fmt: skip


@functools.cache
def simulated(n_frames: int = 3000, n_walkers: int = 3) -> tuple[list[StateTrajectory], list[Coordinates]]:
    paths = [hopping(n_frames, seed) for seed in range(n_walkers)]
    return paths, [coordinates_of(path, seed) for seed, path in enumerate(paths)]
