"""Learning a potential: first the forces that bend a path, then the paths themselves, a few steps unrolled."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.symmetry import Symmetries
from asteroid_nb.data.windows import Molecule, Windows, WindowShape
from asteroid_nb.errors import TrainingDiverged
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.forecast.bent_frames import BentFrames, across, covered, frames_a_step
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.verlet import integrate
from asteroid_nb.progress import Bar, Observer
from asteroid_nb.shapes import Float, Int
from asteroid_nb.units import MEV_PER_EV

#: What trains a potential on forces; epochs are as many as make `N_STEPS`.
POTENTIAL_FIT = FitSettings(
    batch_size=256, learning_rate=2e-3, weight_decay=1e-5, clip_norm=5.0, ema_decay=0.998, precision="32-true"
)
N_STEPS = 6_000

#: What trains it on paths, how many steps each path has, and how many of training there are.
PATH_FIT = dataclasses.replace(POTENTIAL_FIT, batch_size=64, learning_rate=1e-3, clip_norm=1.0, ema_decay=0.99)
PATH_STEPS, N_PATH_STEPS = 16, 2_000

#: Of the layers of a potential's network.
USUAL_WIDTH = 256

#: Frames, or paths, that judge after each epoch.
MOST_VALIDATED = 512

#: Everything above that a potential depends on.
CHOICES = (POTENTIAL_FIT, PATH_FIT, PATH_STEPS, MOST_VALIDATED)


@dataclass
class PotentialTask:
    """A potential as a `Task` of `asteroid_nb.fitting`."""

    model: Potential
    train: BentFrames
    validation: BentFrames
    exchanges: Int[np.ndarray, "symmetries atoms"]
    batch_size: int
    steps_alike = True

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


class Follower(nn.Module):
    """A potential as what it is used for: two frames in, the path after them out."""

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential

    def forward(self, seen: Float[Tensor, "paths 2 atoms 3"], n: int) -> Float[Tensor, "paths steps atoms 3"]:
        """Return ``n`` frames, each a step of the potential after the one before."""
        before, now = seen.unbind(1)
        step_fs = self.potential.step
        velocities = (now - before) / step_fs + 0.5 * step_fs * self.potential.accelerations(now)
        return integrate(self.potential, now, velocities, dt_fs=step_fs, n=n)


@dataclass
class PathTask:
    """The paths of a potential as a `Task`: what small errors of forces add up to is what is made small.

    Args:
        model: that follows the potential.
        train, validation: of two frames and the steps after them.
        frames: a word for the frames that the forces were learnt from.
    """

    model: Follower
    train: Windows
    validation: Windows
    exchanges: Int[np.ndarray, "symmetries atoms"]
    batch_size: int
    frames: str
    scale: Tensor = field(init=False)
    off_at_first: Tensor = field(init=False)
    steps_alike = True

    def __post_init__(self) -> None:
        self.checked = self.validation.subset(most=MOST_VALIDATED)
        self.scale = self._rmse(self.model, self.train.subset(most=4 * MOST_VALIDATED), torch.device("cpu"))
        self.off_at_first = self._rmse(self.model, self.checked, torch.device("cpu"))

    @property
    def n_steps(self) -> int:
        return max(1, len(self.train) // self.batch_size)

    @property
    def identity(self) -> dict[str, Any]:
        """Return what a resumed training must share with the interrupted one."""
        counts = {"paths": len(self.train), "validation_paths": len(self.validation), "steps": self.train.shape.horizon}
        return {"masses": self.model.potential.masses.flatten().tolist(), "frames": self.frames, **counts}

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Tensor]:
        """Yield [paths, frames, atoms, 3], equal atoms exchanged and time reversed at random."""
        draw = np.random.default_rng(seed)
        order = draw.permutation(len(self.train))
        for step in range(self.n_steps):
            window = self.train[order[step * self.batch_size : (step + 1) * self.batch_size]]
            paths = torch.cat([window.history, window.truth], dim=1)
            swapped = torch.as_tensor(self.exchanges[draw.integers(len(self.exchanges), size=len(paths))])
            paths = torch.take_along_dim(paths, swapped[:, None, :, None], dim=2)
            backwards = torch.as_tensor(draw.random(len(paths)) < 0.5)[:, None, None, None]
            yield torch.where(backwards, paths.flip(1), paths).to(device)

    def loss(self, model: nn.Module, batch: Tensor, *, done: float) -> dict[str, Tensor]:
        """Return the mean distance from the true path, in units of what it was at first at each lead time."""
        off = model(batch[:, :2], batch.shape[1] - 2) - batch[:, 2:]
        self.scale = self.scale.to(off.device)
        off = off / self.scale[:, None, None]
        return {"loss": (off.square().sum(-1) + 1e-6).sqrt().mean()}

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the error on paths to choose by, relative to what it was at first, mean over lead times."""
        return float((self._rmse(model, self.checked, device) / self.off_at_first).mean())

    @torch.no_grad()
    def _rmse(self, model: nn.Module, windows: Windows, device: torch.device) -> Float[Tensor, " steps"]:
        window = windows[:]
        found = model(window.history.to(device), windows.shape.horizon).cpu()
        return (found - window.truth).square().mean((0, 2, 3)).sqrt().clamp(min=1e-9)


