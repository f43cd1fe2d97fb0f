"""Energies and exact forces of a force field, the fixed points they rest on, and what training differentiates.

With z = f(z; R) and λ = ∂e/∂z + Jᵀλ, J = ∂f/∂z, the forces are −∂⟨λ, f(z; R)⟩/∂R at fixed z and λ: the implicit
function theorem, with neither a linear system of J's size nor a differentiated solver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from asteroid_nb.equilibrium.compiled import CompiledMaps
from asteroid_nb.equilibrium.fixed_point import FixedPoint, Secants, Solver, solve
from asteroid_nb.equilibrium.force_field import ForceField, Prepared
from asteroid_nb.equilibrium.graph import graph, must_be_apart
from asteroid_nb.shapes import Float, Int

ImplicitMap = Callable[[Tensor, Prepared], Tensor]


@dataclass
class Start:
    """Where a solve begins: what the last molecule of a trajectory left. None begins cold.

    Args:
        z, adjoint: [molecules, atoms, components, channels].
        z_secants, adjoint_secants: of earlier solves, for "recycling".
    """

    z: Tensor | None = None
    adjoint: Tensor | None = None
    z_secants: Secants | None = None
    adjoint_secants: Secants | None = None


@dataclass(frozen=True)
class Answer:
    """Energies and forces, and how they were found.

    Args:
        energies: [molecules] eV, of interaction.
        forces: [molecules, atoms, 3] eV/Å.
        z: the fixed point; None of an explicit twin.
        adjoint: of λ; None of an explicit twin and of direct forces.
    """

    energies: Float[Tensor, " molecules"]
    forces: Float[Tensor, "molecules atoms 3"]
    z: FixedPoint | None = field(default=None, repr=False)
    adjoint: FixedPoint | None = field(default=None, repr=False)


def evaluate(
    model: ForceField,
    positions: Float[Tensor, "molecules atoms 3"],
    atomic_numbers: Int[Tensor, "molecules atoms"],
    *,
    solver: Solver,
    adjoint_solver: Solver | None = None,
    start: Start | None = None,
    cell: Float[Tensor, "3 3"] | None = None,
    periodic: tuple[bool, bool, bool] = (True, True, True),
    compiled: CompiledMaps | None = None,
) -> Answer:
    """Return energies and forces of a batch; nothing of it can be differentiated further.

    Args:
        adjoint_solver: of λ; like ``solver`` when not given.
        compiled: of this model, to repeat instead of its own maps.

    Raises:
        InvalidTrajectory: atoms on top of each other.
        NotConverged: a fixed point was not reached.
    """
    with torch.enable_grad():
        places = positions.detach().requires_grad_()
        edges = graph(places, atomic_numbers, cutoff_ang=model.settings.cutoff_ang, cell=cell, periodic=periodic)
        must_be_apart(edges)
        prepared = model.prepare(edges)
        if not model.settings.implicit:
            return _explicit(model, prepared, places)
        start = start or Start()
        f = model.f if compiled is None else compiled.f
        if model.settings.direct:
            return _direct(model, prepared, f, solver, start)
        found = _solved(f, model, prepared.detach(), solver, start)
        return _conservative(model, prepared, places, found, adjoint_solver or solver, start, compiled)


def _explicit(model: ForceField, prepared: Prepared, places: Tensor) -> Answer:
    z = model.stacked(prepared)
    energies = model.interaction(z, prepared.graph)
    if model.settings.direct:
        forces = model.direct_forces(z, prepared.graph).detach()
    else:
        forces = -torch.autograd.grad(energies.sum(), places)[0]
    return Answer(energies.detach(), forces)


def _direct(model: ForceField, prepared: Prepared, f: ImplicitMap, solver: Solver, start: Start) -> Answer:
    with torch.no_grad():
        fixed = prepared.detach()
        found = _solved(f, model, fixed, solver, start)
        energies = model.interaction(found.z, fixed.graph)
        return Answer(energies, model.direct_forces(found.z, fixed.graph), found)


def _conservative(
    model: ForceField,
    prepared: Prepared,
    places: Tensor,
    found: FixedPoint,
    solver: Solver,
    start: Start,
    compiled: CompiledMaps | None,
) -> Answer:
    fixed = prepared.with_parts(tuple(part.detach().requires_grad_() for part in prepared.parts))
    z = found.z.detach().requires_grad_()
    image = model.f(z, fixed)
    energy = model.interaction(z, fixed.graph)
    slope = torch.autograd.grad(energy.sum(), z)[0]
    if compiled is None:
        adjoint = adjoint_point(image, z, slope, solver, start)
    else:
        bare, at = fixed.detach(), z.detach()
        adjoint = _adjoint_solved(lambda one: slope + compiled.pulled_back(at, bare, one), slope, solver, start)
    pulls = torch.autograd.grad(image, fixed.parts, adjoint.z)
    forces = -torch.autograd.grad(prepared.parts, places, pulls)[0]
    with torch.no_grad():  # with this term an error of z counts in second order only
        energy = energy + (adjoint.z * (image - z)).sum((1, 2, 3))
        return Answer(energy, forces, found, adjoint)


def fixed_point(
    model: ForceField, prepared: Prepared, solver: Solver, start: Start | None = None, *, strict: bool = True
) -> FixedPoint:
    """Return z = f(z) of prepared molecules."""
    return _solved(model.f, model, prepared, solver, start or Start(), strict=strict)


def _solved(
    f: ImplicitMap, model: ForceField, prepared: Prepared, solver: Solver, start: Start, *, strict: bool = True
) -> FixedPoint:
    begin = model.start(prepared) if start.z is None else start.z
    return solve(lambda z: f(z, prepared), begin, solver, secants=start.z_secants, strict=strict)


def adjoint_point(
    image: Tensor, z: Tensor, slope: Tensor, solver: Solver, start: Start | None = None, *, strict: bool = True
) -> FixedPoint:
    """Return λ = slope + Jᵀλ, with J that of ``image`` as a function of ``z``."""

    def pulled_back(adjoint: Tensor) -> Tensor:
        return slope + torch.autograd.grad(image, z, adjoint, retain_graph=True)[0]

    return _adjoint_solved(pulled_back, slope, solver, start or Start(), strict=strict)


def _adjoint_solved(
    pulled_back: Callable[[Tensor], Tensor], slope: Tensor, solver: Solver, start: Start, *, strict: bool = True
) -> FixedPoint:
    begin = torch.zeros_like(slope) if start.adjoint is None else start.adjoint
    return solve(pulled_back, begin, solver, secants=start.adjoint_secants, strict=strict, what="λ")
