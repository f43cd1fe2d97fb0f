"""The first look at a trajectory: what is usually wrong with one, seen before any model learns it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.elements import COVALENT_RADII_ANG
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.metrics.conservation import temperature_K
from asteroid_nb.metrics.spectra import finite_difference_velocities
from asteroid_nb.metrics.structure import BREAK_ANG, bond_lengths

#: Frames looked at: a first look is quick.
MOST_FRAMES = 5000

#: A stretch of hydrogen against C, N or O takes about 10 fs, of heavier atoms 20 fs; four frames show its shape.
PERIOD_FS, FRAMES_PER_PERIOD = {True: 10.0, False: 20.0}, 4

#: Outside, spacing or lengths are wrong more often than the thermostat was set so, K.
USUAL_K = (20.0, 2000.0)

#: Of a bond over the sum of both covalent radii.
USUAL_LENGTHS = (0.85, 1.2)

#: Further than this within one frame an atom jumps, Å.
JUMP_ANG = 1.0

#: That the default window, 16 + 32, needs of one trajectory, of which validation and test get 15 % each, but for a gap.
FRAMES_TO_SPLIT = round(2 * (16 + 32) / 0.15)


@dataclass(frozen=True)
class Look:
    """One thing looked at: what was found, what is usual, and what to do where it is not."""

    what: str
    found: str
    usual: str
    todo: str = ""


@dataclass(frozen=True, repr=False)
class FirstLook:
    """What `check` returns: one `Look` per question; ``odd`` holds those to be looked into."""

    name: str
    looks: tuple[Look, ...]

    @property
    def odd(self) -> tuple[Look, ...]:
        return tuple(look for look in self.looks if look.todo)

    def __str__(self) -> str:
        head = f"{self.name}: {len(self.odd) or 'nothing'} to look into"
        lines = [f"{'!' if look.todo else ' '} {look.what}: {look.found} (usual: {look.usual})" for look in self.looks]
        return "\n".join([head, *lines, *(f"-> {look.what}: {look.todo}" for look in self.odd)])

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        rows = [
            f"| {look.what} | {look.found} | {look.usual} | {'**look:** ' + look.todo if look.todo else 'fine'} |"
            for look in self.looks
        ]
        return "\n".join([f"**{self.name}**", "", "| what | found | usual | verdict |", "|---|---|---|---|", *rows])


def check(trajectory: Trajectory) -> FirstLook:
    """Return a first look: spacing, units, boxes, bonds and length. What is usual need not be right."""
    some = trajectory[:MOST_FRAMES]
    positions = np.asarray(some.positions, dtype=float)
    bonds = bonds_of(some)
    step = float(np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(initial=0.0))
    looks = [_sizes(some, positions, bonds), _molecules(some, bonds)]
    looks += [_bonds_hold(positions, bonds), _steps(some, step)]
    if some.n_frames > 1:
        looks += [_doubled(positions), _temperature(some, positions, jumps=step > JUMP_ANG)]
    return FirstLook(trajectory.name, (*looks, _spacing(trajectory), _length(trajectory)))


def _sizes(some: Trajectory, positions: np.ndarray, bonds: np.ndarray) -> Look:
    low, high = USUAL_LENGTHS
    usual = f"{low:g} to {high:g} × the sum of both radii"
    if not len(bonds):
        return Look("bond lengths", "no bond", usual, "were the lengths Å, not bohr or nm, and are the elements right?")
    radii = np.asarray(COVALENT_RADII_ANG)[some.atomic_numbers[bonds]].sum(axis=1)
    middle = float(np.median(np.median(bond_lengths(positions, bonds), axis=0) / radii))
    todo = "were the lengths Å, and are the elements in the right order?"
    return Look("bond lengths", f"{middle:.2f} × the sum of both radii", usual, todo * (not low < middle < high))


def _molecules(some: Trajectory, bonds: np.ndarray) -> Look:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array((np.ones(len(bonds)), tuple(bonds.T)), shape=(some.n_atoms, some.n_atoms))
    n_molecules = connected_components(graph, directed=False)[0]
    todo = "are bonds missing, is the molecule cut by the box, or is there solvent to leave out?"
    return Look("bonds", f"{len(bonds)}, in {n_molecules} molecule(s)", "1 molecule", todo * (n_molecules > 1))


def _bonds_hold(positions: np.ndarray, bonds: np.ndarray) -> Look:
    if not len(bonds):
        return Look("bonds hold", "no bond", f"within {BREAK_ANG:g} Å")
    lengths = bond_lengths(positions, bonds)
    off = np.abs(lengths - np.median(lengths, axis=0)).max()
    todo = "does it react, or is it cut by the box (asteroid_nb.data.geometry.unwrap)?"
    return Look("bonds hold", f"at most {off:.2f} Å off", f"within {BREAK_ANG:g} Å", todo * bool(off > BREAK_ANG))


def _steps(some: Trajectory, step: float) -> Look:
    todo = "unwrap it (asteroid_nb.data.geometry.unwrap)" if some.cell is not None else "are frames missing, or joined?"
    return Look("largest step of an atom", f"{step:.2f} Å", f"below {JUMP_ANG:g} Å", todo * (step > JUMP_ANG))


def _doubled(positions: np.ndarray) -> Look:
    doubled = int((np.abs(np.diff(positions, axis=0)).max(axis=(1, 2)) == 0).sum())
    return Look("doubled frames", f"{doubled}", "0", "drop them: the spacing is not what it says" * bool(doubled))


def _temperature(some: Trajectory, positions: np.ndarray, *, jumps: bool) -> Look:
    """Return what the steps say of spacing and units; where atoms jump they say nothing."""
    usual = "the simulation's own, or less where frames are far apart"
    if jumps:
        return Look("temperature of the steps", "not asked: atoms jump", usual)
    middle = None if some.cell is not None else (positions[1:] + positions[:-1]) / 2
    found = temperature_K(finite_difference_velocities(positions, some.dt_fs), some.masses, positions=middle).mean()
    low, high = USUAL_K
    factor = (found / 300) ** 0.5
    todo = f"at 300 K the spacing would be {some.dt_fs * factor:.3g} fs: is dt_fs right, and are the lengths Å?"
    return Look("temperature of the steps", f"{found:.0f} K", usual, todo * bool(not low < found < high))


def _spacing(trajectory: Trajectory) -> Look:
    period = PERIOD_FS[bool((trajectory.atomic_numbers == 1).any())]
    frames = period / trajectory.dt_fs
    todo = "fast vibrations fall between frames; store more often, or ask slower questions"
    usual = f"{FRAMES_PER_PERIOD} or more"
    return Look(
        "frames in a fast vibration", f"{frames:.3g} (every {trajectory.dt_fs:g} fs)", usual,
        todo * (frames < FRAMES_PER_PERIOD),
    )  # fmt: skip


def _length(trajectory: Trajectory) -> Look:
    todo = "shorten history and horizon, or simulate longer"
    found = f"{trajectory.n_frames}, {trajectory.duration_fs:g} fs"
    return Look("frames", found, f"{FRAMES_TO_SPLIT} or more", todo * (trajectory.n_frames < FRAMES_TO_SPLIT))
