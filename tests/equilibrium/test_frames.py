"""Frames to learn from: spread over trajectories, filled up, without what atoms have by themselves, in batches."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_force_field import LOOSE, fragment, frames, untrained

from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.training import ForceTask


class TestFrames:
    def test_are_spread_over_all_trajectories(self):
        data = [frames(n_frames=20), frames("malonaldehyde", 10)]
        chosen = Frames.of(data, 6)
        assert len(chosen) == 6
        every = np.concatenate([one.positions for one in data])
        found = [int(np.flatnonzero((every == one).all((1, 2)))[0]) for one in chosen.positions]
        assert found[0] == 0 and found[-1] == 29
        assert set(np.diff(found)) <= {5, 6}

    def test_hold_what_the_trajectory_holds(self):
        block = Frames.of([fragment(3), frames()[:2]])
        assert block.positions.shape == (5, 9, 3) and (block.atomic_numbers[:3, 5:] == 0).all()
        assert np.array_equal(block.forces[3:], frames().forces[:2])
        assert np.array_equal(block.energies[3:], frames().energies[:2])
        real = np.concatenate([fragment(3).forces.ravel(), frames().forces[:2].ravel()])
        assert block.force_rms == pytest.approx(np.sqrt(np.mean(real**2)))

    def test_energies_of_atoms_are_found_where_molecules_differ(self):
        """Three compositions, three elements: what was put in comes back, and nothing is left of the energies."""
        truth = {1: -13.0, 6: -1030.0, 8: -2040.0}
        data = [frames()[:4], frames("malonaldehyde")[:4], fragment(4)]
        made = [one.replace(energies=np.full(4, sum(truth[int(n)] for n in one.atomic_numbers))) for one in data]
        block = Frames.of(made)
        assert block.atomic_energies() == pytest.approx(truth)
        assert np.abs(block.without_atoms(truth).energies).max() < 1e-9

    def test_differ_by_their_fingerprint(self):
        block = Frames.of([frames()[:4]])
        assert block.fingerprint == Frames.of([frames()[:4]]).fingerprint
        moved = dataclasses.replace(block, energies=block.energies + 1e-3)
        assert block.fingerprint != moved.fingerprint

    def test_agree_where_machines_round_otherwise(self):
        block = Frames.of([frames()[:4]])
        energies = np.round(block.energies, 4)  # far from where rounding turns
        exact, other = (dataclasses.replace(block, energies=energies + off) for off in (0.0, 1e-9))
        assert exact.fingerprint == other.fingerprint


def test_batches_hold_every_frame_once_and_depend_on_the_seed_alone():
    block = Frames.of([frames()])
    task = ForceTask(untrained(), block, block, LOOSE, 5)
    draw = lambda seed: list(task.batches(seed=seed, device=torch.device("cpu")))  # noqa: E731
    assert [len(batch.energies) for batch in draw(1)] == [5, 5, 5, 5, 2] and task.n_steps == 5
    seen = torch.cat([batch.energies for batch in draw(1)])
    assert torch.equal(seen.sort().values, torch.tensor(block.energies, dtype=torch.float32).sort().values)
    assert torch.equal(seen, torch.cat([batch.energies for batch in draw(1)]))
    assert not torch.equal(seen, torch.cat([batch.energies for batch in draw(2)]))
