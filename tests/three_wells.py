"""Torsions of a molecule that does not exist: three wells in φ and ψ, and a known Markov chain that hops between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from token_chains import markov_states

WELLS_RAD = np.radians([(-75, 150), (-80, -20), (60, 45)])

#: The third well is the slow one.
HOPS = np.array([[0.96, 0.035, 0.005], [0.045, 0.95, 0.005], [0.02, 0.02, 0.96]])

DT_FS = 1000.0

#: Slowest timescale in fs.
SLOWEST_FS = float(-DT_FS / np.log(np.sort(np.linalg.eigvals(HOPS).real)[-2]))


def torsions(n_frames: int, seed: int) -> np.ndarray:
    """Return [frames, φ and ψ] in rad, scattered around the wells."""
    states = markov_states(HOPS, n_frames, seed)
    scattered = WELLS_RAD[states] + np.random.default_rng(seed).normal(scale=0.25, size=(n_frames, 2))
    return (scattered + np.pi) % (2 * np.pi) - np.pi


def archive(path: Path, *, n_trajectories: int = 4, n_frames: int = 3000, **changed: np.ndarray) -> Path:
    """Write trajectories run0, run1, … and return the path; some may be changed."""
    made = {f"run{number}": torsions(n_frames, seed=number) for number in range(n_trajectories)}
    np.savez(path, **{**made, **changed})
    return path
