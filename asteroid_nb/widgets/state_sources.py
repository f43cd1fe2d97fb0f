"""What the state explorer draws from: trajectories by name, and what was computed of them, each thing once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import AsteroidError, InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states import kinetics
from asteroid_nb.states.windows import must_agree

#: One trajectory or several.
Paths = StateTrajectory | Sequence[StateTrajectory]

#: Lags when none are given, and what the longest of them is of the shortest of all longest trajectories.
N_LAGS, LONGEST_SHARE = 10, 0.05

#: Samples of the reference's bootstrap band.
N_SAMPLES = 50

#: Frames a map is made of where a model has populations and no coordinates.
MOST_DRAWN = 50_000


class StateSources:
    """State trajectories of a reference and of models, and what belongs to them. Arguments as in `explore_states`."""

    def __init__(
        self,
        trajectories: Mapping[str, Paths],
        *,
        coordinates: Any = None,
        clean: Any = None,
        exact_timescales_fs: Sequence[float] = (),
        exact_passage_fs: np.ndarray | None = None,
        lags_frames: Sequence[int] | None = None,
        temperature_K: float | None = None,
    ):
        if not isinstance(trajectories, Mapping):
            raise InvalidTrajectory(
                f"Found a {type(trajectories).__name__} where a mapping is needed: {{'MD': trajectories, 'LSTM': …}}, "
                "the reference first."
            )
        self.paths = {str(name): _several(paths) for name, paths in trajectories.items()}
        if not self.paths or not all(self.paths.values()):
            raise InvalidTrajectory(
                f"Found trajectories of {', '.join(self.paths) or 'nobody'}, and none for at least one name. Give a "
                "mapping from names to state trajectories, the reference first."
            )
        for name, paths in self.paths.items():
            if other := [path for path in paths if not isinstance(path, StateTrajectory)]:
                raise InvalidTrajectory(
                    f"{name!r} holds a {type(other[0]).__name__}; needed are state trajectories. Make them of "
                    "coordinates with a partition: partition.assign(coordinates)."
                )
        must_agree([path for paths in self.paths.values() for path in paths])
        self.names = tuple(self.paths)
        self.exact_timescales_fs = tuple(float(time) for time in exact_timescales_fs)
        self.exact_passage_fs = exact_passage_fs
        self.temperature_K = temperature_K
        self.lags_frames = self._lags(lags_frames)
        self.coordinates = _by_name(coordinates, self.reference)
        if unknown := [name for name in self.coordinates if name not in self.paths]:
            raise InvalidTrajectory(
                f"Found coordinates of {unknown[0]!r}; there are states of {', '.join(self.names)}."
            )
        if temperature_K is not None and not temperature_K > 0:
            raise InvalidSettings(f"temperature_K was {temperature_K!r}; it must be positive, or left out.")
        if exact_passage_fs is not None and np.shape(exact_passage_fs) != (self.n_states, self.n_states):
            raise InvalidSettings(
                f"exact_passage_fs has shape {np.shape(exact_passage_fs)}; needed is one time from each of "
                f"{self.n_states} states to each."
            )
        for name, found in self.coordinates.items():
            _must_fit(name, found, self.paths.get(name, []))
        self._clean = clean
        self._kept: dict[tuple[str, str], Any] = {}

    @property
    def reference(self) -> str:
        return self.names[0]

    @property
    def models(self) -> tuple[str, ...]:
        return self.names[1:]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.paths[self.reference][0].labels

    @property
    def n_states(self) -> int:
        return len(self.labels)

    @property
    def dt_fs(self) -> float:
        return self.paths[self.reference][0].dt_fs

    def timescales(self, name: str) -> kinetics.Timescales:
        """Return the implied timescales, with a bootstrap band where it is the reference."""
        band = "bootstrap" if name == self.reference else None
        n_modes = min(3, self.n_states - 1)
        return self._once(
            "timescales", name, kinetics.implied_timescales,
            lags_frames=self.lags_frames, n_modes=n_modes, band=band, n_samples=N_SAMPLES, name=name,
        )  # fmt: skip

    def passages(self, name: str) -> kinetics.PassageTimes:
        return self._once("passages", name, kinetics.passage_times, name=name)

    def populations(self, name: str) -> Float[np.ndarray, " states"]:
        return self._once("populations", name, kinetics.populations)

    def chapman_kolmogorov(self, name: str) -> kinetics.CKTest:
        longest = max(path.n_frames for path in self.paths[name])
        lag = self.read_at_frames
        multiples = [step for step in range(1, 7) if step * lag < longest]
        return self._once("test", name, kinetics.chapman_kolmogorov, lag_frames=lag, multiples=multiples, name=name)

    @cached_property
    def plateau_frames(self) -> int | None:
        """Return the lag from which the reference's slowest timescale stays what it is, None if it never does."""
        try:
            return kinetics.plateau_lag(self.timescales(self.reference))
        except AsteroidError:
            return None

    @property
    def read_at_frames(self) -> int:
        """Return the lag at which everything is read: the plateau's, else the middle one."""
        return self.plateau_frames or int(self.lags_frames[len(self.lags_frames) // 2])

    def cleaned(self, name: str, number: int) -> tuple[Int[np.ndarray, " frames"] | None, str]:
        """Return [frames] states with recrossings removed, −1 where cut, or None and why there are none."""
        path = self.paths[name][number]
        if self._clean is None:
            return None, ""
        if not isinstance(self._clean, Mapping):
            return _beside(path, self._clean(path))
        given = _several(self._clean.get(name, []))
        if number >= len(given):
            return None, f"No cleaned labels were given for trajectory {number + 1} of {name}."
        return _beside(path, given[number])

    @cached_property
    def centres(self) -> Float[np.ndarray, "states 2"] | None:
        """Return where each state of the reference lies in its first two coordinates, None where they are unknown."""
        found = self.coordinates.get(self.reference)
        if not found or found[0].n_dimensions < 2:
            return None
        values, states = self.frames(self.reference)
        mean = lambda part: np.array([np.mean(part[states == s], axis=0) for s in range(self.n_states)])  # noqa: E731
        if len(np.unique(states[states >= 0])) < self.n_states:
            return None
        if found[0].periodic:
            return np.arctan2(mean(np.sin(values[:, :2])), mean(np.cos(values[:, :2])))
        return mean(values[:, :2])

    def frames(self, name: str) -> tuple[Float[np.ndarray, "frames dimensions"], Int[np.ndarray, " frames"]]:
        """Return coordinates and states of all frames of a name that have both, one trajectory after the other."""
        pairs = list(zip(self.coordinates[name], self.paths[name], strict=True))
        values = np.concatenate([found.values[found.n_frames - path.n_frames :] for found, path in pairs])
        return values, np.concatenate([path.states for _, path in pairs])

    def drawn_frames(self, name: str) -> tuple[Float[np.ndarray, "frames dimensions"], Int[np.ndarray, " frames"], str]:
        """Return coordinates and states of a name; of one without coordinates the reference's, by its populations.

        The last is what has to be said about them.
        """
        if name in self.coordinates:
            return *self.frames(name), ""
        values, states = self.frames(self.reference)
        wanted = np.rint(self.populations(name) * min(len(states), MOST_DRAWN)).astype(int)
        random = np.random.default_rng(0)
        of_state = [np.flatnonzero(states == state) for state in range(self.n_states)]
        unseen = sum(int(number) for number, frames in zip(wanted, of_state, strict=True) if not len(frames))
        chosen = [random.choice(frames, number) for number, frames in zip(wanted, of_state, strict=True) if len(frames)]
        drawn = np.concatenate(chosen)
        lost = (
            f", without {unseen / wanted.sum():.1%} of its time, in states that have no coordinates" if unseen else ""
        )
        said = f"{name} has states alone: its map holds frames of {self.reference}, as many of each state as it visits"
        return values[drawn], states[drawn], f"{said}{lost}."

    def _lags(self, given: Sequence[int] | None) -> np.ndarray:
        longest = min(max(path.n_frames for path in paths) for paths in self.paths.values())
        if given is not None:
            lags = np.unique(np.asarray(given))
            if not lags.size or not np.issubdtype(lags.dtype, np.integer) or lags[0] < 1 or lags[-1] >= longest:
                raise InvalidSettings(
                    f"The lags were {list(given)}; needed are whole numbers of frames from 1 to {longest - 1}, which "
                    "all names have."
                )
            return lags
        return np.unique(np.geomspace(1, max(1, LONGEST_SHARE * longest), N_LAGS).round().astype(int))

    def _once(self, what: str, name: str, compute: Callable[..., Any], /, **settings: Any) -> Any:
        if (what, name) not in self._kept:
            self._kept[what, name] = compute(self.paths[name], **settings)
        return self._kept[what, name]


def _several(paths: Paths) -> list[StateTrajectory]:
    return [paths] if isinstance(paths, StateTrajectory) else list(paths)


def _by_name(coordinates: Any, reference: str) -> dict[str, list[Coordinates]]:
    """Return coordinates by name; a bare list is the reference's."""
    if coordinates is None:
        return {}
    given = coordinates if isinstance(coordinates, Mapping) else {reference: coordinates}
    return {str(name): [one] if isinstance(one, Coordinates) else list(one) for name, one in given.items()}


def _must_fit(name: str, coordinates: Sequence[Coordinates], paths: Sequence[StateTrajectory]) -> None:
    """Raise unless every trajectory has its coordinates; frames cut before a first core may lack their state."""
    frames = [found.n_frames for found in coordinates]
    needed = [path.n_frames + int(path.provenance.get("frames_cut", 0)) for path in paths]
    spacing = {found.dt_fs for found in coordinates} - {path.dt_fs for path in paths}
    if frames != needed or spacing:
        raise InvalidTrajectory(
            f"Coordinates of {name!r} have {frames} frames every {sorted({found.dt_fs for found in coordinates})} fs, "
            f"its states need {needed} every {sorted({path.dt_fs for path in paths})} fs. Give one set of coordinates "
            "per trajectory, in the same order, from which its states were made."
        )


def _beside(path: StateTrajectory, clean: StateTrajectory) -> tuple[Int[np.ndarray, " frames"] | None, str]:
    """Return cleaned labels frame by frame; those cut at the start come out as −1."""
    if clean.labels != path.labels:
        return None, (
            f"The cleaned labels are {', '.join(clean.labels[:6])}, those of the path {', '.join(path.labels[:6])}: "
            "they cannot be told apart frame by frame."
        )
    cut = path.n_frames - clean.n_frames
    if cut < 0:
        return None, f"There are {clean.n_frames} cleaned frames for {path.n_frames} of the path."
    return np.concatenate([np.full(cut, -1), clean.states]), ""
