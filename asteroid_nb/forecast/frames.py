"""Local frames: each atom sees the molecule from its own bonds, so that rotated molecules give rotated forecasts.

An atom's frame is built from its heaviest bonded neighbour (first axis) and a second atom beside it (second axis). It
turns with methyl groups and torsions, so that what is learnt in one conformation holds in the next. Mirror images stay
distinct.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.neighbours import along_bonds, ranges
from asteroid_nb.data.windows import Molecule
from asteroid_nb.shapes import Float, Int

#: Others looked at first when an atom's frame is chosen; more where they do not settle it.
CANDIDATES = 8


def frame_atoms(molecule: Molecule) -> Int[np.ndarray, "atoms 2"]:
    """Return for each atom the two others that span its frame.

    The nearest in bonds come first, the heaviest among those, and ties go to the one farther from the centre of the
    reference structure: nothing depends on the order in which the atoms are listed.
    """
    n_atoms = molecule.n_atoms
    if n_atoms < 3:
        raise ValueError(f"Local frames need 3 atoms, this molecule has {n_atoms}. Use frame='window' or frame='none'.")
    from_centre = np.linalg.norm(molecule.reference - molecule.reference.mean(0), axis=1)
    by_rank = np.lexsort((-from_centre.round(6), -molecule.masses))
    every = np.arange(n_atoms)
    first = _preferred(molecule, every[:, None], by_rank)
    return np.stack([first, _preferred(molecule, np.stack([every, first], axis=1), by_rank)], axis=1)


def _preferred(
    molecule: Molecule, ends: Int[np.ndarray, "atoms ends"], by_rank: Int[np.ndarray, " atoms"]
) -> Int[np.ndarray, " atoms"]:
    """Return for each atom another, fewest bonds from one of its ends, the first in rank among those.

    Args:
        ends: of each row the atom itself and, where it is known, what spans its first axis: others on that line come
            after all that are not.
        by_rank: all atoms, the preferred first.
    """
    n_atoms, asked, size = molecule.n_atoms, np.arange(molecule.n_atoms), CANDIDATES
    chosen = np.empty(n_atoms, dtype=int)
    rank = np.argsort(by_rank)
    while len(asked):
        atom, other, hops, depth = _candidates(molecule, ends, asked, by_rank[:size], size)
        straight = np.zeros(len(atom), dtype=bool)
        if ends.shape[1] == 2:
            straight = _is_straight(molecule.reference, atom, ends[atom, 1], other)
        order = np.lexsort((rank[other], hops, straight, atom))
        best = order[np.searchsorted(atom[order], asked)]
        chosen[asked] = other[best]
        settled = ~straight[best] & (hops[best] <= depth[asked])
        asked, size = asked[~settled] if size < n_atoms else asked[:0], 4 * size
    return chosen


def _candidates(
    molecule: Molecule, ends: np.ndarray, asked: np.ndarray, leading: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs (atom, other) with the bonds between, and up to how many bonds no other of an atom is missing.

    They are at least ``size`` along the bonds from each end, and those that lead in rank, as if bonds led nowhere.
    """
    n_atoms = molecule.n_atoms
    near, other, hops = along_bonds(molecule.bonds, n_atoms, at_least=min(size, n_atoms))
    counts = np.bincount(near, minlength=n_atoms)
    last = np.cumsum(counts)
    depth = np.where(counts < size, n_atoms, hops[last - 1])[ends].min(1)
    pairs = [
        (np.repeat(asked, len(leading)), np.tile(leading, len(asked)), np.full(len(asked) * len(leading), n_atoms))
    ]
    for end in ends[asked].T:
        row, place = (x.numpy() for x in ranges(torch.from_numpy((last - counts)[end]), torch.from_numpy(last[end])))
        pairs.append((asked[row], other[place], hops[place]))
    atom, other, hops = (np.concatenate(part) for part in zip(*pairs, strict=True))
    kept = (other[:, None] != ends[atom]).all(axis=1)
    return atom[kept], other[kept], hops[kept], depth


def _is_straight(reference: np.ndarray, atom: np.ndarray, first: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return which others lie within 20° of the first axis in the reference: they would make a frame that spins."""
    axis, arms = reference[first] - reference[atom], reference[other] - reference[atom]
    cosine = (arms * axis).sum(1) / (np.linalg.norm(arms, axis=1) * np.linalg.norm(axis, axis=1))
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
    return (frames @ vectors.mT).mT  # long rows: three times as fast on a CPU as products of many rows of three


def out_of(frames: Float[Tensor, "*batch 3 3"], components: Float[Tensor, "*batch vectors 3"]) -> Tensor:
    """Undo `into`."""
    with full_precision(frames):
        return (frames.mT @ components.to(frames.dtype).mT).mT


def full_precision(like: Tensor) -> torch.autocast:
    """Return a context in which mixed precision pauses: bfloat16 rounds a position to 0.01 Å."""
    return torch.autocast(like.device.type, enabled=False)


def random_rotations(count: int, draw: np.random.Generator) -> Float[Tensor, "count 3 3"]:
    """Return rotations drawn evenly from SO(3)."""
    from scipy.spatial.transform import Rotation

    return torch.as_tensor(Rotation.random(count, rng=draw).as_matrix()).float()
