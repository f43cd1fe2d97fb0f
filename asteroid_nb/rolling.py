"""Chained forecasts judged as matter: bonds, distances, torsions, vibrations, and how warm each element is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from asteroid_nb.data.bonds import bonds_of, find_torsions
from asteroid_nb.data.geometry import torsions
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows
from asteroid_nb.forecast.rollout import chained, held_at
from asteroid_nb.forecast.thermostat import Thermostat
from asteroid_nb.metrics.conservation import temperature_per_element_K
from asteroid_nb.metrics.spectra import density_of_states, finite_difference_velocities, peaks_per_cm
from asteroid_nb.metrics.structure import BREAK_ANG, bond_lengths, distance_mae, stability_fs, torsion_js

#: Below this a chain has no spectrum worth a name, in fs.
SHORTEST_SPECTRUM_FS = 1000.0

#: Counted up whenever `judge` measures otherwise, so that what is kept is not taken for what it would say now.
JUDGED = 3

#: Peaks no further apart are the same.
SAME_PER_CM = 10.0


@dataclass(frozen=True, kw_only=True)
class RolloutQuality:
    """What became of forecasts chained from several starts.

    Args:
        length_fs: how long they were chained.
        stable_fs: [starts] when the first bond was `BREAK_ANG` off its mean, infinite if none was.
        distance_mae: of all interatomic distances against the truth, while whole; 0 is the same, 2 nothing in common.
        temperatures_K: of each element in the forecast while whole, and in the reference, or what a thermostat was
            asked for.
        torsion_js: [torsions] Jensen–Shannon distances of rotatable bonds, while whole: 0 the same, 1 disjoint.
        peaks_per_cm: of the truth's density of states, each with the nearest of the forecast's; of chains that stayed
            whole, none where they were too short.
        shown_twice: of each of these peaks, whether both halves of the truth show it, within `SAME_PER_CM`: the others
            are noise of a short simulation.
        n_loose: bonds that the truth itself takes `BREAK_ANG` off their mean, as of a proton that changes places: a
            chain breaks them where it goes so much further than the truth ever does.
    """

    length_fs: float
    stable_fs: np.ndarray
    distance_mae: float
    temperatures_K: dict[str, tuple[float, float]]
    torsion_js: np.ndarray = field(default_factory=lambda: np.zeros(0))
    peaks_per_cm: tuple[tuple[float, float], ...] = ()
    shown_twice: tuple[bool, ...] = ()
    n_loose: int = 0

    def __str__(self) -> str:
        said = f"Chained for {self.length_fs:g} fs from {len(self.stable_fs)} starts: {self.n_whole} stay whole"
        loose = f", but for {self.n_loose} that the truth itself breaks" if self.n_loose else ""
        said += f" (no bond {BREAK_ANG:g} Å off{loose})"
        if np.isfinite(middle := np.median(self.stable_fs)):
            said += f", the median breaks after {middle:.0f} fs"
        warm = ", ".join(f"{name} {own:.0f} K ({true:.0f})" for name, (own, true) in self.temperatures_K.items())
        return f"{said}. While whole: distances differ by {self.distance_mae:.2f} of 2; temperatures (expected) {warm}."

    @property
    def n_whole(self) -> int:
        return int(np.isinf(self.stable_fs).sum())

    @property
    def furthest_peak_per_cm(self) -> float:
        """Return by how much the worst peak is off, NaN without a spectrum."""
        return max((abs(own - true) for true, own in self.peaks_per_cm), default=float("nan"))

    @property
    def furthest_repeated_per_cm(self) -> float:
        """Return by how much the worst of the peaks is off that both halves of the truth show, NaN without any."""
        repeated = zip(self.peaks_per_cm, self.shown_twice, strict=False)  # nobody may have looked
        return max((abs(own - true) for (true, own), twice in repeated if twice), default=float("nan"))

    @property
    def temperature_off(self) -> float:
        """Return by which share the temperature of the worst element is off, NaN where nothing is whole."""
        return max((abs(own / true - 1) for own, true in self.temperatures_K.values()), default=float("nan"))


def rollout_quality(
    forecaster: Any,
    windows: Windows,
    *,
    n_starts: int = 16,
    n_blocks: int = 4,
    thermostat: Thermostat | None = None,
) -> RolloutQuality:
    """Chain forecasts from starts spread over windows that training has not seen, and hold them against those frames.

    Args:
        forecaster: a `Run`, a rival, or anything with ``forecast(window)``.
        windows: a `Split`'s ``test``. Of a trajectory split in time only the frames these windows cover are used.
        thermostat: holds the chains at a temperature, which every element is then held against.

    Raises:
        ModelMismatch: the windows do not fit the model.
        InvalidSettings: a thermostat for frames too far apart, or for a periodic box.
    """
    asked_K = None if thermostat is None else thermostat.temperature_K
    paths = chains(forecaster, windows, n_starts=n_starts, n_blocks=n_blocks, thermostat=thermostat)
    return judge(paths, windows, asked_K=asked_K)


def chains(
    forecaster: Any, windows: Windows, *, n_starts: int, n_blocks: int, thermostat: Thermostat | None = None
) -> list[np.ndarray]:
    """Return the paths [frames, atoms, 3] in Å that a forecaster chains from starts spread over windows.

    The first frame of each is the present, the last that was seen.
    """
    chosen = windows.subset(most=n_starts)[:]
    seen, held = chosen.place(chosen.history), None
    if thermostat is not None:
        held = held_at(thermostat, windows.trajectories[0], windows.dt_fs)
    ahead = chained(forecaster, seen, dt_fs=windows.dt_fs, n_blocks=n_blocks, held=held)
    return list(torch.cat([seen[:, -1:], ahead.to(seen.dtype)], dim=1).numpy())


def judge(paths: Sequence[np.ndarray], windows: Windows, *, asked_K: float | None = None) -> RolloutQuality:
    """Hold paths, a frame of the windows apart, against the frames that windows cover.

    Args:
        asked_K: what every element's temperature is held against instead, as at equilibrium all are alike.
    """
    truth, trajectory, dt_fs = covered(windows), windows.trajectories[0], windows.dt_fs
    bonds = bonds_of(trajectory)
    lengths, allowed = _allowed(bonds, truth)
    stable_fs = np.array([stability_fs(path, bonds, lengths, dt_fs, tolerance_ang=allowed) for path in paths])
    whole = [path[: int(min(len(path), fs / dt_fs))] for path, fs in zip(paths, stable_fs, strict=True)]
    unbroken = [path for path, fs in zip(whole, stable_fs, strict=True) if np.isinf(fs)]
    whole = [path for path in whole if len(path) > 2]
    turning = find_torsions(bonds, trajectory.atomic_numbers)
    angles = [torsions(np.concatenate(each), turning) for each in (whole, truth)] if whole and len(turning) else []
    peaks, shown_twice = _peaks(unbroken, truth, trajectory.masses, dt_fs)
    return RolloutQuality(
        length_fs=(len(paths[0]) - 1) * dt_fs,
        stable_fs=stable_fs,
        distance_mae=distance_mae(np.concatenate(whole), np.concatenate(truth)) if whole else 2.0,
        temperatures_K=_temperatures(whole, truth, trajectory, dt_fs, asked_K),
        torsion_js=torsion_js(*angles) if angles else np.zeros(0),
        peaks_per_cm=peaks,
        shown_twice=shown_twice,
        n_loose=int((allowed > BREAK_ANG).sum()),
    )


def _allowed(bonds: np.ndarray, truth: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean length of each bond in the truth, and by how much it may be off, in Å."""
    lengths = np.concatenate([bond_lengths(path, bonds) for path in truth])
    furthest = np.abs(lengths - lengths.mean(axis=0)).max(axis=0)
    return lengths.mean(axis=0), np.where(furthest <= BREAK_ANG, BREAK_ANG, furthest + BREAK_ANG)


