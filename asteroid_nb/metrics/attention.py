"""How attention is spread: how evenly, how locally, how far. It tells where information was read, not what decided.

Weights are [..., queries, keys] without unit. Zero and NaN both mean: not looked at. The weights of a row need not sum
to one (``attention="continuous"``); everything here is about each row's shares of its own sum.

Reference:
    Jain & Wallace (2019), arXiv:1902.10186, on what attention does not explain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asteroid_nb.shapes import Bool, Float, Int


class Shares(NamedTuple):
    """Where a row's weight lies, [..., queries] each; together one, or NaN where a row has no weight.

    Args:
        local: on atoms that are near, the atom itself among them.
        rest: on the other atoms.
        registers: on keys that are no atoms.
    """

    local: np.ndarray
    rest: np.ndarray
    registers: np.ndarray


def row_shares(weights: Float[np.ndarray, "*batch queries keys"]) -> Float[np.ndarray, "*batch queries keys"]:
    """Return each row over its sum; a row without weight is NaN."""
    filled = np.nan_to_num(np.asarray(weights, dtype=float), nan=0.0)
    total = filled.sum(-1, keepdims=True)
    return np.divide(filled, total, out=np.full_like(filled, np.nan), where=total > 0)


def even(allowed: Bool[np.ndarray, "*batch queries keys"]) -> Float[np.ndarray, "*batch queries keys"]:
    """Return the weights of rows that look at all allowed keys alike: what every share is to be compared with."""
    return row_shares(np.asarray(allowed, dtype=float))


def entropy_nats(weights: Float[np.ndarray, "*batch queries keys"]) -> Float[np.ndarray, "*batch queries"]:
    """Return −Σ p ln p of each row: 0 where one key has all weight, ln n where n keys share it evenly.

    Reference:
        Clark et al. (2019), arXiv:1906.04341, for attention heads.
    """
    share = row_shares(weights)
    return -(share * np.log(np.where(share > 0, share, 1.0))).sum(-1)


def entropy_share(
    weights: Float[np.ndarray, "*batch queries keys"], allowed: Bool[np.ndarray, "*masks queries keys"] | None = None
) -> Float[np.ndarray, "*batch queries"]:
    """Return the entropy over the largest that is possible, ln n of n allowed keys; NaN where there is no choice.

    Args:
        allowed: keys a query may look at; all that are not NaN when not given.
    """
    weights = np.asarray(weights, dtype=float)
    allowed = np.isfinite(weights) if allowed is None else allowed
    most = np.log(np.maximum(1, np.broadcast_to(allowed, weights.shape).sum(-1)))
    entropy = entropy_nats(weights)
    return np.divide(entropy, most, out=np.full_like(entropy, np.nan), where=most > 0)


def near_pairs(
    hops: Int[np.ndarray, "atoms atoms"],
    distances: Float[np.ndarray, "atoms atoms"] | None = None,
    *,
    most_hops: int = 2,
    cutoff_ang: float = 0.0,
) -> Bool[np.ndarray, "atoms atoms"]:
    """Return which atoms are within so many bonds or within a distance; each is near itself.

    Args:
        hops: bonds between any two atoms, from `asteroid_nb.data.bonds.bond_hops`.
        distances: Å, needed for a cutoff.
    """
    near = np.asarray(hops) <= most_hops
    return near if distances is None else near | (np.asarray(distances) < cutoff_ang)


def local_shares(weights: Float[np.ndarray, "*batch queries keys"], near: Bool[np.ndarray, "queries atoms"]) -> Shares:
    """Return how much of each row's weight lies on near atoms, on the rest, and on registers.

    Args:
        weights: whose first keys are the atoms; what follows are registers.
        near: of the same queries, see `near_pairs`.
    """
    share, n_atoms = row_shares(weights), np.shape(near)[-1]
    atoms = share[..., :n_atoms]
    parts = np.where(near, atoms, 0.0), np.where(near, 0.0, atoms), share[..., n_atoms:]
    known = np.isfinite(share).all(-1)
    return Shares(*(np.where(known, part.sum(-1), np.nan) for part in parts))


def reach_ang(
    weights: Float[np.ndarray, "*batch queries keys"], distances: Float[np.ndarray, "queries atoms"]
) -> Float[np.ndarray, "*batch queries"]:
    """Return how far each query looks on average, Å: distances weighted with attention, registers left out.

    Reference:
        Vig & Belinkov (2019), arXiv:1906.04284, in words; Dosovitskiy et al. (2021), arXiv:2010.11929, in space.
    """
    atoms = np.asarray(weights)[..., : np.shape(distances)[-1]]
    return (row_shares(atoms) * distances).sum(-1)


def mean_by_distance(
    weights: Float[np.ndarray, "queries keys"], distances: Float[np.ndarray, "queries keys"], *, bin_ang: float = 0.5
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Return the centres in Å of the bins that hold a pair, and the mean weight of their pairs; NaN is left out."""
    seen = np.isfinite(weights) & np.isfinite(distances)
    bins = np.floor(np.asarray(distances)[seen] / bin_ang).astype(int)
    filled, inverse = np.unique(bins, return_inverse=True)
    return (filled + 0.5) * bin_ang, np.bincount(inverse, np.asarray(weights)[seen]) / np.bincount(inverse)


def rank_agreement(
    one: Float[np.ndarray, "*batch atoms atoms"], other: Float[np.ndarray, "*batch atoms atoms"]
) -> Float[np.ndarray, "*batch"]:
    """Return Spearman's rank correlation over pairs of different atoms: 1 the same order, 0 none, −1 the reverse.

    Every entry of the batch is ranked on its own, so its spread over windows is that of the batch. NaN where all pairs
    of one side are alike.
    """
    from scipy.stats import rankdata

    pairs = ~np.eye(np.shape(one)[-1], dtype=bool)
    ranks = [rankdata(np.asarray(matrix)[..., pairs], axis=-1) for matrix in (one, other)]
    first, second = (rank - rank.mean(-1, keepdims=True) for rank in ranks)
    size = np.sqrt(np.square(first).sum(-1) * np.square(second).sum(-1))
    return np.divide((first * second).sum(-1), size, out=np.full_like(size, np.nan), where=size > 0)
