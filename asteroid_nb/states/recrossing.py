"""Recrossing removal: four pure functions on state sequences, and how to apply one to a `StateTrajectory`.

A path that hovers on the border between two states changes label at every frame without having gone anywhere; counted
as transitions, such changes make every process look fast. Each function here is idempotent, leaves a sequence without
short visits as it is, and never invents a label. None of them loops over frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from asteroid_nb.data import checks
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Bool, Int
from asteroid_nb.states.partitions import nearest_centre

#: The label of frames that lie in no core.
BETWEEN_CORES = -1


def frames_before_core(visited: np.ndarray) -> int:
    """Return how many frames precede the first core: those that `core_sets` and `transition_based` cut.

    Raises:
        InvalidTrajectory: no frame lies in a core, or these are not labels.
    """
    inside = _labels(visited, between=True) != BETWEEN_CORES
    if not inside.any():
        raise InvalidTrajectory(
            f"None of the {len(inside)} frames lies in a core. Widen the cores, or use a longer trajectory."
        )
    return int(inside.argmax())


def core_sets(visited: np.ndarray) -> Int[np.ndarray, " kept"]:
    """Return the last core visited at each frame, from the first core on.

    The label changes only on entering another core, so leaving a core and coming back is no event.

    Args:
        visited: [frames] the core each frame lies in, −1 between cores.

    Raises:
        InvalidTrajectory: no frame lies in a core, or these are not labels.

    Reference:
        Faradjian & Elber (2004), doi:10.1063/1.1738640; Schütte et al. (2011), doi:10.1063/1.3590108.

    >>> core_sets(np.array([-1, 0, -1, 0, -1, -1, 1, 1]))
    array([0, 0, 0, 0, 0, 1, 1])
    """
    kept = _labels(visited, between=True)[frames_before_core(visited) :]
    return kept[_last_inside(kept != BETWEEN_CORES)]


def transition_based(visited: np.ndarray) -> Int[np.ndarray, " kept"]:
    """Return states that change in the middle of each transit between two cores, from the first core on.

    An excursion that returns to its core stays in it. The middle frame of a transit of odd length, and an excursion cut
    off by the end, belong to the core that was left.

    Args:
        visited: [frames] the core each frame lies in, −1 between cores.

    Raises:
        InvalidTrajectory: no frame lies in a core, or these are not labels.

    Reference:
        Buchete & Hummer (2008), doi:10.1021/jp0761665.

    >>> transition_based(np.array([-1, 0, -1, 0, -1, -1, 1, 1]))
    array([0, 0, 0, 0, 1, 1, 1])
    """
    kept = _labels(visited, between=True)[frames_before_core(visited) :]
    inside = kept != BETWEEN_CORES
    last = _last_inside(inside)
    following = len(kept) - 1 - _last_inside(inside[::-1])[::-1]
    following = np.where(inside[following], following, 2 * len(kept))
    frames = np.arange(len(kept))
    return kept[np.where(frames - last <= following - frames, last, np.minimum(following, len(kept) - 1))]


def minimum_dwell(states: np.ndarray, *, min_frames: int) -> Int[np.ndarray, " frames"]:
    """Return states that change only where the new state is then held for at least ``min_frames``.

    Shorter visits belong to the state held before. The first state stands until a change is accepted, so a sequence
    that holds nothing long enough stays in its first state; a last visit cut short by the end is not accepted. A dwell
    long enough to mend the slowest timescale can wreck the next ones: look at both.

    Args:
        states: [frames].

    Raises:
        InvalidTrajectory: these are not labels.
        InvalidSettings: ``min_frames`` below 1.

    Reference:
        Dynamical coring: Nagel, Weber, Lickert & Stock (2019), doi:10.1063/1.5081767.

    >>> minimum_dwell(np.array([0, 0, 0, 1, 0, 0, 1, 1, 1]), min_frames=2)
    array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    """
    states = _labels(states)
    starts, lengths = _visits(states)
    accepted = lengths >= _count("min_frames", min_frames)
    return np.repeat(states[starts][_last_inside(accepted)], lengths)


def smoothing(states: np.ndarray, *, window_frames: int, min_frames: int) -> Int[np.ndarray, " frames"]:
    """Return the running mean of the states, each a corner of a simplex, then without brief visits.

    The corner nearest to the mean is the state met most often in the window, the present one where several are; unlike
    a mean of coordinates it never passes through a third state on the way. Then each pair of changes closer than
    ``min_frames`` goes: a visit between them is split between its neighbours at its midpoint. The first and the
    last visit stand, however short, because only one change bounds them.

    Args:
        states: [frames].
        window_frames: odd, and below ``2 * min_frames``: a wider mean would change its own result.

    Raises:
        InvalidTrajectory: these are not labels.
        InvalidSettings: a window or ``min_frames`` below 1, an even window, one that is too wide.

    Reference:
        Tsai, Kuo & Tiwary (2020), doi:10.1038/s41467-020-18959-8, whose script smooths coordinates over 50 frames and
        removes changes closer than 100; see `smoothed_coordinates`.

    >>> smoothing(np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 1]), window_frames=3, min_frames=2)
    array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    """
    states = _labels(states)
    window = _window(window_frames)
    if window > 2 * _count("min_frames", min_frames):
        raise InvalidSettings(
            f"A window of {window} frames needs min_frames of at least {window // 2 + 1}, found {min_frames}: "
            "otherwise smoothing twice would differ from smoothing once. Shorten the window or lengthen min_frames."
        )
    return _without_brief_visits(_most_frequent(states, window), min_frames)


def smoothed_coordinates(
    coordinates: np.ndarray, centres: np.ndarray, *, window_frames: int, min_frames: int
) -> Int[np.ndarray, " frames"]:
    """Return states from the running mean of coordinates: the nearest centre, then without brief visits.

    On the way from one state to another the mean may pass a third one nearby. Hand in torsions as cosines and sines,
    because the mean of 179° and −179° is not 0°.

    Args:
        coordinates: [frames, dimensions].
        centres: [states, dimensions].
        window_frames: odd; the ends of the trajectory are held.

    Raises:
        InvalidTrajectory: coordinates that are empty, not finite or not of the centres' dimension.
        InvalidSettings: a window or ``min_frames`` below 1, or an even window.
    """
    half = _window(window_frames) // 2
    coordinates = np.asarray(coordinates, dtype=float)
    nearest_centre(coordinates[:1], centres)  # refuses wrong shapes before they are padded
    checks.finite("coordinates", coordinates)
    middle = coordinates.mean(axis=0)
    padded = np.pad(coordinates - middle, ((half, half), (0, 0)), mode="edge")
    total = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0)
    means = (total[window_frames:] - total[:-window_frames]) / window_frames + middle
    return _without_brief_visits(nearest_centre(means, centres), min_frames)


def remove_recrossings(
    trajectory: StateTrajectory,
    rule: Callable[..., np.ndarray],
    *,
    core_of: np.ndarray | None = None,
    labels: Sequence[str] = (),
    **settings: Any,
) -> StateTrajectory:
    """Return the trajectory under one rule, at the same ``dt_fs``, with rule and settings in its provenance.

    Args:
        rule: `core_sets`, `transition_based`, `minimum_dwell` or `smoothing`.
        core_of: [states] the core each state belongs to, −1 for none; asked for by the two rules on cores, whose
            result is numbered by core. Frames before the first core are cut; ``provenance["frames_cut"]`` counts them.
        labels: one name per core; states that stay states keep theirs.
        settings: of the rule, such as ``min_frames=50``.

    Raises:
        InvalidSettings: cores missing or not asked for, or not one entry per state.
        InvalidTrajectory: no frame lies in a core.
    """
    if (rule in (core_sets, transition_based)) != (core_of is not None):
        raise InvalidSettings(
            f"{rule.__name__} came {'with' if core_of is not None else 'without'} cores. Pass core_of=… to core_sets "
            "and transition_based, and to nothing else."
        )
    visited, changes = trajectory.states, {}
    if core_of is not None:
        cores = _cores(core_of, n_states=trajectory.n_states)
        visited, changes = cores[visited], {"n_states": int(cores.max()) + 1, "labels": tuple(labels)}
    states = rule(visited, **settings)
    cut = int(trajectory.provenance.get("frames_cut", 0)) + trajectory.n_frames - len(states)
    record = {"recrossing": {"rule": rule.__name__, **settings}, "frames_cut": cut}
    provenance = {**trajectory.provenance, **record}
    return dataclasses.replace(trajectory, states=states, provenance=provenance, **changes)


def _cores(core_of: Any, *, n_states: int) -> Int[np.ndarray, " states"]:
    cores = _labels(core_of, between=True)
    if len(cores) != n_states or cores.max() == BETWEEN_CORES:
        raise InvalidSettings(
            f"core_of has {len(cores)} entries up to {cores.max()} for {n_states} states. Give the core of each state, "
            "−1 for none, and at least one core."
        )
    return cores


def _labels(array: Any, *, between: bool = False) -> Int[np.ndarray, " frames"]:
    """Return [frames] int64 labels from 0, or from −1 where frames may lie between cores."""
    values = np.asarray(array)
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.integer):
        raise InvalidTrajectory(
            f"States were {values.dtype} of shape {values.shape}; needed are whole numbers [frames], at least one."
        )
    if values.min() < (BETWEEN_CORES if between else 0):
        allowed = "−1 alone marks frames between cores" if between else "here none may be negative; use core_sets first"
        raise InvalidTrajectory(f"States run down to {values.min()}; {allowed}. Relabel them from 0.")
    return values.astype(np.int64)


def _count(what: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InvalidSettings(f"{what} was {value!r}; it must be a whole number of frames, at least 1.")
    return int(value)


def _window(window_frames: Any) -> int:
    if _count("window_frames", window_frames) % 2 == 0:
        raise InvalidSettings(
            f"window_frames was {window_frames}; an even window has no middle. Use {window_frames + 1}."
        )
    return int(window_frames)


def _last_inside(inside: Bool[np.ndarray, " frames"]) -> Int[np.ndarray, " frames"]:
    """Return the index of the last True at or before each entry, that of the first entry where there is none yet."""
    return np.maximum.accumulate(np.where(inside, np.arange(len(inside)), 0))


def _visits(states: Int[np.ndarray, " frames"]) -> tuple[Int[np.ndarray, " visits"], Int[np.ndarray, " visits"]]:
    """Return the first frame and the length of each visit."""
    starts = np.flatnonzero(np.diff(states, prepend=states[0] - 1))
    return starts, np.diff(starts, append=len(states))


def _without_brief_visits(states: Int[np.ndarray, " frames"], min_frames: int) -> Int[np.ndarray, " frames"]:
    _, lengths = _visits(states)
    brief = lengths < _count("min_frames", min_frames)
    brief[[0, -1]] = False
    return transition_based(np.where(np.repeat(brief, lengths), BETWEEN_CORES, states))


def _most_frequent(states: Int[np.ndarray, " frames"], window: int) -> Int[np.ndarray, " frames"]:
    """Return the state met most often in the window around each frame, the ends held, the present one in a tie."""
    padded = np.pad(states, window // 2, mode="edge")
    best, chosen = np.zeros(len(states), dtype=np.int64), states.copy()
    for state in np.unique(states):
        total = np.cumsum(np.pad(padded == state, (1, 0)))
        count = total[window:] - total[:-window]
        better = (count > best) | ((count == best) & (states == state))
        best, chosen = np.maximum(best, count), np.where(better, state, chosen)
    return chosen
