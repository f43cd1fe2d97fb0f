"""Ethanol held together by springs: its motion is known in closed form, and linear maps can know it too."""

from __future__ import annotations

import functools

import numpy as np
import torch
from small_molecules import ETHANOL_ANG, ETHANOL_BONDS, ETHANOL_NUMBERS

from asteroid_nb.data.springs import normal_modes, oscillator
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape

MASSES = np.where(ETHANOL_NUMBERS == 1, 1.008, np.where(ETHANOL_NUMBERS == 6, 12.011, 15.999))

#: Mirror images of ethanol differ by nothing but noise; a little asymmetry gives every tie one answer.
AT_REST_ANG = ETHANOL_ANG + np.random.default_rng(7).normal(scale=0.02, size=ETHANOL_ANG.shape)


@functools.cache
def at_rest() -> Trajectory:
    return Trajectory(AT_REST_ANG[None], ETHANOL_NUMBERS, 1.0, masses=MASSES, bonds=ETHANOL_BONDS)


def modes() -> tuple[np.ndarray, np.ndarray]:
    """Return angular frequencies [21] in 1/fs and mass-weighted modes [21, 9, 3] of the spring network."""
    return normal_modes(at_rest())


def harmonic_ethanol(n_frames: int = 200, *, seed: int = 0, **options) -> Trajectory:
    """Return the exact motion of the spring network, every mode with kT of energy and a phase drawn by the seed."""
    return oscillator(at_rest(), n_frames=n_frames, seed=seed, **options).replace(name=f"{seed}")


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
