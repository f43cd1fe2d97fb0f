"""Energy landscapes as exact chains: four wells in two dimensions, the Prinz potential in one, and the partitions."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.chains import ExactChain
from asteroid_nb.states.partitions import cores_within, equal_bins, nearest_centre

#: Minima of the four wells: the first and third lie on one side of the slow barrier, the other two beyond it.
WELLS = np.array([(2.0, -1.0), (0.5, 2.0), (-0.5, -2.0), (-2.0, 1.0)])
WELLS.flags.writeable = False

#: The grid ends here on every side; the outermost cells are centred on the ends.
FOUR_WELLS_END, FOUR_WELLS_CELLS = 3.4, 40
WELL_WIDTH, BETA = 0.8, 7.0

#: Radius of a well's core.
CORE_RADIUS = 0.6

#: The chains know no unit of time. Where fs are asked for, one unit of theirs is called 1 ps.
FS_PER_UNIT = 1000.0

#: Spacing of deeptime's frames of the Prinz potential: 500 steps of 1e-5.
PRINZ_INTERVAL = 0.005


def grid_chain(
    axes: Sequence[np.ndarray], potential: np.ndarray, *, beta: float = 1.0, diffusion: float = 1.0, name: str = "grid"
) -> ExactChain:
    """Return the chain that hops between neighbours of a grid at rates D/h² · exp(−β ΔV / 2).

    Args:
        axes: cell centres along each dimension, evenly spaced.
        potential: [cells of axis 0, cells of axis 1, …].

    Raises:
        InvalidSettings: a potential of another shape or not finite, axes of uneven spacing or one cell.

    Reference:
        Lie, Fackeldey & Weber (2013), doi:10.1137/120899959.
    """
    axes, potential = [np.asarray(axis, dtype=float) for axis in axes], np.asarray(potential, dtype=float)
    shape = tuple(len(axis) for axis in axes)
    steps = [np.diff(axis) for axis in axes]
    even = all(step.size and step[0] > 0 and np.allclose(step, step[0]) for step in steps)
    if potential.shape != shape or not np.isfinite(potential).all() or not even:
        raise InvalidSettings(
            f"A potential of shape {potential.shape} on a grid of {shape} must be finite, one value per cell, on "
            "evenly spaced, ascending axes of two cells at least."
        )
    generator = np.zeros((potential.size, potential.size))
    energy, index = potential.ravel(), np.arange(potential.size).reshape(shape)
    for axis, step in enumerate(steps):
        lower, upper = np.moveaxis(index, axis, 0)[:-1].ravel(), np.moveaxis(index, axis, 0)[1:].ravel()
        climb = np.exp(-beta * (energy[upper] - energy[lower]) / 2)
        rate = diffusion / step[0] ** 2
        generator[lower, upper], generator[upper, lower] = rate * climb, rate / climb
    np.fill_diagonal(generator, -generator.sum(axis=1))
    weights = np.exp(-beta * (energy - energy.min()))
    centres = np.stack([coordinate.ravel() for coordinate in np.meshgrid(*axes, indexing="ij")], axis=1)
    return ExactChain(centres=centres, generator=generator, populations=weights / weights.sum(), name=name)


def four_wells_potential(points: np.ndarray) -> Float[np.ndarray, " points"]:
    """Return the energy at [points, 2]: four wells around a hill, in a shallow bowl."""
    bell = lambda centre: np.exp(-((points - centre) ** 2).sum(axis=1) / (2 * WELL_WIDTH**2))  # noqa: E731
    return 0.01 * (points**4).sum(axis=1) + bell(np.zeros(2)) - sum(bell(well) for well in WELLS)


@functools.cache
def four_wells() -> ExactChain:
    """Return the 40 × 40 grid chain of the four wells: t2 … t5 are 71.00, 9.95, 8.62 and 0.19."""
    axis = np.linspace(-FOUR_WELLS_END, FOUR_WELLS_END, FOUR_WELLS_CELLS)
    points = np.stack([coordinate.ravel() for coordinate in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    potential = four_wells_potential(points).reshape(len(axis), len(axis))
    return grid_chain([axis, axis], potential, beta=BETA, name="four wells")


def four_well_partitions(points: np.ndarray) -> dict[str, Int[np.ndarray, " points"]]:
    """Return five ways to turn [points, 2], cell centres or a trajectory, into states.

    The first two see x alone; the last holds cores, with −1 between them.
    """
    x_bins, y_bins = (equal_bins(points[:, axis], 20, low=-FOUR_WELLS_END, high=FOUR_WELLS_END) for axis in (0, 1))
    return {
        "x only, 4 states": nearest_centre(points[:, :1], WELLS[:, :1]),
        "x only, 20 bins": x_bins,
        "2-D, nearest of 4": nearest_centre(points, WELLS),
        "2-D, 400 cells": 20 * x_bins + y_bins,
        "core set": cores_within(points, WELLS, radius=CORE_RADIUS),
    }


def prinz_potential(x: np.ndarray) -> np.ndarray:
    """Return the energy of the four-well potential in one dimension, in units of kT.

    Reference:
        Prinz et al. (2011), doi:10.1063/1.3565032; the same as ``deeptime.data.prinz_potential``.
    """
    bells = 0.8 * np.exp(-80 * x**2) + 0.2 * np.exp(-80 * (x - 0.5) ** 2) + 0.5 * np.exp(-40 * (x + 0.5) ** 2)
    return 4 * (x**8 + bells)


@functools.cache
def prinz(n_cells: int = 500) -> ExactChain:
    """Return the Prinz potential as a chain: t2 … t5 are 166.7, 25.4, 13.0 and 2.4 frames of `PRINZ_INTERVAL`."""
    axis = np.linspace(-1.2, 1.2, n_cells)
    return grid_chain([axis], prinz_potential(axis), name="Prinz potential")
