"""The layers of the STI-Transformer: local-global attention over atoms, attention over time, and the two stacks.

Tokens are [windows, times, nodes, width]; nodes are the atoms and, after them, the learned registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from asteroid_nb.data.bonds import bond_hops
from asteroid_nb.data.neighbours import apart_ang
from asteroid_nb.data.windows import Molecule
from asteroid_nb.forecast.attention import Attention, DistanceBias, blocked
from asteroid_nb.forecast.near import Near, NearBias, SharedAttention, ThroughRegisters, attend_near
from asteroid_nb.forecast.settings import STISettings

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Biases:
    """What is added to scores: over atoms [windows, times, heads or 1, nodes, nodes], over time [queries, keys].

    Where pairs are listed, ``local`` says who reads whom and ``wide`` is nothing.
    """

    local: Tensor | Near | None
    wide: Tensor | None
    temporal: Tensor | None


@dataclass
class Cache:
    """Keys and values a decoder layer has seen: over time, and of the encoder's memory."""

    temporal: KeysValues | None = None
    local: KeysValues | None = None
    memory: Any = None


@dataclass
class Caches:
    """One `Cache` per decoder layer."""

    layers: list[Cache] = field(default_factory=list)

    @classmethod
    def empty(cls, n_layers: int) -> Caches:
        return cls([Cache() for _ in range(n_layers)])


