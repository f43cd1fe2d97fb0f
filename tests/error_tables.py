"""Tables of errors whose windows are stored in no order of walker or start, for tests of what shows them."""

from __future__ import annotations

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable

NAMES = ("model", "copy", "ridge")


def error_table(
    n_windows: int = 12, n_leads: int = 8, labels: tuple[str, ...] = ("C1", "O1", "<b>H1</b>"), names=NAMES
) -> ErrorTable:
    """Return errors that grow with lead time, the second forecaster's twice the first's, the third's three times it.

    Only those of a mean, as that of the history, are the same at all lead times.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n_windows, n_leads, len(labels), 3)).astype(np.float32)
    noise *= rng.permutation(np.linspace(0.01, 0.04, n_windows)).astype(np.float32)[:, None, None, None]
    growing = np.arange(1, n_leads + 1, dtype=np.float32)[:, None, None]
    growth = {name: np.full_like(growing, n_leads / 2) if name.startswith("mean") else growing for name in names}
    return ErrorTable.of(
        {name: (1 + place) * growth[name] * noise for place, name in enumerate(names)},
        np.zeros_like(noise),
        dt_fs=2.0,
        atom_labels=labels,
        starts=rng.permutation(n_windows) * 10,
        walkers=rng.integers(0, 3, n_windows),
    )
