"""Boxes of ethanol as large as wanted, to measure what a forecast costs: real internal motion, an invented order."""

from __future__ import annotations

import numpy as np
import torch

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.catalogue import sample
from asteroid_nb.data.windows import Molecule, Window
from asteroid_nb.shapes import Float

#: Of a molecule in the liquid at room temperature: 46.07 g/mol at 0.789 g/cm³.
VOLUME_ANG3 = 97.0


def box_of_ethanol(n_copies: int, n_frames: int, *, n_seen: int, seed: int = 0) -> tuple[Molecule, Window]:
    """Return copies of the bundled ethanol on a cubic lattice as dense as the liquid, and one window of their motion.

    Each copy is turned at random and moves as a stretch of a bundled walker does. Neighbours in the lattice know
    nothing of each other, so that nothing can be learnt of a liquid here.
    """
    walkers, draw = sample("ethanol"), np.random.default_rng(seed)
    one = walkers[0]
    side = int(np.ceil(n_copies ** (1 / 3)))
    cells = np.stack(np.unravel_index(np.arange(n_copies), (side, side, side)), axis=-1)
    turned = rotations(n_copies, draw)
    positions = np.empty((n_frames, n_copies, one.n_atoms, 3), dtype=np.float32)
    for copy, (cell, rotation) in enumerate(zip(cells, turned, strict=True)):
        walker = walkers[draw.integers(len(walkers))]
        start = draw.integers(walker.n_frames - n_frames + 1)
        path = np.asarray(walker.positions[start : start + n_frames], dtype=float)
        path = path - path[:1].mean(1, keepdims=True)
        positions[:, copy] = path @ rotation.T + cell * VOLUME_ANG3 ** (1 / 3)
    everywhere = positions.reshape(n_frames, -1, 3)
    bonds = bonds_of(one)[None] + one.n_atoms * np.arange(n_copies)[:, None, None]
    reference = everywhere[0].astype(float)
    molecule = Molecule(
        np.tile(one.atomic_numbers, n_copies),
        np.tile(one.masses, n_copies),
        bonds.reshape(-1, 2),
        reference - reference.mean(0),
    )
    path = torch.from_numpy(everywhere)[None]
    return molecule, Window.of(path[:, :n_seen], future=path[:, n_seen:], dt_fs=one.dt_fs)


def rotations(count: int, draw: np.random.Generator) -> Float[np.ndarray, "count 3 3"]:
    """Return rotations drawn evenly from SO(3), by unit quaternions."""
    q = draw.standard_normal((count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
