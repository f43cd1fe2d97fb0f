"""Who is bonded to whom does not depend on where the box is cut, nor on the order of the atoms."""

import numpy as np
import pytest
from small_molecules import ETHANOL_ANG, ETHANOL_BONDS, ETHANOL_NUMBERS, ethanol

from asteroid_nb.data.geometry import bond_hops, bonds_of, find_bonds, find_torsions, make_whole, minimum_image
from asteroid_nb.errors import InvalidTrajectory

TRICLINIC = np.array([[7.0, 0.0, 0.0], [2.0, 8.0, 0.0], [-3.0, 2.0, 9.0]])
RING = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0], [5, 6]])


def as_set(bonds):
    return {frozenset(pair) for pair in np.asarray(bonds).tolist()}


def test_ethanol_has_the_bonds_it_has():
    np.testing.assert_array_equal(find_bonds(ETHANOL_ANG, ETHANOL_NUMBERS), ETHANOL_BONDS)


def test_a_hydrogen_bond_is_no_bond():
    # Malonaldehyde's O–H…O: 0.99 and 1.62 Å.
    positions = np.array([[0.0, 0.0, 0.0], [0.99, 0.0, 0.0], [2.61, 0.0, 0.0]])
    assert find_bonds(positions, np.array([8, 1, 8])).tolist() == [[0, 1]]


def test_the_order_of_atoms_does_not_matter():
    order = np.random.default_rng(0).permutation(9)
    found = find_bonds(ETHANOL_ANG[order], ETHANOL_NUMBERS[order])
    assert as_set(order[found]) == as_set(ETHANOL_BONDS)
    assert (found[:, 0] < found[:, 1]).all()


@pytest.mark.parametrize("seed", range(5))
def test_cutting_the_box_elsewhere_changes_no_bond(seed):
    shift = np.random.default_rng(seed).uniform(-20, 20, size=3)
    inside = ((ETHANOL_ANG + shift) @ np.linalg.inv(TRICLINIC) % 1.0) @ TRICLINIC
    assert as_set(find_bonds(inside, ETHANOL_NUMBERS, cell=TRICLINIC)) == as_set(ETHANOL_BONDS)


@pytest.mark.parametrize(
    "cell",
    [[[6.0, 0.0, 0.0], [9.0, 6.0, 0.0], [-9.0, 8.0, 6.0]], [[1.5, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]],
    ids=["skewed", "narrow"],
)
def test_boxes_of_any_shape_agree_with_trying_every_image(cell):
    positions = np.random.default_rng(1).uniform(-15, 15, size=(25, 3))
    steps = np.stack(np.meshgrid(*[np.arange(-30, 31)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    near = np.array(cell)
    shifts = steps[np.linalg.norm(steps @ near, axis=1) < 60] @ near
    expected = {
        frozenset((i, j))
        for i in range(25)
        for j in range(i)
        if np.linalg.norm(positions[i] - positions[j] + shifts, axis=1).min() < 2 * 0.76 + 0.3
    }
    assert expected
    assert as_set(find_bonds(positions, np.full(25, 6), cell=near)) == expected


def test_a_wider_tolerance_finds_no_fewer():
    narrow, wide = (find_bonds(ETHANOL_ANG, ETHANOL_NUMBERS, tolerance_ang=t) for t in (0.1, 1.2))
    assert as_set(narrow) <= as_set(ETHANOL_BONDS) < as_set(wide)


def test_lone_atoms_have_no_bonds():
    assert find_bonds(np.zeros((1, 3)), np.array([2])).shape == (0, 2)


def test_known_bonds_come_before_found_ones():
    assert bonds_of(ethanol()).tolist() == ETHANOL_BONDS.tolist()
    assert bonds_of(ethanol().replace(bonds=[[0, 1]])).tolist() == [[0, 1]]
    assert as_set(bonds_of(ethanol().replace(bonds=None))) == as_set(ETHANOL_BONDS)


def test_a_flat_box_is_refused():
    with pytest.raises(InvalidTrajectory, match="no volume"):
        find_bonds(ETHANOL_ANG, ETHANOL_NUMBERS, cell=np.zeros((3, 3)))


def test_hops_count_bonds():
    hops = bond_hops(ETHANOL_BONDS, 9, most=9)
    assert hops.dtype == np.int64
    np.testing.assert_array_equal(hops, hops.T)
    assert hops[0].tolist() == [0, 1, 2, 3, 2, 2, 1, 1, 1]
    assert bond_hops(RING, 7, most=9)[0].tolist() == [0, 1, 2, 3, 2, 1, 2]


def test_hops_are_capped_and_strangers_are_far():
    np.testing.assert_array_equal(
        bond_hops(ETHANOL_BONDS, 9, most=2), np.minimum(bond_hops(ETHANOL_BONDS, 9, most=9), 2)
    )
    assert bond_hops(np.array([[0, 1]]), 3, most=4).tolist() == [[0, 1, 4], [1, 0, 4], [4, 4, 0]]
    assert bond_hops(np.empty((0, 2), int), 2, most=3).tolist() == [[0, 3], [3, 0]]


def test_one_torsion_per_rotatable_bond():
    found = find_torsions(ETHANOL_BONDS, ETHANOL_NUMBERS)
    assert found.tolist() == [[6, 0, 1, 2], [0, 1, 2, 3]]


def test_every_torsion_when_asked():
    assert len(find_torsions(ETHANOL_BONDS, ETHANOL_NUMBERS, every=True)) == 3 * 3 + 3 * 1


def test_rings_do_not_rotate_but_have_torsions():
    numbers = np.array([6] * 7)
    assert len(find_torsions(RING, numbers)) == 0
    assert len(find_torsions(RING, numbers, every=True)) == 6 + 2
    longer = np.concatenate([RING, [[6, 7]]])
    assert find_torsions(longer, np.array([6] * 8)).tolist() == [[0, 5, 6, 7]]


def test_a_triangle_is_not_its_own_torsion():
    triangle = np.array([[0, 1], [1, 2], [2, 0]])
    assert len(find_torsions(triangle, np.array([6, 6, 6]), every=True)) == 0


def test_torsions_of_nothing():
    assert find_torsions(np.empty((0, 2), int), np.array([6])).shape == (0, 4)


def test_minimum_image_is_the_shortest_for_short_vectors():
    rng = np.random.default_rng(0)
    short = rng.normal(scale=0.8, size=(200, 3))
    images = short + rng.integers(-3, 4, size=(200, 3)) @ TRICLINIC
    np.testing.assert_allclose(minimum_image(images, TRICLINIC), short, atol=1e-9)


def test_whole_molecules_are_left_alone():
    assert not make_whole(ETHANOL_ANG, ETHANOL_BONDS, 50 * np.eye(3)).any()
