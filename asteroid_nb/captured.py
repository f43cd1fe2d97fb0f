"""A loss and its gradients as one CUDA graph: thousands of small kernels, launched as one.

On a GPU a small model spends its time launching kernels, whatever the batch. Where a step does the same work for every
batch of one shape, it is recorded once and replayed with other numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asteroid_nb.errors import InvalidSettings

#: Runs before a step is recorded, in which libraries make up their minds.
WARMING_UP = 3

#: Precisions in which a step can be recorded, and what mixed precision computes in.
RECORDED = {"32-true": None, "bf16-mixed": torch.bfloat16}

Terms = dict[str, Tensor]


class CapturedLoss:
    """The terms of a loss, "loss" among them, of one model and one shape of batches.

    Args:
        model: its weights may change between calls, in place.
        batch: the first one, on the GPU: a tensor, a tuple of them, or a dataclass that holds some.
        loss: called with a batch; must not wait for the GPU.
    """

    def __init__(self, model: nn.Module, batch: Any, loss: Callable[[Any], Terms]) -> None:
        self.weights = [one for one in model.parameters() if one.requires_grad]
        self.batch = _with_copies(batch)
        self.graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARMING_UP):
                self._work(loss)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):  # threads make batches meanwhile
            self.terms, self.gradients = self._work(loss)

    def __call__(self, batch: Any) -> Terms:
        """Return the terms for another batch; "loss" knows its gradient in the weights."""
        for kept, new in zip(_tensors(self.batch), _tensors(batch), strict=True):
            kept.copy_(new)
        self.graph.replay()
        loss = _WithGradients.apply(self.terms["loss"].clone(), self.gradients, *self.weights)
        return {**{name: value.clone() for name, value in self.terms.items()}, "loss": loss}

    def _work(self, loss: Callable[[Any], Terms]) -> tuple[Terms, tuple[Tensor | None, ...]]:
        terms = loss(self.batch)
        gradients = torch.autograd.grad(terms["loss"], self.weights, allow_unused=True)
        return {name: value.detach() for name, value in terms.items()}, gradients


def recorder(task: Any, precision: str) -> Callable[[Any], Terms] | None:
    """Return what replays a task's steps, recorded once for each shape of batches; None where that cannot be done.

    It calls the loss of the bare model: Fabric's wrapper is not made to be recorded.
    """
    if precision not in RECORDED or not getattr(task, "steps_alike", False):
        return None
    kind, known = RECORDED[precision], {}

    def loss(batch: Any) -> Terms:
        with torch.autocast("cuda", dtype=kind, enabled=kind is not None, cache_enabled=False):
            return task.loss(task.model, batch, done=0.0)

    def replayed(batch: Any) -> Terms:
        shape = shape_of(batch)
        if shape not in known:
            known[shape] = CapturedLoss(task.model, batch, loss)
        return known[shape](batch)

    return replayed


def recorded(work: Callable[[], Any]) -> Callable[[], None]:
    """Return what repeats some work on the GPU as one CUDA graph; it must read and write the same memory each time.

    Raises:
        InvalidSettings: torch finds no GPU.
    """
    if not torch.cuda.is_available():
        raise InvalidSettings("Work is recorded as a CUDA graph, but torch finds no CUDA GPU here. Call it instead.")
    graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARMING_UP):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    with torch.cuda.graph(graph):
        work()
    return graph.replay


class _WithGradients(torch.autograd.Function):
    """A number whose gradients are known beforehand."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor | None, ...], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *pushed: Tensor) -> Any:
        return None, None, *(None if one is None else pushed[0] * one for one in ctx.gradients)


def shape_of(batch: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a batch's tensors."""
    return tuple(tuple(one.shape) for one in _tensors(batch))


def _tensors(batch: Any) -> list[Tensor]:
    if isinstance(batch, Tensor):
        return [batch]
    parts = batch if isinstance(batch, tuple) else vars(batch).values()
    return [one for one in parts if isinstance(one, Tensor)]


def _with_copies(batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return batch.clone()
    if isinstance(batch, tuple):
        return tuple(one.clone() for one in batch)
    return dataclasses.replace(batch, **{k: v.clone() for k, v in vars(batch).items() if isinstance(v, Tensor)})
