"""The two objects: validated once, immutable after, cut without losing what they hold."""

import dataclasses

import numpy as np
import pytest
from small_molecules import ETHANOL_ANG, ETHANOL_BONDS, ETHANOL_NUMBERS, ethanol

from asteroid_nb.data.trajectory import PER_FRAME, StateTrajectory, Trajectory
from asteroid_nb.errors import InvalidTrajectory, MissingSpacing, UnitMismatch


def test_what_goes_in_comes_out():
    trajectory = ethanol(4)
    assert (trajectory.n_frames, trajectory.n_atoms, len(trajectory)) == (4, 9, 4)
    assert trajectory.duration_fs == 1.5
    np.testing.assert_array_equal(trajectory.times_fs, [0.0, 0.5, 1.0, 1.5])
    assert trajectory.symbols == tuple("CCOHHHHHH")
    assert trajectory.labels == ("C1", "C2", "O1", "H1", "H2", "H3", "H4", "H5", "H6")
    assert "4 frames × 9 atoms, every 0.5 fs" in repr(trajectory)


def test_masses_are_standard_unless_given():
    assert ethanol().masses[:3].tolist() == [12.011, 12.011, 15.999]
    heavy = ethanol().replace(masses=np.where(ETHANOL_NUMBERS == 1, 3.0, 12.0))
    assert heavy.masses[-1] == 3.0


def test_one_box_serves_every_frame():
    assert ethanol(4, box=True).cell.shape == (4, 3, 3)


def test_nothing_can_be_changed():
    trajectory = ethanol(box=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        trajectory.dt_fs = 1.0
    for key in (*PER_FRAME, "masses", "atomic_numbers", "bonds"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(trajectory, key)[0] = 0


def test_the_callers_own_array_stays_writable():
    mine = ETHANOL_ANG[None].copy()
    Trajectory(mine, ETHANOL_NUMBERS, 1.0)
    mine[0, 0, 0] += 1.0


def test_a_memory_map_is_not_read_into_memory(tmp_path):
    np.save(tmp_path / "x.npy", ethanol(50).positions)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(Trajectory(mapped, ETHANOL_NUMBERS, 1.0)[10:20].positions, mapped)


@pytest.mark.parametrize("frames", [slice(None), slice(1, 4), slice(None, None, 2), slice(-3, None), slice(0, 5, 3)])
def test_a_slice_cuts_everything_alike_and_stretches_time(frames):
    whole = ethanol(5, box=True)
    cut = whole[frames]
    for key in PER_FRAME:
        np.testing.assert_array_equal(getattr(cut, key), getattr(whole, key)[frames])
    assert cut.dt_fs == whole.dt_fs * (frames.step or 1)
    np.testing.assert_array_equal(cut.bonds, whole.bonds)
    assert (cut.name, cut.provenance) == (whole.name, whole.provenance)


def test_striding_twice_is_striding_once():
    whole = ethanol(13)
    assert whole[::2][::3].dt_fs == whole[::6].dt_fs
    np.testing.assert_array_equal(whole[::2][::3].positions, whole[::6].positions)


def test_an_int_gives_a_trajectory_of_one_frame():
    assert ethanol(5)[-1].positions.shape == (1, 9, 3)
    with pytest.raises(IndexError):
        ethanol(5)[5]


@pytest.mark.parametrize(
    ("frames", "words"),
    [(slice(None, None, -1), "positive step"), (slice(7, 9), "no frame"), ([0, 2], "slice or an int")],
)
def test_frames_that_make_no_trajectory_are_refused(frames, words):
    with pytest.raises(InvalidTrajectory, match=words):
        ethanol(5)[frames]


@pytest.mark.parametrize("atoms", [[2, 0, 1], np.array([2, 0, 1])])
def test_selected_atoms_keep_their_order_and_their_bonds(atoms):
    whole = ethanol()
    cut = whole.select(atoms)
    assert cut.symbols == ("O", "C", "C")
    for key in PER_FRAME[:3]:
        np.testing.assert_array_equal(getattr(cut, key), getattr(whole, key)[:, [2, 0, 1]])
    assert sorted(map(sorted, cut.bonds.tolist())) == [[0, 2], [1, 2]]
    assert cut.energies is None, "the energy of the whole is not that of a part"


def test_a_mask_selects_too():
    assert ethanol().select(ETHANOL_NUMBERS != 1).symbols == ("C", "C", "O")


def test_selecting_all_atoms_changes_nothing_but_energies():
    whole = ethanol()
    np.testing.assert_array_equal(whole.select(range(9)).bonds, ETHANOL_BONDS)
    assert whole.select(range(9)).same_atoms(whole)
    assert not whole.select([0, 1]).same_atoms(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"velocities": np.zeros((5, 8, 3))}, "velocities have shape"),
        ({"forces": np.zeros((4, 9, 3))}, "forces have shape"),
        ({"energies": np.zeros((5, 1))}, "energies have shape"),
        ({"cell": np.zeros((4, 3, 3))}, "cell have shape"),
        ({"energies": np.array([0, 0, np.nan, 0, 0])}, "energies hold NaN.*frame 2 of 5"),
        ({"positions": np.full((5, 9, 3), np.nan)}, "positions hold NaN"),
        ({"masses": np.ones(8)}, "9 positive numbers"),
        ({"bonds": [[0, 9]]}, "9 atoms"),
        ({"dt_fs": 0.0}, "positive number of fs"),
        ({"atomic_numbers": np.array([0] * 9)}, "Unknown element"),
    ],
)
def test_arrays_that_disagree_are_refused(changes, words):
    with pytest.raises(InvalidTrajectory, match=words):
        ethanol(5).replace(**changes)


def test_a_spacing_is_required():
    with pytest.raises(MissingSpacing):
        Trajectory(ETHANOL_ANG[None], ETHANOL_NUMBERS, None)


def test_nm_given_as_angstrom_is_noticed():
    with pytest.raises(UnitMismatch, match="look like nm"):
        Trajectory(ETHANOL_ANG[None] / 10, ETHANOL_NUMBERS, 1.0)


def test_a_forecast_that_broke_the_molecule_may_still_be_looked_at():
    assert Trajectory(ETHANOL_ANG[None] * 50, ETHANOL_NUMBERS, 1.0, check_distances=False).n_frames == 1
    assert ethanol().replace(positions=ethanol().positions * 50).n_atoms == 9


def test_states_are_kept_and_cut():
    states = StateTrajectory([0, 1, 1, 2, 0], n_states=4, dt_fs=10.0)
    assert states.states.dtype == np.int64 and states.labels == ("0", "1", "2", "3")
    assert states[1::2].states.tolist() == [1, 2] and states[1::2].dt_fs == 20.0
    np.testing.assert_array_equal(states.times_fs, [0, 10, 20, 30, 40])
    with pytest.raises(ValueError, match="read-only"):
        states.states[0] = 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"n_states": 2}, "0 to 1"), ({"labels": ("a",)}, "1 labels for 3"), ({"dt_fs": -1}, "positive")],
)
def test_states_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(InvalidTrajectory, match=words):
        StateTrajectory(**{"states": [0, 1, 2], "n_states": 3, "dt_fs": 1.0, **changes})
    with pytest.raises(InvalidTrajectory, match="positive step"):
        StateTrajectory([0, 1], n_states=2, dt_fs=1.0)[::-1]
