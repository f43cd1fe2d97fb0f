"""Figures A: is the equilibrium well-posed, symmetric, and are its forces and gradients exact?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.bench.arms import DEQ
from asteroid_nb.bench.setting import Setting
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import ForceField, Prepared
from asteroid_nb.equilibrium.forces import Start, evaluate, fixed_point
from asteroid_nb.equilibrium.graph import graph
from asteroid_nb.equilibrium.matching import Batch, matching_loss, spectral_radius
from asteroid_nb.equilibrium.md import run_md
from asteroid_nb.equilibrium.settings import ForceObjective
from asteroid_nb.errors import NotConverged, SimulationFailed
from asteroid_nb.finding import Finding, Rule

TIGHT = Solver(tolerance=1e-12, max_steps=400)

#: Frames looked at, and how far one bond of them is stretched.
N_FRAMES, STRETCH_ANG = 8, 0.4

#: A thermostatted run that heats the molecule up: K, steps, friction in 1/fs.
HOT_K, HOT_STEPS, HOT_FRICTION = 1000.0, 400, 0.05

LOOSE = 1e-3


def figure_a1(setting: Setting) -> Finding:
    """Return whether every start leads to the same fixed point, also far from what was learnt."""
    run = setting.run(DEQ)
    model = run.copy_of_model(precision=torch.float64)
    rows, worst_steps, agree, reached = [], 0, 0.0, True
    for name, places in _geometries(setting).items():
        numbers = _numbers(setting, len(places))
        prepared = model.prepare(graph(places, numbers, cutoff_ang=model.settings.cutoff_ang)).detach()
        told = _starts(model, prepared)
        radius = float(spectral_radius(model, prepared, told["z"]).max()) if "z" in told else float("nan")
        rows.append((name, told["within"], told["loose"], f"{told['apart']:.1e}", f"{radius:.2f}"))
        reached &= told["within"] != "–"
        agree, worst_steps = max(agree, told["apart"]), max(worst_steps, told["loose"])
    rules = [
        Rule(asked="residual below 1e-6 within 60 evaluations, from every start", measured=str(reached), holds=reached),
        Rule(asked="fixed points agree to 1e-4", measured=f"{agree:.1e} apart", holds=agree <= 1e-4),
        Rule(
            asked="evaluations at 1e-3, cold, at most 12",
            measured=str(worst_steps),
            holds=worst_steps <= 12 if setting.size.strict else None,
        ),
    ]
    head = ("frames", "evaluations to 1e-6, worst start", "to 1e-3, cold", "‖z − z′‖ / ‖z‖", "spectral radius")
    return Finding(
        key="A1",
        title="Does every start lead to the same fixed point?",
        head=head,
        rows=rows,
        rules=rules,
        note="Starts: zero, random numbers of unit size, and the fixed point of another frame. In double precision.",
    )


def _geometries(setting: Setting) -> dict[str, Tensor]:
    """Return frames of the test, of a hot run, and with one bond stretched."""
    test = setting.parts.test
    rows = np.linspace(0, test.n_frames - 1, N_FRAMES).round().astype(int)
    frames = torch.as_tensor(np.array(test.positions[rows], dtype=float))
    stretched = frames.clone()
    bond = stretched[:, 1] - stretched[:, 0]
    stretched[:, 0] -= STRETCH_ANG * bond / torch.linalg.vector_norm(bond, dim=-1, keepdim=True)
    try:
        hot: Any = run_md(
            setting.run(DEQ), test[int(rows[0])], n_frames=HOT_STEPS, ensemble="langevin", temperature_K=HOT_K,
            friction_per_fs=HOT_FRICTION, progress=False,
        )  # fmt: skip
    except SimulationFailed as error:
        hot = error.trajectory  # type: ignore[attr-defined]
    at = np.linspace(hot.n_frames // 2, hot.n_frames - 1, N_FRAMES).round().astype(int)
    return {
        "test": frames,
        f"{HOT_K:g} K": torch.as_tensor(np.array(hot.positions[at])),
        f"first bond {STRETCH_ANG:g} Å longer": stretched,
    }


def _numbers(setting: Setting, n: int) -> Tensor:
    return torch.as_tensor(setting.parts.test.atomic_numbers.astype(np.int64)).expand(n, -1)


def _starts(model: ForceField, prepared: Prepared) -> dict[str, Any]:
    """Return evaluations needed and how far apart the fixed points of several starts are."""
    zero = model.start(prepared)
    random = torch.randn(zero.shape, generator=torch.Generator().manual_seed(0), dtype=zero.dtype)
    solver = Solver(tolerance=1e-6, max_steps=60)
    try:
        tight = fixed_point(model, prepared, TIGHT).z
        begun = {"zero": zero, "random": random * prepared.graph.present, "another frame": tight.roll(1, 0)}
        found = [fixed_point(model, prepared, solver, Start(z=start)) for start in begun.values()]
        ends = [fixed_point(model, prepared, TIGHT, Start(z=start)).z for start in begun.values()]
    except NotConverged:
        return {"within": "–", "loose": solver.max_steps, "apart": float("inf")}
    apart = max(float((end - tight).norm() / tight.norm()) for end in ends)
    loose = fixed_point(model, prepared, Solver(tolerance=LOOSE), strict=False)
    steps = max(int(one.n_steps.max()) for one in found)
    return {"within": steps, "loose": int(loose.n_steps.max()), "apart": apart, "z": tight}


def figure_a2(setting: Setting) -> Finding:
    """Return how far energies and forces are from obeying the symmetries of space."""
    run = setting.run(DEQ)
    model = run.copy_of_model(precision=torch.float64)
    places = _geometries_of_test(setting)
    numbers = _numbers(setting, len(places))
    ask = lambda at, kinds=numbers: evaluate(model, at, kinds, solver=TIGHT)  # noqa: E731
    plain = ask(places)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    order = torch.randperm(places.shape[1], generator=torch.Generator().manual_seed(2))
    alone = [ask(places[row : row + 1], numbers[:1]) for row in range(len(places))]
    cases: dict[str, tuple[Tensor, Tensor]] = {}
    for name, matrix in (("rotation", turn * torch.linalg.det(turn)), ("reflection", -turn * torch.linalg.det(turn))):
        moved = ask(places @ matrix.T)
        cases[name] = (moved.energies - plain.energies, moved.forces - plain.forces @ matrix.T)
    shifted = ask(places + 3.0)
    cases["translation"] = (shifted.energies - plain.energies, shifted.forces - plain.forces)
    swapped = ask(places[:, order], numbers[:, order])
    cases["permutation"] = (swapped.energies - plain.energies, swapped.forces - plain.forces[:, order])
    cases["batch"] = (
        torch.cat([one.energies for one in alone]) - plain.energies,
        torch.cat([one.forces for one in alone]) - plain.forces,
    )
    rows = [(name, f"{float(e.abs().max()):.1e}", f"{float(f.abs().max()):.1e}") for name, (e, f) in cases.items()]
    worst = max(float(part.abs().max()) for pair in cases.values() for part in pair)
    return Finding(
        key="A2",
        title="Does the force field obey the symmetries of space?",
        head=("symmetry", "energy, eV", "forces, eV/Å"),
        rows=rows,
        rules=[Rule(asked="at most 1e-10 in double precision", measured=f"{worst:.1e}", holds=worst <= 1e-10)],
        note="The largest difference over frames of the test, solved to 1e-12.",
    )


def _geometries_of_test(setting: Setting) -> Tensor:
    test = setting.parts.test
    rows = np.linspace(0, test.n_frames - 1, N_FRAMES).round().astype(int)
    return torch.as_tensor(np.array(test.positions[rows], dtype=float))


def figure_a3(setting: Setting) -> Finding:
    """Return how far forces and gradients in the weights are from central differences."""
    model = setting.run(DEQ).copy_of_model(precision=torch.float64)
    places, n = _geometries_of_test(setting)[:2], 2
    numbers = _numbers(setting, n)
    energy = lambda at: evaluate(model, at, numbers, solver=TIGHT).energies  # noqa: E731
    forces = evaluate(model, places, numbers, solver=TIGHT).forces
    direction = torch.randn(places.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slope = -_central(lambda step: energy(places + step * direction))
    by_force = float((slope - (forces * direction).sum((1, 2))).abs().max() / forces.abs().max())
    by_weight = _weights_off(setting, model, places, numbers)
    return Finding(
        key="A3",
        title="Are forces and gradients those of the energy?",
        head=("what", "relative difference from central differences"),
        rows=[("forces, along a random direction", f"{by_force:.1e}"), ("weights, the same", f"{by_weight:.1e}")],
        rules=[
            Rule(asked="forces to 1e-6", measured=f"{by_force:.1e}", holds=by_force <= 1e-6),
            Rule(asked="gradients in the weights to 1e-5", measured=f"{by_weight:.1e}", holds=by_weight <= 1e-5),
        ],
        note="Implicit differentiation of forces and energies, against the loss at shifted weights.",
    )


def _weights_off(setting: Setting, model: ForceField, places: Tensor, numbers: Tensor) -> float:
    known = setting.parts.test[:2].forces
    assert known is not None  # models were trained on this source
    labels = torch.as_tensor(np.array(known, dtype=float))
    batch = Batch(places, numbers, labels, torch.zeros(len(places), dtype=torch.float64))
    objective = ForceObjective(forward=TIGHT, backward=TIGHT, contraction_weight=0.0)
    weights = [one.requires_grad_() for one in model.parameters()]
    generator = torch.Generator().manual_seed(4)
    draw = lambda one: torch.randn(one.shape, generator=generator, dtype=torch.float64)  # noqa: E731
    directions = [draw(one) * one.detach().std(correction=0) for one in weights]

    def loss() -> Tensor:
        return matching_loss(model, batch, objective)["loss"]

    gradients = torch.autograd.grad(loss(), weights, allow_unused=True)
    expected = sum(
        float((gradient * direction).sum())
        for gradient, direction in zip(gradients, directions, strict=True)
        if gradient is not None
    )

    def moved(step: float) -> Tensor:
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.add_(direction, alpha=step)
        found = loss().detach()
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.sub_(direction, alpha=step)
        return found

    return abs(float(_central(moved)) - expected) / abs(expected)


def _central(values: Callable[[float], Tensor], step: float = 1e-4) -> Tensor:
    """Return the slope at 0 by differences of fourth order."""
    near, far = values(step) - values(-step), values(2 * step) - values(-2 * step)
    return (8 * near - far) / (12 * step)
