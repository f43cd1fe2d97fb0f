"""Edges: all pairs and lists agree, images count, what is far or fills up a batch is not there, nothing overlaps."""

from __future__ import annotations

import pytest
import torch
from small_force_field import TIGHT, answer, ethanol, untrained
from torch import Tensor
from torch.testing import assert_close

from asteroid_nb.equilibrium.forces import evaluate
from asteroid_nb.equilibrium.graph import CLOSEST_ANG, MOST_DENSE, graph, must_be_apart, switch
from asteroid_nb.errors import InvalidTrajectory

CLOSE = {"rtol": 0, "atol": 1e-10}

#: Smaller than twice the cutoff of 5 Å along every vector, and no right angle.
BOX = torch.tensor([[7.0, 0.0, 0.0], [1.0, 6.5, 0.0], [0.0, -0.5, 6.0]], dtype=torch.float64)

both = pytest.mark.parametrize("dense", [True, False], ids=["pairs", "list"])


def once(positions: Tensor, numbers: Tensor, *, dense: bool, cutoff_ang: float = 5.0) -> tuple[Tensor, Tensor]:
    """Return energies and forces after two applications of the layer."""
    model, places = untrained(depth=2), positions.clone().requires_grad_()
    edges = graph(places, numbers, cutoff_ang=cutoff_ang, dense=dense)
    energies = model.interaction(model.stacked(model.prepare(edges)), edges)
    return energies.detach(), -torch.autograd.grad(energies.sum(), places)[0]


def padded(n_atoms: int, *molecules: Tensor) -> tuple[Tensor, Tensor]:
    """Return a batch of ethanol, of the given positions; a shorter one lacks its last atoms."""
    _, numbers = ethanol()
    places = torch.zeros(len(molecules), n_atoms, 3, dtype=torch.float64)
    kinds = torch.zeros(len(molecules), n_atoms, dtype=torch.int64)
    for row, molecule in enumerate(molecules):
        places[row, : len(molecule)], kinds[row, : len(molecule)] = molecule, numbers[0, : len(molecule)]
    return places, kinds


class TestPairsAndLists:
    @pytest.mark.parametrize("cutoff_ang", [1.2, 2.5, 5.0])
    def test_give_the_same(self, cutoff_ang):
        positions, numbers = ethanol(3)
        for one, other in zip(
            *(once(positions, numbers, dense=d, cutoff_ang=cutoff_ang) for d in (True, False)), strict=True
        ):
            assert_close(one, other, **CLOSE)

    def test_give_the_same_with_padding(self):
        batch = padded(12, ethanol()[0][0], ethanol()[0][0, :4])
        for one, other in zip(*(once(*batch, dense=dense) for dense in (True, False)), strict=True):
            assert_close(one, other, **CLOSE)

    def test_hold_each_pair_within_the_cutoff_both_ways(self):
        positions, numbers = ethanol()
        pairs, listed = (graph(positions, numbers, cutoff_ang=2.0, dense=dense) for dense in (True, False))
        assert listed.source is not None and listed.target is not None
        near = torch.cdist(positions[0], positions[0]) < 2.0
        near.fill_diagonal_(False)
        found = torch.zeros_like(near)
        found[listed.target, listed.source] = True
        assert torch.equal(found, near) and len(listed.source) == near.sum()
        assert torch.equal(pairs.switch[0] > 0, near)
        assert_close(listed.vectors, positions[0, listed.target] - positions[0, listed.source], **CLOSE)

    def test_which_of_them_depends_on_the_number_of_atoms(self):
        for n_atoms in (MOST_DENSE, MOST_DENSE + 1):
            positions, numbers = chain(n_atoms)
            assert (graph(positions, numbers, cutoff_ang=5.0).source is None) == (n_atoms == MOST_DENSE)

    def test_all_pairs_in_a_box_are_refused(self):
        with pytest.raises(InvalidTrajectory, match="All pairs hold no images, found a box. Leave dense out"):
            graph(*ethanol(), cutoff_ang=5.0, cell=BOX, dense=True)


