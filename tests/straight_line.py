"""A task so small that training takes milliseconds: three weights, noisy steps, and a script for what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

#: What the weights should become.
TRUTH = torch.tensor([[1.0], [-2.0], [0.5]])


class Line:
    """y = w · x by least squares; each step also draws from torch's global generator, as dropout would.

    Args:
        validations: what `validate` returns, epoch after epoch, instead of the true error.
        broken_step: the step, counted over the whole training, whose loss is NaN.
        identity: what a resumed training must share.
    """

    def __init__(self, *, validations: list[float] | None = None, broken_step: int | None = None, **identity: Any):
        torch.manual_seed(3)
        self.model = nn.Linear(3, 1, bias=False)
        self.validations, self.broken_step, self.identity = validations, broken_step, identity
        self.seen: list[Tensor] = []
        self.weights: list[Tensor] = []
        self.n_validated = 0

    n_steps = 5

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.n_steps):
            yield torch.randn(8, 3, generator=generator).to(device)

    def loss(self, model: nn.Module, batch: Tensor, *, done: float) -> dict[str, Tensor]:
        assert 0 <= done < 1
        self.weights.append(self.model.weight.detach().clone())
        self.seen.append(batch)
        noisy = batch + 0.1 * torch.randn_like(batch)
        scale = math.nan if len(self.seen) - 1 == self.broken_step else 1.0
        return {"loss": scale * (model(noisy) - batch @ TRUTH.to(batch)).square().mean()}

    def validate(self, model: Any, *, device: torch.device) -> float:
        self.n_validated += 1
        if self.validations is not None:
            return self.validations[self.n_validated - 1]
        return float((model.weight.cpu() - TRUTH.T).square().mean())


class Watcher:
    """An observer that notes what it is told and asks to stop after a number of steps, if one is given."""

    def __init__(self, *, stop_after: int | None = None, broken: str = "") -> None:
        self.stop_after, self.broken = stop_after, broken
        self.told: list[tuple[str, Any]] = []
        self.stopped = False

    def start(self, *, total_epochs: int, n_steps: int) -> None:
        self._note("start", (total_epochs, n_steps))

    def step(self, epoch: int, index: int, *, loss: float, seconds_left: float) -> None:
        self._note("step", (epoch, index))
        assert math.isfinite(loss) and seconds_left >= 0
        self.stopped = sum(what == "step" for what, _ in self.told) == self.stop_after

    def update(self, record: dict[str, float]) -> None:
        self._note("update", record)

    def finish(self, message: str) -> None:
        self._note("finish", message)

    def all_of(self, what: str) -> list[Any]:
        return [value for kind, value in self.told if kind == what]

    def _note(self, what: str, value: Any) -> None:
        self.told.append((what, value))
        if what == self.broken:
            raise ZeroDivisionError(f"broken in {what}")


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in record.items() if not key.startswith("seconds")} for record in history]
