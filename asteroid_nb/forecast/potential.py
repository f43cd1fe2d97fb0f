"""A potential energy learnt from how trajectories bend: from second differences of positions, and nothing else.

Newton's equations turn it into forecasts (`newton`). It sees a molecule's inverse interatomic distances, so that it
does not know where the molecule lies or how it is turned, and its forces conserve energy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asteroid_nb.data.windows import Molecule
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.bent_frames import STEP_FS, BentFrames
from asteroid_nb.shapes import Float
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2

#: All pairs enter one network: beyond, they are too many.
MOST_ATOMS = 64


class ReadBack:
    """The number in a tensor, read back only where it changed: each time a GPU would be waited for."""

    def __init__(self) -> None:
        self.tensor, self.version, self.value = torch.empty(0), -1, 0.0

    def __call__(self, tensor: Tensor) -> float:
        if tensor is not self.tensor or tensor._version != self.version:
            self.tensor, self.version, self.value = tensor, tensor._version, float(tensor)
        return self.value


def atoms_first(positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "atoms 3 frames"]:
    """Return positions as forces are worked out fastest: what is done to one atom is done to it in all frames."""
    return positions.permute(1, 2, 0).contiguous()


def frames_first(places: Float[Tensor, "atoms 3 frames"]) -> Float[Tensor, "frames atoms 3"]:
    """Undo `atoms_first`."""
    return places.permute(2, 0, 1)


class Potential(nn.Module):
    """Energies of one molecule from its inverse interatomic distances.

    Args:
        molecule: whose atoms, in this order.
        width, layers: of the network.

    ``finished`` says whether its training came to its end.

    Raises:
        InvalidSettings: more atoms than `MOST_ATOMS`, or fewer than two.

    Reference:
        Chmiela et al. (2017), doi:10.1126/sciadv.1603015, for the descriptor.
    """

    finished: bool = True
    pairs: Tensor
    incidence: Tensor
    mean: Tensor
    spread: Tensor
    force_scale: Tensor
    step_fs: Tensor
    masses: Tensor

    def __init__(self, molecule: Molecule, *, width: int = 256, layers: int = 3) -> None:
        super().__init__()
        if not 2 <= molecule.n_atoms <= MOST_ATOMS:
            raise InvalidSettings(
                f"A potential of all pairs is for 2 to {MOST_ATOMS} atoms, found {molecule.n_atoms}. Select fewer."
            )
        pairs = torch.triu_indices(molecule.n_atoms, molecule.n_atoms, 1)
        n_pairs = pairs.shape[1]
        one_hot = nn.functional.one_hot(pairs, molecule.n_atoms).float()
        masses = torch.tensor(molecule.masses, dtype=torch.float32)[:, None]
        known = {"pairs": pairs, "incidence": (one_hot[0] - one_hot[1]).T.contiguous(), "masses": masses}
        learnt = {"mean": torch.zeros(n_pairs), "spread": torch.ones(n_pairs), "force_scale": torch.tensor(1.0)}
        for name, value in (known | learnt | {"step_fs": torch.tensor(STEP_FS)}).items():
            self.register_buffer(name, value, persistent=name not in known)
        widths = [n_pairs, *[width] * layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.last = nn.Linear(width, 1)
        self._step = ReadBack()

    @property
    def step(self) -> float:
        """Return the step in fs that it is meant for."""
        return self._step(self.step_fs)

    def forward(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "frames atoms 3"]:
        """Return forces in eV/Å."""
        return self.forces(positions)

    def energies(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, " frames"]:
        """Return energies in eV, of which differences alone mean something."""
        x = (self.distances(positions)[1] - self.mean) / self.spread
        for layer in self.hidden:
            x = nn.functional.silu(layer(x))
        return self.last(x)[:, 0] * self.force_scale

    def distances(self, positions: Float[Tensor, "frames atoms 3"]) -> tuple[Tensor, Tensor]:
        """Return [frames, pairs, 3] Å between the atoms of every pair, and [frames, pairs] their inverse lengths."""
        first, second = self.pairs
        apart = positions[:, first] - positions[:, second]
        return apart, apart.square().sum(-1).rsqrt()

    def forces(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "frames atoms 3"]:
        """Return forces in eV/Å."""
        return frames_first(self.pull(atoms_first(positions)))

    def accelerations(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "frames atoms 3"]:
        """Return accelerations in Å/fs²."""
        return frames_first(self.bend(atoms_first(positions)))

    def bend(self, places: Float[Tensor, "atoms 3 frames"]) -> Float[Tensor, "atoms 3 frames"]:
        """Return accelerations in Å/fs² of positions arranged by `atoms_first`, as they are."""
        return self.pull(places) / (self.masses[..., None] * EV_PER_AMU_ANG2_PER_FS2)

    def pull(self, places: Float[Tensor, "atoms 3 frames"]) -> Float[Tensor, "atoms 3 frames"]:
        """Return forces in eV/Å: the slope of the energies, worked back through the layers."""
        first, second = self.pairs
        apart = places[first] - places[second]
        inverse = apart.square().sum(1).rsqrt()
        x, slopes = (inverse.T - self.mean) / self.spread, []
        for layer in self.hidden:
            x = layer(x)
            gate = torch.sigmoid(x)
            x = x * gate
            slopes.append(torch.addcmul(gate + x, gate, x, value=-1))
        back = self.last.weight
        for layer, slope in zip(reversed(self.hidden), reversed(slopes), strict=True):
            back = (back * slope) @ layer.weight
        along = (back * (self.force_scale / self.spread)).T * inverse**3
        return (self.incidence @ (along[:, None] * apart).flatten(1)).view_as(places)

    def fit_scales(self, frames: BentFrames) -> None:
        """Take over how distances spread, how large forces are, and which step they are meant for."""
        inverse = self.distances(torch.as_tensor(frames.positions))[1]
        self.mean.copy_(inverse.mean(0))
        self.spread.copy_(inverse.std(0).clamp(min=1e-6))
        self.force_scale.copy_(torch.as_tensor(frames.forces).square().mean().sqrt())
        self.step_fs.fill_(frames.step_fs)
