"""Dynamics on a force field: the energy stays, velocities go on, walkers are alone, and what ends early is kept."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from small_force_field import frames, learnt, untrained_run

from asteroid_nb import units
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import calculator
from asteroid_nb.equilibrium.md import run_md
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, NotConverged, SimulationFailed

#: meV per atom, of a whole energy; the run of `TestEnergy` at 0.5 fs varies by a third of it.
LARGEST_SPREAD = 0.9

TIGHTLY = {"policy": "linear+recycle", "tolerance": 1e-10}


def moved(n_frames: int = 4, molecule: Any = None, **options: Any) -> Any:
    """Return a short run of ethanol, at rest unless a temperature is given."""
    options = {"run": untrained_run(), "progress": False, "tolerance": 1e-9} | options
    if "calculator" in options:
        del options["tolerance"]
    return run_md(options.pop("run"), frames()[0] if molecule is None else molecule, n_frames=n_frames, **options)


def kinetic_eV(trajectory: Trajectory) -> np.ndarray:
    assert trajectory.velocities is not None
    squares = np.square(np.asarray(trajectory.velocities, dtype=float)).sum(-1)
    return 0.5 * units.EV_PER_AMU_ANG2_PER_FS2 * squares @ trajectory.masses


def shaken(calculating: Any, at_call: int, do: Any) -> Any:
    """Return the calculator, which does something before its n-th answer."""
    calls, original = [], calculating.solves

    class Shaken:
        def __getattr__(self, name: str) -> Any:
            return getattr(original, name)

        def __call__(self, *given: Any, **options: Any) -> Any:
            calls.append(None)
            if len(calls) == at_call:
                do()
            return original(*given, **options)

    calculating.solves = Shaken()
    return calculating


class TestTrajectory:
    def test_holds_what_moved_it(self):
        run = moved(5, temperature_K=300.0, timestep_fs=0.5, dt_fs=1.0)
        assert isinstance(run, Trajectory) and run.n_frames == 5 and run.dt_fs == 1.0
        predicted = untrained_run().predict(run, solver=dataclasses.replace(untrained_run().solver, tolerance=1e-5))
        assert_allclose(run.forces, predicted.forces, atol=1e-4)
        assert_allclose(run.energies, predicted.energies, atol=1e-4)
        assert np.array_equal(run.positions[0], np.asarray(frames().positions[0], dtype=float))
        assert np.array_equal(run.masses, frames().masses) and run.same_atoms(frames())

    def test_obeys_newton(self):
        run = moved(9, temperature_K=300.0, run=learnt())
        assert run.velocities is not None and run.forces is not None
        between = (run.positions[2:] - run.positions[:-2]) / (2 * run.dt_fs)
        assert_allclose(run.velocities[1:-1], between, atol=1e-9)  # of velocity Verlet this is exact
        bent = (run.positions[2:] - 2 * run.positions[1:-1] + run.positions[:-2]) / run.dt_fs**2
        newton = run.forces[1:-1] / (run.masses[:, None] * units.EV_PER_AMU_ANG2_PER_FS2)
        assert_allclose(bent, newton, atol=1e-9)
        assert np.abs(newton).max() > 1e-4

    def test_says_how_it_was_made(self):
        run = moved(3, temperature_K=300.0, seed=5, policy="xl")
        told = json.loads(json.dumps(dict(run.provenance)))
        assert told["policy"] == "xl" and told["seed"] == 5 and told["ensemble"] == "nve" and told["finished"]
        assert told["force_field"]["width"] == 8
        assert told["solver_work"]["calls"] == 3 and told["solver_work"]["cold_calls"] == 1
        assert told["solver_work"]["mean_steps"] > 1 and run.name == "ethanol walker 0, force field"

    def test_of_a_calculator_that_knows_the_answer_already_is_told(self):
        known = calculator(untrained_run())
        first, again = (moved(1, calculator=known) for _ in range(2))
        assert again.provenance["solver_work"]["calls"] == 0 and len(known.history) == 1
        assert np.array_equal(first.forces, again.forces)

    @pytest.mark.parametrize("molecule", ["ethanol", "atoms"])
    def test_starts_from_a_name_or_from_atoms(self, molecule):
        given = frames()[0].to_ase()[0] if molecule == "atoms" else molecule
        run = moved(2, given)
        assert run.n_atoms == 9 and not run.velocities[0].any()

    def test_keeps_a_box(self):
        boxed = frames()[0].replace(cell=7 * np.eye(3))
        run = moved(3, boxed, temperature_K=300.0)
        assert run.cell is not None and run.cell.shape == (3, 3, 3)
        assert np.abs(run.forces[0] - moved(1).forces[0]).max() > 1e-4


class TestEnergy:
    def spread(self, timestep_fs: float, **options: Any) -> float:
        """Return by how much the whole energy varies in 15 fs, in meV per atom."""
        n_frames = 1 + round(15 / timestep_fs)
        run = moved(n_frames, run=learnt(), temperature_K=300.0, timestep_fs=timestep_fs, **(TIGHTLY | options))
        assert run.energies is not None
        whole = run.energies + kinetic_eV(run)
        return 1000 * float(np.ptp(whole)) / run.n_atoms

    def test_is_kept_but_for_the_time_step(self):
        """Velocity Verlet's error falls with the square of its step: what is left is not the force field's."""
        coarse, fine = (self.spread(timestep_fs) for timestep_fs in (0.5, 0.25))
        assert coarse < LARGEST_SPREAD
        assert coarse / fine == pytest.approx(4.0, rel=0.25)

    def test_momentum_and_angular_momentum_are_kept(self):
        run = moved(20, run=learnt(), temperature_K=300.0, **TIGHTLY)
        assert run.velocities is not None
        momenta = run.masses[:, None] * run.velocities
        turns = np.cross(run.positions, momenta).sum(1)
        assert np.abs(momenta.sum(1)).max() < 1e-9
        assert np.abs(turns).max() < 1e-8
        assert np.abs(momenta).max() > 1e-3

    def test_can_be_run_backwards(self):
        """With all velocities turned round, a tightly solved run returns to where it came from."""
        there = moved(12, run=learnt(), temperature_K=300.0, **TIGHTLY)
        assert there.velocities is not None
        turned = there[-1].replace(velocities=-np.asarray(there.velocities[-1:]))
        back = moved(12, turned, run=learnt(), **TIGHTLY)
        assert_allclose(back.positions[-1], there.positions[0], rtol=0, atol=1e-9)


class TestVelocities:
    def test_of_a_trajectory_go_on(self):
        whole = moved(9, temperature_K=300.0, tolerance=1e-11)
        first = moved(5, temperature_K=300.0, tolerance=1e-11)
        rest = moved(5, first, tolerance=1e-11)
        for name in ("positions", "velocities", "forces"):
            assert_allclose(getattr(rest, name)[0], getattr(first, name)[-1], rtol=0, atol=1e-9)
            assert_allclose(getattr(rest, name), getattr(whole, name)[4:], rtol=0, atol=1e-8)

    def test_are_drawn_by_the_seed_and_have_the_temperature(self):
        one, same, other = (moved(1, temperature_K=400.0, seed=seed) for seed in (0, 0, 1))
        assert np.array_equal(one.velocities, same.velocities)
        assert not np.allclose(one.velocities, other.velocities)
        many = moved(1, temperature_K=400.0, n_walkers=200, policy="cold", tolerance=1e-2)
        kinetic = np.mean([kinetic_eV(walker)[0] for walker in many])
        free = 3 * 9 - 6  # neither drift nor turn
        assert 2 * kinetic / (free * units.BOLTZMANN_EV_PER_K) == pytest.approx(400.0, rel=0.08)

    def test_are_those_of_the_molecule_without_a_temperature(self):
        speeds = np.full((1, 9, 3), 0.001)
        assert_allclose(moved(1, frames()[0].replace(velocities=speeds)).velocities, speeds, rtol=1e-12)


class TestWalkers:
    def test_in_one_batch_are_those_alone(self):
        together = moved(12, temperature_K=300.0, n_walkers=3, run=learnt(), tolerance=1e-11)
        assert len({walker.name for walker in together}) == 3
        for walker in together:
            alone = moved(12, walker[0], run=learnt(), tolerance=1e-11)
            for name in ("positions", "velocities", "forces", "energies"):
                assert_allclose(getattr(alone, name), getattr(walker, name), rtol=0, atol=1e-8)
        assert not np.allclose(together[0].positions[-1], together[1].positions[-1], atol=1e-3)

    def test_do_not_fit_in_a_box(self):
        with pytest.raises(InvalidSettings, match="n_walkers was 2; it must be 1 in a box"):
            moved(2, frames()[0].replace(cell=9 * np.eye(3)), n_walkers=2)


class TestLangevin:
    def run(self, seed: int, **options: Any) -> Trajectory:
        return moved(8, ensemble="langevin", temperature_K=300.0, seed=seed, tolerance=1e-5, **options)

    def test_is_the_same_of_the_same_seed(self):
        one, same, other = (self.run(seed) for seed in (0, 0, 1))
        assert np.array_equal(one.positions, same.positions)
        assert not np.allclose(one.positions[-1], other.positions[-1], atol=1e-4)

    def test_heats_what_is_at_rest(self):
        """The molecule's own velocities are zero; only the thermostat moves it."""
        still = frames()[0].replace(velocities=np.zeros((1, 9, 3)))
        atoms = still.to_ase()[0]
        warm = self.run(0, molecule=atoms, friction_per_fs=0.2)
        cool = moved(8, atoms)
        assert kinetic_eV(warm)[-1] > 3 * kinetic_eV(cool)[-1]


