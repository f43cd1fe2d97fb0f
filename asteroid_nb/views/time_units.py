"""Times in the unit that suits them: fs, ps, ns or µs. Inside everything is fs; figures are where that ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.units import FS_PER_NS, FS_PER_PS
from asteroid_nb.views.style import number


class TimeUnit(NamedTuple):
    """A unit of time and how many fs it holds."""

    name: str
    fs: float


UNITS = (TimeUnit("fs", 1.0), TimeUnit("ps", FS_PER_PS), TimeUnit("ns", FS_PER_NS), TimeUnit("µs", 1e9))


def time_unit(times_fs: Any) -> TimeUnit:
    """Return the largest unit in which the middle one of these times is at least 1; what is not positive is left out.

    >>> time_unit([200.0, 71_000.0, 90_000.0]).name
    'ps'
    """
    times = np.ravel(np.asarray(times_fs, dtype=float))
    times = times[np.isfinite(times) & (times > 0)]
    middle = float(np.median(times)) if times.size else 1.0
    return next((unit for unit in reversed(UNITS) if middle >= unit.fs), UNITS[0])


def time_words(time_fs: float) -> str:
    """Return a time with its unit for sentences.

    >>> time_words(71_000.0)
    '71 ps'
    """
    if not np.isfinite(time_fs):
        return "no time"
    unit = time_unit([abs(time_fs)])
    return number(time_fs / unit.fs, unit.name)
