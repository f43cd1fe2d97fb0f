"""Molecules held together by springs: their motion is known in closed form, so that a forecast has one right answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asteroid_nb.data.bonds import bond_hops, bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.shapes import Float
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2

#: Springs in eV/Å² between atoms one, two, three and more bonds apart: a C–H bond then vibrates in about 11 fs.
SPRINGS_EV_PER_ANG2 = (30.0, 6.0, 1.5, 0.5)

#: Rigid motions have no frequency; what is slower than this, in 1/fs, is one of them.
SLOWEST_PER_FS = 1e-4


def oscillator(
    molecule: Trajectory,
    *,
    n_frames: int = 1000,
    dt_fs: float = 1.0,
    temperature_K: float = 30.0,
    modes: Sequence[int] | None = None,
    seed: int = 0,
) -> Trajectory:
    """Return the exact motion of a molecule whose atoms hang on springs about its first frame.

    Every mode is a cosine with the energy kT and a phase drawn by the seed, so frame t + 1 follows from positions and
    velocities of frame t, and from positions alone it does not.

    Args:
        molecule: whose first frame is at rest.
        modes: those that move, counted from the slowest (0) or from the fastest (−1); all when not given.

    Raises:
        InvalidTrajectory: no such mode.
    """
    frequencies, shapes = normal_modes(molecule)
    chosen = list(range(len(frequencies)) if modes is None else modes)
    if not all(-len(frequencies) <= mode < len(frequencies) for mode in chosen):
        raise InvalidTrajectory(
            f"modes was {chosen}; {molecule.name!r} has {len(frequencies)}, counted from 0. Choose some of those."
        )
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(frequencies))[chosen]
    frequencies, shapes = frequencies[chosen], shapes[chosen]
    amplitude = np.sqrt(2 * BOLTZMANN_EV_PER_K * temperature_K / EV_PER_AMU_ANG2_PER_FS2) / frequencies
    waves = amplitude * np.cos(frequencies * dt_fs * np.arange(n_frames)[:, None] + phase)
    moved = np.einsum("tm,mac->tac", waves, shapes) / np.sqrt(molecule.masses)[:, None]
    at_rest = np.asarray(molecule.positions[0], dtype=float)
    return Trajectory(
        at_rest + moved, molecule.atomic_numbers, dt_fs,
        masses=molecule.masses, bonds=bonds_of(molecule), name=f"{molecule.name} on springs, seed {seed}",
        provenance={"method": "springs", "temperature_K": temperature_K, "modes": chosen, "seed": seed},
    )  # fmt: skip


def normal_modes(molecule: Trajectory) -> tuple[Float[np.ndarray, " modes"], Float[np.ndarray, "modes atoms 3"]]:
    """Return angular frequencies in 1/fs, slowest first, and mass-weighted modes of unit length; rigid motion is none.

    Reference:
        Tirion (1996), doi:10.1103/PhysRevLett.77.1905, for springs between all atoms at rest.
    """
    at_rest, n_atoms = np.asarray(molecule.positions[0], dtype=float), molecule.n_atoms
    arms = at_rest[:, None] - at_rest[None]
    apart = np.linalg.norm(arms, axis=-1) + np.eye(n_atoms)
    springs = np.take((0.0, *SPRINGS_EV_PER_ANG2), bond_hops(bonds_of(molecule), n_atoms, most=4))
    pairs = -springs[..., None, None] * (arms[..., :, None] * arms[..., None, :]) / apart[..., None, None] ** 2
    pairs[np.arange(n_atoms), np.arange(n_atoms)] = -pairs.sum(1)
    hessian = pairs.transpose(0, 2, 1, 3).reshape(3 * n_atoms, 3 * n_atoms) / EV_PER_AMU_ANG2_PER_FS2
    weight = np.repeat(molecule.masses**-0.5, 3)
    squared, vectors = np.linalg.eigh(weight[:, None] * hessian * weight)
    moving = squared > SLOWEST_PER_FS**2
    return np.sqrt(squared[moving]), vectors.T[moving].reshape(-1, n_atoms, 3)
