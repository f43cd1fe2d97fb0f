"""What the structure view draws: from trajectories over the same frames to figures, with the numbers that matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from plotly.graph_objects import Figure

from asteroid_nb.data.geometry import torsions
from asteroid_nb.errors import InvalidTrajectory, TrajectoryTooShort
from asteroid_nb.metrics import spectra
from asteroid_nb.metrics import structure as measures
from asteroid_nb.metrics.conservation import temperature_per_element_K
from asteroid_nb.units import CM_PER_FS_LIGHT
from asteroid_nb.views import over_time
from asteroid_nb.views import structure as views
from asteroid_nb.views.densities import turn_bins
from asteroid_nb.views.style import number
from asteroid_nb.widgets.structure_sources import Sources

#: Distances and atoms counted in h(r), and values held at a time when temperatures are computed.
MOST_DISTANCES, MOST_ATOMS, CHUNK_VALUES = 2**23, 1000, 2**22

#: With fewer distances than this a fine histogram would be a comb.
MANY_DISTANCES = 2e5

#: A spectrum that parts less than this cannot tell bending from stretching: it is refused.
WORST_RESOLUTION_PER_CM = 600.0

#: Longest stretch a spectrum is made of: what is longer is averaged.
SEGMENT_FS = 2000.0

#: How velocities were had: stored ones only where all trajectories have them.
HOW = {True: "stored velocities", False: "velocities from differences, which damp the fastest motion"}


class Drawn(NamedTuple):
    """A figure and, in words, what it says in numbers."""

    figure: Figure
    words: str


class Motion(NamedTuple):
    """Times in fs, and at these velocities in Å/fs and positions in Å."""

    times_fs: np.ndarray
    velocities: np.ndarray
    positions: np.ndarray


def all_bonds(sources: Sources) -> Drawn:
    lengths = {name: measures.bond_lengths(found, sources.bonds) for name, found in sources.counted().items()}
    figure = views.bond_lengths(lengths, subtitle=f"{sources.span}, {len(sources.bonds)} bonds")
    reference, *others = lengths
    facts = []
    for name in others:
        off = measures.bond_length_wasserstein(lengths[name], lengths[reference])
        worst = int(off.argmax())
        broken = np.abs(lengths[name] - lengths[reference].mean(axis=0)) > measures.BREAK_ANG
        label = sources.label(sources.bonds[worst])
        facts.append(
            f"{name}: a bond's lengths are off by {number(off.mean(), 'Å')} on average, those of {label} by "
            f"{number(off[worst], 'Å')}; a bond is broken ({measures.BREAK_ANG:g} Å off) in "
            f"{broken.any(axis=1).mean():.0%} of the frames."
        )
    return _drawn(sources, figure, *facts)


def one_bond(sources: Sources, bond: int) -> Drawn:
    pair = sources.bonds[[bond]]
    series = sources.series(lambda positions: measures.bond_lengths(positions, pair))
    title = f"Bond {sources.label(pair[0])}"
    figure = over_time.length_over_time(series, title=title, since_fs=sources.since_fs, subtitle=sources.span)
    return _drawn(sources, figure)


def all_distances(sources: Sources) -> Drawn:
    if sources.reference.n_atoms < 2:
        raise InvalidTrajectory("A single atom has no distances. Choose a molecule.")
    every_atom = -(-sources.reference.n_atoms // MOST_ATOMS)
    found = {name: positions[:, ::every_atom] for name, positions in sources.counted().items()}
    n_atoms = next(iter(found.values())).shape[1]
    n_pairs = n_atoms * (n_atoms - 1) // 2
    every_frame = max(-(-len(positions) * n_pairs // MOST_DISTANCES) for positions in found.values())
    found = {name: positions[::every_frame] for name, positions in found.items()}
    n_bins = 500 if n_pairs * min(map(len, found.values())) >= MANY_DISTANCES else 200
    curves = {name: measures.distance_histogram(positions, n_bins=n_bins) for name, positions in found.items()}
    thinned = _every(every_frame, "frame") + _every(every_atom, "atom")
    figure = views.distance_histogram(curves, subtitle=f"{sources.span}, {n_pairs:,} pairs{thinned}")
    reference, *others = curves
    off = [f"{name} {number(measures.area_between(curves[name], curves[reference]))}" for name in others]
    halves = _halves(found[reference], lambda one, other: measures.distance_mae(one, other, n_bins=n_bins))
    said = f"Distance MAE, 0 for the same distances and 2 for none in common: {', '.join(off)}." if off else ""
    return _drawn(sources, figure, said, halves)


def _every(step: int, what: str) -> str:
    return f", one {what} in {step}" if step > 1 else ""


def _halves(values: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """Say how far two halves of the reference are apart: no forecast need be nearer."""
    half = len(values) // 2
    if half < 2:
        return ""
    return f"Two halves of the reference are {number(float(distance(values[:half], values[half:])))} apart."


def one_torsion(sources: Sources, torsion: int) -> Drawn:
    atoms = sources.torsions[[torsion]]
    series = sources.series(lambda positions: torsions(positions, atoms))
    title = f"Torsion {sources.label(atoms[0])}"
    n_bins = turn_bins(sources.reference.n_frames - sources.first)
    figure = over_time.torsion_over_time(
        series, title=title, since_fs=sources.since_fs, n_bins=n_bins, subtitle=sources.span
    )
    angles = {name: torsions(found, atoms) for name, found in sources.counted().items()}
    reference, *others = angles
    apart = lambda one, other: float(measures.torsion_js(one, other, n_bins=n_bins)[0])  # noqa: E731
    off = [f"{name} {number(apart(angles[name], angles[reference]))}" for name in others]
    said = f"Jensen–Shannon distance, 0 for the same and 1 for nothing in common: {', '.join(off)}." if off else ""
    return _drawn(sources, figure, said, _halves(angles[reference], apart))


def density_of_states(sources: Sources) -> Drawn:
    dt_fs = sources.reference.dt_fs
    motion = {name: found.velocities for name, found in _motion(sources, whole=True).items()}
    moving = {name: found for name, found in motion.items() if not len(found) or found.any()}
    still = [f"{name} does not move and has no spectrum." for name in motion if name not in moving]
    if not moving:
        raise InvalidTrajectory(" ".join(still))
    _must_resolve(moving, dt_fs)
    n_steps = min(map(len, moving.values()))
    segment_fs = min(SEGMENT_FS, n_steps * dt_fs)
    masses = sources.reference.masses
    curves = {name: spectra.density_of_states(v, masses, dt_fs, segment_fs=segment_fs) for name, v in moving.items()}
    resolution = f"{1 / (CM_PER_FS_LIGHT * segment_fs):.0f} 1/cm"
    figure = views.density_of_states(curves, subtitle=f"resolves {resolution}; {HOW[_stored(sources)]}")
    said = f"Peaks in 1/cm: {views.peaks_in_words(curves)}; what is nearer than {resolution} melts into one."
    return _drawn(sources, figure, said, *still)


def _must_resolve(moving: dict[str, np.ndarray], dt_fs: float) -> None:
    shortest = min(moving, key=lambda name: len(moving[name]))
    needed = max(8, int(np.ceil(1 / (CM_PER_FS_LIGHT * WORST_RESOLUTION_PER_CM * dt_fs))))
    if len(moving[shortest]) < needed:
        raise TrajectoryTooShort(
            f"{shortest} has {len(moving[shortest])} steps of {dt_fs:g} fs; with fewer than {needed} a spectrum parts "
            f"nothing nearer than {WORST_RESOLUTION_PER_CM:g} 1/cm and cannot tell bending from stretching. "
            "Chain more blocks: anb.predict(…, n_blocks=…)."
        )


def temperature(sources: Sources) -> Drawn:
    reference = sources.reference
    if reference.n_atoms < 2:
        raise InvalidTrajectory("A single atom has no motion of its own once the centre of mass is at rest.")
    found = {
        name: (times, _temperatures(sources, velocities, positions))
        for name, (times, velocities, positions) in _motion(sources, whole=False).items()
    }
    off = "translation" if reference.cell is not None else "translation and rotation"
    figure = views.temperature(found, since_fs=sources.since_fs, subtitle=f"{off} taken off; {HOW[_stored(sources)]}")
    return _drawn(sources, figure, f"Mean temperatures: {views.mean_temperatures(found, since_fs=sources.since_fs)}.")


def _stored(sources: Sources) -> bool:
    """Return whether all have velocities; else all are read from differences, which damp them alike."""
    return all(one.velocities is not None for one in sources.trajectories)


def _motion(sources: Sources, *, whole: bool) -> dict[str, Motion]:
    """Return by name times, velocities and positions.

    Args:
        whole: what counts, up to the first frame that is left out; else all that a curve over time shows, NaN there.
    """
    found = {}
    for index, name in enumerate(sources.names):
        stored = sources.trajectories[index].velocities if _stored(sources) else None
        # A difference needs the frame before it: the present, for what comes right after it.
        first = max(0, sources.first - (stored is None)) if whole else sources.drawn_from(index)
        positions, times = sources.positions(index, first), sources.times_fs[first:]
        if stored is not None:
            velocities = np.where(np.isnan(positions), np.nan, np.asarray(stored[first:], dtype=float))
        else:
            velocities = spectra.finite_difference_velocities(positions, sources.reference.dt_fs)
            positions, times = (positions[1:] + positions[:-1]) / 2, (times[1:] + times[:-1]) / 2
        lost = np.flatnonzero(np.isnan(velocities[:, 0, 0]))
        end = lost[0] if whole and len(lost) else len(times)
        found[name] = Motion(times[:end], velocities[:end], positions[:end])
    return found


def _temperatures(sources: Sources, velocities: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Return K by element, NaN where the motion is not known, a few frames at a time: the rigid modes are large."""
    reference = sources.reference
    known = np.flatnonzero(~np.isnan(velocities[:, 0, 0]))
    if not len(known):
        raise InvalidTrajectory("No two frames in a row are finite: nothing to take a temperature of.")
    frames = max(1, CHUNK_VALUES // (18 * reference.n_atoms))
    found: dict[str, np.ndarray] = {}
    for some in np.split(known, range(frames, len(known), frames)):
        where = None if reference.cell is not None else positions[some]
        numbers, masses = reference.atomic_numbers, reference.masses
        warm = temperature_per_element_K(velocities[some], numbers, masses, positions=where)
        for element, values in warm.items():
            found.setdefault(element, np.full(len(velocities), np.nan))[some] = values
    return found


def _drawn(sources: Sources, figure: Figure, *facts: str) -> Drawn:
    """Return a figure with its facts; what was left out comes last."""
    return Drawn(figure, " ".join(part for part in (*facts, sources.lost()) if part))
