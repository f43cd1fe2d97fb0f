"""What each token sees: the delay vectors of all atoms around one atom, in that atom's frame, as backward differences.

The differences x, ∇x, ∇²x, … of the last frames are a linear change of basis of the delay vector (Newton's) in which
position, velocity and acceleration stand apart, each scaled, so that a network or a ridge map sees numbers near one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.neighbours import along_bonds, nearest_elsewhere
from asteroid_nb.data.windows import Molecule
from asteroid_nb.forecast.frames import frame_atoms, full_precision, into, local_frames
from asteroid_nb.shapes import Float, Int

#: Atoms whose motion one atom's token holds; beyond, attention carries it.
MOST_NEIGHBOURS = 32

#: Windows whose states are held in memory together where scales are taken.
TOGETHER = 128


@dataclass(frozen=True)
class State:
    """The molecule at some frames of each window, as every atom sees it.

    Args:
        features: [windows, times, atoms, features], the scaled differences of all neighbours in the atom's frame.
        frames: [windows, times, atoms, 3, 3], rotations into the atom's frame.
        anchor: [windows, times, atoms, 3] Å, the atom's position.
        velocity: [windows, times, atoms, 3] Å per frame, zero where the state holds positions alone.
    """

    features: Tensor
    frames: Tensor
    anchor: Tensor
    velocity: Tensor


class Environment(nn.Module):
    """Turns positions into `State`.

    Args:
        molecule: whose bonds give frames and neighbours.
        seen_frames: how many frames a token holds.
        frame: "local", or "fixed" axes.
        shared: atoms of one element share their mean, their weights and their scales; else each atom is its own group.
        likeness: by which neighbours as many bonds away are ordered, before their distance.
    """

    group: Tensor
    spanning: Tensor
    neighbours: Tensor
    differences: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        molecule: Molecule,
        *,
        seen_frames: int,
        frame: str,
        shared: bool = False,
        likeness: Int[np.ndarray, " atoms"] | None = None,
    ) -> None:
        super().__init__()
        self.seen_frames, self.frame = seen_frames, frame
        group = np.unique(molecule.atomic_numbers, return_inverse=True)[1] if shared else np.arange(molecule.n_atoms)
        self.register_buffer("group", torch.as_tensor(group))
        spanning = frame_atoms(molecule) if frame == "local" else np.zeros((molecule.n_atoms, 2), dtype=int)
        self.register_buffer("spanning", torch.as_tensor(spanning))
        self.register_buffer("neighbours", torch.as_tensor(nearest_atoms(molecule, likeness)))
        self.register_buffer("differences", difference_matrix(seen_frames), persistent=False)
        self.register_buffer("mean", torch.zeros(self.n_groups, seen_frames, self.neighbours.shape[1], 3))
        self.register_buffer("scale", torch.ones_like(self.mean))

    @property
    def n_groups(self) -> int:
        return int(self.group.max()) + 1

    @property
    def n_features(self) -> int:
        return self.seen_frames * self.neighbours.shape[1] * 3

    def forward(self, sequence: Float[Tensor, "windows frames atoms 3"], times: Int[Tensor, " times"]) -> State:
        """Return the state at the given frames; each looks back ``seen_frames`` and never ahead."""
        with full_precision(sequence):
            raw, frames, anchor, velocity = self.raw(sequence, times)
        return State(((raw - self.mean[self.group]) / self.scale[self.group]).flatten(-3), frames, anchor, velocity)

    def raw(self, sequence: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return unscaled features [windows, times, atoms, orders, neighbours, 3], frames, anchor and velocity."""
        lags = torch.arange(self.seen_frames, device=sequence.device)
        delays = sequence[:, times[:, None] - lags]
        anchor = delays[:, :, 0]
        frames = self._frames(anchor)
        orders = torch.einsum("kl,wtlnc->wtknc", self.differences, delays)
        around = orders[:, :, :, self.neighbours].movedim(2, 3)
        around[..., 0, :, :] = around[..., 0, :, :] - anchor[..., None, :]
        rotated = into(frames, around.flatten(-3, -2)).unflatten(-2, around.shape[-3:-1])
        velocity = orders[:, :, 1] if self.seen_frames > 1 else torch.zeros_like(anchor)
        return rotated, frames, anchor, velocity

    def fit(self, sequences: Callable[[], Iterable[Tensor]], times: Tensor) -> None:
        """Set mean and scale from training windows.

        Each order of differences has one scalar scale; in local frames, where components are invariants, each feature
        of a group has its own, but at least a hundredth of the order's (what spans the frame hardly moves in it).

        Args:
            sequences: begins anew with each call to yield the windows [windows, frames, atoms, 3], a batch at a time.
        """

        def mean_of(value: Callable[[Tensor], Tensor]) -> Tensor:
            total, count = self.mean.new_zeros(len(self.group), *self.mean.shape[1:], dtype=torch.float64), 0
            for sequence in sequences():
                raw = self.raw(sequence, times)[0].flatten(0, 1)
                total, count = total + value(raw).sum(0), count + len(raw)
            return self.over_group(total / count).to(self.mean.dtype)

        self.mean.copy_(mean_of(lambda raw: raw))
        mean = self.mean[self.group]
        squared = mean_of(lambda raw: (raw - mean).square())
        order = squared.mean((0, 2, 3), keepdim=True).sqrt().clamp(min=1e-8)
        own = torch.maximum(squared.sqrt(), 0.01 * order) if self.frame == "local" else order
        self.scale.copy_(own.expand_as(self.scale))

    def over_group(self, per_atom: Float[Tensor, " atoms *rest"]) -> Float[Tensor, " groups *rest"]:
        """Return the mean over the atoms of each group."""
        summed = per_atom.new_zeros(self.n_groups, *per_atom.shape[1:]).index_add(0, self.group, per_atom)
        size = torch.bincount(self.group, minlength=self.n_groups).to(per_atom.dtype)
        return summed / size.view(-1, *[1] * (per_atom.ndim - 1))

    def _frames(self, anchor: Tensor) -> Tensor:
        if self.frame == "local":
            return local_frames(anchor, self.spanning)
        return torch.eye(3, device=anchor.device, dtype=anchor.dtype).expand(*anchor.shape, 3)


