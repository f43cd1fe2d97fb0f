"""A force field whose state is in equilibrium: encoder, implicit core, read-out; and its explicit twin.

The energy is a function of the fixed point alone; `forces` differentiates it, `training` learns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.equilibrium.graph import Graph
from asteroid_nb.equilibrium.layers import EquivariantLayer, Filters, RadialFilters, VectorLayer, each_component
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.shapes import Float

N_ELEMENTS = len(SYMBOLS)


@dataclass(frozen=True)
class Prepared:
    """What depends on positions alone, computed once for every evaluation of f.

    Args:
        graph: of the batch.
        inputs: [molecules, atoms, components, channels], u.
        filters: of each block.
    """

    graph: Graph
    inputs: Tensor
    filters: tuple[Filters, ...]

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Return the tensors through which positions act."""
        return (self.inputs, *(part for block in self.filters for part in block))

    def with_parts(self, parts: tuple[Tensor, ...]) -> Prepared:
        """Return the same with other tensors in the places of `parts`."""
        inputs, *rest = parts
        found = iter(rest)
        filters = tuple(tuple(next(found) for _ in block) for block in self.filters)
        return Prepared(self.graph.detach(), inputs, filters)

    def detach(self) -> Prepared:
        return self.with_parts(tuple(part.detach() for part in self.parts))


class Encoder(nn.Module):
    """u(R, Z): what an atom is, and what stands around it."""

    def __init__(self, settings: ForceFieldSettings) -> None:
        super().__init__()
        self.settings = settings
        self.element = nn.Embedding(N_ELEMENTS, settings.width)
        self.neighbour = nn.Embedding(N_ELEMENTS, settings.width)
        self.radial = RadialFilters(settings, (settings.l_max + 1) * settings.width)

    def forward(self, graph: Graph) -> Float[Tensor, "molecules atoms components width"]:
        neighbours = graph.from_sources(self.neighbour(graph.atomic_numbers))[..., None, :]
        filters = self.radial(graph).unflatten(-1, (self.settings.l_max + 1, -1))
        harmonics = spherical_harmonics(graph, self.settings.l_max)
        around = graph.at_targets(each_component(filters) * harmonics[..., None] * neighbours)
        itself = self.element(graph.atomic_numbers)[..., None, :]
        return torch.cat([around[..., :1, :] + itself, around[..., 1:, :]], dim=-2) * graph.present


class ForceField(nn.Module):
    """Energies, and direct forces where asked for, of states; and the map whose fixed point a state is.

    Energies are those of interaction: what atoms have by themselves is added where numbers are in double precision.

    Args:
        settings: of its parts.
        energy_scale_eV: one unit of what the read-out returns.
    """

    energy_scale: Tensor

    def __init__(self, settings: ForceFieldSettings, *, energy_scale_eV: float = 1.0) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        self.encoder = Encoder(settings)
        self.blocks = nn.ModuleList([_layer(settings) for _ in range(max(1, settings.depth))])
        self.energy = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.pushes = nn.Linear(width, 1, bias=False)  # unused where forces are the energy's
        self.register_buffer("energy_scale", torch.tensor(float(energy_scale_eV)))

    @property
    def layers(self) -> list[EquivariantLayer]:
        return list(self.blocks)  # type: ignore[arg-type]

    def forward(self, do: Callable[..., Any], *given: Any) -> Any:
        """Return ``do(self, *given)``: through here processes that train together see every use of the weights."""
        return do(self, *given)

    def prepare(self, graph: Graph) -> Prepared:
        """Return what every evaluation of f shares."""
        return Prepared(graph, self.encoder(graph), tuple(layer.filters(graph) for layer in self.layers))

    def start(self, prepared: Prepared) -> Float[Tensor, "molecules atoms components width"]:
        """Return the state a cold solve starts from: zero."""
        return torch.zeros_like(prepared.inputs)

    def f(self, z: Tensor, prepared: Prepared) -> Tensor:
        """Return one application of the implicit layer."""
        return self.layers[0](z, prepared.inputs, prepared.filters[0], prepared.graph)

    def stacked(self, prepared: Prepared) -> Tensor:
        """Return the state the explicit twin ends with."""
        z = self.start(prepared)
        for layer, filters in zip(self.layers, prepared.filters, strict=True):
            z = layer(z, prepared.inputs, filters, prepared.graph)
        return z

    def interaction(self, z: Tensor, graph: Graph) -> Float[Tensor, " molecules"]:
        """Return e(z) in eV."""
        each = self.energy(z[:, :, 0])[..., 0] * graph.present[..., 0, 0]
        return each.sum(1) * self.energy_scale

    def direct_forces(self, z: Tensor, graph: Graph) -> Float[Tensor, "molecules atoms 3"]:
        """Return forces in eV/Å from a head of their own, their mean removed."""
        raw = self.pushes(z[:, :, 1:4])[..., 0] * self.energy_scale
        mean = raw.sum(1, keepdim=True) / graph.n_atoms.to(raw.dtype)[:, None, None]
        return (raw - mean) * graph.present[..., 0]


def spherical_harmonics(graph: Graph, l_max: int) -> Float[Tensor, "*edges components"]:
    """Return 1 and the direction, and from l = 2 on e3nn's harmonics, in its order of components.

    For l = 1 this is (x, y, z), as in e3nn.
    """
    if l_max == 1:
        return torch.cat([torch.ones_like(graph.lengths)[..., None], graph.directions], dim=-1)
    from e3nn import o3

    degrees = list(range(l_max + 1))
    return o3.spherical_harmonics(degrees, graph.directions, normalize=False, normalization="norm")


def _layer(settings: ForceFieldSettings) -> nn.Module:
    if settings.layer == "vector":
        return VectorLayer(settings)
    from asteroid_nb.equilibrium.attention import AttentionLayer

    return AttentionLayer(settings)


def n_parameters(settings: ForceFieldSettings) -> int:
    """Return how many numbers training can choose."""
    with torch.device("meta"):
        return sum(one.numel() for one in ForceField(settings).parameters())
