"""The loss of the STI-Transformer: its terms, each in units of the start's error, and what they weigh."""

from __future__ import annotations

import torch
from torch import Tensor

from asteroid_nb.data.windows import Window
from asteroid_nb.forecast import sti
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.transformer import Prediction, STITransformer


def lead_scale(scale: Tensor) -> Tensor:
    """Return [horizon] Å: the start's typical error at each lead time, so that near and far count alike."""
    return scale.square().mean(1).sqrt()


def loss_terms(model: STITransformer, prediction: Prediction, window: Window, *, forced: bool) -> dict[str, Tensor]:
    """Return every term of the loss, in units of the start's error."""
    rows, history = model.settings.rows, model.settings.history
    near_far = lead_scale(model.row_scale)
    own = (lead_scale(model.slot_scale) if forced else near_far).view(-1, 1, 1)
    terms = {"decoder": ((prediction.forecast - window.truth) / own).square().mean()}
    if prediction.matrix is None or prediction.sti_forecast is None:
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
