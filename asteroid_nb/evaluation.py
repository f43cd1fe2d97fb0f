"""Forecasters against the truth: the one place where wings and metrics meet, so that every rival is measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import ModelMismatch
from asteroid_nb.memory import giving_back
from asteroid_nb.metrics.horizon import ErrorTable

#: Windows forecast at a time, and atoms in them, of which large systems have many in each.
BATCH, BATCH_ATOMS = 64, 2**13


@giving_back()
@torch.no_grad()
def evaluate(forecasters: Any, windows: Windows, *, most: int = 1000) -> ErrorTable:
    """Return the errors of every forecaster on the same windows, spread evenly over them.

    Args:
        forecasters: one or several things with a ``name`` and ``forecast(window)``, or such things by another name.
        windows: which no forecaster has been fitted on; a `Split`'s ``test``.
        most: windows used.

    Raises:
        ModelMismatch: two forecasters share a name, or one was trained on other atoms, masses or spacing.
    """
    named = _by_name(forecasters)
    for forecaster in named.values():
        if hasattr(forecaster, "stride_for"):
            forecaster.stride_for(windows.trajectories[0])
    chosen = windows.subset(most=most)
    tables, together = [], min(BATCH, max(1, BATCH_ATOMS // chosen.molecule.n_atoms))
    for first in range(0, len(chosen), together):
        window = chosen[first : first + together]
        starts = chosen.starts[first : first + together]
        seen = window.replace(future=None)
        tables.append(
            ErrorTable.of(
                {name: forecaster.forecast(seen).cpu().numpy() for name, forecaster in named.items()},
                window.truth.cpu().numpy(),
                dt_fs=window.dt_fs,
                atom_labels=chosen.trajectories[0].labels,
                starts=starts[:, 1],
                walkers=starts[:, 0],
            )
        )
    return ErrorTable.join(tables)


def _by_name(forecasters: Any) -> dict[str, Any]:
    """Return forecasters by the names given, else by their own; raise `ModelMismatch` for one used twice."""
    if isinstance(forecasters, Mapping):
        return dict(forecasters)
    listed = [forecasters] if hasattr(forecasters, "forecast") else list(forecasters)
    names = [forecaster.name for forecaster in listed]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ModelMismatch(
            f"{names.count(twice[0])} forecasters are called {twice[0]!r}. Give each a name of its own: "
            "evaluate({name: forecaster, …}, windows)."
        )
    return dict(zip(names, listed, strict=True))
