"""A potential energy learnt from how trajectories bend: from second differences of positions, and nothing else.

Newton's equations turn it into forecasts (`newton`). It sees a molecule's inverse interatomic distances, so that it
does not know where the molecule lies or how it is turned, and its forces conserve energy.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.symmetry import Symmetries
from asteroid_nb.data.windows import Molecule, Windows
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, TrajectoryTooShort
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.progress import Bar, Observer
from asteroid_nb.shapes import Float, Int
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2, MEV_PER_EV

#: All pairs enter one network: beyond, they are too many.
MOST_ATOMS = 64

#: Between stored frames whose second difference is still an acceleration.
LONGEST_FS = 1.5

#: What trains a potential; epochs are as many as make `N_STEPS`.
POTENTIAL_FIT = FitSettings(
    batch_size=256, learning_rate=2e-3, weight_decay=1e-5, clip_norm=5.0, ema_decay=0.998, precision="32-true"
)
N_STEPS = 15_000

#: Frames that judge after each epoch.
MOST_VALIDATED = 512


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
    mean: Tensor
    spread: Tensor
    force_scale: Tensor
    masses: Tensor

    def __init__(self, molecule: Molecule, *, width: int = 256, layers: int = 3) -> None:
        super().__init__()
        if not 2 <= molecule.n_atoms <= MOST_ATOMS:
            raise InvalidSettings(
                f"A potential of all pairs is for 2 to {MOST_ATOMS} atoms, found {molecule.n_atoms}. Select fewer."
            )
        pairs = torch.triu_indices(molecule.n_atoms, molecule.n_atoms, 1)
        self.register_buffer("pairs", pairs, persistent=False)
        self.register_buffer("mean", torch.zeros(pairs.shape[1]))
        self.register_buffer("spread", torch.ones(pairs.shape[1]))
        self.register_buffer("force_scale", torch.tensor(1.0))
        self.register_buffer("masses", torch.as_tensor(molecule.masses, dtype=torch.float32)[:, None], persistent=False)
        widths = [pairs.shape[1], *[width] * layers]
        hidden = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), nn.SiLU())]
        self.network = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "frames atoms 3"]:
        """Return forces in eV/Å, to be learnt where gradients are wanted."""
        return self.forces(positions, learn=torch.is_grad_enabled())

    def energies(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, " frames"]:
        """Return energies in eV, of which differences alone mean something."""
        return self.network((self.inverse_distances(positions) - self.mean) / self.spread)[:, 0] * self.force_scale

    def inverse_distances(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "frames pairs"]:
        """Return them in 1/Å."""
        first, second = self.pairs
        return (positions[:, first] - positions[:, second]).square().sum(-1).rsqrt()

    def forces(
        self, positions: Float[Tensor, "frames atoms 3"], *, learn: bool = False
    ) -> Float[Tensor, "frames atoms 3"]:
        """Return forces in eV/Å; their own gradient in the weights is known where ``learn`` asks for it."""
        with torch.enable_grad():
            places = positions.detach().requires_grad_()
            pulled = torch.autograd.grad(self.energies(places).sum(), places, create_graph=learn)[0]
        return -pulled

    def accelerations(self, positions: Float[Tensor, "frames atoms 3"]) -> Float[Tensor, "frames atoms 3"]:
        """Return accelerations in Å/fs²."""
        return self.forces(positions) / (self.masses * EV_PER_AMU_ANG2_PER_FS2)

    def fit_scales(self, frames: BentFrames) -> None:
        """Take over how distances spread and how large forces are."""
        inverse = self.inverse_distances(torch.as_tensor(frames.positions))
        self.mean.copy_(inverse.mean(0))
        self.spread.copy_(inverse.std(0).clamp(min=1e-6))
        self.force_scale.copy_(torch.as_tensor(frames.forces).square().mean().sqrt())


@dataclass(frozen=True, eq=False)
class BentFrames:
    """Structures, and the forces that bent the path there.

    Args:
        positions: [frames, atoms, 3] Å.
        forces: [frames, atoms, 3] eV/Å, mass times the second difference of neighbouring frames.
        momenta: [frames, atoms, 3], all of one frame together of length 1: along them a thermostat that scales
            velocities adds to the second difference what no potential knows, so that nothing is learnt along them.
    """

    positions: Float[np.ndarray, "frames atoms 3"]
    forces: Float[np.ndarray, "frames atoms 3"]
    momenta: Float[np.ndarray, "frames atoms 3"]

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, windows: Windows) -> BentFrames:
        """Return the stored frames that windows cover together with both their neighbours.

        Raises:
            InvalidTrajectory: frames are stored more than `LONGEST_FS` apart.
            TrajectoryTooShort: fewer than two such frames.
        """
        dt_fs = windows.trajectories[0].dt_fs
        if dt_fs > LONGEST_FS:
            raise InvalidTrajectory(
                f"Frames are stored every {dt_fs:g} fs; up to {LONGEST_FS:g} fs a second difference is an "
                "acceleration. Store frames more often."
            )
        masses = windows.molecule.masses[:, None]
        parts = [_bent(np.asarray(path), inner, masses, dt_fs) for path, inner in _covered(windows)]
        found = cls(*(np.concatenate(arrays).astype(np.float32) for arrays in zip(*parts, strict=True)))
        if len(found) < 2:
            raise TrajectoryTooShort(
                f"Forces need frames with both neighbours, found {len(found)}; needed are two. Use a longer trajectory."
            )
        return found

    @property
    def fingerprint(self) -> str:
        """Return a word that differs where the structures do, and not where machines round otherwise."""
        digest = hashlib.sha256(np.round(self.positions, 4).tobytes())
        return digest.hexdigest()[:16]


def _covered(windows: Windows) -> Iterator[tuple[np.ndarray, Int[np.ndarray, " frames"]]]:
    """Yield each trajectory's positions, and its frames that lie, with both neighbours, in some window."""
    for number in np.unique(windows.starts[:, 0]):
        starts, positions = windows.starts[windows.starts[:, 0] == number, 1], windows.trajectories[number].positions
        edges = np.zeros(len(positions) + 1, dtype=np.int64)
        np.add.at(edges, starts, 1)
        np.add.at(edges, starts + windows.shape.span_frames, -1)
        inside = np.cumsum(edges[:-1]) > 0
        yield positions, 1 + np.flatnonzero(inside[:-2] & inside[1:-1] & inside[2:])


