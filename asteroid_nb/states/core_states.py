"""Cores put to use: slow sets of fine states by PCCA+, and states that change only from core to core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.states.cells import Partition
from asteroid_nb.states.gathering import Several, listed
from asteroid_nb.states.metastable import metastable
from asteroid_nb.states.recrossing import BETWEEN_CORES, core_sets, frames_before_core, transition_based
from asteroid_nb.states.regions import Points


def pcca_cores(
    partition: Partition,
    trajectories: Several,
    *,
    lag_frames: int,
    n_sets: int,
    at_least: float = 0.8,
    labels: Sequence[str] = (),
) -> Partition:
    """Return slow sets of the partition's states, largest first, their certain members as cores.

    PCCA+ gives every state a membership in each set. States that belong to one by ``at_least`` make its core; a path
    that hovers over the others changes no label. `assign` takes the likeliest set, which brings recrossings back.

    Args:
        trajectories: whose states a Markov model is fitted to.
        lag_frames: of that model.
        labels: one name per set.

    Raises:
        InvalidTrajectory: nothing moves, no such sets, or a set without certain members.
        InvalidSettings: fewer than two sets, or more than connected states.
        TrajectoryTooShort: a lag that no trajectory spans.

    Reference:
        Röblitz & Weber (2013), doi:10.1007/s11634-013-0134-6.
    """
    found = metastable([partition.assign(one) for one in listed(trajectories)], lag_frames=lag_frames, n_sets=n_sets)
    certain = found.cores(at_least=at_least)
    likeliest = found.hard[partition.state_of]
    known = likeliest >= 0
    closest = Points(centres=partition.middles[known], periodic=partition.periodic).nearest(partition.middles)
    core_of = np.where(partition.core_of >= 0, certain[partition.core_of], BETWEEN_CORES)
    settings = {"lag_frames": int(lag_frames), "n_sets": int(n_sets), "at_least": float(at_least)}
    return replace(
        partition,
        state_of=likeliest[known][closest],
        core_of=core_of,
        labels=tuple(labels) or tuple(str(number) for number in range(n_sets)),
        made={"by": "PCCA+", **settings, "dt_fs": found.dt_fs, "states": dict(partition.made)},
    )


def core_states(
    partition: Partition,
    trajectories: Several,
    *,
    rule: Callable[[np.ndarray], np.ndarray] = core_sets,
    every_core: bool = True,
) -> list[StateTrajectory]:
    """Return states that change only from core to core, recrossings removed, with the rule in their provenance.

    Frames before the first core are cut; ``provenance["frames_cut"]`` counts them.

    Args:
        rule: `core_sets` or `transition_based`.
        every_core: refuse a core that no trajectory enters, as training data must not hold one.

    Raises:
        InvalidTrajectory: a trajectory that enters no core, or a core that none enters.
        InvalidSettings: another rule.
        ModelMismatch: as for `Partition.assign`.
    """
    if rule not in (core_sets, transition_based):
        raise InvalidSettings(f"The rule was {rule!r}; cores take core_sets or transition_based.")
    several = listed(trajectories)
    visits = [partition.visited(one) for one in several]
    met = np.unique(np.concatenate(visits))
    never = [label for state, label in enumerate(partition.labels) if state not in met]
    if never and every_core:
        raise InvalidTrajectory(
            f"No trajectory enters the core {' or '.join(never)}. Widen it, move it to where frames are, or leave it "
            "out."
        )
    return [_core_states(partition, one, visited, rule) for one, visited in zip(several, visits, strict=True)]


def _core_states(
    partition: Partition, coordinates: Coordinates, visited: np.ndarray, rule: Callable[[np.ndarray], np.ndarray]
) -> StateTrajectory:
    try:
        cut = frames_before_core(visited)
    except InvalidTrajectory as error:
        raise InvalidTrajectory(f"{coordinates.name!r}: {error}") from error
    return partition.trajectory(coordinates, rule(visited), recrossing={"rule": rule.__name__}, frames_cut=cut)
