"""What a partition shows of an exact chain: the transition matrix of its states, one saving interval apart, no noise.

Cores can be looked at in two ways, and both are exact. *Counted*: the label of a frame is the last core some frame lay
in, as `recrossing.core_sets` makes it and a language model sees it. *Projected*: the milestoning estimate, on the
committors of the cores; its timescales never exceed the true ones. Counted labels lag behind by part of an interval, so
where an interval is no longer short against a process its timescale comes out too long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Float
from asteroid_nb.states.chains import ExactChain, positive

Look = Literal["counted", "projected"]

#: An eigenvalue below this is what rounding left of a mode that is gone.
ROUNDED_AWAY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class OneStep:
    """States one interval apart.

    Args:
        joint: [states, states] weight of each state now and each one interval later.
        overlap: the same for no interval: diagonal where every moment belongs to one state alone.
        interval: in the chain's unit.
    """

    joint: np.ndarray
    overlap: np.ndarray
    interval: float

    @property
    def matrix(self) -> Float[np.ndarray, "states states"]:
        """Return the transition matrix, rows sum to 1."""
        return np.linalg.solve(self.overlap, self.joint)

    @property
    def populations(self) -> Float[np.ndarray, " states"]:
        return self.overlap.sum(axis=1)

    def timescales(self, n_modes: int) -> Float[np.ndarray, " modes"]:
        """Return the slowest implied timescales, t2 first; NaN for a mode gone or unmoved within the interval."""
        whiten = np.linalg.inv(np.linalg.cholesky(self.overlap))
        values = np.linalg.eigvalsh(whiten @ (self.joint + self.joint.T) / 2 @ whiten.T)[::-1][1 : n_modes + 1]
        times = np.full(n_modes, np.nan)
        alive = (values > ROUNDED_AWAY) & (values < 1)
        times[: len(values)][alive] = -self.interval / np.log(values[alive])
        return times


def one_step(chain: ExactChain, partition: np.ndarray, interval: float, *, look: Look = "counted") -> OneStep:
    """Return what the partition shows of the chain at one saving interval.

    Args:
        partition: [cells] state of each cell; −1 for cells between cores.
        look: how to look at cores; of no matter where every cell has a state.

    Raises:
        InvalidSettings: no partition of this chain's cells, an interval that is not positive, another look.

    Reference:
        Schütte, Noé, Lu, Sarich & Vanden-Eijnden (2011), doi:10.1063/1.3590108.
    """
    if look not in ("counted", "projected"):
        raise InvalidSettings(f"The look was {look!r}; cores can be 'counted' or 'projected'.")
    labels = chain.partition(partition)
    if look == "counted" and (labels < 0).any():
        return _counted(chain, labels, positive(interval))
    return _projected(chain, chain.committors(labels), positive(interval))


def label_passage_times(
    chain: ExactChain, partition: np.ndarray, *, interval: float | None = None
) -> Float[np.ndarray, "states states"]:
    """Return the mean time from one label until the frame that first lies in another's state or core.

    The start is any moment in equilibrium with that label, which for cores is the last one visited.
    """
    labels = chain.partition(partition)
    targets = labels[None] == np.arange(labels.max() + 1)[:, None]
    times = chain.passage_times(chain.committors(labels, interval=interval).T, targets, interval=interval)
    return np.where(np.eye(len(times), dtype=bool), 0.0, times)


def one_step_table(
    chain: ExactChain,
    partitions: Mapping[str, np.ndarray],
    intervals: Sequence[float],
    *,
    n_modes: int = 1,
    look: Look = "projected",
) -> dict[str, Float[np.ndarray, "intervals modes"]]:
    """Return for each partition its timescales at each saving interval: t2, then t3, …"""
    return {
        name: np.stack([one_step(chain, labels, interval, look=look).timescales(n_modes) for interval in intervals])
        for name, labels in partitions.items()
    }


def _projected(chain: ExactChain, memberships: Float[np.ndarray, "cells states"], interval: float) -> OneStep:
    values, modes = chain.spectrum
    weighted = modes.T @ (memberships * np.sqrt(chain.populations)[:, None])
    joint = weighted.T @ (weighted * np.exp(values * interval)[:, None])
    return OneStep(joint=joint, overlap=weighted.T @ weighted, interval=interval)


def _counted(chain: ExactChain, labels: np.ndarray, interval: float) -> OneStep:
    """Sum over the chain augmented with the last core: a frame in a core takes its label, any other keeps the last."""
    last = chain.populations[:, None] * chain.committors(labels, interval=interval)
    arriving = last.T @ chain.transition_matrix(interval)
    between = labels < 0
    joint = arriving[:, ~between] @ (labels[~between, None] == np.arange(labels.max() + 1))
    joint += np.diag(arriving[:, between].sum(axis=1))
    return OneStep(joint=joint, overlap=np.diag(last.sum(axis=0)), interval=interval)
