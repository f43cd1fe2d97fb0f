"""The one training loop all wings use, on Lightning Fabric: devices, precision, progress, stop, resume.

A wing hands in a `Task` (model, batches, loss, validation); everything else is the same for a laptop, a GPU and many nodes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric, seed_everything
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asteroid_nb.checkpoints import load_checkpoint, save_checkpoint
from asteroid_nb.errors import TrainingDiverged
from asteroid_nb.progress import Interruptible, Observer, Observers


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a model is trained.

    Args:
        n_epochs: passes over the training windows.
        batch_size: windows per step and process.
        learning_rate: at its highest, after ``warmup_share`` of all steps; it then falls along a cosine.
        weight_decay: of AdamW.
        clip_norm: gradients longer than this are shortened to it.
        ema_decay: of the moving average of the weights, which is what is validated and kept.
        patience: epochs without a better validation before training stops; None never stops early.
        seed: of weights, order and augmentation.
        device: "auto", "cpu", "cuda", "mps".
        precision: "auto" is bf16-mixed on CUDA and 32-true elsewhere.
        n_devices: processes on this node, under Fabric's own launcher or ``torchrun``.
        n_nodes: machines.
    """

    n_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.995
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    n_devices: int = 1
    n_nodes: int = 1


class Task(Protocol):
    """What a wing must bring."""

    @property
    def model(self) -> nn.Module:
        """The model to train."""
        ...

    @property
    def n_steps(self) -> int:
        """Steps per epoch."""
        ...

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Any]:
        """Yield one epoch's batches, in an order that depends on the seed alone."""
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
        history: one record per epoch (epoch, step, train_loss, validation_loss, seconds).
        best_validation: the smallest validation error, whose weights were kept.
        finished: False when it was stopped before its last epoch.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_validation: float = math.inf
    finished: bool = False


def fit(
    task: Task,
    settings: FitSettings,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
) -> FitResult:
    """Train the task's model and leave the best weights in it.

    Args:
        checkpoint: where everything needed to go on is written after each epoch and when stopped.
        resume: go on from there, to the same end as without the interruption.
        observers: progress bars, live curves, Stop buttons.

    Raises:
        TrainingDiverged: the loss is not finite; the last checkpoint stands.
    """
    with Interruptible() as interrupt, Observers(observers) as watched:
        loop = _Loop(task, settings, None if checkpoint is None else Path(checkpoint))
        if resume:
            loop.resume()
        watched.start(total_epochs=settings.n_epochs, n_steps=task.n_steps)
        while loop.epoch < settings.n_epochs and not loop.out_of_patience:
            if not loop.run_epoch(watched, stop=lambda: interrupt.asked or watched.stopped):
                break
        return loop.finish(watched)


