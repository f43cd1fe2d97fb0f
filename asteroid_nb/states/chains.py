"""`ExactChain`: a reversible Markov chain in continuous time whose kinetics are known to the last digit.

The chain itself is the model, not an approximation of a diffusion: timescales, passage times and committors come from
its generator, and trajectories are drawn from exactly those probabilities. Times are in the chain's own unit, the one
its rates are in; an ``interval`` of None means that the chain is watched at every instant, a number that it is seen
only in frames so far apart. Nothing here needs more than NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Bool, Float, Int

#: Relative error at which rows of a generator still count as summing to 0, and flows as balanced.
TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class ExactChain:
    """Cells, the rates between them and how often each is visited.

    Args:
        centres: [cells, dimensions] where the cells are.
        generator: [cells, cells] rates from row to column; rows sum to 0.
        populations: [cells] in equilibrium; they sum to 1.
        name: shown in titles.

    Raises:
        InvalidSettings: shapes that disagree, negative rates, rows that do not sum to 0, flows that do not balance,
            cells that cannot be reached.
    """

    centres: np.ndarray
    generator: np.ndarray
    populations: np.ndarray
    name: str = "chain"

    def __post_init__(self) -> None:
        for key in ("centres", "generator", "populations"):
            view = np.asarray(getattr(self, key), dtype=float).view()
            view.flags.writeable = False
            object.__setattr__(self, key, view)
        _check(self.centres, self.generator, self.populations)

    def __repr__(self) -> str:
        return f"<ExactChain {self.name!r}: {self.n_cells} cells>"

    @property
    def n_cells(self) -> int:
        return len(self.populations)

    @cached_property
    def spectrum(self) -> tuple[Float[np.ndarray, " cells"], Float[np.ndarray, "cells cells"]]:
        """Return the eigenvalues of the symmetrised generator, 0 first, and its eigenvectors as columns."""
        root = np.sqrt(self.populations)
        symmetric = self.generator * (root[:, None] / root[None])
        values, modes = np.linalg.eigh((symmetric + symmetric.T) / 2)
        values[-1] = 0.0  # known exactly: the chain is somewhere
        # A reversed view would be multiplied without BLAS, a hundred times slower.
        return values[::-1].copy(), np.ascontiguousarray(modes[:, ::-1])

    def timescales(self, n_modes: int) -> Float[np.ndarray, " modes"]:
        """Return the slowest implied timescales, t2 first."""
        return -1.0 / self.spectrum[0][1 : n_modes + 1]

    def transition_matrix(self, interval: float) -> Float[np.ndarray, "cells cells"]:
        """Return P = expm(Q · interval), rows sum to 1."""
        values, modes = self.spectrum
        half = modes * np.exp(values * positive(interval) / 2)
        root = np.sqrt(self.populations)
        matrix = half @ half.T
        np.maximum(matrix, 0.0, out=matrix)  # in place: 1,600 cells are 20 MB
        matrix *= root
        matrix /= root[:, None]
        matrix /= matrix.sum(axis=1, keepdims=True)
        return matrix

    def committors(self, cores: np.ndarray, *, interval: float | None = None) -> Float[np.ndarray, "cells cores"]:
        """Return the probability that each core is the next one entered, 1 within it.

        Because the chain is reversible, it is as well the probability that this core was the last one visited.

        Args:
            cores: [cells] the core each cell belongs to, −1 for none.
        """
        cores = self.partition(cores)
        between = np.flatnonzero(cores < 0)
        result = (cores[:, None] == np.arange(cores.max() + 1)).astype(float)
        if between.size:
            step = self._step(interval)[between]
            result[between] = np.linalg.solve(step[:, between], -(step @ result))
        return result

    def committor(self, source: Any, target: Any, *, interval: float | None = None) -> Float[np.ndarray, " cells"]:
        """Return the probability to enter ``target`` before ``source``, both cell indices or masks."""
        source, target = self.mask(source), self.mask(target)
        if (source & target).any():
            raise InvalidSettings(f"Source and target share {(source & target).sum()} cells; keep them apart.")
        return self.committors(np.where(target, 1, np.where(source, 0, -1)), interval=interval)[:, 1]

    def passage_times(
        self, sources: Any, targets: Any, *, interval: float | None = None
    ) -> Float[np.ndarray, "sources targets"]:
        """Return the mean time from each source until first in each target.

        Args:
            sources: [sources, cells] masks, or weights between 0 and 1, of the equilibrium the start is drawn from: a
                committor as weights starts wherever its core was the last one visited.
            targets: [targets, cells] masks. A start inside its target takes no time.
            interval: between frames, when only frames count.
        """
        sources, targets = np.atleast_2d(np.asarray(sources, dtype=float)), np.atleast_2d(targets)
        fit = all(
            sets.ndim == 2 and sets.shape[1] == self.n_cells and sets.any(axis=1).all() for sets in (sources, targets)
        )
        if not fit or sources.min() < -TOLERANCE:
            raise InvalidSettings(
                f"Sources {sources.shape} and targets {targets.shape} must be [sets, {self.n_cells} cells], none empty "
                "and no weight negative."
            )
        weights, step = sources * self.populations, self._step(interval)
        times = np.stack([self._times_to(target.astype(bool), step) for target in targets], axis=1)
        return weights @ times / weights.sum(axis=1, keepdims=True) * (1.0 if interval is None else interval)

    def sample(
        self, n_frames: int, *, interval: float, n_chains: int = 1, seed: int = 0, start: Any | None = None
    ) -> Int[np.ndarray, "chains frames"]:
        """Return cells visited by independent chains, one frame every ``interval``.

        Args:
            start: a cell for all, or one per chain, in the first frame; drawn from equilibrium when not given.

        Raises:
            InvalidSettings: fewer than one frame or chain, a start that is no cell.
        """
        if n_frames < 1 or n_chains < 1:
            raise InvalidSettings(f"Found {n_frames} frames and {n_chains} chains; needed is at least one of each.")
        random = np.random.default_rng(seed)
        cell = self._starts(n_chains, start, random)
        # One ascending array for all rows: row i lies between i and i + 1, so one binary search serves all chains.
        ladder = self.transition_matrix(interval)
        np.cumsum(ladder, axis=1, out=ladder)
        ladder += np.arange(self.n_cells)[:, None]
        ladder = ladder.ravel()
        path = np.empty((n_frames, n_chains), dtype=np.int32)
        path[0] = cell
        for frame in range(1, n_frames):
            found = np.searchsorted(ladder, cell + random.random(n_chains), side="right")
            # Rounding may carry a draw just below 1 into the next row, where it does not belong.
            cell = np.minimum(found - cell * self.n_cells, self.n_cells - 1)
            path[frame] = cell
        return np.ascontiguousarray(path.T)

    def partition(self, labels: Any) -> Int[np.ndarray, " cells"]:
        """Return labels [cells] from 0, −1 between cores, or raise unless every label up to the last has a cell."""
        labels = np.asarray(labels)
        if labels.shape != (self.n_cells,) or not np.issubdtype(labels.dtype, np.integer):
            raise InvalidSettings(
                f"The partition was {labels.dtype} of shape {labels.shape}; needed is one whole number per cell "
                f"({self.n_cells})."
            )
        found = np.unique(labels[labels >= 0])
        if labels.min() < -1 or not found.size or found[-1] + 1 != len(found):
            raise InvalidSettings(
                f"The partition's labels were {np.unique(labels).tolist()[:20]}; needed are 0, 1, … without a gap, and "
                "−1 alone for cells between cores."
            )
        return labels.astype(np.int64)

    def mask(self, cells: Any) -> Bool[np.ndarray, " cells"]:
        """Return [cells] from a mask or from cell indices, at least one."""
        cells = np.asarray(cells)
        mask = cells if cells.dtype == bool else np.isin(np.arange(self.n_cells), cells)
        wrong = cells.dtype != bool and not np.isin(cells, np.arange(self.n_cells)).all()
        if wrong or mask.shape != (self.n_cells,) or not mask.any():
            raise InvalidSettings(
                f"Cells of shape {cells.shape} must be a mask or indices 0 to {self.n_cells - 1}, at least one."
            )
        return mask

    def _step(self, interval: float | None) -> Float[np.ndarray, "cells cells"]:
        """Return the generator, or P − 1 where only frames count."""
        if interval is None:
            return self.generator
        step = self.transition_matrix(interval)
        step[np.diag_indices(self.n_cells)] -= 1.0
        return step

    def _times_to(
        self, target: Bool[np.ndarray, " cells"], step: Float[np.ndarray, "cells cells"]
    ) -> Float[np.ndarray, " cells"]:
        """Return the mean time, or number of frames, from each cell."""
        outside = np.flatnonzero(~target)
        times = np.zeros(self.n_cells)
        times[outside] = np.linalg.solve(step[np.ix_(outside, outside)], np.full(len(outside), -1.0))
        return times

    def _starts(self, n_chains: int, start: Any | None, random: np.random.Generator) -> Int[np.ndarray, " chains"]:
        if start is None:
            return random.choice(self.n_cells, size=n_chains, p=self.populations)
        cells = np.asarray(start)
        if (
            not np.issubdtype(cells.dtype, np.integer)
            or cells.shape not in ((), (n_chains,))
            or cells.min() < 0
            or cells.max() >= self.n_cells
        ):
            raise InvalidSettings(f"The start must be a cell from 0 to {self.n_cells - 1}, or one for each chain.")
        return np.broadcast_to(cells, (n_chains,)).astype(np.int64)


def positive(interval: float) -> float:
    """Return the interval or raise unless it is a positive, finite number."""
    number = isinstance(interval, (int, float, np.number)) and not isinstance(interval, bool)
    if not (number and np.isfinite(interval) and interval > 0):
        raise InvalidSettings(f"The interval was {interval!r}; it must be a positive time, in the chain's own unit.")
    return float(interval)


def _check(centres: np.ndarray, generator: np.ndarray, populations: np.ndarray) -> None:
    n_cells = len(populations)
    if centres.ndim != 2 or len(centres) != n_cells or generator.shape != (n_cells, n_cells) or n_cells < 2:
        raise InvalidSettings(
            f"Centres {centres.shape}, generator {generator.shape} and populations {populations.shape} must be "
            "[cells, dimensions], [cells, cells] and [cells], two cells at least."
        )
    rates = generator - np.diag(np.diag(generator))
    off = np.abs(generator.sum(axis=1)).max() / np.abs(generator).max()
    if not (np.isfinite(generator).all() and (rates >= 0).all() and off < TOLERANCE):
        raise InvalidSettings(
            f"Rates run down to {rates.min():g} and rows sum to 0 within {off:.1g} of the largest; needed are rates of "
            "at least 0 and rows that sum to 0. A transition matrix is not a generator."
        )
    if not ((populations > 0).all() and abs(populations.sum() - 1) < TOLERANCE):
        raise InvalidSettings(f"Populations must be positive and sum to 1; they sum to {populations.sum():g}.")
    flow = populations[:, None] * rates
    if np.abs(flow - flow.T).max() > TOLERANCE * flow.max():
        raise InvalidSettings("Flows do not balance: π_i Q_ij must equal π_j Q_ji, the chain must be reversible.")
    reached = _reached(rates > 0)
    if not reached.all():
        raise InvalidSettings(
            f"Only {reached.sum()} of {n_cells} cells can be reached from the first. Cut the others, or join them."
        )


def _reached(joined: Bool[np.ndarray, "cells cells"]) -> Bool[np.ndarray, " cells"]:
    """Return which cells can be reached from cell 0."""
    reached = np.arange(len(joined)) == 0
    fresh = reached
    while fresh.any():
        fresh = joined[fresh].any(axis=0) & ~reached
        reached = reached | fresh
    return reached
