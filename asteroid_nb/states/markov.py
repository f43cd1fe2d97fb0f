"""The order-1 Markov chain counted from frames: the rival every language model has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float
from asteroid_nb.states.sampling import StateModel
from asteroid_nb.states.windows import StateWindows


@dataclass(frozen=True)
class Table:
    """A transition matrix as a `Stepper`: the next state depends on the present one alone.

    Args:
        log_matrix: [states, states], natural logarithms of the probabilities, −inf where there is none.
    """

    log_matrix: Tensor

    name = "order-1 chain"
    context = 1
    device = torch.device("cpu")

    @property
    def n_states(self) -> int:
        return len(self.log_matrix)

    def __call__(self, states: Tensor) -> Tensor:
        return self.log_matrix[states]

    def begin(self, n_chains: int) -> None:
        return None

    def step(self, states: Tensor, memory: None) -> tuple[Tensor, None]:
        return self.log_matrix[states], None


@dataclass(eq=False, repr=False)
class MarkovChain(StateModel):
    """A chain that remembers the present state alone, with transition probabilities over one frame.

    Args:
        transition_matrix: [states, states], rows sum to 1.
        dt_fs: between frames.
        labels: one name per state.
        frequencies: [states], the share of training frames in each.
        never_left: states without a single counted step out of or within them.
    """

    transition_matrix: Float[np.ndarray, "states states"]
    dt_fs: float
    labels: tuple[str, ...]
    frequencies: np.ndarray
    never_left: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore"):
            self.stepper = Table(torch.as_tensor(np.log(self.transition_matrix)))

    @classmethod
    def fit(
        cls,
        trajectories: StateTrajectory | Sequence[StateTrajectory],
        *,
        prior: float = 0.0,
        stay_where_unknown: bool = False,
    ) -> MarkovChain:
        """Count steps from one frame to the next, within trajectories alone, and return the chain.

        Args:
            prior: added to the count of every pair of states.
            stay_where_unknown: a state that the data never leave keeps chains for ever, instead of an error.

        Raises:
            InvalidTrajectory: there is nothing to count, or a state's next states are unknown.
            ModelMismatch: trajectories of different states or spacing.
            TrajectoryTooShort: a trajectory of a single frame.
        """
        several = [trajectories] if isinstance(trajectories, StateTrajectory) else list(trajectories)
        if not (np.isfinite(prior) and prior >= 0):
            raise InvalidSettings(f"The prior was {prior!r}; it must be a finite number, 0 or more.")
        data = StateWindows(several, length=2)
        counts = np.sum([_counted(trajectory) for trajectory in several], axis=0)
        never_left = tuple(np.flatnonzero(counts.sum(axis=1) == 0).tolist())
        if never_left and not prior and not stay_where_unknown:
            raise InvalidTrajectory(
                f"No step was counted from the states {list(never_left)}, so what follows them is unknown. Give a "
                "prior, let chains stay there (stay_where_unknown=True), or number the visited states alone."
            )
        weights = counts + prior
        if not prior:
            weights[never_left, never_left] = 1.0
        matrix = weights / weights.sum(axis=1, keepdims=True)
        return cls(matrix, data.dt_fs, data.labels, data.frequencies, never_left)

    def __repr__(self) -> str:
        return f"<MarkovChain of {self.n_states} states, every {self.dt_fs:g} fs>"


def _counted(trajectory: StateTrajectory) -> Float[np.ndarray, "states states"]:
    """Return how often each state followed each other."""
    n_states, states = trajectory.n_states, trajectory.states
    pairs = states[:-1] * n_states + states[1:]
    return np.bincount(pairs, minlength=n_states**2).reshape(n_states, n_states).astype(float)
