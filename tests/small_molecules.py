"""Molecules small enough to know by heart, moved by a seeded hand."""

import numpy as np

from asteroid_nb.data.trajectory import Trajectory

#: CCO and its hydrogens, Å; bonds in the order C–C, C–O, O–H, then C–H.
ETHANOL_ANG = np.array(
    [
        *([1.168, -0.400, 0.0], [0.0, 0.559, 0.0], [-1.190, -0.228, 0.0], [-1.947, 0.382, 0.0], [0.043, 1.208, 0.887]),
        *([0.043, 1.208, -0.887], [2.116, 0.145, 0.0], [1.129, -1.037, 0.886], [1.129, -1.037, -0.886]),
    ]
)
ETHANOL_NUMBERS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
ETHANOL_BONDS = np.array([[0, 1], [0, 6], [0, 7], [0, 8], [1, 2], [1, 4], [1, 5], [2, 3]])


def ethanol(
    n_frames: int = 5, *, seed: int = 0, box: bool = False, dt_fs: float = 0.5, full: bool = True
) -> Trajectory:
    """Return ethanol with 0.03 Å of noise; ``full`` adds made-up velocities, forces and energies."""
    rng = np.random.default_rng(seed)
    shape = (n_frames, 9, 3)
    extras = {}
    if full:
        extras = {
            "velocities": rng.normal(scale=0.01, size=shape),
            "forces": rng.normal(size=shape),
            "energies": rng.normal(loc=-100.0, size=n_frames),
        }
    if box:
        extras["cell"] = np.array([[12.0, 0.0, 0.0], [1.0, 13.0, 0.0], [-2.0, 3.0, 14.0]])
    return Trajectory(
        positions=ETHANOL_ANG + rng.normal(scale=0.03, size=shape),
        atomic_numbers=ETHANOL_NUMBERS,
        dt_fs=dt_fs,
        bonds=ETHANOL_BONDS,
        name="ethanol",
        provenance={"method": "noise", "seed": seed},
        **extras,
    )


def rotations(n: int, *, seed: int = 0) -> np.ndarray:
    """Return n random proper rotations."""
    matrix = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, 3, 3)))[0]
    matrix[:, :, 0] *= np.linalg.det(matrix)[:, None]
    return matrix
