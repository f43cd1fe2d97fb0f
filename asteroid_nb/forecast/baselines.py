"""The simple rivals every figure shows: copy, mean, constant velocity, autoregression and the closed-form ridge maps.

All are fitted on training windows, choose what is to be chosen on validation windows, and see nothing of a window but
its history.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from asteroid_nb.data.windows import Molecule, Window, Windows
from asteroid_nb.forecast.environment import TOGETHER, Environment, difference_matrix
from asteroid_nb.forecast.linear import LinearSkip, Moments, best_strength, chunk_windows, gathered_windows
from asteroid_nb.forecast.placing import placed
from asteroid_nb.memory import giving_back
from asteroid_nb.shapes import Float

#: Atoms that one ridge map sees all of.
MOST_SEEN = 256

#: Frames of history that the ridge maps may use; validation chooses.
RIDGE_FRAMES = (2, 4, 8, 16)


class Baseline(ABC):
    """A forecaster that needs no training loop.

    Args:
        horizon: frames ahead.
    """

    name: str

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon

    def fit(self, train: Windows, validation: Windows) -> Baseline:
        """Learn from training windows what is to be learnt; most have nothing."""
        return self

    @abstractmethod
    def forecast(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return the forecast where the window lies."""


class Copy(Baseline):
    """The present frame, held."""

    name = "copy"

    def forecast(self, window: Window) -> Tensor:
        return window.history[:, -1:].expand(-1, self.horizon, -1, -1)


class MeanOfHistory(Baseline):
    """The mean of the history: what remains when vibrations are forgotten."""

    name = "mean of history"

    def forecast(self, window: Window) -> Tensor:
        return window.history.mean(1, keepdim=True).expand(-1, self.horizon, -1, -1)


class ConstantVelocity(Baseline):
    """The last step, repeated."""

    name = "constant velocity"

    def forecast(self, window: Window) -> Tensor:
        last = window.history[:, -1:]
        step = last - window.history[:, -2:-1]
        return last + step * torch.arange(1, self.horizon + 1, device=last.device).view(1, -1, 1, 1)


class Autoregression(Baseline):
    """AR(order), direct: for each lead time one set of coefficients that every coordinate of every atom shares.

    Coordinates are taken about their mean over the history.
    """

    def __init__(self, horizon: int, order: int = 9) -> None:
        super().__init__(horizon)
        self.order, self.name = order, f"AR({order})"

    def fit(self, train: Windows, validation: Windows) -> Autoregression:
        self.order = min(self.order, train.shape.history)
        self.name = f"AR({self.order})"
        together = gathered_windows(train)
        moments = Moments.of(map(self._pairs, train.enough().batches(together)))
        judged = map(self._pairs, validation.subset(most=2 * chunk_windows(train)).batches(together))
        size = float(moments.sums[2].diagonal(dim1=-2, dim2=-1).mean() / moments.count)
        _, weights, _ = best_strength(moments, judged, horizon=self.horizon, intercept=False, unit=1e-4 * size)
        self.weights = weights[0]
        return self

    def _seen(self, window: Window) -> Float[Tensor, "windows atoms 3 order"]:
        around = window.history - window.history.mean(1, keepdim=True)
        return around[:, -self.order :].movedim(1, -1)

    def _pairs(self, window: Window) -> tuple[Tensor, Tensor]:
        following = (window.truth - window.history.mean(1, keepdim=True)).movedim(1, -1)
        return self._seen(window).reshape(1, -1, self.order), following.reshape(1, -1, self.horizon)

    def forecast(self, window: Window) -> Tensor:
        following = self._seen(window) @ self.weights.to(window.history)
        return window.history.mean(1, keepdim=True) + following.movedim(-1, 1)


