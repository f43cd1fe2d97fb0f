"""Frames of several trajectories in one row, and what is counted in them at a lag, block by block, without loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, TrajectoryTooShort
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.windows import must_agree

#: Fewer trajectories than this are cut into about as many blocks, which are then resampled in their place.
MIN_BLOCKS = 20

Several = StateTrajectory | Sequence[StateTrajectory]


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """All frames side by side.

    Args:
        states: [frames].
        following: [frames] how many frames of the same trajectory come after.
        block: [frames] the piece that is resampled as a whole: a trajectory, or a stretch of one.
        n_states: visited or not.
        dt_fs: between frames.
        labels: one name per state.
    """

    states: np.ndarray
    following: np.ndarray
    block: np.ndarray
    n_states: int
    dt_fs: float
    labels: tuple[str, ...]

    @property
    def n_frames(self) -> int:
        return len(self.states)

    @property
    def n_blocks(self) -> int:
        return int(self.block[-1]) + 1

    @property
    def longest(self) -> int:
        """Return the frames of the longest trajectory."""
        return int(self.following.max()) + 1

    @property
    def per_state(self) -> Int[np.ndarray, " states"]:
        """Return how many frames each state has."""
        return np.bincount(self.states, minlength=self.n_states)

    def pairs(self, lag_frames: int) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Return the block and the code, n_states · from + to, of each pair of frames one lag apart.

        Raises:
            InvalidSettings: a lag that is no whole number of frames, 1 or more.
            TrajectoryTooShort: no trajectory spans the lag.
        """
        must_span(self, lag_frames)
        kept = self.following[:-lag_frames] >= lag_frames
        code = self.states[:-lag_frames][kept] * self.n_states
        code += self.states[lag_frames:][kept]
        return self.block[:-lag_frames][kept], code

    def counts(self, lag_frames: int) -> Float[np.ndarray, "states states"]:
        """Return how often each state was met one lag after each other, every frame a start (sliding counts)."""
        return self._square(np.bincount(self.pairs(lag_frames)[1], minlength=self.n_states**2))

    def resampled(
        self, lag_frames: int, n_samples: int, random: np.random.Generator
    ) -> list[Float[np.ndarray, "states states"]]:
        """Return sliding counts of as many blocks, drawn with replacement."""
        from scipy.sparse import coo_array

        block, code = self.pairs(lag_frames)
        shape = (self.n_blocks, self.n_states**2)
        code = code.astype(index_type(shape[1]))
        table = coo_array((np.ones(len(code), dtype=np.int32), (block, code)), shape=shape).tocsr()
        return [self._square(weights @ table) for weights in drawn_blocks(self.n_blocks, n_samples, random)]

    def _square(self, values: np.ndarray) -> Float[np.ndarray, "states states"]:
        return np.asarray(values, dtype=float).reshape(self.n_states, self.n_states)


def index_type(largest: int) -> type[np.integer]:
    """Return the smaller of two whole numbers' types that counts so far: half the memory where it does."""
    return np.int32 if largest <= np.iinfo(np.int32).max else np.int64


def gathered(trajectories: Several, *, must_move: bool = True) -> Frames:
    """Return all frames in one row.

    With at least `MIN_BLOCKS` trajectories each is a block; fewer are cut into that many stretches in all, of about
    equal length, so that a band can be had of a few long replicas. A pair of frames belongs to the block it starts in:
    none is lost. Bands are honest where a block is long against the slowest process.

    Raises:
        InvalidTrajectory: no trajectory, or none that ever changes its state.
        ModelMismatch: trajectories of different states or spacing.
    """
    several = [trajectories] if isinstance(trajectories, StateTrajectory) else list(trajectories)
    must_agree(several)
    if must_move and not any((np.diff(one.states) != 0).any() for one in several):
        raise InvalidTrajectory(
            f"None of the {len(several)} trajectories ever changes its state, so there are no kinetics to estimate. "
            "Use longer trajectories or finer states."
        )
    lengths = np.array([one.n_frames for one in several])
    if len(several) >= MIN_BLOCKS:
        pieces = np.ones(len(several), dtype=np.int64)
    else:
        shares = np.rint(MIN_BLOCKS * lengths / lengths.sum()).astype(np.int64)
        pieces = np.minimum(np.maximum(1, shares), lengths)
    kind = index_type(lengths.sum())
    ranges = zip(np.cumsum(pieces) - pieces, pieces, lengths, strict=True)
    blocks = [(first + np.arange(length) * n_pieces // length).astype(kind) for first, n_pieces, length in ranges]
    return Frames(
        states=np.concatenate([one.states for one in several]),
        following=np.concatenate([np.arange(length - 1, -1, -1, dtype=kind) for length in lengths]),
        block=np.concatenate(blocks),
        n_states=several[0].n_states,
        dt_fs=several[0].dt_fs,
        labels=several[0].labels,
    )


def largest_connected(counts: Float[np.ndarray, "states states"]) -> Int[np.ndarray, " connected"]:
    """Return the largest set of states that all lead to each other and back, of equals the one counted most often.

    Raises:
        InvalidTrajectory: no two states do.
    """
    from scipy.sparse.csgraph import connected_components

    _, member = connected_components(counts, directed=True, connection="strong")
    size = np.bincount(member)
    weight = np.bincount(member, weights=counts.sum(axis=1))
    best = np.lexsort((weight, size))[-1]
    if size[best] < 2:
        raise InvalidTrajectory(
            "No two states are visited there and back at this lag, so nothing moves between them. Use longer "
            "trajectories, coarser states or another lag."
        )
    return np.flatnonzero(member == best)


def must_span(frames: Frames, lag_frames: Any) -> None:
    """Raise unless the lag is a number of frames and some trajectory is longer."""
    if isinstance(lag_frames, bool) or not isinstance(lag_frames, (int, np.integer)) or lag_frames < 1:
        raise InvalidSettings(f"The lag was {lag_frames!r}; it must be a whole number of frames, 1 or more.")
    if lag_frames >= frames.longest:
        raise TrajectoryTooShort(
            f"The lag spans {lag_frames} frames, the longest trajectory has {frames.longest}. Shorten the lag or use "
            "longer trajectories."
        )


def enough_samples(n_samples: int) -> None:
    """Raise unless a band can be had of so many samples."""
    if n_samples < 2:
        raise InvalidSettings(f"Found n_samples={n_samples}; a band needs at least 2, better 100.")


def drawn_blocks(n_blocks: int, n_samples: int, random: np.random.Generator) -> Float[np.ndarray, "samples blocks"]:
    """Return how often each block is drawn in each bootstrap sample."""
    enough_samples(n_samples)
    return random.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_samples).astype(float)


def band_of(samples: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles that ``level`` of the samples lie between; NaN where half or more have no value.

    Args:
        samples: [samples, …].
    """
    if not 0 < level < 1:
        raise InvalidSettings(f"The level was {level!r}; it must lie between 0 and 1, such as 0.9.")
    samples = np.asarray(samples, dtype=float)
    enough = np.isfinite(samples).mean(axis=0) > 0.5
    filled = np.where(enough, np.where(np.isfinite(samples), samples, np.nan), 0.0)
    low, high = np.nanquantile(filled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)
