"""The equivariant layer that an equilibrium model repeats and its explicit twin stacks, one scalar and one vector wide.

States are [molecules, atoms, components, channels]; component 0 is the scalar, 1 to 3 are x, y, z of the vector.
What depends on positions alone is computed by ``filters`` once, however often the layer is then applied.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from asteroid_nb.equilibrium.graph import Graph, radial_basis
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.shapes import Float

#: Keeps lengths of vectors smooth at zero.
SOFTENING = 1e-3

Filters = tuple[Tensor, ...]


class EquivariantLayer(Protocol):
    """What encoder, equilibrium and twin need of a layer: `VectorLayer` here, `AttentionLayer` in its own file."""

    def filters(self, graph: Graph) -> Filters:
        """Return what depends on the positions alone."""
        ...

    def __call__(self, z: Tensor, inputs: Tensor, filters: Filters, graph: Graph) -> Tensor:
        """Return f(z; u), of the state's shape."""
        ...


class RMSNorm(nn.Module):
    """Divides an atom's state by its root mean square, joint over components; never over the batch."""

    def __init__(self, settings: ForceFieldSettings) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(settings.l_max + 1, settings.width))

    def forward(self, z: Float[Tensor, "*atoms components width"]) -> Float[Tensor, "*atoms components width"]:
        inverse = torch.rsqrt(z.square().sum((-2, -1), keepdim=True) / z.shape[-1] + 1e-6)
        return z * inverse * each_component(self.gain)


def each_component(values: Float[Tensor, "*any degrees width"]) -> Float[Tensor, "*any components width"]:
    """Return a degree's values for each of its components: no gather, whose gradient would cost more than the norm."""
    degrees = enumerate(values.split(1, dim=-2))
    return torch.cat([one.expand(*one.shape[:-2], 2 * degree + 1, -1) for degree, one in degrees], dim=-2)


class RadialFilters(nn.Module):
    """Functions of the distance that fall to zero at the cutoff, learnt."""

    def __init__(self, settings: ForceFieldSettings, n_filters: int) -> None:
        super().__init__()
        self.n_radial = settings.n_radial
        self.inner = nn.Linear(settings.n_radial, settings.width)
        self.outer = nn.Linear(settings.width, n_filters)

    def forward(self, graph: Graph) -> Float[Tensor, "*edges filters"]:
        basis = radial_basis(graph, self.n_radial)
        return self.outer(functional.silu(self.inner(basis))) * graph.switch[..., None]


class VectorLayer(nn.Module):
    """f(z; u): add the input, let neighbours send messages, mix scalars and vectors, and normalise.

    The messages are those of PaiNN and one more, of a neighbour's vector along the edge to a scalar.

    Reference:
        Schütt, Unke & Gastegger (2021), arXiv:2102.03150.
    """

    def __init__(self, settings: ForceFieldSettings) -> None:
        super().__init__()
        width = settings.width
        self.radial = RadialFilters(settings, 4 * width)
        self.before, self.after = RMSNorm(settings), RMSNorm(settings)
        self.send = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 4 * width))
        self.vectors = nn.Linear(width, 2 * width, bias=False)
        self.update = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 3 * width))

    def filters(self, graph: Graph) -> Filters:
        """Return filters from scalars to scalars, scalars to vectors, vectors to vectors, and vectors to scalars."""
        plain, out, kept, inward = self.radial(graph)[..., None, :].chunk(4, dim=-1)
        directions = graph.directions[..., None]
        return plain, out * directions, kept, inward * directions

    def forward(self, z: Tensor, inputs: Tensor, filters: Filters, graph: Graph) -> Tensor:
        h = z + inputs
        h = h + self._messages(self.before(h), filters, graph)
        h = h + self._mixed(h)
        return self.after(h) * graph.present

    def _messages(self, state: Tensor, filters: Filters, graph: Graph) -> Tensor:
        plain, out, kept, inward = filters
        scalars, vectors = state[:, :, :1], state[:, :, 1:]
        to_scalar, to_vector, keep, along = self.send(scalars).chunk(4, dim=-1)
        at = graph.from_sources
        scalar = plain * at(to_scalar) + (inward * at(along * vectors)).sum(-2, keepdim=True)
        vector = out * at(to_vector) + kept * at(keep * vectors)
        return graph.at_targets(torch.cat([scalar, vector], dim=-2))

    def _mixed(self, state: Tensor) -> Tensor:
        scalars, vectors = state[:, :, :1], state[:, :, 1:]
        one, other = self.vectors(vectors).chunk(2, dim=-1)
        lengths = (other.square().sum(-2, keepdim=True) + SOFTENING).sqrt()
        plain, shared, scale = self.update(torch.cat([scalars, lengths], dim=-1)).chunk(3, dim=-1)
        scalar = plain + shared * (one * other).sum(-2, keepdim=True)
        return torch.cat([scalar, scale * one], dim=-2)
