"""`Trajectory` and `StateTrajectory`: the two objects everything exchanges.

Every rollout returns one, so a metric cannot tell a forecast from a simulation, which keeps comparisons fair.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.data import checks
from asteroid_nb.data.elements import MASSES_AMU, SYMBOLS
from asteroid_nb.errors import InvalidTrajectory

#: Arrays that carry one entry per frame, and so follow every slice.
PER_FRAME = ("positions", "velocities", "forces", "energies", "cell")


def _frozen(array: Any, dtype: Any | None = None) -> np.ndarray:
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Atoms moving in time, validated at construction and immutable after.

    Args:
        positions: [frames, atoms, 3] Å, unwrapped. A memory map stays one.
        atomic_numbers: [atoms].
        dt_fs: between stored frames; the integrator's own step may be shorter.
        masses: [atoms] amu, as simulated; the standard weights when not given.
        velocities: [frames, atoms, 3] Å/fs.
        forces: [frames, atoms, 3] eV/Å.
        energies: [frames] eV, potential.
        cell: [frames, 3, 3] or [3, 3] Å, rows are box vectors.
        bonds: [bonds, 2] atom indices.
        name: shown in titles.
        provenance: where it comes from (method, versions, seeds, command), as JSON-able values.
        check_distances: refuse frames whose nearest neighbours are not 0.5 to 5 Å apart. Forecasts switch it off,
            because a forecast may break a molecule and must still be looked at.

    Raises:
        InvalidTrajectory: shapes that disagree, NaN, unknown elements, ``dt_fs`` not positive.
        UnitMismatch: distances that cannot be Å.
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray
    dt_fs: float
    masses: np.ndarray = None  # type: ignore[assignment]  # filled from the elements
    velocities: np.ndarray | None = None
    forces: np.ndarray | None = None
    energies: np.ndarray | None = None
    cell: np.ndarray | None = None
    bonds: np.ndarray | None = None
    name: str = "trajectory"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    check_distances: dataclasses.InitVar[bool] = True

    def __post_init__(self, check_distances: bool) -> None:
        fill = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731  (the class is frozen)
        fill("positions", _frozen(self.positions))
        fill("atomic_numbers", _frozen(checks.atomic_numbers(self.atomic_numbers)))
        checks.positions(self.positions, n_atoms=len(self.atomic_numbers))
        fill("dt_fs", checks.spacing_fs(self.dt_fs))
        masses = np.take(MASSES_AMU, self.atomic_numbers) if self.masses is None else self.masses
        fill("masses", _frozen(checks.masses(masses, n_atoms=self.n_atoms), float))
        if self.cell is not None and np.shape(self.cell) == (3, 3):
            fill("cell", np.broadcast_to(self.cell, (self.n_frames, 3, 3)))
        for key in PER_FRAME[1:]:
            if (array := getattr(self, key)) is not None:
                fill(key, _frozen(array))
                checks.per_frame(key, getattr(self, key), n_frames=self.n_frames, n_atoms=self.n_atoms)
        if self.bonds is not None:
            fill("bonds", _frozen(checks.bonds(self.bonds, n_atoms=self.n_atoms)))
        if check_distances:
            checks.distances(self.positions, cell=self.cell)

    @property
    def n_frames(self) -> int:
        return len(self.positions)

    @property
    def n_atoms(self) -> int:
        return len(self.atomic_numbers)

    @property
    def times_fs(self) -> np.ndarray:
        """Return [frames] fs, the first frame at 0."""
        return np.arange(self.n_frames) * self.dt_fs

    @property
    def duration_fs(self) -> float:
        return (self.n_frames - 1) * self.dt_fs

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(SYMBOLS[number] for number in self.atomic_numbers)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return one short name per atom, counted per element: C1, C2, O1, H1, …"""
        counts: dict[str, int] = {}
        names = []
        for symbol in self.symbols:
            counts[symbol] = counts.get(symbol, 0) + 1
            names.append(f"{symbol}{counts[symbol]}")
        return tuple(names)

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, frames: slice | int) -> Trajectory:
        """Return the chosen frames; a step makes ``dt_fs`` grow with it.

        >>> from asteroid_nb.data.catalogue import sample
        >>> walker = sample("ethanol")[0]
        >>> walker[:300:10]
        <Trajectory 'ethanol walker 0': 30 frames × 9 atoms, every 10 fs, with forces, energies>
        >>> walker[-1].times_fs  # one frame is a trajectory too
        array([0.])
        """
        if isinstance(frames, (int, np.integer)):
            index = range(self.n_frames)[frames]
            frames = slice(index, index + 1)
        if not isinstance(frames, slice):
            raise InvalidTrajectory(
                f"Frames are chosen by a slice or an int, found {type(frames).__name__}: uneven frames have no spacing."
            )
        step = frames.step or 1
        if step < 1:
            raise InvalidTrajectory(f"The step was {step}; time runs forward. Use a positive step.")
        if not len(range(self.n_frames)[frames]):
            raise InvalidTrajectory(
                f"{frames} leaves no frame of {self.n_frames}. Choose frames inside the trajectory."
            )
        cut = {key: None if (a := getattr(self, key)) is None else a[frames] for key in PER_FRAME}
        return self.replace(**cut, dt_fs=self.dt_fs * step)

    def replace(self, **changes: Any) -> Trajectory:
        """Return a copy with some fields changed, the new ones validated for shape and finiteness."""
        return dataclasses.replace(self, check_distances=False, **changes)

    def select(self, atoms: Sequence[int] | np.ndarray) -> Trajectory:
        """Return the chosen atoms, in the order given; bonds between them are kept."""
        atoms = np.asarray(atoms)
        if atoms.dtype == bool:
            atoms = np.flatnonzero(atoms)
        if atoms.size == 0 or atoms.min() < 0 or atoms.max() >= self.n_atoms:
            raise InvalidTrajectory(
                f"The selection {atoms.tolist()} must name atoms 0 to {self.n_atoms - 1}, at least one. Count from 0."
            )
        cut = {key: None if (a := getattr(self, key)) is None else a[:, atoms] for key in PER_FRAME[:3]}
        new_index = np.full(self.n_atoms, -1)
        new_index[atoms] = np.arange(len(atoms))
        bonds = None if self.bonds is None else new_index[self.bonds]
        return self.replace(
            **cut,
            atomic_numbers=self.atomic_numbers[atoms],
            masses=self.masses[atoms],
            energies=None,
            bonds=None if bonds is None else bonds[(bonds >= 0).all(axis=1)],
        )

    def same_atoms(self, other: Trajectory) -> bool:
        """Return whether both hold the same elements in the same order."""
        return bool(np.array_equal(self.atomic_numbers, other.atomic_numbers))

    def save(self, path: str | Path) -> Path:
        """Write to the format the ending names; see `asteroid_nb.data.readers.save`."""
        from asteroid_nb.data import readers

        return readers.save(self, path)

    def to_mdtraj(self):
        """Return an ``mdtraj.Trajectory`` (nm and ps)."""
        from asteroid_nb.data import readers

        return readers.to_mdtraj(self)

    def to_ase(self):
        """Return a list of ``ase.Atoms``, one per frame."""
        from asteroid_nb.data import readers

        return readers.to_ase(self)

    def to_nglview(self):
        """Return an ``nglview.Trajectory`` adaptor for `nglview.NGLWidget`."""
        from asteroid_nb.data import readers

        return readers.to_nglview(self)

    def __repr__(self) -> str:
        extras = [key for key in PER_FRAME[1:] if getattr(self, key) is not None]
        also = f", with {', '.join(extras)}" if extras else ""
        return (
            f"<Trajectory {self.name!r}: {self.n_frames} frames × {self.n_atoms} atoms, every {self.dt_fs:g} fs{also}>"
        )


