"""Implied timescales against lag with their bands, and the plateau they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.memory import giving_back
from asteroid_nb.shapes import Float
from asteroid_nb.states.counting import Frames, Several, band_of, gathered, must_span
from asteroid_nb.states.msm import MSM, Counting, fitted, posterior, resampled

Band = Literal["bootstrap", "Bayesian"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Timescales:
    """Implied timescales at several lags.

    Args:
        lags_frames: [lags].
        dt_fs: between frames.
        timescales_fs: [lags, modes], slowest first; NaN where there is none.
        low: [lags, modes] fs, where the band begins; None without one.
        high: [lags, modes] fs, where it ends.
        band: what it is, in words; "" without one.
        name: shown in legends.
        share_used: [lags] of all frames, those whose state is in the largest connected set.
        notes: one sentence for each lag that leaves states out or has no model.
    """

    lags_frames: np.ndarray
    dt_fs: float
    timescales_fs: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    band: str = ""
    name: str = "MD"
    share_used: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def lags_fs(self) -> Float[np.ndarray, " lags"]:
        return np.asarray(self.lags_frames) * self.dt_fs

    @property
    def n_modes(self) -> int:
        return self.timescales_fs.shape[1]

    def at(self, lag_frames: int) -> Float[np.ndarray, " modes"]:
        """Return the timescales at one of the lags, in fs.

        Raises:
            InvalidSettings: it is none of them.
        """
        found = np.flatnonzero(np.asarray(self.lags_frames) == lag_frames)
        if not found.size:
            raise InvalidSettings(
                f"There is no lag of {lag_frames} frames; there are {', '.join(map(str, self.lags_frames))}. "
                "Choose one of these, or estimate at this one as well."
            )
        return self.timescales_fs[found[0]]

    def __repr__(self) -> str:
        lags = f"{len(self.lags_frames)} lags from {self.lags_fs[0]:g} to {self.lags_fs[-1]:g} fs"
        return f"<Timescales of {self.name!r}: {self.n_modes} modes at {lags}{f', {self.band}' if self.band else ''}>"


@giving_back()
def implied_timescales(
    trajectories: Several,
    *,
    lags_frames: Sequence[int] | np.ndarray,
    n_modes: int = 3,
    band: Band | None = None,
    n_samples: int = 100,
    level: float = 0.9,
    seed: int = 0,
    name: str = "MD",
    counting: Counting = "sliding/lag",
) -> Timescales:
    """Return the implied timescales of reversible maximum-likelihood models at each lag.

    Every frame starts a pair (sliding counts); the model covers the largest set of states that lead to each other and
    back. What that leaves out is in ``notes`` and ``share_used``; a lag at which there is no model is NaN, with a note.

    Args:
        band: "bootstrap" resamples trajectories, or stretches of them where they are few (see `counting.gathered`);
            "Bayesian" draws from the posterior of the counts (see `msm.posterior`).
        n_samples: of either band.
        level: share of the samples within the band.
        counting: of the Bayesian band alone.

    Raises:
        InvalidTrajectory: no trajectory, nothing ever moves, or no lag has a model.
        ModelMismatch: trajectories of different states or spacing.
        TrajectoryTooShort: a lag that no trajectory spans.
        InvalidSettings: no lags, or no whole numbers; no modes; another band.

    Reference:
        Swope, Pitera & Suits (2004), doi:10.1021/jp037421y.
    """
    frames = gathered(trajectories)
    lags = checked_lags(frames, lags_frames)
    if n_modes < 1 or band not in (None, "bootstrap", "Bayesian"):
        raise InvalidSettings(f"Found n_modes={n_modes} and band={band!r}; needed are 1 or more, and a known band.")
    times, bounds, notes, shares = [], [], [], []
    for lag in lags:
        model, note = _model(frames, int(lag))
        notes += [note] if note else []
        shares.append(0.0 if model is None else frames.per_state[model.connected].sum() / frames.n_frames)
        times.append(np.full(n_modes, np.nan) if model is None else model.timescales_frames(n_modes))
        if band is not None:
            drawn, note = _samples(frames, int(lag), n_modes, band, n_samples, seed, counting)
            bounds.append(np.stack(band_of(drawn, level)))
            notes += [note] if note and model else []
    if not any(np.isfinite(row).any() for row in times):
        raise InvalidTrajectory(f"No lag shows any timescale. {' '.join(notes)}".strip())
    low, high = (np.stack(bounds, axis=1) * frames.dt_fs) if band is not None else (None, None)
    return Timescales(
        lags_frames=lags,
        dt_fs=frames.dt_fs,
        timescales_fs=np.stack(times) * frames.dt_fs,
        low=low,
        high=high,
        band=f"{level:.0%} {band}" if band else "",
        name=name,
        share_used=np.array(shares),
        notes=tuple(notes),
    )


def bayesian_band(
    trajectories: Several,
    *,
    lag_frames: int,
    mode: int = 0,
    n_samples: int = 100,
    level: float = 0.9,
    seed: int = 0,
    counting: Counting = "sliding/lag",
) -> tuple[float, float, float]:
    """Return mean, low and high of one timescale in fs, the slowest unless told, by a Bayesian model at a lag.

    Raises:
        InvalidTrajectory: nothing moves at this lag, or the mode does not exist.
    """
    frames = gathered(trajectories)
    must_span(frames, lag_frames)
    drawn = _drawn(frames, lag_frames, mode + 1, "Bayesian", n_samples, seed, counting)[:, mode] * frames.dt_fs
    low, high = band_of(drawn, level)
    if not np.isfinite(low):
        raise InvalidTrajectory(f"Mode {mode + 1} does not exist at a lag of {lag_frames} frames. Shorten the lag.")
    return float(np.nanmean(drawn)), float(low), float(high)


def plateau_lag(timescales: Timescales, *, tolerance: float = 0.1) -> int:
    """Return the first lag, in frames, from which the slowest timescale stays within ``tolerance``.

    It counts as flat from a lag on if its values at that lag and all longer ones differ from that at the lag by no more
    than this share of it; at least one longer lag must say so. A lag that is no shorter than its own timescale shows
    nothing, so longer lags than that are left out.

    Raises:
        InvalidSettings: a tolerance that is not positive.
        InvalidTrajectory: there is no plateau among these lags.
    """
    if not tolerance > 0:
        raise InvalidSettings(f"The tolerance was {tolerance!r}; it must be positive, such as 0.1.")
    slowest = timescales.timescales_fs[:, 0]
    known = np.flatnonzero(np.isfinite(slowest) & (timescales.lags_fs < slowest))
    for place, at in enumerate(known[:-1]):
        later = slowest[known[place + 1 :]]
        if (np.abs(later - slowest[at]) <= tolerance * slowest[at]).all():
            return int(timescales.lags_frames[at])
    shown = ", ".join(f"{value:.4g}" for value in slowest)
    raise InvalidTrajectory(
        f"The slowest timescale of {timescales.name!r} ({shown} fs) never stays within {tolerance:.0%} up to the "
        "longest lag shorter than itself. Add longer lags, use better states, or allow a larger tolerance."
    )


def checked_lags(frames: Frames, lags_frames: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return [lags] ascending, or raise unless each is spanned by a trajectory."""
    lags = np.unique(np.asarray(lags_frames))
    if not lags.size or not np.issubdtype(lags.dtype, np.integer):
        raise InvalidSettings(f"The lags were {lags_frames!r}; needed are whole numbers of frames, at least one.")
    for lag in lags[[0, -1]]:
        must_span(frames, lag)
    return lags.astype(np.int64)


