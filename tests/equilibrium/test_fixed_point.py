"""The solver: known solutions, molecules that do not know of each other, honest counts, and honest failures."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from asteroid_nb.equilibrium.fixed_point import METHODS, FixedPoint, Secants, Solver, solve
from asteroid_nb.errors import InvalidSettings, NotConverged

every = pytest.mark.parametrize("method", METHODS)


class Linear:
    """f(z) = A z + b for each molecule by itself, which remembers where it was asked.

    Args:
        radii: the spectral radius of each molecule's symmetric A.
        size: numbers of a molecule, kept in two axes.
        moved: added to b.
    """

    def __init__(self, *radii: float, size: int = 12, seed: int = 0, moved: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        basis = torch.linalg.qr(draw(len(radii), size, size))[0]
        values = torch.tensor(radii, dtype=torch.float64)[:, None] * torch.linspace(-1, 1, size, dtype=torch.float64)
        self.matrix = basis @ torch.diag_embed(values) @ basis.mT
        self.offset = draw(len(radii), size) + moved * draw(len(radii), size)
        self.asked: list[Tensor] = []

    @property
    def start(self) -> Tensor:
        return torch.zeros_like(self.offset).unflatten(1, (-1, 2))

    @property
    def solution(self) -> Tensor:
        one = torch.eye(self.offset.shape[1], dtype=torch.float64)
        return torch.linalg.solve(one - self.matrix, self.offset).view_as(self.start)

    def alone(self, row: int) -> Linear:
        other = Linear(0.0)
        other.matrix, other.offset = self.matrix[[row]], self.offset[[row]]
        return other

    def __call__(self, z: Tensor) -> Tensor:
        self.asked.append(z.clone())
        return ((self.matrix @ z.flatten(1)[..., None])[..., 0] + self.offset).view_as(z)


def solver(method: str, tolerance: float = 1e-12, max_steps: int = 300, **options) -> Solver:
    return Solver(method=method, tolerance=tolerance, max_steps=max_steps, **options)


class TestSolution:
    @every
    @pytest.mark.parametrize("start", ["zero", "random"])
    def test_of_a_linear_contraction_is_found(self, method, start):
        f = Linear(0.3, 0.9, 0.0)
        begin = f.start if start == "zero" else torch.randn_like(f.start)
        found = solve(f, begin, solver(method))
        assert_close(found.z, f.solution, rtol=0, atol=1e-10)
        assert found.converged.all() and (found.residual <= 1e-12).all()

    @every
    def test_is_found_at_once_from_itself(self, method):
        f = Linear(0.3, 0.9)
        found = solve(f, f.solution, solver(method))
        assert found.n_evaluations == 1 and found.n_steps.tolist() == [1, 1]

    @every
    def test_carries_no_gradient(self, method):
        f = Linear(0.5)
        f.offset.requires_grad_()
        assert not solve(f, f.start.requires_grad_(), solver(method)).z.requires_grad

    def test_does_not_suffer_from_parallel_secants(self):
        """In one dimension all secants are parallel."""
        f = Linear(0.9, size=2)
        assert_close(solve(f, f.start, solver("anderson", window=8)).z, f.solution, rtol=0, atol=1e-10)


class TestMolecules:
    @every
    def test_do_not_know_of_each_other(self, method):
        f = Linear(0.2, 0.9, 0.6)
        together = solve(f, f.start, solver(method))
        for row in range(3):
            alone = solve(f.alone(row), f.start[[row]], solver(method))
            assert_close(together.z[[row]], alone.z, rtol=0, atol=1e-12)
            assert together.n_steps[row] == alone.n_steps[0]

    @every
    def test_rest_once_they_are_there(self, method):
        f = Linear(0.2, 0.9)
        found = solve(f, f.start, solver(method))
        first, last = found.n_steps.tolist()
        assert first < last == found.n_evaluations
        for state in f.asked[first:]:
            assert torch.equal(state[0], f.asked[first - 1][0])

    def test_that_needed_fewer_steps_leave_no_gap_in_the_secants(self):
        f, nearby = Linear(0.0, 0.9), Linear(0.0, 0.9, moved=0.01)
        first = solve(f, f.start, solver("recycling"))
        assert first.n_steps[0] < first.n_steps[1] - 2
        again = solve(nearby, first.z, solver("recycling"), secants=first.secants)
        assert_close(again.z, nearby.solution, rtol=0, atol=1e-10)


class TestWork:
    def test_anderson_needs_fewer_steps_than_picard(self):
        f = Linear(0.95)
        picard, anderson = (solve(f, f.start, solver(method, 1e-6)) for method in ("picard", "anderson"))
        assert 3 * anderson.n_evaluations < picard.n_evaluations

    def test_recycled_secants_save_steps_in_a_nearby_problem(self):
        f, nearby = Linear(0.95), Linear(0.95, moved=0.05)
        kept = solver("recycling", 1e-6)
        first = solve(f, f.start, kept)
        without, with_secants = (solve(nearby, f.start, kept, secants=secants) for secants in (None, first.secants))
        assert 2 * with_secants.n_evaluations < without.n_evaluations

    @pytest.mark.parametrize(
        "other", [Linear(0.9, 0.9), Linear(0.9, size=8)], ids=["more molecules", "smaller molecules"]
    )
    def test_secants_of_another_problem_are_left_out(self, other):
        f = Linear(0.9)
        foreign = solve(other, other.start, solver("recycling")).secants
        with_them, without = (solve(f, f.start, solver("recycling"), secants=given) for given in (foreign, None))
        assert torch.equal(with_them.z, without.z)

    @every
    @pytest.mark.parametrize("max_steps", [4, 300])
    def test_is_counted(self, method, max_steps):
        f = Linear(0.4, 0.9)
        found = solve(f, f.start, solver(method, 1e-8, max_steps), strict=False)
        assert len(f.asked) == found.n_evaluations == len(found.residuals) == int(found.n_steps.max())
        assert torch.equal(found.residuals[-1], found.residual)

    @every
    def test_residuals_are_those_of_the_states_asked_for(self, method):
        f = Linear(0.4, 0.9)
        found = solve(f, f.start, solver(method, 1e-8))
        for state, residual in zip(list(f.asked), found.residuals, strict=True):
            image = f(state)
            off = (image - state).flatten(1).norm(dim=1) / image.flatten(1).norm(dim=1)
            assert_close(residual, off, rtol=1e-9, atol=1e-15)
        assert_close(found.z, f(f.asked[int(found.n_steps[1]) - 1]), rtol=0, atol=1e-7)


def diverging(z: Tensor) -> Tensor:
    """Return z + 1 + z², which is z for no real number, and never nearly so."""
    return z + 1 + z.square()


class TestFailure:
    @every
    def test_of_a_map_without_fixed_point_is_said_with_numbers(self, method):
        said = (
            r"fixed point of z was not reached: after 30 evaluations the residual is (inf|\d\S*) for 2 of 2 molecules, "
            r"needed is 0\.001\. Look at the geometry"
        )
        with pytest.raises(NotConverged, match=said):
            solve(diverging, torch.zeros(2, 6, dtype=torch.float64), solver(method, 1e-3, 30))

    @every
    def test_by_nan_is_raised_also_when_not_strict(self, method):
        def broken(z: Tensor) -> Tensor:
            return torch.stack([0.5 * z[0] + 1, torch.full_like(z[1], torch.nan)])

        with pytest.raises(NotConverged, match="residual is inf for 1 of 2 molecules"):
            solve(broken, torch.zeros(2, 6), solver(method, 1e-3, 20), strict=False)

    @every
    def test_of_some_molecules_is_told_when_not_strict(self, method):
        f = Linear(0.1, 0.95, 0.1)
        found = solve(f, f.start, solver(method, 1e-5, 8), strict=False)
        assert found.converged.tolist() == [True, False, True]
        assert float(found.residual[1]) > 1e-5 and float(found.residual[[0, 2]].max()) <= 1e-5
        with pytest.raises(NotConverged, match="for 1 of 3 molecules"):
            solve(f, f.start, solver(method, 1e-5, 8))

    @every
    def test_of_a_tolerance_that_single_precision_cannot_meet_is_said(self, method):
        f = Linear(0.9, size=200)
        f.matrix, f.offset = f.matrix.float(), f.offset.float()
        with pytest.raises(NotConverged, match=r"the residual is \d\.?\d*e-0[678] .* needed is 1e-12"):
            solve(f, f.start, solver(method, 1e-12))

    def test_says_what_was_looked_for(self):
        with pytest.raises(NotConverged, match="fixed point of λ was not reached"):
            solve(diverging, torch.zeros(1, 2), solver("picard", 1e-3, 3), what="λ")

    def test_leaves_fields_that_agree(self):
        found = solve(diverging, torch.zeros(1, 2), solver("picard", 1e-3, 3), strict=False)
        assert isinstance(found, FixedPoint) and not found.converged.any() and found.secants is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "newton"}, "No solver is called 'newton'; there are picard, anderson, recycling"),
        ({"tolerance": 0.0}, "tolerance was 0.0; it must be above 0 and below 1"),
        ({"tolerance": float("nan")}, "tolerance was nan"),
        ({"max_steps": 0}, "max_steps was 0; it must be a whole number from 1"),
        ({"window": 2.5}, "window was 2.5; it must be a whole number"),
        ({"kept": 10**9}, "kept was 1000000000; it must be a whole number"),
        ({"ridge": -1.0}, "ridge was -1.0; it must not be negative"),
    ],
    ids=str,
)
def test_settings_outside_their_range_are_refused(changes, said):
    with pytest.raises(InvalidSettings, match=said):
        dataclasses.replace(Solver(), **changes)


def test_overlaps_of_kept_secants_are_those_of_their_residuals():
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(4, 30, generator=generator, dtype=torch.float64)  # noqa: E731
    kept = Secants.none(draw(), 5)
    for _ in range(13):
        kept.add(draw(), draw(), torch.rand(4, generator=generator) < 0.7)
        torch.testing.assert_close(kept.overlap, kept.residuals @ kept.residuals.mT, rtol=1e-12, atol=1e-12)
