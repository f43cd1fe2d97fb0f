"""Metastable sets of states by PCCA+, as memberships: hard sets bring recrossings on their borders back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Int
from asteroid_nb.states.counting import Several, gathered
from asteroid_nb.states.load_deeptime import load_deeptime
from asteroid_nb.states.msm import fitted
from asteroid_nb.states.partitions import cores_of_memberships


@dataclass(frozen=True, kw_only=True, eq=False)
class Metastable:
    """How much each state belongs to each slow set.

    Args:
        memberships: [states, sets], rows sum to 1; all equal for states the model does not cover.
        populations: [sets], stationary, largest first.
        connected: [connected] the states that the model covers.
        lag_frames: of the model.
        dt_fs: between frames.
        labels: one name per state.
    """

    memberships: np.ndarray
    populations: np.ndarray
    connected: np.ndarray
    lag_frames: int
    dt_fs: float
    labels: tuple[str, ...]

    @property
    def n_sets(self) -> int:
        return self.memberships.shape[1]

    @property
    def hard(self) -> Int[np.ndarray, " states"]:
        """Return the likeliest set of each state, −1 for states the model does not cover. No cores: see `cores`."""
        sets = np.full(len(self.memberships), -1)
        sets[self.connected] = self.memberships[self.connected].argmax(axis=1)
        return sets

    def cores(self, *, at_least: float = 0.8) -> Int[np.ndarray, " states"]:
        """Return the set each state belongs to for certain, −1 for others; for `recrossing.remove_recrossings`.

        Raises:
            InvalidTrajectory: a set has no such state, so its core could never be entered.
        """
        cores = cores_of_memberships(self.memberships, at_least=at_least)
        empty = np.setdiff1d(np.arange(self.n_sets), cores)
        if empty.size:
            raise InvalidTrajectory(
                f"No state belongs to the sets {empty.tolist()} by {at_least:g} or more, so their cores would never be "
                "entered. Lower the threshold, use finer states or fewer sets."
            )
        return cores


def metastable(trajectories: Several, *, lag_frames: int, n_sets: int) -> Metastable:
    """Return the slow sets of the likeliest reversible model, largest first.

    Raises:
        InvalidTrajectory: no trajectory, nothing moves, or PCCA+ finds no such sets.
        ModelMismatch: trajectories of different states or spacing.
        TrajectoryTooShort: a lag that no trajectory spans.
        InvalidSettings: fewer than two sets, or more than connected states.

    Reference:
        Röblitz & Weber (2013), doi:10.1007/s11634-013-0134-6.
    """
    load_deeptime()
    from deeptime.markov import pcca

    frames = gathered(trajectories)
    model = fitted(frames, lag_frames)
    if not 2 <= n_sets <= len(model.connected):
        raise InvalidSettings(
            f"Found n_sets={n_sets} for {len(model.connected)} connected states; needed are 2 sets at least, and no "
            "more than states."
        )
    try:
        with warnings.catch_warnings():  # eigenvalues of a reversible matrix are real: what is imaginary is rounding
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            found = pcca(model.matrix, n_sets, stationary_distribution=model.populations)
    except ValueError as error:
        raise InvalidTrajectory(
            f"PCCA+ finds no {n_sets} sets among {len(model.connected)} states ({error}). Use fewer sets, or a lag at "
            "which the states are connected."
        ) from error
    order = np.argsort(-found.coarse_grained_stationary_probability, kind="stable")
    memberships = np.full((frames.n_states, n_sets), 1 / n_sets)
    memberships[model.connected] = np.clip(found.memberships, 0, 1)[:, order]
    return Metastable(
        memberships=memberships / memberships.sum(axis=1, keepdims=True),
        populations=np.asarray(found.coarse_grained_stationary_probability)[order],
        connected=model.connected,
        lag_frames=lag_frames,
        dt_fs=frames.dt_fs,
        labels=frames.labels,
    )
