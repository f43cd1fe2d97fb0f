"""From what an atom sees to a token: one for each atom and time, and registers beside them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asteroid_nb.data.windows import Molecule
from asteroid_nb.forecast.environment import Environment
from asteroid_nb.forecast.groups import by_group
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.shapes import Float


class TokenEmbedding(nn.Module):
    """State, element, atom identity and time to tokens; registers are appended."""

    atomic_numbers: Tensor
    group: Tensor

    def __init__(self, settings: STISettings, molecule: Molecule, environment: Environment, n_times: int) -> None:
        super().__init__()
        width = settings.width
        self.register_buffer("atomic_numbers", torch.tensor(molecule.atomic_numbers), persistent=False)
        self._know_atoms(settings, molecule, environment)
        self.element = nn.Embedding(119, width)
        self.time = nn.Embedding(n_times, width)
        self.registers = nn.Parameter(torch.randn(settings.registers, width))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width))

    def _know_atoms(self, settings: STISettings, molecule: Molecule, environment: Environment) -> None:
        """Make the weights that tell atoms apart: here those of the environment's groups."""
        n_features, width = environment.n_features, settings.width
        self.register_buffer("group", environment.group, persistent=False)
        self.weights = nn.Parameter(torch.randn(environment.n_groups, n_features, width) * n_features**-0.5)
        self.identity = nn.Parameter(torch.randn(environment.n_groups, width) * 0.1)

    def of_groups(self) -> tuple[Tensor, Tensor]:
        """Return the weights [groups, features, width] and the identity [groups, width] of each group."""
        return self.weights, self.identity

    @property
    def who(self) -> Float[Tensor, "atoms width"]:
        """Return what tells atoms apart: their element and their group's identity."""
        return self._named(self.of_groups()[1])

    def _named(self, identity: Tensor) -> Tensor:
        return identity[self.group] + self.element(self.atomic_numbers)

    def forward(self, features: Tensor, first_time: int = 0) -> Float[Tensor, "windows times nodes width"]:
        windows, times = features.shape[:2]
        weights, identity = self.of_groups()
        linear = by_group(features, weights, self.group)
        x = linear + self.mix(linear + self._named(identity))
        x = torch.cat([x, self.registers.expand(windows, times, -1, -1)], dim=2)
        when = torch.arange(first_time, first_time + times, device=x.device)
        return x + self.time(when)[:, None]
