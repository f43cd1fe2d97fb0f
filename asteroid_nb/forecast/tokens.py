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
        n_features, width = environment.n_features, settings.width
        self.register_buffer("atomic_numbers", torch.tensor(molecule.atomic_numbers), persistent=False)
        self.register_buffer("group", environment.group, persistent=False)
        self.weights = nn.Parameter(torch.randn(environment.n_groups, n_features, width) * n_features**-0.5)
        self.identity = nn.Parameter(torch.randn(environment.n_groups, width) * 0.1)
        self.element = nn.Embedding(119, width)
        self.time = nn.Embedding(n_times, width)
        self.registers = nn.Parameter(torch.randn(settings.registers, width))
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width))

    @property
    def who(self) -> Float[Tensor, "atoms width"]:
        """Return what tells atoms apart: their element and, in single-molecule mode, their identity."""
        return self.identity[self.group] + self.element(self.atomic_numbers)

    def forward(self, features: Tensor, first_time: int = 0) -> Float[Tensor, "windows times nodes width"]:
        windows, times = features.shape[:2]
        linear = by_group(features, self.weights, self.group)
        x = linear + self.mix(linear + self.who)
        x = torch.cat([x, self.registers.expand(windows, times, -1, -1)], dim=2)
        when = torch.arange(first_time, first_time + times, device=x.device)
        return x + self.time(when)[:, None]
