"""Energies and forces: space's symmetries, exactness against differences, and the same answer from every start."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_force_field import TIGHT, answer, ethanol, frames, learnt, untrained
from small_molecules import rotations
from torch import Tensor
from torch.testing import assert_close

from asteroid_nb.equilibrium.fixed_point import METHODS, Solver
from asteroid_nb.equilibrium.force_field import ForceField, n_parameters
from asteroid_nb.equilibrium.forces import Answer, Start, evaluate, fixed_point
from asteroid_nb.equilibrium.graph import graph

CLOSE = {"rtol": 0, "atol": 1e-10}

KINDS = {"energy": {}, "direct": {"direct": True}, "twin": {"depth": 3}, "direct twin": {"depth": 2, "direct": True}}
every = pytest.mark.parametrize("kind", KINDS)


def both(positions: Tensor, numbers: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    found = answer(positions, numbers, **KINDS[kind])
    return found.energies, found.forces


class TestSpace:
    @every
    @pytest.mark.parametrize("sign", [1.0, -1.0], ids=["rotation", "reflection"])
    def test_forces_turn_with_the_molecule(self, kind, sign):
        positions, numbers = ethanol()
        turn = sign * torch.tensor(rotations(1, seed=3)[0])
        energies, forces = both(positions, numbers, kind)
        turned = both(positions @ turn.T, numbers, kind)
        assert forces.abs().max() > 1e-3
        assert_close(turned[0], energies, **CLOSE)
        assert_close(turned[1], forces @ turn.T, **CLOSE)

    @every
    def test_the_place_does_not_matter(self, kind):
        positions, numbers = ethanol()
        for moved, still in zip(both(positions + 7.3, numbers, kind), both(positions, numbers, kind), strict=True):
            assert_close(moved, still, **CLOSE)

    @every
    def test_the_order_of_atoms_does_not_matter(self, kind):
        positions, numbers = ethanol()
        order = torch.randperm(9)
        energies, forces = both(positions, numbers, kind)
        other = both(positions[:, order], numbers[:, order], kind)
        assert_close(other[0], energies, **CLOSE)
        assert_close(other[1], forces[:, order], **CLOSE)

    @every
    def test_companions_do_not_matter(self, kind):
        positions, numbers = ethanol(3)
        together = both(positions, numbers, kind)
        for row in range(3):
            alone = both(positions[[row]], numbers[[row]], kind)
            for one, other in zip(together, alone, strict=True):
                assert_close(one[[row]], other, **CLOSE)

    @every
    def test_elements_do_matter(self, kind):
        positions, numbers = ethanol()
        swapped = numbers.clone()
        swapped[0, [1, 2]] = numbers[0, [2, 1]]
        assert (both(positions, numbers, kind)[0] - both(positions, swapped, kind)[0]).abs().min() > 1e-6


class TestExact:
    @pytest.mark.parametrize("kind", ["energy", "twin"])
    def test_forces_are_the_slope_of_the_energy(self, kind):
        positions, numbers = ethanol()
        forces = both(positions, numbers, kind)[1]
        step = 1e-4
        moved = positions + step * torch.eye(27, dtype=torch.float64).view(27, 9, 3)
        there = both(moved, numbers.expand(27, -1), kind)[0]
        back = both(2 * positions - moved, numbers.expand(27, -1), kind)[0]
        assert_close((back - there) / (2 * step), forces.flatten(), rtol=0, atol=1e-6 * float(forces.abs().max()))

    @pytest.mark.parametrize("kind", ["energy", "twin"])
    def test_forces_neither_push_nor_turn_the_molecule(self, kind):
        positions, numbers = ethanol(2)
        forces = both(positions, numbers, kind)[1]
        assert forces.sum(1).abs().max() < 1e-10
        assert torch.linalg.cross(positions, forces).sum(1).abs().max() < 1e-10

    @pytest.mark.parametrize("kind", ["direct", "direct twin"])
    def test_direct_forces_do_not_push_but_turn(self, kind):
        positions, numbers = ethanol(2)
        forces = both(positions, numbers, kind)[1]
        assert forces.sum(1).abs().max() < 1e-10
        assert torch.linalg.cross(positions, forces).sum(1).abs().max() > 1e-4

    def test_an_energy_of_an_unfinished_state_errs_in_second_order_only(self):
        """Ten times the residual is a hundred times the error; without the multiplier's term it would be ten times."""
        positions, numbers = ethanol()
        exact = answer(positions, numbers).energies
        residuals, errors, plain = [], [], []
        for max_steps in range(4, 14):
            found = _after(positions, numbers, max_steps)
            assert found.z is not None
            residuals.append(float(found.z.residual))
            errors.append(float((found.energies - exact).abs()))
            plain.append(float((untrained().interaction(found.z.z, edges(positions, numbers)) - exact).abs()))
        assert slope(residuals, errors) == pytest.approx(2.0, abs=0.3)
        assert slope(residuals, plain) == pytest.approx(1.0, abs=0.3)

    def test_forces_at_a_loose_tolerance_are_near(self):
        positions, numbers = ethanol(4)
        exact, loose = (answer(positions, numbers, solver=one).forces for one in (TIGHT, Solver(tolerance=1e-3)))
        assert 1e-6 < float((loose - exact).norm() / exact.norm()) < 1e-2


