"""Solve z = f(z) for a batch: Picard, Anderson, and Anderson that keeps its secants; honest about what it reached.

Every molecule has its own residual, its own mixing and its own end, so that its answer does not depend on its batch.
(Secants kept over solves are replaced in turn for the whole batch: how old a molecule's are depends on its companions,
which may change its steps, and its answer within the tolerance.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from asteroid_nb.errors import InvalidSettings, NotConverged
from asteroid_nb.shapes import Bool, Float, Int

METHODS = ("picard", "anderson", "recycling")

#: No number of steps or secants is larger: what a forged folder may not ask for.
MOST = 10_000

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Solver:
    """How a fixed point is looked for.

    Args:
        method: "picard" repeats f; "anderson" mixes with the last ``window`` secants; "recycling" does so with those
            that earlier solves left, too.
        tolerance: of the residual ‖f(z) − z‖ / ‖f(z)‖ of every molecule.
        max_steps: evaluations of f before giving up.
        window: secants "anderson" mixes with.
        kept: secants "recycling" keeps over solves.
        ridge: of the least squares over unit secants, which keeps parallel ones harmless.

    Raises:
        InvalidSettings: an unknown method, or a number outside its range.

    Reference:
        Anderson (1965), doi:10.1145/321296.321305; Walker & Ni (2011), doi:10.1137/10078356X.
    """

    method: str = "anderson"
    tolerance: float = 1e-3
    max_steps: int = 60
    window: int = 5
    kept: int = 15
    ridge: float = 1e-6

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidSettings(f"No solver is called {self.method!r}; there are {', '.join(METHODS)}.")
        if not 0 < self.tolerance < 1:
            raise InvalidSettings(f"tolerance was {self.tolerance!r}; it must be above 0 and below 1.")
        for name in ("max_steps", "window", "kept"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
                raise InvalidSettings(f"{name} was {value!r}; it must be a whole number from 1 to {MOST}.")
        if self.ridge < 0:
            raise InvalidSettings(f"ridge was {self.ridge!r}; it must not be negative.")

    @property
    def n_secants(self) -> int:
        return {"picard": 0, "anderson": self.window, "recycling": self.kept}[self.method]


@dataclass
class Secants:
    """Differences of images f(z) and of their residuals, the newest in place of the oldest.

    Args:
        images: [molecules, secants, numbers].
        residuals: [molecules, secants, numbers].
        overlap: [molecules, secants, secants] inner products of residuals, of which a new secant changes one row.
        n_seen: how many were ever added.
    """

    images: Tensor
    residuals: Tensor
    overlap: Tensor
    n_seen: int = 0

    @classmethod
    def none(cls, like: Tensor, n_secants: int) -> Secants:
        shape = (like.shape[0], n_secants, like.shape[1])
        return cls(like.new_zeros(shape), like.new_zeros(shape), like.new_zeros(*shape[:2], n_secants))

    def add(self, image: Tensor, residual: Tensor, active: Tensor) -> None:
        """Add one secant of every molecule that is still looking."""
        place = self.n_seen % self.images.shape[1]
        for kept, new in ((self.images, image), (self.residuals, residual)):
            kept[:, place] = torch.where(active[:, None], new, kept[:, place])
        self.n_seen += 1
        used = min(self.n_seen, self.images.shape[1])
        row = (self.residuals[:, :used] @ self.residuals[:, place, :, None])[..., 0]
        self.overlap[:, place, :used] = row
        self.overlap[:, :used, place] = row

    def mix(self, image: Tensor, residual: Tensor, ridge: float) -> Tensor:
        """Return the image where the residual would vanish, were it as the secants say."""
        if not self.n_seen:
            return image
        used = min(self.n_seen, self.images.shape[1])
        overlap = self.overlap[:, :used, :used]
        squares = overlap.diagonal(dim1=-2, dim2=-1)
        sizes = torch.where(
            squares > 0, squares, 1.0
        ).sqrt()  # a molecule with fewer steps than others has empty places
        overlap = overlap / (sizes[:, :, None] * sizes[:, None])
        overlap.diagonal(dim1=-2, dim2=-1).add_(ridge + (squares == 0))
        along = (self.residuals[:, :used] @ residual[..., None]) / sizes[..., None]
        shares = torch.linalg.solve_ex(overlap, along).result / sizes[..., None]
        return image - (self.images[:, :used].mT @ shares)[..., 0]


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A fixed point and what it took.

    Args:
        z: f of the last state, shaped like the start.
        residual: [molecules] ‖f(z) − z‖ / ‖f(z)‖ of the last state.
        n_steps: [molecules] evaluations each molecule needed.
        n_evaluations: calls of f for the whole batch.
        converged: [molecules] whether the tolerance was reached.
        residuals: [evaluations, molecules] on the way.
        secants: what a later solve may start with, None for Picard.
    """

    z: Float[Tensor, "*molecules_and_state"]
    residual: Float[Tensor, " molecules"]
    n_steps: Int[Tensor, " molecules"]
    n_evaluations: int
    converged: Bool[Tensor, " molecules"]
    residuals: Float[Tensor, "evaluations molecules"]
    secants: Secants | None = field(default=None, repr=False)


