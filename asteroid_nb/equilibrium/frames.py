"""Frames with forces and energies to learn a force field from, of one molecule or several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.matching import Batch
from asteroid_nb.equilibrium.spread import chosen_frames
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.shapes import Float, Int

#: After the decimal point, of Å, eV/Å and eV: in what comes later machines may differ.
AGREED_DIGITS = 4


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames in one block; a smaller molecule is filled up with atomic number 0.

    Args:
        positions: [frames, atoms, 3] Å.
        atomic_numbers: [frames, atoms].
        forces: [frames, atoms, 3] eV/Å.
        energies: [frames] eV.
    """

    positions: Float[np.ndarray, "frames atoms 3"]
    atomic_numbers: Int[np.ndarray, "frames atoms"]
    forces: Float[np.ndarray, "frames atoms 3"]
    energies: Float[np.ndarray, " frames"]

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], n_frames: int | None = None, *, choose: str = "evenly") -> Frames:
        """Return all frames, or ``n_frames`` of them: see `chosen_frames`.

        Raises:
            InvalidTrajectory: no forces, no energies, a box, or fewer frames than asked for.
        """
        for one in trajectories:
            _must_be_labelled(one)
        chosen = chosen_frames(trajectories, n_frames, choose)
        most = max(one.n_atoms for one in trajectories)
        parts = [_block(one, rows, most) for one, rows in zip(trajectories, chosen, strict=True)]
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def fingerprint(self) -> str:
        """Return a word that differs where frames do by 1e-4 Å, eV/Å or eV, and not where machines round otherwise."""
        digest = hashlib.sha256()
        for array in (self.positions, self.atomic_numbers, self.forces, self.energies):
            digest.update(np.ascontiguousarray(np.round(array, AGREED_DIGITS) + 0).tobytes())
        return digest.hexdigest()[:16]

    @property
    def force_rms(self) -> float:
        """Return the root mean square of the forces' components in eV/Å."""
        return float(np.sqrt(np.mean(self.forces[self.atomic_numbers > 0] ** 2)))

    def atomic_energies(self) -> dict[int, float]:
        """Return the energies in eV that each element adds at best, by least squares; the smallest where many do."""
        elements = np.unique(self.atomic_numbers[self.atomic_numbers > 0])
        counts = (self.atomic_numbers[..., None] == elements).sum(1).astype(float)
        fitted = np.linalg.lstsq(counts, self.energies, rcond=None)[0]
        return {int(element): float(energy) for element, energy in zip(elements, fitted, strict=True)}

    def without_atoms(self, atomic_energies: dict[int, float]) -> Frames:
        """Return the same frames with energies of interaction."""
        energies = self.energies - own_energies(atomic_energies, self.atomic_numbers)
        return Frames(self.positions, self.atomic_numbers, self.forces, energies)

    def batches(self, rows: np.ndarray, batch_size: int, device: torch.device | str = "cpu") -> Iterator[Batch]:
        """Yield the chosen frames, ``batch_size`` at a time, in single precision."""
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            arrays = (self.positions[some], self.atomic_numbers[some], self.forces[some], self.energies[some])
            kinds = (torch.float32, torch.int64, torch.float32, torch.float32)
            yield Batch(*(torch.as_tensor(a, dtype=kind).to(device) for a, kind in zip(arrays, kinds, strict=True)))


def own_energies(atomic_energies: dict[int, float], atomic_numbers: Int[np.ndarray, "*molecules atoms"]) -> np.ndarray:
    """Return [*molecules] the energies in eV of each molecule's atoms by themselves; what fills up a batch has none."""
    table = np.zeros(len(SYMBOLS))
    table[list(atomic_energies)] = list(atomic_energies.values())
    return np.asarray(table[atomic_numbers].sum(-1))


def _must_be_labelled(trajectory: Trajectory) -> None:
    missing = [key for key in ("forces", "energies") if getattr(trajectory, key) is None]
    if missing:
        raise InvalidTrajectory(
            f"{trajectory.name!r} has no {' and no '.join(missing)}, which a force field learns from. Simulate with "
            "anb.simulate, or load a file that holds them (MD17-like npz, extended xyz)."
        )
    if trajectory.cell is not None:
        raise InvalidTrajectory(
            f"{trajectory.name!r} has a box; training is for molecules without one (dynamics may have one). "
            "Train on clusters or molecules: trajectory.replace(cell=None) where no atom sees across the border."
        )


def _block(trajectory: Trajectory, rows: np.ndarray, most: int) -> tuple[np.ndarray, ...]:
    spare = ((0, 0), (0, most - trajectory.n_atoms), (0, 0))
    assert trajectory.forces is not None and trajectory.energies is not None
    return (
        np.pad(np.asarray(trajectory.positions[rows], dtype=float), spare),
        np.pad(np.tile(trajectory.atomic_numbers, (len(rows), 1)), spare[:2]),
        np.pad(np.asarray(trajectory.forces[rows], dtype=float), spare),
        np.asarray(trajectory.energies[rows], dtype=float),
    )