def edges(positions: Tensor, numbers: Tensor):
    return graph(positions, numbers, cutoff_ang=5.0)


def _after(positions: Tensor, numbers: Tensor, n_steps: int) -> Answer:
    """Return the answer after so many repetitions of f and of the adjoint's map: their tolerance is just met then."""
    model = untrained()
    repeat = Solver(method="picard", tolerance=1e-14, max_steps=n_steps)
    reached = fixed_point(model, model.prepare(edges(positions, numbers)), repeat, strict=False).residual
    just = dataclasses.replace(repeat, tolerance=float(reached) * 1.001)
    return evaluate(model, positions, numbers, solver=just, adjoint_solver=dataclasses.replace(just, max_steps=200))


def slope(x: list[float], y: list[float]) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


class TestStart:
    """Figure A1: the fixed point is one, and it is reached from everywhere."""

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("trained", [True, False], ids=["trained", "untrained"])
    def test_does_not_matter(self, method, trained):
        model = learnt().copy_of_model(precision=torch.float64) if trained else untrained()
        positions, numbers = ethanol(4)
        prepared = model.prepare(edges(positions, numbers))
        last = fixed_point(model, model.prepare(edges(positions.roll(1, 0), numbers)), TIGHT).z
        starts = (torch.zeros_like(last), torch.randn_like(last), last)
        solver = Solver(method=method, tolerance=1e-6, max_steps=60)
        found = [fixed_point(model, prepared, solver, Start(z=start)) for start in starts]
        for one in found:
            assert float(one.residual.max()) <= 1e-6
            assert float((one.z - found[0].z).norm() / one.z.norm()) < 1e-4

    def test_at_the_answer_takes_one_step(self):
        positions, numbers = ethanol(2)
        found = answer(positions, numbers)
        assert found.z is not None and found.adjoint is not None
        solver = Solver(tolerance=1e-9)
        again = evaluate(
            untrained(), positions, numbers, solver=solver, start=Start(z=found.z.z, adjoint=found.adjoint.z)
        )
        assert again.z is not None and again.adjoint is not None
        assert again.z.n_evaluations == again.adjoint.n_evaluations == 1
        assert_close(again.forces, found.forces, rtol=0, atol=1e-8)

    def test_each_of_both_points_has_its_own_tolerance(self):
        positions, numbers = ethanol()
        loose = Solver(tolerance=1e-2)
        found = evaluate(untrained(), positions, numbers, solver=TIGHT, adjoint_solver=loose)
        assert found.z is not None and found.adjoint is not None
        assert float(found.z.residual) <= 1e-13 and 1e-13 < float(found.adjoint.residual) <= 1e-2
        assert found.adjoint.n_evaluations < answer(positions, numbers).adjoint.n_evaluations  # type: ignore[union-attr]


class TestTwin:
    def test_solves_nothing(self):
        found = answer(*ethanol(), depth=3)
        assert found.z is None and found.adjoint is None

    def test_direct_forces_need_no_adjoint(self):
        found = answer(*ethanol(), direct=True)
        assert found.z is not None and found.adjoint is None

    def test_of_one_set_of_weights_nears_the_equilibrium(self):
        """A stack whose blocks are all the equilibrium's is that many repetitions from zero."""
        deep, model = ForceField(untrained(depth=40).settings).double(), untrained()
        own = model.state_dict()
        deep.load_state_dict({name: own[shared(name)] for name in deep.state_dict()})
        found = evaluate(deep, *ethanol(), solver=TIGHT)
        assert_close(found.energies, answer(*ethanol()).energies, rtol=0, atol=1e-8)
        assert_close(found.forces, answer(*ethanol()).forces, rtol=0, atol=1e-7)

    def test_has_as_many_blocks_of_weights_as_its_depth(self):
        one, two, three = (n_parameters(untrained(depth=depth).settings) for depth in (1, 2, 3))
        assert three - two == two - one > 0
        assert n_parameters(untrained().settings) == one
        assert one == sum(weight.numel() for weight in untrained().parameters())


def shared(name: str) -> str:
    """Return the name of a block's weight in a model of one block."""
    parts = name.split(".")
    return ".".join([parts[0], "0", *parts[2:]]) if parts[0] == "blocks" else name


def test_nothing_of_the_answer_can_be_differentiated():
    for kind in KINDS.values():
        model = ForceField(untrained(**kind).settings).double()
        found = evaluate(model, *ethanol(), solver=TIGHT)
        points = [one.z for one in (found.z, found.adjoint) if one is not None]
        assert not any(one.requires_grad for one in (found.energies, found.forces, *points))


def test_single_precision_is_near_double():
    positions, numbers = ethanol(3)
    model = learnt().copy_of_model()
    found = evaluate(model, positions.float(), numbers, solver=Solver(tolerance=1e-5))
    exact = evaluate(learnt().copy_of_model(precision=torch.float64), positions, numbers, solver=TIGHT)
    assert found.forces.dtype == torch.float32
    assert float((found.forces - exact.forces).norm() / exact.forces.norm()) < 1e-3
    assert frames().n_atoms == found.forces.shape[1]