class FeedForward(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class SpatialBias(nn.Module):
    """Distances to biases: neighbours alone for local attention, all atoms for global, registers free."""

    bonded: Tensor

    def __init__(self, settings: STISettings, hops: Tensor) -> None:
        super().__init__()
        self.registers, self.cutoff_ang = settings.registers, settings.cutoff_ang
        self.register_buffer("bonded", hops <= settings.hops)
        self.has_local = settings.spatial != "global" and settings.local == "neighbours"
        self.has_wide = settings.spatial != "local"
        if self.has_local:
            self.near = DistanceBias(settings.heads)
        if self.has_wide:
            self.far = DistanceBias(settings.heads)

    def forward(self, anchor: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return local and global biases for atoms at these positions [windows, times, atoms, 3] Å."""
        local = wide = None
        if not (self.has_local or self.has_wide):
            return local, wide
        distances = apart_ang(anchor[..., :, None, :], anchor[..., None, :, :])
        basis = (self.near if self.has_local else self.far).basis(distances)
        if self.has_local:
            allowed = self.bonded | (distances < self.cutoff_ang)
            local = self._pad(self.near.of(basis) + blocked(allowed)[..., None, :, :], outside=float("-inf"))
        if self.has_wide:
            wide = self._pad(self.far.of(basis), outside=0.0)
        return local, wide

    def _pad(self, bias: Tensor, *, outside: float) -> Tensor:
        extra, n_atoms = self.registers, bias.shape[-1]
        padded = torch.nn.functional.pad(bias, (0, extra, 0, extra), value=outside)
        if extra and outside:
            padded.diagonal(dim1=-2, dim2=-1)[..., n_atoms:].zero_()
        return padded


def spatial_bias(settings: STISettings, molecule: Molecule) -> SpatialBias | NearBias:
    """Return what turns positions into biases: of all pairs of atoms, or of those that are listed."""
    if settings.pairs == "listed":
        return NearBias(settings, molecule)
    hops = bond_hops(molecule.bonds, molecule.n_atoms, most=molecule.n_atoms)
    return SpatialBias(settings, torch.as_tensor(hops))


class SpatialAttention(nn.Module):
    """Local attention (neighbours, or each atom over time) and global attention, one after the other or gated."""

    def __init__(self, settings: STISettings) -> None:
        super().__init__()
        self.variable = settings.local == "variable"
        make = lambda: Attention(settings.width, settings.heads, mode=settings.attention)  # noqa: E731
        self.local = make() if settings.spatial != "global" else None
        self.wide = None
        if settings.spatial != "local":
            listed = settings.pairs == "listed"
            self.wide = ThroughRegisters(settings.registers, settings.width, make) if listed else make()
        self.norms = nn.ModuleList(nn.LayerNorm(settings.width) for _ in range(2))
        gated = settings.fusion == "gated" and settings.spatial == "local+global"
        self.gate = nn.Linear(settings.width, settings.width) if gated else None

    def forward(self, x: Tensor, biases: Biases, cache: Cache | None = None) -> Tensor:
        if self.gate is not None and self.local is not None and self.wide is not None:
            normed = self.norms[0](x)
            share = torch.sigmoid(self.gate(normed))
            near, wide = self._near(self.local, normed, biases, cache), self.wide(normed, bias=biases.wide)
            return x + share * near + (1 - share) * wide
        if self.local is not None:
            x = x + self._near(self.local, self.norms[0](x), biases, cache)
        if self.wide is not None:
            x = x + self.wide(self.norms[1](x), bias=biases.wide)
        return x

    def _near(self, local: Attention, normed: Tensor, biases: Biases, cache: Cache | None) -> Tensor:
        if isinstance(biases.local, Near):
            return attend_near(local, normed, biases.local)
        if not self.variable:
            return local(normed, bias=biases.local)
        over_time = normed.transpose(1, 2)
        projected = local.project(over_time)
        if cache is not None:
            projected = cache.local = joined(cache.local, projected)
        return local(over_time, projected=projected, bias=biases.temporal).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Local and global attention over atoms, causal attention over each atom's time, feed-forward; pre-norm."""

    def __init__(self, settings: STISettings) -> None:
        super().__init__()
        self.spatial = SpatialAttention(settings)
        self.norm = nn.LayerNorm(settings.width)
        self.temporal = Attention(settings.width, settings.heads, mode=settings.attention)
        self.feed_forward = FeedForward(settings.width)

    def forward(self, x: Tensor, biases: Biases) -> Tensor:
        x = self.spatial(x, biases)
        over_time = self.norm(x).transpose(1, 2)
        x = x + self.temporal(over_time, bias=biases.temporal).transpose(1, 2)
        return x + self.feed_forward(x)


class DecoderLayer(nn.Module):
    """Causal attention over time, then over atoms in each slot, then to the encoder's memory; feed-forward."""

    def __init__(self, settings: STISettings) -> None:
        super().__init__()
        sizes, mode = (settings.width, settings.heads), settings.attention
        self.temporal = Attention(*sizes, mode=mode)
        shared = settings.registers if settings.pairs == "listed" else None
        self.transformation = SharedAttention(*sizes, mode=mode, shared=shared)
        self.spatial = SpatialAttention(settings)
        self.norms = nn.ModuleList(nn.LayerNorm(settings.width) for _ in range(2))
        self.feed_forward = FeedForward(settings.width)

    def forward(self, x: Tensor, memory: Tensor, biases: Biases, cache: Cache | None = None) -> Tensor:
        """Return the slots' tokens; with a cache ``x`` holds the new slots alone.

        Args:
            memory: [windows, rows, nodes, width], the encoder's; each node reads its own over time and, at the present,
                everybody's or the registers'.
        """
        over_time = self.norms[0](x).transpose(1, 2)
        projected = self.temporal.project(over_time)
        if cache is not None:
            projected = cache.temporal = joined(cache.temporal, projected)
        x = x + self.temporal(over_time, projected=projected, bias=biases.temporal).transpose(1, 2)
        x = self.spatial(x, biases, cache)
        read = cache.memory if cache is not None and cache.memory is not None else self.transformation.project(memory)
        if cache is not None:
            cache.memory = read
        x = x + self.transformation(self.norms[1](x).transpose(1, 2), projected=read).transpose(1, 2)
        return x + self.feed_forward(x)


def joined(past: KeysValues | None, new: KeysValues) -> KeysValues:
    """Return keys and values, those of earlier times first."""
    return new if past is None else (torch.cat([past[0], new[0]], dim=-2), torch.cat([past[1], new[1]], dim=-2))


def causal(n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """Return the bias that lets query q (the last ``n_queries`` of the keys) see no later key."""
    keys = torch.arange(n_keys, device=device)
    return blocked(keys <= keys[n_keys - n_queries :, None])
