"""Passage times from label to label, counted in the frames themselves or by a Markov state model at a lag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.memory import giving_back
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.counting import Frames, Several, band_of, drawn_blocks, gathered, index_type, must_span
from asteroid_nb.states.msm import MSM, fitted, resampled

#: The last waits, this share of all that were seen to end, set the rate at which unseen ones are taken to end.
TAIL_SHARE = 0.1

#: Frames whose waits are tallied at once, which bounds the memory that takes.
TALLIED = 1 << 17


@dataclass(frozen=True, kw_only=True, eq=False)
class PassageTimes:
    """Mean times from each label to each other.

    Args:
        times_fs: [from, to], 0 on the diagonal; NaN where no passage was seen.
        low: [from, to] fs, where the band begins; None without one.
        high: [from, to] fs, where it ends.
        events: [from, to] passages seen: arrivals before which the first label was met since the last arrival; None
            where a model counted none.
        censored: [from, to] share of starts whose trajectory ends before they arrive; None likewise.
        labels: one name per state.
        dt_fs: between frames.
        method: how they were estimated, in words.
        name: shown in legends.
        band: what the band is, in words; "" without one.
    """

    times_fs: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    events: np.ndarray | None
    censored: np.ndarray | None
    labels: tuple[str, ...]
    dt_fs: float
    method: str
    name: str = "MD"
    band: str = ""

    def __repr__(self) -> str:
        return f"<PassageTimes of {self.name!r} between {len(self.labels)} states, {self.method}>"


@giving_back()
def passage_times(
    trajectories: Several,
    *,
    method: Literal["direct", "msm"] = "direct",
    lag_frames: int | None = None,
    n_samples: int = 0,
    level: float = 0.9,
    seed: int = 0,
    name: str = "MD",
) -> PassageTimes:
    """Return the mean time from any moment with one label until the first frame with another.

    The same quantity as `one_step.label_passage_times` has exactly; for cores hand in the last core visited.

    "direct" follows every frame until the label is met. Where a trajectory ends first, the wait is only known to be
    longer. Dropping such starts would favour short waits, so all are kept: the chance to arrive in the next frame is
    estimated from all starts still waiting, separately for short and long waits (each stretch √2 times as long as the
    one before), and taken to be constant beyond the last tenth of the waits seen to end. One chance for all waits would
    be steadier, but too short between neighbours, where a quick way and a detour over a barrier mix. The tail is an
    assumption:
    where ``censored`` says that most waits are cut off, trajectories are too short and the answer leans on it. Starts
    are taken as they come, so trajectories must be in equilibrium. The cost grows with frames times states: meant for
    dozens of states, not hundreds.

    "msm" takes them from the likeliest reversible model at ``lag_frames``, which counts frames one lag apart alone, so
    that a label met in between goes unseen. States outside its connected set are NaN.

    Args:
        n_samples: of a bootstrap over trajectories, or stretches of them (see `counting.gathered`); 0 for no band.

    Raises:
        InvalidTrajectory: no trajectory, or none that ever changes its state.
        ModelMismatch: trajectories of different states or spacing.
        TrajectoryTooShort: a lag that no trajectory spans.
        InvalidSettings: a method without its lag, or another method.

    Reference:
        Piecewise constant rates: Friedman (1982), Annals of Statistics 10, 101. Passage times of a chain: Kemeny &
        Snell (1960), Finite Markov Chains.
    """
    frames = gathered(trajectories)
    if method not in ("direct", "msm") or (method == "msm") != (lag_frames is not None):
        raise InvalidSettings(
            f"Found method={method!r} with lag_frames={lag_frames!r}; needed is 'direct' without, or 'msm' with a lag."
        )
    if lag_frames is None:
        counted, samples, events, censored = _direct(frames, n_samples, seed)
    else:
        must_span(frames, lag_frames)
        counted, samples = _by_model(frames, lag_frames, n_samples, seed)
        events = censored = None
    low, high = band_of(samples, level) if n_samples else (None, None)
    said = "counted in frames" if lag_frames is None else f"Markov state model at {lag_frames * frames.dt_fs:g} fs"
    return PassageTimes(
        times_fs=counted * frames.dt_fs,
        low=None if low is None else low * frames.dt_fs,
        high=None if high is None else high * frames.dt_fs,
        events=events,
        censored=censored,
        labels=frames.labels,
        dt_fs=frames.dt_fs,
        method=said,
        name=name,
        band=f"{level:.0%} bootstrap" if n_samples else "",
    )


def mean_passages(
    matrix: Float[np.ndarray, "states states"], populations: Float[np.ndarray, " states"]
) -> Float[np.ndarray, "states states"]:
    """Return the mean number of steps from each state of a connected chain to each other, all at once."""
    n_states = len(matrix)
    fundamental = np.linalg.inv(np.eye(n_states) - matrix + populations[None])
    return (np.diag(fundamental)[None] - fundamental) / populations[None]


def _by_model(
    frames: Frames, lag_frames: int, n_samples: int, seed: int
) -> tuple[Float[np.ndarray, "states states"], Float[np.ndarray, "samples states states"]]:
    """Return passage times in frames, and those of bootstrap samples."""

    def spread(model: MSM | None) -> np.ndarray:
        times = np.full((frames.n_states, frames.n_states), np.nan)
        np.fill_diagonal(times, 0.0)
        if model is not None:
            steps = mean_passages(model.matrix, model.populations)
            times[np.ix_(model.connected, model.connected)] = steps * model.lag_frames
        return times

    best = spread(fitted(frames, lag_frames))
    random = np.random.default_rng(seed)
    models = resampled(frames, lag_frames, n_samples, random) if n_samples else ()
    return best, np.stack([spread(model) for model in models]) if n_samples else np.empty((0, *best.shape))


def _direct(frames: Frames, n_samples: int, seed: int):
    """Return passage times in frames, those of bootstrap samples, passages seen and shares of waits cut off."""
    n_states, n_blocks = frames.n_states, frames.n_blocks
    weights = np.ones((1, n_blocks))
    if n_samples:
        weights = np.concatenate([weights, drawn_blocks(n_blocks, n_samples, np.random.default_rng(seed))])
    waits = _Waits(frames)
    times = np.zeros((len(weights), n_states, n_states))
    events, censored = np.zeros((n_states, n_states), dtype=np.int64), np.full((n_states, n_states), np.nan)
    for target in range(n_states):
        at_risk, arrived, events[:, target], censored[:, target] = waits.until(target)
        shape = (len(weights), n_states, -1)
        exposure, ends = ((weights @ table.reshape(n_blocks, -1)).reshape(shape) for table in (at_risk, arrived))
        times[:, :, target] = mean_wait(exposure, ends, waits.edges)
        times[:, target, target] = 0.0
    return times[0], times[1:], events, censored


class _Waits:
    """How long each frame waits for a label, tallied by block, state of the start and length of the wait."""

    def __init__(self, frames: Frames) -> None:
        self.frames, longest = frames, frames.longest
        doubled = np.rint(2 ** np.arange(0, 2 * np.log2(longest) + 1, 0.5)).astype(np.int64)
        self.edges = np.concatenate([[0], np.unique(doubled[doubled < longest])])
        # Stretch k holds the waits of edges[k] + 1 to edges[k + 1] frames, the last one without end.
        stretch = np.searchsorted(self.edges, np.arange(longest + 1), side="left") - 1
        self.stretch = stretch.astype(np.int32)
        kind = index_type(frames.n_frames)
        self.place = np.arange(frames.n_frames, dtype=kind)
        self.end = self.place + frames.following
        group = frames.block.astype(np.int64)
        group *= frames.n_states
        group += frames.states
        self.group = group.astype(index_type(frames.n_blocks * frames.n_states * len(self.edges)))
        self.by_state = np.argsort(frames.states, kind="stable").astype(kind)

    def until(self, target: int):
        """Return at risk and arrived, both [blocks, states, stretches], passages seen and share cut off [states]."""
        frames = self.frames
        met = np.where(frames.states == target, self.place, frames.n_frames)
        arrival = np.minimum.accumulate(met[::-1])[::-1]
        arrives = arrival <= self.end
        starts, arrived, waited = self._tallied(np.where(arrives, arrival, self.end) - self.place, arrives)
        beyond = waited - starts * self.edges
        longer = np.cumsum(starts[..., ::-1], axis=-1)[..., ::-1] - starts
        beyond[..., :-1] += longer[..., :-1] * np.diff(self.edges)
        total = frames.per_state
        seen = np.bincount(frames.states[arrives], minlength=frames.n_states)
        with np.errstate(invalid="ignore"):
            cut = np.where(total > 0, 1 - seen / np.maximum(total, 1), np.nan)
        return beyond, arrived, self._passages(arrival, arrives), cut

    def _tallied(self, wait: np.ndarray, arrives: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return waits, those that end in an arrival, and frames waited, each [blocks, states, stretches]."""
        n_stretches = len(self.edges)
        shape = (self.frames.n_blocks, self.frames.n_states, n_stretches)
        sums = np.zeros((3, int(np.prod(shape))))
        for first in range(0, len(wait), TALLIED):
            part = slice(first, first + TALLIED)
            waiting = wait[part] > 0
            length, ends = wait[part][waiting], arrives[part][waiting]
            code = self.group[part][waiting] * n_stretches + self.stretch[length]
            sums[0] += np.bincount(code, minlength=sums.shape[1])
            sums[1] += np.bincount(code[ends], minlength=sums.shape[1])
            sums[2] += np.bincount(code, weights=length, minlength=sums.shape[1])
        starts, arrived, waited = sums.reshape(3, *shape)
        return starts, arrived, waited

    def _passages(self, arrival: np.ndarray, arrives: np.ndarray) -> Int[np.ndarray, " states"]:
        """Return how many arrivals each state waited for: frames that wait for the same one are one passage."""
        told = self.by_state[arrives[self.by_state]]
        arrival, states = arrival[told], self.frames.states[told]
        fresh = np.ones(len(told), dtype=bool)
        fresh[1:] = (arrival[1:] != arrival[:-1]) | (states[1:] != states[:-1])
        return np.bincount(states[fresh], minlength=self.frames.n_states)