def _model(frames: Frames, lag_frames: int) -> tuple[MSM | None, str]:
    """Return the model at a lag and what is to be said about it."""
    try:
        model = fitted(frames, lag_frames)
    except InvalidTrajectory as error:
        return None, f"At a lag of {lag_frames} frames: {error}"
    left = np.setdiff1d(np.flatnonzero(frames.per_state), model.connected)
    if not left.size:
        return model, ""
    names = ", ".join(frames.labels[state] for state in left[:8]) + (" …" if len(left) > 8 else "")
    share = frames.per_state[left].sum() / frames.n_frames
    return model, f"At a lag of {lag_frames} frames the states {names} ({share:.2%} of the frames) are not connected."


def _samples(
    frames: Frames, lag_frames: int, n_modes: int, band: Band, n_samples: int, seed: int, counting: Counting
) -> tuple[Float[np.ndarray, "samples modes"], str]:
    """Return what a band is made of, or nothing and the reason."""
    try:
        return _drawn(frames, lag_frames, n_modes, band, n_samples, seed, counting), ""
    except InvalidTrajectory as error:
        return np.full((n_samples, n_modes), np.nan), f"No band: {error}"


def _drawn(
    frames: Frames, lag_frames: int, n_modes: int, band: Band, n_samples: int, seed: int, counting: Counting
) -> Float[np.ndarray, "samples modes"]:
    if band == "Bayesian":
        models = posterior(frames, lag_frames, n_samples, seed=seed, counting=counting)
    else:
        models = resampled(frames, lag_frames, n_samples, np.random.default_rng(seed))
    gone = np.full(n_modes, np.nan)
    return np.stack([gone if model is None else model.timescales_frames(n_modes) for model in models])
