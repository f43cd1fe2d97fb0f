"""Where a solver starts in the next MD step: policies that guess the new fixed point from earlier ones.

Starting from the last fixed point, as arXiv:2509.08734 does, leaves errors that know the direction of time, and a
loosely converged run heats; guesses that are smoother or reversible in time do so less. Which policy is worth what is
measured by ``asteroid-nb bench equilibrium``.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asteroid_nb.equilibrium.fixed_point import Secants, Solver
from asteroid_nb.equilibrium.forces import Answer, Start
from asteroid_nb.errors import InvalidSettings

BASES = ("cold", "previous", "linear", "quadratic", "xl")

RECYCLE = "+recycle"

#: Every policy by name.
POLICIES = tuple(base + end for base in BASES for end in ("", RECYCLE))

#: Weights of the last fixed points: the polynomial through them, one step further.
EXTRAPOLATION = {"previous": (1.0,), "linear": (2.0, -1.0), "quadratic": (3.0, -3.0, 1.0)}

#: Of the extended Lagrangian scheme with weak dissipation: κ, α and c₀ … c₅ for K = 5.
#: Niklasson et al. (2009), doi:10.1063/1.3148075, table I.
XL_KAPPA, XL_ALPHA, XL_WEIGHTS = 1.82, 0.018, (-6.0, 14.0, -8.0, -3.0, 4.0, -1.0)

#: An atom that moved further since the last call is in another place: what was kept is dropped.
FARTHEST_ANG = 0.3

#: A guess whose first residual is larger was none: what was kept is dropped.
WORST_GUESS = 0.3


@dataclass(frozen=True)
class Policy:
    """A guess and whether secants are kept, by name: "linear" or "linear+recycle".

    Raises:
        InvalidSettings: no such policy.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in POLICIES:
            raise InvalidSettings(f"No warm start is called {self.name!r}; there are {', '.join(POLICIES)}.")

    @property
    def base(self) -> str:
        return self.name.removesuffix(RECYCLE)

    @property
    def recycles(self) -> bool:
        return self.name.endswith(RECYCLE)

    def solver(self, solver: Solver) -> Solver:
        """Return the solver that goes with it."""
        return dataclasses.replace(solver, method="recycling") if self.recycles else solver


class Guess:
    """Guesses one quantity from its history."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.known: deque[Tensor] = deque(maxlen=len(EXTRAPOLATION["quadratic"]))
        self.auxiliary: deque[Tensor] = deque(maxlen=len(XL_WEIGHTS))

    def next(self) -> Tensor | None:
        """Return a guess of what comes next, None without a history."""
        if self.base == "cold" or not self.known:
            return None
        if self.base == "xl":
            return self.auxiliary[0]
        fits = list(EXTRAPOLATION.values())[min(len(self.known), len(EXTRAPOLATION[self.base])) - 1]
        return _combined(fits, self.known)

    def add(self, found: Tensor) -> None:
        """Take notice of what came."""
        self.known.appendleft(found)
        if self.base == "xl":
            self._advance(found)

    def _advance(self, found: Tensor) -> None:
        """Move the auxiliary one step on: an oscillator around the fixed point, reversible but for the dissipation."""
        if not self.auxiliary:
            self.auxiliary.extend([found] * len(XL_WEIGHTS))
        last, before = self.auxiliary[0], self.auxiliary[1]
        damping = XL_ALPHA * _combined(XL_WEIGHTS, self.auxiliary)
        self.auxiliary.appendleft(2 * last - before + XL_KAPPA * (found - last) + damping)


class WarmStart:
    """Keeps what one system's last solves left, and guesses where the next ones should start.

    Args:
        policy: one of `POLICIES`.
    """

    def __init__(self, policy: str | Policy) -> None:
        self.policy = Policy(policy) if isinstance(policy, str) else policy
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next solve starts cold."""
        self.z, self.adjoint = Guess(self.policy.base), Guess(self.policy.base)
        self.z_secants: Secants | None = None
        self.adjoint_secants: Secants | None = None
        self.positions: Tensor | None = None
        self.guessed = False

    def start(self, positions: Tensor) -> Start:
        """Return where to start at new positions [molecules, atoms, 3] Å; cold where the old ones are too far."""
        if self.positions is not None and not _near(positions, self.positions):
            self.reset()
        begin = Start(self.z.next(), self.adjoint.next(), self.z_secants, self.adjoint_secants)
        self.guessed = begin.z is not None
        return begin

    def update(self, answer: Answer, positions: Tensor) -> None:
        """Keep what the solves at these positions found."""
        if answer.z is None:
            return
        parts = [part for part in (answer.z, answer.adjoint) if part is not None]
        dropped = self.guessed and any(float(part.residuals[0].max()) > WORST_GUESS for part in parts)
        if dropped:
            self.reset()
        self.positions = positions.detach()
        self.z.add(answer.z.z.detach())
        if answer.adjoint is not None:
            self.adjoint.add(answer.adjoint.z.detach())
        if self.policy.recycles and not dropped:
            self.z_secants = answer.z.secants
            self.adjoint_secants = None if answer.adjoint is None else answer.adjoint.secants


def _combined(weights: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(tensors[0])
    for weight, tensor in zip(weights, tensors, strict=False):
        total = total.add(tensor, alpha=weight)
    return total


def _near(new: Tensor, old: Tensor) -> bool:
    return new.shape == old.shape and float((new - old).square().sum(-1).max()) <= FARTHEST_ANG**2
