"""A causal Transformer over states whose attention looks back a fixed number of frames.

Each layer sees a window of distances, with a learned score per distance and nothing that depends on absolute time. A
rolling cache of keys and values is therefore exact: it holds all that a forward pass over the context would use.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.layers import Head, embedding_of
from asteroid_nb.states.settings import TransformerSettings


@dataclass
class RollingCache:
    """Keys and values of the last frames, one pair [chains, heads, window, width / heads] per layer.

    Frame t lies in slot t mod window, where it takes the place of the frame that has just left the window.
    """

    layers: list[tuple[Tensor, Tensor]]
    n_seen: int = 0


class WindowedAttention(nn.Module):
    """Multi-head attention to the last ``window`` frames, scored by content and by distance.

    Reference:
        Distances instead of positions: Shaw, Uszkoreit & Vaswani (2018), arXiv:1803.02155; one number per head and
        distance: Raffel et al. (2020), arXiv:1910.10683; where they start: Press, Smith & Lewis (2022),
        arXiv:2108.12409.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        slopes = 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)  # heads begin with memories from short to long
        self.by_distance = nn.Parameter(-slopes[:, None] * torch.arange(window))

    def forward(self, x: Float[Tensor, "windows history width"]) -> Float[Tensor, "windows history width"]:
        queries, keys, values = (part.transpose(1, 2) for part in self._project(x))
        frames = torch.arange(x.shape[1], device=x.device)
        distance = frames[:, None] - frames
        unseen = (distance < 0) | (distance >= self.window)
        bias = self.by_distance[:, distance.clamp(0, self.window - 1)].masked_fill(unseen, -torch.inf)
        gathered = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return self.out(gathered.transpose(1, 2).flatten(-2))

    def step(self, x: Float[Tensor, "chains width"], cached: tuple[Tensor, Tensor], frame: int) -> Tensor:
        """Return what the newest frame gathers, after putting its key and value into the cache."""
        query, key, value = self._project(x)
        slot, n_seen = frame % self.window, min(frame + 1, self.window)
        keys, values = cached
        keys[:, :, slot], values[:, :, slot] = key, value
        distance = (slot - torch.arange(n_seen, device=x.device)) % self.window
        scores = query[:, :, None] @ keys[:, :, :n_seen].mT * query.shape[-1] ** -0.5
        weights = (scores + self.by_distance[:, None, distance]).softmax(-1)
        return self.out((weights @ values[:, :, :n_seen]).flatten(1))

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values, each [..., heads, width / heads]."""
        return tuple(part.unflatten(-1, (self.heads, -1)) for part in self.query_key_value(x).chunk(3, dim=-1))


class Layer(nn.Module):
    """Attention, then feed-forward, each on normalised input and added to it."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        width, hidden = settings.width, settings.feed_forward
        self.attention = WindowedAttention(width, settings.heads, settings.window)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norms[0](x)))
        return x + self.dropout(self.feed_forward(self.norms[1](x)))

    def step(self, x: Tensor, cached: tuple[Tensor, Tensor], frame: int) -> Tensor:
        x = x + self.attention.step(self.norms[0](x), cached, frame)
        return x + self.feed_forward(self.norms[1](x))


class Transformer(nn.Module):
    """States through an embedding, layers of windowed attention and a head.

    Reference:
        Vaswani et al. (2017), arXiv:1706.03762.
    """

    name = "Transformer"

    def __init__(self, settings: TransformerSettings, n_states: int) -> None:
        super().__init__()
        self.settings, self.n_states = settings, n_states
        self.embedding = embedding_of(n_states, settings.width)
        self.layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        self.head = Head(n_states, width=settings.width, embedding=settings.width, tied=settings.tied)
        self.dropout = nn.Dropout(settings.dropout)

    @property
    def context(self) -> int:
        return self.settings.context

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def forward(self, states: Int[Tensor, "windows history"]) -> Float[Tensor, "windows history states"]:
        """Return the scores of the state after each one, from that one and those before it within the context."""
        x = self.dropout(self.embedding(states))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x), self.embedding)

    def begin(self, n_chains: int) -> RollingCache:
        """Return the memory of chains that have seen nothing."""
        chosen = self.settings
        shape = n_chains, chosen.heads, chosen.window, chosen.width // chosen.heads
        empty = lambda: self.embedding.weight.new_empty(shape)  # noqa: E731
        return RollingCache([(empty(), empty()) for _ in self.layers])

    def step(self, states: Int[Tensor, " chains"], memory: RollingCache) -> tuple[Tensor, RollingCache]:
        """Return scores [chains, states] of the next state, and the memory with this one in it."""
        x = self.embedding(states)
        for layer, cached in zip(self.layers, memory.layers, strict=True):
            x = layer.step(x, cached, memory.n_seen)  # type: ignore[operator]  # a ModuleList forgets what it holds
        memory.n_seen += 1
        return self.head(self.norm(x), self.embedding), memory
