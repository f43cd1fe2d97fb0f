"""Training a language model over states: next-state cross entropy, judged on a replica it never learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.processes import is_first
from asteroid_nb.progress import Bar, Observer
from asteroid_nb.states.language import LanguageModel, build
from asteroid_nb.states.run import LanguageRun
from asteroid_nb.states.sampling import mean_cross_entropy
from asteroid_nb.states.settings import LANGUAGE_FIT, LanguageSettings, LSTMSettings
from asteroid_nb.states.windows import StateWindows, must_agree

#: Validation windows looked at after each epoch.
MOST_VALIDATED = 512


@dataclasses.dataclass
class LanguageTask:
    """A language model as a `Task` of `asteroid_nb.fitting`."""

    model: LanguageModel
    train: StateWindows
    validation: StateWindows
    batch_size: int

    @property
    def identity(self) -> dict[str, Any]:
        """Return what a resumed training must share with the interrupted one."""
        data = {"dt_fs": self.train.dt_fs, "n_states": self.train.n_states, "states": self.train.fingerprint}
        chosen = {"model": self.model.name, **dataclasses.asdict(self.model.settings)}
        return {**chosen, **data, "validation_states": self.validation.fingerprint}

    @property
    def n_steps(self) -> int:
        return max(1, len(self.train.starts()) // self.batch_size)

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Tensor]:
        """Yield windows that together cover the training data about once, cut elsewhere and shuffled each time."""
        draw = np.random.default_rng(seed)
        starts = draw.permutation(self.train.starts(draw))
        yield from self.train.batches(starts[: self.n_steps * self.batch_size], self.batch_size, device)

    def loss(self, model: nn.Module, batch: Tensor, *, done: float) -> dict[str, Tensor]:
        scores = model(batch[:, :-1]).float()
        return {"loss": functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())}

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the mean −ln p of next states in nats per frame on the held-out replica."""
        return mean_cross_entropy(model, self.validation, device, most=MOST_VALIDATED)  # type: ignore[arg-type]


def train_language(
    replicas: StateTrajectory | Sequence[StateTrajectory],
    *,
    validation: StateTrajectory | None = None,
    settings: LanguageSettings | None = None,
    fit_settings: FitSettings | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] | None = None,
    **fitting: Any,
) -> LanguageRun:
    """Train a language model on state trajectories and return it.

    Args:
        replicas: independent trajectories of the same states at the same spacing.
        validation: held out to choose the epoch by; the last replica when not given.
        settings: of the model; an LSTM's defaults when not given.
        fit_settings: `LANGUAGE_FIT` when not given.
        folder: where checkpoint, settings and weights go; nothing is written without.
        resume: go on from the folder's checkpoint.
        observers: who watches and may stop it; a progress bar when not given.
        fitting: changes to ``fit_settings`` by name, such as ``n_epochs``, ``device`` or ``seed``.

    Raises:
        InvalidTrajectory: nothing is held out, or the training states never change.
        ModelMismatch: different states or spacings, or a checkpoint of another training.
        TrajectoryTooShort, InvalidSettings, TrainingDiverged.
    """
    settings, fit_settings = settings or LSTMSettings(), dataclasses.replace(fit_settings or LANGUAGE_FIT, **fitting)
    learnt, held_out = _held_out(replicas, validation)
    train, checked = (StateWindows(part, settings.context + 1) for part in (learnt, [held_out]))
    torch.manual_seed(fit_settings.seed)
    task = LanguageTask(build(settings, train.n_states), train, checked, fit_settings.batch_size)
    checkpoint = None if folder is None else Path(folder) / CHECKPOINT_FILE
    watching = [Bar()] if observers is None else observers
    result = fit(task, fit_settings, checkpoint=checkpoint, resume=resume, observers=watching)
    run = LanguageRun(
        task.model,
        train.dt_fs,
        train.labels,
        train.frequencies,
        history=result.history,
        n_training_frames=train.n_frames,
        finished=result.finished,
    )
    if folder is not None and is_first():
        run.save(folder)
    return run


def _held_out(
    replicas: StateTrajectory | Sequence[StateTrajectory], validation: StateTrajectory | None
) -> tuple[list[StateTrajectory], StateTrajectory]:
    """Return what is learnt from and what is held out, or say why there is nothing to learn or to hold out."""
    learnt = [replicas] if isinstance(replicas, StateTrajectory) else list(replicas)
    if validation is None:
        if len(learnt) < 2:
            raise InvalidTrajectory(
                f"Found {len(learnt)} trajectories and no validation: one replica must be held out. Give two or more, "
                "or cut one in two: [trajectory[:n], trajectory[n:]]."
            )
        *learnt, validation = learnt
    must_agree([*learnt, validation])
    if not any(np.ptp(one.states) for one in learnt):
        raise InvalidTrajectory(
            "The training states never change, so there is no jump to learn. Use longer trajectories or other states."
        )
    if any(np.array_equal(one.states, validation.states) for one in learnt):
        raise InvalidTrajectory(
            f"{validation.name!r} is to be held out but is among the training data, too. Hold out another replica."
        )
    return learnt, validation
