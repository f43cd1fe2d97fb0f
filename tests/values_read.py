"""The values that attention weights go with, of every kind of attention."""

from __future__ import annotations

import torch
from torch import Tensor

from asteroid_nb.forecast.attention import Attention
from asteroid_nb.forecast.near import SharedAttention


def values_read(layer: Attention, args: tuple, options: dict) -> Tensor:
    """Return [..., heads, keys, …] by what a layer was called with, a copy for each node of what all read."""
    projected = options.get("projected") or layer.project(args[-1])
    if not isinstance(layer, SharedAttention):
        return projected[1]
    (_, own), (_, shared) = projected
    return torch.cat([own, shared.expand(-1, own.shape[1], -1, -1, -1)], dim=-2)
