"""Guesses that are exact where they should be, a cache that is dropped when it must be, and no leak between systems."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small_force_field import frames, untrained_run
from torch import Tensor
from torch.testing import assert_close

from asteroid_nb.equilibrium import warm_start
from asteroid_nb.equilibrium.dynamics import WarmForces
from asteroid_nb.equilibrium.fixed_point import FixedPoint, Solver
from asteroid_nb.equilibrium.forces import Answer
from asteroid_nb.equilibrium.warm_start import FARTHEST_ANG, POLICIES, XL_WEIGHTS, Guess, Policy, WarmStart
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, NotConverged

WARM = [name for name in POLICIES if not name.startswith("cold")]


def history(*coefficients: float, n: int = 8) -> list[Tensor]:
    """Return values of a polynomial in time, a tensor each."""
    scale = torch.randn(2, 3, dtype=torch.float64)
    return [scale * sum(c * step**power for power, c in enumerate(coefficients)) for step in range(n)]


def guesses(base: str, values: list[Tensor]) -> list[Tensor | None]:
    """Return what is guessed before each value."""
    guess, made = Guess(base), []
    for value in values:
        made.append(guess.next())
        guess.add(value)
    return made


class TestGuess:
    @pytest.mark.parametrize(
        ("base", "coefficients", "known"),
        [
            ("previous", (2.0,), 1),
            ("linear", (2.0,), 1),
            ("linear", (2.0, -1.0), 2),
            ("quadratic", (2.0,), 1),
            ("quadratic", (2.0, -1.0), 2),
            ("quadratic", (2.0, -1.0, 0.5), 3),
            ("xl", (2.0,), 1),
        ],
    )
    def test_is_exact_once_enough_is_known(self, base, coefficients, known):
        values = history(*coefficients)
        for guess, value in list(zip(guesses(base, values), values, strict=True))[known:]:
            assert guess is not None
            assert_close(guess, value, rtol=0, atol=1e-12)

    @pytest.mark.parametrize(
        ("base", "coefficients"), [("previous", (0.0, 1.0)), ("linear", (0.0, 0.0, 1.0)), ("quadratic", (0, 0, 0, 1.0))]
    )
    def test_is_not_exact_one_order_further(self, base, coefficients):
        values = history(*coefficients)
        assert (guesses(base, values)[-1] - values[-1]).abs().max() > 0.1  # type: ignore[operator]

    @pytest.mark.parametrize("base", warm_start.BASES)
    def test_is_none_of_nothing(self, base):
        assert Guess(base).next() is None

    def test_cold_never_guesses(self):
        assert guesses("cold", history(1.0)) == [None] * 8


class TestReversibleGuess:
    def test_weights_of_the_dissipation_sum_to_zero(self):
        assert sum(XL_WEIGHTS) == 0

    def test_follows_a_line_without_falling_behind_for_long(self):
        """Its lag behind a steady motion stays bounded and small: an oscillator drawn along."""
        values = history(0.0, 1.0, n=400)
        pairs = list(zip(guesses("xl", values), values, strict=True))[300:]
        lags = [float((guess - value).abs().max()) for guess, value in pairs if guess is not None]
        step = float((values[1] - values[0]).abs().max())
        assert max(lags) < 0.2 * step

    @pytest.mark.parametrize("dissipates", [False, True])
    def test_is_reversible_in_time_unless_it_dissipates(self, monkeypatch, dissipates):
        """Run backwards from its last two states with the same fixed points, it returns to its first."""
        if not dissipates:
            monkeypatch.setattr(warm_start, "XL_ALPHA", 0.0)
        found = [torch.randn(3, dtype=torch.float64) for _ in range(12)]
        path = forwards(found)
        back = Guess("xl")
        back.auxiliary.extend([path[-2], path[-1], *[path[-1]] * 4])
        for value in found[:0:-1]:
            back.add(value)
        off = float((back.auxiliary[0] - path[0]).abs().max())
        assert off > 1e-2 if dissipates else off < 1e-9

    def test_forgets_an_error_by_its_dissipation(self):
        """Kicked once, it comes back to a fixed point that stands still."""
        guess, value = Guess("xl"), torch.ones(4, dtype=torch.float64)
        guess.add(value)
        guess.add(1.1 * value)
        early = late = 0.0
        for step in range(600):
            guess.add(value)
            off = float((guess.auxiliary[0] - value).abs().max())
            early, late = (max(early, off), late) if step < 20 else (early, off if step > 590 else late)
        assert late < 0.05 * early


def forwards(found: list[Tensor]) -> list[Tensor]:
    """Return the auxiliary states [p₀, p₁, …] that these fixed points drive; the last belongs to the one after them."""
    guess, path = Guess("xl"), [found[0]]
    for value in found:
        guess.add(value)
        path.append(guess.auxiliary[0])
    return path


def answer(first_residual: float, z: Tensor) -> Answer:
    """Return an answer whose z took two evaluations, the first with the residual given."""
    point = FixedPoint(
        z, torch.tensor([1e-9]), torch.tensor([2]), 2, torch.tensor([True]), torch.tensor([[first_residual], [1e-9]])
    )
    return Answer(torch.zeros(1), torch.zeros(1, 2, 3), point, point)


class TestDropped:
    @pytest.mark.parametrize(("residual", "kept"), [(0.29, 3), (0.31, 1)])
    def test_where_the_first_residual_says_that_the_guess_was_none(self, residual, kept):
        warm, places = WarmStart("quadratic"), torch.zeros(1, 2, 3)
        for first in (1.0, 1e-3, residual):
            warm.start(places)
            warm.update(answer(first, torch.randn(1, 2, 4, 3)), places)
        assert len(warm.z.known) == len(warm.adjoint.known) == kept

    @pytest.mark.parametrize(("share", "cold"), [(0.99, False), (1.01, True)])
    def test_where_an_atom_jumps(self, share, cold):
        forces, places = asked()
        moved = places.copy()
        moved[0, 4, 1] += share * FARTHEST_ANG
        forces(moved, NUMBERS)
        assert [record.cold for record in forces.history] == [True, False, cold]

    @pytest.mark.parametrize("policy", ["previous+recycle", "xl"])
    @pytest.mark.parametrize("change", ["elements", "order", "charges", "cell", "periodic", "fewer", "copies"])
    def test_where_the_system_is_another(self, change, policy):
        forces, places = asked(policy)
        numbers, options = NUMBERS.copy(), {}
        if change == "elements":
            numbers[0, 3] = 8
        if change == "order":
            places, numbers = places[:, ::-1].copy(), numbers[:, ::-1].copy()
        if change == "charges":
            options = {"charges": np.full(9, 0.1)}
        if change == "cell":
            options = {"cell": 30 * np.eye(3), "periodic": (True, True, True)}
        if change == "fewer":
            places, numbers = places[:, :8], numbers[:, :8]
        if change == "copies":
            places, numbers = np.repeat(places, 2, 0), np.repeat(numbers, 2, 0)
        if change == "periodic":
            forces(places, numbers, cell=30 * np.eye(3), periodic=(True, True, True))
            options = {"cell": 30 * np.eye(3), "periodic": (True, True, False)}
        energies, found = forces(places, numbers, **options)
        assert forces.history[-1].cold
        fresh = WarmForces(untrained_run(), policy=policy, tolerance=1e-9)(places, numbers, **options)
        assert_allclose(energies, fresh[0], rtol=0, atol=1e-12)
        assert_allclose(found, fresh[1], rtol=0, atol=1e-12)

    def test_by_a_reset(self):
        forces, places = asked()
        forces.reset()
        forces(places, NUMBERS)
        assert [record.cold for record in forces.history] == [True, False, True]

    @pytest.mark.parametrize("policy", ["linear", "linear+recycle"])
    def test_after_a_solve_that_failed(self, policy):
        forces, places = asked(policy)
        able = forces.solver
        forces.solver = dataclasses.replace(able, tolerance=1e-15, max_steps=3)
        with pytest.raises(NotConverged, match="after 3 evaluations"):
            forces(places + 1e-3, NUMBERS)
        forces.solver = able
        forces(places, NUMBERS)
        assert [record.cold for record in forces.history] == [True, False, True]
        assert forces.warm.z_secants is None or forces.warm.z_secants.n_seen == forces.history[-1].steps - 1

    def test_after_a_position_that_is_not_a_number(self):
        forces, places = asked()
        with pytest.raises(InvalidTrajectory, match="position of atom 5 is not a number"):
            broken = places.copy()
            broken[0, 5, 2] = np.nan
            forces(broken, NUMBERS)
        forces(places, NUMBERS)
        assert forces.history[-1].cold

    def test_not_by_the_array_that_the_caller_moves_on(self):
        """Positions are moved in place, as integrators do: a jump is seen all the same."""
        forces, places = asked()
        places += 1.0
        forces(places, NUMBERS)
        assert forces.history[-1].cold


NUMBERS = np.array(frames().atomic_numbers)[None]


def asked(policy: str = "previous") -> tuple[WarmForces, np.ndarray]:
    """Return forces that were asked twice, and the positions of the second call."""
    forces = WarmForces(untrained_run(), policy=policy, tolerance=1e-9)
    places = np.array(frames().positions[:1], dtype=float)
    forces(places, NUMBERS)
    places = places + 0.01
    forces(places, NUMBERS)
    return forces, places


class TestAnswer:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_does_not_depend_on_the_policy(self, policy):
        forces = WarmForces(untrained_run(), policy=policy, tolerance=1e-9)
        cold = WarmForces(untrained_run(), policy="cold", tolerance=1e-11)
        for places in smooth_path(5):
            energies, found = forces(places, NUMBERS)
            exact = cold(places, NUMBERS)
            assert_allclose(energies, exact[0], rtol=0, atol=1e-8)
            assert_allclose(found, exact[1], rtol=0, atol=1e-7)
        assert [record.cold for record in forces.history] == [True, *[policy not in WARM] * 4]

    @pytest.mark.parametrize("policy", WARM)
    def test_of_two_systems_in_turn_is_that_of_each_alone(self, policy):
        """Malonaldehyde has as many atoms as ethanol: only the elements tell them apart."""
        other = frames("malonaldehyde")
        places = [np.array(one.positions[:1], dtype=float) for one in (frames(), other)]
        numbers = [np.array(one.atomic_numbers)[None] for one in (frames(), other)]
        forces = WarmForces(untrained_run(), policy=policy, tolerance=1e-9)
        cold = WarmForces(untrained_run(), policy="cold", tolerance=1e-9)
        for turn in range(4):
            asked_of = (places[turn % 2], numbers[turn % 2])
            for given, exact in zip(forces(*asked_of), cold(*asked_of), strict=True):
                assert_allclose(given, exact, rtol=0, atol=1e-7)
        assert all(record.cold for record in forces.history)

    def test_costs_less_the_better_the_guess(self):
        """Evaluations of f and of its transpose along a smooth path, the first steps left out."""
        work = {}
        for policy in ("cold", "previous", "linear", "quadratic", "linear+recycle"):
            forces = WarmForces(untrained_run(), policy=policy, tolerance=1e-6)
            for places in smooth_path(9):
                forces(places, NUMBERS)
            work[policy] = sum(record.steps + record.adjoint_steps for record in forces.history[4:])
        assert work["cold"] > work["previous"] > work["linear"] >= work["quadratic"]
        assert work["linear"] > work["linear+recycle"]

    def test_at_the_same_place_is_there_at_once(self):
        forces = WarmForces(untrained_run(), policy="previous", tolerance=1e-9)
        for _ in range(2):
            forces(smooth_path(1)[0], NUMBERS)
        assert (forces.history[1].steps, forces.history[1].adjoint_steps) == (1, 1)

    def test_of_a_twin_keeps_nothing(self):
        forces = WarmForces(untrained_run(depth=2), policy="linear")
        for places in smooth_path(2):
            forces(places, NUMBERS)
        assert [(record.steps, record.adjoint_steps) for record in forces.history] == [(0, 0)] * 2


def smooth_path(n: int) -> list[np.ndarray]:
    """Return positions that bend a little from step to step."""
    first = np.array(frames().positions[:1], dtype=float)
    way = np.random.default_rng(1).normal(size=(2, *first.shape))
    return [first + 0.05 * (np.sin(0.1 * step) * way[0] + np.cos(0.1 * step) * way[1]) for step in range(n)]


def test_a_policy_recycles_by_name():
    assert Policy("xl+recycle").base == "xl" and Policy("xl+recycle").solver(Solver()).method == "recycling"
    assert not Policy("xl").recycles and Policy("xl").solver(Solver()).method == "anderson"


@pytest.mark.parametrize("name", ["warm", "linear+", "+recycle", "Cold"])
def test_an_unknown_policy_is_refused(name):
    with pytest.raises(InvalidSettings, match=r"No warm start is called .*there are cold, cold\+recycle, previous"):
        WarmStart(name)


def test_a_bad_guess_drops_secants_too(monkeypatch):
    solves = WarmForces(untrained_run(), policy="linear+recycle", tolerance=1e-6)
    numbers = frames().atomic_numbers[None]
    ask = lambda frame: solves(np.asarray(frames().positions[frame : frame + 1], dtype=float), numbers)  # noqa: E731
    ask(0)
    monkeypatch.setattr("asteroid_nb.equilibrium.warm_start.WORST_GUESS", 0.0)
    ask(0)
    assert solves.warm.z_secants is None and solves.warm.adjoint_secants is None and len(solves.warm.z.known) == 1
    monkeypatch.undo()
    ask(0)
    assert solves.warm.z_secants is not None


def test_cold_starts_keep_their_secants_where_asked():
    solves = WarmForces(untrained_run(), policy="cold+recycle", tolerance=1e-6)
    for moved_ang in (0.0, 0.01):
        solves(np.asarray(frames().positions[:1], dtype=float) * (1 + moved_ang), frames().atomic_numbers[None])
    assert solves.warm.z_secants is not None and solves.history[1].steps < solves.history[0].steps


def test_another_box_starts_cold_a_breathing_one_does_not():
    solves = WarmForces(untrained_run(), policy="previous", tolerance=1e-4)
    at, numbers = np.asarray(frames().positions[:1], dtype=float), frames().atomic_numbers[None]
    for side in (12.0, 12.01, 9.0):
        solves(at, numbers, cell=side * np.eye(3), periodic=(True, True, True))
    assert [call.cold for call in solves.history] == [True, False, True]