def _bent(
    positions: np.ndarray, inner: np.ndarray, masses: np.ndarray, dt_fs: float
) -> tuple[Float[np.ndarray, "frames atoms 3"], ...]:
    """Return centred structures, forces, and momenta of length 1."""
    before, here, after = (np.asarray(positions[inner + step], dtype=float) for step in (-1, 0, 1))
    forces = masses * EV_PER_AMU_ANG2_PER_FS2 / dt_fs**2 * (after - 2 * here + before)
    momenta = masses * (after - before)
    momenta /= np.linalg.norm(momenta, axis=(1, 2), keepdims=True).clip(1e-30)
    return here - here.mean(1, keepdims=True), forces, momenta


def across(forces: Tensor, momenta: Tensor) -> Tensor:
    """Return [frames, atoms, 3] without their part along momenta of length 1."""
    return forces - (forces * momenta).sum((1, 2), keepdim=True) * momenta


@dataclass
class PotentialTask:
    """A potential as a `Task` of `asteroid_nb.fitting`."""

    model: Potential
    train: BentFrames
    validation: BentFrames
    exchanges: Int[np.ndarray, "symmetries atoms"]
    batch_size: int

    @property
    def n_steps(self) -> int:
        return max(1, len(self.train) // self.batch_size)

    @property
    def identity(self) -> dict[str, Any]:
        """Return what a resumed training must share with the interrupted one."""
        widths = [tuple(one.shape) for one in self.model.parameters()]
        frames = {"frames": self.train.fingerprint, "validation_frames": self.validation.fingerprint}
        return {"shapes": repr(widths), "masses": self.model.masses.flatten().tolist(), **frames}

    def batches(self, *, seed: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield structures, forces and momenta, equal atoms exchanged at random."""
        draw = np.random.default_rng(seed)
        order = draw.permutation(len(self.train))
        for step in range(self.n_steps):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            swapped = self.exchanges[draw.integers(len(self.exchanges), size=len(rows))][..., None]
            arrays = (self.train.positions, self.train.forces, self.train.momenta)
            taken = (np.take_along_axis(array[rows], swapped, axis=1) for array in arrays)
            positions, forces, momenta = (torch.from_numpy(array).to(device) for array in taken)
            yield positions, forces, momenta

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor], *, done: float) -> dict[str, Tensor]:
        """Return the mean length of the forces' error, in units of the forces."""
        asked: Any = model
        off = across(asked(batch[0]) - batch[1], batch[2]) / self.model.force_scale
        return {"loss": (off.square().sum(-1) + 1e-6).sqrt().mean()}

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the mean absolute error of force components in meV/Å, that along the momenta left out."""
        rows = np.linspace(0, len(self.validation) - 1, min(MOST_VALIDATED, len(self.validation))).round().astype(int)
        asked: Any = model
        known = (self.validation.positions, self.validation.forces, self.validation.momenta)
        positions, forces, momenta = (torch.from_numpy(array[rows]).to(device) for array in known)
        return MEV_PER_EV * float(across(asked(positions).detach() - forces, momenta).abs().mean())


def learn_potential(
    train: Windows,
    validation: Windows,
    *,
    n_steps: int = N_STEPS,
    width: int = 256,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] | None = None,
    **fitting: Any,
) -> Potential:
    """Learn a potential from the frames that windows cover, and return the one that validation liked best.

    Args:
        train, validation: of one molecule, stored closely enough.
        n_steps: of training, about; whole passes are made.
        checkpoint, resume, observers: as in `fit`.
        fitting: changes of `POTENTIAL_FIT` by name, but for the epochs, which follow from ``n_steps``.

    Raises:
        InvalidTrajectory: frames stored too far apart.
        InvalidSettings: too many atoms.
        TrainingDiverged.
    """
    settings = dataclasses.replace(POTENTIAL_FIT, **fitting)
    frames, checked = BentFrames.of(train), BentFrames.of(validation)
    torch.manual_seed(settings.seed)
    model = Potential(train.molecule, width=width)
    model.fit_scales(frames)
    batch_size = min(settings.batch_size, len(frames))
    task = PotentialTask(model, frames, checked, _exchanges(train.molecule), batch_size)
    settings = dataclasses.replace(settings, batch_size=batch_size, n_epochs=max(1, round(n_steps / task.n_steps)))
    watching = [Bar()] if observers is None else observers
    model.finished = fit(task, settings, checkpoint=checkpoint, resume=resume, observers=watching).finished
    return model


def _exchanges(molecule: Molecule) -> Int[np.ndarray, "symmetries atoms"]:
    """Return the exchanges of equal atoms, which no distance tells from a mirror image."""
    return np.unique(Symmetries.of(molecule).exchanges, axis=0)