class _Loop:
    """State of a training: what a checkpoint holds and what an epoch changes."""

    def __init__(self, task: Task, settings: FitSettings, path: Path | None) -> None:
        self.task, self.settings, self.path = task, settings, path
        self.fabric = make_fabric(settings)
        seed_everything(settings.seed + self.fabric.global_rank, verbose=False)
        optimiser = torch.optim.AdamW(
            task.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: self._learning_rate(step))  # a method would be pickled
        self.average = AveragedModel(task.model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
        self.model, self.optimiser = self.fabric.setup(task.model, optimiser)
        self.average.to(self.fabric.device)
        self.epoch = self.step_in_epoch = self.step = 0
        self.loss_sum, self.seconds = 0.0, 0.0
        self.best: dict[str, Tensor] = {}
        self.result = FitResult()

    @property
    def n_steps(self) -> int:
        return self.settings.n_epochs * self.task.n_steps

    @property
    def out_of_patience(self) -> bool:
        losses = [record["validation_loss"] for record in self.result.history]
        if self.settings.patience is None or not losses:
            return False
        return len(losses) - 1 - losses.index(min(losses)) >= self.settings.patience

    def _learning_rate(self, step: int) -> float:
        warmup = max(1, int(self.settings.warmup_share * self.n_steps))
        done = min(1.0, max(0.0, (step - warmup) / max(1, self.n_steps - warmup)))
        return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * done)))

    def run_epoch(self, watched: Observers, *, stop) -> bool:
        """Finish the epoch under way; return False when it was stopped in the middle (and saved there)."""
        self.model.train()
        for index, batch in enumerate(self.task.batches(seed=self._epoch_seed(), device=self.fabric.device)):
            if index < self.step_in_epoch:
                continue
            if stop():
                self.save()
                return False
            self._step(batch)
            watched.step(self.epoch, index, loss=self.loss_sum / self.step_in_epoch, seconds_left=self._seconds_left())
        self._close_epoch(watched)
        return True

    def _step(self, batch: Any) -> None:
        began = time.perf_counter()
        losses = self.task.loss(self.model, batch, done=self.step / self.n_steps)
        value = float(losses["loss"].detach())
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"The loss became {value} in epoch {self.epoch + 1}, step {self.step_in_epoch + 1}. The last checkpoint stands. "
                f"Lower the learning rate (it was {self.settings.learning_rate:g}) or clip_norm, and look for outliers in the data."
            )
        self.fabric.backward(losses["loss"])
        self.fabric.clip_gradients(self.model, self.optimiser, max_norm=self.settings.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.schedule.step()
        self.average.update_parameters(self.model.module)
        self.step, self.step_in_epoch = self.step + 1, self.step_in_epoch + 1
        self.loss_sum += value
        self.seconds += time.perf_counter() - began

    def _close_epoch(self, watched: Observers) -> None:
        began = time.perf_counter()
        averaged = self.average.module.eval()
        with torch.no_grad():
            validation = self.task.validate(averaged, device=self.fabric.device)
        if validation < self.result.best_validation:
            self.result.best_validation = validation
            self.best = {name: value.detach().cpu().clone() for name, value in averaged.state_dict().items()}
        self.seconds += time.perf_counter() - began
        self.epoch, n_done, self.step_in_epoch = self.epoch + 1, self.step_in_epoch, 0
        record = {"epoch": self.epoch, "step": self.step, "train_loss": self.loss_sum / max(1, n_done)}
        record |= {"validation_loss": validation, "seconds": self.seconds, "seconds_left": self._seconds_left()}
        self.loss_sum = 0.0
        self.result.history.append(record)
        self.save()
        watched.update(record)

    def _seconds_left(self) -> float:
        return self.seconds / max(1, self.step) * (self.n_steps - self.step)

    def _epoch_seed(self) -> int:
        return self.settings.seed * 100_003 + self.epoch

    def finish(self, watched: Observers) -> FitResult:
        self.result.finished = self.epoch >= self.settings.n_epochs or self.out_of_patience
        self.task.model.load_state_dict(self.best or self.average.module.state_dict())
        self.task.model.to("cpu").eval()
        done = f"{self.epoch} of {self.settings.n_epochs} epochs, best validation {self.result.best_validation:.4g}"
        watched.finish(done if self.result.finished else f"Stopped after {done}; resume to go on.")
        return self.result

    def save(self) -> None:
        if self.path is None or not self.fabric.is_global_zero:
            return
        state = {
            "settings": dict(vars(self.settings)),
            "model": self.task.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "counters": [self.epoch, self.step_in_epoch, self.step, self.loss_sum, self.seconds],
            "best_validation": self.result.best_validation,
            "history": self.result.history,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        save_checkpoint(self.path, state)

    def resume(self) -> None:
        """Take over the state of an interrupted training, random numbers included."""
        state = load_checkpoint(self.path, settings=dict(vars(self.settings)))
        self.task.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.average.load_state_dict(state["average"])
        self.best = state["best"]
        self.epoch, self.step_in_epoch, self.step, self.loss_sum, self.seconds = state["counters"]
        self.result = FitResult(history=state["history"], best_validation=state["best_validation"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])


def make_fabric(settings: FitSettings) -> Fabric:
    """Return a launched Fabric for the device asked for; "auto" takes a GPU where there is one."""
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = settings.precision
    if precision == "auto":
        precision = "bf16-mixed" if device == "cuda" else "32-true"
    fabric = Fabric(accelerator=device, devices=settings.n_devices, num_nodes=settings.n_nodes, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric
