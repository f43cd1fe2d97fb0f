"""What fewer digits do to a forecast: bfloat16 where the network multiplies matrices, and where it must not be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.forecast.run import Run
from asteroid_nb.memory import giving_back
from asteroid_nb.metrics.horizon import ErrorTable

#: Windows whose forecasts are compared, and how many of them are forecast at a time.
MOST, AT_A_TIME = 256, 64


class Mixed:
    """A run whose network multiplies in bfloat16, as ``precision="bf16-mixed"`` trains it; geometry keeps all digits.

    Args:
        run: a trained one, which stays as it is.
        positions_too: round the positions it is shown as well, as a model without that care would.
    """

    def __init__(self, run: Run, *, positions_too: bool = False) -> None:
        self.run, self.positions_too = run, positions_too
        self.name = f"{run.name}, {'positions too' if positions_too else 'bfloat16'}"

    @property
    def device(self) -> torch.device:
        return self.run.device

    def forecast(self, window: Window) -> Tensor:
        """Return [windows, horizon, atoms, 3] Å."""
        if self.positions_too:
            window = window.replace(history=window.history.bfloat16().float())
        with torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False):
            return self.run.forecast(window)


@giving_back()
def differences(run: Run, windows: Windows, *, most: int = MOST) -> ErrorTable:
    """Return how far rounding moves a run's forecasts, as errors against its own with all digits, and its error.

    Args:
        run: a trained one.
        windows: which it has not been fitted on.
        most: windows used.
    """
    run.must_not_have_seen(windows)
    chosen = windows.subset(most=most)
    window = chosen[:]
    seen = window.replace(future=None)
    exact = _forecast(run, seen)
    found: dict[str, Any] = {
        "positions in bfloat16": _forecast(Mixed(run, positions_too=True), seen) - exact,
        "network in bfloat16": _forecast(Mixed(run), seen) - exact,
        "the forecast's own error": window.truth - exact,
    }
    return ErrorTable.of(
        {name: off.numpy() for name, off in found.items()},
        torch.zeros_like(exact).numpy(),
        dt_fs=window.dt_fs,
        atom_labels=chosen.trajectories[0].labels,
        starts=chosen.starts[:, 1],
        walkers=chosen.starts[:, 0],
    )


def _forecast(forecaster: Any, seen: Window) -> Tensor:
    return torch.cat([forecaster.forecast(part) for part in seen.pieces(AT_A_TIME)])
