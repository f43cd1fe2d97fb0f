"""Velocity Verlet with a learned potential, of many paths at once: on tensors, for which no library has an integrator.

Reference:
    Swope et al. (1982), doi:10.1063/1.442716.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from asteroid_nb.forecast.potential import Potential, atoms_first
from asteroid_nb.shapes import Float


def integrate(
    potential: Potential,
    positions: Float[Tensor, "paths atoms 3"],
    velocities: Float[Tensor, "paths atoms 3"],
    *,
    dt_fs: float,
    n: int,
) -> Float[Tensor, "paths frames atoms 3"]:
    """Return ``n`` frames every ``dt_fs`` by velocity Verlet in steps no longer than the potential's own.

    Args:
        positions, velocities: of the present, Å and Å/fs.
    """
    each = steps_a_frame(potential, dt_fs)
    step, path, places = dt_fs / each, [], atoms_first(positions)
    halfway = atoms_first(velocities) + 0.5 * step * potential.bend(places)
    for frame in range(n):
        for number in range(each):
            if frame or number:
                halfway = halfway + step * potential.bend(places)
            places = places + step * halfway
        path.append(places)
    return torch.stack(path).permute(3, 0, 1, 2).contiguous()


def steps_a_frame(potential: Potential, dt_fs: float) -> int:
    """Return how many steps of the potential's own length, or a little shorter ones, make so much time."""
    return max(1, math.ceil(dt_fs / potential.step - 1e-3))
