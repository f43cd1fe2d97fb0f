"""Local frames: each atom sees the molecule from its own bonds, so that rotated molecules give rotated forecasts.

An atom's frame is built from its heaviest bonded neighbour (first axis) and a second atom beside it (second axis). It
turns with methyl groups and torsions, so that what is learnt in one conformation holds in the next. Mirror images stay
distinct.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.bonds import bond_hops
from asteroid_nb.data.windows import Molecule
from asteroid_nb.shapes import Float, Int


def frame_atoms(molecule: Molecule) -> Int[np.ndarray, "atoms 2"]:
    """Return for each atom the two others that span its frame.

    The nearest in bonds come first, the heaviest among those, and ties go to the one farther from the centre of the
    reference structure: nothing depends on the order in which the atoms are listed.
    """
    n_atoms = molecule.n_atoms
    if n_atoms < 3:
        raise ValueError(f"Local frames need 3 atoms, this molecule has {n_atoms}. Use frame='window' or frame='none'.")
    hops = bond_hops(molecule.bonds, n_atoms, most=n_atoms)
    from_centre = np.linalg.norm(molecule.reference - molecule.reference.mean(0), axis=1)
    rank = np.empty(n_atoms, dtype=int)
    rank[np.lexsort((-from_centre.round(6), -molecule.masses))] = np.arange(n_atoms)
    chosen = np.empty((n_atoms, 2), dtype=int)
    for atom in range(n_atoms):
        others = np.flatnonzero(np.arange(n_atoms) != atom)
        first = int(others[np.lexsort((rank[others], hops[atom, others]))[0]])
        rest = others[others != first]
        nearness = np.minimum(hops[atom, rest], hops[first, rest])
        straight = _is_straight(molecule.reference, atom, first, rest)
        chosen[atom] = first, rest[np.lexsort((rank[rest], nearness, straight))[0]]
    return chosen


def _is_straight(reference: np.ndarray, atom: int, first: int, rest: np.ndarray) -> np.ndarray:
    """Return which atoms lie within 20° of the first axis in the reference: they would make a frame that spins."""
    axis, arms = reference[first] - reference[atom], reference[rest] - reference[atom]
    cosine = arms @ axis / (np.linalg.norm(arms, axis=1) * np.linalg.norm(axis))
    return np.abs(cosine) > np.cos(np.radians(20))


def local_frames(
    positions: Float[Tensor, "*batch atoms 3"], spanning: Int[Tensor, "atoms 2"]
) -> Float[Tensor, "*batch atoms 3 3"]:
    """Return the rotation into each atom's frame; its rows are the axes (Gram–Schmidt, right-handed)."""
    first = positions[..., spanning[:, 0], :] - positions
    second = positions[..., spanning[:, 1], :] - positions
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (second * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-2)


def into(frames: Float[Tensor, "*batch 3 3"], vectors: Float[Tensor, "*batch vectors 3"]) -> Tensor:
    """Return the components of each vector along the axes of its frame."""
    return vectors @ frames.transpose(-1, -2)


def out_of(frames: Float[Tensor, "*batch 3 3"], components: Float[Tensor, "*batch vectors 3"]) -> Tensor:
    """Undo `into`."""
    with full_precision(frames):
        return components.to(frames.dtype) @ frames


def full_precision(like: Tensor) -> torch.autocast:
    """Return a context in which mixed precision pauses: bfloat16 rounds a position to 0.01 Å."""
    return torch.autocast(like.device.type, enabled=False)


def random_rotations(count: int, draw: np.random.Generator) -> Float[Tensor, "count 3 3"]:
    """Return rotations drawn evenly from SO(3)."""
    from scipy.spatial.transform import Rotation

    return torch.as_tensor(Rotation.random(count, rng=draw).as_matrix()).float()
