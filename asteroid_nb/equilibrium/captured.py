"""A loss and its gradients as one CUDA graph: thousands of small kernels, launched as one.

On a GPU a small force field spends its time launching kernels, whatever the batch. An explicit stack does the same work
for every batch of one shape, so its step is recorded once and replayed with other numbers. A solver decides as it goes
how often it applies f; the equilibrium model's step can therefore not be recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.graph import MOST_DENSE
from asteroid_nb.equilibrium.matching import Batch, matching_loss
from asteroid_nb.equilibrium.settings import ForceObjective

#: Runs before a step is recorded, in which libraries make up their minds.
WARMING_UP = 3

Terms = dict[str, Tensor]


class CapturedLoss:
    """The terms of a loss, "loss" among them, of one model and one shape of batches.

    Args:
        model: its weights may change between calls, in place.
        batch: the first one, on the GPU.
        loss: called with a batch; must not wait for the GPU.
    """

    def __init__(self, model: nn.Module, batch: Batch, loss: Callable[[Batch], Terms]) -> None:
        self.weights = [one for one in model.parameters() if one.requires_grad]
        self.batch = Batch(*(part.clone() for part in _parts(batch)))
        self.graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARMING_UP):
                self._work(loss)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self.graph):
            self.terms, self.gradients = self._work(loss)

    def fits(self, batch: Batch) -> bool:
        """Return whether a batch has the recorded shape."""
        return all(kept.shape == new.shape for kept, new in zip(_parts(self.batch), _parts(batch), strict=True))

    def __call__(self, batch: Batch) -> Terms:
        """Return the terms for another batch; "loss" knows its gradient in the weights."""
        for kept, new in zip(_parts(self.batch), _parts(batch), strict=True):
            kept.copy_(new)
        self.graph.replay()
        loss = _WithGradients.apply(self.terms["loss"].clone(), self.gradients, *self.weights)
        return {**{name: value.clone() for name, value in self.terms.items()}, "loss": loss}

    def _work(self, loss: Callable[[Batch], Terms]) -> tuple[Terms, tuple[Tensor | None, ...]]:
        terms = loss(self.batch)
        gradients = torch.autograd.grad(terms["loss"], self.weights, allow_unused=True)
        return {name: value.detach() for name, value in terms.items()}, gradients


@dataclasses.dataclass
class Recorder:
    """Records the step of a training where that gains something, once for each shape of batches, and replays it.

    Args:
        precision: of the training; others than "32-true" are the trainer's, which a recorded step would go past.
    """

    precision: str
    captured: dict[tuple[int, ...], CapturedLoss] = dataclasses.field(default_factory=dict)

    def __call__(self, model: ForceField, batch: Batch, objective: ForceObjective) -> Terms | None:
        """Return the terms of the loss, or None where the step must be launched kernel by kernel."""
        if self.precision != "32-true" or not _can_be_recorded(model, batch):
            return None
        shape = tuple(batch.positions.shape)
        if shape not in self.captured:
            self.captured[shape] = CapturedLoss(model, batch, lambda one: matching_loss(model, one, objective))
        return self.captured[shape](batch)


def _can_be_recorded(model: ForceField, batch: Batch) -> bool:
    """Return whether the step is the same for every batch, and one process alone takes it on a GPU."""
    explicit_vectors = not model.settings.implicit and model.settings.layer == "vector"
    all_pairs = batch.positions.shape[1] <= MOST_DENSE
    return batch.positions.is_cuda and explicit_vectors and all_pairs and not torch.distributed.is_initialized()


class _WithGradients(torch.autograd.Function):
    """A number whose gradients are known beforehand."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor | None, ...], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *pushed: Tensor) -> Any:
        return None, None, *(None if one is None else pushed[0] * one for one in ctx.gradients)


def _parts(batch: Batch) -> tuple[Tensor, ...]:
    return tuple(getattr(batch, one.name) for one in dataclasses.fields(batch))
