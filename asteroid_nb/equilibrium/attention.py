"""The larger equivariant layer: attention over neighbours whose messages hold degrees up to ``l_max``.

An atom's message is its features' product with the harmonics of the edge, weighted by the distance, path by path and
head by head. Its scalars, and those of both ends, decide how much of it arrives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from asteroid_nb.equilibrium.force_field import spherical_harmonics
from asteroid_nb.equilibrium.graph import Graph, radial_basis
from asteroid_nb.equilibrium.layers import Filters, RMSNorm
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.equilibrium.tensor_products import DegreeLinear, HarmonicProduct, paths
from asteroid_nb.shapes import Float

#: Of the residual branches before training: small enough that repeating the layer comes to rest.
BRANCH_SIZE = 0.5

#: Of what an edge's distance is first taken for: makes weights of paths about 1, since basis functions are small.
RADIAL_SIZE = 3.0

#: Slope of an edge's scalars far below zero.
LEAK = 0.2


class AttentionLayer(nn.Module):
    """f(z; u): add the input, attend to neighbours, feed forward, each a normalised residual branch, and normalise.

    The channels of a head share what distance does to each path, so that an edge holds a matrix a head, not a channel.

    Reference:
        Liao & Smidt (2023), arXiv:2206.11990; Liao, Wood, Das & Smidt (2024), arXiv:2306.12059.
    """

    def __init__(self, settings: ForceFieldSettings) -> None:
        super().__init__()
        width, self.heads, self.l_max = settings.width, settings.heads, settings.l_max
        self.n_radial, self.n_weights = settings.n_radial, len(paths(settings.l_max)) * settings.heads
        self.before, self.between, self.after = (RMSNorm(settings) for _ in range(3))
        self.radial = nn.Sequential(
            nn.Linear(settings.n_radial, width), nn.SiLU(), nn.Linear(width, self.n_weights + width)
        )
        for weight in (one for one in self.radial.parameters() if one.ndim == 2):
            nn.init.normal_(weight, std=RADIAL_SIZE / weight.shape[1] ** 0.5)
        self.product = HarmonicProduct(settings)
        self.value = DegreeLinear(settings)
        self.ends = nn.Linear(width, 2 * width, bias=False)
        self.judge = nn.Linear(width, settings.heads + width)
        self.gather = DegreeLinear(settings, size=BRANCH_SIZE)
        self.feed = FeedForward(settings)

    def filters(self, graph: Graph) -> Filters:
        """Return the switch, what distance adds to edges' scalars, and the products' matrices, each as it is used."""
        weights, distance = self.radial(radial_basis(graph, self.n_radial)).tensor_split([self.n_weights], dim=-1)
        harmonics = spherical_harmonics(graph, self.l_max)
        matrices = self.product(weights.unflatten(-1, (-1, self.heads)), harmonics)
        to_scalar = matrices[..., 0, :]
        if graph.source is None:  # all sources of a target in one matrix product
            to_scalar = to_scalar.permute(0, 2, 3, 1, 4).contiguous()
            matrices = matrices.permute(0, 1, 3, 4, 2, 5).flatten(-2)
        return graph.switch[..., None], distance, to_scalar, matrices

    def forward(self, z: Tensor, inputs: Tensor, filters: Filters, graph: Graph) -> Tensor:
        h = z + inputs
        h = h + self.gather(self._messages(self.before(h), filters, graph))
        h = h + self.feed(self.between(h))
        return self.after(h) * graph.present

    def _messages(self, state: Tensor, filters: Filters, graph: Graph) -> Tensor:
        switch, distance, to_scalar, matrices = filters
        values = self.value(state).unflatten(-1, (self.heads, -1)).transpose(2, 3).contiguous()
        source, target = self.ends(state[:, :, 0]).chunk(2, dim=-1)
        known = graph.from_sources(source) + graph.from_targets(target) + distance
        score, gate = self._judged(known + _scalars(values, to_scalar, graph))
        amount = attention(score, switch, graph)[..., None] * gate.unflatten(-1, (self.heads, -1))
        return _summed(values, amount, matrices, graph).transpose(2, 3).flatten(-2)

    def _judged(self, scalars: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score of each head and the gate of each channel."""
        smooth = LEAK * scalars + (1 - LEAK) * functional.silu(scalars)
        score, gate = self.judge(smooth).tensor_split([self.heads], dim=-1)
        return score, gate.sigmoid()