def covered(windows: Windows) -> list[np.ndarray]:
    """Return the frames of each trajectory that the windows cover, at the windows' stride."""
    frames = []
    for number in np.unique(windows.starts[:, 0]):
        starts = windows.starts[windows.starts[:, 0] == number, 1]
        last = int(starts.max()) + windows.shape.span_frames
        positions = windows.trajectories[number].positions[int(starts.min()) : last : windows.shape.stride_frames]
        frames.append(np.asarray(positions, dtype=float))
    return frames


def _temperatures(
    whole: list[np.ndarray], truth: list[np.ndarray], trajectory: Trajectory, dt_fs: float, asked_K: float | None
) -> dict[str, tuple[float, float]]:
    """Return the mean temperature of each element in forecasts and truth, both from finite differences.

    Of a thermostat the second is what was asked for.
    """

    def each(paths: list[np.ndarray]) -> dict[str, float]:
        moving = np.concatenate([finite_difference_velocities(path, dt_fs) for path in paths])
        where = np.concatenate([(path[1:] + path[:-1]) / 2 for path in paths])
        found = temperature_per_element_K(moving, trajectory.atomic_numbers, trajectory.masses, positions=where)
        return {name: float(values.mean()) for name, values in found.items()}

    if not whole:
        return {}
    own = each(whole)
    true = each(truth) if asked_K is None else dict.fromkeys(own, asked_K)
    return {name: (own[name], true[name]) for name in own}


def _peaks(
    unbroken: list[np.ndarray], truth: list[np.ndarray], masses: np.ndarray, dt_fs: float
) -> tuple[tuple[tuple[float, float], ...], tuple[bool, ...]]:
    """Return the truth's peaks, each with the nearest of the forecast's, in 1/cm, and whether its halves show each.

    Spectra are means over paths.
    """
    both = (unbroken, truth)
    if not unbroken or min(len(path) * dt_fs for paths in both for path in paths) < SHORTEST_SPECTRUM_FS:
        return (), ()
    shortest = min(len(path) for paths in both for path in paths) // 2 - 1  # velocities of half a path
    segment_fs = min(2000.0, shortest * dt_fs)

    def peaks(paths: list[np.ndarray]) -> np.ndarray:
        moving = (finite_difference_velocities(path, dt_fs) for path in paths)
        spectra = [density_of_states(one, masses, dt_fs, segment_fs=segment_fs) for one in moving]
        return peaks_per_cm(spectra[0][0], np.mean([density for _, density in spectra], axis=0))

    own, true = peaks(unbroken), peaks(truth)
    if not len(own):
        return (), ()
    halves = [peaks([path[: len(path) // 2] for path in truth]), peaks([path[len(path) // 2 :] for path in truth])]
    twice = [all(np.abs(half - peak).min(initial=np.inf) <= SAME_PER_CM for half in halves) for peak in true]
    pairs = tuple((float(peak), float(own[np.abs(own - peak).argmin()])) for peak in true)
    return pairs, tuple(twice)
