"""What force fields are trained and judged on: bundled ethanol, or files with forces; split in time, never mixed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asteroid_nb.data.catalogue import sample
from asteroid_nb.data.readers import load
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory

#: Of a single trajectory: what is learnt from, and where the held-out part ends; the rest is the test.
LEARNT, HELD_OUT = 0.7, 0.8

#: Of the file's name, for what its frames are made by.
BUNDLED = "ethanol, GFN2-xTB"


@dataclass(frozen=True)
class Parts:
    """Frames that share no trajectory, or no time of one."""

    train: tuple[Trajectory, ...]
    validation: Trajectory
    test: Trajectory


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
            InvalidSettings: no "=".
        """
        name, equals, rest = words.partition("=")
        path, _, spacing = rest.partition("@")
        if not (name and equals and path):
            raise InvalidSettings(f"--data {words} is no NAME=PATH. Write, for example, --data ethanol=ethanol.npz")
        return cls(name, path, float(spacing) if spacing else None)

    def parts(self) -> Parts:
        """Return the last trajectory as test, the one before as validation, the rest to learn from.

        Of a single trajectory the first 70 % are learnt from, the next 10 % held out, the last 20 % the test.

        Raises:
            InvalidTrajectory: two trajectories, which leave none to learn from.
        """
        found = sample("ethanol") if self.path is None else load(Path(self.path), dt_fs=self.dt_fs)
        listed = [found] if isinstance(found, Trajectory) else list(found)
        if len(listed) >= 3:
            return Parts(tuple(listed[:-2]), listed[-2], listed[-1])
        if len(listed) != 1:
            raise InvalidTrajectory(f"{self.name} holds {len(listed)} trajectories; needed is one, or three and more.")
        one = listed[0]
        first, second = round(LEARNT * one.n_frames), round(HELD_OUT * one.n_frames)
        return Parts((one[:first],), one[first:second], one[second:])
