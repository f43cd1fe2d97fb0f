"""Attention over atoms at a cost linear in them: to listed neighbours, and to all others through learned registers.

A table of neighbours is made anew at every time, from distances and bonds. What is far away is read through the
registers: they gather from all nodes, then all atoms read them.

References:
    Lee et al. (2019), Set Transformer, arXiv:1810.00825, for attention through induced points.
    Beltagy, Peters & Cohan (2020), Longformer, arXiv:2004.05150, for local attention beside a few global tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asteroid_nb.data.neighbours import along_bonds, apart_ang, pairs_within
from asteroid_nb.data.windows import Molecule
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.attention import Attention, DistanceBias, blocked
from asteroid_nb.forecast.frames import full_precision
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.shapes import Bool, Float, Int

#: Queries whose neighbours' keys and values are gathered at a time: few on a CPU, whose cache then holds them.
CHUNK_QUERIES, CHUNK_QUERIES_GPU = 256, 16384

#: Nodes up to which weights among listed neighbours are recorded as a table of all pairs.
MOST_RECORDED = 1024


@dataclass(frozen=True)
class Near:
    """Whom each node reads.

    Args:
        index: [rows, slots], places among all nodes of all windows and times, which the rows run over too.
        bias: [rows, heads or 1, slots], added to the scores; −inf where a slot is empty.
        n_nodes: of one window at one time.
    """

    index: Int[Tensor, "rows slots"]
    bias: Float[Tensor, "rows heads slots"]
    n_nodes: int


class NearBias(nn.Module):
    """Positions to `Near`: neighbours by distance and bonds, each register to itself alone."""

    bonded: Tensor

    def __init__(self, settings: STISettings, molecule: Molecule) -> None:
        super().__init__()
        self.registers, self.cutoff_ang, self.most = settings.registers, settings.cutoff_ang, settings.most_near
        bonded = along_bonds(molecule.bonds, molecule.n_atoms, hops=settings.hops)[:2]
        self.register_buffer("bonded", torch.from_numpy(bonded), persistent=False)
        self.has_local = settings.spatial != "global" and settings.local == "neighbours"
        if self.has_local:
            self.near = DistanceBias(settings.heads)

    def forward(self, anchor: Float[Tensor, "windows times atoms 3"]) -> tuple[Near | None, None]:
        """Return whom each node looks at locally; global attention needs no table."""
        if not self.has_local:
            return None, None
        positions = anchor.flatten(0, 1)
        index, allowed = neighbours(positions, self.bonded, cutoff_ang=self.cutoff_ang, most=self.most)
        flat = positions.flatten(0, 1)
        distances = apart_ang(flat[index], flat[:, None])
        bias = (self.near(distances[:, None]) + blocked(allowed)[:, None, None])[:, :, 0]
        return self._with_registers(index, bias, *positions.shape[:2]), None

    def _with_registers(self, index: Tensor, bias: Tensor, n_times: int, n_atoms: int) -> Near:
        """Return the table over nodes: after the atoms of each time come its registers, who read themselves."""
        n_nodes, slots = n_atoms + self.registers, index.shape[1]
        time, atom = index // n_atoms, index % n_atoms
        index = (time * n_nodes + atom).unflatten(0, (n_times, n_atoms))
        own = torch.arange(n_times * n_nodes, device=index.device).unflatten(0, (n_times, n_nodes))[:, n_atoms:]
        itself = bias.new_full((slots,), float("-inf"))
        itself[0] = 0.0
        index = torch.cat([index, own[..., None].expand(-1, -1, slots)], dim=1)
        bias = bias.unflatten(0, (n_times, n_atoms))
        bias = torch.cat([bias, itself.expand(n_times, self.registers, bias.shape[2], slots)], dim=1)
        return Near(index.flatten(0, 1), bias.flatten(0, 1), n_nodes)


@torch.no_grad()
def neighbours(
    positions: Float[Tensor, "frames atoms 3"], bonded: Int[Tensor, "2 pairs"], *, cutoff_ang: float, most: int
) -> tuple[Int[Tensor, "rows slots"], Bool[Tensor, "rows slots"]]:
    """Return for each atom of each frame its bonded ones and those within the cutoff, and which slots are filled.

    There are as many slots as the atom with most needs, at most ``most``, which then hold its nearest.
    """
    flat, (n_frames, n_atoms) = positions.flatten(0, 1), positions.shape[:2]
    target, source = pairs_within(positions, cutoff_ang)
    first = torch.arange(n_frames, device=flat.device)[:, None] * n_atoms
    stretched = torch.stack([(first + ends).flatten() for ends in bonded])
    stretched = stretched[:, ~(apart_ang(flat[stretched[0]], flat[stretched[1]]) < cutoff_ang)]
    target, source = torch.cat([target, stretched[0]]), torch.cat([source, stretched[1]])
    order = apart_ang(flat[target], flat[source]).argsort(stable=True)
    order = order[target[order].argsort(stable=True)]
    target, source = target[order], source[order]
    counts = torch.bincount(target, minlength=len(flat))
    slot = torch.arange(len(target), device=flat.device) - (counts.cumsum(0) - counts)[target]
    n_slots = max(1, min(most, int(counts.max())))
    kept = slot < n_slots
    index = torch.arange(len(flat), device=flat.device)[:, None].repeat(1, n_slots)
    filled = torch.zeros_like(index, dtype=torch.bool)
    index[target[kept], slot[kept]] = source[kept]
    filled[target[kept], slot[kept]] = True
    return index, filled


def attend_near(
    attention: Attention, tokens: Float[Tensor, "windows times nodes width"], near: Near
) -> Float[Tensor, "windows times nodes width"]:
    """Return what each node gathers from those it reads, by the weights `Attention` would use were all others masked.

    Raises:
        InvalidSettings: a recording was asked for of more than `MOST_RECORDED` nodes.
    """
    flat = tokens.flatten(0, 2)
    queries, keys_values = attention.query(flat), attention.key_value(flat)
    gathered = _Gathered.apply(queries, keys_values, near.index, near.bias, attention.heads, attention.mode)
    if attention.recording:
        attention.recorded = _recorded(attention, queries, keys_values, near).unflatten(0, tokens.shape[:2])
    return attention.out(gathered).view(tokens.shape)


@torch.no_grad()
def _recorded(attention: Attention, queries: Tensor, keys_values: Tensor, near: Near) -> Tensor:
    """Return [times, heads, nodes, nodes], zero where nothing is listed."""
    n_nodes = near.n_nodes
    if n_nodes > MOST_RECORDED:
        raise InvalidSettings(
            f"Attention among {n_nodes} nodes would be recorded as a table of {n_nodes}² pairs; at most "
            f"{MOST_RECORDED} are. Record a smaller system with the same weights, or forecast without recording."
        )
    keys, _ = _listed(keys_values, near.index, attention.heads)
    weights = _weights(queries.unflatten(-1, (attention.heads, -1)), keys, near.bias, attention.mode)
    table = weights.new_zeros(*weights.shape[:2], n_nodes)
    table.scatter_add_(2, (near.index % n_nodes)[:, None].expand_as(weights), weights)
    return table.unflatten(0, (-1, n_nodes)).transpose(1, 2)


def _weights(queries: Tensor, keys: Tensor, bias: Tensor, mode: str) -> Tensor:
    """Return [rows, heads, slots] from queries [rows, heads, …] and keys [rows, slots, heads, …]."""
    # Products one by one: batched products of matrices this small cost three times as much.
    scores = (queries[:, None] * keys).sum(-1).transpose(1, 2) / queries.shape[-1] ** 0.5 + bias
    if mode == "softmax":
        return scores.softmax(-1)
    return scores.exp() / (bias > -torch.inf).sum(-1, keepdim=True)


class _Gathered(torch.autograd.Function):
    """Attention to listed keys, chunk after chunk; the backward pass gathers again rather than keep what it gathered.

    Were each chunk left to autograd, every one would fill a gradient of all keys: a cost that grows as the square.
    """

    @staticmethod
    def forward(ctx: Any, queries, keys_values, index, bias, heads: int, mode: str) -> Tensor:
        ctx.save_for_backward(queries, keys_values, index, bias)
        ctx.heads, ctx.mode = heads, mode
        out = torch.empty_like(queries)
        with full_precision(queries):
            for rows in _chunks(index):
                keys, values = _listed(keys_values, index[rows], heads)
                weights = _weights(queries[rows].unflatten(-1, (heads, -1)), keys, bias[rows], mode)
                out[rows] = (_by_slot(weights).to(values.dtype) * values).sum(1).flatten(-2)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys_values, index, bias = ctx.saved_tensors
        given = [torch.empty_like(queries), torch.zeros_like(keys_values), torch.empty_like(bias)]
        with full_precision(queries):
            for rows in _chunks(index):
                listed = _listed(keys_values, index[rows], ctx.heads)
                chunk = _backward(queries[rows], *listed, bias[rows], grads[0][rows], ctx.mode)
                given[0][rows], of_keys_values, given[2][rows] = chunk
                given[1].index_add_(0, index[rows].flatten(), of_keys_values)
        return given[0], given[1], None, given[2], None, None


def _backward(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, grad: Tensor, mode: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of one chunk: of its queries, of the keys and values each slot holds, and of its bias."""
    queries, grad = (x.unflatten(-1, keys.shape[2:]) for x in (queries, grad))
    weights = _weights(queries, keys, bias, mode)
    of_values = _by_slot(weights).to(grad.dtype) * grad[:, None]
    of_scores = weights * (grad[:, None] * values).sum(-1).transpose(1, 2)
    if mode == "softmax":
        of_scores = of_scores - weights * of_scores.sum(-1, keepdim=True)
    scaled = _by_slot(of_scores).to(keys.dtype) / queries.shape[-1] ** 0.5
    of_queries = (scaled * keys).sum(1).flatten(-2)
    of_keys_values = torch.stack([scaled * queries[:, None], of_values], dim=2)
    of_bias = of_scores if bias.shape[1] > 1 else of_scores.sum(1, keepdim=True)
    return of_queries, of_keys_values.flatten(2).flatten(0, 1), of_bias.to(bias.dtype)


