"""How far apart frames are: from the file where its format says so, else from the reader, and never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asteroid_nb.data import checks
from asteroid_nb.errors import InvalidTrajectory, MissingSpacing

#: Two statements of one spacing may differ by this share (times are stored as float32).
AGREEMENT = 1e-3


def agreed_dt_fs(in_file: float | None, given: float | None, *, path: str | Path, why: str) -> float:
    """Return the one spacing that file and reader agree on.

    Raises:
        MissingSpacing: neither states one; ``why`` says why the file does not.
        InvalidTrajectory: they differ.
    """
    if in_file is None and given is None:
        raise MissingSpacing(
            f"{path} does not say how far apart its frames are: {why}. "
            "Pass dt_fs=… in fs, as the simulation stored them."
        )
    if in_file is None or given is None:
        return checks.spacing_fs(given if in_file is None else in_file)
    if abs(checks.spacing_fs(given) - in_file) > AGREEMENT * in_file:
        raise InvalidTrajectory(
            f"{path} says its frames are {in_file:g} fs apart, dt_fs={given:g} was given. "
            "Leave dt_fs out to trust the file; to read every n-th frame use stride=n."
        )
    return checks.spacing_fs(given)


def even_dt_fs(times_fs: np.ndarray, *, path: str | Path) -> float | None:
    """Return the spacing of stored times, or None where they state none: a single frame, or all at one time.

    Raises:
        InvalidTrajectory: the times are uneven or run backwards.
    """
    times_fs = np.asarray(times_fs, dtype=float)
    if len(times_fs) < 2 or not np.ptp(times_fs):
        return None
    steps, dt_fs = np.diff(times_fs), np.ptp(times_fs) / (len(times_fs) - 1)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(times_fs).max()
    odd = np.flatnonzero(np.abs(steps - dt_fs) > AGREEMENT * dt_fs + rounding)
    if len(odd):
        usual = float(np.median(steps))
        worst = int(np.argmax(np.abs(steps - usual)))
        raise InvalidTrajectory(
            f"{path}: frames are unevenly spaced. Most steps are {usual:g} fs, but frame {worst + 1} comes "
            f"{steps[worst]:g} fs after frame {worst}. Cut the file there, or drop doubled frames."
        )
    # float32 times know about six digits.
    return float(f"{dt_fs:.6g}")
