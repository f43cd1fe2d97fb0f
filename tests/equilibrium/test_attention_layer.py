"""The attention layer obeys space: rotations, reflections, neighbours that come and go; and it comes to rest."""

from __future__ import annotations

import functools

import pytest
import torch
from small_molecules import ETHANOL_ANG, ETHANOL_NUMBERS, rotations
from torch import Tensor
from torch.testing import assert_close

import asteroid_nb as anb
from asteroid_nb.equilibrium.attention import attention, highest
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import ForceField, n_parameters, spherical_harmonics
from asteroid_nb.equilibrium.forces import evaluate, fixed_point
from asteroid_nb.equilibrium.graph import Graph, graph
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.equilibrium.tensor_products import DegreeLinear, HarmonicProduct, paths

TIGHT = Solver(tolerance=1e-13, max_steps=200)
CLOSE = {"rtol": 0, "atol": 1e-10}

ethanol = torch.tensor(ETHANOL_ANG)
numbers = torch.tensor(ETHANOL_NUMBERS)


@functools.cache
def model(l_max: int = 2, depth: int = 0, cutoff_ang: float = 5.0) -> ForceField:
    torch.manual_seed(1)
    settings = ForceFieldSettings(
        layer="attention", l_max=l_max, width=8, heads=2, n_radial=6, depth=depth, cutoff_ang=cutoff_ang
    )
    return ForceField(settings).double()


def answer(positions: Tensor, atomic_numbers: Tensor = numbers, **changes) -> tuple[Tensor, Tensor]:
    """Return the energy and forces of one molecule, or of a batch."""
    many = positions if positions.ndim == 3 else positions[None]
    found = evaluate(model(**changes), many, atomic_numbers.expand(many.shape[:2]), solver=TIGHT)
    return (found.energies, found.forces) if positions.ndim == 3 else (found.energies[0], found.forces[0])


@pytest.fixture(params=[1, 2, 3])
def l_max(request) -> int:
    return request.param


@pytest.fixture(params=[0, 4], ids=["equilibrium", "twin"])
def depth(request) -> int:
    return request.param


class TestSpace:
    @pytest.mark.parametrize("sign", [1.0, -1.0], ids=["rotation", "reflection"])
    def test_forces_turn_with_the_molecule(self, l_max, depth, sign):
        turn = sign * torch.tensor(rotations(1, seed=3)[0])
        energy, forces = answer(ethanol, l_max=l_max, depth=depth)
        turned_energy, turned_forces = answer(ethanol @ turn.T, l_max=l_max, depth=depth)
        assert forces.abs().max() > 1e-3
        assert_close(turned_energy, energy, **CLOSE)
        assert_close(turned_forces, forces @ turn.T, **CLOSE)

    def test_the_place_does_not_matter(self, l_max):
        for moved, still in zip(answer(ethanol + 7.3, l_max=l_max), answer(ethanol, l_max=l_max), strict=True):
            assert_close(moved, still, **CLOSE)

    def test_the_order_of_atoms_does_not_matter(self, l_max, depth):
        order = torch.randperm(9)
        energy, forces = answer(ethanol, l_max=l_max, depth=depth)
        other_energy, other_forces = answer(ethanol[order], numbers[order], l_max=l_max, depth=depth)
        assert_close(other_energy, energy, **CLOSE)
        assert_close(other_forces, forces[order], **CLOSE)

    def test_companions_and_padding_are_invisible(self, l_max, depth):
        positions, atomic_numbers = (
            torch.randn(3, 12, 3, dtype=torch.float64) * 3,
            torch.zeros(3, 12, dtype=torch.int64),
        )
        positions[0, :9], atomic_numbers[0, :9] = ethanol, numbers
        positions[1, :9], atomic_numbers[1, :9] = 1.05 * ethanol, numbers
        positions[2, :5], atomic_numbers[2, :5] = ethanol[:5], numbers[:5]
        energies, forces = answer(positions, atomic_numbers, l_max=l_max, depth=depth)
        energy, alone = answer(ethanol, l_max=l_max, depth=depth)
        assert_close(energies[0], energy, **CLOSE)
        assert_close(forces[0, :9], alone, **CLOSE)
        assert not forces[atomic_numbers == 0].any()

    def test_what_fills_up_a_batch_stays_zero(self):
        padded = torch.cat([numbers[:5], numbers.new_zeros(4)])[None]
        field = model()
        z = fixed_point(field, field.prepare(graph(ethanol[None], padded, cutoff_ang=5.0)), TIGHT).z
        assert z[0, :5].abs().amin() > 0
        assert not z[0, 5:].any()

    def test_one_product_for_each_allowed_path(self, l_max):
        assert len(paths(l_max)) == {1: 4, 2: 11, 3: 23}[l_max]
        assert all(sum(path) % 2 == 0 for path in paths(l_max))


