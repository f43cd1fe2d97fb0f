"""`Partition`: which state, and which core, every point of the coordinates belongs to; `discretise` makes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, ModelMismatch, UnreadableFile
from asteroid_nb.files import replacing
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.gathering import projection_of
from asteroid_nb.states.recrossing import BETWEEN_CORES
from asteroid_nb.states.regions import Balls, Boxes, Regions, described, rebuilt

FORMAT = "asteroid_nb partition 1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """Which state, and which core, every point of the coordinates belongs to.

    Args:
        regions: of coordinate space, numbered.
        dimensions: names of the coordinates looked at, in order.
        state_of: [regions] the state of every frame nearest to each.
        core_of: [regions] the core of every frame inside each, −1 for none; the states where not given.
        labels: one name per state.
        projection: fingerprint of the projection the coordinates must come from; empty for none.
        made: by which maker, with what settings, as JSON-able values.
    """

    regions: Regions
    dimensions: tuple[str, ...]
    state_of: np.ndarray
    core_of: np.ndarray = None  # type: ignore[assignment]  # filled from the states
    labels: tuple[str, ...] = ()
    projection: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fill = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731  (the class is frozen)
        fill("state_of", np.asarray(self.state_of, dtype=np.int64))
        fill("core_of", self.state_of if self.core_of is None else np.asarray(self.core_of, dtype=np.int64))
        if not len(self.state_of) == len(self.core_of) == self.regions.n_regions:
            raise InvalidSettings(
                f"Found states of {len(self.state_of)} and cores of {len(self.core_of)} regions; there are "
                f"{self.regions.n_regions}. Give one of each per region."
            )
        n_states = int(self.state_of.max()) + 1
        fill("labels", tuple(self.labels) or tuple(str(state) for state in range(n_states)))
        fill("dimensions", tuple(self.dimensions))
        if len(self.labels) != n_states:
            raise InvalidSettings(f"Found {len(self.labels)} labels for {n_states} states. Give one per state.")
        if len(self.dimensions) != self.regions.n_dimensions:
            raise InvalidSettings(
                f"Found {len(self.dimensions)} names ({', '.join(self.dimensions)}) for {self.regions.n_dimensions} "
                "dimensions. Give one each."
            )

    @property
    def n_states(self) -> int:
        return len(self.labels)

    @property
    def periodic(self) -> bool:
        return bool(self.regions.periodic)

    @property
    def has_cores(self) -> bool:
        """Return whether frames may lie between cores."""
        return isinstance(self.regions, (Balls, Boxes)) or bool((self.core_of == BETWEEN_CORES).any())

    @property
    def middles(self) -> Float[np.ndarray, "regions dimensions"]:
        """Return where each region lies, in the unit of the coordinates."""
        return self.regions.middles

    @property
    def fingerprint(self) -> str:
        """Return a word that differs between partitions that differ in anything but names."""
        return hashlib.sha256(json.dumps(self._layout(), sort_keys=True).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        what = "cores" if self.has_cores else "states"
        return f"<Partition of {', '.join(self.dimensions)} into {self.n_states} {what} by {self.made.get('by', '?')}>"

    def assign(self, coordinates: Coordinates) -> StateTrajectory:
        """Return a state for every frame, for frames between cores that of the nearest one.

        Raises:
            ModelMismatch: coordinates of other names, or from another projection.
        """
        states = self.state_of[self.regions.nearest(self._values(coordinates))]
        return self.trajectory(coordinates, states)

    def visited(self, coordinates: Coordinates) -> Int[np.ndarray, " frames"]:
        """Return the core each frame lies in, −1 between cores; without cores the states.

        Raises:
            ModelMismatch: as for `assign`.
        """
        region = self.regions.inside(self._values(coordinates))
        return np.where(region < 0, BETWEEN_CORES, self.core_of[region])

    def save(self, path: str | Path) -> Path:
        """Write everything as one JSON file: a model's tokens mean nothing without it."""
        about = {"format": FORMAT, "labels": self.labels, "made": dict(self.made), **self._layout()}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(about) + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Partition:
        """Read what `save` wrote.

        Raises:
            UnreadableFile: no such file, or not a partition.
        """
        try:
            about = json.loads(Path(path).read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}, needed is {FORMAT!r}")
            keys = ("dimensions", "state_of", "core_of", "labels", "projection", "made")
            return cls(regions=rebuilt(about["regions"]), **{key: about[key] for key in keys})
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnreadableFile(f"{path} holds no partition ({error!r}). Write it with Partition.save.") from error

    def _layout(self) -> dict[str, Any]:
        arrays = {"state_of": self.state_of.tolist(), "core_of": self.core_of.tolist()}
        where = {"regions": described(self.regions), "dimensions": list(self.dimensions)}
        return {**where, **arrays, "projection": self.projection}

    def _values(self, coordinates: Coordinates) -> Float[np.ndarray, "frames dimensions"]:
        missing = [name for name in self.dimensions if name not in coordinates.names]
        if missing or coordinates.periodic != self.periodic:
            raise ModelMismatch(
                f"{coordinates.name!r} holds {', '.join(coordinates.names)}{' as angles' * coordinates.periodic}; the "
                f"partition looks at {', '.join(self.dimensions)}{' as angles' * self.periodic}. Use the coordinates "
                "it was made from."
            )
        if (found := projection_of(coordinates)) != self.projection:
            raise ModelMismatch(
                f"{coordinates.name!r} comes from projection {found or 'none'}, the partition from "
                f"{self.projection or 'none'}. Apply the same projection first; save it beside the partition."
            )
        return np.asarray(coordinates.select(self.dimensions).values, dtype=float)

    def trajectory(self, coordinates: Coordinates, states: np.ndarray, **record: Any) -> StateTrajectory:
        """Return states found from these coordinates, with the partition in their provenance."""
        made = {**self.made, "dimensions": list(self.dimensions), "fingerprint": self.fingerprint}
        return StateTrajectory(
            states=states,
            n_states=self.n_states,
            dt_fs=coordinates.dt_fs,
            labels=self.labels,
            name=coordinates.name,
            provenance={**coordinates.provenance, "partition": made, **record},
        )
