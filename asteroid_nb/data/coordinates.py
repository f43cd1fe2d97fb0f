"""`Coordinates`: a few numbers per frame, torsions most often, from which states are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asteroid_nb.data import checks
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.shapes import Float


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Reaction coordinates along one trajectory, validated at construction and immutable after.

    Args:
        values: [frames, dimensions]; torsions in rad.
        dt_fs: between stored frames.
        names: one per dimension, such as φ and ψ.
        periodic: values are angles in rad, so −π and π are one.
        name: shown in titles.
        provenance: where they come from, as JSON-able values.
        structures: molecules to look at, the first that of frame 0, then one every ``structure_every`` frames.

    Raises:
        InvalidTrajectory: no frame, NaN, other names than dimensions, angles beyond ±π, more or fewer structures than
            ``structure_every`` asks for.
    """

    values: np.ndarray
    dt_fs: float
    names: tuple[str, ...] = ()
    periodic: bool = False
    name: str = "coordinates"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    structures: Trajectory | None = None
    structure_every: int = 1

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim != 2 or not values.size or not np.issubdtype(values.dtype, np.floating):
            raise InvalidTrajectory(
                f"Coordinates were {values.dtype} of shape {values.shape}; needed are floats [frames, dimensions]."
            )
        checks.finite("coordinates", values)
        if self.periodic and np.abs(values).max() > np.pi + 1e-3:
            raise InvalidTrajectory(
                f"Angles run up to {np.abs(values).max():.4g}; needed are rad within ±π. Convert degrees first."
            )
        view = values.view()
        view.flags.writeable = False
        names = tuple(self.names) or tuple(f"x{number}" for number in range(1, values.shape[1] + 1))
        if len(set(names)) != values.shape[1]:
            raise InvalidTrajectory(
                f"Found the names {', '.join(names)} for {values.shape[1]} dimensions. Give one each, all different."
            )
        _fitting(self.structures, every=self.structure_every, n_frames=len(values))
        for key, value in {"values": view, "names": names, "dt_fs": checks.spacing_fs(self.dt_fs)}.items():
            object.__setattr__(self, key, value)

    @property
    def n_frames(self) -> int:
        return len(self.values)

    @property
    def n_dimensions(self) -> int:
        return self.values.shape[1]

    def __len__(self) -> int:
        return self.n_frames

    def __repr__(self) -> str:
        return f"<Coordinates {self.name!r}: {', '.join(self.names)}; {self.n_frames} frames, every {self.dt_fs:g} fs>"

    def __getitem__(self, frames: slice) -> Coordinates:
        """Return the chosen frames; a step makes ``dt_fs`` grow with it.

        Structures go along where the first frame kept has one, else they are left out.
        """
        if not isinstance(frames, slice):
            raise InvalidTrajectory(f"Frames are cut by a slice, found {type(frames).__name__}. Use `values` itself.")
        start, stop, step = frames.indices(self.n_frames)
        if step < 1 or not len(range(start, stop, step)):
            raise InvalidTrajectory(
                f"{frames} leaves no frame of {self.n_frames}, or runs backwards. Choose frames inside and a positive "
                "step."
            )
        kept: dict[str, Any] = {"structures": None, "structure_every": 1}
        every = self.structure_every
        if self.structures is not None and start % every == 0:
            both = math.lcm(every, step)  # from one frame that is kept and has a structure to the next
            some = self.structures[start // every : -(-stop // every) : both // every]
            kept = {"structures": some, "structure_every": both // step}
        return dataclasses.replace(self, values=self.values[frames], dt_fs=self.dt_fs * step, **kept)

    def select(self, dimensions: Sequence[str | int]) -> Coordinates:
        """Return some dimensions, by name or number from 0, in the order given: fewer may hide what is slow."""
        dimensions = [dimensions] if isinstance(dimensions, str) else list(dimensions)
        known = {**{name: at for at, name in enumerate(self.names)}, **{at: at for at in range(self.n_dimensions)}}
        if not dimensions or any(one not in known for one in dimensions):
            raise InvalidTrajectory(
                f"Found no dimensions {dimensions}; there are {', '.join(self.names)}. Choose one of them or more."
            )
        chosen = [known[one] for one in dimensions]
        return dataclasses.replace(self, values=self.values[:, chosen], names=tuple(self.names[at] for at in chosen))

    def vectors(self) -> Float[np.ndarray, "frames numbers"]:
        """Return numbers whose differences mean something: angles as cosine and sine, in pairs, the rest as it is."""
        if not self.periodic:
            return self.values
        return np.stack([np.cos(self.values), np.sin(self.values)], axis=-1).reshape(self.n_frames, -1)


def _fitting(structures: Trajectory | None, *, every: Any, n_frames: int) -> None:
    """Raise unless there is one structure for every so many frames, from the first on."""
    if isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1:
        raise InvalidTrajectory(f"structure_every was {every!r}; it must be a whole number of frames, 1 or more.")
    if structures is not None and structures.n_frames != (needed := -(-n_frames // int(every))):
        raise InvalidTrajectory(
            f"Found {structures.n_frames} structures for {n_frames} frames, one every {every}: needed are {needed}. "
            "Cut both alike, or correct structure_every."
        )
