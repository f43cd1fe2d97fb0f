"""The Markov state model at its plateau lag as a sampler: the second simple rival of every language model."""

from __future__ import annotations

import numpy as np

from asteroid_nb.states.counting import Several, gathered
from asteroid_nb.states.markov import MarkovChain, Table
from asteroid_nb.states.msm import fitted


class PlateauTable(Table):
    """The same table under the name of its rival."""

    name = "plateau MSM"


def plateau_msm(trajectories: Several, *, lag_frames: int) -> MarkovChain:
    """Return the likeliest reversible model at a lag as a chain whose frames are one lag apart.

    It starts from its stationary populations. States outside the connected set are never entered; a chain told to start
    in one stays there, and ``never_left`` names them.

    Raises:
        InvalidTrajectory: no trajectory, or nothing moves at this lag.
        ModelMismatch: trajectories of different states or spacing.
        TrajectoryTooShort: a lag that no trajectory spans.
    """
    frames = gathered(trajectories)
    model = fitted(frames, lag_frames)
    matrix, shares = np.eye(frames.n_states), np.zeros(frames.n_states)
    matrix[np.ix_(model.connected, model.connected)] = model.matrix / model.matrix.sum(axis=1, keepdims=True)
    shares[model.connected] = model.populations
    outside = np.setdiff1d(np.arange(frames.n_states), model.connected)
    chain = MarkovChain(matrix, frames.dt_fs * lag_frames, frames.labels, shares, tuple(outside.tolist()))
    assert isinstance(chain.stepper, Table)
    chain.stepper = PlateauTable(chain.stepper.log_matrix)
    return chain
