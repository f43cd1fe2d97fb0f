"""Two network rivals without STI: an LSTM and a plain Transformer, each frame one token, in the superposed frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asteroid_nb.data.windows import Molecule, Window, Windows
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.forecast.placing import placed
from asteroid_nb.progress import Observer


class FrameNetwork(nn.Module):
    """Reads displacements frame by frame and adds to the constant-velocity forecast.

    Args:
        molecule: whose structure the first history frame is superposed on.
        history: frames seen.
        horizon: frames ahead.
        core: "LSTM" or "Transformer".
        width: of its state.
        layers: of its core.
    """

    reference: Tensor
    step_ang: Tensor

    def __init__(
        self, molecule: Molecule, *, history: int, horizon: int, core: str, width: int = 192, layers: int = 2
    ) -> None:
        super().__init__()
        self.name, self.horizon, self.molecule = ("LSTM" if core == "LSTM" else "plain Transformer"), horizon, molecule
        self.register_buffer("reference", torch.as_tensor(molecule.reference).float())
        self.register_buffer("step_ang", torch.ones(()))
        self.embed = nn.Linear(2 * 3 * molecule.n_atoms, width)
        self.when = nn.Parameter(torch.randn(history, width) * 0.02)
        if core == "LSTM":
            self.core = nn.LSTM(width, width, layers, batch_first=True)
        else:
            layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
            self.core = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, horizon * 3 * molecule.n_atoms)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forecast(self, window: Window) -> Tensor:
        """Return the forecast where the window lies."""
        inside, back = placed(window.replace(future=None), "window", self.reference)
        return back(self(inside))

    def forward(self, window: Window) -> Tensor:
        """Return the forecast for a window already superposed."""
        seen = window.history
        steps = torch.diff(seen, dim=1, prepend=seen[:, :1])
        tokens = torch.cat([seen - self.reference, steps / self.step_ang], dim=-1).flatten(2)
        x = self.core(self.embed(tokens) + self.when)
        x = x[0] if isinstance(x, tuple) else x
        added = self.head(x[:, -1]).unflatten(-1, (self.horizon, -1, 3)) * self.step_ang
        leads = torch.arange(1, self.horizon + 1, device=seen.device).view(1, -1, 1, 1)
        return seen[:, -1:] + leads * steps[:, -1:] * torch.exp(-leads / 4) + leads * added


@dataclass
class NetworkTask:
    """A `FrameNetwork` as a `Task` of `asteroid_nb.fitting`, with every lead time counting alike."""

    model: FrameNetwork
    train: Windows
    validation: Windows
    batch_size: int

    def __post_init__(self) -> None:
        some = self.prepare(self.train.subset(most=2048)[:])
        self.model.step_ang.copy_(torch.diff(some.history, dim=1).square().mean().sqrt())
        self.copy_error = (some.truth - some.history[:, -1:]).square().mean((0, 2, 3))

    @property
    def n_steps(self) -> int:
        return -(-len(self.train) // self.batch_size)

    def prepare(self, window: Window) -> Window:
        return placed(window, "window", self.model.reference)[0]

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Window]:
        for window in self.train.batches(self.batch_size, shuffle_seed=seed, device=device):
            yield self.prepare(window)

    def loss(self, model: nn.Module, batch: Window, *, done: float) -> dict[str, Tensor]:
        return {"loss": self._relative(model(batch), batch).mean()}

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        windows = self.validation.subset(most=1024).batches(256, device=device)
        errors = [self._relative(model(window), window) for window in map(self.prepare, windows)]
        return float(torch.stack(errors).mean(0).sqrt().mean())

    def _relative(self, forecast: Tensor, window: Window) -> Tensor:
        return (forecast - window.truth).square().mean((0, 2, 3)) / self.copy_error.to(forecast)


def network_rivals(
    train: Windows, validation: Windows, settings: FitSettings, *, observers: tuple[Observer, ...] = ()
) -> list[FrameNetwork]:
    """Return the LSTM and the plain Transformer, trained."""
    rivals = []
    for core in ("LSTM", "Transformer"):
        torch.manual_seed(settings.seed)
        shape = train.shape
        model = FrameNetwork(train.molecule, history=shape.history, horizon=shape.horizon, core=core)
        fit(NetworkTask(model, train, validation, settings.batch_size), settings, observers=observers)
        rivals.append(model)
    return rivals