@dataclass(frozen=True, eq=False)
class StateTrajectory:
    """A path through discrete states.

    Args:
        states: [frames] int64, each in 0 … n_states − 1.
        n_states: how many there are, visited or not.
        dt_fs: between stored frames.
        labels: one name per state.
        name: shown in titles.

    Raises:
        InvalidTrajectory: states outside the range, no frame, wrong labels.
    """

    states: np.ndarray
    n_states: int
    dt_fs: float
    labels: tuple[str, ...] = ()
    name: str = "states"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        states = checks.states(self.states, n_states=self.n_states)
        object.__setattr__(self, "states", _frozen(states, np.int64))
        object.__setattr__(self, "dt_fs", checks.spacing_fs(self.dt_fs))
        labels = tuple(self.labels) or tuple(str(state) for state in range(self.n_states))
        if len(labels) != self.n_states:
            raise InvalidTrajectory(f"Found {len(labels)} labels for {self.n_states} states. Give one per state.")
        object.__setattr__(self, "labels", labels)

    @property
    def n_frames(self) -> int:
        return len(self.states)

    @property
    def times_fs(self) -> np.ndarray:
        return np.arange(self.n_frames) * self.dt_fs

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, frames: slice) -> StateTrajectory:
        if not isinstance(frames, slice):
            raise InvalidTrajectory(f"States are cut by a slice, found {type(frames).__name__}. Use `states` itself.")
        step = frames.step or 1
        if step < 1:
            raise InvalidTrajectory(f"The step was {step}; time runs forward. Use a positive step.")
        return dataclasses.replace(self, states=self.states[frames], dt_fs=self.dt_fs * step)
