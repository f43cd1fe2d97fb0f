"""Attention over atoms and over time, one class for every kind, whose weights can be recorded as they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from asteroid_nb.shapes import Bool, Float

#: Keys up to which softmax in steps is the faster on a CPU.
FEW_KEYS = 32


class Attention(nn.Module):
    """Multi-head attention of queries over a memory.

    Args:
        width: of a token, over all heads.
        heads: how many.
        mode: "softmax", or "continuous" for exp(QKᵀ/√d)V / n (STNN's form divided by the number n of keys that are not
            masked, because the unnormalised sum grows with it). The exponential has no bound.
    """

    def __init__(self, width: int, heads: int, *, mode: str = "softmax") -> None:
        super().__init__()
        self.heads, self.mode = heads, mode
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.recorded: Tensor | None = None
        self.recording = False

    def project(self, memory: Float[Tensor, "*batch keys width"]) -> tuple[Tensor, Tensor]:
        """Return keys and values [..., heads, keys, width / heads]; a decoder caches them."""
        keys, values = self.key_value(memory).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def n_keys(self, projected: Any) -> int:
        """Return how many keys each query reads of what `project` returned."""
        return projected[0].shape[-2]

    def forward(
        self,
        tokens: Float[Tensor, "*batch queries width"],
        memory: Float[Tensor, "*batch keys width"] | None = None,
        *,
        projected: tuple[Tensor, Tensor] | None = None,
        bias: Tensor | None = None,
    ) -> Float[Tensor, "*batch queries width"]:
        """Return what each query gathers.

        Args:
            projected: the memory's keys and values, where they are known already.
            bias: [..., heads or 1, queries, keys], added to the scores; −inf masks, but for a lone key.
        """
        keys, values = projected if projected is not None else self.project(tokens if memory is None else memory)
        queries = self._split(self.query(tokens))
        if keys.shape[-2] == 1 and self.mode == "softmax" and not (self.recording or torch.is_grad_enabled()):
            gathered = values.expand_as(queries)  # of one key, all of it
        elif self.recording or self.mode != "softmax" or in_steps(queries, keys.shape[-2]):
            weights = self.weights(queries, keys, bias)
            if self.recording:
                self.recorded = weights.detach()
            gathered = weights @ values
        else:
            gathered = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return self.out(gathered.transpose(-2, -3).flatten(-2))

    def weights(self, queries: Tensor, keys: Tensor, bias: Tensor | None) -> Float[Tensor, "*batch heads queries keys"]:
        """Return the weights the values are summed with: rows sum to one in softmax mode."""
        return self.shares(queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5, bias)

    def shares(self, scores: Tensor, bias: Tensor | None) -> Float[Tensor, "*batch heads queries keys"]:
        """Return the weights that follow from scores and bias."""
        if bias is not None:
            scores = scores + bias
        if self.mode == "softmax":
            return softmax(scores)
        n_keys = scores.shape[-1] if bias is None else (bias > -torch.inf).sum(-1, keepdim=True)
        return scores.exp() / n_keys

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


def in_steps(like: Tensor, n_keys: int) -> bool:
    """Return whether softmax is worked out in steps: without gradients, in full precision, over few keys, on a CPU."""
    exact = like.dtype.itemsize >= torch.float32.itemsize
    return exact and not torch.is_grad_enabled() and like.device.type == "cpu" and n_keys <= FEW_KEYS


def softmax(scores: Float[Tensor, "*batch queries keys"]) -> Float[Tensor, "*batch queries keys"]:
    """Return the weights of each query; torch's own takes four times as long on a CPU where keys are few."""
    if not in_steps(scores, scores.shape[-1]):
        return scores.softmax(-1)
    raised = (scores - scores.amax(-1, keepdim=True)).exp_()
    return raised / raised.sum(-1, keepdim=True)


class DistanceBias(nn.Module):
    """b_head(RBF(distance)): what each head adds to the score of a pair of atoms so far apart."""

    centres: Tensor

    def __init__(self, heads: int, *, n_basis: int = 16, longest_ang: float = 8.0) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.5, longest_ang, n_basis), persistent=False)
        self.width_ang = (longest_ang - 0.5) / (n_basis - 1)
        self.to_heads = nn.Linear(n_basis, heads)
        nn.init.zeros_(self.to_heads.weight)

    def forward(self, distances: Float[Tensor, "*batch queries keys"]) -> Float[Tensor, "*batch heads queries keys"]:
        return self.of(self.basis(distances))

    def basis(self, distances: Float[Tensor, "*batch queries keys"]) -> Float[Tensor, "*batch queries keys basis"]:
        """Return the Gaussians of distances, which others of its make may share."""
        unit = self.width_ang * 2**0.5
        return torch.exp(-((distances / unit)[..., None] - self.centres / unit).square())

    def of(self, basis: Float[Tensor, "*batch queries keys basis"]) -> Float[Tensor, "*batch heads queries keys"]:
        """Return what follows from the Gaussians."""
        return self.to_heads(basis).movedim(-1, -3)


def blocked(allowed: Bool[Tensor, "*batch queries keys"]) -> Float[Tensor, "*batch queries keys"]:
    """Return the bias that masks: 0 where allowed, −inf elsewhere."""
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, float("-inf"))


@contextmanager
def recording(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield a mapping that holds, at the end, the weights every attention used last, by its name in the model."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Attention)}
    record = Record(layers)
    for layer in layers.values():
        layer.recording = True
    try:
        yield record
    finally:
        record.keep()
        for layer in layers.values():
            layer.recording, layer.recorded = False, None


class Record(dict[str, Tensor]):
    """Attention weights by layer name. Filled by `keep`, which `recording` calls at its end."""

    def __init__(self, layers: dict[str, Attention]) -> None:
        super().__init__()
        self._layers = layers

    def keep(self) -> None:
        """Take over what the layers recorded last."""
        self.update({name: layer.recorded for name, layer in self._layers.items() if layer.recorded is not None})
