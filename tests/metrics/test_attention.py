"""How attention is spread, against answers known by hand."""

import numpy as np
import pytest
from small_molecules import ETHANOL_BONDS

from asteroid_nb.data.bonds import bond_hops
from asteroid_nb.metrics import attention

DRAW = np.random.default_rng(3)
WEIGHTS = DRAW.dirichlet(np.ones(6), size=(2, 4, 6))
EVERYTHING = [
    attention.row_shares,
    attention.entropy_nats,
    attention.entropy_share,
    lambda weights: np.stack(attention.local_shares(weights, np.eye(6, 5, dtype=bool))),
    lambda weights: attention.reach_ang(weights, np.arange(30.0).reshape(6, 5)),
]


@pytest.mark.parametrize("measure", EVERYTHING)
def test_continuous_weights_count_by_their_shares(measure):
    scale = DRAW.uniform(0.2, 7, size=(2, 4, 6, 1))
    np.testing.assert_allclose(measure(scale * WEIGHTS), measure(WEIGHTS))


@pytest.mark.parametrize("measure", [one for one in EVERYTHING if one is not attention.entropy_share])
def test_masked_keys_count_as_not_looked_at(measure):
    masked = DRAW.random(WEIGHTS.shape) < 0.4
    np.testing.assert_allclose(measure(np.where(masked, np.nan, WEIGHTS)), measure(np.where(masked, 0.0, WEIGHTS)))


@pytest.mark.parametrize("empty", [0.0, np.nan])
@pytest.mark.parametrize(("measure", "n_lost"), list(zip(EVERYTHING, (6, 1, 1, 3, 1), strict=True)))
def test_a_row_without_weight_is_nan_and_leaves_the_others_alone(measure, n_lost, empty):
    spoiled = WEIGHTS.copy()
    spoiled[1, 2, 3] = empty
    found, expected = measure(spoiled), measure(WEIGHTS)
    lost = np.isnan(found)
    assert lost.sum() == n_lost and not np.isnan(expected).any()
    np.testing.assert_allclose(found[~lost], expected[~lost])


@pytest.mark.parametrize("n_keys", [2, 5, 40])
def test_even_rows_have_all_the_entropy_and_a_single_key_none(n_keys):
    alike = np.full((3, n_keys), 0.7)
    np.testing.assert_allclose(attention.entropy_nats(alike), np.log(n_keys))
    np.testing.assert_allclose(attention.entropy_share(alike), 1.0)
    one = np.eye(n_keys)
    np.testing.assert_array_equal(attention.entropy_nats(one), 0.0)
    np.testing.assert_array_equal(attention.entropy_share(one), 0.0)


def test_entropy_of_two_to_one():
    weights = np.array([[2.0, 1.0, 0.0]])
    expected = np.log(3) - 2 / 3 * np.log(2)
    np.testing.assert_allclose(attention.entropy_nats(weights), [expected])
    np.testing.assert_allclose(attention.entropy_share(weights), [expected / np.log(3)])


def test_the_largest_entropy_is_that_of_the_allowed_keys():
    weights, allowed = np.array([[0.5, 0.5, 0.0, 0.0]]), np.array([[True, True, False, False]])
    np.testing.assert_allclose(attention.entropy_share(weights, allowed), [1.0])
    np.testing.assert_allclose(attention.entropy_share(weights), [0.5])
    np.testing.assert_allclose(attention.entropy_share(np.where(allowed, weights, np.nan)), [1.0])


def test_where_one_key_is_allowed_there_is_no_choice_to_judge():
    allowed = np.array([[True, False], [True, True]])
    share = attention.entropy_share(np.array([[1.0, 0.0], [0.5, 0.5]]), allowed)
    assert np.isnan(share[0]) and share[1] == 1


def test_even_weights_are_those_of_the_allowed_keys():
    allowed = np.array([[True, True, False], [True, False, False]])
    np.testing.assert_array_equal(attention.even(allowed), [[0.5, 0.5, 0], [1, 0, 0]])


def test_near_is_by_bonds_or_by_distance():
    hops = bond_hops(ETHANOL_BONDS, 9, most=4)
    one = attention.near_pairs(hops, most_hops=1)
    assert one.diagonal().all() and one.sum() == 9 + 2 * len(ETHANOL_BONDS)
    assert all(one[a, b] and one[b, a] for a, b in ETHANOL_BONDS)
    assert attention.near_pairs(hops, most_hops=2)[0, 2] and not one[0, 2]
    distances = np.full((9, 9), 5.0)
    distances[3, 6] = 2.0
    both = attention.near_pairs(hops, distances, most_hops=1, cutoff_ang=2.5)
    assert both[3, 6] and both.sum() == one.sum() + 1


def test_shares_of_a_row_by_hand():
    near = np.array([[True, True, False], [False, True, False]])
    shares = attention.local_shares(np.array([[0.1, 0.2, 0.3, 0.4], [3.0, 1.0, 0.0, 0.0]]), near)
    np.testing.assert_allclose(shares.local, [0.3, 0.25])
    np.testing.assert_allclose(shares.rest, [0.3, 0.75])
    np.testing.assert_allclose(shares.registers, [0.4, 0.0])


def test_shares_sum_to_one_whoever_is_near():
    for n_atoms in (6, 4):
        near = DRAW.random((6, n_atoms)) < 0.5
        np.testing.assert_allclose(np.sum(attention.local_shares(WEIGHTS, near), axis=0), 1.0)


def test_reach_is_the_weighted_distance_to_atoms_alone():
    distances = np.array([[0.0, 1.0, 3.0]])
    np.testing.assert_allclose(attention.reach_ang(np.array([[0.0, 0.5, 0.5, 9.0]]), distances), [2.0])
    np.testing.assert_allclose(attention.reach_ang(np.array([[0.2, 0.6, 0.2]]), distances), [1.2])


def test_means_by_distance_hold_each_pair_in_its_bin():
    weights = np.array([[0.2, 0.8, np.nan], [0.6, 0.4, 0.1]])
    distances = np.array([[0.1, 1.1, 1.1], [1.2, 0.2, np.nan]])
    centres, means = attention.mean_by_distance(weights, distances)
    np.testing.assert_allclose(centres, [0.25, 1.25])
    np.testing.assert_allclose(means, [0.3, 0.7])
    centres, means = attention.mean_by_distance(weights, distances, bin_ang=10.0)
    np.testing.assert_allclose((centres[0], means[0]), (5.0, 0.5))


def test_ranks_agree_with_themselves_and_with_what_grows_alike():
    matrix = DRAW.random((3, 5, 5))
    np.testing.assert_allclose(attention.rank_agreement(matrix, np.exp(3 * matrix)), 1)
    np.testing.assert_allclose(attention.rank_agreement(matrix, -matrix), -1)
    spoiled = matrix + 100 * np.eye(5)  # an atom's entry with itself does not count
    np.testing.assert_allclose(attention.rank_agreement(matrix, spoiled), 1)
    assert np.isnan(attention.rank_agreement(matrix, np.ones((3, 5, 5)))).all()


def test_ranks_agree_as_scipy_says():
    from scipy.stats import spearmanr

    one, other = DRAW.random((2, 6, 6))
    off = ~np.eye(6, dtype=bool)
    assert attention.rank_agreement(one, other) == pytest.approx(spearmanr(one[off], other[off])[0])
