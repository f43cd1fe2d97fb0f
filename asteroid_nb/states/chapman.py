"""The Chapman–Kolmogorov test: does a model at one lag foretell what is estimated at its multiples?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float
from asteroid_nb.states.counting import Frames, Several, band_of, enough_samples, gathered, must_span
from asteroid_nb.states.metastable import Metastable
from asteroid_nb.states.msm import MSM, fitted, posterior, resampled
from asteroid_nb.states.timescales import Band


@dataclass(frozen=True, kw_only=True, eq=False)
class CKTest:
    """The chance to be in each set after some time in each, foretold by one model and estimated at that lag itself.

    Args:
        lags_frames: [lags] multiples of the model's lag, from 0.
        dt_fs: between frames.
        predicted: [lags, from, to] by powers of the model; `estimated` by a model at each lag.
        predicted_low: [lags, from, to] where its band begins; None without one, as for the next three.
        labels: one name per set.
        band: what the bands are, in words; "" without.
        name: shown in titles.
    """

    lags_frames: np.ndarray
    dt_fs: float
    predicted: np.ndarray
    estimated: np.ndarray
    labels: tuple[str, ...]
    predicted_low: np.ndarray | None = None
    predicted_high: np.ndarray | None = None
    estimated_low: np.ndarray | None = None
    estimated_high: np.ndarray | None = None
    band: str = ""
    name: str = "MD"

    @property
    def lags_fs(self) -> Float[np.ndarray, " lags"]:
        return self.lags_frames * self.dt_fs

    @property
    def largest_difference(self) -> float:
        """Return how far a prediction lies from its estimate at most, as a probability; NaN if none has both."""
        apart = np.abs(self.predicted - self.estimated)
        return float(np.nanmax(apart)) if np.isfinite(apart).any() else np.nan

    def __repr__(self) -> str:
        sets, off = f"{len(self.labels)} sets up to {self.lags_fs[-1]:g} fs", f"{self.largest_difference:.2g}"
        return f"<CKTest of {self.name!r}: {sets}, predictions off by up to {off}>"


def chapman_kolmogorov(
    trajectories: Several,
    *,
    lag_frames: int,
    multiples: Sequence[int] = (1, 2, 3, 4, 5),
    sets: Metastable | np.ndarray | None = None,
    band: Band | None = None,
    n_samples: int = 100,
    level: float = 0.9,
    seed: int = 0,
    name: str = "MD",
) -> CKTest:
    """Return predictions of the model at ``lag_frames`` beside estimates at its multiples.

    Chains start in each set in equilibrium, as weights of the model tested. A multiple at which nothing is connected is
    NaN. deeptime's test asks for models of the same states at every lag; this one compares the states that both cover.

    Args:
        sets: metastable sets, or memberships [states, sets]; every state by itself when not given.
        band: of predictions and estimates; see `timescales.implied_timescales`.

    Raises:
        InvalidTrajectory: no trajectory, nothing moves at the model's lag, or a set lies outside its states.
        ModelMismatch: trajectories of different states or spacing.
        TrajectoryTooShort: a multiple that no trajectory spans.
        InvalidSettings: multiples that are none, or memberships of other states.

    Reference:
        Prinz et al. (2011), doi:10.1063/1.3565032.
    """
    frames = gathered(trajectories)
    model = fitted(frames, lag_frames)
    steps = _checked(frames, lag_frames, multiples)
    member, labels = _memberships(frames, model, sets)
    later = [_estimate(frames, int(step) * lag_frames) for step in steps]
    bands: dict[str, np.ndarray] = {}
    if band is not None:
        enough_samples(n_samples)
        drawn = _models(frames, lag_frames, band, n_samples, seed)
        foretold = np.stack([_powers(one, model, member, steps) for one in drawn])
        bands["predicted_low"], bands["predicted_high"] = band_of(foretold, level)
        found = [np.broadcast_to(np.eye(len(labels)), (n_samples, len(labels), len(labels)))]
        for step in steps:
            drawn = _models(frames, int(step) * lag_frames, band, n_samples, seed)
            found.append(np.stack([_chances(one, model, member, 1) for one in drawn]))
        bands["estimated_low"], bands["estimated_high"] = band_of(np.stack(found, axis=1), level)
    return CKTest(
        lags_frames=np.array([0, *steps]) * lag_frames,
        dt_fs=frames.dt_fs,
        predicted=_powers(model, model, member, steps),
        estimated=np.stack([np.eye(len(labels)), *(_chances(one, model, member, 1) for one in later)]),
        labels=labels,
        band=f"{level:.0%} {band}" if band else "",
        name=name,
        **bands,
    )


def _checked(frames: Frames, lag_frames: int, multiples: Sequence[int]) -> list[int]:
    steps = sorted({int(step) for step in multiples})
    if not steps or steps[0] < 1:
        raise InvalidSettings(f"The multiples were {list(multiples)}; needed are whole numbers from 1, at least one.")
    must_span(frames, steps[-1] * lag_frames)
    return steps


def _memberships(
    frames: Frames, model: MSM, sets: Metastable | np.ndarray | None
) -> tuple[Float[np.ndarray, "states sets"], tuple[str, ...]]:
    """Return [states, sets] and the names of the sets."""
    if sets is None:
        names = tuple(frames.labels[state] for state in model.connected)
        return np.eye(frames.n_states)[:, model.connected], names
    member = np.asarray(sets.memberships if isinstance(sets, Metastable) else sets, dtype=float)
    if member.ndim != 2 or len(member) != frames.n_states:
        raise InvalidSettings(f"Memberships of shape {member.shape} must be [{frames.n_states} states, sets].")
    empty = np.flatnonzero(member[model.connected].sum(axis=0) <= 0)
    if empty.size:
        raise InvalidTrajectory(f"The sets {empty.tolist()} hold no state that the model covers. Leave them out.")
    return member, tuple(f"set {number}" for number in range(1, member.shape[1] + 1))


def _estimate(frames: Frames, lag_frames: int) -> MSM | None:
    try:
        return fitted(frames, lag_frames)
    except InvalidTrajectory:
        return None


def _models(frames: Frames, lag_frames: int, band: Band, n_samples: int, seed: int) -> Iterable[MSM | None]:
    if band == "bootstrap":
        return resampled(frames, lag_frames, n_samples, np.random.default_rng(seed))
    if band != "Bayesian":
        raise InvalidSettings(f"The band was {band!r}; it can be 'bootstrap' or 'Bayesian'.")
    try:
        return list(posterior(frames, lag_frames, n_samples, seed=seed))
    except InvalidTrajectory:
        return [None] * n_samples


def _powers(
    model: MSM | None, tested: MSM, member: Float[np.ndarray, "states sets"], steps: Sequence[int]
) -> Float[np.ndarray, "lags sets sets"]:
    return np.stack([np.eye(member.shape[1]), *(_chances(model, tested, member, step) for step in steps)])


def _chances(
    model: MSM | None, tested: MSM, member: Float[np.ndarray, "states sets"], power: int
) -> Float[np.ndarray, "sets sets"]:
    """Return the chance to be in each set after ``power`` steps of the model, from each set."""
    n_sets = member.shape[1]
    if model is None:
        return np.full((n_sets, n_sets), np.nan)
    weights = np.zeros(len(member))
    weights[tested.connected] = tested.populations
    here = member[model.connected]
    start = weights[model.connected, None] * here
    arrived = start.T @ np.linalg.matrix_power(model.matrix, power) @ here
    total = start.sum(axis=0)[:, None]
    return np.divide(arrived, total, out=np.full((n_sets, n_sets), np.nan), where=total > 0)
