"""Choices of states on the four wells: how many coordinates, how often saved, how parted, and where cleaned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.memory import giving_back
from asteroid_nb.rare_events.arms import Arm, Prepared
from asteroid_nb.rare_events.cores import MEMBERSHIPS, purest_cores
from asteroid_nb.shapes import Float
from asteroid_nb.states import discretise
from asteroid_nb.states.landscapes import CORE_RADIUS, FOUR_WELLS_END, FS_PER_UNIT, WELLS, four_wells
from asteroid_nb.states.recrossing import minimum_dwell

#: Replicas; the last one is held out. Frames are those of all together.
N_REPLICAS, N_FRAMES, INTERVAL = 6, 600_000, 0.1

#: Fast coordinates: Ornstein–Uhlenbeck processes as wide as the wells are apart, forgotten within a few frames.
OU_WIDTH, OU_TIME, N_OU = 1.5, 0.3, 4

DIMENSIONS = {"x": ("x",), "x, y": ("x", "y"), "x, y, 4 fast": ("x", "y", *(f"fast {n + 1}" for n in range(N_OU)))}

CORE_SET, NEAREST, CELLS, X_ONLY = (
    "core set",
    "2-D nearest of 4, raw",
    "fine 2-D cells → core set",
    "x only, 4 states, raw",
)

#: Of the dwell filter: 2 units of time, well below the fastest process that is looked at.
DWELL_FRAMES, FINE_STATES, PCCA_LAG_FRAMES = 20, 200, 10


@giving_back()
def paths(seed: int, *, n_frames: int = N_FRAMES, interval: float = INTERVAL, n_fast: int = 0) -> list[Coordinates]:
    """Return independent replicas of the exact chain, with so many fast coordinates beside x and y."""
    chain, length = four_wells(), n_frames // N_REPLICAS
    cells = chain.sample(length, interval=interval, n_chains=N_REPLICAS, seed=seed)
    names = ("x", "y", *(f"fast {number + 1}" for number in range(n_fast)))
    random = np.random.default_rng([seed, 1])
    return [
        Coordinates(
            np.concatenate([chain.centres[visited], fast(length, n_fast, interval, random)], axis=1),
            interval * FS_PER_UNIT,
            names,
            name=f"replica {number}",
            provenance={"system": chain.name, "interval": interval, "seed": seed},
        )
        for number, visited in enumerate(cells, start=1)
    ]


def fast(n_frames: int, n_fast: int, interval: float, random: np.random.Generator) -> Float[np.ndarray, "frames fast"]:
    """Return Ornstein–Uhlenbeck coordinates, exact at any interval."""
    if not n_fast:
        return np.empty((n_frames, 0))
    from scipy.signal import lfilter  # 47 MB of modules

    kept = np.exp(-interval / OU_TIME)
    noise = random.standard_normal((n_frames, n_fast)) * OU_WIDTH
    noise[1:] *= np.sqrt(1 - kept**2)
    return np.asarray(lfilter([1.0], [1.0, -kept], noise, axis=0))


def prepare(arm: Arm) -> Prepared:
    """Return the states an arm asks for, parted by what its training replicas show alone."""
    given = {name: arm.option(name) for name in ("n_frames", "interval") if arm.option(name)}
    dimensions = DIMENSIONS[arm.option("dimension", "x, y")]
    replicas = paths(arm.seed, n_fast=len(dimensions) - 2 if len(dimensions) > 2 else 0, **given)
    return CHOICES[arm.states](replicas, arm)


def _cores() -> discretise.Partition:
    return discretise.cores(WELLS, dimensions=("x", "y"), radius=CORE_RADIUS)


def _core_set(replicas: list[Coordinates], arm: Arm) -> Prepared:
    *train, held_out = discretise.core_states(_cores(), replicas)
    return Prepared(train, held_out, list)


def _nearest(replicas: list[Coordinates], arm: Arm, *, clean: str = "nowhere") -> Prepared:
    """Return raw states, or states whose short visits are taken out of the tokens, out of what is made, or of both."""
    parted = discretise.nearest(WELLS, dimensions=("x", "y"))
    states = [parted.assign(replica) for replica in replicas]
    if clean in ("before", "both"):
        states = without_short_visits(states)
    *train, held_out = states
    return Prepared(train, held_out, without_short_visits if clean in ("after", "both") else list)


def without_short_visits(states: Sequence[StateTrajectory], *, min_frames: int = DWELL_FRAMES) -> list[StateTrajectory]:
    from asteroid_nb.states.recrossing import remove_recrossings

    return [remove_recrossings(one, minimum_dwell, min_frames=min_frames) for one in states]


def _x_only(replicas: list[Coordinates], arm: Arm) -> Prepared:
    parted = discretise.nearest(WELLS[:, :1], dimensions=("x",))
    *train, held_out = [parted.assign(replica.select(["x"])) for replica in replicas]
    return Prepared(train, held_out, list)


def _cells(replicas: list[Coordinates], arm: Arm) -> Prepared:
    """Return the cells of a fine grid as tokens; what is made of them becomes core sets afterwards."""
    fine = discretise.bins(replicas[:-1], 20, low=-FOUR_WELLS_END, high=FOUR_WELLS_END)
    *train, held_out = [fine.assign(replica) for replica in replicas]
    middles = np.stack([fine.middles[fine.state_of == state].mean(axis=0) for state in range(fine.n_states)])
    core_of = _cores().visited(Coordinates(middles, INTERVAL * FS_PER_UNIT, ("x", "y")))
    return Prepared(train, held_out, partial(through_cores, core_of=core_of))


def through_cores(states: Sequence[StateTrajectory], *, core_of: np.ndarray) -> list[StateTrajectory]:
    """Return the last core visited; chains that never enter one are left out.

    Raises:
        InvalidTrajectory: none does.
    """
    from asteroid_nb.states.recrossing import core_sets, remove_recrossings

    entered = [one for one in states if (core_of[one.states] >= 0).any()]
    if not entered:
        raise InvalidTrajectory(f"None of {len(states)} sequences enters a core. Train longer, or widen the cores.")
    return [remove_recrossings(one, core_sets, core_of=core_of) for one in entered]


def _parted(train: list[Coordinates], arm: Arm) -> discretise.Partition:
    """Return k-means states; on x alone the chain has fewer places than states are asked for, each then is one."""
    dimensions = dimensions_of(arm)
    frames = np.concatenate([one.select(dimensions).values for one in train])
    n_places = len(np.unique(frames, axis=0))
    if n_places > FINE_STATES:
        return discretise.kmeans(train, FINE_STATES, dimensions=dimensions, seed=arm.seed)
    return discretise.kmeans(train, n_places, dimensions=dimensions, seed=arm.seed, most_frames=len(frames))


def _fine(replicas: list[Coordinates], arm: Arm) -> Prepared:
    fine = _parted(replicas[:-1], arm)
    *train, held_out = [fine.assign(replica) for replica in replicas]
    return Prepared(train, held_out, list)


def _coarse(replicas: list[Coordinates], arm: Arm) -> Prepared:
    fine = _parted(replicas[:-1], arm)
    cores = purest_cores(fine, replicas[:-1], lag_frames=PCCA_LAG_FRAMES, n_sets=4)
    *train, held_out = discretise.core_states(cores, replicas)
    return Prepared(train, held_out, list)


def dimensions_of(arm: Arm) -> tuple[str, ...]:
    return DIMENSIONS[arm.option("dimension", "x, y")]


CHOICES: dict[str, Callable[[list[Coordinates], Arm], Prepared]] = {
    CORE_SET: _core_set,
    NEAREST: _nearest,
    CELLS: _cells,
    X_ONLY: _x_only,
    "nearest, short visits cut before training": partial(_nearest, clean="before"),
    "nearest, short visits cut afterwards": partial(_nearest, clean="after"),
    "nearest, short visits cut before and afterwards": partial(_nearest, clean="both"),
    "200 k-means states": _fine,
    "PCCA+ cores of 200 k-means states": _coarse,
}


def arm(states: str, model: str, seed: int, **options: Any) -> Arm:
    """Return an arm; options that are not given keep the size of `N_FRAMES` frames every `INTERVAL`."""
    made_with = repr((OU_WIDTH, OU_TIME, N_OU, DWELL_FRAMES, FINE_STATES, PCCA_LAG_FRAMES, CORE_RADIUS, MEMBERSHIPS))
    return Arm(states=states, model=model, seed=seed, options=tuple(sorted(options.items())), made_with=made_with)