def solve(
    f: Map,
    start: Float[Tensor, "*molecules_and_state"],
    solver: Solver,
    *,
    secants: Secants | None = None,
    strict: bool = True,
    what: str = "z",
) -> FixedPoint:
    """Return the fixed point of f that is reached from ``start``; no gradient flows through the search.

    Args:
        f: maps states to states, each molecule by itself.
        secants: of an earlier solve, for "recycling".
        strict: raise where the tolerance is not reached; otherwise ``converged`` says so.
        what: is looked for, for messages.

    Raises:
        NotConverged: not reached within ``max_steps``, or no longer finite (this one also if not ``strict``).
    """
    with torch.no_grad():
        shape = start.shape
        state = start.detach().flatten(1)
        known = _secants(secants, state, solver)
        active = torch.ones(len(state), dtype=torch.bool, device=state.device)
        image, steps = state, torch.zeros(len(state), dtype=torch.int64, device=state.device)
        path: list[Tensor] = []
        before: tuple[Tensor, Tensor] | None = None
        while len(path) < solver.max_steps:
            image = f(state.view(shape)).flatten(1)
            residual = image - state
            path.append(_sizes(residual) / _sizes(image).clamp_min(torch.finfo(image.dtype).tiny))
            steps = steps + active
            if before is not None and known is not None:
                known.add(image - before[0], residual - before[1], active)
            done = path[-1] <= solver.tolerance
            active = active & ~done
            if not bool(active.any()):  # the one place where a step waits for the GPU
                break
            before = image, residual
            mixed = image if known is None else known.mix(image, residual, solver.ridge)
            state = torch.where(active[:, None], mixed, state)
        residuals = torch.stack(path)
    found = FixedPoint(image.view(shape), path[-1], steps, len(path), ~active, residuals, known)
    _must_be_honest(found, solver, strict, what)
    return found


def _sizes(numbers: Tensor) -> Tensor:
    return torch.linalg.vector_norm(numbers, dim=1)


def _secants(given: Secants | None, state: Tensor, solver: Solver) -> Secants | None:
    """Return what a solve mixes with: nothing, fresh secants, or those of an earlier solve."""
    if not solver.n_secants:
        return None
    fits = given is not None and given.images.shape == (len(state), solver.n_secants, state.shape[1])
    if solver.method == "recycling" and fits and given is not None and given.images.dtype == state.dtype:
        return given
    return Secants.none(state, solver.n_secants)


def _must_be_honest(found: FixedPoint, solver: Solver, strict: bool, what: str) -> None:
    if not strict and bool(found.residual.isfinite().all()):
        return
    if bool(found.converged.all()):
        return
    worst = float(found.residual[~found.converged].nan_to_num(nan=float("inf")).max())
    raise NotConverged(
        f"The fixed point of {what} was not reached: after {found.n_evaluations} evaluations the residual is "
        f"{worst:.2g} for {int((~found.converged).sum())} of {len(found.converged)} molecules, needed is "
        f"{solver.tolerance:g}. Look at the geometry (far from what was trained on?), allow a larger "
        "tolerance, double precision or more steps, or train longer."
    )
