"""Ethanol that shakes a little: small enough for every test, and the same every time."""

from __future__ import annotations

import numpy as np
from ase.build import molecule

from asteroid_nb.data.trajectory import Trajectory


def vibrating_ethanol(n_frames: int = 48, *, seed: int = 0, amplitude_ang: float = 0.05, **fields) -> Trajectory:
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3CH2OH")
    frequency, phase = rng.uniform(0.1, 0.6, (1, 9, 3)), rng.uniform(0, 6, (1, 9, 3))
    shake = amplitude_ang * np.sin(frequency * np.arange(n_frames)[:, None, None] + phase)
    return Trajectory(atoms.positions + shake, atoms.numbers, **{"dt_fs": 0.5, "name": "ethanol", **fields})
