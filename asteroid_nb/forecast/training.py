"""Training the STI-Transformer: its losses, its augmentation, and the verb ``train``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Split, Window, Windows, split
from asteroid_nb.fitting import FitResult, FitSettings, fit
from asteroid_nb.forecast import sti
from asteroid_nb.forecast.frames import random_rotations
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings, preset
from asteroid_nb.forecast.transformer import Prediction, STITransformer
from asteroid_nb.progress import Bar, Observer

#: Validation windows looked at after each epoch.
MOST_VALIDATED = 1024


@dataclass
class ForecastTask:
    """The STI-Transformer as a `Task` of `asteroid_nb.fitting`."""

    model: STITransformer
    train: Windows
    validation: Windows
    objective: ObjectiveSettings
    batch_size: int

    @property
    def n_steps(self) -> int:
        return max(1, len(self.train) // self.batch_size)

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Window]:
        """Yield full batches of augmented windows in the model's frame."""
        generator = torch.Generator().manual_seed(seed)
        for window in self.train.batches(self.batch_size, shuffle_seed=seed, device=device):
            if len(window) == self.batch_size or len(self.train) < self.batch_size:
                yield self.model.prepare(self.augment(window, generator))

    def augment(self, window: Window, generator: torch.Generator) -> Window:
        """Mirror, turn and shake as the objective asks."""
        rotate = self.objective.rotate
        if rotate is None:
            rotate = self.model.settings.frame == "none"
        if rotate or self.objective.mirror:
            turn = random_rotations(len(window), mirror=self.objective.mirror, generator=generator)
            if not rotate:
                turn = torch.diag_embed(torch.stack([torch.ones(len(window))] * 2 + [torch.linalg.det(turn)], dim=-1))
            window = window.rotated(turn.to(window.history))
        if self.objective.noise_ang:
            noise = torch.randn(window.history.shape, generator=generator) * self.objective.noise_ang
            window = window.replace(history=window.history + noise.to(window.history))
        return window

    def loss(self, model: nn.Module, batch: Window, *, done: float) -> dict[str, Tensor]:
        first, last = self.objective.teacher_forcing
        forcing = first + (last - first) * min(1.0, 2 * done)
        prediction = model(batch, teacher_forcing=forcing)
        terms = loss_terms(self.model, prediction, batch, forced=forcing >= 1.0 and self.model.autoregressive)
        weights = loss_weights(self.objective)
        return terms | {"loss": sum(weights[name] * term for name, term in terms.items())}

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the RMSE relative to the linear forecast's, averaged over lead times, of free-running forecasts."""
        errors = []
        for window in self.validation.subset(most=MOST_VALIDATED).batches(256, device=device):
            window = self.model.prepare(window)
            errors.append((model(window).forecast - window.truth).square().mean((2, 3)))
        by_lead = torch.cat(errors).mean(0).sqrt()
        return float((by_lead / lead_scale(model.row_scale)).mean())


def lead_scale(scale: Tensor) -> Tensor:
    """Return [horizon] Å: the typical error of the linear forecast at each lead time, so that near and far count alike."""
    return scale.square().mean(1).sqrt()


def loss_terms(model: STITransformer, prediction: Prediction, window: Window, *, forced: bool) -> dict[str, Tensor]:
    """Return every term of the loss, in units of the linear forecast's error."""
    rows, history = model.rows, model.settings.history
    near_far = lead_scale(model.row_scale)
    own = (lead_scale(model.slot_scale) if forced else near_far).view(-1, 1, 1)
    terms = {"decoder": ((prediction.forecast - window.truth) / own).square().mean()}
    if prediction.matrix is None:
        return terms
    columns = torch.cat([near_far[:1], near_far]).view(-1, 1, 1)
    matrix, averaged = prediction.matrix, model.sti_scale
    terms["matrix"] = ((prediction.sti_forecast - window.truth) / averaged.view(-1, 1, 1)).square().mean()
    terms["determined_state"] = sti.determined_state_loss(matrix, window.history, rows, scale_ang=columns)
    terms["future_consistency"] = sti.future_consistency_loss(matrix, rows, history, scale_ang=averaged)
    if prediction.reconstruction is not None:
        found, true = prediction.reconstruction
        terms["reconstruction"] = (found - true).square().mean()
    return terms


def loss_weights(objective: ObjectiveSettings) -> dict[str, float]:
    """Return the weight of every term; the self-supervised regime has no supervised ones."""
    supervised = float(objective.training == "supervised")
    return {
        "decoder": objective.decoder * supervised,
        "matrix": objective.matrix * supervised,
        "determined_state": objective.determined_state,
        "future_consistency": objective.future_consistency,
        "reconstruction": objective.reconstruction,
    }
