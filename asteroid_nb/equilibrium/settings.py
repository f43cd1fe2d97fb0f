"""What an equilibrium force field is made of, what it is trained for, and how it is trained unless told otherwise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.fit_settings import FitSettings

#: No setting is larger: what a forged folder may not ask for.
LARGEST = 4096

LAYERS = ("vector", "attention")

#: How force fields are trained. Positions are looked at in full precision also on a GPU: a force is a difference.
FORCE_FIT = FitSettings(
    n_epochs=200, batch_size=8, learning_rate=1e-3, weight_decay=1e-4, clip_norm=10.0, ema_decay=0.998,
    precision="32-true",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ForceFieldSettings:
    """A force field whose layer is applied until nothing changes, or its explicit twin.

    Args:
        layer: "vector", one scalar and one vector a channel (PaiNN-like); "attention", equivariant graph attention
            up to ``l_max`` (EquiformerV2-like).
        depth: blocks of the explicit twin, each with weights of its own; 0 is the equilibrium model.
        width: channels.
        l_max: highest degree of the features of "attention"; "vector" has 1.
        heads: of "attention".
        cutoff_ang: beyond it atoms do not see each other.
        n_radial: functions of the distance.
        direct: forces come from a head of their own, not from the energy.

    Raises:
        InvalidSettings: a number of another type or outside its range.
    """

    layer: str = "vector"
    depth: int = 0
    width: int = 64
    l_max: int = 1
    heads: int = 4
    cutoff_ang: float = 5.0
    n_radial: int = 16
    direct: bool = False

    def __post_init__(self) -> None:
        if self.layer not in LAYERS:
            raise InvalidSettings(f"No layer is called {self.layer!r}; there are {' and '.join(LAYERS)}.")
        _whole(self, depth=(0, 64), width=(1, LARGEST), l_max=(1, 3), heads=(1, 64), n_radial=(1, 256))
        if not isinstance(self.direct, bool):
            raise InvalidSettings(f"direct was {self.direct!r}; it must be True or False.")
        if not _is_number(self.cutoff_ang) or not 0.5 <= self.cutoff_ang <= 50:
            raise InvalidSettings(f"cutoff_ang was {self.cutoff_ang!r}; it must be from 0.5 to 50 Å.")
        if self.layer == "vector" and self.l_max != 1:
            raise InvalidSettings(f"The layer 'vector' has l_max 1, found {self.l_max}. Choose layer='attention'.")
        if self.layer == "attention" and self.width % self.heads:
            raise InvalidSettings(f"heads {self.heads} must divide width {self.width}. Change one of them.")

    @property
    def implicit(self) -> bool:
        return self.depth == 0

    @property
    def n_components(self) -> int:
        """Return the numbers a channel has: one scalar, three of a vector, five of l = 2, …"""
        return (self.l_max + 1) ** 2

    @property
    def degrees(self) -> list[int]:
        """Return the degree of each component, in e3nn's order."""
        return [degree for degree in range(self.l_max + 1) for _ in range(2 * degree + 1)]

    def replace(self, **changes: Any) -> ForceFieldSettings:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class ForceObjective:
    """What training makes small, and how it looks for fixed points meanwhile.

    Args:
        energy_weight: of the energy error per atom against the force error, both in units of the forces' RMS.
        forward: solver of z and λ in training.
        backward: solver of the two adjoint equations.
        validation: solver in validation and wherever the trained model is asked.
        gradients: "implicit" solves the adjoint equations; "phantom" takes their first ``phantom_steps`` terms.
        phantom_steps: terms of the series; 0 takes the Jacobian for zero.
        contraction_weight: of ‖Jᵀε‖² per number, added while solving takes more than ``most_steps``.
        most_steps: evaluations of f, mean over a batch, up to which nothing is added.

    Raises:
        InvalidSettings: a number outside its range.

    Reference:
        Bai, Kolter & Koltun (2019), arXiv:1909.01377; (2021), arXiv:2106.14342 for the Jacobian's penalty; Geng et al.
        (2021), arXiv:2111.05177 for phantom gradients.
    """

    energy_weight: float = 1.0
    forward: Solver = field(default_factory=lambda: Solver(tolerance=3e-3, max_steps=40))
    backward: Solver = field(default_factory=lambda: Solver(tolerance=1e-2, max_steps=40))
    validation: Solver = field(default_factory=lambda: Solver(tolerance=1e-4, max_steps=100))
    gradients: str = "implicit"
    phantom_steps: int = 5
    contraction_weight: float = 0.1
    most_steps: float = 7.5

    def __post_init__(self) -> None:
        for name in ("energy_weight", "contraction_weight"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise InvalidSettings(f"{name} was {getattr(self, name)!r}; it must not be negative.")
        if self.gradients not in ("implicit", "phantom"):
            raise InvalidSettings(f"gradients was {self.gradients!r}; it must be 'implicit' or 'phantom'.")
        if not _is_number(self.most_steps) or not 1 <= self.most_steps <= 1000:
            raise InvalidSettings(f"most_steps was {self.most_steps!r}; it must be from 1 to 1000.")
        _whole(self, phantom_steps=(0, 100))

    def replace(self, **changes: Any) -> ForceObjective:
        return dataclasses.replace(self, **changes)


def _whole(settings: Any, **ranges: tuple[int, int]) -> None:
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InvalidSettings(f"{name} was {value!r}; it must be a whole number from {least} to {most}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


#: Models by name: "small" learns a molecule on a laptop, "large" is for a GPU.
PRESETS = {
    "small": ForceFieldSettings(),
    "large": ForceFieldSettings(layer="attention", l_max=2, width=64),
}


def preset(name: str, **changes: Any) -> ForceFieldSettings:
    """Return the settings of a preset, some of them changed.

    Raises:
        InvalidSettings: no such preset, or a value outside its range.
    """
    if name not in PRESETS:
        raise InvalidSettings(f"No force field is called {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name].replace(**changes)
