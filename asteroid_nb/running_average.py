"""Weights averaged over the steps of a training, without waiting for a GPU at each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class RunningAverage(AveragedModel):
    """An exponential average of a model's weights; buffers are taken over as they are.

    The same as torch's class with the same decay, which copies the number of steps to the GPU at each and waits for it.

    Args:
        decay: what is left of the average at each step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.follow = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Let the average follow the weights, or begin with them."""
        average: list[Any] = [*self.module.parameters()]
        weights: list[Any] = [*model.parameters()]
        if self.n_averaged > 0:  # which is counted on the CPU
            self.follow(average, weights, self.n_averaged)
        else:
            _take_over(average, weights)
        self.n_averaged += 1
        _take_over(self.module.buffers(), model.buffers())


def _take_over(mine: Iterable[Tensor], theirs: Iterable[Tensor]) -> None:
    for kept, new in zip(mine, theirs, strict=True):
        kept.copy_(new)
