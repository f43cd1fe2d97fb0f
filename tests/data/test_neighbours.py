"""Grids of cells and shells of bonds find what comparing every pair finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_molecules import ETHANOL_BONDS

from asteroid_nb.data.bonds import bond_hops
from asteroid_nb.data.neighbours import along_bonds, nearest_elsewhere, pairs_within

FRAMES, ATOMS = 3, 60


def scattered(seed: int, spread_ang: float = 4.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return spread_ang * torch.randn(FRAMES, ATOMS, 3, generator=draw, dtype=torch.float64)


def as_table(targets, sources, n_frames=FRAMES, n_atoms=ATOMS) -> torch.Tensor:
    """Return how often each pair is named, [frames, atoms, atoms]; pairs across frames would raise."""
    assert (targets // n_atoms == sources // n_atoms).all()
    table = torch.zeros(n_frames, n_atoms, n_atoms, dtype=torch.long)
    where = (targets // n_atoms, targets % n_atoms, sources % n_atoms)
    return table.index_put_(where, torch.ones_like(targets), accumulate=True)


@pytest.mark.parametrize("cutoff_ang", [0.5, 3.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_within_the_cutoff_each_once(seed, cutoff_ang):
    positions = scattered(seed)
    expected = torch.cdist(positions, positions) < cutoff_ang
    assert (as_table(*pairs_within(positions, cutoff_ang)) == expected.long()).all()


@pytest.mark.parametrize("where", [1e9, -1e9])
def test_a_shift_and_a_far_away_atom_change_no_pair(where):
    positions = scattered(0)
    before = as_table(*pairs_within(positions, 3.0))
    moved = positions + 1000.0
    moved[1, 7] = where
    after = as_table(*pairs_within(moved, 3.0))
    before[1, 7], before[1, :, 7], before[1, 7, 7] = 0, 0, 1
    assert (after == before).all()


def test_positions_that_are_no_numbers_have_no_neighbours_and_stop_nothing():
    positions = scattered(0)
    before = as_table(*pairs_within(positions, 3.0))
    positions[0, 3], positions[2, 5, 1] = float("nan"), float("inf")
    after = as_table(*pairs_within(positions, 3.0))
    for frame, atom in ((0, 3), (2, 5)):
        before[frame, atom], before[frame, :, atom] = 0, 0
    assert (after == before).all()


def test_only_the_chosen_are_asked_and_nothing_is_near_without_a_cutoff():
    positions, chosen = scattered(0), torch.tensor([4, 70])
    targets, sources = pairs_within(positions, 3.0, of=chosen)
    everywhere = as_table(*pairs_within(positions, 3.0))
    assert set(targets.tolist()) == {4, 70}
    assert (as_table(targets, sources)[0, 4] == everywhere[0, 4]).all()
    assert len(pairs_within(positions, 0.0)[0]) == 0


def random_bonds(seed: int, n_atoms: int) -> np.ndarray:
    bonds = np.random.default_rng(seed).integers(n_atoms, size=(n_atoms, 2))
    return np.unique(np.sort(bonds[bonds[:, 0] != bonds[:, 1]], axis=1), axis=0)


@pytest.mark.parametrize("hops", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_shells_along_bonds_are_those_of_shortest_paths(seed, hops):
    bonds = random_bonds(seed, 40)
    expected = bond_hops(bonds, 40, most=40)
    atom, other, found = along_bonds(bonds, 40, hops=hops)
    table = np.full((40, 40), -1)
    table[atom, other] = found
    np.testing.assert_array_equal(table, np.where(expected <= hops, expected, -1))
    assert len(atom) == (table >= 0).sum()


def test_whole_shells_are_added_until_there_are_enough_or_the_molecule_ends():
    atom, _, found = along_bonds(ETHANOL_BONDS, 10, at_least=4)
    hops = bond_hops(ETHANOL_BONDS, 10, most=10)
    for one in range(9):
        last = found[atom == one].max()
        assert (hops[one] <= last).sum() == (atom == one).sum() >= 4
        assert (hops[one] <= last - 1).sum() < 4
    assert (atom == 9).sum() == 1


def test_the_nearest_elsewhere_are_among_those_found():
    positions, wanted = scattered(1)[0].numpy(), np.arange(ATOMS) % 4
    wanted[0] = ATOMS - 2
    known = np.stack([np.repeat(np.arange(ATOMS), 2), np.arange(2 * ATOMS) // 2 + np.tile([0, 1], ATOMS)]) % ATOMS
    atom, other = nearest_elsewhere(positions, known, wanted)
    for one in range(ATOMS):
        mine = set(other[atom == one].tolist())
        itself_and_next = {one, (one + 1) % ATOMS}
        assert not mine & itself_and_next
        by_distance = np.linalg.norm(positions - positions[one], axis=1).argsort()
        nearest = [place for place in by_distance.tolist() if place not in itself_and_next][: wanted[one]]
        assert set(nearest) <= mine
