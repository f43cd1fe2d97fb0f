"""What a network starts from: fitted by one process for all, and not again where a checkpoint holds it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from asteroid_nb.checkpoints import CHECKPOINT_FILE, load_checkpoint
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.fit_settings import FitSettings
from asteroid_nb.forecast.newton import NewtonSkip, can_be_learnt
from asteroid_nb.forecast.potential_fit import paths_file
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.transformer import STITransformer
from asteroid_nb.processes import from_the_first, is_first
from asteroid_nb.progress import Bar, Observer, Quietly

if TYPE_CHECKING:
    from asteroid_nb.forecast.training import ForecastTask

#: Windows that a ridge map is fitted on, to see whether a potential forecasts better.
MOST_COMPARED = 4096

WORSE = (
    "A potential was learnt from these frames, but forecasts worse than a ridge map: the network starts from the ridge "
    "map. Are positions rounded, or the trajectories short? With settings.replace(skip='ridge') none is learnt."
)

#: Beside the checkpoint: of the potential that a network starts from, if it does.
POTENTIAL_FILE = "potential.pt"


class Files(NamedTuple):
    """Where a training, and the potential it starts from, can be resumed from; None where nothing is written."""

    checkpoint: Path | None
    potential: Path | None

    @classmethod
    def of(cls, folder: str | Path | None) -> Files:
        return cls(*(None if folder is None else Path(folder) / name for name in (CHECKPOINT_FILE, POTENTIAL_FILE)))

    def for_molecule(self, number: int) -> Files:
        """Return those of one of several molecules that share the checkpoint."""
        own = None if self.potential is None else self.potential.with_stem(f"{self.potential.stem}-{number:02d}")
        return Files(self.checkpoint, own)


class _Begun(NamedTuple):
    going_on: bool
    finished: bool = True
    weights: Mapping[str, Tensor] = {}


def begin(task: ForecastTask, files: Files, *, resume: bool, watching: Sequence[Observer]) -> bool:
    """Give the model what it starts from, the same to the last bit in every process.

    Returns:
        Whether there is a checkpoint to go on from, which holds what fitting the start would find.
    """
    begun = from_the_first(lambda: _begun(task, files, resume, watching))
    if not is_first() and begun.weights:
        task.model.load_state_dict(begun.weights)
    if isinstance(task.model.skip, NewtonSkip):
        task.model.skip.potential.finished = begun.finished
    return begun.going_on


def _begun(task: ForecastTask, files: Files, resume: bool, watching: Sequence[Observer]) -> _Begun:
    if resume and not (_is_file(files.potential) and not _is_file(files.checkpoint)):
        return _Begun(going_on=True)
    model, start = task.model, task.start
    if not resume:
        forget(*files)
    known = {"checkpoint": files.potential, "resume": resume, "observers": _before(watching)} if start else {}
    model.fit_start(task.train, task.validation, task.variants, **start, **known)
    finished = not isinstance(model.skip, NewtonSkip) or model.skip.potential.finished
    return _Begun(False, finished, model.state_dict())


def started(
    task_of: Callable[[STISettings, Mapping[str, Any] | None], ForecastTask],
    settings: STISettings,
    potential: Mapping[str, Any] | None,
    files: Files,
    *,
    windows: Windows,
    noisy: bool,
    resume: bool,
    watching: Sequence[Observer],
    known_as: str = "skip",
) -> tuple[ForecastTask, bool]:
    """Return a task whose model has what it starts from, and whether there is a checkpoint to go on from.

    Where the choice is ours, a potential is learnt where that is possible, and kept where it forecasts the validation
    windows better than a ridge map; ``known_as`` is what a checkpoint calls the choice.
    """
    if settings.skip != "auto":
        task = task_of(settings, potential)
        return task, begin(task, files, resume=resume, watching=watching)
    chosen = settings.replace(skip=_known(files, resume, known_as) or first_choice(settings, windows, noisy=noisy))
    task = task_of(chosen, potential if chosen.skip == "newton" else None)
    going_on = begin(task, files, resume=resume, watching=watching)
    skip = task.model.skip
    learnt = isinstance(skip, NewtonSkip) and skip.potential.finished
    if not learnt or going_on or not from_the_first(lambda: loses_to_a_ridge_map(task)):
        return task, going_on
    if is_first():
        warnings.warn(WORSE, stacklevel=3)
    task = task_of(chosen.replace(skip="ridge"), None)
    return task, begin(task, files._replace(potential=None), resume=False, watching=watching)


def first_choice(settings: STISettings, windows: Windows, *, noisy: bool) -> str:
    """Return what to start from: Newton's equations where histories are clean and a potential can be learnt."""
    learnable = settings.seen_frames > 1 and can_be_learnt(windows.trajectories[0])
    return "newton" if learnable and not noisy else "ridge"


def loses_to_a_ridge_map(task: ForecastTask) -> bool:
    """Return whether a ridge map of some windows forecasts the validation windows better than the model's start.

    Frames that are rounded, or too few, make a bad potential.
    """
    model = STITransformer(task.model.settings.replace(skip="ridge"), task.model.molecule)
    model.fit_start(task.train.subset(most=MOST_COMPARED), task.validation)
    ratio = task.start_error / replace(task, model=model, start={}).start_error
    return not float(ratio.mean()) <= 1.0


def _known(files: Files, resume: bool, name: str) -> str | None:
    """Return what a training to go on with was started from."""
    if not resume or not _is_file(files.checkpoint):
        return None
    return from_the_first(lambda: load_checkpoint(files.checkpoint, settings={})["settings"].get(name))


def options_of_start(
    settings: STISettings, fit_settings: FitSettings, potential: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the options with which a potential is learnt; none where the model does not start from one.

    Raises:
        InvalidSettings: an option that does not exist, or options without a potential.
    """
    if settings.skip != "newton":
        if potential:
            raise InvalidSettings(f"potential={dict(potential)} is for skip='newton'; skip is {settings.skip!r}.")
        return {}
    allowed = {"n_steps", "n_path_steps", *(one.name for one in fields(FitSettings))} - {"n_epochs"}
    if unknown := sorted(set(potential or {}) - allowed):
        raise InvalidSettings(f"A potential knows no option {unknown[0]!r}; there are {', '.join(sorted(allowed))}.")
    return {"seed": fit_settings.seed, "device": fit_settings.device, **(potential or {})}


def forget(*paths: Path | None) -> None:
    """Remove what an earlier training left."""
    for path in paths:
        if path is not None:
            path.unlink(missing_ok=True)
            paths_file(path).unlink(missing_ok=True)


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()


def _before(watching: Sequence[Observer]) -> list[Any]:
    """Return who watches a potential being learnt: those who only count steps, the others may but stop it."""
    bars = [Bar("potential")] if any(isinstance(one, Bar) for one in watching) else []
    return [*bars, Quietly(watching)]
