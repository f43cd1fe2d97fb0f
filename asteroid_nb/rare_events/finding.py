"""What the records of rare events say: timescales and passage times, and what to know when reading their page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from asteroid_nb.finding import Rule
from asteroid_nb.shapes import Float
from asteroid_nb.states.landscapes import FS_PER_UNIT, WELLS, four_wells

#: A timescale that leaves out more of the frames, because their states are not connected, is none.
LEAST_SHARE = 0.99


def about() -> str:
    """Return what to know when reading the page."""
    exact = four_wells().timescales(2)
    return (
        "Timescales of the four wells are in units of the model's own time, each called 1 ps in drawings; exact are "
        f"t2 = {exact[0]:.2f} and t3 = {exact[1]:.2f}."
    )


def reasons(records: Sequence[dict[str, Any]]) -> list[Rule]:
    """Return why arms have no result, or a part of theirs has none."""
    found = []
    for one in records:
        parts = {"": one, **{of: one.get(f"{of}_kinetics", {}) for of in ("data", "chain", "model")}}
        for of, part in parts.items():
            if "failed" in part:
                named = " ".join(filter(None, [f"{one['states']}, {one['model']}, seed {one['seed']}", of]))
                found.append(Rule(asked=f"no result of {named}", measured=str(part["failed"]), holds=None))
    return found


def timescale(
    record: dict[str, Any],
    of: str = "model",
    *,
    lag: int = 10,
    mode: int = 0,
    fs: bool = False,
    key: str = "timescales_fs",
) -> float:
    """Return a timescale of a record, or an end of its band, in units of the four wells' time, or in fs.

    NaN where there is none, or where it leaves out more than a few frames.
    """
    found = record.get(f"{of}_kinetics", {})
    if found.get(key) is None or lag not in found["lags_frames"]:
        return float("nan")
    if found["share_used"][found["lags_frames"].index(lag)] < LEAST_SHARE:
        return float("nan")
    value = found[key][found["lags_frames"].index(lag)][mode]
    return float("nan") if value is None else value / (1.0 if fs else FS_PER_UNIT)


def passages(record: dict[str, Any], of: str) -> Float[np.ndarray, "wells wells"]:
    """Return passage times of a record between the four wells in fs, NaN where there are none."""
    found = record.get(f"{of}_kinetics", {}).get("passage_fs")
    return np.full((len(WELLS), len(WELLS)), np.nan) if found is None else np.array(found, dtype=float)


def seen(records: Sequence[dict[str, Any]]) -> str:
    """Return how many frames were trained on, the mean over records."""
    known = [one["n_training_frames"] for one in records if "n_training_frames" in one]
    return f"{np.mean(known):,.0f}" if known else "–"


def error_of(values: Sequence[float] | np.ndarray, exact: float) -> float:
    """Return how far the mean is off, as a share of the exact value."""
    return float(np.mean(np.asarray(values, dtype=float)) / exact - 1)
