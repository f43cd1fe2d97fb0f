"""Who is near whom, in time and memory linear in the atoms: by a grid of cells in space, shell by shell along bonds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.shapes import Float, Int

#: Cells counted along each axis; atoms beyond share the outermost, which finds the same pairs, only less quickly.
MOST_CELLS = 2**17


def apart_ang(first: Tensor, second: Tensor) -> Tensor:
    """Return distances along the last axis, never quite zero, so that gradients exist."""
    return (first - second).square().sum(-1).clamp(min=1e-12).sqrt()


@torch.no_grad()
def pairs_within(
    positions: Float[Tensor, "frames atoms 3"], cutoff_ang: float, *, of: Int[Tensor, " chosen"] | None = None
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Return all ordered pairs of one frame closer than the cutoff, each atom with itself included, in no order.

    Both ends are places among all atoms of all frames. Space is cut into cells as wide as the cutoff, and only atoms of
    touching cells are compared.

    Args:
        of: places whose pairs are wanted; all when not given.
    """
    flat = positions.flatten(0, 1)
    of = torch.arange(len(flat), device=flat.device) if of is None else of
    if not (cutoff_ang > 0 and len(flat)):
        return of[:0], of[:0]
    key, columns = _cells(positions, cutoff_ang)
    listed, order = key.sort()
    found = []
    for column in columns:
        middle = key[of] + column
        first = torch.searchsorted(listed, middle - 1)
        last = torch.searchsorted(listed, middle + 1, right=True)
        one, place = ranges(first, last)
        targets, sources = of[one], order[place]
        near = apart_ang(flat[targets], flat[sources]) < cutoff_ang
        found.append((targets[near], sources[near]))
    targets, sources = (torch.cat(ends) for ends in zip(*found, strict=True))
    return targets, sources


def _cells(positions: Tensor, cutoff_ang: float) -> tuple[Tensor, list[int]]:
    """Return the number of each atom's cell, counted along z first, and what leads to the nine columns beside it."""
    cell = (positions / (cutoff_ang * (1 + 1e-6))).floor().nan_to_num(0.0, MOST_CELLS, -MOST_CELLS)
    cell = (cell - cell.median(1, keepdim=True).values).clamp(-MOST_CELLS // 2, MOST_CELLS // 2).long()
    cell = cell - cell.amin(1, keepdim=True) + 1
    x, y, z = (cell.flatten(0, 1).amax(0) + 2).tolist()
    frame = torch.arange(len(positions), device=positions.device)[:, None]
    key = ((frame * x + cell[..., 0]) * y + cell[..., 1]) * z + cell[..., 2]
    return key.flatten(), [(right * y + up) * z for right in (-1, 0, 1) for up in (-1, 0, 1)]


def ranges(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for every place in ranges [first, last), the number of its range and the place."""
    counts = last - first
    which = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    before = counts.cumsum(0) - counts
    return which, torch.arange(len(which), device=counts.device) - before[which] + first[which]


def along_bonds(
    bonds: Int[np.ndarray, "bonds 2"], n_atoms: int, *, hops: int | None = None, at_least: int | None = None
) -> Int[np.ndarray, "3 pairs"]:
    """Return pairs (atom, other, hops between them), each atom with itself included, by atom, hops and other.

    Whole shells of others are added until they are ``hops`` bonds away, or an atom has ``at_least`` so many, or its
    molecule ends.
    """
    shells = []
    for number, shell in enumerate(_shells(np.asarray(bonds, dtype=np.int64).reshape(-1, 2), n_atoms, at_least)):
        if hops is not None and number > hops:
            break
        shells.append(np.stack([*np.divmod(shell, n_atoms), np.full(len(shell), number)]))
    pairs = np.concatenate(shells, axis=1)
    return pairs[:, np.lexsort(pairs[[1, 2, 0]])]


def _shells(bonds: np.ndarray, n_atoms: int, at_least: int | None) -> Iterator[np.ndarray]:
    """Yield shell after shell, its pairs as atom × n_atoms + other, sorted."""
    both = np.concatenate([bonds, bonds[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    degree = np.bincount(both[:, 0], minlength=n_atoms)
    first = np.cumsum(degree) - degree
    before, shell = np.empty(0, dtype=np.int64), np.arange(n_atoms) * (n_atoms + 1)
    counts = np.zeros(n_atoms, dtype=np.int64)
    while len(shell):
        yield shell
        counts += np.bincount(shell // n_atoms, minlength=n_atoms)
        growing = shell if at_least is None else shell[counts[shell // n_atoms] < at_least]
        atom, other = np.divmod(growing, n_atoms)
        which, place = ranges(*(torch.from_numpy(ends) for ends in (first[other], first[other] + degree[other])))
        reached = np.unique(atom[which.numpy()] * n_atoms + both[place.numpy(), 1])
        before, shell = shell, np.setdiff1d(np.setdiff1d(reached, shell, True), before, True)


def nearest_elsewhere(
    positions: Float[np.ndarray, "atoms 3"],
    known: Int[np.ndarray, "2 pairs"],
    wanted: Int[np.ndarray, " atoms"],
) -> Int[np.ndarray, "2 more"]:
    """Return pairs (atom, other) that hold at least the ``wanted[atom]`` nearest others that are not ``known``."""
    n_atoms, spread = len(positions), float(np.ptp(positions, axis=0).max())
    points = torch.from_numpy(np.ascontiguousarray(positions, dtype=float))[None]
    taken, asked = known[0] * n_atoms + known[1], np.flatnonzero(wanted > 0)
    found: list[np.ndarray] = [np.empty((2, 0), dtype=np.int64)]
    reach = _first_reach_ang(positions)
    while len(asked):
        ends = np.stack([end.numpy() for end in pairs_within(points, reach, of=torch.from_numpy(asked))])
        ends = ends[:, ~np.isin(ends[0] * n_atoms + ends[1], taken)]
        enough = np.bincount(ends[0], minlength=n_atoms) >= wanted
        enough |= reach > 2 * spread + 1
        found.append(ends[:, enough[ends[0]]])
        asked, reach = asked[~enough[asked]], 1.5 * reach
    return np.concatenate(found, axis=1)


def _first_reach_ang(positions: np.ndarray) -> float:
    """Return a distance within which an atom has some ten others, were they spread evenly."""
    volume = float(np.prod(np.ptp(positions, axis=0) + 1.0))
    return max(1.0, (10 * volume / len(positions)) ** (1 / 3) * 0.62)
