"""Bonds, distances and torsions against answers known by hand."""

import numpy as np
import pytest

from asteroid_nb.metrics import structure

BONDS = np.array([[0, 1], [1, 2]])


@pytest.fixture
def chain():
    """Three atoms on a line, 1 Å apart, for ten frames."""
    return np.tile(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), (10, 1, 1))


def test_bond_lengths(chain):
    chain[4, 2] = [1, 3, 0]
    np.testing.assert_allclose(structure.bond_lengths(chain, BONDS)[4], [1, 3])


def test_a_rollout_is_stable_until_the_exact_frame_in_which_a_bond_leaves(chain):
    reference = np.array([1.0, 1.0])
    assert structure.stability_fs(chain, BONDS, reference, 0.5) == np.inf
    chain[7:, 2, 0] += 0.49
    assert structure.stability_fs(chain, BONDS, reference, 0.5) == np.inf
    chain[7:, 2, 0] += 0.02
    assert structure.stability_fs(chain, BONDS, reference, 0.5) == 3.5
    chain[3, 1, 0] = 0.49
    assert structure.stability_fs(chain, BONDS, reference, 0.5) == 1.5
    assert structure.broken_bonds(chain, BONDS, reference)[3].tolist() == [True, True]


def test_nan_is_broken(chain):
    chain[6, 0] = np.nan
    assert structure.stability_fs(chain, BONDS, np.array([1.0, 1.0]), 2.0) == 12.0


def test_the_histogram_holds_every_distance_once_and_forgets_those_beyond(chain):
    centres, density = structure.distance_histogram(chain + 1e-3 * np.arange(3)[:, None])
    width = centres[1] - centres[0]
    assert width == pytest.approx(0.02) and density.sum() * width == pytest.approx(1)
    assert centres[density > 0] == pytest.approx([1.01, 2.01])
    assert density[density > 0] * width == pytest.approx([2 / 3, 1 / 3])
    chain[:, 2] += 100
    assert structure.distance_histogram(chain)[1].sum() * width == pytest.approx(1 / 3)


def test_the_histogram_is_the_same_in_pieces(chain, monkeypatch):
    whole = structure.distance_histogram(chain * np.linspace(1, 2, 10)[:, None, None])[1]
    monkeypatch.setattr(structure, "CHUNK_DISTANCES", 7)
    np.testing.assert_array_equal(structure.distance_histogram(chain * np.linspace(1, 2, 10)[:, None, None])[1], whole)


def test_distance_mae_is_zero_for_the_same_and_two_for_nothing_in_common(chain):
    assert structure.distance_mae(chain, chain[:3]) == 0
    assert structure.distance_mae(chain, 1.7 * chain) == pytest.approx(2)


def test_torsion_densities_are_periodic_and_of_unit_area():
    angles = np.array([[-np.pi, 0.3], [np.pi, 0.3 + 4 * np.pi], [np.pi - 1e-17, 0.3]])
    centres, density = structure.torsion_density(angles)
    np.testing.assert_allclose(density.sum(axis=1) * 2 * np.pi / 100, 1)
    assert centres[density[0] > 0] == pytest.approx([-np.pi + np.pi / 100])
    assert centres[density[1] > 0] == pytest.approx([0.3], abs=np.pi / 100)


def test_jensen_shannon_of_the_same_is_zero_of_disjoint_one_and_of_half_known():
    here, there = np.full((50, 1), 1.0), np.full((80, 1), -2.0)
    both = np.concatenate([here, here, np.full((100, 1), -2.0)])
    assert structure.torsion_js(here, here[:7])[0] == pytest.approx(0, abs=1e-7)
    assert structure.torsion_js(here, there)[0] == pytest.approx(1)
    # Divergence of (1, 0) and (1/2, 1/2): H(3/4, 1/4) − H(1/2, 1/2) / 2 bits.
    entropy = -0.75 * np.log2(0.75) - 0.25 * np.log2(0.25)
    assert structure.torsion_js(here, both)[0] == pytest.approx(np.sqrt(entropy - 0.5))


def test_a_torsion_that_is_not_finite_counts_nowhere():
    centres, density = structure.torsion_density(np.array([[0.1], [np.nan]]))
    assert density.sum() * (centres[1] - centres[0]) == pytest.approx(0.5)


def test_wasserstein_of_a_shift_is_the_shift():
    lengths = np.random.default_rng(0).normal(1.1, 0.03, size=(200, 2))
    np.testing.assert_allclose(structure.bond_length_wasserstein(lengths + [0.01, 0.2], lengths), [0.01, 0.2])
