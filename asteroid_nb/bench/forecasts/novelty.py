"""How far structures lie from those that were learnt from: what uncertainty must beat, and how copies are avoided."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.symmetry import Symmetries
from asteroid_nb.data.windows import Molecule
from asteroid_nb.shapes import Float, Int
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2

#: Structures compared with all others at a time.
CHUNK = 256


class Known:
    """Structures that were learnt from, as inverse distances in units of how each of them spreads there.

    Args:
        molecule: whose equal atoms may be exchanged.
        positions: [frames, atoms, 3] Å.
    """

    def __init__(self, molecule: Molecule, positions: Float[np.ndarray, "frames atoms 3"]) -> None:
        self.pairs = np.triu_indices(molecule.n_atoms, 1)
        exchanges = np.unique(Symmetries.of(molecule).exchanges, axis=0)
        bare = self._inverse(np.concatenate([np.asarray(positions, dtype=float)[:, order] for order in exchanges]))
        self.scale = bare.std(axis=0).clip(1e-6)
        self.words = torch.from_numpy(bare / self.scale).float()
        self.n_atoms = molecule.n_atoms

    def described(self, positions: Float[np.ndarray, "frames atoms 3"]) -> Float[Tensor, "frames pairs"]:
        """Return structures in those units."""
        return torch.from_numpy(self._inverse(np.asarray(positions, dtype=float)) / self.scale).float()

    def distances(self, positions: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, " frames"]:
        """Return how far the nearest known structure is, root mean square over pairs."""
        return np.sqrt((self._off(positions) ** 2).mean(axis=1))

    def distances_per_atom(self, positions: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, "frames atoms"]:
        """Return the part of it that is in the pairs of each atom."""
        off = self._off(positions) ** 2
        mine = np.zeros((self.n_atoms, off.shape[1]))
        for atoms in self.pairs:
            mine[atoms, np.arange(off.shape[1])] = 1 / (self.n_atoms - 1)
        return np.sqrt(off @ mine.T)

    def _inverse(self, positions: np.ndarray) -> np.ndarray:
        first, second = self.pairs
        return 1 / np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)

    def _off(self, positions: np.ndarray) -> np.ndarray:
        asked = self.described(positions)
        nearest = torch.cat([torch.cdist(part, self.words).argmin(1) for part in asked.split(CHUNK)])
        return (asked - self.words[nearest]).numpy().astype(float)


def farthest_apart(
    described: Float[Tensor, "structures words"], known: Float[Tensor, "known words"], n: int
) -> Int[np.ndarray, " chosen"]:
    """Return structures chosen in turn, each the farthest from all known and chosen ones.

    Reference:
        Gonzalez (1985), doi:10.1016/0304-3975(85)90224-5.
    """
    nearest = torch.cat([torch.cdist(part, known).amin(1) for part in described.split(CHUNK)])
    chosen = []
    for _ in range(min(n, len(described))):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (described - described[chosen[-1]]).norm(dim=1))
    return np.array(chosen, dtype=np.int64)


def temperatures_K(history: np.ndarray, masses: np.ndarray, dt_fs: float) -> Float[np.ndarray, "windows atoms"]:
    """Return the kinetic temperature of each atom at the present, from the last two frames of [windows, history, ...].

    The mean over atoms is that of the window; three degrees of freedom are counted for every atom.
    """
    speeds = (history[:, -1] - history[:, -2]).astype(float) / dt_fs
    return EV_PER_AMU_ANG2_PER_FS2 * masses * (speeds**2).sum(-1) / (3 * BOLTZMANN_EV_PER_K)