def chain(n_atoms: int, spacing_ang: float = 1.5) -> tuple[Tensor, Tensor]:
    positions = torch.zeros(1, n_atoms, 3, dtype=torch.float64)
    positions[0, :, 0] = spacing_ang * torch.arange(n_atoms)
    return positions, torch.full((1, n_atoms), 6)


class TestPadding:
    @both
    @pytest.mark.parametrize("spare", [1, 3])
    def test_is_invisible_also_where_atoms_lie(self, dense, spare):
        """What fills up a batch lies at the origin, all of it, and so does an atom here."""
        molecule = ethanol()[0][0] - ethanol()[0][0, 2]
        alone, with_spare = (once(*padded(n, molecule), dense=dense) for n in (9, 9 + spare))
        assert_close(with_spare[0], alone[0], **CLOSE)
        assert_close(with_spare[1][:, :9], alone[1], **CLOSE)
        assert not with_spare[1][:, 9:].any()

    def test_is_invisible_to_the_fixed_point(self):
        alone, filled = (answer(*padded(n, ethanol()[0][0])) for n in (9, 14))
        assert_close(filled.energies, alone.energies, **CLOSE)
        assert_close(filled.forces[:, :9], alone.forces, **CLOSE)


class TestImages:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_a_doubled_box_has_twice_the_energy_and_the_same_forces(self, axis):
        positions, numbers = ethanol()
        single = answer(positions, numbers, cell=BOX)
        long = BOX.clone()
        long[axis] *= 2
        double = answer(torch.cat([positions, positions + BOX[axis]], 1), numbers.repeat(1, 2), cell=long)
        assert_close(double.energies, 2 * single.energies, **CLOSE)
        assert_close(double.forces, single.forces.repeat(1, 2, 1), **CLOSE)
        assert not torch.allclose(single.forces, answer(positions, numbers).forces, atol=1e-3)

    def test_crossing_the_border_changes_nothing(self):
        positions, numbers = ethanol()
        shares = torch.linalg.solve(BOX.T, (positions + torch.tensor([3.0, -1.0, 2.0]))[0].T).T
        wrapped = (shares % 1.0) @ BOX
        assert (wrapped - positions[0]).abs().max() > 3
        for one, other in zip(
            (answer(positions, numbers, cell=BOX).energies, answer(positions, numbers, cell=BOX).forces),
            (answer(wrapped[None], numbers, cell=BOX).energies, answer(wrapped[None], numbers, cell=BOX).forces),
            strict=True,
        ):
            assert_close(other, one, **CLOSE)

    def test_are_none_in_a_large_box(self):
        positions, numbers = ethanol()
        boxed = answer(positions, numbers, cell=25 * torch.eye(3, dtype=torch.float64))
        assert_close(boxed.energies, answer(positions, numbers).energies, **CLOSE)
        assert_close(boxed.forces, answer(positions, numbers).forces, **CLOSE)

    def test_lie_along_periodic_vectors_alone(self):
        """A molecule that repeats along one vector is the middle one of a row long enough, as far as it can tell."""
        positions, numbers = ethanol()
        model = untrained(depth=1)  # sees one cutoff far
        along = (True, False, False)
        repeated = evaluate(model, positions, numbers, solver=TIGHT, cell=BOX, periodic=along)
        row = torch.cat([positions + shift * BOX[0] for shift in range(-2, 3)], 1)
        middle = evaluate(model, row, numbers.repeat(1, 5), solver=TIGHT).energies
        shorter = evaluate(model, row[:, 9:], numbers.repeat(1, 4), solver=TIGHT).energies
        assert_close(middle - shorter, repeated.energies, **CLOSE)

    def test_forces_are_the_slope_of_the_energy(self):
        positions, numbers = ethanol()
        step, way = 1e-4, torch.randn(1, 9, 3, dtype=torch.float64)
        there, back = (answer(positions + sign * step * way, numbers, cell=BOX).energies for sign in (1, -1))
        slope = (answer(positions, numbers, cell=BOX).forces * way).sum((1, 2))
        assert_close((back - there) / (2 * step), slope, rtol=1e-6, atol=1e-6)


