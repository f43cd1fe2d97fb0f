"""Errors of forecasts by lead time. The future is never superposed: a forecast that rotates wrongly is wrong.

Everywhere: forecast and truth are [windows, horizon, atoms, 3] Å; frame k of the horizon, counted from 1, lies
k · ``dt_fs`` ahead. RMSE and MAE are per coordinate (as errors on MD17-like sets are published), ADE and FDE are
Euclidean distances per atom (as in GeoTDM, arXiv:2410.13027): 1.6 times the RMSE for Gaussian errors, √3 times where
all distances are equal.
"""

from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.errors import ModelMismatch
from asteroid_nb.metrics.resampling import Interval, interval, resampled_means
from asteroid_nb.shapes import Float, Int


class Band(NamedTuple):
    """Median and two percentiles over windows, each [horizon]."""

    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def difference(forecast: Any, truth: Any) -> Float[np.ndarray, "windows horizon atoms 3"]:
    """Return forecast − truth in Å, in double precision.

    Raises:
        ModelMismatch: the two differ in shape, or are no windows of atoms in space.
    """
    forecast, truth = np.asarray(forecast, dtype=float), np.asarray(truth, dtype=float)
    if forecast.shape != truth.shape or forecast.ndim != 4 or forecast.shape[-1] != 3 or not forecast.size:
        raise ModelMismatch(
            f"The forecast has shape {forecast.shape} and the truth {truth.shape}; both must be the same, not empty "
            "[windows, horizon, atoms, 3]. Cut them to the same windows, lead times and atoms; give one window an axis."
        )
    return forecast - truth


def summed_errors(forecast: Any, truth: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return squared (Å²) and absolute (Å) errors, each [windows, horizon, atoms] and summed over x, y, z."""
    off = difference(forecast, truth)
    return np.square(off).sum(-1), np.abs(off).sum(-1)


def displacement(forecast: Any, truth: Any) -> Float[np.ndarray, "windows horizon atoms"]:
    """Return how far, in Å, each atom is from where it should be."""
    return np.linalg.norm(difference(forecast, truth), axis=-1)


def rmse(forecast: Any, truth: Any) -> Float[np.ndarray, " horizon"]:
    """Return the root mean square error per coordinate in Å, over windows, atoms and x, y, z.

    >>> truth = np.zeros((1, 2, 1, 3))  # one window, two lead times, one atom
    >>> forecast = truth + np.reshape([[0.3, 0, 0], [0, 0.3, 0.4]], truth.shape)
    >>> rmse(forecast, truth).round(3)
    array([0.173, 0.289])
    >>> ade_by_lead(forecast, truth)  # distances, not coordinates: √3 times as much here
    array([0.3, 0.5])
    """
    return np.sqrt(np.square(difference(forecast, truth)).mean(axis=(0, 2, 3)))


def mae(forecast: Any, truth: Any) -> Float[np.ndarray, " horizon"]:
    """Return the mean absolute error per coordinate in Å, over windows, atoms and x, y, z."""
    return np.abs(difference(forecast, truth)).mean(axis=(0, 2, 3))


def ade_by_lead(forecast: Any, truth: Any) -> Float[np.ndarray, " horizon"]:
    """Return the mean distance in Å, over windows and atoms."""
    return displacement(forecast, truth).mean(axis=(0, 2))


def ade(forecast: Any, truth: Any) -> float:
    """Return the average displacement error in Å: over windows, atoms and all lead times."""
    return float(ade_by_lead(forecast, truth).mean())


def fde(forecast: Any, truth: Any) -> float:
    """Return the final displacement error in Å: over windows and atoms at the last lead time."""
    return float(ade_by_lead(forecast, truth)[-1])


def rmse_per_window(forecast: Any, truth: Any) -> Float[np.ndarray, "windows horizon"]:
    """Return the RMSE per coordinate in Å of each window."""
    return np.sqrt(np.square(difference(forecast, truth)).mean(axis=(2, 3)))


def per_atom_rmse(forecast: Any, truth: Any) -> Float[np.ndarray, "horizon atoms"]:
    """Return the RMSE per coordinate in Å of each atom, over windows."""
    return np.sqrt(np.square(difference(forecast, truth)).mean(axis=(0, 3)))


def band(values: Float[np.ndarray, "windows horizon"], low: float = 10, high: float = 90) -> Band:
    """Return median and percentiles over windows: how errors scatter, which is not how well their mean is known."""
    lower, median, upper = np.percentile(values, [low, 50, high], axis=0)
    return Band(median, lower, upper)


def skill_horizon_fs(
    squared: Float[np.ndarray, "windows horizon"],
    mean_squared: Float[np.ndarray, "windows horizon"],
    lead_times_fs: Float[np.ndarray, " horizon"],
    *,
    blocks: Int[np.ndarray, " windows"] | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.9,
    seed: int = 0,
) -> Interval:
    """Return the vibrational memory: the first lead time at which a forecast no longer beats the mean of the history.

    Args:
        squared: mean square error of the forecast in each window, Å².
        mean_squared: that of the mean of the history.
        lead_times_fs: of the horizon.
        blocks: of windows drawn together, see `resampling.block_labels`; every window alone when not given, which is
            too sure of itself when windows overlap.
        n_resamples: how many bootstrap draws make the interval.
        confidence: the share of them it holds.
        seed: of the draws.

    Returns:
        The time with its interval; infinite where the forecast is better at every lead time.
    """
    blocks = np.arange(len(squared)) if blocks is None else blocks
    pair = np.stack([squared, mean_squared], axis=-1)
    draws = resampled_means(pair, blocks, n_resamples=n_resamples, seed=seed)
    value = _first_lost(pair.mean(axis=0)[None], lead_times_fs)[0]
    return interval(value, _first_lost(draws, lead_times_fs), confidence=confidence)


def _first_lost(pairs: np.ndarray, lead_times_fs: np.ndarray) -> np.ndarray:
    """Return [draws] fs, from [draws, horizon, 2] mean squares of forecast and rival. NaN has no skill."""
    lost = ~(pairs[..., 0] < pairs[..., 1])
    return np.where(lost.any(axis=1), np.asarray(lead_times_fs)[lost.argmax(axis=1)], np.inf)


def right_for_fs(
    squared: Float[np.ndarray, "windows horizon"],
    tolerated_ang: float,
    lead_times_fs: Float[np.ndarray, " horizon"],
    **draws: Any,
) -> Interval:
    """Return the last lead time up to which the RMSE stays below what is tolerated: 0 where it never is.

    Where it is to the end, the last lead time: a longer horizon might have shown more.

    Args:
        squared: mean square error per coordinate of the forecast in each window, Å².
        tolerated_ang: RMSE per coordinate that is too large.
        lead_times_fs: of the horizon.
        draws: as those of `skill_horizon_fs`.
    """
    lost = skill_horizon_fs(squared, np.full_like(squared, tolerated_ang**2), lead_times_fs, **draws)
    before = np.concatenate([[0.0], lead_times_fs])
    return Interval(*(float(before[np.searchsorted(lead_times_fs, one)]) for one in lost))
