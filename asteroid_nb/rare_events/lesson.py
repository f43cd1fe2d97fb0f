"""What the notebook on rare events needs beside the package's own verbs: the truth, a model's chains, an excerpt."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.memory import giving_back
from asteroid_nb.rare_events import four_wells
from asteroid_nb.shapes import Bool, Float, Int
from asteroid_nb.states import discretise, landscapes
from asteroid_nb.states.kinetics import implied_timescales
from asteroid_nb.states.landscapes import CORE_RADIUS, FS_PER_UNIT, WELLS
from asteroid_nb.states.one_step import label_passage_times, one_step
from asteroid_nb.states.partitions import cores_within
from asteroid_nb.states.sampling import StateModel
from asteroid_nb.states.training import train_language

#: The wells by the side of the slow barrier they lie on.
CENTRES, LABELS = WELLS[[0, 2, 1, 3]], ("A1", "A2", "B1", "B2")
CENTRES.flags.writeable = False

#: Between frames, in the chain's unit.
INTERVAL = four_wells.INTERVAL

#: Chains that a model makes, and their frames: about twice the data, so that what they leave open is not the point.
N_CHAINS, CHAIN_FRAMES = 192, 4000


class Truth(NamedTuple):
    """What is known of the four wells without any data.

    Args:
        timescales_fs: t2, t3, t4.
        passage_fs: [wells, wells] from the last core visited until the first frame in another.
        populations: [wells] by the last core visited.
        labels: of the wells.
        centres: [wells, 2] where they lie.
    """

    timescales_fs: Float[np.ndarray, " modes"]
    passage_fs: Float[np.ndarray, "wells wells"]
    populations: Float[np.ndarray, " wells"]
    labels: tuple[str, ...]
    centres: Float[np.ndarray, "wells 2"]


@giving_back()
def truth() -> Truth:
    chain = landscapes.four_wells()
    visited = cores_within(chain.centres, CENTRES, radius=CORE_RADIUS)
    return Truth(
        chain.timescales(3) * FS_PER_UNIT,
        label_passage_times(chain, visited, interval=INTERVAL) * FS_PER_UNIT,
        one_step(chain, visited, INTERVAL).populations,
        LABELS,
        CENTRES,
    )


def walks(n_frames: int, *, seed: int = 0) -> list[Coordinates]:
    """Return x and y along replicas of the four wells, so many frames in all; the last replica is for validation."""
    return four_wells.paths(seed, n_frames=n_frames)


def nearest_of_four() -> discretise.Partition:
    """Return the naive tokens: each frame belongs to the nearest well."""
    return discretise.nearest(CENTRES, dimensions=("x", "y"), labels=LABELS)


def four_cores() -> discretise.Partition:
    """Return a ball in the middle of each well; frames outside belong to the well whose ball was visited last."""
    return discretise.cores(CENTRES, dimensions=("x", "y"), radius=CORE_RADIUS, labels=LABELS)


@giving_back()
def chains(
    model: StateModel, *, n_frames: int = CHAIN_FRAMES, n_chains: int = N_CHAINS, seed: int = 0
) -> list[StateTrajectory]:
    """Return what a model makes from its own states, without the frames in which it warms up."""
    made = model.trajectories(n_frames + model.context, n_chains=n_chains, seed=seed)
    return [chain[model.context :] for chain in made]


class Excerpt(NamedTuple):
    """A stretch of a path, raw and cleaned, in the order that `views.state_path` takes; its time begins at 0."""

    times_fs: Float[np.ndarray, " frames"]
    states: Int[np.ndarray, " frames"]
    cleaned: Int[np.ndarray, " frames"]


def crossings(path: StateTrajectory) -> int:
    """Return how often the slow barrier between A and B seems to be crossed."""
    return int(_crossed(path.states).sum())


def excerpt(path: StateTrajectory, cleaned: StateTrajectory, *, n_frames: int = 400) -> Excerpt:
    """Return the stretch around a crossing of the slow barrier in which there seem to be most of them.

    Args:
        path: raw states.
        cleaned: the same with recrossings removed, perhaps without the frames before the first core.

    Raises:
        InvalidTrajectory: no more than so many frames, or no crossing.
    """
    cut = path.n_frames - cleaned.n_frames
    states, clean = path.states[cut:], cleaned.states
    crossed = np.flatnonzero(_crossed(clean)) + 1
    if cut < 0 or len(clean) <= n_frames or not len(crossed):
        raise InvalidTrajectory(
            f"{len(crossed)} crossings were found in {len(clean)} cleaned frames of {path.n_frames}; needed are one, "
            f"and more than {n_frames} frames. Use a longer path or a shorter excerpt."
        )
    begins = np.clip(crossed - n_frames // 2, 0, len(clean) - n_frames)
    seeming = np.cumsum(np.append(0, _crossed(states)))
    begin = int(begins[np.argmax(seeming[begins + n_frames - 1] - seeming[begins])])
    here = slice(begin, begin + n_frames)
    return Excerpt(np.arange(n_frames) * path.dt_fs, states[here], clean[here])


def _crossed(states: Int[np.ndarray, " frames"]) -> Bool[np.ndarray, " steps"]:
    """Return whether each step goes from one side of the slow barrier to the other."""
    return np.diff(states >= LABELS.index("B1"))


def once_more(*, seed: int, n_frames: int, **fitting: Any) -> dict[str, float]:
    """Return t2 in fs over one frame as an LSTM makes it, from new data and new weights, by the tokens it learnt.

    Args:
        seed: of data, weights and chains.
        n_frames: of all replicas together.
        fitting: what `train_language` is told besides.
    """
    replicas, found = walks(n_frames, seed=seed), {}
    tokens = {
        "nearest of 4": [nearest_of_four().assign(one) for one in replicas],
        "core sets": discretise.core_states(four_cores(), replicas),
    }
    for name, states in tokens.items():
        run = train_language(states, seed=seed, observers=(), **fitting)
        found[name] = float(implied_timescales(chains(run, seed=seed), lags_frames=[1], n_modes=1).at(1)[0])
    return found
