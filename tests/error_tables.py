"""Tables of errors whose windows are stored in no order of walker or start, for tests of what shows them."""

from __future__ import annotations

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable

NAMES = ("model", "copy", "ridge")


def error_table(
    n_windows: int = 12, n_leads: int = 8, labels: tuple[str, ...] = ("C1", "O1", "<b>H1</b>"), names=NAMES
) -> ErrorTable:
    """Return errors that grow with lead time; those of the forecasters are in the ratio 1 to 2 to 3, repeated."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n_windows, n_leads, len(labels), 3)).astype(np.float32)
    size = rng.permutation(np.linspace(0.01, 0.04, n_windows))[:, None] * np.arange(1, n_leads + 1)
    errors = noise * size[..., None, None].astype(np.float32)
    return ErrorTable.of(
        {name: (1 + place % 3) * errors for place, name in enumerate(names)},
        np.zeros_like(noise),
        dt_fs=2.0,
        atom_labels=labels,
        starts=rng.permutation(n_windows) * 10,
        walkers=rng.integers(0, 3, n_windows),
    )