def mean_wait(
    exposure: Float[np.ndarray, "... stretches"], ends: Float[np.ndarray, "... stretches"], edges: np.ndarray
) -> np.ndarray:
    """Return the mean wait in frames, the chance to end constant within each stretch and beyond the last tenth.

    Args:
        exposure: frames spent waiting, by how long the wait had lasted.
        ends: waits that ended there.
        edges: [stretches] frames at which each begins.
    """
    later_ends = np.cumsum(ends[..., ::-1], axis=-1)[..., ::-1]
    later_exposure = np.cumsum(exposure[..., ::-1], axis=-1)[..., ::-1]
    tail = later_ends >= TAIL_SHARE * later_ends[..., :1]
    last = np.maximum(tail.sum(axis=-1, keepdims=True) - 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = np.where(exposure > 0, ends / exposure, 0.0)
        open_ended = np.take_along_axis(later_exposure / later_ends, last, axis=-1)[..., 0]
    lengths = np.append(np.diff(edges), 1)
    kept = (1 - chance) ** lengths
    waited = np.where(chance > 0, (1 - kept) / np.where(chance > 0, chance, 1.0), lengths)
    begins = np.concatenate([np.ones_like(kept[..., :1]), np.cumprod(kept, axis=-1)[..., :-1]], axis=-1)
    before_tail = np.arange(len(lengths)) < last
    known = (begins * waited * before_tail).sum(axis=-1)
    beyond = np.take_along_axis(begins, last, axis=-1)[..., 0] * open_ended
    return np.where(later_ends[..., 0] > 0, known + beyond, np.nan)
