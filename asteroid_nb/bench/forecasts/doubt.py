"""What an ensemble's spread says about its error, beside what costs nothing: by lead time, of windows and of atoms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb import __version__
from asteroid_nb.bench.forecasts.arms import keep
from asteroid_nb.bench.forecasts.novelty import Known, temperatures_K
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS
from asteroid_nb.data.catalogue import sample
from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.forecast import newton, potential_fit
from asteroid_nb.forecast.bent_frames import BentFrames
from asteroid_nb.forecast.ensemble import Ensemble
from asteroid_nb.metrics.calibration import calibration_curve, fitted_factor, rank_correlation, share_inside

#: How forecasts are asked for.
PROTOCOL = "F1"

#: Who says how sure a forecast is; the last knows each atom's usual error, and nothing of the window.
SPREAD, DISTANCE, WARMTH, USUAL = "ensemble's spread", "distance from what is known", "temperature", "usual error"

#: What is otherwise than in `POTENTIAL_FIT`: of few steps, a long average would remember the first.
FITTING: dict[str, Any] = {"ema_decay": 0.99}

#: Of structures that were learnt from, those that distances are measured to.
MOST_KNOWN = 4000


@dataclass(frozen=True, kw_only=True)
class DoubtSize:
    """How much is learnt and judged.

    Args:
        n_members, n_steps, n_path_steps, width: of each ensemble of potentials.
        n_windows: that judge; as many others fit the factors.
        leads_fs: lead times.
        n_bins: of a calibration curve.
    """

    n_members: int = 4
    n_steps: int = 1000
    n_path_steps: int = 0
    width: int = 128
    n_windows: int = 600
    leads_fs: tuple[float, ...] = (4, 8, 16, 32)
    n_bins: int = 10


#: Said for [windows] and for [windows, atoms].
Said = tuple[np.ndarray, np.ndarray]


def record_path(folder: Path, name: str, seed: int, size: DoubtSize) -> Path:
    """Return where a seed's record is kept; other choices have another name."""
    choices = (PROTOCOLS[PROTOCOL], FITTING, MOST_KNOWN, potential_fit.CHOICES, newton.CHOICES)
    chosen = (name, seed, size, choices, __version__)
    return folder / "doubt" / f"{name}-seed{seed}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}.json"


def judge_seed(folder: Path, name: str, seed: int, size: DoubtSize) -> dict[str, Any]:
    """Return what each says about the errors of one ensemble on a bundled sample; it is learnt where it was not."""
    path = record_path(folder, name, seed, size)
    if not path.is_file():
        parts = PROTOCOLS[PROTOCOL].parts(sample(name))
        ensemble = Ensemble.fit(
            parts.train, parts.validation, n_members=size.n_members, seed=100 * seed, n_steps=size.n_steps,
            n_path_steps=size.n_path_steps, width=size.width, observers=(), **FITTING,
        )  # fmt: skip
        positions = BentFrames.of(parts.train).positions
        rows = np.linspace(0, len(positions) - 1, min(MOST_KNOWN, len(positions))).astype(int)
        keep(path, judged(ensemble, Known(parts.train.molecule, positions[rows]), parts.validation, parts.test, size))
    return json.loads(path.read_text(encoding="utf-8"))


def judged(
    ensemble: Ensemble, known: Known, validation: Windows, test: Windows, size: DoubtSize
) -> dict[str, dict[str, Any]]:
    """Return, by who says it and lead time, ranks, and calibration after one factor that validation gave."""
    found: dict[str, dict[str, Any]] = {}
    both = [windows.subset(most=size.n_windows)[:] for windows in (validation, test)]
    asked = [ensemble.forecast_and_spread(window) for window in both]
    errors = [(mean - window.truth).double().numpy() for (mean, _), window in zip(asked, both, strict=True)]
    spreads = [spread.double().numpy() for _, spread in asked]
    still = [_of_structures(window, known, validation.molecule.masses) for window in both]
    for lead_fs in size.leads_fs:
        lead = round(lead_fs / test.dt_fs) - 1
        usual = np.sqrt((errors[0][:, lead] ** 2).mean((0, 2)))
        sayers: dict[str, Callable[[int], Said]] = {
            SPREAD: lambda part, lead=lead: _both(spreads[part][:, lead]),
            DISTANCE: lambda part: still[part][DISTANCE],
            WARMTH: lambda part: still[part][WARMTH],
            USUAL: lambda part, usual=usual: _both(np.tile(usual, (len(both[part]), 1))),
        }
        for name, says in sayers.items():
            told = [(says(part), errors[part][:, lead]) for part in range(2)]
            found.setdefault(name, {})[f"{lead_fs:g}"] = _verdict(*told, n_bins=size.n_bins)
    return found


def _of_structures(window: Window, known: Known, masses: np.ndarray) -> Mapping[str, Said]:
    """Return what the present alone says: how far it is from what is known, and how warm, as a root, like a speed."""
    history = window.history.numpy()
    warm = temperatures_K(history, masses, window.dt_fs)
    distances = known.distances(history[:, -1]), known.distances_per_atom(history[:, -1])
    return {DISTANCE: distances, WARMTH: (np.sqrt(warm.mean(1)), np.sqrt(warm))}


def _both(spread: np.ndarray) -> Said:
    """Return what is said of [windows, atoms] for windows too."""
    return np.sqrt((spread**2).mean(1)), spread


def _verdict(validation: tuple[Said, np.ndarray], test: tuple[Said, np.ndarray], *, n_bins: int) -> dict[str, Any]:
    """Return the verdict on what was said of windows and of atoms, from errors [windows, atoms, 3]."""
    verdict: dict[str, Any] = {}
    for number, (of, axes) in enumerate((("windows", (1, 2)), ("atoms", (2,)))):
        (said_before, errors_before), (said, errors) = validation, test
        before, now = (np.sqrt((each**2).mean(axes)) for each in (errors_before, errors))
        factor = fitted_factor(said_before[number], before)
        scaled = factor * said[number]
        curve = calibration_curve(scaled, now, n_bins=n_bins)
        verdict[of] = {
            "rank": rank_correlation(said[number], now), "factor": factor, "off": curve.normalised_error,
            "said": curve.said, "found": curve.found, "counts": curve.counts,
        }  # fmt: skip
        if of == "atoms":
            verdict[of] |= {f"inside_{n}": share_inside(scaled, errors, n_sigma=n) for n in (1, 2)}
    return verdict
