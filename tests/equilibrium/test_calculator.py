"""The ASE calculator: the run's own energies and forces, one record a call, and clear words for bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_force_field import frames, untrained_run

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import SolverRecord, WarmForces, calculator, settings_of
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.errors import AsteroidError, InvalidSettings, InvalidTrajectory, ModelMismatch, NotConverged

if TYPE_CHECKING:
    import ase


def with_calculator(trajectory: Trajectory | None = None, frame: int = 0, **options: Any) -> ase.Atoms:
    atoms = (frames() if trajectory is None else trajectory)[frame].to_ase()[0]
    options = {"tolerance": 1e-9} | options
    atoms.calc = calculator(untrained_run(), **options)
    return atoms


def copies(*which: int) -> ase.Atoms:
    """Return several frames' atoms, one after the other, without a calculator."""
    first, *rest = (frames()[frame].to_ase()[0] for frame in which)
    for one in rest:
        first.extend(one)
    return first


class TestAnswer:
    @pytest.mark.parametrize("policy", ["cold", "linear+recycle"])
    def test_is_that_of_the_run(self, policy):
        exact = untrained_run().predict(frames()[:4], solver=Solver(tolerance=1e-11), precision=torch.float64)
        atoms = with_calculator(policy=policy)
        for frame in range(4):
            atoms.positions = frames().positions[frame]
            assert atoms.get_potential_energy() == pytest.approx(exact.energies[frame], abs=1e-8)
            assert_allclose(atoms.get_forces(), exact.forces[frame], rtol=0, atol=1e-7)

    def test_of_a_batch_is_that_of_each_molecule(self):
        atoms = copies(0, 5, 9)
        atoms.calc = calculator(untrained_run(), n_molecules=3, tolerance=1e-10)
        alone = [with_calculator(frame=frame, tolerance=1e-10) for frame in (0, 5, 9)]
        energies = [one.get_potential_energy() for one in alone]
        assert atoms.get_potential_energy() == pytest.approx(sum(energies), abs=1e-8)
        assert_allclose(atoms.calc.energies, energies, rtol=0, atol=1e-8)
        assert_allclose(atoms.get_forces(), np.concatenate([one.get_forces() for one in alone]), rtol=0, atol=1e-8)

    def test_in_a_box_is_that_of_the_run(self):
        boxed = frames()[0].replace(cell=np.diag([7.0, 6.5, 6.0]))
        atoms = with_calculator(boxed)
        found = untrained_run().predict(boxed, precision=torch.float64, solver=Solver(tolerance=1e-9))
        assert_allclose(atoms.get_forces(), found.forces[0], rtol=0, atol=1e-7)
        assert np.abs(atoms.get_forces() - with_calculator().get_forces()).max() > 1e-3

    def test_in_a_slab_needs_no_third_vector(self):
        """A box vector along which nothing repeats may be anything, nothing included."""
        energies = []
        for third in (0.0, 40.0):
            atoms = with_calculator()
            atoms.cell, atoms.pbc = [7.0, 6.5, third], (True, True, False)
            energies.append(atoms.get_potential_energy())
        assert energies[0] == pytest.approx(energies[1], abs=1e-8)

    def test_in_single_precision_is_near(self):
        single, double = (with_calculator(precision=word, tolerance=1e-5) for word in ("single", "double"))
        assert_allclose(single.get_forces(), double.get_forces(), rtol=0, atol=1e-3)
        assert not np.array_equal(single.get_forces(), double.get_forces())

    def test_of_a_lone_atom_is_finite_and_feels_nothing(self):
        from ase import Atoms

        for box in ({}, {"cell": [20, 20, 20], "pbc": True}):
            atom = Atoms("O", **box, calculator=calculator(untrained_run()))
            assert np.isfinite(atom.get_potential_energy()) and not atom.get_forces().any()

    @pytest.mark.parametrize("changes", [{"direct": True}, {"depth": 2}], ids=["direct", "twin"])
    def test_of_every_kind_of_model(self, changes):
        atoms = frames()[0].to_ase()[0]
        atoms.calc = calculator(untrained_run(**changes), tolerance=1e-9)
        exact = untrained_run(**changes).predict(frames()[:1], precision=torch.float64, solver=Solver(tolerance=1e-9))
        assert_allclose(atoms.get_forces(), exact.forces[0], rtol=0, atol=1e-8)
        assert atoms.calc.history[0].adjoint_steps == 0


class TestHistory:
    def test_has_one_record_a_call(self):
        atoms = with_calculator(tolerance=1e-6)
        for step in range(3):
            atoms.positions += 0.01
            atoms.get_forces()
            atoms.get_potential_energy()  # known from the same call
            assert len(atoms.calc.history) == step + 1
        for record in atoms.calc.history:
            assert isinstance(record, SolverRecord)
            assert 0 <= record.residual <= 1e-6 and 0 <= record.adjoint_residual <= 1e-6
            assert record.steps >= 1 and record.adjoint_steps >= 1 and record.seconds > 0

    def test_says_what_was_cold(self):
        atoms = with_calculator()
        for _ in range(3):
            atoms.positions += 0.01
            atoms.get_forces()
        atoms.calc.reset()
        atoms.get_forces()
        assert [record.cold for record in atoms.calc.history] == [True, False, False, True]

    def test_of_a_failed_call_has_no_record(self):
        atoms = with_calculator(max_steps=2)
        with pytest.raises(NotConverged):
            atoms.get_forces()
        assert not atoms.calc.history


