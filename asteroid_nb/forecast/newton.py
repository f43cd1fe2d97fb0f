"""Forecasts by Newton's equations with a learned potential: the rival that forecasts are rarely held against.

Positions of the last frames give the velocity, velocity Verlet the rest: of many windows at once, on tensors, for which
no library's integrator is made.

Reference:
    Swope et al. (1982), doi:10.1063/1.442716, for the integrator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.potential import LONGEST_FS, Potential, learn_potential
from asteroid_nb.progress import Observer
from asteroid_nb.shapes import Float

#: Frames before the present that a velocity must lead back to, where frames are far apart, and how often it is mended.
FRAMES_BACK, MENDED = 2, 2

#: Å/fs by which a velocity is changed to see what follows, and how much it costs in Å² to change it by one Å/fs.
NUDGE, STIFFNESS = 1e-4, 1e-1

#: Windows whose velocities are mended together, each nudged in every coordinate.
CHUNK_WINDOWS = 64

#: Everything above that forecasts depend on.
CHOICES = (FRAMES_BACK, MENDED, NUDGE, STIFFNESS)


class LearnedNewton:
    """A forecaster that integrates a learned potential.

    Args:
        potential: of the molecule.
        horizon: frames ahead.
        step_fs: of the integrator, at most; the spacing of the frames it was learnt from.
    """

    name = "learned Newton"

    def __init__(self, potential: Potential, *, horizon: int, step_fs: float) -> None:
        self.potential, self.horizon, self.step_fs = potential, horizon, step_fs

    @classmethod
    def fit(
        cls, train: Windows, validation: Windows, *, observers: Sequence[Observer] | None = None, **options: Any
    ) -> LearnedNewton:
        """Learn a potential from the frames of training windows; ``options`` are those of `learn_potential`."""
        potential = learn_potential(train, validation, observers=observers, **options)
        return cls(potential, horizon=train.shape.horizon, step_fs=train.trajectories[0].dt_fs)

    @torch.no_grad()
    def forecast(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return the forecast where the window lies."""
        velocities = self.velocities(window)
        return self.integrate(window.history[:, -1], velocities, window.dt_fs, self.horizon)

    def integrate(
        self,
        positions: Float[Tensor, "paths atoms 3"],
        velocities: Float[Tensor, "paths atoms 3"],
        dt_fs: float,
        n: int,
    ) -> Float[Tensor, "paths frames atoms 3"]:
        """Return ``n`` frames every ``dt_fs`` by velocity Verlet in steps no longer than the potential's own."""
        each = max(1, math.ceil(dt_fs / self.step_fs - 1e-3))
        step = dt_fs / each
        acceleration, path = self.potential.accelerations(positions), []
        for _ in range(n):
            for _ in range(each):
                velocities = velocities + 0.5 * step * acceleration
                positions = positions + step * velocities
                acceleration = self.potential.accelerations(positions)
                velocities = velocities + 0.5 * step * acceleration
            path.append(positions)
        return torch.stack(path, dim=1)

    def velocities(self, window: Window) -> Float[Tensor, "windows atoms 3"]:
        """Return velocities in Å/fs at the present from which the potential leads back to the frames before it.

        Raises:
            InvalidSettings: a history of one frame.
        """
        if window.history.shape[1] < 2:
            raise InvalidSettings("A velocity needs two frames of history, found one. Give a longer history.")
        now, before, apart = window.history[:, -1], window.history[:, -2], window.dt_fs
        pull = 2 * self.potential.accelerations(now) + self.potential.accelerations(before)
        found = (now - before) / apart + apart * pull / 6
        if apart > LONGEST_FS:
            halved = (now - before) / apart + apart * self.potential.accelerations(now) / 4
            n_back = min(FRAMES_BACK, window.history.shape[1] - 1)
            chunks = zip(window.history.split(CHUNK_WINDOWS), halved.split(CHUNK_WINDOWS), strict=True)
            return torch.cat([self._mended(history, guess, apart, n_back) for history, guess in chunks])
        for _ in range(MENDED):
            found = found + (self.integrate(now, -found, apart, 1)[:, 0] - before) / apart
        return found

    def _mended(self, history: Tensor, guess: Tensor, dt_fs: float, n_back: int) -> Tensor:
        """Return velocities by Gauss and Newton: fast bonds turn half a circle between frames, no formula will do."""
        seen = history[:, -1 - n_back : -1].flip(1).flatten(1)
        n_windows, size = guess.shape[0], guess[0].numel()
        nudges = NUDGE * torch.eye(size, dtype=guess.dtype, device=guess.device).unflatten(1, guess.shape[1:])
        for _ in range(MENDED):
            tried = torch.cat([guess[:, None], guess[:, None] + nudges], dim=1).flatten(0, 1)
            here = history[:, -1:].expand(-1, size + 1, -1, -1).flatten(0, 1)
            back = self.integrate(here, -tried, dt_fs, n_back).flatten(1).unflatten(0, (n_windows, size + 1)).double()
            slopes = ((back[:, 1:] - back[:, :1]) / NUDGE).mT
            square = slopes.mT @ slopes + STIFFNESS * torch.eye(size, dtype=slopes.dtype, device=slopes.device)
            change = torch.linalg.solve(square, slopes.mT @ (back[:, 0] - seen)[..., None])[..., 0]
            guess = guess - change.view_as(guess).to(guess.dtype)
        return guess
