"""How often states are met, how fast they are left, and the free energies that follow: counts over frames, no model."""

from __future__ import annotations

import math

import numpy as np

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Float
from asteroid_nb.states.counting import Frames, Several, gathered
from asteroid_nb.states.msm import fitted
from asteroid_nb.units import BOLTZMANN_EV_PER_K, FS_PER_NS


def populations(trajectories: Several, *, lag_frames: int | None = None) -> Float[np.ndarray, " states"]:
    """Return the share of each state, 0 where it is never met; shares sum to 1.

    Args:
        lag_frames: take the stationary shares of the likeliest reversible model at this lag, which forgets where
            trajectories began; states outside its connected set have 0. Shares of frames when not given.

    Raises:
        InvalidTrajectory: no trajectory, or with a lag none that ever changes its state.
        ModelMismatch: trajectories of different states or spacing.
    """
    frames = gathered(trajectories, must_move=lag_frames is not None)
    if lag_frames is None:
        return frames.per_state / frames.n_frames
    model = fitted(frames, lag_frames)
    shares = np.zeros(frames.n_states)
    shares[model.connected] = model.populations
    return shares


def jump_rates(trajectories: Several) -> Float[np.ndarray, "states states"]:
    """Return jumps from each state to each other per ns spent in it, as seen from one frame to the next; diagonal 0.

    The likeliest rates of a chain whose trajectories end at any time; NaN from a state nobody was seen to stay in or
    leave. Rates of states whose border is recrossed count every recrossing.

    Raises:
        InvalidTrajectory: no trajectory.
        ModelMismatch: trajectories of different states or spacing.
    """
    frames = gathered(trajectories, must_move=False)
    counts = _steps(frames)
    spent_ns = counts.sum(axis=1, keepdims=True) * frames.dt_fs / FS_PER_NS
    rates = np.divide(counts, spent_ns, out=np.full_like(counts, np.nan), where=spent_ns > 0)
    np.fill_diagonal(rates, 0.0)
    return rates


def mean_dwell_fs(trajectories: Several) -> Float[np.ndarray, " states"]:
    """Return the mean time in fs from entering each state until leaving it, NaN where nobody was seen to leave.

    Time spent divided by departures, so visits cut off by the end of a trajectory count with the time they lasted. The
    reciprocal of a state's `jump_rates` taken together.

    Raises:
        InvalidTrajectory: no trajectory.
        ModelMismatch: trajectories of different states or spacing.
    """
    frames = gathered(trajectories, must_move=False)
    counts = _steps(frames)
    left = counts.sum(axis=1) - np.diag(counts)
    spent = counts.sum(axis=1) * frames.dt_fs
    return np.divide(spent, left, out=np.full(len(left), np.nan), where=left > 0)


def free_energies_eV(populations: np.ndarray, temperature_K: float) -> Float[np.ndarray, " states"]:
    """Return −kT ln p in eV above the lowest state; NaN where the population is 0, because only a bound is known.

    Raises:
        InvalidSettings: a temperature that is not positive, or shares that are no populations.
    """
    if not (math.isfinite(temperature_K) and temperature_K > 0):
        raise InvalidSettings(f"The temperature was {temperature_K!r} K; it must be positive.")
    shares = np.asarray(populations, dtype=float)
    if shares.ndim != 1 or not np.isfinite(shares).all() or shares.min(initial=0) < 0 or shares.sum() <= 0:
        raise InvalidSettings(
            f"Populations of shape {shares.shape} must be [states], none negative or NaN, at least one above 0."
        )
    with np.errstate(divide="ignore"):
        energies = -BOLTZMANN_EV_PER_K * temperature_K * np.log(shares / shares.max())
    return np.where(shares > 0, energies + 0.0, np.nan)


def _steps(frames: Frames) -> Float[np.ndarray, "states states"]:
    """Return counts from one frame to the next, none where every trajectory is a single frame."""
    if frames.longest < 2:
        return np.zeros((frames.n_states, frames.n_states))
    return frames.counts(1)