def learn_potential(
    train: Windows,
    validation: Windows,
    *,
    n_steps: int = N_STEPS,
    n_path_steps: int = N_PATH_STEPS,
    width: int = USUAL_WIDTH,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] | None = None,
    **fitting: Any,
) -> Potential:
    """Learn a potential from the frames that windows cover, and return the one that validation liked best.

    Where learning from paths diverges or makes nothing better, the potential stays as forces made it.

    Args:
        train, validation: of one molecule, stored closely enough.
        n_steps, n_path_steps: of training on forces, and then on paths, about; whole passes are made.
        checkpoint: of the training on forces; that on paths is kept beside it.
        resume, observers: as in `fit`.
        fitting: changes of `POTENTIAL_FIT` by name, but for the epochs, which follow from the steps; seed and device
            are also those of the training on paths.

    Raises:
        InvalidTrajectory: frames stored too far apart.
        InvalidSettings: too many atoms.
        TrainingDiverged.
    """
    settings = dataclasses.replace(POTENTIAL_FIT, **fitting)
    frames, checked, exchanges = BentFrames.of(train), BentFrames.of(validation), _exchanges(train.molecule)
    watching = [Bar("potential")] if observers is None else observers
    if checkpoint is not None and not resume:
        paths_file(checkpoint).unlink(missing_ok=True)
    torch.manual_seed(settings.seed)
    model = Potential(train.molecule, width=width)
    model.fit_scales(frames)
    task = PotentialTask(model, frames, checked, exchanges, min(settings.batch_size, len(frames)))
    told = _of(settings, task, n_steps)
    model.finished = fit(task, told, checkpoint=checkpoint, resume=resume, observers=watching).finished
    n_ahead = min(PATH_STEPS, *(_longest(windows) for windows in (train, validation)))
    if not model.finished or not n_path_steps or n_ahead < 2:
        return model
    known = {name: value.clone() for name, value in model.state_dict().items()}
    known_paths, checked_paths = (_paths(windows, n_ahead) for windows in (train, validation))
    batch_size = min(PATH_FIT.batch_size, len(known_paths))
    task = PathTask(Follower(model), known_paths, checked_paths, exchanges, batch_size, frames.fingerprint)
    told = _of(dataclasses.replace(PATH_FIT, seed=settings.seed, device=settings.device), task, n_path_steps)
    beside = None if checkpoint is None else paths_file(checkpoint)
    again = resume and beside is not None and beside.is_file()
    try:
        result = fit(task, told, checkpoint=beside, resume=again, observers=watching)
    except TrainingDiverged as error:
        warnings.warn(f"Learning from paths was given up, forces alone are learnt from. {error}", stacklevel=2)
        model.load_state_dict(known)
        return model
    model.finished = result.finished
    if result.finished and min(one["validation_loss"] for one in result.history) >= 1.0:
        model.load_state_dict(known)
    return model


def paths_file(checkpoint: str | Path) -> Path:
    """Return where the training on paths is kept, beside that on forces."""
    return Path(checkpoint).with_stem(f"{Path(checkpoint).stem}-paths")


def _of(settings: FitSettings, task: PotentialTask | PathTask, n_steps: int) -> FitSettings:
    n_epochs = max(1, round(n_steps / task.n_steps))
    return dataclasses.replace(settings, batch_size=task.batch_size, n_epochs=n_epochs)


def _longest(windows: Windows) -> int:
    """Return how many steps follow two frames within one window."""
    return (windows.shape.span_frames - 1) // frames_a_step(windows) - 1


def _paths(windows: Windows, n_ahead: int) -> Windows:
    """Return every path that windows cover: two frames and what follows them, a step between each."""
    shape = WindowShape(history=2, horizon=n_ahead, stride_frames=frames_a_step(windows))
    return Windows(windows.trajectories, shape, starts=covered(windows, shape.span_frames)).enough()


def _exchanges(molecule: Molecule) -> Int[np.ndarray, "symmetries atoms"]:
    """Return the exchanges of equal atoms, which no distance tells from a mirror image."""
    return np.unique(Symmetries.of(molecule).exchanges, axis=0)
