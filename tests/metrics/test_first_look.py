"""What a first look sees in trajectories that are wrong in one known way each."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import asteroid_nb as anb
from asteroid_nb.data.splits import split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import WindowShape
from asteroid_nb.errors import TrajectoryTooShort
from asteroid_nb.metrics.first_look import FRAMES_TO_SPLIT, check


@functools.cache
def good() -> Trajectory:
    return anb.sample("ethanol")[0][:700].replace(name="mine")


def odd(trajectory: Trajectory) -> dict[str, str]:
    return {look.what: look.todo for look in check(trajectory).odd}


def test_a_good_trajectory_is_fine():
    found = check(good())
    assert found.odd == ()
    told = {look.what: look.found for look in found.looks}
    assert told["bonds"] == "8, in 1 molecule(s)"
    assert told["frames in a fast vibration"] == "10 (every 1 fs)"
    assert told["frames"] == "700, 699 fs"
    assert 300 < float(told["temperature of the steps"].removesuffix(" K")) < 900
    assert str(found).startswith("mine: nothing to look into")
    assert "verdict" in found._repr_markdown_() and "**look" not in found._repr_markdown_()


@pytest.mark.parametrize("wrong_dt_fs, right", [(0.05, "too short"), (48.888, "too long")])
def test_a_wrong_spacing_shows_in_the_temperature(wrong_dt_fs, right):
    todo = odd(good().replace(dt_fs=wrong_dt_fs))["temperature of the steps"]
    guess_fs = float(todo.split("would be ")[1].split(" fs")[0])
    assert guess_fs == pytest.approx(1.4, abs=0.4), right  # the walker has about 670 K


@pytest.mark.parametrize("factor", [1 / 0.529177, 0.529177, 1.4])
def test_lengths_in_another_unit_show_in_the_bonds(factor):
    larger = good().replace(positions=good().positions * factor)
    assert "Å" in odd(larger)["bond lengths"]


def test_coarse_frames_are_told():
    coarse = good()[::10]
    assert {"frames in a fast vibration", "frames"} <= set(odd(coarse))


def test_a_wrapped_molecule_is_told_and_unwrapping_mends_it():
    from asteroid_nb.data.geometry import unwrap

    cell = np.diag([12.0, 12.0, 12.0])
    wrapped = good().replace(positions=good().positions % 12.0, cell=cell)
    assert "unwrap" in odd(wrapped)["largest step of an atom"] + odd(wrapped)["bonds hold"]
    assert not {"largest step of an atom", "bonds hold"} & set(odd(unwrap(wrapped)))


def test_doubled_and_missing_frames_are_told():
    positions = good().positions
    doubled = good().replace(**_only(np.concatenate([positions[:300], positions[299:599]])))
    assert "doubled frames" in odd(doubled)
    joined = good().replace(**_only(np.concatenate([positions[:300], positions[:300] + 3.0])))
    assert "missing" in odd(joined)["largest step of an atom"]


def test_two_molecules_are_told():
    two = Trajectory(np.concatenate([good().positions, good().positions + 20], 1), np.tile(good().atomic_numbers, 2), 1)
    assert "solvent" in odd(two)["bonds"]


@pytest.mark.parametrize("n_frames, n_atoms", [(1, 9), (1, 1), (5, 2)])
def test_the_smallest_trajectories_are_looked_at_too(n_frames, n_atoms):
    found = check(good()[:n_frames].select(range(n_atoms)))
    assert "frames" in {look.what for look in found.odd}


def _only(positions):
    return {"positions": positions, "forces": None, "energies": None}


def test_enough_frames_are_those_that_one_trajectory_can_be_split_with():
    assert split(good()[:FRAMES_TO_SPLIT], WindowShape()) and "frames" not in odd(good()[:FRAMES_TO_SPLIT])
    with pytest.raises(TrajectoryTooShort):
        split(good()[: FRAMES_TO_SPLIT - 10], WindowShape())
    assert "frames" in odd(good()[: FRAMES_TO_SPLIT - 1])
