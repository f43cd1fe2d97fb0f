"""Training the STI-Transformer: its losses, its augmentation, and the verb ``train``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.symmetry import Symmetries, reversed_in_time
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import InvalidSettings, ModelMismatch
from asteroid_nb.fit_settings import make_fabric
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.forecast.frames import random_rotations
from asteroid_nb.forecast.kinds import Kinds
from asteroid_nb.forecast.linear import chunk_windows
from asteroid_nb.forecast.losses import loss_terms, loss_weights
from asteroid_nb.forecast.newton import NewtonSkip
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings, preset
from asteroid_nb.forecast.start import Files, forget, options_of_start, started
from asteroid_nb.forecast.transformer import Prediction, STITransformer
from asteroid_nb.processes import is_first
from asteroid_nb.progress import Bar, Observer
from asteroid_nb.shapes import Float

if TYPE_CHECKING:
    from asteroid_nb.forecast.runs import Runs

#: Validation windows looked at after each epoch, at most and at least.
MOST_VALIDATED, LEAST_VALIDATED = 1024, 64

#: Symmetries under which the ridge map sees every training window.
MOST_VARIANTS = 6


@dataclass
class ForecastTask:
    """The STI-Transformer as a `Task` of `asteroid_nb.fitting`."""

    model: STITransformer
    train: Windows
    validation: Windows
    objective: ObjectiveSettings
    batch_size: int
    start: Mapping[str, Any] = field(default_factory=dict)
    windows_per_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.objective.training == "self_supervised" and self.model.settings.decode != "none":
            raise InvalidSettings(
                "Self-supervised training reaches the delay matrix alone; a decoder would stay what it starts from. "
                "Use decode='none', and skip='constant_velocity' where nothing may be fitted on futures."
            )
        self.symmetries = Symmetries.of(self.model.molecule)
        fewer = max(LEAST_VALIDATED, chunk_windows(self.validation))  # of large systems, whose windows hold more
        self.checked = self.validation.subset(most=min(MOST_VALIDATED, fewer))
        self._resident: Windows | None = None
        self._start_error: Tensor | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Return what a resumed training must share with the interrupted one."""
        molecule = self.model.molecule
        data = {"dt_fs": self.train.dt_fs, "n_windows": len(self.train), "masses": molecule.masses.tolist()}
        reference = {"reference": molecule.reference.round(6).tolist()}
        some = {} if self.windows_per_epoch is None else {"windows_per_epoch": self.windows_per_epoch}
        if len(self.checked) < min(MOST_VALIDATED, len(self.validation)):
            some["n_checked"] = len(self.checked)
        settings = {**asdict(self.model.settings), **asdict(self.objective)}
        return {**settings, **data, **reference, "start": dict(self.start), **some}

    @property
    def n_steps(self) -> int:
        return max(1, min(len(self.train), self.windows_per_epoch or len(self.train)) // self.batch_size)

    @property
    def steps_alike(self) -> bool:
        """Return whether a GPU may replay a step: not where chance decides what slots go on from, or a solver runs."""
        model, skip = self.model, self.model.skip
        fixed = model.settings.pairs == "all" and model.settings.atom_identity  # else sizes are read from the GPU
        return fixed and not model.autoregressive and not (isinstance(skip, NewtonSkip) and skip.solves)

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Window]:
        """Yield full batches of augmented windows in the model's frame, gathered on the device that trains."""
        if self._resident is None or self._resident.device != device:
            self._resident = self.train if device.type == "cpu" else self.train.copy().to(device)
        most = None if self.windows_per_epoch is None else self.n_steps * self.batch_size
        batches = self._resident.batches(self.batch_size, shuffle_seed=seed, most=most, device=device)
        for number, window in enumerate(batches):
            if len(window) == self.batch_size or len(self.train) < self.batch_size:
                yield self.model.prepare(self.augment(window, seed * 1_000_003 + number))

    def augment(self, window: Window, seed: int) -> Window:
        """Exchange, mirror, reverse, turn and shake as the objective asks."""
        draw, wanted = np.random.default_rng(seed), self.objective
        if wanted.reverse:
            window = reversed_in_time(window, draw.random(len(window)) < 0.5)
        if wanted.exchange:
            window = self.symmetries.applied(window, draw.integers(len(self.symmetries), size=len(window)))
        if self.model.settings.frame == "none" if wanted.rotate is None else wanted.rotate:
            window = window.rotated(random_rotations(len(window), draw).to(window.history))
        return self._shaken(window, draw)

    def _shaken(self, window: Window, draw: np.random.Generator) -> Window:
        """Add noise to what is seen, never to what is to be predicted."""
        if not self.objective.noise_ang:
            return window
        noise = draw.normal(scale=self.objective.noise_ang, size=tuple(window.history.shape))
        return window.replace(history=window.history + torch.as_tensor(noise).to(window.history))

    def variants(self, window: Window) -> Iterator[Window]:
        """Yield the windows under a few symmetries in turn, also run backwards: what the ridge map is fitted on."""
        draw = np.random.default_rng(0)
        if not (self.objective.exchange or self.objective.reverse):
            yield self._shaken(window, draw)
            return
        n_symmetries = len(self.symmetries) if self.objective.exchange else 1
        for number in range(min(n_symmetries, MOST_VARIANTS) * (2 if self.objective.reverse else 1)):
            backwards = np.full(len(window), self.objective.reverse and number % 2 == 1)
            chosen = np.full(len(window), number // (2 if self.objective.reverse else 1))
            yield self._shaken(self.symmetries.applied(reversed_in_time(window, backwards), chosen), draw)

    def loss(self, model: Callable[..., Prediction], batch: Window, *, done: float) -> dict[str, Tensor]:
        first, last = self.objective.teacher_forcing
        forcing = first + (last - first) * min(1.0, 2 * done)
        prediction = model(batch, teacher_forcing=forcing)
        terms = loss_terms(self.model, prediction, batch, forced=forcing >= 1.0 and self.model.autoregressive)
        weights = loss_weights(self.objective)
        return terms | {"loss": torch.stack([weights[name] * term for name, term in terms.items()]).sum()}

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the RMSE of free-running forecasts relative to the start's on the same windows.

        Averaged over lead times; 1 is where training starts.
        """
        if self._start_error is None:  # it never changes while the network trains
            self._start_error = self._error(self.model.at_once, device).clamp(min=1e-9)
        return float((self._error(lambda window: model(window).forecast, device) / self._start_error).mean())

    @property
    def start_error(self) -> Float[Tensor, " horizon"]:
        """Return the RMSE in Å by lead time of what the network starts from, on the validation windows."""
        with torch.no_grad():
            return self._error(self.model.at_once, torch.device("cpu")).clamp(min=1e-9)

    def _error(self, forecast: Callable[[Window], Tensor], device: torch.device) -> Float[Tensor, " horizon"]:
        """Return the RMSE in Å by lead time on the validation windows."""
        errors, most = [], 64 if device.type == "cpu" else 256
        together = max(1, min(most, chunk_windows(self.checked) // 4))
        for window in map(self.model.prepare, self.checked.batches(together, device=device)):
            errors.append((forecast(window) - window.truth).square().mean((2, 3)))
        return torch.cat(errors).mean(0).sqrt()


#: What `train` is given: one molecule's trajectories, or several molecules' by name or one list after the other.
OneMolecule = Trajectory | Sequence[Trajectory]
SeveralMolecules = Mapping[str, OneMolecule] | Sequence[Sequence[Trajectory]]


def are_several(trajectories: OneMolecule | SeveralMolecules) -> bool:
    """Return whether trajectories are given by molecule."""
    if isinstance(trajectories, Mapping):
        return True
    return not isinstance(trajectories, Trajectory) and any(not isinstance(one, Trajectory) for one in trajectories)


@overload
def train(trajectories: OneMolecule, **options: Any) -> Run: ...
@overload
def train(trajectories: SeveralMolecules, **options: Any) -> Runs: ...
def train(
    trajectories: OneMolecule | SeveralMolecules,
    *,
    settings: STISettings | str = "default",
    objective: ObjectiveSettings | None = None,
    fit_settings: FitSettings | None = None,
    stride_frames: int = 1,
    parts: Split | Mapping[str, Split] | None = None,
    windows_per_epoch: int | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] | None = None,
    potential: Mapping[str, Any] | None = None,
    **fitting: Any,
) -> Run | Runs:
    """Train an STI-Transformer and return it with the windows it has not seen.

    Trajectories of several molecules, by name, train one network for all of them: what comes back then holds a `Run`
    for each (see `asteroid_nb.forecast.several`).

    The last trajectory is kept for testing and the one before it for validation; one or two are split in time. Where
    slots are decoded in parallel and no epoch forecast the validation windows better than the start, a finished
    training returns the start.

    Args:
        trajectories: of one molecule at one spacing; or those of several molecules, all at one spacing, by name or as
            a list of lists.
        settings: of the model, or the name of a preset.
        parts: the windows, where they are divided already (by name, of several molecules); trajectories and stride are
            then not looked at.
        windows_per_epoch: of each molecule, drawn anew for each epoch; all when not given. Closed-form starts and
            potentials are fitted on `MOST_FITTED` atoms of windows at most.
        folder: where checkpoint, settings and weights go; nothing is written without.
        resume: go on from the folder's checkpoint.
        observers: who watches and may stop it; a progress bar when not given.
        potential: options of `learn_potential`, where the network starts from Newton's equations.
        fitting: changes to ``fit_settings`` by name, such as ``n_epochs``, ``device`` or ``seed``.

    Raises:
        ModelMismatch: also where ``parts`` have another history or horizon than the settings.
        TrajectoryTooShort, InvalidSettings, TrainingDiverged.
    """
    settings = preset(settings) if isinstance(settings, str) else settings
    fit_settings, objective = replace(fit_settings or FitSettings(), **fitting), objective or ObjectiveSettings()
    if isinstance(parts, Mapping) or are_several(trajectories):
        from asteroid_nb.forecast.several import train_several

        return train_several(
            cast(SeveralMolecules, trajectories), settings, objective, fit_settings, stride_frames=stride_frames,
            parts=cast(Mapping[str, Split] | None, parts), folder=folder, resume=resume, observers=observers,
            potential=potential, windows_per_epoch=windows_per_epoch,
        )  # fmt: skip
    parts = parts or split(cast(OneMolecule, trajectories), settings.window_shape(stride_frames))
    must_be_cut_for(settings, parts)
    make_fabric(fit_settings)
    watching, files = [Bar()] if observers is None else observers, Files.of(folder)
    task, going_on = started(
        maker(parts, objective, fit_settings, windows_per_epoch=windows_per_epoch), settings, potential, files,
        windows=parts.train, noisy=objective.noise_ang > 0, resume=resume, watching=watching,
    )  # fmt: skip
    run = _trained(task, parts, fit_settings, files, going_on, watching)
    if folder is not None and is_first():
        run.save(folder)
    return run


def maker(
    parts: Split,
    objective: ObjectiveSettings,
    fit_settings: FitSettings,
    kinds: Kinds | None = None,
    *,
    windows_per_epoch: int | None = None,
) -> Callable[[STISettings, Mapping[str, Any] | None], ForecastTask]:
    """Return what makes a task, its model as the seed has it, from settings and options of a potential."""
    if windows_per_epoch is not None and windows_per_epoch < fit_settings.batch_size:
        raise InvalidSettings(
            f"windows_per_epoch was {windows_per_epoch}; an epoch needs one batch of {fit_settings.batch_size} or more."
        )

    def task_of(settings: STISettings, potential: Mapping[str, Any] | None) -> ForecastTask:
        start = options_of_start(settings, fit_settings, potential)
        torch.manual_seed(fit_settings.seed)
        model = STITransformer(settings, parts.train.molecule, kinds)
        windows = (parts.train, parts.validation)
        return ForecastTask(model, *windows, objective, fit_settings.batch_size, start, windows_per_epoch)

    return task_of


def _trained(
    task: ForecastTask,
    parts: Split,
    fit_settings: FitSettings,
    files: Files,
    going_on: bool,
    watching: Sequence[Observer],
) -> Run:
    """Return what training makes of a model that has its start; untrained where learning that was stopped."""
    model = task.model
    if isinstance(model.skip, NewtonSkip) and not model.skip.potential.finished:
        return Run(model, parts.train.dt_fs, split=parts, finished=False)
    result = fit(task, fit_settings, checkpoint=files.checkpoint, resume=going_on, observers=watching)
    if result.finished and model.settings.decode == "parallel" and result.best_validation >= 1.0:
        model.stay_at_start()
    if is_first():
        forget(files.potential)  # the checkpoint holds it now
    return Run(model, parts.train.dt_fs, history=result.history, split=parts, finished=result.finished)


def must_be_cut_for(settings: STISettings, parts: Split) -> None:
    """Raise `ModelMismatch` for windows of another shape than the model's."""
    for windows in (parts.train, parts.validation, parts.test):
        if windows.shape != settings.window_shape(windows.shape.stride_frames):
            raise ModelMismatch(
                f"Windows of {windows.shape} do not fit a model of history {settings.history} and horizon "
                f"{settings.horizon}. Cut them with settings.window_shape(stride)."
            )
