"""Ethanol held together by springs: its motion is known in closed form, and linear maps can know it too."""

from __future__ import annotations

import functools

import numpy as np
import torch
from small_molecules import ETHANOL_ANG, ETHANOL_BONDS, ETHANOL_NUMBERS

from asteroid_nb.data.bonds import bond_hops
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape

#: Springs in eV/Å² between atoms one, two, three and more bonds apart: a C–H bond then vibrates in about 11 fs.
SPRINGS = (30.0, 6.0, 1.5, 0.5)
AMU_ANG2_PER_FS2_IN_EV = 103.643
BOLTZMANN_EV_PER_K = 8.617e-5
MASSES = np.where(ETHANOL_NUMBERS == 1, 1.008, np.where(ETHANOL_NUMBERS == 6, 12.011, 15.999))

#: Mirror images of ethanol differ by nothing but noise; a little asymmetry gives every tie one answer.
AT_REST_ANG = ETHANOL_ANG + np.random.default_rng(7).normal(scale=0.02, size=ETHANOL_ANG.shape)


@functools.cache
def modes() -> tuple[np.ndarray, np.ndarray]:
    """Return angular frequencies [21] in 1/fs and mass-weighted modes [21, 9, 3] of the spring network."""
    arms = AT_REST_ANG[:, None] - AT_REST_ANG[None]
    apart = np.linalg.norm(arms, axis=-1) + np.eye(9)
    hops = bond_hops(ETHANOL_BONDS, 9, most=4)
    springs = np.take((0.0, *SPRINGS), hops)
    pairs = -springs[..., None, None] * (arms[..., :, None] * arms[..., None, :]) / apart[..., None, None] ** 2
    pairs[np.arange(9), np.arange(9)] = -pairs.sum(1)
    hessian = pairs.transpose(0, 2, 1, 3).reshape(27, 27) / AMU_ANG2_PER_FS2_IN_EV
    weight = np.repeat(MASSES**-0.5, 3)
    squared, vectors = np.linalg.eigh(weight[:, None] * hessian * weight)
    return np.sqrt(squared[6:]), vectors.T[6:].reshape(-1, 9, 3)


def harmonic_ethanol(
    n_frames: int = 200, *, seed: int = 0, dt_fs: float = 1.0, temperature_K: float = 30.0
) -> Trajectory:
    """Return the exact motion of the spring network, every mode with kT of energy and a phase drawn by the seed."""
    frequencies, shapes = modes()
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(frequencies))
    amplitude = np.sqrt(2 * BOLTZMANN_EV_PER_K * temperature_K / AMU_ANG2_PER_FS2_IN_EV) / frequencies
    waves = amplitude * np.cos(frequencies * dt_fs * np.arange(n_frames)[:, None] + phase)
    moved = np.einsum("tm,mac->tac", waves, shapes) / np.sqrt(MASSES)[:, None]
    return Trajectory(AT_REST_ANG + moved, ETHANOL_NUMBERS, dt_fs, masses=MASSES, bonds=ETHANOL_BONDS, name=f"{seed}")


def harmonic_windows(shape: WindowShape, *, seeds: range = range(3), **options) -> Windows:
    return Windows([harmonic_ethanol(seed=seed, **options) for seed in seeds], shape)


def amplitude_ang(windows: Windows) -> float:
    """Return the root mean square displacement per coordinate."""
    positions = np.concatenate([trajectory.positions for trajectory in windows.trajectories])
    return float((positions - positions.mean(0)).std())


def shaken(model: torch.nn.Module, *, by: float = 0.1, seed: int = 1) -> torch.nn.Module:
    """Return the model with noise on every weight: heads that start at zero would hide what they read."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += by * torch.randn(weight.shape, generator=draw)
    return model.eval()
