"""Chained forecasts judged as matter: are bonds whole, distances right, each element as warm as it should be?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows
from asteroid_nb.forecast.rollout import rollout
from asteroid_nb.forecast.run import Run
from asteroid_nb.metrics.conservation import temperature_per_element_K
from asteroid_nb.metrics.spectra import finite_difference_velocities
from asteroid_nb.metrics.structure import BREAK_ANG, bond_lengths, distance_mae, stability_fs


@dataclass(frozen=True, kw_only=True)
class RolloutQuality:
    """What became of forecasts chained from several starts.

    Args:
        length_fs: how long they were chained.
        stable_fs: [starts] when the first bond was `BREAK_ANG` off its mean, infinite if none was.
        distance_mae: of all interatomic distances against the truth, while whole; 0 is the same, 2 nothing in common.
        temperatures_K: of each element in the forecast and in the reference, while whole.
    """

    length_fs: float
    stable_fs: np.ndarray
    distance_mae: float
    temperatures_K: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        whole = int(np.isinf(self.stable_fs).sum())
        said = f"Chained for {self.length_fs:g} fs from {len(self.stable_fs)} starts: {whole} stay whole"
        said += f" (no bond {BREAK_ANG:g} Å off)"
        if np.isfinite(middle := np.median(self.stable_fs)):
            said += f", the median breaks after {middle:.0f} fs"
        warm = ", ".join(f"{name} {own:.0f} K ({true:.0f})" for name, (own, true) in self.temperatures_K.items())
        return f"{said}. While whole: distances differ by {self.distance_mae:.2f} of 2; temperatures (truth) {warm}."


def rollout_quality(run: Run, windows: Windows, *, n_starts: int = 16, n_blocks: int = 4) -> RolloutQuality:
    """Chain forecasts from starts spread over windows that training has not seen, and hold them against those frames.

    Args:
        windows: a `Split`'s ``test``. Of a trajectory split in time only the frames these windows cover are used.

    Raises:
        ModelMismatch: the windows do not fit the model.
    """
    chosen = windows.subset(most=n_starts)[:]
    seen = chosen.place(chosen.history)
    ahead = rollout(run, seen, n_blocks=n_blocks)
    paths = list(torch.cat([seen[:, -1:], ahead.to(seen.dtype)], dim=1).numpy())
    truth, trajectory = _covered(windows), windows.trajectories[0]
    bonds = bonds_of(trajectory)
    lengths = np.concatenate([bond_lengths(path, bonds) for path in truth]).mean(axis=0)
    stable_fs = np.array([stability_fs(path, bonds, lengths, run.dt_fs) for path in paths])
    whole = [path[: int(min(len(path), fs / run.dt_fs))] for path, fs in zip(paths, stable_fs, strict=True)]
    whole = [path for path in whole if len(path) > 2]
    return RolloutQuality(
        length_fs=n_blocks * run.settings.horizon * run.dt_fs,
        stable_fs=stable_fs,
        distance_mae=distance_mae(np.concatenate(whole), np.concatenate(truth)) if whole else 2.0,
        temperatures_K=_temperatures(whole, truth, trajectory, run.dt_fs),
    )


def _covered(windows: Windows) -> list[np.ndarray]:
    """Return the frames of each trajectory that the windows cover, at the windows' stride."""
    frames = []
    for number in np.unique(windows.starts[:, 0]):
        starts = windows.starts[windows.starts[:, 0] == number, 1]
        last = int(starts.max()) + windows.shape.span_frames
        positions = windows.trajectories[number].positions[int(starts.min()) : last : windows.shape.stride_frames]
        frames.append(np.asarray(positions, dtype=float))
    return frames


def _temperatures(
    whole: list[np.ndarray], truth: list[np.ndarray], trajectory: Trajectory, dt_fs: float
) -> dict[str, tuple[float, float]]:
    """Return the mean temperature of each element in forecasts and truth, both from finite differences."""

    def each(paths: list[np.ndarray]) -> dict[str, float]:
        moving = np.concatenate([finite_difference_velocities(path, dt_fs) for path in paths])
        where = np.concatenate([(path[1:] + path[:-1]) / 2 for path in paths])
        found = temperature_per_element_K(moving, trajectory.atomic_numbers, trajectory.masses, positions=where)
        return {name: float(values.mean()) for name, values in found.items()}

    if not whole:
        return {}
    own, true = each(whole), each(truth)
    return {name: (own[name], true[name]) for name in own}