class TestCutoff:
    def test_the_switch_leaves_with_two_derivatives(self):
        share = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        value = switch(share)
        (slope,) = torch.autograd.grad(value, share, create_graph=True)
        (bend,) = torch.autograd.grad(slope, share, create_graph=True)
        (third,) = torch.autograd.grad(bend, share)
        assert max(abs(float(one.detach())) for one in (value, slope, bend)) < 1e-12
        assert abs(float(third)) > 1

    def test_the_switch_falls_from_one_to_zero(self):
        values = switch(torch.linspace(0, 1.5, 301, dtype=torch.float64))
        assert float(values[0]) == 1 and not values[200:].any()
        assert (values.diff() <= 0).all() and (values[1:200].diff() < 0).all()

    def test_a_bond_stretched_beyond_it_is_two_molecules(self):
        """C2H5 and OH: 8 Å or 9 Å apart they have the same energy, and do not pull at each other."""
        positions, numbers = ethanol()
        group = torch.tensor([2, 8])
        others = torch.tensor([0, 1, 3, 4, 5, 6, 7])
        pulled = positions.repeat(2, 1, 1)
        pulled[:, group, 0] += torch.tensor([[12.0], [13.0]], dtype=torch.float64)
        assert torch.cdist(pulled[0, group], pulled[0, others]).min() > 5
        apart = answer(pulled, numbers.expand(2, -1))
        assert apart.energies.isfinite().all()
        assert_close(apart.energies[0], apart.energies[1], **CLOSE)
        for part in (group, others):
            alone = answer(positions[:, part], numbers[:, part])
            assert_close(apart.forces[0, part], alone.forces[0], **CLOSE)
            assert float(apart.forces[0, part].sum(0).abs().max()) < 1e-10

    @pytest.mark.parametrize("cell", [None, 20 * torch.eye(3, dtype=torch.float64)], ids=["free", "box"])
    @pytest.mark.parametrize("changes", [{}, {"direct": True}, {"depth": 3}], ids=["energy", "direct", "twin"])
    def test_a_lone_atom_feels_nothing(self, cell, changes):
        positions, numbers = torch.ones(1, 1, 3, dtype=torch.float64), torch.tensor([[8]])
        found = answer(positions, numbers, cell=cell, **changes)
        assert found.energies.isfinite().all() and found.energies.any()
        assert not found.forces.any()
        if cell is not None:
            assert not graph(positions, numbers, cutoff_ang=5.0, cell=cell).lengths.numel()


class TestOverlap:
    def too_close(self, share: float, n_atoms: int = 9) -> tuple[Tensor, Tensor]:
        positions, numbers = chain(n_atoms)
        positions[0, 4] = positions[0, 2] + torch.tensor([0.0, share * CLOSEST_ANG, 0.0])
        return positions, numbers

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
    @pytest.mark.parametrize("n_atoms", [9, MOST_DENSE + 6], ids=["pairs", "list"])
    def test_is_refused_with_atoms_and_distance(self, share, n_atoms):
        said = rf"Atoms 2 and 4 of molecule 0 are {share * CLOSEST_ANG:.2g} Å apart.*at least 0.3 Å.*Look at the geom"
        with pytest.raises(InvalidTrajectory, match=said):
            answer(*self.too_close(share, n_atoms))

    @pytest.mark.parametrize("dense", [True, False], ids=["pairs", "list"])
    def test_names_the_molecule(self, dense):
        (bad, kinds), (good, _) = self.too_close(0.5), chain(9)
        edges = graph(torch.cat([good, bad]), kinds.expand(2, -1), cutoff_ang=5.0, dense=dense)
        with pytest.raises(InvalidTrajectory, match="of molecule 1 are 0.15"):
            must_be_apart(edges)

    def test_with_an_image_is_refused(self):
        positions, numbers = chain(4, spacing_ang=2.0)
        with pytest.raises(InvalidTrajectory, match="Atoms 0 and 3 of molecule 0 are 0.2 Å apart.*its box"):
            answer(positions, numbers, cell=torch.diag(torch.tensor([6.2, 20.0, 20.0], dtype=torch.float64)))

    @pytest.mark.parametrize("changes", [{}, {"direct": True}, {"depth": 2}], ids=["energy", "direct", "twin"])
    def test_just_beyond_is_no_overlap(self, changes):
        assert answer(*self.too_close(1.01), **changes).forces.isfinite().all()