class EquivariantRidge(Baseline):
    """All atoms' past to every atom's future, one coefficient set for x, y and z, relative to the last centroid."""

    name = "ridge, equivariant"

    def fit(self, train: Windows, validation: Windows) -> EquivariantRidge:
        chunk, together = chunk_windows(train), gathered_windows(train)
        some, best = train.subset(most=chunk)[:], torch.inf
        for frames in (f for f in RIDGE_FRAMES if f <= train.shape.history):
            self._set_frames(frames, some)
            moments = Moments.of(map(self._pairs, train.enough().batches(together)))
            judged = map(self._pairs, validation.subset(most=2 * chunk).batches(together))
            error, weights, _ = best_strength(moments, judged, horizon=self.horizon, intercept=False)
            if error < best:
                best, kept = error, (frames, self.scale, weights[0])
        self.frames, self.scale, self.weights = kept
        self.differences = difference_matrix(self.frames)
        return self

    def _set_frames(self, frames: int, some: Window) -> None:
        self.frames, self.differences = frames, difference_matrix(frames)
        self.scale = torch.ones(frames)
        self.scale = self._orders(some).square().mean((0, 1, 3)).sqrt().clamp(min=1e-8)

    def _orders(self, window: Window) -> Float[Tensor, "windows 3 orders atoms"]:
        lagged = (window.history - window.history[:, -1:].mean(2, keepdim=True)).flip(1)[:, : self.frames]
        orders = torch.einsum("kl,wlnc->wckn", self.differences.to(lagged), lagged)
        return orders / self.scale.to(lagged)[:, None]

    def _pairs(self, window: Window) -> tuple[Tensor, Tensor]:
        x = self._orders(window).flatten(0, 1).flatten(1)
        moved = (window.truth - window.history[:, -1:]).movedim(-1, 1)
        return x[None], moved.flatten(0, 1).flatten(1)[None]

    def forecast(self, window: Window) -> Tensor:
        x = self._orders(window).flatten(2)
        moved = (x @ self.weights.to(x)).unflatten(-1, (self.horizon, -1)).movedim(1, -1)
        return window.history[:, -1:] + moved


class FrameRidge(Baseline):
    """A ridge map for each atom from everybody's past, in one of two frames.

    Args:
        frame: "window" superposes the first history frame on a training reference and turns the forecast back; "local"
            is the atom's own frame, as in the map our network starts from.
        frames: of history used; chosen on validation windows when not given.
    """

    def __init__(self, horizon: int, *, frame: str = "window", frames: int | None = None) -> None:
        super().__init__(horizon)
        self.frame, self.frames = frame, frames
        self.name = {"window": "ridge, superposed", "local": "ridge, local frames"}[frame]

    def fit(self, train: Windows, validation: Windows) -> FrameRidge:
        choices = RIDGE_FRAMES if self.frames is None else (self.frames,)
        fitted = [
            _RidgeMap(train.molecule, frames, self.horizon, self.frame)
            for frames in choices
            if frames <= train.shape.history
        ]
        errors = [each.fit(train, validation) for each in fitted]
        self.map = fitted[errors.index(min(errors))]
        return self

    @torch.no_grad()
    def forecast(self, window: Window) -> Tensor:
        return self.map(window)


class _RidgeMap(nn.Module):
    """One choice of frames, fitted."""

    reference: Tensor

    def __init__(self, molecule: Molecule, frames: int, horizon: int, frame: str) -> None:
        super().__init__()
        self.frame = frame
        self.environment = Environment(molecule, seen_frames=frames, frame="local" if frame == "local" else "fixed")
        self.skip = LinearSkip(self.environment, horizon=horizon, kind="ridge")
        self.register_buffer("reference", torch.as_tensor(molecule.reference).float())

    @giving_back()
    @torch.no_grad()
    def fit(self, train: Windows, validation: Windows) -> float:
        """Return the validation error in Å, averaged over lead times."""
        place = lambda window: placed(window, self.frame, self.reference)[0]  # noqa: E731
        some, present = train.subset(most=4 * chunk_windows(train)), torch.tensor([train.shape.history - 1])
        self.environment.fit(lambda: (place(part).history for part in some.batches(TOGETHER)), present)
        self.skip.fit(self.environment, train, validation, place)
        checked = validation.subset(most=chunk_windows(train))
        squared = [(self(part) - part.truth).square().mean((2, 3)) for part in checked.batches(gathered_windows(train))]
        return float(torch.cat(squared).mean(0).sqrt().mean())

    def forward(self, window: Window) -> Tensor:
        inside, back = placed(window.replace(future=None), self.frame, self.reference)
        present = torch.tensor([window.history.shape[1] - 1], device=window.history.device)
        return back(self.skip(self.environment(inside.history, present))[:, 0, 1:])


@giving_back()
def rivals(train: Windows, validation: Windows) -> list[Baseline]:
    """Return every closed-form rival, fitted; the last is the local ridge that our network starts from.

    Molecules of fewer than three atoms have no frames, and so no ridge in them; above `MOST_SEEN` atoms there is no
    ridge map from all atoms to all, whose weights would not fit into memory.
    """
    makes: list[Callable[[int], Baseline]] = [Copy, MeanOfHistory, ConstantVelocity, Autoregression]
    if train.molecule.n_atoms <= MOST_SEEN:
        makes.append(EquivariantRidge)
    if train.molecule.n_atoms >= 3:
        makes += [FrameRidge, lambda horizon: FrameRidge(horizon, frame="local")]
    bar = tqdm(makes, desc="rivals", unit="fit", leave=False)
    return [make(train.shape.horizon).fit(train, validation) for make in bar]
