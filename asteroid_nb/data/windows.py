"""History and horizon windows: gathered lazily, split by trajectory or block, handed on in batches.

No window is ever copied ahead of its use: `Windows` keeps the positions once (a memory map stays one) and a table of
starts.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.loading import made_ahead
from asteroid_nb.data.mapping import release
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.shapes import Float, Int

#: Below this, all positions are moved to the accelerator once, and gathering there never makes it wait.
RESIDENT_BYTES = 4 * 2**30

#: Read through a map before its memory is given back, and what the system reads around each window.
RELEASED_BYTES, AROUND_BYTES = 2**27, 2**20

#: Atoms, over all windows, that maps of few weights are fitted on: more say the same.
MOST_FITTED = 2**20


@dataclass(frozen=True, kw_only=True)
class WindowShape:
    """How much is seen and how much is predicted.

    Args:
        history: frames seen, the present included.
        horizon: frames predicted in one call.
        stride_frames: every n-th stored frame is read.
    """

    history: int = 16
    horizon: int = 32
    stride_frames: int = 1

    def __post_init__(self) -> None:
        if min(self.history, self.horizon, self.stride_frames) < 1:
            raise InvalidTrajectory(f"{self} must hold whole numbers of at least 1.")

    @property
    def span_frames(self) -> int:
        """Return how many stored frames one window covers."""
        return (self.history + self.horizon - 1) * self.stride_frames + 1


@dataclass(frozen=True)
class Molecule:
    """What stays the same in every window: species, masses, bonds and a reference structure."""

    atomic_numbers: np.ndarray
    masses: np.ndarray
    bonds: np.ndarray
    reference: np.ndarray

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Molecule:
        first = trajectories[0]
        reference = np.asarray(first.positions[0], dtype=float)
        return cls(first.atomic_numbers, first.masses, bonds_of(first), reference - reference.mean(0))

    @property
    def n_atoms(self) -> int:
        return len(self.atomic_numbers)

    def must_equal(self, trajectory: Trajectory) -> None:
        """Raise `ModelMismatch` unless the trajectory holds these species and masses, in this order."""
        if not np.array_equal(self.atomic_numbers, trajectory.atomic_numbers):
            raise ModelMismatch(
                f"{trajectory.name!r} holds the species {trajectory.atomic_numbers.tolist()}, needed are "
                f"{self.atomic_numbers.tolist()} in this order. Reorder or select its atoms, or train on it."
            )
        if not np.allclose(self.masses, trajectory.masses, atol=0.02):
            worst = int(np.argmax(np.abs(self.masses - trajectory.masses)))
            raise ModelMismatch(
                f"{trajectory.name!r} was simulated with mass {trajectory.masses[worst]:.3f} amu for atom {worst}, "
                f"needed is {self.masses[worst]:.3f} (heavy hydrogens?). Motion scales with mass: train on "
                "trajectories with these masses."
            )


@dataclass(eq=False, kw_only=True)  # not frozen: Fabric takes batches apart and refuses frozen ones
class Window:
    """A batch of windows, each moved as a whole so that the centroid of its first history frame is the origin.

    Args:
        history: [windows, history, atoms, 3] Å.
        future: [windows, horizon, atoms, 3] Å, absent when forecasting beyond the data.
        origin: [windows, 3] Å, what was subtracted.
        dt_fs: between frames as read, the stride included.
    """

    history: Float[Tensor, "windows history atoms 3"]
    future: Float[Tensor, "windows horizon atoms 3"] | None = None
    origin: Float[Tensor, "windows 3"]
    dt_fs: float

    @classmethod
    def of(cls, history: Tensor, *, dt_fs: float, future: Tensor | None = None) -> Window:
        """Centre bare positions in Å."""
        origin = history[:, 0].mean(1)
        shift = origin[:, None, None]
        return cls(
            history=(history - shift).float(),
            future=None if future is None else (future - shift).float(),
            origin=origin,
            dt_fs=dt_fs,
        )

    def __len__(self) -> int:
        return len(self.history)

    @property
    def truth(self) -> Tensor:
        """Return the future, which must be there."""
        if self.future is None:
            raise InvalidTrajectory("This window has no future to compare with: it was cut at the end of the data.")
        return self.future

    def replace(self, **changes) -> Window:
        return dataclasses.replace(self, **changes)

    def pieces(self, most: int) -> Iterator[Window]:
        """Yield these windows, at most so many at a time."""
        for first in range(0, len(self), most):
            part = slice(first, first + most)
            future = None if self.future is None else self.future[part]
            yield self.replace(history=self.history[part], future=future, origin=self.origin[part])

    def place(self, positions: Float[Tensor, "windows frames atoms 3"]) -> Tensor:
        """Return positions of this window's frame where the trajectory has them."""
        return positions.to(self.origin.dtype) + self.origin[:, None, None]

    def pinned(self) -> Window:
        """Return a copy in page-locked memory, from which a GPU copies without waiting."""
        future = None if self.future is None else self.future.pin_memory()
        return self.replace(history=self.history.pin_memory(), future=future, origin=self.origin.pin_memory())

    def to(self, device: torch.device | str) -> Window:
        future = None if self.future is None else self.future.to(device, non_blocking=True)
        return self.replace(
            history=self.history.to(device, non_blocking=True), future=future, origin=self.origin.to(device)
        )

    def rotated(self, rotation: Float[Tensor, "windows 3 3"]) -> Window:
        """Return the windows turned (or mirrored) about their centroids, history and future alike."""
        turn = lambda x: torch.einsum("wab,wtnb->wtna", rotation, x)  # noqa: E731
        return self.replace(history=turn(self.history), future=None if self.future is None else turn(self.future))


