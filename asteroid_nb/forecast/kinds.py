"""Kinds of atoms: what atoms of several molecules share weights by, where an index means nothing.

An atom's kind is its element and its bonded neighbourhood, in levels: "C", then "C(C H H H)", then with the neighbours'
neighbours. Its weights are the sum over the levels, so that an atom of a molecule never learnt from still has those of
the levels that are known, its element's at least.

Reference:
    Rogers & Hahn (2010), doi:10.1021/ci100050t, for neighbourhoods grown bond by bond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.data.windows import Molecule
from asteroid_nb.errors import InvalidSettings, ModelMismatch
from asteroid_nb.forecast.environment import MOST_NEIGHBOURS, Environment
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.tokens import TokenEmbedding
from asteroid_nb.shapes import Int

#: Bonds that the finest level looks along.
REACH = 2


def neighbourhoods(molecule: Molecule) -> list[list[str]]:
    """Return the name of every atom's kind at each level, the coarsest first."""
    symbols = [SYMBOLS[number] for number in molecule.atomic_numbers]
    bonded: list[list[int]] = [[] for _ in symbols]
    for one, other in molecule.bonds.tolist():
        bonded[one].append(other)
        bonded[other].append(one)
    levels = [symbols]
    for _ in range(REACH):
        last = levels[-1]
        around = (" ".join(sorted(last[other] for other in others)) for others in bonded)
        levels.append([f"{symbol}({names})" for symbol, names in zip(symbols, around, strict=True)])
    return levels


def likeness(molecule: Molecule) -> Int[np.ndarray, " atoms"]:
    """Return numbers that order atoms by element and bonded elements, the same way in every molecule."""
    return np.unique(neighbourhoods(molecule)[1], return_inverse=True)[1]


@dataclass(frozen=True)
class Kinds:
    """The kinds of atoms a network has weights for.

    Args:
        levels: their names at each level, in order.
        slots: neighbours whose motion a token holds, at most.

    Raises:
        InvalidSettings: levels that are empty or out of order, or slots no molecule has.
    """

    levels: tuple[tuple[str, ...], ...]
    slots: int

    def __post_init__(self) -> None:
        ordered = all(level and list(level) == sorted(set(level)) for level in self.levels)
        if len(self.levels) != REACH + 1 or not ordered or not 1 <= self.slots <= MOST_NEIGHBOURS:
            raise InvalidSettings(
                f"Kinds need {REACH + 1} levels of names in order and 1 to {MOST_NEIGHBOURS} slots, found "
                f"{[len(level) for level in self.levels]} names and {self.slots} slots."
            )

    @classmethod
    def of(cls, molecules: Sequence[Molecule]) -> Kinds:
        """Return all kinds of some molecules."""
        named = [neighbourhoods(molecule) for molecule in molecules]
        levels = tuple(tuple(sorted({name for each in named for name in each[level]})) for level in range(REACH + 1))
        return cls(levels, min(MOST_NEIGHBOURS, max(molecule.n_atoms for molecule in molecules)))

    @classmethod
    def read(cls, record: Any) -> Kinds:
        """Return what `written` made a record of."""
        return cls(tuple(tuple(str(name) for name in level) for level in record["levels"]), int(record["slots"]))

    def written(self) -> dict[str, Any]:
        return {"levels": [list(level) for level in self.levels], "slots": self.slots}

    def n_weights(self, settings: STISettings) -> int:
        """Return how many weights one embedding has for them."""
        return sum(map(len, self.levels)) * settings.width * (settings.seen_frames * self.slots * 3 + 1)

    def groups(self, molecule: Molecule) -> tuple[Int[np.ndarray, " atoms"], Int[np.ndarray, "levels groups"]]:
        """Return each atom's group, and each group's place at every level, −1 where the level does not know it.

        Raises:
            ModelMismatch: an element that is not among them.
        """
        named = neighbourhoods(molecule)
        if unknown := sorted(set(named[0]) - set(self.levels[0])):
            raise ModelMismatch(
                f"The network has never seen {', '.join(unknown)}; it has learnt from {', '.join(self.levels[0])}. "
                "Train it on molecules with these elements."
            )
        _, first, group = np.unique(named[-1], return_index=True, return_inverse=True)
        places = [{name: place for place, name in enumerate(level)} for level in self.levels]
        found = [[where.get(names[atom], -1) for atom in first] for where, names in zip(places, named, strict=True)]
        return group, np.array(found)


class KindWeights(nn.Module):
    """What every kind of every level adds to an atom's weights and identity; finer levels begin at nothing."""

    def __init__(self, kinds: Kinds, settings: STISettings) -> None:
        super().__init__()
        shape = (settings.seen_frames, kinds.slots, 3, settings.width)
        scale = (settings.seen_frames * kinds.slots * 3) ** -0.5
        share = [1.0] + [0.0] * REACH
        self.maps = nn.ParameterList(
            torch.randn(len(level), *shape) * scale * kept for level, kept in zip(kinds.levels, share, strict=True)
        )
        self.names = nn.ParameterList(
            torch.randn(len(level), settings.width) * 0.1 * kept
            for level, kept in zip(kinds.levels, share, strict=True)
        )

    def forward(self, places: Int[Tensor, "levels groups"], n_slots: int) -> tuple[Tensor, Tensor]:
        """Return weights [groups, features, width] of the first slots, and identities [groups, width]."""
        maps = _summed([one[:, :, :n_slots] for one in self.maps], places)
        return maps.flatten(1, 3), _summed(list(self.names), places)


def _summed(levels: list[Tensor], places: Tensor) -> Tensor:
    """Return the sum over the levels that know a group."""
    known = (places >= 0).to(levels[0].dtype)
    parts = zip(levels, places.clamp(min=0), known, strict=True)
    return torch.stack([level[place] * here.view(-1, *[1] * (level.ndim - 1)) for level, place, here in parts]).sum(0)


class KindEmbedding(TokenEmbedding):
    """Tokens whose weights belong to kinds of atoms instead of atoms.

    Args:
        kinds: that there are weights for.
    """

    places: Tensor

    def __init__(
        self, settings: STISettings, molecule: Molecule, environment: Environment, n_times: int, kinds: Kinds
    ) -> None:
        self._kinds = kinds
        super().__init__(settings, molecule, environment, n_times)
        self.n_orders, self.n_neighbours = settings.seen_frames, environment.neighbours.shape[1]

    def _know_atoms(self, settings: STISettings, molecule: Molecule, environment: Environment) -> None:
        group, places = self._kinds.groups(molecule)
        self.register_buffer("group", torch.as_tensor(group), persistent=False)
        self.register_buffer("places", torch.as_tensor(places), persistent=False)
        self.kinds = KindWeights(self._kinds, settings)

    def of_groups(self) -> tuple[Tensor, Tensor]:
        return self.kinds(self.places, min(self._kinds.slots, self.n_neighbours))

    def forward(self, features: Tensor, first_time: int = 0) -> Tensor:
        if self.n_neighbours > self._kinds.slots:
            around = features.unflatten(-1, (self.n_orders, self.n_neighbours, 3))
            features = around[..., : self._kinds.slots, :].flatten(-3)
        return super().forward(features, first_time)
