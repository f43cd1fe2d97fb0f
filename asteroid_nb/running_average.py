"""Weights averaged over the steps of a training, by commands that a GPU need not be waited for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class RunningAverage(AveragedModel):
    """An exponential average of a model's weights; buffers are taken over as they are.

    The same as torch's class with the same decay, which asks the GPU at each step how many there were.

    Args:
        decay: what is left of the average at each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.follow, self.begun = get_ema_multi_avg_fn(decay), False

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Let the average follow the weights, or begin with them."""
        average: list[Any] = [*self.module.parameters()]
        weights: list[Any] = [*model.parameters()]
        self.begun = self.begun or int(self.n_averaged) > 0  # what a checkpoint held
        if self.begun:
            self.follow(average, weights, self.n_averaged)
        else:
            _take_over(average, weights)
        self.begun = True
        self.n_averaged += 1
        _take_over(self.module.buffers(), model.buffers())


def _take_over(mine: Iterable[Tensor], theirs: Iterable[Tensor]) -> None:
    for kept, new in zip(mine, theirs, strict=True):
        kept.copy_(new)
