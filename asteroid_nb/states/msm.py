"""Reversible Markov state models at a lag, by deeptime: the likeliest one, and draws from the posterior.

The same name means different units within deeptime: the passage time of its ``MarkovStateModel`` is in frames, that of
its ``reactive_flux`` in lags. Here everything that leaves a function is in frames or in fs, as its name says.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float
from asteroid_nb.states.counting import Frames, enough_samples, largest_connected, must_span
from asteroid_nb.states.load_deeptime import load_deeptime

Counting = Literal["sliding/lag", "effective"]

#: An eigenvalue within this of 0 is what rounding left of a mode that is gone.
ROUNDED_AWAY = 1e-12

#: Relative change of populations at which the likeliest matrix counts as found; looser where many are averaged.
FOUND, FOUND_ROUGHLY, MOST_STEPS = 1e-8, 1e-5, 200_000


#: A posterior covers states entered and left so often, independently, and is not drawn for less of the counts.
FEWEST_MOVES, LEAST_SHARE = 1.0, 0.9


@dataclass(frozen=True, kw_only=True, eq=False)
class MSM:
    """A reversible transition matrix over the connected states.

    Args:
        connected: [connected] the states it covers, of all of them.
        matrix: [connected, connected], rows sum to 1.
        populations: [connected], stationary, sum to 1.
        counts: [connected, connected] it was estimated from.
        lag_frames: one step of it.
    """

    connected: np.ndarray
    matrix: np.ndarray
    populations: np.ndarray
    counts: np.ndarray
    lag_frames: int

    def timescales_frames(self, n_modes: int) -> Float[np.ndarray, " modes"]:
        """Return the slowest implied timescales, t2 first; NaN for a mode that is gone within a lag, or absent.

        Reference:
            Swope, Pitera & Suits (2004), doi:10.1021/jp037421y.
        """
        values = eigenvalues(self.matrix, self.populations, n_modes + 1)[1:]
        times = np.full(n_modes, np.nan)
        alive = (values > ROUNDED_AWAY) & (values < 1)
        times[: len(values)][alive] = -self.lag_frames / np.log(values[alive])
        return times


def eigenvalues(
    matrix: Float[np.ndarray, "states states"], populations: Float[np.ndarray, " states"], most: int
) -> Float[np.ndarray, " values"]:
    """Return the largest eigenvalues of a reversible matrix, largest first."""
    from scipy.linalg import eigh

    root = np.sqrt(populations)
    symmetric = matrix * (root[:, None] / root[None])
    n_states = len(matrix)
    chosen = (max(0, n_states - most), n_states - 1)
    return eigh((symmetric + symmetric.T) / 2, eigvals_only=True, subset_by_index=chosen)[::-1]


def likeliest(counts: Float[np.ndarray, "states states"], lag_frames: int, *, within: float = FOUND) -> MSM:
    """Return the reversible maximum-likelihood model on the largest connected set.

    Raises:
        InvalidTrajectory: no two states are connected, or the iteration does not converge.

    Reference:
        Prinz et al. (2011), doi:10.1063/1.3565032; Trendelkamp-Schroer, Wu, Paul & Noé (2015), doi:10.1063/1.4934536.
    """
    load_deeptime()
    from deeptime.markov.msm import MaximumLikelihoodMSM
    from deeptime.util.exceptions import NotConvergedWarning

    connected = largest_connected(counts)
    kept = counts[np.ix_(connected, connected)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotConvergedWarning)
        try:
            found: Any = MaximumLikelihoodMSM(maxiter=MOST_STEPS, maxerr=within).fit_from_counts(kept).fetch_model()
        except (NotConvergedWarning, ValueError) as error:
            raise InvalidTrajectory(
                f"No reversible model of {len(connected)} states at a lag of {lag_frames} frames was found ({error}). "
                "Use coarser states, another lag or more data."
            ) from error
    populations = np.asarray(found.stationary_distribution)
    return MSM(
        connected=connected,
        matrix=np.asarray(found.transition_matrix),
        populations=populations / populations.sum(),
        counts=kept,
        lag_frames=lag_frames,
    )


def fitted(frames: Frames, lag_frames: int) -> MSM:
    """Return the likeliest model of sliding counts."""
    return likeliest(frames.counts(lag_frames), lag_frames)


def resampled(frames: Frames, lag_frames: int, n_samples: int, random: np.random.Generator) -> Iterator[MSM | None]:
    """Yield the likeliest model of each bootstrap sample, None where it has none."""
    for counts in frames.resampled(lag_frames, n_samples, random):
        try:
            yield likeliest(counts, lag_frames, within=FOUND_ROUGHLY)
        except InvalidTrajectory:
            yield None


def posterior(
    frames: Frames, lag_frames: int, n_samples: int, *, seed: int = 0, counting: Counting = "sliding/lag"
) -> Iterator[MSM]:
    """Yield reversible models drawn by deeptime from what the counts leave open.

    Sliding counts hold each jump as often as the lag has frames, so they are divided by it. deeptime's own "effective"
    counts are there as well, but on paths of the four wells their bands came out far narrower than estimates scatter,
    those of "sliding/lag" as wide (tests hold both to it): deeptime 0.4.5 divides correlations by a mean square where a
    variance belongs. States entered or left fewer than once, so counted, are left out: the posterior would let chains
    stay there for ever. Where that costs more than a tenth of the counts there is no posterior.

    Raises:
        InvalidTrajectory: no two states are connected, or too few counts are independent.

    Reference:
        Trendelkamp-Schroer, Wu, Paul & Noé (2015), doi:10.1063/1.4934536.
    """
    load_deeptime()
    from deeptime.markov.tools.estimation.dense.tmat_sampling.tmatrix_sampler import TransitionMatrixSampler

    enough_samples(n_samples)
    counts = _independent(frames, lag_frames, counting)
    largest_connected(counts)  # says so if there is none, before anything is left out
    best = likeliest(_often_moved(counts, lag_frames), lag_frames)
    # `BayesianMSM` draws from this sampler too, but takes no seed.
    n_steps = max(1, int(np.sqrt(len(best.connected))))
    sampler = TransitionMatrixSampler(best.counts, reversible=True, P0=best.matrix, n_steps=n_steps, seed=seed)
    for _ in range(n_samples):
        matrix, populations = sampler.sample(return_statdist=True)
        yield MSM(
            connected=best.connected,
            matrix=np.array(matrix),
            populations=np.array(populations),
            counts=best.counts,
            lag_frames=lag_frames,
        )


def _often_moved(counts: Float[np.ndarray, "states states"], lag_frames: int) -> Float[np.ndarray, "states states"]:
    """Return the counts without states that are hardly entered or left."""
    kept = counts.copy()
    while True:
        moved = np.minimum(kept.sum(axis=0), kept.sum(axis=1)) - np.diag(kept)
        seldom = (moved < FEWEST_MOVES) & kept.any(axis=1)
        if not seldom.any():
            break
        kept[seldom], kept[:, seldom] = 0.0, 0.0
    if kept.sum() < LEAST_SHARE * counts.sum():
        raise InvalidTrajectory(
            f"At a lag of {lag_frames} frames only {kept.sum() / counts.sum():.0%} of the counts lie in states entered "
            f"and left independently at least once; a posterior needs {LEAST_SHARE:.0%}. Use more data, coarser states "
            "or a shorter lag."
        )
    return kept


def _independent(frames: Frames, lag_frames: int, counting: Counting) -> Float[np.ndarray, "states states"]:
    if counting == "sliding/lag":
        return frames.counts(lag_frames) / lag_frames
    if counting != "effective":
        raise InvalidSettings(f"The counting was {counting!r}; it can be 'sliding/lag' or 'effective'.")
    load_deeptime()
    from deeptime.markov import TransitionCountEstimator

    must_span(frames, lag_frames)
    ends = np.flatnonzero(frames.following == 0) + 1
    several = [one.astype(np.int32) for one in np.split(frames.states, ends[:-1]) if len(one) > lag_frames]
    found: Any = TransitionCountEstimator(lag_frames, "effective", n_states=frames.n_states).fit_fetch(several)
    return np.asarray(found.count_matrix, dtype=float)
