"""Products of features with spherical harmonics, and linear maps that leave degrees apart.

Features of degree l change sign under inversion as (−1)^l; a product of degrees l₁ and l₂ may hence enter degree l₃
only where l₁ + l₂ + l₃ is even. Components are in e3nn's order.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.shapes import Float, Int

#: Degrees of feature, harmonic, and what their product enters.
Path = tuple[int, int, int]


def paths(l_max: int) -> list[Path]:
    """Return all products that rotations and reflections allow."""
    every = range(l_max + 1)
    return [
        (feature, harmonic, product)
        for feature in every
        for harmonic in every
        for product in range(abs(feature - harmonic), min(l_max, feature + harmonic) + 1)
        if (feature + harmonic + product) % 2 == 0
    ]


@functools.cache
def couplings(l_max: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Clebsch–Gordan matrices [rows, products × features], and each row's path and component of the harmonic.

    Features of unit variance give products of unit variance, all paths into a degree together.
    """
    from e3nn import o3

    every, size = paths(l_max), (l_max + 1) ** 2
    into = [sum(path[2] == degree for path in every) for degree in range(l_max + 1)]
    place = lambda degree: slice(degree**2, (degree + 1) ** 2)  # noqa: E731
    matrices, row_paths, row_components = [], [], []
    for number, (feature, harmonic, product) in enumerate(every):
        with torch.device("cpu"):  # elsewhere, as on "meta", e3nn would keep numbers it cannot use later
            coupling = o3.wigner_3j(feature, harmonic, product, dtype=torch.float64).numpy()
        matrix = np.zeros((2 * harmonic + 1, size, size))
        unit = math.sqrt((2 * harmonic + 1) * (2 * product + 1) / into[product])
        matrix[:, place(product), place(feature)] = unit * coupling.transpose(1, 2, 0)
        matrices.append(matrix.reshape(2 * harmonic + 1, -1))
        row_paths += [number] * (2 * harmonic + 1)
        row_components += range(harmonic**2, (harmonic + 1) ** 2)
    return np.concatenate(matrices), np.array(row_paths), np.array(row_components)


class HarmonicProduct(nn.Module):
    """Turns weights of paths and an edge's harmonics into the matrix that takes a feature to its product.

    All paths are one matrix product, and the features' channels come in only afterwards.
    """

    bits: Tensor
    row_paths: Tensor
    row_components: Tensor

    def __init__(self, settings: ForceFieldSettings) -> None:
        super().__init__()
        matrices, row_paths, row_components = (torch.from_numpy(part) for part in couplings(settings.l_max))
        # As whole numbers, which .float() leaves alone: back in double precision a model is equivariant to the digit.
        self.register_buffer("bits", matrices.view(torch.int64), persistent=False)
        self.register_buffer("row_paths", row_paths, persistent=False)
        self.register_buffer("row_components", row_components, persistent=False)
        self.n_components = settings.n_components

    def forward(
        self, weights: Float[Tensor, "*edges paths heads"], harmonics: Float[Tensor, "*edges components"]
    ) -> Float[Tensor, "*edges heads components components"]:
        rows = weights[..., self.row_paths, :] * harmonics[..., self.row_components, None]
        matrices = rows.transpose(-1, -2) @ self.bits.view(torch.float64).to(rows.dtype)
        return matrices.unflatten(-1, (self.n_components, self.n_components))


class DegreeLinear(nn.Module):
    """Mixes channels, each degree with a matrix of its own.

    Args:
        settings: of width and degrees.
        size: of the result, for features of unit variance, before training.
    """

    degrees: Int[Tensor, " components"]

    def __init__(self, settings: ForceFieldSettings, *, size: float = 1.0) -> None:
        super().__init__()
        width = settings.width
        self.register_buffer("degrees", torch.tensor(settings.degrees), persistent=False)
        self.weight = nn.Parameter(torch.randn(settings.l_max + 1, width, width) * (size / math.sqrt(width)))

    def forward(self, state: Float[Tensor, "*atoms components width"]) -> Float[Tensor, "*atoms components width"]:
        flat = state.flatten(0, -3).transpose(0, 1)
        return torch.bmm(flat, self.weight[self.degrees]).transpose(0, 1).unflatten(0, state.shape[:-2])
