"""The one training loop all wings use, on Lightning Fabric: devices, precision, progress, stop, resume.

A wing hands in a `Task` (model, batches, loss, validation); all else is the same for a laptop, a GPU and many nodes.
What random numbers a step draws depends on seed and step alone, so a resumed training is the uninterrupted one.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from asteroid_nb.captured import recorder
from asteroid_nb.checkpoints import differing_tensor, load_checkpoint, save_checkpoint
from asteroid_nb.draws import seed_step
from asteroid_nb.errors import CorruptModel, ModelMismatch, TrainingDiverged
from asteroid_nb.fit_settings import FitSettings, adamw, can_be_fused, device_and_precision, make_fabric
from asteroid_nb.memory import giving_back
from asteroid_nb.processes import from_the_first, share_of
from asteroid_nb.progress import Interruptible, Observer, Observers
from asteroid_nb.running_average import RunningAverage

__all__ = ["FitResult", "FitSettings", "Task", "fit"]

#: Settings that change nothing about a training but by whom its batches are computed: others may resume it.
HOW_MANY = ("n_devices", "n_nodes")


class Task(Protocol):
    """What a wing must bring.

    It may also have ``identity``, a mapping of plain values (settings of the model and the loss, what the data are)
    that a resumed training must share with the interrupted one; ``measured``, numbers by name that each validation
    leaves and that join the epoch's record; ``steps_alike``, True where a step does the same work for every batch of
    one shape, whatever ``done`` is, and never waits for a GPU.
    """

    @property
    def model(self) -> nn.Module:
        """The module that is trained, in place."""
        ...

    @property
    def n_steps(self) -> int:
        """Steps per epoch."""
        ...

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Any]:
        """Yield one epoch's batches, which depend on the seed alone: never on a global random generator.

        Several processes share each of them by rows, so that the loss must be a mean over rows.
        """
        ...

    def loss(self, model: nn.Module, batch: Any, *, done: float) -> dict[str, Tensor]:
        """Return the terms of the loss, their weighted sum as "loss"; ``done`` runs from 0 to 1 over the training."""
        ...

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the error on held-out data; smaller is better."""
        ...