class TestEndedEarly:
    def test_by_ctrl_c_it_returns_the_frames_so_far_and_goes_on_from_there(self):
        calm, whole = {"temperature_K": 300.0, "tolerance": 1e-11}, {"tolerance": 1e-11}
        stopping = calculator(untrained_run(), **whole)
        shaken(stopping, 4, lambda: os.kill(os.getpid(), signal.SIGINT))
        first = moved(9, temperature_K=300.0, calculator=stopping)
        assert first.n_frames == 4 and not first.provenance["finished"]
        rest = moved(6, first, **whole)
        assert_allclose(rest.positions[-1], moved(9, **calm).positions[-1], rtol=0, atol=1e-8)

    def test_twice_ctrl_c_ends_at_once(self):
        def twice() -> None:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

        before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
        with pytest.raises(KeyboardInterrupt):
            moved(9, calculator=shaken(calculator(untrained_run()), 3, twice))
        assert signal.getsignal(signal.SIGINT) is before

    def test_by_a_solver_that_fails_it_hands_over_the_frames_before(self):
        def fail() -> None:
            raise NotConverged("The fixed point of z was not reached.")

        with pytest.raises(
            SimulationFailed, match=r"ended 1 fs after its start: The fixed point.*smaller tol"
        ) as caught:
            moved(9, calculator=shaken(calculator(untrained_run()), 4, fail), temperature_K=300.0)
        kept = caught.value.trajectory  # type: ignore[attr-defined]
        assert kept.n_frames == 3 and not kept.provenance["finished"]
        assert_allclose(kept.positions, moved(3, temperature_K=300.0, tolerance=3e-4).positions, rtol=0, atol=1e-9)

    def test_at_its_first_step_there_is_nothing_to_hand_over(self):
        with pytest.raises(SimulationFailed, match="ended 0 fs after its start") as caught:
            moved(9, max_steps=1)
        assert caught.value.trajectory is None  # type: ignore[attr-defined]

    def test_of_several_walkers_all_are_handed_over(self):
        def fail() -> None:
            raise InvalidTrajectory("Atoms 0 and 1 of molecule 1 are 0.1 Å apart.")

        failing = shaken(calculator(untrained_run(), n_molecules=2), 3, fail)
        with pytest.raises(SimulationFailed, match="Atoms 0 and 1 of molecule 1") as caught:
            moved(9, calculator=failing, n_walkers=2, temperature_K=300.0)
        assert [one.n_frames for one in caught.value.trajectory] == [2, 2]  # type: ignore[attr-defined]

    def test_by_atoms_that_run_into_each_other_it_says_which(self):
        """The hydroxyl's hydrogen is thrown at its oxygen, where it arrives with the first step."""
        speeds = np.zeros((1, 9, 3))
        speeds[0, 8] = (frames().positions[0, 2] - frames().positions[0, 8]) / 0.5
        with pytest.raises(SimulationFailed, match=r"ended 0 fs after .*Atoms 2 and 8 of molecule 0 are") as caught:
            moved(9, frames()[0].replace(velocities=speeds), timestep_fs=0.5)
        assert caught.value.trajectory.n_frames == 1  # type: ignore[attr-defined]

    def test_a_molecule_that_breaks_flies_on(self):
        """Far too hot: its atoms part, feel nothing any more, and the answer is finite and complete."""
        run = moved(60, temperature_K=1e6, timestep_fs=1.0, tolerance=1e-3)
        assert run.n_frames == 60 and run.provenance["finished"]
        assert not run.forces[-1].any() and np.isfinite(run.energies).all()
        assert run.energies[-1] == pytest.approx(run.energies[-2], abs=1e-9)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"ensemble": "npt"}, "ensemble was 'npt' with temperature_K None; needed is 'nve', or 'langevin'"),
            ({"ensemble": "langevin"}, "'langevin' with temperature_K None"),
            ({"timestep_fs": 0.0}, "timestep_fs was 0.0, n_frames 4; both must be positive"),
            ({"n_frames": 0}, "n_frames 0; both must be positive"),
            ({"timestep_fs": 0.5, "dt_fs": 0.7}, "dt_fs 0.7 is 1.4 steps of 0.5 fs; it must be a whole number"),
            ({"timestep_fs": 0.5, "dt_fs": 0.2}, "must be a whole number"),
            ({"n_walkers": 0}, "n_walkers was 0"),
            ({"policy": "warm"}, "No warm start is called 'warm'"),
        ],
        ids=str,
    )
    def test_are_options_that_do_not_fit(self, options, said):
        with pytest.raises(InvalidSettings, match=said):
            moved(**options)

    def test_are_options_beside_a_calculator(self):
        given = calculator(untrained_run())
        with pytest.raises(InvalidSettings, match="given, for 1 molecules; 1 walkers and policy were asked for"):
            moved(calculator=given, policy="xl")
        with pytest.raises(InvalidSettings, match="for 1 molecules; 2 walkers and no options"):
            moved(calculator=given, n_walkers=2)

    def test_is_an_element_never_seen(self):
        with pytest.raises(ModelMismatch, match="has never seen N"):
            moved(molecule="NH3")
