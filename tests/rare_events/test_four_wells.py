"""Choices of states on the four wells: what they promise, and that the held-out replica parts nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.rare_events import cores, four_wells
from asteroid_nb.rare_events.four_wells import (
    CELLS,
    CHOICES,
    CORE_SET,
    DIMENSIONS,
    DWELL_FRAMES,
    INTERVAL,
    N_REPLICAS,
    NEAREST,
    OU_TIME,
    OU_WIDTH,
    X_ONLY,
    arm,
    fast,
    paths,
    prepare,
    through_cores,
)
from asteroid_nb.rare_events.grid import CLEANED, COARSE, FINE
from asteroid_nb.states.landscapes import CORE_RADIUS, FS_PER_UNIT, WELLS
from asteroid_nb.states.landscapes import four_wells as the_chain

N_FRAMES = 12_000
BEFORE, AFTER, BOTH = (
    f"nearest, short visits cut {when}" for when in ("before training", "afterwards", "before and afterwards")
)
FEW = [name for name in CHOICES if name not in (CELLS, FINE)]


def made(states, **options):
    return prepare(arm(states, "LSTM", 0, n_frames=N_FRAMES, **options))


def tokens(several):
    return [one.states.tolist() for one in several]


@pytest.mark.parametrize("interval", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_makes_states_of_one_kind_every_interval(name, interval):
    found = made(name, interval=interval)
    several = [*found.train, found.held_out]
    assert len(found.train) == N_REPLICAS - 1
    assert {one.dt_fs for one in several} == {interval * FS_PER_UNIT}
    assert len({(one.n_states, one.labels) for one in several}) == 1
    assert all(0.5 * N_FRAMES // N_REPLICAS < one.n_frames <= N_FRAMES // N_REPLICAS for one in several)
    judged = found.judged(several)
    assert all(isinstance(one, StateTrajectory) and one.dt_fs == interval * FS_PER_UNIT for one in judged)
    assert {one.n_states for one in judged} == {found.train[0].n_states if name == FINE else 4}


def test_the_interval_is_the_usual_one_unless_told():
    assert made(CORE_SET).train[0].dt_fs == INTERVAL * FS_PER_UNIT


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        *((name, "x, y") for name in CHOICES),
        (FINE, "x"),
        (COARSE, "x"),
        *((name, "x, y, 4 fast") for name in (FINE, COARSE)),
    ],
)
def test_the_held_out_replica_parts_nothing(name, dimension, monkeypatch):
    honest = made(name, dimension=dimension)
    whole = paths

    def spoiled(*arguments, **options):
        """Return the same training replicas, and a last one that walks its first third thrice: other counts."""
        *train, last = whole(*arguments, **options)
        third = last.values[: last.n_frames // 3]
        return [*train, dataclasses.replace(last, values=np.concatenate([third] * 3))]

    monkeypatch.setattr(four_wells, "paths", spoiled)
    other = made(name, dimension=dimension)
    assert tokens(other.train) == tokens(honest.train)
    assert other.held_out.states.tolist() != honest.held_out.states.tolist(), "the spoiling must show"
    assert tokens(other.judged(honest.train)) == tokens(honest.judged(honest.train))


def test_x_alone_has_no_more_fine_states_than_places():
    """The chain lives on a grid: k-means cannot find 200 centres among 40 values."""
    places = np.unique(np.concatenate([one.values[:, 0] for one in paths(0, n_frames=N_FRAMES)[:-1]]))
    assert 20 < made(FINE, dimension="x").train[0].n_states == len(places) <= 40
    assert made(FINE).train[0].n_states == 200


def test_replicas_are_those_of_the_seed_and_differ_from_each_other():
    first, again, other = (paths(seed, n_frames=600) for seed in (3, 3, 4))
    assert all(np.array_equal(a.values, b.values) for a, b in zip(first, again, strict=True))
    everything = [one.values.tobytes() for one in (*first, *other)]
    assert len(set(everything)) == 2 * N_REPLICAS
    assert {one.n_frames for one in first} == {100}


def test_replicas_walk_on_the_chain():
    centres = {tuple(point) for point in the_chain().centres}
    assert all({tuple(point) for point in one.values} <= centres for one in paths(0, n_frames=600))


def test_fast_coordinates_are_added_to_the_same_walk():
    for slow, both in zip(paths(0, n_frames=600), paths(0, n_frames=600, n_fast=4), strict=True):
        assert both.names == DIMENSIONS["x, y, 4 fast"] and both.n_dimensions == 6
        assert np.array_equal(slow.values, both.values[:, :2])


def test_fast_coordinates_of_replicas_are_independent():
    noise = np.concatenate([one.values[:, 2:] for one in paths(0, n_frames=60_000, n_fast=2)], axis=1)
    off = np.corrcoef(noise.T) - np.eye(12)
    assert np.abs(off).max() < 0.1


@pytest.mark.parametrize("interval", [0.02, 0.1, 0.5, 2.0])
def test_fast_coordinates_are_as_wide_and_as_quick_at_any_interval(interval):
    """Exact: no interval is too long for the width to hold, and correlation decays as exp(−t / τ) at every lag."""
    values = fast(400, 2000, interval, np.random.default_rng(0))
    assert values[0].std() == pytest.approx(OU_WIDTH, rel=0.06), "from the first frame on"
    assert values[-1].std() == pytest.approx(OU_WIDTH, rel=0.06)
    assert np.abs(values.mean()) < 0.05
    for lag in (1, 3):
        share = (values[lag:] * values[:-lag]).mean() / OU_WIDTH**2
        assert share == pytest.approx(np.exp(-lag * interval / OU_TIME), abs=0.02)


def test_core_states_are_the_last_core_visited():
    replica, states = paths(0, n_frames=N_FRAMES)[0], made(CORE_SET).train[0]
    away = np.linalg.norm(replica.values[:, None] - WELLS, axis=-1)
    visited = np.where(away.min(axis=1) <= CORE_RADIUS, away.argmin(axis=1), -1)[-states.n_frames :]
    inside = visited >= 0
    assert inside[0] and np.array_equal(states.states[inside], visited[inside])
    assert not (np.diff(states.states) != 0)[~inside[1:]].any(), "between cores nothing changes"


def test_raw_states_are_the_nearest_wells():
    replica = paths(0, n_frames=N_FRAMES)[0]
    away = np.linalg.norm(replica.values[:, None] - WELLS, axis=-1)
    assert np.array_equal(made(NEAREST).train[0].states, away.argmin(axis=1))
    assert np.array_equal(made(X_ONLY).train[0].states, np.abs(replica.values[:, :1] - WELLS[:, 0]).argmin(axis=1))


def short_visits(states):
    """Return how many visits between the first change and the last are shorter than the dwell asked for."""
    changes = np.flatnonzero(np.diff(states.states)) + 1
    return int((np.diff(changes) < DWELL_FRAMES).sum())


def test_short_visits_are_cut_where_the_name_says():
    assert [name.split(" cut ")[1] for name in CLEANED] == ["before training", "afterwards", "before and afterwards"]
    raw, before, after, both = (made(name) for name in (NEAREST, BEFORE, AFTER, BOTH))
    assert sum(map(short_visits, raw.train)) > 10, "otherwise nothing could be seen here"
    for one in (before, both):
        assert not any(map(short_visits, [*one.train, one.held_out]))
    assert tokens(after.train) == tokens(raw.train) and tokens(before.train) == tokens(both.train)
    chains = raw.train  # as a model of raw states might make them
    assert tokens(raw.judged(chains)) == tokens(before.judged(chains)) == tokens(chains)
    assert tokens(after.judged(chains)) == tokens(both.judged(chains)) == tokens(before.train)


def test_cells_are_judged_as_core_sets():
    cells, cored = made(CELLS), made(CORE_SET)
    assert cells.train[0].n_states > 100
    for found, wanted in zip(cells.judged(cells.train), cored.train, strict=True):
        n_frames = min(found.n_frames, wanted.n_frames)
        assert (found.states[-n_frames:] == wanted.states[-n_frames:]).mean() > 0.95


CORE_OF = np.array([0, -1, -1, 1])


def walk(*states):
    return StateTrajectory(np.array(states), 4, 100.0)


def test_chains_that_enter_no_core_are_left_out():
    found = through_cores([walk(1, 2, 1), walk(2, 0, 1, 2, 0, 1, 3, 2, 1), walk(2)], core_of=CORE_OF)
    assert tokens(found) == [[0, 0, 0, 0, 0, 1, 1, 1]]


def test_chains_of_which_none_enters_a_core_are_refused():
    with pytest.raises(InvalidTrajectory, match="None of 2 sequences enters a core"):
        through_cores([walk(1, 2), walk(2)], core_of=CORE_OF)


def test_options_are_sorted_so_that_an_arm_has_one_name(tmp_path):
    one, other = arm(CORE_SET, "LSTM", 0, n_frames=9, interval=0.5), arm(CORE_SET, "LSTM", 0, interval=0.5, n_frames=9)
    assert one == other and one.path(tmp_path) == other.path(tmp_path)


# --- Cores that are certain -----------------------------------------------------------------------------------------


def purest(monkeypatch, highest):
    """Return the membership of the cores found where none above ``highest`` leaves each set a member."""

    def some(fine, train, *, at_least, **options):
        if at_least > highest:
            raise InvalidTrajectory(f"no member by {at_least}")
        return at_least

    monkeypatch.setattr(cores, "pcca_cores", some)
    return cores.purest_cores(None, [], lag_frames=1, n_sets=2)  # type: ignore[arg-type]  # the fake looks at neither


@pytest.mark.parametrize(("highest", "found"), [(1.0, 0.99), (0.96, 0.95), (0.92, 0.9), (0.85, 0.8)])
def test_cores_are_the_surest_that_there_are(monkeypatch, highest, found):
    assert purest(monkeypatch, highest) == found


def test_cores_that_are_hardly_likelier_than_not_are_refused(monkeypatch):
    with pytest.raises(InvalidTrajectory, match=r"no member by 0\.8"):
        purest(monkeypatch, 0.7)


def test_coordinates_know_their_names():
    assert all(isinstance(one, Coordinates) and one.names == ("x", "y") for one in paths(0, n_frames=60))