@dataclass
class FitResult:
    """What training left: the best weights are in the task's model.

    Args:
        history: one record per epoch (epoch, step, train_loss, validation_loss, seconds, seconds_left).
        best_validation: the smallest validation error, whose weights were kept.
        finished: False when it was stopped before its last epoch.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_validation: float = math.inf
    finished: bool = False


@giving_back()
def fit(
    task: Task,
    settings: FitSettings,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
) -> FitResult:
    """Train the task's model and leave the best weights in it, on the CPU.

    The first Ctrl-C, like an observer's wish or a scheduler's SIGTERM, ends training after the step under way; a second
    one ends it at once.

    Args:
        checkpoint: where everything needed to go on is written after each epoch and when stopped.
        resume: go on from there, to the same end as without the interruption; with other processes than before, too.
        observers: progress bars, live curves, Stop buttons; of several processes only the first has them.

    Raises:
        TrainingDiverged: loss, gradient or validation is not finite; the last checkpoint stands.
        CorruptModel, ModelMismatch: there is nothing to resume from, or it is of another training.
        DiskFull: the checkpoint could not be written; the one before stands.
    """
    loop = _Loop(task, settings, None if checkpoint is None else Path(checkpoint))
    with Interruptible() as interrupt, Observers(observers if loop.fabric.is_global_zero else ()) as watched:
        if resume:
            loop.resume()
        watched.start(total_epochs=settings.n_epochs, n_steps=loop.steps_per_epoch)
        while loop.epoch < settings.n_epochs and not loop.out_of_patience:
            if not loop.run_epoch(watched, stop=lambda: interrupt.asked or watched.stopped):
                break
        return loop.finish(watched)


class _Loop:
    """State of a training: what a checkpoint holds and what an epoch changes.

    Several processes share every batch, so that a step is that of one process. All decide alike (one that left alone
    would leave the others waiting): losses are averaged, the first one validates, who is asked to stop stops all.
    """

    def __init__(self, task: Task, settings: FitSettings, path: Path | None) -> None:
        self.task, self.settings, self.path = task, settings, path
        self.fabric = make_fabric(settings)
        self.steps_per_epoch = task.n_steps
        optimiser = adamw(task.model, settings)
        self.model, self.optimiser = self.fabric.setup(task.model, optimiser)  # the first process's weights are all's
        self.average = RunningAverage(task.model, settings.ema_decay)
        self.epoch = self.step_in_epoch = self.step = 0
        self.loss_sum = self.seconds = self.clock = 0.0
        self.best: dict[str, Tensor] = {}
        self.result = FitResult()

    @functools.cached_property  # asked for at the first step, when a checkpoint has told what the task is like
    def recorder(self) -> Callable[[Any], dict[str, Tensor]] | None:
        alone_on_a_gpu = self.fabric.device.type == "cuda" and self.fabric.world_size == 1
        return recorder(self.task, device_and_precision(self.settings)[1]) if alone_on_a_gpu else None

    @property
    def n_steps(self) -> int:
        return self.settings.n_epochs * self.steps_per_epoch

    @property
    def out_of_patience(self) -> bool:
        losses = [record["validation_loss"] for record in self.result.history]
        if self.settings.patience is None or not losses:
            return False
        return len(losses) - 1 - losses.index(min(losses)) >= self.settings.patience

    @property
    def learning_rate(self) -> float:
        """Return the rate of the next step: a straight rise, then a cosine to zero."""
        warmup = max(1, int(self.settings.warmup_share * self.n_steps))
        done = max(0.0, (self.step - warmup) / max(1, self.n_steps - warmup))
        share = min((self.step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * done)))
        return share * self.settings.learning_rate

    def run_epoch(self, watched: Observers, *, stop: Callable[[], bool]) -> bool:
        """Finish the epoch under way; return False when it was stopped in the middle (and saved there)."""
        self.clock = time.perf_counter()
        self.model.train()
        for batch in self._batches():
            if self._asked(stop()):
                self.save()
                return False
            self._step(batch)
            done, left = self.step_in_epoch, self._seconds_left()
            watched.step(self.epoch, done - 1, loss=self.loss_sum / done, seconds_left=left)
        self._close_epoch(watched)
        return True

    def _batches(self) -> Iterator[Any]:
        """Yield what is left of the epoch under way."""
        seed = self.settings.seed * 100_003 + self.epoch
        return islice(self.task.batches(seed=seed, device=self.fabric.device), self.step_in_epoch, self.steps_per_epoch)

    def _asked(self, here: bool) -> bool:
        """Return whether any process was asked to stop."""
        if self.fabric.world_size == 1:
            return here
        asked: Any = self.fabric.all_reduce(torch.tensor(float(here), device=self.fabric.device), reduce_op="sum")
        return bool(asked.item())

    def _step(self, batch: Any) -> None:
        seed_step(self.settings.seed, self.step, self.fabric.global_rank, device=self.fabric.device)
        mine, weight = share_of(batch, self.fabric.global_rank, self.fabric.world_size)
        if self.recorder is not None:
            losses = self.recorder(mine)
        else:
            losses = self.task.loss(self.model, mine, done=self.step / self.n_steps)
        own = losses["loss"] if weight == 1 else weight * losses["loss"]
        self.fabric.backward(own)
        clipped = {"max_norm": self.settings.clip_norm, "error_if_nonfinite": False}
        norm: Any = self.fabric.clip_gradients(self.model, self.optimiser, **clipped)
        both: Any = self.fabric.all_reduce(torch.stack([own.detach().float(), norm.float()]))
        loss, length = both.tolist()  # the one place where a step waits for the GPU
        self._must_be_finite(loss=loss, gradient=length)
        for group in self.optimiser.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update_parameters(self.model.module)
        self.step, self.step_in_epoch = self.step + 1, self.step_in_epoch + 1
        self.loss_sum += loss
        self._tick()

    def _must_be_finite(self, **values: float) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"The {name} became {value} in epoch {self.epoch + 1}, step {self.step_in_epoch + 1}. "
                    "The last checkpoint stands. Look for outliers in the data, or start again with a learning rate "
                    f"below {self.settings.learning_rate:g} or a clip_norm below {self.settings.clip_norm:g}."
                )

    def _close_epoch(self, watched: Observers) -> None:
        averaged = self.average.module.eval()
        with torch.no_grad():
            validation = self.fabric.broadcast(float(self.task.validate(averaged, device=self.fabric.device)))
        self._must_be_finite(validation=validation)
        if validation < self.result.best_validation:
            self.result.best_validation = validation
            self.best = {name: value.detach().cpu().clone() for name, value in averaged.state_dict().items()}
        self._tick()
        record = {"epoch": self.epoch + 1, "step": self.step, "train_loss": self.loss_sum / self.step_in_epoch}
        record |= {"validation_loss": validation, "seconds": self.seconds, "seconds_left": self._seconds_left()}
        record |= getattr(self.task, "measured", {})
        self.epoch, self.step_in_epoch, self.loss_sum = self.epoch + 1, 0, 0.0
        self.result.history.append(record)
        self.save()
        watched.update(record)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now

    def _seconds_left(self) -> float:
        return self.seconds / max(1, self.step) * (self.n_steps - self.step)

    def finish(self, watched: Observers) -> FitResult:
        self.result.finished = self.epoch >= self.settings.n_epochs or self.out_of_patience
        self.task.model.load_state_dict(self.best or self.average.module.state_dict())
        self.task.model.to("cpu").eval()
        done = f"{self.epoch} of {self.settings.n_epochs} epochs, best validation {self.result.best_validation:.4g}"
        if not self.result.finished:
            next_step = "nothing was saved, no folder was named" if self.path is None else "resume to go on"
            done = f"Stopped after {done}; {next_step}."
        watched.finish(done)
        return self.result

    @property
    def _identity(self) -> dict[str, Any]:
        """Return what must not differ between a training and its resumption."""
        settings = {name: value for name, value in vars(self.settings).items() if name not in HOW_MANY}
        return {**settings, **getattr(self.task, "identity", {})}

    def save(self) -> None:
        if self.path is None or not self.fabric.is_global_zero:
            return
        state = {
            "settings": self._identity,
            "model": self.task.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "counters": [self.epoch, self.step_in_epoch, self.step, self.loss_sum, self.seconds],
            "best_validation": self.result.best_validation,
            "history": self.result.history,
        }
        save_checkpoint(self.path, state)

    def resume(self) -> None:
        """Take over the state of an interrupted training."""
        state = from_the_first(lambda: load_checkpoint(self.path, settings=self._identity))
        try:
            if difference := differing_tensor(self.task.model, state["model"]):
                raise ModelMismatch(f"{self.path} is of another model: {difference}. Resume with that, or start anew.")
            self.task.model.load_state_dict(state["model"])
            for group in state["optimiser"]["param_groups"]:  # another machine may have trained
                group["fused"] = can_be_fused(self.settings)
            self.optimiser.load_state_dict(state["optimiser"])
            self.average.load_state_dict(state["average"])
            self.best = state["best"]
            self.epoch, self.step_in_epoch, self.step, self.loss_sum, self.seconds = state["counters"]
            self.result = FitResult(history=state["history"], best_validation=state["best_validation"])
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CorruptModel(f"{self.path} is damaged ({error!r}). Train again without resume.") from error
