"""The door stays shut to what cannot be a trajectory, and says what it saw."""

import numpy as np
import pytest
from small_molecules import ETHANOL_ANG

from asteroid_nb.data import checks
from asteroid_nb.errors import InvalidTrajectory, MissingSpacing, UnitMismatch


@pytest.mark.parametrize("dt_fs", [0, -1.0, np.nan, np.inf, "soon", [1.0, 2.0]])
def test_spacing_must_be_a_positive_number(dt_fs):
    with pytest.raises(InvalidTrajectory, match="positive number of fs"):
        checks.spacing_fs(dt_fs)


def test_spacing_may_not_be_missing():
    with pytest.raises(MissingSpacing, match="dt_fs="):
        checks.spacing_fs(None)


@pytest.mark.parametrize("numbers", [[], [[1, 6]], [1.0, 6.0], "CH"])
def test_atomic_numbers_are_a_row_of_whole_numbers(numbers):
    with pytest.raises(InvalidTrajectory, match="whole numbers of shape"):
        checks.atomic_numbers(numbers)


@pytest.mark.parametrize("number", [0, -1, 119])
def test_unknown_elements_are_named(number):
    with pytest.raises(InvalidTrajectory, match=rf"Unknown element.*\[{number}\]"):
        checks.atomic_numbers([1, number, 6])


@pytest.mark.parametrize(
    ("shape", "words"),
    [((3, 3), "floats"), ((0, 9, 3), "no frame"), ((2, 9, 2), "floats"), ((2, 8, 3), "8 atoms.*names 9")],
)
def test_positions_have_a_shape(shape, words):
    with pytest.raises(InvalidTrajectory, match=words):
        checks.positions(np.zeros(shape), n_atoms=9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunk", [2**24, 7])
def test_the_first_bad_frame_is_named(monkeypatch, bad, chunk):
    monkeypatch.setattr(checks, "CHUNK_VALUES", chunk)
    positions = np.zeros((20, 2, 3))
    positions[11, 1, 2] = positions[17, 0, 0] = bad
    with pytest.raises(InvalidTrajectory, match="frame 11 of 20"):
        checks.finite("positions", positions)


@pytest.mark.parametrize(
    ("scale", "unit"),
    [
        (0.1, "look like nm"),
        (0.01, "bohr or another"),
        (10.0, "Å multiplied by 10 .were they Å already"),
        (100.0, "bohr or another"),
    ],
)
def test_lengths_that_cannot_be_angstrom_are_refused(scale, unit):
    with pytest.raises(UnitMismatch, match=unit):
        checks.distances(ETHANOL_ANG[None] * scale)


def test_one_bad_atom_does_not_shut_the_door():
    positions = ETHANOL_ANG[None].repeat(3, axis=0)
    positions[:, 0] += 500.0
    checks.distances(positions)


def test_neighbours_are_looked_for_across_the_box():
    pair = np.array([[[0.2, 0.0, 0.0], [19.0, 0.0, 0.0]]])
    checks.distances(pair, cell=np.eye(3)[None] * 20.0)
    with pytest.raises(UnitMismatch):
        checks.distances(pair)


def test_a_single_atom_has_no_neighbour_to_measure():
    checks.distances(np.zeros((2, 1, 3)))


@pytest.mark.parametrize("masses", [[1.0], [1.0, -1.0], [1.0, np.nan], [0.0, 1.0]])
def test_masses_are_positive_and_one_per_atom(masses):
    with pytest.raises(InvalidTrajectory, match="2 positive numbers in amu"):
        checks.masses(masses, n_atoms=2)


@pytest.mark.parametrize("bonds", [[[0, 2]], [[-1, 0]], [[0, 1, 1]], [0, 1]])
def test_bonds_are_pairs_of_atoms_that_exist(bonds):
    with pytest.raises(InvalidTrajectory, match="indices of 2 atoms"):
        checks.bonds(bonds, n_atoms=2)


def test_no_bonds_are_bonds_too():
    assert checks.bonds([], n_atoms=2).shape == (0, 2)


@pytest.mark.parametrize(
    ("states", "words"),
    [([0.0], "whole numbers"), ([], "whole numbers"), ([0, 3], "0 to 2"), ([-1, 0], "negative labels")],
)
def test_states_lie_in_their_range(states, words):
    with pytest.raises(InvalidTrajectory, match=words):
        checks.states(np.array(states), n_states=3)
