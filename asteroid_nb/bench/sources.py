"""What force fields are trained and judged on: bundled ethanol, or files with forces; split in time, never mixed."""

from __future__ import annotations

import functools
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

from asteroid_nb.data.catalogue import sample
from asteroid_nb.data.readers import load
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory

#: Of a single trajectory: what is learnt from, and where the held-out part ends; the rest is the test.
LEARNT, HELD_OUT = 0.7, 0.8

#: Of a single trajectory, left out on each side of a cut: what follows at once is nearly what was learnt.
GAP = 0.02

#: Of a file, looked at from its start and from its end to tell one from another.
LOOKED_AT_BYTES = 2**20

#: Of the file's name, for what its frames are made by.
BUNDLED = "ethanol, GFN2-xTB"


@dataclass(frozen=True)
class Parts:
    """Frames that share no trajectory, or no time of one.

    Args:
        single: all are parts of one trajectory.
    """

    train: tuple[Trajectory, ...]
    validation: Trajectory
    test: Trajectory
    single: bool = False


@dataclass(frozen=True)
class Source:
    """Labelled trajectories by name: a file, or the bundled ethanol where there is none.

    Args:
        name: shown in tables, such as "ethanol, sGDML surrogate".
        path: a file that `load` reads; None for the bundled sample.
        dt_fs: where the file carries none.
    """

    name: str = BUNDLED
    path: str | None = None
    dt_fs: float | None = None

    @classmethod
    def named(cls, words: str) -> Source:
        """Return a source from NAME=PATH, with @DT_FS after the path where the file carries no time.

        Raises:
            InvalidSettings: no "=", or a spacing that is no positive number.
        """
        name, equals, rest = words.partition("=")
        path, at, spacing = rest.rpartition("@") if "@" in rest else (rest, "", "")
        if not (name and equals and path):
            raise InvalidSettings(f"--data {words} is no NAME=PATH. Write, for example, --data ethanol=ethanol.npz")
        if at and Path(rest).is_file():  # the file's own name has an "@"
            return cls(name, rest)
        return cls(name, path, _spacing_fs(words, spacing) if at else None)

    @property
    def fingerprint(self) -> str:
        """Return what is the same for the same file wherever it lies; nothing for the bundled sample."""
        return "" if self.path is None else _fingerprint(self.path)

    def trajectories(self) -> list[Trajectory]:
        """Return all of it."""
        found = sample("ethanol") if self.path is None else load(Path(self.path), dt_fs=self.dt_fs)
        return [found] if isinstance(found, Trajectory) else list(found)

    def parts(self) -> Parts:
        """Return the last trajectory as test, the one before as validation, the rest to learn from.

        Of a single trajectory the first 70 % are learnt from, the next 10 % held out, the last 20 % the test, but for
        2 % on each side of a cut.

        Raises:
            InvalidTrajectory: two trajectories, which leave none to learn from.
        """
        listed = self.trajectories()
        if len(listed) >= 3:
            return Parts(tuple(listed[:-2]), listed[-2], listed[-1])
        if len(listed) != 1:
            raise InvalidTrajectory(f"{self.name} holds {len(listed)} trajectories; needed is one, or three and more.")
        one = listed[0]
        first, second = round(LEARNT * one.n_frames), round(HELD_OUT * one.n_frames)
        gap = round(GAP * one.n_frames)
        return Parts((one[: first - gap],), one[first + gap : second - gap], one[second + gap :], single=True)


def _spacing_fs(words: str, spacing: str) -> float:
    try:
        found = float(spacing)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise InvalidSettings(
            f"--data {words} ends in @{spacing}, which is no spacing in fs. Write, for example, --data a=a.xyz@0.5"
        )
    return found


@functools.cache
def _fingerprint(path: str) -> str:
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size - LOOKED_AT_BYTES)):
            file.seek(start)
            digest.update(file.read(LOOKED_AT_BYTES))
    return digest.hexdigest()