class TestReset:
    def test_gives_what_a_fresh_calculator_gives(self):
        atoms, fresh = with_calculator(tolerance=1e-3), with_calculator(tolerance=1e-3, frame=1)
        atoms.get_forces()
        atoms.positions = frames().positions[1]
        atoms.calc.reset()
        assert np.array_equal(atoms.get_forces(), fresh.get_forces())

    def test_a_warm_answer_differs_within_the_tolerance(self):
        """So that the test above sees something."""
        atoms, fresh = with_calculator(tolerance=1e-3), with_calculator(tolerance=1e-3)
        atoms.get_forces()
        for one in (atoms, fresh):
            one.positions += 0.003 * np.arange(27).reshape(9, 3) % 0.01
        assert not np.array_equal(atoms.get_forces(), fresh.get_forces())

    def test_two_systems_in_turn_share_nothing(self):
        """One calculator, ethanol and malonaldehyde: each answer is that of a calculator of its own, and cold."""
        shared = calculator(untrained_run(), tolerance=1e-9)
        systems = [frames()[0].to_ase()[0], frames("malonaldehyde")[0].to_ase()[0]]
        alone = [with_calculator(one).get_forces() for one in (frames(), frames("malonaldehyde"))]
        for turn in range(4):
            systems[turn % 2].calc = shared
            assert_allclose(systems[turn % 2].get_forces(), alone[turn % 2], rtol=0, atol=1e-8)
        assert [record.cold for record in shared.history] == [True] * 4

    def test_a_changed_order_of_atoms_starts_cold(self):
        atoms = with_calculator()
        forces = atoms.get_forces()
        order = np.arange(9)[::-1]
        turned = atoms[order]
        turned.calc = atoms.calc
        assert_allclose(turned.get_forces(), forces[order], rtol=0, atol=1e-8)
        assert [record.cold for record in atoms.calc.history] == [True, True]


class TestRefused:
    @pytest.mark.parametrize(("value", "atom"), [(np.nan, 3), (np.inf, 7)])
    def test_are_positions_that_are_not_numbers(self, value, atom):
        atoms = with_calculator()
        atoms.positions[atom, 1] = value
        with pytest.raises(
            InvalidTrajectory, match=f"position of atom {atom} is not a number. Look at the step before"
        ):
            atoms.get_forces()

    def test_is_a_periodic_system_without_a_box(self):
        atoms = with_calculator()
        atoms.pbc = True
        with pytest.raises(InvalidTrajectory, match="periodic along a box vector that is zero. Set the cell, or pbc"):
            atoms.get_forces()

    @pytest.mark.parametrize("n_molecules", [2, 3], ids=["uneven", "unequal"])
    def test_are_molecules_that_are_not_copies(self, n_molecules):
        with pytest.raises(
            InvalidSettings, match=f"Found 9 atoms for {n_molecules} molecules; a batch needs equal mol"
        ):
            with_calculator(n_molecules=n_molecules).get_forces()

    def test_is_a_batch_in_a_box(self):
        atoms = copies(0, 1)
        atoms.cell, atoms.pbc = [20, 20, 20], True
        atoms.calc = calculator(untrained_run(), n_molecules=2)
        with pytest.raises(InvalidSettings, match="Found 18 atoms in a box for 2 molecules"):
            atoms.get_forces()

    def test_is_no_molecule(self):
        with pytest.raises(InvalidSettings, match="n_molecules was 0; it must be at least 1"):
            with_calculator(n_molecules=0)

    def test_is_an_element_never_seen(self):
        atoms = with_calculator()
        atoms.numbers[2] = 16
        with pytest.raises(ModelMismatch, match="has never seen S; it has learnt from H, C, O"):
            atoms.get_forces()

    def test_are_atoms_on_top_of_each_other(self):
        atoms = with_calculator()
        atoms.positions[8] = atoms.positions[6]
        with pytest.raises(InvalidTrajectory, match="Atoms 6 and 8 of molecule 0 are 0 Å apart"):
            atoms.get_forces()

    def test_is_a_tolerance_beyond_single_precision(self):
        with pytest.raises(NotConverged, match="needed is 1e-13"):
            copy = copies(0, 1, 2)
            copy.calc = calculator(untrained_run(), n_molecules=3, precision="single", tolerance=1e-13)
            copy.get_forces()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"policy": "warm"}, "No warm start is called 'warm'"),
            ({"precision": "half"}, "precision was 'half'; it must be one of single, double"),
            ({"tolerance": 0.0}, "tolerance was 0.0; it must be above 0"),
            ({"max_steps": 0}, "max_steps was 0"),
        ],
        ids=str,
    )
    def test_are_options_outside_their_range(self, options, said):
        with pytest.raises(InvalidSettings, match=said):
            calculator(untrained_run(), **options)

    def test_bad_input_leaves_a_calculator_that_works(self):
        atoms = with_calculator()
        forces, places = atoms.get_forces(), atoms.positions.copy()
        atoms.positions[3] = np.nan
        with pytest.raises(AsteroidError):
            atoms.get_forces()
        atoms.positions = places
        assert np.array_equal(atoms.get_forces(), forces)
        assert atoms.calc.history[-1].cold


def test_settings_are_plain_values_for_records():
    told = settings_of(WarmForces(untrained_run(), policy="xl+recycle", tolerance=1e-4))
    assert told["policy"] == "xl+recycle"
    assert told["solver"]["method"] == "recycling" and told["solver"]["tolerance"] == 1e-4
