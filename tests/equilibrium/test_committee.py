"""A committee: the mean of its members, conservative as they are, and unsure where they disagree."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from ase import units
from ase.md.verlet import VelocityVerlet
from small_force_field import frames, untrained_run

import asteroid_nb as anb
from asteroid_nb.data.formats_ase import to_ase
from asteroid_nb.equilibrium.committee import Committee
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import CorruptModel, InvalidSettings, ModelMismatch

DOUBLE = {"precision": torch.float64, "solver": Solver(tolerance=1e-10, max_steps=300)}


def shaken_run(seed: int, depth: int = 0) -> ForceFieldRun:
    """Return random weights that differ by the seed."""
    run = untrained_run(depth=depth)
    model = copy.deepcopy(run.model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight) * weight.abs().mean())
    return ForceFieldRun(model, run.atomic_energies_eV)


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee([shaken_run(seed) for seed in range(3)])


def test_says_mean_and_spread_of_its_members(committee):
    told, each = committee.predict(frames()[:4]), [one.predict(frames()[:4]) for one in committee.members]
    forces = np.stack([one.forces for one in each])
    np.testing.assert_allclose(told.forces, forces.mean(0), atol=1e-7)
    np.testing.assert_allclose(told.energies, np.mean([one.energies for one in each], axis=0), rtol=1e-12)
    np.testing.assert_allclose(told.force_spread[1, 2], np.sqrt(forces[:, 1, 2].var(0, ddof=1).mean()), rtol=1e-5)
    assert told.energy_spread.shape == (4,) and (told.energy_spread > 0).all() and (told.force_spread > 0).all()


def test_its_forces_are_the_slope_of_its_energy(committee):
    frame, step = frames()[:1], 1e-4
    told = committee.predict(frame, **DOUBLE)
    moved = []
    for sign in (1, -1):
        positions = np.array(frame.positions, dtype=float)
        positions[0, 4, 1] += sign * step
        moved.append(committee.predict(frame.replace(positions=positions), **DOUBLE).energies[0])
    assert told.forces[0, 4, 1] == pytest.approx(-(moved[0] - moved[1]) / (2 * step), abs=1e-5)


def test_errs_less_than_its_members_do_on_average(committee):
    together = committee.errors(frames()).force_meV_per_ang
    assert together < np.mean([one.errors(frames()).force_meV_per_ang for one in committee.members])


def test_members_that_agree_leave_no_doubt():
    told = Committee([shaken_run(0), shaken_run(0)]).predict(frames()[:2])
    assert not told.force_spread.any() and not told.energy_spread.any()


def test_moves_a_molecule_by_the_mean_and_keeps_the_energy(committee):
    (atoms,) = to_ase(frames()[:1])
    atoms.calc = committee.calculator(policy="linear+recycle", tolerance=1e-6, precision="double")
    expected = committee.predict(frames()[:1], **DOUBLE)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces[0], atol=1e-4)
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, timestep=0.25 * units.fs).run(20)
    assert atoms.get_total_energy() == pytest.approx(before, abs=2e-3)
    assert all(len(one.history) > 20 for one in atoms.calc.mixer.calcs)


def test_comes_back_from_its_folder(committee, tmp_path):
    again = anb.Committee.load(committee.save(tmp_path))
    assert len(again) == 3 and repr(again) == repr(committee)
    np.testing.assert_array_equal(again.predict(frames()[:2]).forces, committee.predict(frames()[:2]).forces)


class TestIsRefused:
    @pytest.mark.parametrize("count", [0, 1, 101])
    def test_of_too_few_or_too_many(self, count):
        with pytest.raises(InvalidSettings, match=f"has 2 to 100 members, found {count}"):
            Committee([untrained_run()] * count)

    def test_where_members_know_other_elements(self):
        run = shaken_run(1)
        other = ForceFieldRun(run.model, {1: -13.6, 6: -1030.0})
        with pytest.raises(
            ModelMismatch, match="Member 1 of the committee has learnt from H, C, the first from H, C, O"
        ):
            Committee([run, other])

    def test_an_element_it_has_not_learnt_from(self, committee):
        with pytest.raises(ModelMismatch, match="has never seen N"):
            committee.must_know([1, 7])

    @pytest.mark.parametrize("count", [1, 1000, "3", None])
    def test_a_folder_with_another_count(self, committee, tmp_path, count):
        path = committee.save(tmp_path) / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"n_members": count}))
        with pytest.raises(CorruptModel, match="members. Copy the folder or train again"):
            Committee.load(tmp_path)

    def test_a_folder_without_a_member(self, committee, tmp_path):
        committee.save(tmp_path)
        (tmp_path / "member-01" / "weights.safetensors").unlink()
        with pytest.raises(CorruptModel, match="member-01"):
            Committee.load(tmp_path)
