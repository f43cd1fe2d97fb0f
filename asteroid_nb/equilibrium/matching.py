"""What training makes small: errors of forces and energies, with gradients through the fixed points.

A conservative model is trained on the joint fixed point of G(z, λ) = (f(z), ∂e/∂z + Jᵀλ), of which energies and forces
are explicit functions. Its Jacobian is block-triangular, so the adjoint of G falls into two linear fixed points, one
after the other: μ_λ = g_λ + J μ_λ and μ_z = g_z + H μ_λ + Jᵀ μ_z, with H the second derivative of e + ⟨λ, f⟩. One
application of f is differentiated, however many evaluations the solver needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asteroid_nb.equilibrium.fixed_point import FixedPoint, solve
from asteroid_nb.equilibrium.force_field import ForceField, Prepared
from asteroid_nb.equilibrium.forces import adjoint_point, fixed_point
from asteroid_nb.equilibrium.graph import graph
from asteroid_nb.equilibrium.settings import ForceObjective
from asteroid_nb.shapes import Float, Int

#: Of a force's length, in units of the forces' RMS: the loss is smooth where a force is right.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Batch:
    """Frames to learn from; energies are those of interaction."""

    positions: Float[Tensor, "molecules atoms 3"]
    atomic_numbers: Int[Tensor, "molecules atoms"]
    forces: Float[Tensor, "molecules atoms 3"]
    energies: Float[Tensor, " molecules"]


@dataclass
class Watch:
    """What the solvers of a training needed since it was last read: sums over molecules."""

    molecules: int = 0
    steps: float = 0.0
    adjoint_steps: float = 0.0
    unconverged: float = 0.0

    def see(self, found: FixedPoint, adjoint: FixedPoint | None, backward: Sequence[FixedPoint]) -> None:
        """Count a batch: evaluations of its fixed points, and molecules of which any solve gave up."""
        self.molecules += len(found.residual)
        self.steps += float(found.n_steps.sum())
        every = [found, *backward] if adjoint is None else [found, adjoint, *backward]
        self.unconverged += float((~torch.stack([one.converged for one in every]).all(0)).sum())
        if adjoint is not None:
            self.adjoint_steps += float(adjoint.n_steps.sum())

    def read(self) -> dict[str, float]:
        """Return means per molecule, and begin anew."""
        n = max(1, self.molecules)
        said = {"steps": self.steps / n, "adjoint_steps": self.adjoint_steps / n, "unconverged": self.unconverged / n}
        self.molecules, self.steps, self.adjoint_steps, self.unconverged = 0, 0.0, 0.0, 0.0
        return said


def matching_loss(
    model: ForceField, batch: Batch, objective: ForceObjective, watch: Watch | None = None
) -> dict[str, Tensor]:
    """Return the terms of the loss; the gradient of "loss" is that of the exact fixed point.

    Args:
        watch: is told what the solvers needed.
    """
    direct = model.settings.direct
    places = batch.positions.detach().requires_grad_()
    prepared = model.prepare(graph(places, batch.atomic_numbers, cutoff_ang=model.settings.cutoff_ang))
    judged = _Judge(model, batch, objective)
    if not model.settings.implicit:
        return _explicit(model, prepared, places, judged, direct)
    found = fixed_point(model, prepared.detach(), objective.forward, strict=False)
    z = found.z.requires_grad_()
    image = model.f(z, prepared)
    adjoint, backward = None, []
    if direct:
        terms = judged(model.interaction(z, prepared.graph), model.direct_forces(z, prepared.graph))
        pushed = torch.autograd.grad(terms["loss"], z, retain_graph=True)[0]
        weight = _sum_of_series(lambda mu: pushed + _vjp(image, z, mu), pushed, objective, backward)
        terms["loss"] = terms["loss"] + _only_its_gradient((weight * image).sum())
    else:
        terms, adjoint = _conservative(model, prepared, places, z, image, judged, objective, backward)
    if watch is not None:
        watch.see(found, adjoint, backward)
    if objective.contraction_weight and float(found.n_steps.float().mean()) > objective.most_steps:
        terms["contraction"] = _slope_of(image, z)
        terms["loss"] = terms["loss"] + objective.contraction_weight * terms["contraction"]
    return terms


def _conservative(
    model: ForceField,
    prepared: Prepared,
    places: Tensor,
    z: Tensor,
    image: Tensor,
    judged: _Judge,
    objective: ForceObjective,
    backward: list[FixedPoint],
) -> tuple[dict[str, Tensor], FixedPoint]:
    own = model.interaction(z, prepared.graph)
    slope = torch.autograd.grad(own.sum(), z, retain_graph=True)[0]
    adjoint = adjoint_point(image, z, slope, objective.forward, strict=False)
    multiplier = adjoint.z.requires_grad_()
    # Stationary in z and λ: the energy's gradient in the weights needs no further solve.
    energies = own + (multiplier * (image - z)).sum((1, 2, 3))
    pulled, pushed = torch.autograd.grad(own.sum() + (multiplier * image).sum(), (z, places), create_graph=True)
    terms = judged(energies, -pushed)
    by_z, by_multiplier = torch.autograd.grad(terms["loss"], (z, multiplier), retain_graph=True)
    first = _sum_of_series(lambda mu: by_multiplier + _vjp(pulled, multiplier, mu), by_multiplier, objective, backward)
    both = by_z + _vjp(pulled, z, first)
    second = _sum_of_series(lambda mu: both + _vjp(image, z, mu), both, objective, backward)
    terms["loss"] = terms["loss"] + _only_its_gradient((first * pulled).sum() + (second * image).sum())
    return terms, adjoint


def _explicit(model: ForceField, prepared: Prepared, places: Tensor, judged: _Judge, direct: bool) -> dict[str, Tensor]:
    z = model.stacked(prepared)
    energies = model.interaction(z, prepared.graph)
    if direct:
        return judged(energies, model.direct_forces(z, prepared.graph))
    return judged(energies, -torch.autograd.grad(energies.sum(), places, create_graph=True)[0])


@dataclass(frozen=True)
class _Judge:
    """Errors in units of the forces' RMS, which the model's scale of energy is."""

    model: ForceField
    batch: Batch
    objective: ForceObjective

    def __call__(self, energies: Tensor, forces: Tensor) -> dict[str, Tensor]:
        there = (self.batch.atomic_numbers > 0).to(forces.dtype)
        off = (forces - self.batch.forces) / self.model.energy_scale
        lengths = (off.square().sum(-1) + ROUNDING**2).sqrt()
        force = (lengths * there).sum() / there.sum()
        per_atom = (energies - self.batch.energies).abs() / (there.sum(1) * self.model.energy_scale)
        energy = per_atom.mean()
        return {"loss": force + self.objective.energy_weight * energy, "force": force, "energy": energy}


def _sum_of_series(
    step: Callable[[Tensor], Tensor], first: Tensor, objective: ForceObjective, backward: list[FixedPoint]
) -> Tensor:
    """Return μ = first + A μ: solved, and added to ``backward``, or the first terms of the series Σ Aⁿ first."""
    if objective.gradients == "implicit":
        backward.append(solve(step, first, objective.backward, strict=False, what="the adjoint"))
        return backward[-1].z
    found = first
    for _ in range(objective.phantom_steps):
        found = step(found)
    return found


def _vjp(values: Tensor, at: Tensor, weights: Tensor) -> Tensor:
    return torch.autograd.grad(values, at, weights, retain_graph=True)[0]


def _only_its_gradient(value: Tensor) -> Tensor:
    return value - value.detach()


def _slope_of(image: Tensor, z: Tensor) -> Tensor:
    """Return an estimate of ‖J‖² per number, by one random direction; it can be differentiated."""
    pulled = torch.autograd.grad(image, z, torch.randn_like(image), create_graph=True)[0]
    return pulled.square().mean()


def spectral_radius(
    model: ForceField, prepared: Prepared, z: Tensor, *, n_steps: int = 30, seed: int = 0
) -> Float[Tensor, " molecules"]:
    """Return the largest |eigenvalue| of J = ∂f/∂z at z, by power iteration: below 1, repeating f converges.

    The mean growth over the last half of the steps, which also holds where the largest eigenvalues are a complex pair.
    """
    generator = torch.Generator(device=z.device).manual_seed(seed)
    with torch.enable_grad():
        at = z.detach().requires_grad_()
        image = model.f(at, prepared.detach())
        vector = torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)
        growth = []
        for _ in range(n_steps):
            vector = vector / torch.linalg.vector_norm(vector, dim=(1, 2, 3), keepdim=True)
            vector = _vjp(image, at, vector)
            growth.append(torch.linalg.vector_norm(vector.flatten(1), dim=1).clamp_min(1e-30).log())
    return torch.stack(growth[n_steps // 2 :]).mean(0).exp()