def _listed(keys_values: Tensor, index: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Return the keys and the values in every slot, [rows, slots, heads, …]."""
    listed = keys_values.index_select(0, index.flatten()).view(*index.shape, 2, heads, -1)
    return listed[:, :, 0], listed[:, :, 1]


def _by_slot(weights: Tensor) -> Tensor:
    """Return [rows, slots, heads, 1] from [rows, heads, slots]."""
    return weights.transpose(1, 2)[..., None]


def _chunks(index: Tensor) -> list[slice]:
    size = CHUNK_QUERIES_GPU if index.is_cuda else CHUNK_QUERIES
    return [slice(start, start + size) for start in range(0, len(index), size)]


class ThroughRegisters(nn.Module):
    """Global attention in two steps: the registers gather from all nodes, then the atoms read the registers.

    Args:
        registers: nodes after the atoms.
        make: of an `Attention`.
    """

    def __init__(self, registers: int, width: int, make: Any) -> None:
        super().__init__()
        self.n_registers = registers
        self.gather, self.read = make(), make()
        self.norm = nn.LayerNorm(width)

    def forward(self, nodes: Tensor, *, bias: None = None) -> Float[Tensor, "windows times nodes width"]:
        n_atoms = nodes.shape[2] - self.n_registers
        atoms, registers = nodes[:, :, :n_atoms], nodes[:, :, n_atoms:]
        gathered = self.gather(registers, nodes)
        return torch.cat([self.read(atoms, self.norm(registers + gathered)), gathered], dim=2)


class SharedAttention(Attention):
    """Attention of each node to its own memory over time and to what all read at the present, not copied for each.

    Args:
        shared: so many nodes, the last, are read by all; every one when not given.
    """

    def __init__(self, width: int, heads: int, *, mode: str, shared: int | None = None) -> None:
        super().__init__(width, heads, mode=mode)
        self.shared = shared

    def project(self, memory: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return keys and values of [windows, rows, nodes, width], each projected once.

        Those of each node's own, [windows, nodes, heads, rows, …], and of what all read, where nodes is 1.
        """
        both = super().project(memory)
        first = 0 if self.shared is None else memory.shape[2] - self.shared
        own_keys, own_values = (part.permute(0, 3, 2, 1, 4) for part in both)
        keys, values = (part[:, -1:, :, first:] for part in both)
        return (own_keys, own_values), (keys, values)

    def n_keys(self, projected: Any) -> int:
        (own_keys, _), (keys, _) = projected
        return own_keys.shape[-2] + keys.shape[-2]

    def forward(
        self, tokens: Float[Tensor, "windows nodes queries width"], *, projected: Any, bias: Tensor | None = None
    ) -> Float[Tensor, "windows nodes queries width"]:
        """Return what each query gathers; ``bias``, [nodes, heads or 1, queries or 1, keys], is added to the scores."""
        (own_keys, own_values), (keys, values) = projected
        queries = self._split(self.query(tokens))
        scores = [queries @ own_keys.mT, torch.einsum("wnhqd,whkd->wnhqk", queries, keys[:, 0])]
        weights = self.shares(torch.cat(scores, dim=-1) / queries.shape[-1] ** 0.5, bias)
        if self.recording:
            self.recorded = weights.detach()
        to_own, to_shared = weights.split([own_keys.shape[-2], keys.shape[-2]], dim=-1)
        gathered = to_own @ own_values + torch.einsum("wnhqk,whkd->wnhqd", to_shared, values[:, 0])
        return self.out(gathered.transpose(-2, -3).flatten(-2))
