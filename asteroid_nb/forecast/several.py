"""Training one network on several molecules: each step is of one of them, in proportion to its windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window
from asteroid_nb.errors import Interrupted, InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.fit_settings import FitSettings, make_fabric
from asteroid_nb.fitting import fit
from asteroid_nb.forecast.kinds import Kinds
from asteroid_nb.forecast.newton import NewtonSkip
from asteroid_nb.forecast.runs import Runs, loss_of
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings
from asteroid_nb.forecast.start import Files, forget, started
from asteroid_nb.forecast.together import Together
from asteroid_nb.forecast.training import ForecastTask, SeveralMolecules, maker, must_be_cut_for
from asteroid_nb.processes import from_the_first, is_first
from asteroid_nb.progress import Bar, Observer


@dataclass(eq=False, kw_only=True)
class OfMolecule(Window):
    """Windows of one molecule of several.

    Args:
        molecule: its number.
    """

    molecule: int


@dataclass
class SeveralTask:
    """Several molecules as one `Task` of `asteroid_nb.fitting`.

    ``measured`` holds, after each epoch, the validation loss of every molecule.
    """

    model: Together
    tasks: Sequence[ForecastTask]
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """Return what a resumed training must share with the interrupted one."""
        first, shared = self.tasks[0], {}
        for name, task in zip(self.model.names, self.tasks, strict=True):
            own = {key: task.identity[key] for key in ("skip", "dt_fs", "n_windows", "masses", "reference", "start")}
            shared |= {f"{name}: {key}": value for key, value in own.items()}
        common = {**asdict(first.model.settings.replace(skip="auto")), **asdict(first.objective)}
        if first.windows_per_epoch is not None:
            common |= {"windows_per_epoch": first.windows_per_epoch}
        return {**common, "molecules": list(self.model.names), **shared}

    @property
    def n_steps(self) -> int:
        return sum(task.n_steps for task in self.tasks)

    def batches(self, *, seed: int, device: torch.device) -> Iterator[OfMolecule]:
        """Yield every molecule's batches, whose turn it is being drawn."""
        turns = np.repeat(np.arange(len(self.tasks)), [task.n_steps for task in self.tasks])
        each = [task.batches(seed=seed, device=device) for task in self.tasks]
        for molecule in np.random.default_rng(seed).permutation(turns):
            yield OfMolecule(**vars(next(each[molecule])), molecule=int(molecule))

    def loss(self, model: nn.Module, batch: OfMolecule, *, done: float) -> dict[str, Tensor]:
        return self.tasks[batch.molecule].loss(partial(model, molecule=batch.molecule), batch, done=done)

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the mean over molecules of each one's error relative to its start's."""
        assert isinstance(model, Together)
        losses = [task.validate(member, device=device) for task, member in zip(self.tasks, model.members, strict=True)]
        self.measured = {loss_of(name): loss for name, loss in zip(model.names, losses, strict=True)}
        return float(np.mean(losses))


def train_several(
    trajectories: SeveralMolecules,
    settings: STISettings,
    objective: ObjectiveSettings,
    fit_settings: FitSettings,
    *,
    stride_frames: int,
    parts: Mapping[str, Split] | None,
    folder: str | Path | None,
    resume: bool,
    observers: Sequence[Observer] | None,
    potential: Mapping[str, Any] | None,
    windows_per_epoch: int | None = None,
) -> Runs:
    """Train one network on several molecules; what `train` does with trajectories by molecule.

    Raises:
        ModelMismatch: molecules at different spacings, a checkpoint of others.
        Interrupted: stopped while a potential was learnt that a molecule starts from.
        InvalidTrajectory, TrajectoryTooShort, InvalidSettings, TrainingDiverged.
    """
    parts = _divided(trajectories, settings, stride_frames, parts)
    make_fabric(fit_settings)
    watching, files = [Bar()] if observers is None else observers, Files.of(folder)
    kinds = Kinds.of([one.train.molecule for one in parts.values()])
    tasks, going_on = [], False
    for number, (name, part) in enumerate(parts.items()):
        own = files.for_molecule(number)
        task, going_on = started(
            maker(part, objective, fit_settings, kinds, windows_per_epoch=windows_per_epoch), settings, potential, own,
            windows=part.train, noisy=objective.noise_ang > 0, resume=resume and not _is_new(files, own),
            watching=watching, known_as=f"{name}: skip",
        )  # fmt: skip
        if isinstance(task.model.skip, NewtonSkip) and not task.model.skip.potential.finished:
            kept = "Go on with resume=True." if folder else "Give a folder, so that it can be gone on with."
            raise Interrupted(f"Learning the potential of {name!r} was stopped before its end. {kept}")
        tasks.append(task)
    together = Together(dict(zip(parts, (task.model for task in tasks), strict=True)))
    result = fit(
        SeveralTask(together, tasks), fit_settings, checkpoint=files.checkpoint, resume=going_on, observers=watching
    )
    runs = Runs.of(together, parts, history=result.history, finished=result.finished)
    if is_first():
        forget(*(files.for_molecule(number).potential for number in range(len(parts))))
        if folder is not None:
            runs.save(folder)
    return runs


def _is_new(files: Files, own: Files) -> bool:
    """Return whether an interrupted training had begun, but not come to this molecule."""
    there = lambda path: path is not None and path.is_file()  # noqa: E731

    def look() -> bool:
        if there(files.checkpoint) or there(own.potential) or files.potential is None:
            return False
        return any(files.potential.parent.glob(f"{files.potential.stem}-*{files.potential.suffix}"))

    return from_the_first(look)


def _divided(
    trajectories: SeveralMolecules, settings: STISettings, stride_frames: int, parts: Mapping[str, Split] | None
) -> dict[str, Split]:
    """Return the windows of every molecule, in the order of their names: that of a dictionary shall change nothing."""
    if isinstance(parts, Split):
        raise InvalidSettings("parts was one Split, but there are several molecules. Give the Split of each by name.")
    if parts is None:
        shape = settings.window_shape(stride_frames)
        parts = {name: split(walkers, shape) for name, walkers in _by_name(trajectories).items()}
    parts = dict(sorted(parts.items()))
    if not parts:
        raise InvalidTrajectory("No molecule was given. Pass the trajectories of one or more, by name.")
    for part in parts.values():
        must_be_cut_for(settings, part)
    first, *others = parts
    for name in others:
        here, there = parts[name].train.dt_fs, parts[first].train.dt_fs
        if not np.isclose(here, there, rtol=1e-6):
            raise ModelMismatch(
                f"{name!r} has a frame every {here:g} fs as read, {first!r} every {there:g} fs. One network reads one "
                "spacing: stride the finer, such as trajectory[::2]."
            )
    return parts


def _by_name(trajectories: SeveralMolecules) -> dict[str, Trajectory | Sequence[Trajectory]]:
    """Return trajectories by molecule; lists without names are numbered."""
    if isinstance(trajectories, Mapping):
        if wrong := [name for name in trajectories if not isinstance(name, str) or not name]:
            raise InvalidSettings(f"A molecule was called {wrong[0]!r}; use words for names.")
        return dict(trajectories)
    if any(isinstance(one, Trajectory) for one in trajectories):
        raise InvalidTrajectory(
            "A list held trajectories and lists of trajectories. Pass those of one molecule, or one list for each."
        )
    width = len(str(max(0, len(trajectories) - 1)))
    return {f"{number:0{width}d}": walkers for number, walkers in enumerate(trajectories)}
