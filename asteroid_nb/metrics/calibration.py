"""Does a forecast know how wrong it is? The spread it said against the error that was found.

Spreads and errors are lengths in Å of whatever is judged one by one: windows, or atoms of windows.

Reference:
    Levi et al. (2022), doi:10.3390/s22155540, for calibration of regression; Spearman (1904) for ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """What was found where so much spread was said.

    Args:
        said: [bins] Å, root mean square of the spread in each bin, smallest first.
        found: [bins] Å, root mean square error there.
        counts: [bins] of what is judged.
    """

    said: Float[np.ndarray, " bins"]
    found: Float[np.ndarray, " bins"]
    counts: Int[np.ndarray, " bins"]

    @property
    def normalised_error(self) -> float:
        """Return the expected normalised calibration error: the share by which a spread is off, mean of bins."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.mean(np.abs(self.said - self.found) / self.said))


def rank_correlation(spread: np.ndarray, error: np.ndarray) -> float:
    """Return Spearman's correlation: 1 where the larger spread always has the larger error.

    NaN where one of them is the same everywhere, and so says nothing.
    """
    first, second = _alike(spread, error)
    ranks = np.stack([rankdata(first), rankdata(second)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt((ranks**2).sum(axis=1))
    return float((ranks[0] * ranks[1]).sum() / lengths.prod()) if lengths.all() else float("nan")


def fitted_factor(spread: np.ndarray, error: np.ndarray) -> float:
    """Return the number that a spread must be multiplied by to be as large as errors are, in root mean square.

    Fit it on validation windows; on those that judge it would hide what is to be measured.
    """
    first, second = _alike(spread, error)
    said = np.sqrt(np.mean(first**2))
    return float(np.sqrt(np.mean(second**2)) / said) if said > 0 else float("nan")


def calibration_curve(spread: np.ndarray, error: np.ndarray, *, n_bins: int = 10) -> CalibrationCurve:
    """Return bins of equal counts, ordered by the spread.

    Raises:
        InvalidSettings: more bins than there are values, or none.
    """
    first, second = _alike(spread, error)
    if not 1 <= n_bins <= len(first):
        raise InvalidSettings(f"n_bins was {n_bins} for {len(first)} values; a bin needs one at least. Ask for fewer.")
    parts = np.array_split(np.argsort(first, kind="stable"), n_bins)
    size = lambda values: np.array([np.sqrt(np.mean(values[part] ** 2)) for part in parts])  # noqa: E731
    return CalibrationCurve(size(first), size(second), np.array([len(part) for part in parts]))


def share_inside(
    spread: Float[np.ndarray, "*judged"], errors: Float[np.ndarray, "*judged 3"], *, n_sigma: float = 1.0
) -> float:
    """Return the share of errors along x, y and z that are within so many spreads.

    Of Gaussian errors with that spread 0.683 are within one, 0.954 within two.
    """
    return float((np.abs(errors) <= n_sigma * np.asarray(spread)[..., None]).mean())


def _alike(spread: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as one row of numbers each.

    Raises:
        InvalidSettings: other shapes, nothing at all, or what is no number.
    """
    first, second = np.asarray(spread, dtype=float), np.asarray(error, dtype=float)
    if first.shape != second.shape or not first.size:
        raise InvalidSettings(f"Spreads have shape {first.shape}, errors {second.shape}; give one for each.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InvalidSettings("A spread or an error is no finite number. Leave out the windows that left all numbers.")
    return first.ravel(), second.ravel()