class Windows(torch.utils.data.Dataset):
    """Every window of some trajectories of one molecule, gathered on demand.

    Args:
        trajectories: of one molecule at one spacing.
        shape: history, horizon and stride.
        starts: [windows, 2] (trajectory, first frame); all that fit when not given.

    Raises:
        TrajectoryTooShort: a trajectory holds no window.
        ModelMismatch: species, masses or spacing differ between them.
    """

    def __init__(
        self, trajectories: Sequence[Trajectory], shape: WindowShape, *, starts: np.ndarray | None = None
    ) -> None:
        if not trajectories:
            raise InvalidTrajectory("No trajectory was given; at least one is needed.")
        self.trajectories, self.shape = list(trajectories), shape
        self.molecule = Molecule.of(self.trajectories)
        for trajectory in self.trajectories:
            self.molecule.must_equal(trajectory)
            _must_fit(trajectory, shape, dt_fs=self.trajectories[0].dt_fs)
        self.starts = _all_starts(self.trajectories, shape) if starts is None else starts
        self.dt_fs = self.trajectories[0].dt_fs * shape.stride_frames
        self._positions = [_tensor(trajectory.positions) for trajectory in self.trajectories]
        self._read_bytes = 0

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor | np.ndarray) -> Window:
        return self.gather(index)

    def gather(self, index) -> Window:
        """Return the chosen windows as one batch; an int gives a batch of one."""
        chosen = np.atleast_2d(self.starts[np.asarray(index) if not isinstance(index, slice) else index])
        device = self._positions[0].device
        steps = torch.arange(self.shape.history + self.shape.horizon, device=device) * self.shape.stride_frames
        frames = torch.as_tensor(chosen[:, 1], device=device)[:, None] + steps
        walkers = np.unique(chosen[:, 0])
        if len(walkers) == 1:
            positions = self._positions[walkers[0]][frames]
        else:
            positions = torch.empty(
                *frames.shape, self.molecule.n_atoms, 3, dtype=self._positions[0].dtype, device=device
            )
            for walker in walkers:
                mine = torch.as_tensor(np.flatnonzero(chosen[:, 0] == walker), device=device)
                positions[mine] = self._positions[walker][frames[mine]].to(positions.dtype)
        self._account(positions)
        history, future = positions[:, : self.shape.history], positions[:, self.shape.history :]
        return Window.of(history, future=future, dt_fs=self.dt_fs)

    def subset(self, *, most: int) -> Windows:
        """Return at most ``most`` windows, spread evenly."""
        keep = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        return Windows(self.trajectories, self.shape, starts=self.starts[keep])

    def enough(self) -> Windows:
        """Return these windows, or as many of them, spread evenly, as maps of few weights need (`MOST_FITTED`)."""
        most = max(1024, MOST_FITTED // self.molecule.n_atoms)
        return self if len(self) <= most else self.subset(most=most)

    def _account(self, positions: Tensor) -> None:
        """Give back the memory behind mapped positions from time to time: what was read counts as in use until then."""
        self._read_bytes += positions.numel() * positions.element_size() + len(positions) * AROUND_BYTES
        if self._read_bytes > RELEASED_BYTES:
            self._read_bytes = 0
            for trajectory in self.trajectories:
                release(trajectory.positions)

    def thinned(self, every: int) -> Windows:
        """Return one window in ``every``."""
        return self if every == 1 else Windows(self.trajectories, self.shape, starts=self.starts[::every])

    @property
    def device(self) -> torch.device:
        """Return where the positions are, and windows are gathered."""
        return self._positions[0].device

    def copy(self) -> Windows:
        """Return the same windows over the same positions, to be moved on their own."""
        return Windows(self.trajectories, self.shape, starts=self.starts)

    def to(self, device: torch.device | str) -> Windows:
        """Move the positions to an accelerator if they fit there comfortably; else leave them and gather here."""
        if sum(p.numel() * p.element_size() for p in self._positions) <= RESIDENT_BYTES:
            self._positions = [positions.to(device) for positions in self._positions]
        return self

    def batches(
        self,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        most: int | None = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[Window]:
        """Yield all windows once, or the first ``most``; with a seed in an order that depends on it alone."""
        order = np.arange(len(self))
        if shuffle_seed is not None:
            order = np.random.default_rng(shuffle_seed).permutation(len(self))
        order = order[:most]
        parts = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
        if torch.device(device).type == "cuda" and self.device.type == "cpu":
            made = made_ahead(lambda chosen: self.gather(chosen).pinned(), parts)
        else:
            made = map(self.gather, parts)
        for window in made:
            yield window.to(device)


def _all_starts(trajectories: Sequence[Trajectory], shape: WindowShape) -> Int[np.ndarray, "windows 2"]:
    counts = [trajectory.n_frames - shape.span_frames + 1 for trajectory in trajectories]
    walker = np.repeat(np.arange(len(trajectories)), counts)
    return np.stack([walker, np.concatenate([np.arange(count) for count in counts])], axis=1)


def _must_fit(trajectory: Trajectory, shape: WindowShape, *, dt_fs: float) -> None:
    if trajectory.n_frames < shape.span_frames:
        raise TrajectoryTooShort(
            f"{shape} spans {shape.span_frames} frames, {trajectory.name!r} has {trajectory.n_frames}. "
            "Shorten the history, the horizon or the stride, or leave this trajectory out."
        )
    if not np.isclose(trajectory.dt_fs, dt_fs, rtol=1e-6):
        raise ModelMismatch(
            f"{trajectory.name!r} has a frame every {trajectory.dt_fs:g} fs, the others every {dt_fs:g} fs. "
            "Use one spacing: stride the finer."
        )


def _tensor(positions: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory (or memory map) of ``positions``."""
    with warnings.catch_warnings():  # torch warns about read-only arrays; nothing here writes
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(positions) if min(positions.strides) < 0 else positions)