class FeedForward(nn.Module):
    """Mixes an atom's channels: scalars bend, and with the sizes of all degrees they gate what is no scalar."""

    share: Tensor
    degrees: Tensor

    def __init__(self, settings: ForceFieldSettings) -> None:
        super().__init__()
        self.up, self.down = DegreeLinear(settings), DegreeLinear(settings, size=BRANCH_SIZE)
        self.gates = nn.Linear((settings.l_max + 1) * settings.width, (settings.l_max + 1) * settings.width)
        tensor_degrees = self.up.degrees[1:]
        share = functional.one_hot(tensor_degrees - 1, settings.l_max).T.to(torch.get_default_dtype())
        self.register_buffer("share", share, persistent=False)
        self.register_buffer("degrees", tensor_degrees, persistent=False)

    def forward(self, state: Float[Tensor, "*atoms components width"]) -> Float[Tensor, "*atoms components width"]:
        wide = self.up(state)
        scalars, tensors = wide[..., :1, :], wide[..., 1:, :]
        sizes = self.share @ tensors.square()
        known = torch.cat([scalars, sizes], dim=-2)
        gates = self.gates(known.flatten(-2)).view_as(known)
        opened = tensors * gates.sigmoid()[..., self.degrees, :]
        return self.down(torch.cat([functional.silu(gates[..., :1, :]), opened], dim=-2))


def attention(
    score: Float[Tensor, "*edges heads"], switch: Float[Tensor, "*edges 1"], graph: Graph
) -> Float[Tensor, "*edges heads"]:
    """Return shares of each target's attention, a softmax that edges leave smoothly at the cutoff.

    One share, of score 0, goes to nobody, so that the last neighbour to leave is let go gently, too.
    """
    score = score.masked_fill(switch == 0, -torch.inf)
    most = highest(score, graph)
    parts = switch * torch.exp(score - graph.from_targets(most))
    return parts / graph.from_targets(graph.at_targets(parts) + torch.exp(-most))


def highest(score: Float[Tensor, "*edges heads"], graph: Graph) -> Float[Tensor, "molecules atoms heads"]:
    """Return the largest score that arrives at each atom, at least 0; no gradient flows through it."""
    score = score.detach()
    if graph.target is None:
        return score.amax(2).clamp_min(0)
    everywhere = score.new_zeros(graph.atomic_numbers.numel(), score.shape[-1])
    reached = everywhere.scatter_reduce(0, graph.target[:, None].expand_as(score), score, "amax")
    return reached.unflatten(0, graph.atomic_numbers.shape)


def _scalars(values: Tensor, to_scalar: Tensor, graph: Graph) -> Float[Tensor, "*edges width"]:
    """Return the scalars of all messages, from values [molecules, atoms, heads, components, channels]."""
    if graph.source is None:
        return (to_scalar @ values).permute(0, 3, 1, 2, 4).flatten(-2)
    return (to_scalar[..., None, :] @ graph.from_sources(values)).flatten(1)


def _summed(values: Tensor, amount: Tensor, matrices: Tensor, graph: Graph) -> Tensor:
    """Return what arrives at each atom, [molecules, atoms, heads, components, channels]."""
    if graph.source is None:
        sent = amount.transpose(2, 3)[..., None, :] * values.transpose(1, 2)[:, None]
        return matrices @ sent.flatten(3, 4)
    return graph.at_targets(matrices @ (graph.from_sources(values) * amount[..., None, :]))