class TestEdges:
    def test_all_pairs_and_a_list_agree(self, l_max, depth):
        field, answers = model(l_max, depth, cutoff_ang=2.5), []
        padded = torch.cat([numbers[:7], numbers.new_zeros(2)])
        for dense in (True, False):
            positions = torch.stack([ethanol, ethanol * 1.1]).requires_grad_()
            prepared = field.prepare(graph(positions, torch.stack([numbers, padded]), cutoff_ang=2.5, dense=dense))
            z = field.stacked(prepared) if depth else field.f(prepared.inputs, prepared)
            answers += [(z, torch.autograd.grad(z.square().sum(), positions)[0])]
        for one, other in zip(*answers, strict=True):
            assert_close(one, other, **CLOSE)

    def test_forces_are_the_slope_of_the_energy(self, l_max, depth):
        _, forces = answer(ethanol, l_max=l_max, depth=depth)
        step, direction = 1e-4, torch.randn(9, 3, dtype=torch.float64)
        there, back = (answer(ethanol + way * step * direction, l_max=l_max, depth=depth)[0] for way in (1, -1))
        assert_close((back - there) / (2 * step), (forces * direction).sum(), rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("dense", [True, False], ids=["pairs", "list"])
    def test_the_last_neighbour_leaves_smoothly(self, dense):
        inside, outside = (_at_distance(5.0 + shift, dense) for shift in (-1e-4, 1e-4))
        far_inside = _at_distance(4.0, dense)
        for near, beyond, far in zip(inside, outside, far_inside, strict=True):
            assert (near - beyond).abs().max() < 1e-9
            assert (far - beyond).abs().max() > 1e-6

    @pytest.mark.parametrize("dense", [True, False], ids=["pairs", "list"])
    def test_a_lone_atom_is_finite(self, dense):
        positions = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
        field = model()
        prepared = field.prepare(graph(positions, torch.tensor([[8]]), cutoff_ang=5.0, dense=dense))
        z = field.f(prepared.inputs, prepared)
        assert z.isfinite().all() and z[:, :, 0].any()
        assert not torch.autograd.grad(z.sum(), positions)[0].any()


def _at_distance(distance_ang: float, dense: bool) -> tuple[Tensor, Tensor]:
    """Return the energy and forces of two atoms by two applications of the layer, one block each."""
    positions = torch.tensor([[[0.0, 0.0, 0.0], [0.6, 0.0, 0.8]]], dtype=torch.float64)
    positions = (positions * distance_ang).requires_grad_()
    field = model(depth=2)
    edges = graph(positions, torch.tensor([[8, 1]]), cutoff_ang=5.0, dense=dense)
    energy = field.interaction(field.stacked(field.prepare(edges)), edges).sum()
    return energy.detach(), torch.autograd.grad(energy, positions)[0]


class TestAttention:
    @pytest.fixture(params=[True, False], ids=["pairs", "list"])
    def edges(self, request) -> Graph:
        return graph(ethanol[None], numbers[None], cutoff_ang=3.0, dense=request.param)

    def test_shares_add_up_and_nobody_has_one_of_score_zero(self, edges):
        score = torch.randn(*edges.lengths.shape, 2, dtype=torch.float64)
        shares = attention(score, edges.switch[..., None], edges)
        strength = edges.at_targets(edges.switch[..., None] * score.exp())
        assert_close(edges.at_targets(shares), strength / (1 + strength))
        assert (shares >= 0).all() and not shares[edges.switch == 0].any()

    def test_huge_scores_are_harmless(self, edges):
        score = 1e4 * torch.randn(*edges.lengths.shape, 2, dtype=torch.float64)
        score.requires_grad_()
        shares = attention(score, edges.switch[..., None], edges)
        slope = torch.autograd.grad((shares**2).sum(), score)[0]
        assert shares.isfinite().all() and slope.isfinite().all()
        assert (edges.at_targets(shares) <= 1 + 1e-12).all()

    def test_the_highest_score_of_each_target(self, edges):
        score = torch.randn(*edges.lengths.shape, 2, dtype=torch.float64)
        score = score.masked_fill(edges.switch[..., None] == 0, -torch.inf)
        there = edges.switch > 0
        target = torch.arange(9)[:, None].expand(9, 9)[None] if edges.target is None else edges.target
        expected = [score[there & (target == atom)].amax(0).clamp_min(0) for atom in range(9)]
        assert_close(highest(score, edges)[0], torch.stack(expected), rtol=0, atol=0)


class TestProducts:
    def test_products_of_unit_features_have_unit_size(self):
        settings = ForceFieldSettings(layer="attention", l_max=2)
        directions = torch.nn.functional.normalize(torch.randn(4000, 3, dtype=torch.float64), dim=-1)
        harmonics = _harmonics(directions)
        matrices = HarmonicProduct(settings)(torch.randn(4000, 11, 1, dtype=torch.float64), harmonics)[:, 0]
        features = torch.randn(4000, 9, 1, dtype=torch.float64)
        sizes = (matrices @ features)[..., 0].square().mean(0)
        assert_close(sizes, torch.ones(9, dtype=torch.float64), rtol=0, atol=0.15)

    def test_a_scalar_times_an_edge_is_a_vector_along_it(self):
        settings = ForceFieldSettings(layer="attention", l_max=1)
        weights = torch.tensor([float(path == (0, 1, 1)) for path in paths(1)], dtype=torch.float64)
        harmonics = torch.tensor([1.0, 0.36, 0.48, 0.8], dtype=torch.float64)
        matrix = HarmonicProduct(settings)(weights[:, None], harmonics)[0]
        assert_close(matrix[1:, 0] / matrix[3, 0] * 0.8, harmonics[1:])
        assert not matrix[0].any() and not matrix[:, 1:].any()

    def test_degrees_stay_apart(self):
        linear = DegreeLinear(ForceFieldSettings(layer="attention", l_max=2, width=4))
        with torch.no_grad():
            state = torch.randn(2, 5, 9, 4)
            changed = state.clone()
            changed[:, :, 1:4] += 1.0
            difference = (linear(changed) - linear(state)).abs().amax((0, 1, 3))
            assert_close(linear(state)[1, 2, 5], state[1, 2, 5] @ linear.weight[2])
        assert (difference[1:4] > 0.1).all()
        assert difference[0] == 0 and not difference[4:].any()

    def test_a_model_back_in_double_precision_is_as_equivariant_as_before(self):
        product = model().layers[0].product
        before = product.bits.clone()
        assert_close(product.float().double().bits, before, rtol=0, atol=0)


def _harmonics(directions: Tensor) -> Tensor:
    """Return harmonics up to l = 2 of [pairs, 3] unit vectors."""
    ones = torch.ones(len(directions), dtype=directions.dtype)
    return spherical_harmonics(Graph(torch.tensor([[1]]), directions, ones, ones, 5.0), 2)


class TestEquilibrium:
    @pytest.mark.parametrize("width, l_max", [(16, 1), (32, 2), (16, 3)])
    def test_an_untrained_model_comes_to_rest(self, width, l_max):
        molecule = anb.sample("ethanol")[0]
        positions = torch.tensor(molecule.positions[::400], dtype=torch.float32)
        atomic_numbers = torch.tensor(molecule.atomic_numbers).expand(len(positions), -1)
        field = ForceField(ForceFieldSettings(layer="attention", l_max=l_max, width=width))
        found = evaluate(field, positions, atomic_numbers, solver=Solver(tolerance=9e-7, max_steps=60))
        assert found.forces.dtype == torch.float32 and found.forces.abs().max() > 1e-4
        assert (found.z.residual < 1e-6).all() and (found.adjoint.residual < 1e-6).all()

    def test_single_precision_is_close_to_double(self):
        torch.manual_seed(2)
        field = ForceField(ForceFieldSettings(layer="attention", l_max=2, width=8, depth=2))
        answers = []
        for kind in (torch.float32, torch.float64):
            found = evaluate(field.to(kind), ethanol[None].to(kind), numbers[None], solver=TIGHT)
            answers.append((found.energies.double(), found.forces.double()))
        for single, double in zip(*answers, strict=True):
            assert_close(single, double, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("dense", [True, False], ids=["pairs", "list"])
    def test_training_on_forces_has_the_right_slope(self, dense):
        """A loss of forces differentiates the layer twice: against central differences in one weight of each part."""
        field = ForceField(ForceFieldSettings(layer="attention", l_max=2, width=4, heads=2, depth=1, cutoff_ang=2.5))
        field.double()
        weights = [weight for weight in field.layers[0].parameters() if weight.ndim > 1]
        slopes = torch.autograd.grad(_push(field, dense), weights)
        for weight, slope in zip(weights, slopes, strict=True):
            place = int(slope.abs().argmax())
            assert_close(slope.flatten()[place], _nudged(field, dense, weight, place), rtol=1e-5, atol=1e-8)

    def test_parameters_are_counted_without_making_them(self):
        settings = ForceFieldSettings(layer="attention", l_max=3, width=8)
        assert n_parameters(settings) == sum(one.numel() for one in ForceField(settings).parameters())


def _push(field: ForceField, dense: bool) -> Tensor:
    """Return the squared forces on ethanol, to be differentiated further."""
    positions = ethanol[None].clone().requires_grad_()
    edges = graph(positions, numbers[None], cutoff_ang=2.5, dense=dense)
    energy = field.interaction(field.stacked(field.prepare(edges)), edges).sum()
    return torch.autograd.grad(energy, positions, create_graph=True)[0].square().sum()


def _nudged(field: ForceField, dense: bool, weight: Tensor, place: int, step: float = 1e-4) -> Tensor:
    values = []
    for way in (1, -1):
        with torch.no_grad():
            weight.view(-1)[place] += way * step
        values.append(_push(field, dense).detach())
        with torch.no_grad():
            weight.view(-1)[place] -= way * step
    return (values[0] - values[1]) / (2 * step)
