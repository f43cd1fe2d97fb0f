"""Coordinates become states: laws every partition obeys, then known answers, then what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, UnreadableFile
from asteroid_nb.states.cells import Partition
from asteroid_nb.states.discretise import bins, core_states, cores, kmeans, nearest, pcca_cores
from asteroid_nb.states.landscapes import (
    CORE_RADIUS,
    FOUR_WELLS_END,
    FS_PER_UNIT,
    WELLS,
    four_well_partitions,
    four_wells,
)
from asteroid_nb.states.partitions import cores_within
from asteroid_nb.states.recrossing import core_sets, transition_based

XY, TORSIONS = ("x", "y"), ("φ", "ψ")
PLACES = np.radians([(-80, 70), (-80, -40), (60, 40)])


def wells(seed: int = 0, n_frames: int = 4000) -> Coordinates:
    chain = four_wells()
    cells = chain.sample(n_frames, interval=0.1, seed=seed)[0]
    return Coordinates(values=chain.centres[cells], dt_fs=0.1 * FS_PER_UNIT, names=XY, name=f"walker {seed}")


def torsions(seed: int = 0, n_frames: int = 2000, shift: float = 0.0) -> Coordinates:
    """Return angles that hop among three places, and cross ±π when shifted."""
    random = np.random.default_rng(seed)
    where = np.repeat(random.integers(3, size=n_frames // 20), 20)
    angles = PLACES[where] + 0.2 * random.standard_normal((len(where), 2)) + shift
    angles = (angles + np.pi) % (2 * np.pi) - np.pi
    return Coordinates(values=angles, dt_fs=1000.0, names=TORSIONS, periodic=True, name=f"walker {seed}")


def every_kind() -> dict[str, tuple[Partition, Coordinates]]:
    plane, angles = wells(), torsions()
    ball = cores(WELLS, radius=CORE_RADIUS, dimensions=XY)
    return {
        "bins": (bins(plane, 12), plane),
        "bins of angles": (bins(angles, (9, 12)), angles),
        "x alone": (bins(plane, 20, dimensions=("x",)), plane),
        "kmeans": (kmeans(plane, 30), plane),
        "kmeans of angles": (kmeans(angles, 15), angles),
        "nearest": (nearest(WELLS, dimensions=XY), plane),
        "nearest angles": (nearest(PLACES, dimensions=TORSIONS, periodic=True), angles),
        "balls": (ball, plane),
        "circles": (cores(PLACES, radius=0.4, dimensions=TORSIONS, periodic=True), angles),
        "boxes": (cores(PLACES, half_widths=(0.3, 0.5), dimensions=TORSIONS, periodic=True), angles),
    }


KINDS = every_kind()
every_kind_of_partition = pytest.mark.parametrize("kind", KINDS)


@every_kind_of_partition
def test_every_frame_has_a_state_and_inside_a_core_it_is_that_core(kind):
    partition, coordinates = KINDS[kind]
    states, visited = partition.assign(coordinates), partition.visited(coordinates)
    assert len(states) == len(visited) == coordinates.n_frames
    assert states.n_states == partition.n_states == len(partition.labels) and states.dt_fs == coordinates.dt_fs
    inside = visited >= 0
    np.testing.assert_array_equal(visited[inside], states.states[inside])
    assert inside.all() != partition.has_cores


@every_kind_of_partition
def test_all_states_are_met_by_the_data_they_were_made_from(kind):
    partition, coordinates = KINDS[kind]
    np.testing.assert_array_equal(np.unique(partition.assign(coordinates).states), np.arange(partition.n_states))


@every_kind_of_partition
def test_frames_are_parted_one_by_one(kind):
    partition, coordinates = KINDS[kind]
    states = partition.assign(coordinates).states
    np.testing.assert_array_equal(partition.assign(coordinates[::7]).states, states[::7])
    assert partition.assign(coordinates[::7]).dt_fs == 7 * coordinates.dt_fs


@every_kind_of_partition
def test_saved_and_loaded_it_parts_the_same(kind, tmp_path):
    partition, coordinates = KINDS[kind]
    again = Partition.load(partition.save(tmp_path / "partition.json"))
    np.testing.assert_array_equal(again.visited(coordinates), partition.visited(coordinates))
    np.testing.assert_array_equal(again.assign(coordinates).states, partition.assign(coordinates).states)
    assert again.fingerprint == partition.fingerprint and repr(again) == repr(partition)
    assert again.labels == partition.labels and again.made == partition.made
    np.testing.assert_array_equal(again.middles, partition.middles)


@every_kind_of_partition
def test_dimensions_are_known_by_name(kind):
    partition, coordinates = KINDS[kind]
    turned = coordinates.select(coordinates.names[::-1])
    np.testing.assert_array_equal(partition.assign(turned).states, partition.assign(coordinates).states)
    renamed = dataclasses.replace(coordinates, names=("a", "b"))
    with pytest.raises(ModelMismatch, match=r"holds a, b.*looks at .*Use the coordinates it was made from"):
        partition.assign(renamed)
    with pytest.raises(ModelMismatch, match="as angles"):
        partition.visited(dataclasses.replace(coordinates, periodic=not coordinates.periodic, values=np.zeros((3, 2))))


@pytest.mark.parametrize("shift", [0.7, 1.9, np.pi, -2.4])
def test_angles_may_be_turned_around_the_circle(shift):
    """Cores, nearest places and k-means know that −π and π are one; the same turned, they part the same."""
    here, there = torsions(), torsions(shift=shift)
    places = PLACES + shift
    for make in (
        lambda places: nearest(places, dimensions=TORSIONS, periodic=True),
        lambda places: cores(places, radius=0.45, dimensions=TORSIONS, periodic=True),
        lambda places: cores(places, half_widths=(0.3, 0.6), dimensions=TORSIONS, periodic=True),
    ):
        np.testing.assert_array_equal(make(places).visited(there), make(PLACES).visited(here))
    groups = [kmeans(one, 3).assign(one).states for one in (here, there)]
    pairs = set(zip(*(group.tolist() for group in groups), strict=True))
    assert len(pairs) == 3, "the same three groups, whatever their numbers"


def test_the_five_partitions_of_the_four_wells():
    data = wells()
    known = four_well_partitions(np.asarray(data.values))
    made = {
        "x only, 4 states": nearest(WELLS[:, :1], dimensions=("x",)),
        "x only, 20 bins": bins(data, 20, low=-FOUR_WELLS_END, high=FOUR_WELLS_END, dimensions=("x",), every_cell=True),
        "2-D, nearest of 4": nearest(WELLS, dimensions=XY),
        "2-D, 400 cells": bins(data, 20, low=-FOUR_WELLS_END, high=FOUR_WELLS_END, every_cell=True),
        "core set": cores(WELLS, radius=CORE_RADIUS, dimensions=XY),
    }
    for name, partition in made.items():
        np.testing.assert_array_equal(partition.visited(data), known[name], err_msg=name)


def test_a_cell_never_met_belongs_to_the_nearest_that_was():
    data = Coordinates(values=np.array([[0.1], [0.9], [9.9]]), dt_fs=1.0, names=("x",))
    partition = bins(data, 10, low=0.0, high=10.0)
    other = Coordinates(values=np.array([[3.5], [7.5], [-4.0], [40.0]]), dt_fs=1.0, names=("x",))
    np.testing.assert_array_equal(partition.assign(other).states, [0, 1, 0, 1])


def test_kmeans_is_the_same_with_the_same_seed_and_samples_long_data():
    data = [wells(0), wells(1)]
    first, again, other = (kmeans(data, 20, seed=seed, most_frames=3000) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.made["n_frames"] == 3000 and first.made["n_trajectories"] == 2 and first.made["by"] == "kmeans"


def test_several_regions_make_one_core_and_the_larger_ball_reaches_further():
    line = Coordinates(values=np.array([[0.0], [0.9], [3.0], [4.6], [7.0]]), dt_fs=1.0, names=("x",))
    partition = cores(
        [[0.0], [3.0], [7.0]], radius=(1.0, 0.5, 2.5), core_of=(0, 0, 1), dimensions=("x",), labels=("left", "right")
    )
    np.testing.assert_array_equal(partition.visited(line), [0, 0, 0, 1, 1])
    assert partition.assign(line).labels == ("left", "right")
    between = Coordinates(values=np.array([[2.0], [4.0]]), dt_fs=1.0, names=("x",))
    np.testing.assert_array_equal(partition.visited(between), [-1, -1])
    np.testing.assert_array_equal(partition.assign(between).states, [0, 0])


@pytest.mark.parametrize("rule", [core_sets, transition_based])
def test_core_states_are_the_rule_on_what_was_visited(rule):
    data = [wells(0), wells(3)]
    partition = cores(WELLS, radius=CORE_RADIUS, dimensions=XY, labels=("A", "B", "C", "D"))
    for walker, states in zip(data, core_states(partition, data, rule=rule), strict=True):
        expected = rule(cores_within(walker.values, WELLS, radius=CORE_RADIUS))
        np.testing.assert_array_equal(states.states, expected)
        assert states.labels == ("A", "B", "C", "D") and states.dt_fs == walker.dt_fs and states.name == walker.name
        record = states.provenance
        assert record["recrossing"] == {"rule": rule.__name__}
        assert record["frames_cut"] == walker.n_frames - len(states)
        assert record["partition"]["by"] == "cores" and record["partition"]["fingerprint"] == partition.fingerprint


def test_without_cores_core_states_are_the_states():
    data = wells()
    partition = nearest(WELLS, dimensions=XY)
    np.testing.assert_array_equal(core_states(partition, data)[0].states, partition.assign(data).states)


# slow sets


def test_pcca_cores_lie_in_the_wells():
    """Four sets of fine cells: each well is the core of one, its hill between them."""
    data = [wells(seed, 20_000) for seed in range(4)]
    fine = bins(data, 12, low=-FOUR_WELLS_END, high=FOUR_WELLS_END)
    partition = pcca_cores(fine, data, lag_frames=10, n_sets=4, at_least=0.9)
    assert partition.n_states == 4 and partition.has_cores and partition.made["by"] == "PCCA+"
    centres = Coordinates(values=WELLS, dt_fs=100.0, names=XY)
    assert sorted(partition.visited(centres)) == [0, 1, 2, 3]
    assert partition.visited(Coordinates(values=np.zeros((1, 2)), dt_fs=100.0, names=XY)) == [-1]
    shares = np.bincount(np.concatenate([partition.assign(one).states for one in data]))
    assert (np.diff(shares) <= 0).all(), "largest first"


def test_pcca_cores_cross_less_often_than_their_hard_sets():
    data = [wells(seed, 20_000) for seed in range(4)]
    partition = pcca_cores(kmeans(data, 60), data, lag_frames=10, n_sets=4)
    count = lambda several: sum(np.count_nonzero(np.diff(one.states)) for one in several)  # noqa: E731
    assert 4 < count(core_states(partition, data)) < 0.75 * count([partition.assign(one) for one in data])


def test_states_the_model_does_not_know_go_with_the_nearest(tmp_path):
    line = np.repeat([0.0, 1.0, 5.0, 6.0, 5.0, 6.0, 1.0, 0.0, 1.0, 0.0, 5.0, 6.0, 1.0, 0.0, 9.0], 3)[:, None]
    data = Coordinates(values=line, dt_fs=1.0, names=("x",))
    fine = nearest(np.array([[0.0], [1.0], [5.0], [6.0], [9.0]]), dimensions=("x",))  # 9 is entered and never left
    partition = pcca_cores(fine, data, lag_frames=1, n_sets=2, at_least=0.6)
    states = partition.assign(data).states
    assert states[-1] == states[6] != states[0] and partition.visited(data)[-1] == -1
    again = Partition.load(partition.save(tmp_path / "sets.json"))
    np.testing.assert_array_equal(again.visited(data), partition.visited(data))


# refused


def test_no_data_constant_data_and_too_many_states():
    still = Coordinates(values=np.full((50, 2), 0.3), dt_fs=1.0, names=XY)
    for make in (lambda data: bins(data, 4), lambda data: kmeans(data, 4)):
        with pytest.raises(InvalidTrajectory, match="No trajectory was given"):
            make([])
    with pytest.raises(InvalidTrajectory, match="4 states were asked for.*1 distinct frames.*constant"):
        kmeans(still, 4)
    with pytest.raises(InvalidSettings, match="Leave a constant dimension out"):
        bins(still, 4)
    with pytest.raises(InvalidTrajectory, match="10 states were asked for.*hold 6 distinct"):
        kmeans(wells()[:7], 10)
    with pytest.raises(InvalidSettings, match="at least two"):
        kmeans(wells(), 1)
    with pytest.raises(InvalidTrajectory, match="hold NaN"):
        Coordinates(values=np.array([[np.nan, 0.0]]), dt_fs=1.0)


def test_settings_that_make_no_partition():
    with pytest.raises(InvalidSettings, match="cells are more than"):
        bins(torsions(), 2000)
    with pytest.raises(InvalidSettings, match="whole numbers"):
        bins(torsions(), 2.5)
    with pytest.raises(InvalidSettings, match="states of 3 and cores of 3 regions; there are 4"):
        Partition(regions=nearest(WELLS, dimensions=XY).regions, dimensions=XY, state_of=np.arange(3))
    with pytest.raises(InvalidSettings, match="one for each of 2 dimensions"):
        bins(torsions(), (3, 4, 5))
    with pytest.raises(InvalidSettings, match="must be finite numbers .*one column each for x, y"):
        nearest(WELLS[:, :1], dimensions=XY)
    with pytest.raises(InvalidSettings, match="3 labels for 4 states"):
        nearest(WELLS, dimensions=XY, labels=("a", "b", "c"))
    for sizes in ({}, {"radius": 0.3, "half_widths": 0.3}):
        with pytest.raises(InvalidSettings, match="one of the two"):
            cores(WELLS, dimensions=XY, **sizes)
    for sizes in ({"radius": 0.0}, {"radius": np.nan}, {"half_widths": (0.2, -1.0)}, {"radius": (1, 2)}):
        with pytest.raises(InvalidSettings, match="positive number"):
            cores(WELLS, dimensions=XY, **sizes)
    with pytest.raises(InvalidSettings, match="from 0, no gaps"):
        cores(WELLS, dimensions=XY, radius=0.3, core_of=(0, 2, 0, 2))


@pytest.mark.parametrize("sizes", [{"radius": 0.3}, {"half_widths": (0.3, 0.1)}])
def test_cores_that_overlap_also_across_the_end_of_the_circle(sizes):
    near_the_end = [[np.pi - 0.2, 0.0], [-np.pi + 0.2, 0.0]]
    cores(near_the_end, dimensions=TORSIONS, **sizes)  # far apart where there is no circle
    with pytest.raises(InvalidSettings, match="cores 0 and 1 overlap"):
        cores(near_the_end, dimensions=TORSIONS, periodic=True, **sizes)
    cores(near_the_end, dimensions=TORSIONS, periodic=True, core_of=(0, 0), **sizes)  # one core may be of both


def test_a_core_never_entered():
    data = [wells(0), wells(1)]
    far = cores([*WELLS, (30.0, 0.0)], radius=CORE_RADIUS, dimensions=XY, labels=(*"ABCD", "far"))
    with pytest.raises(InvalidTrajectory, match="No trajectory enters the core far.*leave it out"):
        core_states(far, data)
    assert core_states(far, data, every_core=False)[0].n_states == 5
    lost = Coordinates(values=np.full((9, 2), 0.0), dt_fs=data[0].dt_fs, names=XY, name="lost")
    with pytest.raises(InvalidTrajectory, match="'lost': None of the 9 frames lies in a core"):
        core_states(cores(WELLS, radius=CORE_RADIUS, dimensions=XY), [*data, lost])
    with pytest.raises(InvalidSettings, match="core_sets or transition_based"):
        core_states(far, data, rule=np.sort)


def test_trajectories_that_do_not_belong_together():
    with pytest.raises(ModelMismatch, match="differ in names, kind, spacing.*every 100 fs; x, y every 200 fs"):
        kmeans([wells(0), wells(1)[::2]], 5)


def test_a_file_that_is_no_partition(tmp_path):
    for content in ("", "[]", "{}", '{"format": "another"}', '{"format": "asteroid_nb partition 1"}'):
        (tmp_path / "partition.json").write_text(content)
        with pytest.raises(UnreadableFile, match="holds no partition"):
            Partition.load(tmp_path / "partition.json")
    with pytest.raises(UnreadableFile, match="holds no partition"):
        Partition.load(tmp_path / "nowhere.json")


def test_bins_of_angles_may_begin_anywhere_on_the_circle():
    """From 0 to 2π a negative angle lies in the upper half, not in the first bin."""
    angles = np.linspace(-np.pi, np.pi, 400, endpoint=False)[:, None]
    made = bins(Coordinates(angles, 1.0, ("ψ",), periodic=True), 4, low=0.0, high=2 * np.pi)
    expected = (np.degrees(angles[:, 0]) % 360 // 90).astype(int)
    assert made.n_states == 4 and np.array_equal(
        made.assign(Coordinates(angles, 1.0, ("ψ",), periodic=True)).states, expected
    )


def test_what_is_no_coordinates_is_named():
    with pytest.raises(InvalidTrajectory, match="Found a ndarray where `Coordinates` are needed"):
        kmeans([np.zeros((10, 2))], 2)  # type: ignore[list-item]  # the mistake under test
