"""Gradients of the loss are those of a model unrolled until nothing changes, however the fixed point was found."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from small_force_field import LOOSE, ethanol, frames, untrained
from torch import Tensor
from torch.testing import assert_close

from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import ForceField, Prepared
from asteroid_nb.equilibrium.forces import fixed_point
from asteroid_nb.equilibrium.graph import graph
from asteroid_nb.equilibrium.matching import Batch, Watch, _slope_of, matching_loss, spectral_radius
from asteroid_nb.equilibrium.settings import ForceObjective
from asteroid_nb.errors import NotConverged

EXACT = Solver(tolerance=1e-13, max_steps=200)
EXACTLY = ForceObjective(energy_weight=4.0, forward=EXACT, backward=EXACT, contraction_weight=0.0)

#: Repetitions after which the untrained model has long come to rest.
LONG = 60

direct_or_not = pytest.mark.parametrize("direct", [False, True], ids=["energy", "direct"])


@functools.cache
def batch() -> Batch:
    """Return a frame of ethanol, and one whose last four atoms are missing; their labels are made up."""
    positions, numbers = ethanol(2)
    numbers = numbers.clone()
    numbers[1, 5:] = 0
    there = (numbers > 0).double()[..., None]
    forces = torch.tensor(frames().forces[:2], dtype=torch.float64) * there
    return Batch(positions * there, numbers, forces, torch.tensor([0.3, -0.2], dtype=torch.float64))


def trainable(**changes) -> ForceField:
    return copy.deepcopy(untrained(width=4, **changes)).requires_grad_()


def prepared(model: ForceField, places: Tensor | None = None) -> Prepared:
    given = batch().positions if places is None else places
    return model.prepare(graph(given, batch().atomic_numbers, cutoff_ang=5.0))


def loss_by_hand(energies: Tensor, forces: Tensor, energy_weight: float = 4.0) -> Tensor:
    """Return the loss of an energy scale of 1 eV: mean lengths of forces' errors, and of energies' per atom."""
    data = batch()
    there, n_atoms = data.atomic_numbers > 0, (data.atomic_numbers > 0).sum(1)
    lengths = ((forces - data.forces)[there].square().sum(-1) + 1e-6).sqrt()
    return lengths.mean() + energy_weight * ((energies - data.energies).abs() / n_atoms).mean()


def unrolled(model: ForceField) -> Tensor:
    """Return the loss of so many repetitions of f, every one differentiated, and differentiated twice."""
    places = batch().positions.clone().requires_grad_()
    ready = prepared(model, places)
    z = model.start(ready)
    for _ in range(LONG):
        z = model.f(z, ready)
    energies = model.interaction(z, ready.graph)
    if model.settings.direct:
        return loss_by_hand(energies, model.direct_forces(z, ready.graph))
    return loss_by_hand(energies, -torch.autograd.grad(energies.sum(), places, create_graph=True)[0])


def gradient(loss: Tensor, model: ForceField) -> Tensor:
    """Return the gradient in all weights as one vector."""
    parts = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def off(found: Tensor, reference: Tensor) -> float:
    return float((found - reference).norm() / reference.norm())


@functools.cache
def reference(direct: bool) -> tuple[Tensor, Tensor]:
    model = trainable(direct=direct)
    loss = unrolled(model)
    return loss.detach(), gradient(loss, model)


class TestImplicit:
    @direct_or_not
    def test_gradients_are_those_of_a_long_unrolled_model(self, direct):
        model = trainable(direct=direct)
        terms = matching_loss(model, batch(), EXACTLY)
        loss, exact = reference(direct)
        assert_close(terms["loss"].detach(), loss, rtol=0, atol=1e-10)
        assert exact.abs().max() > 1e-2
        assert off(gradient(terms["loss"], model), exact) < 1e-8

    @direct_or_not
    def test_gradients_at_the_tolerances_of_training_are_near(self, direct):
        model = trainable(direct=direct)
        usual = ForceObjective(energy_weight=4.0, contraction_weight=0.0)
        assert off(gradient(matching_loss(model, batch(), usual)["loss"], model), reference(direct)[1]) < 0.05

    @direct_or_not
    def test_weights_that_only_the_other_forces_use_are_left_alone(self, direct):
        model = trainable(direct=direct)
        loss = matching_loss(model, batch(), EXACTLY)["loss"]
        pushes = torch.autograd.grad(loss, model.pushes.weight, allow_unused=True)[0]
        assert (pushes is not None and bool(pushes.any())) == direct

    @direct_or_not
    def test_phantom_gradients_become_exact_with_their_terms(self, direct):
        errors = []
        for phantom_steps in (0, 4, 12, 50):
            model = trainable(direct=direct)
            phantom = EXACTLY.replace(gradients="phantom", phantom_steps=phantom_steps)
            loss = matching_loss(model, batch(), phantom)["loss"]
            errors.append(off(gradient(loss, model), reference(direct)[1]))
        assert errors[0] > 1e-3
        assert errors[0] > errors[1] > errors[2] > errors[3]
        assert errors[3] < 1e-6

    def test_an_unconverged_molecule_teaches_and_is_counted(self):
        model, watch = trainable(), Watch()
        short = EXACTLY.replace(forward=Solver(tolerance=1e-10, max_steps=3))
        loss = matching_loss(model, batch(), short, watch)["loss"]
        assert gradient(loss, model).isfinite().all()
        assert watch.read() == {"steps": 3.0, "adjoint_steps": 3.0, "unconverged": 1.0}
        assert watch.read() == {"steps": 0.0, "adjoint_steps": 0.0, "unconverged": 0.0}

    def test_a_state_that_is_not_a_number_is_never_learnt_from(self):
        model = trainable()
        with torch.no_grad():
            model.encoder.element.weight[6] = torch.nan
        with pytest.raises(NotConverged, match="for 2 of 2 molecules"):
            matching_loss(model, batch(), EXACTLY)


@pytest.mark.parametrize(
    "changes", [{}, {"depth": 3}, {"depth": 3, "direct": True}], ids=["energy", "twin", "direct twin"]
)
@pytest.mark.parametrize("name", ["encoder.radial.inner.weight", "blocks.0.send.0.weight", "energy.0.weight"])
def test_gradients_are_differences(changes, name):
    """One weight is moved: of the encoder, of the layer, of the read-out."""
    model = trainable(**changes)
    weight = model.get_parameter(name)
    ask = lambda: matching_loss(model, batch(), EXACTLY)["loss"]  # noqa: E731
    slope = float(torch.autograd.grad(ask(), weight)[0][1, 2])
    step, sides = 1e-5, []
    for sign in (1, -2):
        with torch.no_grad():
            weight[1, 2] += sign * step
        sides.append(float(ask().detach()))
    assert abs(slope) > 1e-5
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-9)


class TestContraction:
    weighed = EXACTLY.replace(contraction_weight=0.5, most_steps=1)

    @direct_or_not
    def test_is_added_where_solving_takes_long(self, direct):
        terms = matching_loss(trainable(direct=direct), batch(), self.weighed)
        expected = terms["force"] + 4.0 * terms["energy"] + 0.5 * terms["contraction"]
        assert float(terms["contraction"].detach()) > 1e-3
        assert_close(terms["loss"], expected, rtol=1e-12, atol=0)

    def test_is_not_there_where_solving_is_quick_or_its_weight_zero(self):
        for objective in (self.weighed.replace(most_steps=1000), EXACTLY.replace(most_steps=1)):
            assert set(matching_loss(trainable(), batch(), objective)) == {"loss", "force", "energy"}

    def test_can_be_differentiated(self):
        """Its gradient, at a fixed point held in place and in one random direction, is a difference."""
        model = trainable()
        ready = prepared(model)
        z = fixed_point(model, ready.detach(), EXACT).z.requires_grad_()
        weight = model.get_parameter("blocks.0.vectors.weight")

        def term() -> Tensor:
            torch.manual_seed(5)
            return _slope_of(model.f(z, ready), z)

        slope, step, sides = float(torch.autograd.grad(term(), weight)[0][1, 2]), 1e-5, []
        for sign in (1, -2):
            with torch.no_grad():
                weight[1, 2] += sign * step
            sides.append(float(term().detach()))
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)

    def test_is_the_mean_square_of_the_jacobian(self):
        model = trainable()
        ready = prepared(model)
        z = fixed_point(model, ready, EXACT).z.requires_grad_()
        jacobian = dense_jacobian(model, ready.detach(), z.detach())
        n = z.numel() / len(z)
        exact = float((jacobian**2).sum()) / (2 * n)
        estimates = [float(_slope_of(model.f(z, ready), z).detach()) for _ in range(200)]
        assert sum(estimates) / 200 == pytest.approx(exact, rel=0.1)


def dense_jacobian(model: ForceField, ready: Prepared, z: Tensor) -> Tensor:
    """Return ∂f/∂z of each molecule, [molecules, numbers, numbers]."""
    whole = torch.autograd.functional.jacobian(lambda state: model.f(state, ready), z, vectorize=True)
    n = z.numel() // len(z)
    return torch.stack([whole[row].reshape(n, len(z), n)[:, row] for row in range(len(z))])


def test_spectral_radius_is_that_of_the_dense_jacobian():
    model = untrained(width=4)
    ready = prepared(model)
    z = fixed_point(model, ready, EXACT).z
    exact = torch.linalg.eigvals(dense_jacobian(model, ready, z)).abs().amax(1)
    assert (exact[0] - exact[1]).abs() > 1e-3
    assert_close(spectral_radius(model, ready, z, n_steps=300), exact, rtol=1e-2, atol=0)
    assert_close(spectral_radius(model, ready, z), exact, rtol=0.1, atol=0)
    assert (exact < 1).all()


def test_a_backward_solve_that_gives_up_is_counted():
    watch, short = Watch(), LOOSE.replace(backward=Solver(tolerance=1e-8, max_steps=1))
    matching_loss(trainable(), batch(), short, watch)
    assert watch.read()["unconverged"] == 1.0
    matching_loss(trainable(), batch(), LOOSE, watch)
    assert watch.read()["unconverged"] == 0.0
