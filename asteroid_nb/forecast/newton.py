"""Forecasts by Newton's equations with a learned potential: a rival, and what an STI-Transformer may start from.

Positions of the last frames give the velocity, velocity Verlet the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule, Window, Windows
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.bent_frames import LONGEST_FS
from asteroid_nb.forecast.frames import full_precision
from asteroid_nb.forecast.potential import MOST_ATOMS, Potential, ReadBack
from asteroid_nb.forecast.potential_fit import learn_potential
from asteroid_nb.forecast.verlet import integrate, steps_a_frame
from asteroid_nb.progress import Observer
from asteroid_nb.shapes import Float

#: Frames before the present that a velocity must lead back to where steps are shorter than frames, and how often it is
#: mended.
FRAMES_BACK, MENDED = 2, 5

#: Å/fs by which a velocity is changed to see what follows, and how much it costs in Å² to change it by one Å/fs.
NUDGE, STIFFNESS = 1e-4, 1e-1

#: Times a first guess's speeds that mended ones may be: where a potential is wrong, nothing leads back.
FASTEST = 2.0

#: Between two frames: a forged folder may not ask for endless ones.
MOST_STEPS = 1000

#: Windows whose velocities are mended together, each nudged in every coordinate.
CHUNK_WINDOWS = 64

#: Everything above that forecasts depend on.
CHOICES = (FRAMES_BACK, MENDED, NUDGE, STIFFNESS, FASTEST)


@torch.no_grad()
def velocities_of(
    potential: Potential, history: Float[Tensor, "windows frames atoms 3"], *, dt_fs: float
) -> Float[Tensor, "windows atoms 3"]:
    """Return velocities in Å/fs at the last frame from which the potential leads back to the frames before it.

    Raises:
        InvalidSettings: a history of one frame.
    """
    if history.shape[1] < 2:
        raise InvalidSettings("A velocity needs two frames of history, found one. Give a longer history.")
    now, before = history[:, -1], history[:, -2]
    mean, bend = (now - before) / dt_fs, dt_fs * potential.accelerations(now)
    if steps_a_frame(potential, dt_fs) == 1:
        return mean + 0.5 * bend  # one step back is the frame before, exactly
    guess = mean + 0.25 * bend  # half a circle between frames: the whole bend would throw fast bonds too far
    chunks = zip(history.split(CHUNK_WINDOWS), guess.split(CHUNK_WINDOWS), strict=True)
    return torch.cat([_mended(potential, *pair, dt_fs=dt_fs) for pair in chunks])


def _mended(potential: Potential, history: Tensor, guess: Tensor, *, dt_fs: float) -> Tensor:
    """Return velocities by Gauss and Newton, with slopes at the guess: fast bonds turn half a circle a frame.

    Only what leads closer is taken, and half as far where it did not. Slopes of a harmonic molecule would cost a third,
    and lead astray: bonds at 500 K are not harmonic over 10 fs.
    """
    now, n_back = history[:, -1], min(FRAMES_BACK, history.shape[1] - 1)
    seen = history[:, -1 - n_back : -1].flip(1)
    back_from = lambda speeds, here: integrate(potential, here, -speeds, dt_fs=dt_fs, n=n_back)  # noqa: E731
    slopes = _slopes(back_from, now, guess)
    square = slopes.mT @ slopes + STIFFNESS * torch.eye(slopes.shape[2], dtype=slopes.dtype, device=slopes.device)
    inverse = torch.linalg.solve_ex(square, slopes.mT).result.to(guess)  # a check would wait for a GPU
    off = back_from(guess, now) - seen
    fastest, share = FASTEST * _size(guess), torch.ones_like(guess[:, :1, :1])
    for _ in range(MENDED):
        change = (inverse @ off.flatten(1)[..., None]).view_as(guess)
        tried = guess - share * change
        found = back_from(tried, now) - seen
        better = (_size(found) < _size(off)) & (_size(tried) < fastest)
        guess, off = torch.where(better, tried, guess), torch.where(better[..., None], found, off)
        share = torch.where(better, 1.0, 0.5) * share
    return guess


def _size(values: Tensor) -> Float[Tensor, "windows 1 1"]:
    """Return the root mean square of each window's values, infinite where they are not numbers."""
    return values.flatten(1).square().mean(1).sqrt().nan_to_num(nan=torch.inf)[:, None, None]


