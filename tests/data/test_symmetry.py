"""Symmetries of physics: what they keep, what they never do, and that real trajectories obey them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from small_molecules import ETHANOL_BONDS, ETHANOL_NUMBERS, ethanol
from torch.testing import assert_close

import asteroid_nb as anb
from asteroid_nb.data.symmetry import MOST_EXCHANGES, Symmetries, reversed_in_time
from asteroid_nb.data.windows import Molecule, Windows, WindowShape
from asteroid_nb.forecast.baselines import FrameRidge


@pytest.fixture
def windows() -> Windows:
    return Windows([ethanol(40, full=False)], WindowShape(history=4, horizon=3))


@pytest.fixture
def symmetries(windows) -> Symmetries:
    return Symmetries.of(windows.molecule)


def test_ethanol_has_three_turns_of_its_methyl_group_with_and_without_a_mirror(symmetries):
    found = {
        (tuple(exchange), bool(mirror))
        for exchange, mirror in zip(symmetries.exchanges, symmetries.mirrored, strict=True)
    }
    methyl = ([6, 7, 8], [7, 8, 6], [8, 6, 7])
    turned = {((0, 1, 2, 3, 4, 5, *three), False) for three in methyl}
    mirrored = {((0, 1, 2, 3, 5, 4, *three[::-1]), True) for three in methyl}
    assert found == turned | mirrored
    assert len(symmetries) == 6


def test_the_identity_comes_first(symmetries, windows):
    assert not symmetries.mirrored[0]
    window = windows[:5]
    same = symmetries.applied(window, np.zeros(5, dtype=int))
    assert_close(same.history, window.history, rtol=0, atol=0)
    assert_close(same.truth, window.truth, rtol=0, atol=0)


def test_elements_and_bonds_stay(symmetries):
    bonds = {frozenset(pair) for pair in ETHANOL_BONDS.tolist()}
    for exchange in symmetries.exchanges:
        assert (ETHANOL_NUMBERS[exchange] == ETHANOL_NUMBERS).all()
        assert {frozenset(exchange[pair].tolist()) for pair in ETHANOL_BONDS} == bonds


def test_they_are_closed_under_repetition(symmetries):
    found = {
        (tuple(exchange), bool(mirror))
        for exchange, mirror in zip(symmetries.exchanges, symmetries.mirrored, strict=True)
    }
    for first, one in found:
        for second, other in found:
            assert (tuple(np.array(first)[list(second)].tolist()), one != other) in found


def test_all_distances_stay_and_the_handedness_of_every_centre_too(symmetries, windows):
    for number in range(len(symmetries)):
        window = windows[:6]
        moved = symmetries.applied(window, np.full(6, number))
        for before, after in ((window.history, moved.history), (window.truth, moved.truth)):
            assert_close(_sorted_distances(after), _sorted_distances(before), rtol=0, atol=1e-5)
            for centre, around in ((0, [1, 6, 7, 8]), (1, [0, 2, 4, 5])):
                assert (_volume(before, around) * _volume(after, around) > 0).all(), centre


def _sorted_distances(positions):
    first, second = np.triu_indices(9, k=1)
    return (positions[..., first, :] - positions[..., second, :]).norm(dim=-1).sort(-1).values


def _volume(positions, around):
    corners = positions[..., around, :]
    return torch.linalg.det(corners[..., :3, :] - corners[..., 3:, :])


def test_each_window_gets_the_symmetry_chosen_for_it(symmetries, windows):
    window, chosen = windows[:6], np.array([5, 0, 3, 1, 1, 4])
    together = symmetries.applied(window, chosen)
    for index, number in enumerate(chosen):
        alone = symmetries.applied(windows[[index]], np.array([number]))
        assert_close(together.history[[index]], alone.history, rtol=0, atol=0)
        assert_close(together.truth[[index]], alone.truth, rtol=0, atol=0)


def test_a_chiral_centre_is_never_mirrored():
    atoms = np.array([6, 9, 17, 35, 1])  # CHFClBr
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.8
    bonds = np.array([[0, 1], [0, 2], [0, 3], [0, 4]])
    found = Symmetries.of(Molecule(atoms, np.ones(5), bonds, np.concatenate([np.zeros((1, 3)), corners])))
    assert len(found) == 1 and not found.mirrored[0]


def test_many_exchanges_are_cut_short_and_the_identity_is_kept():
    n_hydrogens = 6  # a star of equal atoms has 6! exchanges
    bonds = np.stack([np.zeros(n_hydrogens, dtype=int), np.arange(1, n_hydrogens + 1)], axis=1)
    numbers = np.array([16, *[9] * n_hydrogens])
    reference = np.random.default_rng(0).normal(size=(n_hydrogens + 1, 3))
    found = Symmetries.of(Molecule(numbers, np.ones(n_hydrogens + 1), bonds, reference))
    assert len(found) <= 2 * (MOST_EXCHANGES + 1)
    assert found.exchanges[0].tolist() == list(range(n_hydrogens + 1))


# Time.


def test_reversed_twice_is_the_window_itself(windows):
    window = windows[:8]
    chosen = np.arange(8) % 2 == 0
    path = torch.cat([window.place(window.history), window.place(window.truth)], dim=1)
    once = reversed_in_time(window, chosen)
    back = torch.cat([once.history, once.truth], dim=1)
    assert_close(torch.diff(back, dim=1)[chosen], -torch.diff(path, dim=1)[chosen].flip(1).float(), rtol=0, atol=1e-5)
    twice = reversed_in_time(once, chosen)
    assert_close(twice.history, window.history, rtol=0, atol=1e-5)
    assert_close(twice.truth, window.truth, rtol=0, atol=1e-5)
    assert_close(once.history[~chosen], window.history[~chosen], rtol=0, atol=1e-6)


def test_a_reversed_window_is_centred_on_its_own_first_frame(windows):
    turned = reversed_in_time(windows[:8], np.ones(8, dtype=bool))
    assert_close(turned.history[:, 0].mean(1), torch.zeros(8, 3), rtol=0, atol=1e-5)


# Physics: a map fitted on real windows knows transformed ones as well as the real.


@functools.cache
def fitted() -> tuple[FrameRidge, Windows]:
    walkers, shape = anb.sample("ethanol"), WindowShape(history=8, horizon=8)
    train, validation = Windows(walkers[:4], shape).thinned(8), Windows(walkers[4:5], shape).thinned(8)
    ridge = FrameRidge(8, frame="local", frames=8).fit(train, validation)
    return ridge, Windows(walkers[5:], shape).subset(most=300)


def error_ang(ridge, window) -> float:
    return float((ridge.forecast(window) - window.truth).square().mean().sqrt())


@pytest.mark.parametrize("number", range(6))
def test_real_dynamics_obey_the_symmetries_of_ethanol(number):
    ridge, windows = fitted()
    window = windows[:]
    moved = Symmetries.of(windows.molecule).applied(window, np.full(len(window), number))
    assert error_ang(ridge, moved) == pytest.approx(error_ang(ridge, window), rel=0.15)


def test_real_dynamics_obey_time_reversal():
    ridge, windows = fitted()
    moved = reversed_in_time(windows[:], np.ones(len(windows), dtype=bool))
    assert error_ang(ridge, moved) == pytest.approx(error_ang(ridge, windows[:]), rel=0.15)


def test_a_mirror_without_the_exchange_is_no_symmetry():
    ridge, windows = fitted()
    wrong = Symmetries(np.arange(9)[None], np.array([True]))
    moved = wrong.applied(windows[:], np.zeros(len(windows), dtype=int))
    assert error_ang(ridge, moved) > 5 * error_ang(ridge, windows[:])


def test_in_a_box_all_molecules_listed_alike_exchange_atoms_at_once(monkeypatch):
    from asteroid_nb.bench.forecasts.boxes import box_of_ethanol
    from asteroid_nb.data import symmetry

    one, box = (box_of_ethanol(n_copies, 2, n_seen=1)[0] for n_copies in (1, 5))
    alone = Symmetries.of(one)
    monkeypatch.setattr(symmetry, "MOST_MATCHED", 20)
    found = Symmetries.of(box)
    expected = alone.exchanges[~alone.mirrored][:, None] + 9 * np.arange(5)[:, None]
    np.testing.assert_array_equal(found.exchanges[~found.mirrored], np.concatenate([expected], 0).reshape(-1, 45))
    monkeypatch.setattr(symmetry, "MOST_MATCHED", 8)
    np.testing.assert_array_equal(Symmetries.of(box).exchanges, np.arange(45)[None])