def nearest_atoms(
    molecule: Molecule, likeness: Int[np.ndarray, " atoms"] | None = None
) -> Int[np.ndarray, "atoms neighbours"]:
    """Return for each atom itself and its nearest others by bonds, then by distance in the reference structure.

    The order does not depend on how the atoms are listed, so that atoms of one group may share weights.
    """
    n_atoms, reference = molecule.n_atoms, molecule.reference
    wanted = min(n_atoms, MOST_NEIGHBOURS)
    atom, other, hops = along_bonds(molecule.bonds, n_atoms, at_least=wanted)
    lacking = wanted - np.bincount(atom, minlength=n_atoms)
    more = nearest_elsewhere(reference, np.stack([atom, other]), lacking)
    atom, other = np.concatenate([[atom, other], more], axis=1)
    hops = np.concatenate([hops, np.full(more.shape[1], n_atoms)])
    apart = np.linalg.norm(reference[atom] - reference[other], axis=-1)
    alike = np.zeros(n_atoms, dtype=int) if likeness is None else likeness
    order = np.lexsort((other, apart, alike[other], hops, atom))
    first = np.searchsorted(atom[order], np.arange(n_atoms))
    return other[order][first[:, None] + np.arange(wanted)]


def difference_matrix(orders: int) -> Float[Tensor, "orders lags"]:
    """Return the backward differences: row k is (−1)^l C(k, l)."""
    return torch.tensor([[(-1.0) ** lag * comb(order, lag) for lag in range(orders)] for order in range(orders)])
