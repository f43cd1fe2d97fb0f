"""Local frames: right-handed, carried by the molecule, chosen by bonds and masses, never by the order of the atoms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from molecules_for_tests import AT_REST_ANG, harmonic_windows
from small_molecules import ETHANOL_BONDS, rotations
from torch.testing import assert_close

from asteroid_nb.data.windows import Molecule, WindowShape
from asteroid_nb.forecast.frames import frame_atoms, into, local_frames, out_of, random_rotations


@pytest.fixture
def molecule() -> Molecule:
    return harmonic_windows(WindowShape(history=2, horizon=1), seeds=range(1), n_frames=3).molecule


@pytest.fixture
def positions():
    return torch.as_tensor(AT_REST_ANG) + 0.05 * torch.randn(6, 9, 3, dtype=torch.float64)


def test_axes_are_orthonormal_right_handed_and_begin_along_a_bond(molecule, positions):
    spanning = torch.as_tensor(frame_atoms(molecule))
    frames = local_frames(positions, spanning)
    assert_close(frames @ frames.mT, torch.eye(3, dtype=torch.float64).expand(6, 9, 3, 3))
    assert_close(torch.linalg.det(frames), torch.ones(6, 9, dtype=torch.float64))
    bond = positions[:, spanning[:, 0]] - positions
    along = into(frames, bond[..., None, :])[..., 0, :]
    assert_close(along, torch.nn.functional.pad(bond.norm(dim=-1, keepdim=True), (0, 2)))
    beside = into(frames, (positions[:, spanning[:, 1]] - positions)[..., None, :])[..., 0, :]
    assert (beside[..., 1] > 0).all()
    assert_close(beside[..., 2], torch.zeros(6, 9, dtype=torch.float64))


def test_they_turn_with_the_molecule_and_out_of_undoes_into(molecule, positions):
    spanning, rotation = torch.as_tensor(frame_atoms(molecule)), torch.as_tensor(rotations(6))
    frames = local_frames(positions, spanning)
    assert_close(local_frames(positions @ rotation.mT, spanning), frames @ rotation.mT[:, None])
    vectors = torch.randn(6, 9, 4, 3, dtype=torch.float64)
    assert_close(out_of(frames, into(frames, vectors)), vectors)


def test_the_first_axis_follows_a_bond_to_the_heaviest_neighbour(molecule):
    bonded = {frozenset(pair) for pair in ETHANOL_BONDS.tolist()}
    chosen = frame_atoms(molecule)
    for atom, (first, second) in enumerate(chosen):
        assert frozenset((atom, first)) in bonded
        mine = [other for other in range(9) if frozenset((atom, other)) in bonded]
        assert molecule.masses[first] == max(molecule.masses[mine])
        assert len({atom, first, second}) == 3


def test_the_choice_does_not_depend_on_the_order_of_the_atoms(molecule):
    order = np.random.default_rng(3).permutation(9)
    place = np.argsort(order)
    relisted = Molecule(
        molecule.atomic_numbers[order], molecule.masses[order], place[molecule.bonds], molecule.reference[order]
    )
    np.testing.assert_array_equal(order[frame_atoms(relisted)], frame_atoms(molecule)[order])


def test_atoms_on_a_line_span_no_frame_where_another_can(molecule):
    """CO₂ with an argon beside it: the second axis goes to the atom that is off the line."""
    line = np.array([[0.0, 0, 0], [1.16, 0, 0], [-1.16, 0, 0], [0.3, 3.0, 0.2]])
    found = Molecule(np.array([6, 8, 8, 18]), np.array([12.0, 16, 16, 40]), np.array([[0, 1], [0, 2]]), line)
    assert (frame_atoms(found)[:3, 1] == 3).all()


def test_two_atoms_are_too_few(molecule):
    pair = dataclasses.replace(
        molecule, atomic_numbers=np.array([1, 1]), masses=np.ones(2), bonds=np.array([[0, 1]]), reference=np.eye(2, 3)
    )
    with pytest.raises(ValueError, match="need 3 atoms, this molecule has 2"):
        frame_atoms(pair)


def test_random_rotations_are_proper_and_spread_evenly():
    drawn = random_rotations(4000, np.random.default_rng(0))
    assert_close(torch.linalg.det(drawn), torch.ones(4000))
    assert drawn.mean(0).abs().max() < 0.05
    assert (drawn[:, 0, 0].square().mean() - 1 / 3).abs() < 0.02
