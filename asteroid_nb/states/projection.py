"""Slow directions of many coordinates: TICA, a linear projection fitted on training trajectories alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort, UnreadableFile
from asteroid_nb.files import replacing
from asteroid_nb.states.gathering import Several, listed, projection_of
from asteroid_nb.states.load_deeptime import load_deeptime

FORMAT = "asteroid_nb projection 1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """A linear map from coordinates (angles as cosines and sines) to a few slow ones.

    Args:
        dimensions: names of the coordinates it takes, in order.
        periodic: these are angles.
        mean: [numbers] taken away first.
        matrix: [numbers, components]; a step of 1 along a component stands for the same kinetic distance in all.
        timescales_fs: [components] relaxation time of each, NaN where it has none.
        lag_fs: at which it was fitted.
        made: with what settings, as JSON-able values.
    """

    dimensions: tuple[str, ...]
    periodic: bool
    mean: np.ndarray
    matrix: np.ndarray
    timescales_fs: np.ndarray
    lag_fs: float
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_dimensions(self) -> int:
        return self.matrix.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"TIC {number}" for number in range(1, self.n_dimensions + 1))

    @property
    def fingerprint(self) -> str:
        """Return a word that differs between projections that differ."""
        return hashlib.sha256(json.dumps(self._layout(), sort_keys=True).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        slow = ", ".join(f"{time:.4g}" for time in self.timescales_fs)
        return f"<Projection of {', '.join(self.dimensions)} on {self.n_dimensions} components, timescales {slow} fs>"

    def apply(self, coordinates: Coordinates) -> Coordinates:
        """Return the components along a trajectory, its structures kept.

        Raises:
            ModelMismatch: coordinates of other names or kind.
        """
        missing = [name for name in self.dimensions if name not in coordinates.names]
        if missing or coordinates.periodic != self.periodic or projection_of(coordinates):
            raise ModelMismatch(
                f"{coordinates.name!r} holds {', '.join(coordinates.names)}; the projection takes "
                f"{', '.join(self.dimensions)}{' as angles' * self.periodic}. Use the coordinates it was made from."
            )
        vectors = np.asarray(coordinates.select(self.dimensions).vectors(), dtype=float)
        record = {**self.made, "fingerprint": self.fingerprint}
        return replace(
            coordinates,
            values=(vectors - self.mean) @ self.matrix,
            names=self.names,
            periodic=False,
            provenance={**coordinates.provenance, "projection": record},
        )

    def save(self, path: str | Path) -> Path:
        """Write everything as one JSON file, to be kept beside the partitions made from its components."""
        with replacing(path) as temporary:
            about = {"format": FORMAT, "made": dict(self.made), **self._layout()}
            temporary.write_text(json.dumps(about) + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Projection:
        """Read what `save` wrote.

        Raises:
            UnreadableFile: no such file, or not a projection.
        """
        try:
            about = json.loads(Path(path).read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}, needed is {FORMAT!r}")
            arrays = {key: np.asarray(about[key], dtype=float) for key in ("mean", "matrix", "timescales_fs")}
            rest = {key: about[key] for key in ("periodic", "lag_fs", "made")}
            return cls(dimensions=tuple(about["dimensions"]), **arrays, **rest)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UnreadableFile(f"{path} holds no projection ({error!r}). Write it with Projection.save.") from error

    def _layout(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "made"}
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()}


def tica(
    trajectories: Several,
    *,
    lag_frames: int | None = None,
    lag_fs: float | None = None,
    n_dimensions: int,
    dimensions: Sequence[str] | None = None,
) -> Projection:
    """Return the slowest linear components at a lag, scaled so that distances between points are kinetic distances.

    Args:
        lag_frames: or ``lag_fs``, a whole number of frames; one of the two.
        n_dimensions: components kept.
        dimensions: names of the coordinates looked at, all when not given.

    Raises:
        InvalidSettings: a lag of no whole number of frames, or more components than the data have.
        InvalidTrajectory: no trajectory, or constant coordinates.
        TrajectoryTooShort: a trajectory not longer than the lag.

    Reference:
        Pérez-Hernández et al. (2013), doi:10.1063/1.4811489; Noé & Clementi (2015), doi:10.1021/acs.jctc.5b00553, for
        the kinetic map.
    """
    load_deeptime()
    from deeptime.decomposition import TICA

    several = listed(trajectories)
    if dimensions is not None:
        several = [one.select(dimensions) for one in several]
    first = several[0]
    if projection_of(first):
        raise InvalidSettings("These are components of a projection already. Pass the coordinates it was made from.")
    lag = _lag(first, lag_frames, lag_fs)
    if (short := min(several, key=len)).n_frames <= lag:
        raise TrajectoryTooShort(
            f"{short.name!r} has {short.n_frames} frames, the lag is {lag}. Shorten the lag or leave it out."
        )
    data = [np.asarray(one.vectors(), dtype=float) for one in several]
    if not np.concatenate(data).std(axis=0).max() > 0:
        raise InvalidTrajectory(f"{', '.join(first.names)} are constant: nothing moves. Choose other coordinates.")
    # One estimate from all trajectories, pairs of frames taken within each alone.
    covariances = TICA.covariance_estimator(lagtime=lag)
    for vectors in data:
        covariances.partial_fit((vectors[:-lag], vectors[lag:]))
    model: Any = TICA(lagtime=lag, scaling="kinetic_map").fit(covariances.fetch_model()).fetch_model()
    return _projection(model, several, lag, n_dimensions)


def _projection(model: Any, several: list[Coordinates], lag: int, n_dimensions: int) -> Projection:
    first, values = several[0], np.real(model.singular_values)
    matrix = np.real(model.instantaneous_coefficients)
    most = min(len(values), matrix.shape[1])
    if not 1 <= n_dimensions <= most:
        raise InvalidSettings(
            f"n_dimensions was {n_dimensions!r}; these data have 1 to {most} components. Ask for fewer."
        )
    kept, matrix = values[:n_dimensions], matrix[:, :n_dimensions]
    largest = matrix[np.abs(matrix).argmax(axis=0), np.arange(n_dimensions)]  # made positive: a sign has no meaning
    lag_fs = lag * first.dt_fs
    times = np.full(n_dimensions, np.nan)
    alive = (kept > 0) & (kept < 1)
    times[alive] = -lag_fs / np.log(kept[alive])
    return Projection(
        dimensions=first.names,
        periodic=first.periodic,
        mean=np.asarray(model.cov.mean_0, dtype=float),
        matrix=matrix * np.where(largest < 0, -1.0, 1.0),
        timescales_fs=times,
        lag_fs=lag_fs,
        made={"by": "TICA", "lag_frames": lag, "dt_fs": first.dt_fs, "n_trajectories": len(several)},
    )


def _lag(first: Coordinates, lag_frames: int | None, lag_fs: float | None) -> int:
    """Return the lag in frames."""
    if (lag_frames is None) == (lag_fs is None):
        raise InvalidSettings("TICA needs lag_frames or lag_fs, one of the two. Give one.")
    lag = float(lag_frames) if lag_frames is not None else float(lag_fs or 0) / first.dt_fs
    if not (lag > 0.5 and abs(lag - round(lag)) < 1e-6):
        raise InvalidSettings(
            f"The lag was {lag:g} frames of {first.dt_fs:g} fs; it must be a whole number, at least 1. Choose another."
        )
    return round(lag)
