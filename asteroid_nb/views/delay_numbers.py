"""The numbers and words behind the figure of a delay matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asteroid_nb.metrics.delay import along_antidiagonals
from asteroid_nb.views.style import number


@dataclass(frozen=True)
class Coordinate:
    """One coordinate's matrices, what is not finite left out."""

    predicted: np.ndarray
    truth: np.ndarray | None
    forecast: np.ndarray | None
    rows: np.ndarray
    dt_fs: float
    unit: str

    @property
    def frames(self) -> np.ndarray:
        return self.rows[:, None] + np.arange(self.predicted.shape[1])

    @property
    def starts_fs(self) -> np.ndarray:
        return self.times_fs(self.rows)

    def times_fs(self, frames: np.ndarray) -> np.ndarray:
        """Return times from the present, at which the last row starts."""
        return (frames - self.rows[-1]) * self.dt_fs


def checked(
    predicted: np.ndarray,
    truth: np.ndarray | None,
    rows: Sequence[int] | None,
    forecast: np.ndarray | None,
    dt_fs: float,
    unit: str,
) -> Coordinate:
    """Return finite numbers of fitting shapes."""
    predicted = np.asarray(predicted, dtype=float)
    if predicted.ndim != 2 or not predicted.size or (truth is not None and np.shape(truth) != predicted.shape):
        raise ValueError(
            f"The matrices have shapes {predicted.shape} and {None if truth is None else np.shape(truth)}; both must "
            "be the same [rows, horizon + 1]. Choose one window, atom and axis."
        )
    starts = np.arange(len(predicted)) if rows is None else np.asarray(rows)
    if len(starts) != len(predicted) or (np.diff(starts) < 1).any():
        raise ValueError(f"rows was {list(starts)}; needed are {len(predicted)} rising frames, one for each row.")
    if forecast is not None and np.shape(forecast) != (predicted.shape[1] - 1,):
        raise ValueError(
            f"The forecast has shape {np.shape(forecast)}; needed is one value for each of {predicted.shape[1] - 1} "
            "frames after the present."
        )
    if not np.isfinite(predicted).any():
        raise ValueError("The matrix holds nothing but NaN or infinity: did the training diverge?")
    known, made = (None if one is None else _finite(one) for one in (truth, forecast))
    return Coordinate(_finite(predicted), known, made, starts, dt_fs, unit)


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def deviations(shown: Coordinate) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, by name, frames and deviations: how cells of a frame differ, how far they and the forecast are off."""
    cells = along_antidiagonals(shown.predicted, shown.rows)
    curves = {"spread of the cells": (cells.frames, cells.spread)}
    if shown.truth is not None:
        truth = along_antidiagonals(shown.truth, shown.rows).means
        curves["error of their mean"] = (cells.frames, np.abs(cells.means - truth))
        if shown.forecast is not None:
            ahead = cells.frames > shown.rows[-1]
            curves["error of the forecast"] = (cells.frames[ahead], np.abs(shown.forecast - truth[ahead]))
    return curves


def described(shown: Coordinate, what: str) -> str:
    rows = ", ".join(f"{start:g}" for start in shown.starts_fs)
    text = (
        f"Delay matrix of {what}, {len(shown.rows)} rows that start at {rows} fs by {shown.predicted.shape[1]} delays "
        f"of {shown.dt_fs:g} fs."
    )
    missing = int(np.isnan(shown.predicted).sum())
    lost = f" {missing} cells are not finite and left out." if missing else ""
    return f"{text} {_agreement(shown)}{lost}"


def agreement(
    predicted: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    dt_fs: float,
    rows: Sequence[int] | None = None,
    forecast: np.ndarray | None = None,
    unit: str = "Å",
) -> str:
    """Return in words what the last panel of `delay_matrix` shows of the future; arguments as there."""
    return _agreement(checked(predicted, truth, rows, forecast, dt_fs, unit))


def _agreement(shown: Coordinate) -> str:
    cells = along_antidiagonals(shown.predicted, shown.rows)
    counts = cells.counts[cells.frames > shown.rows[-1]]
    shared = int((counts > 1).sum())
    said = [f"Two cells or more, at most {counts.max(initial=0)}, hold {shared} of {len(counts)} future frames"]
    for name, (frames, values) in deviations(shown).items():
        ahead = (frames > shown.rows[-1]) & np.isfinite(values)
        if ahead.any():
            worst = frames[ahead][values[ahead].argmax()]
            mean, most = number(values[ahead].mean()), number(values[ahead].max(), shown.unit)
            said.append(f"{name}: {mean} on average, at most {most} at {shown.times_fs(worst):+g} fs")
    return "; ".join(said) + "."