def _slopes(back_from: Callable[[Tensor, Tensor], Tensor], now: Tensor, guess: Tensor) -> Tensor:
    """Return [windows, what is reached, velocities], float64: how the frames before move with the velocity."""
    n_windows, size = len(guess), guess[0].numel()
    nudges = NUDGE * torch.eye(size, dtype=guess.dtype, device=guess.device).unflatten(1, guess.shape[1:])
    tried = torch.cat([guess[:, None], guess[:, None] + nudges], dim=1).flatten(0, 1)
    here = now[:, None].expand(-1, size + 1, -1, -1).flatten(0, 1)
    reached = back_from(tried, here).flatten(1).unflatten(0, (n_windows, size + 1))
    reached = (reached.cpu() if reached.device.type == "mps" else reached).double()  # MPS knows no float64
    return ((reached[:, 1:] - reached[:, :1]) / NUDGE).mT


class NewtonSkip(nn.Module):
    """What a network starts from: the path of a learned potential, from every row's frame over the horizon.

    Args:
        molecule: whose potential.
        horizon: frames ahead.
        n_back: frames before a row's that it may look at.
    """

    dt_fs: Tensor

    def __init__(self, molecule: Molecule, *, horizon: int, n_back: int) -> None:
        super().__init__()
        self.horizon, self.n_back = horizon, min(n_back, FRAMES_BACK)
        self.potential = Potential(molecule).requires_grad_(False)
        self.register_buffer("dt_fs", torch.tensor(1.0))
        self._spacing = ReadBack()

    @torch.no_grad()
    def forward(
        self, sequence: Float[Tensor, "windows frames atoms 3"], times: Tensor, columns: int | None = None
    ) -> Float[Tensor, "windows times columns atoms 3"]:
        """Return columns 0 (the frame itself) to ``columns`` of the delay-matrix row at the given frames."""
        back = torch.arange(self.n_back, -1, -1, device=sequence.device)
        with full_precision(sequence):
            rows = sequence[:, times[:, None] - back].flatten(0, 1)
            dt_fs = self._spacing(self.dt_fs)
            speeds = velocities_of(self.potential, rows, dt_fs=dt_fs)
            path = integrate(self.potential, rows[:, -1], speeds, dt_fs=dt_fs, n=columns or self.horizon)
        return torch.cat([rows[:, -1:], path], dim=1).unflatten(0, (len(sequence), len(times)))

    @property
    def solves(self) -> bool:
        """Return whether velocities are solved for, as steps are shorter than frames."""
        return steps_a_frame(self.potential, self._spacing(self.dt_fs)) > 1

    def fit(self, train: Windows, validation: Windows, **options: Any) -> None:
        """Learn the potential from the frames of training windows; ``options`` are those of `learn_potential`."""
        found = learn_potential(train, validation, **options)
        self.potential.load_state_dict(found.state_dict())
        self.potential.finished = found.finished
        self.dt_fs.fill_(train.dt_fs)

    def steps_fit(self, dt_fs: float, stride_frames: int) -> bool:
        """Return whether frames so far apart are a whole number of steps, each of some stored frames."""
        step_fs = self.potential.step
        each = dt_fs / step_fs if step_fs > 0 else math.inf
        whole = (
            each < MOST_STEPS and math.isclose(each, round(each), abs_tol=1e-3) and 1 <= round(each) <= stride_frames
        )
        return whole and step_fs <= 1.01 * LONGEST_FS and math.isclose(float(self.dt_fs), dt_fs, rel_tol=1e-4)


def can_be_learnt(trajectory: Trajectory) -> bool:
    """Return whether frames are close enough, and atoms few enough and in no box, for a potential of all pairs."""
    return trajectory.dt_fs <= LONGEST_FS and 2 <= trajectory.n_atoms <= MOST_ATOMS and trajectory.cell is None


class LearnedNewton:
    """A forecaster that integrates a learned potential.

    Args:
        potential: of the molecule.
        horizon: frames ahead.
    """

    name = "learned Newton"

    def __init__(self, potential: Potential, *, horizon: int) -> None:
        self.potential, self.horizon = potential, horizon

    @classmethod
    def fit(
        cls, train: Windows, validation: Windows, *, observers: Sequence[Observer] | None = None, **options: Any
    ) -> LearnedNewton:
        """Learn a potential from the frames of training windows; ``options`` are those of `learn_potential`."""
        potential = learn_potential(train, validation, observers=observers, **options)
        return cls(potential, horizon=train.shape.horizon)

    @torch.no_grad()
    def forecast(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return the forecast where the window lies."""
        velocities = velocities_of(self.potential, window.history, dt_fs=window.dt_fs)
        return integrate(self.potential, window.history[:, -1], velocities, dt_fs=window.dt_fs, n=self.horizon)
