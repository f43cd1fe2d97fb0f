"""State sequences whose laws are known: Markov chains, and walkers on a ring whose next step depends on their last."""

from __future__ import annotations

import functools

import numpy as np

from asteroid_nb.data.trajectory import StateTrajectory

TWO = np.array([[0.95, 0.05], [0.20, 0.80]])
THREE = np.array([[0.90, 0.08, 0.02], [0.10, 0.85, 0.05], [0.00, 0.30, 0.70]])

#: How often a walker on the ring turns round, and so the entropy of its next step in nats.
TURNS = 0.1
ENTROPY = -TURNS * np.log(TURNS) - (1 - TURNS) * np.log(1 - TURNS)


def tokens(states, n_states: int, *, dt_fs: float = 10.0, name: str = "tokens") -> StateTrajectory:
    return StateTrajectory(np.asarray(states), n_states, dt_fs, name=name)


def markov_states(matrix: np.ndarray, n_frames: int, seed: int) -> np.ndarray:
    draw, states = np.random.default_rng(seed), [0]
    below = np.cumsum(matrix, axis=1)
    for number in draw.random(n_frames - 1):
        states.append(int(np.searchsorted(below[states[-1]], number, side="right")))
    return np.array(states)


@functools.cache
def replicas(n_states: int, n_frames: int = 20_000) -> tuple[StateTrajectory, ...]:
    """Return three replicas of the chain with so many states."""
    matrix = {2: TWO, 3: THREE}[n_states]
    return tuple(tokens(markov_states(matrix, n_frames, seed), n_states, name=f"replica {seed}") for seed in range(3))


@functools.cache
def ring(n_frames: int = 8_000) -> tuple[StateTrajectory, ...]:
    """Return three walkers on a ring of four states; seen without memory, they step either way with equal chance."""
    walkers = []
    for seed in range(3):
        turned = np.random.default_rng(seed).random(n_frames) < TURNS
        direction = np.where(np.cumsum(turned) % 2, -1, 1)
        walkers.append(tokens(np.cumsum(direction) % 4, 4, name=f"walker {seed}"))
    return tuple(walkers)
