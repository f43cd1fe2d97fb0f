"""Recrossing removal: laws that hold for every sequence, then sequences whose answer is known."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.states import recrossing
from asteroid_nb.states.partitions import cores_of_memberships, cores_within, equal_bins, nearest_centre
from asteroid_nb.states.recrossing import (
    core_sets,
    frames_before_core,
    minimum_dwell,
    remove_recrossings,
    smoothed_coordinates,
    smoothing,
    transition_based,
)

SEEDS = range(300)
RULES = {
    "core_sets": core_sets,
    "transition_based": transition_based,
    "dwell 1": functools.partial(minimum_dwell, min_frames=1),
    "dwell 4": functools.partial(minimum_dwell, min_frames=4),
    "smoothing 1, 3": functools.partial(smoothing, window_frames=1, min_frames=3),
    "smoothing 5, 3": functools.partial(smoothing, window_frames=5, min_frames=3),
    "smoothing 7, 9": functools.partial(smoothing, window_frames=7, min_frames=9),
}
ON_CORES = ("core_sets", "transition_based")
every_rule = pytest.mark.parametrize("name", RULES)


def sequence(seed: int, *, between: bool = False) -> np.ndarray:
    """Return a random path through 1 to 5 states, flickering or sticky; −1 stands for frames between cores."""
    random = np.random.default_rng(seed)
    n_frames, n_states, stay = random.integers(1, 200), random.integers(1, 6), random.choice([0.0, 0.5, 0.8, 0.97])
    labels = random.choice(9, size=n_states, replace=False)
    drawn = labels[random.integers(n_states, size=n_frames)]
    fresh = np.maximum.accumulate(np.where(random.random(n_frames) >= stay, np.arange(n_frames), 0))
    states = drawn[fresh]
    if between:
        states = np.where(random.random(n_frames) < random.choice([0.0, 0.3, 0.8]), -1, states)
        states[random.integers(n_frames)] = labels[0]
    return states


def inputs(name: str):
    return (sequence(seed, between=name in ON_CORES) for seed in SEEDS)


def visits(states: np.ndarray) -> np.ndarray:
    """Return the length of each visit."""
    return np.diff(np.flatnonzero(np.diff(states)) + 1, prepend=0, append=len(states))


@every_rule
def test_twice_is_the_same_as_once(name):
    for states in inputs(name):
        once = RULES[name](states)
        np.testing.assert_array_equal(RULES[name](once), once)


@every_rule
def test_a_path_without_short_visits_stays_as_it_is(name):
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        order = np.cumsum(random.integers(1, 4, size=random.integers(1, 8))) % 4
        states = np.repeat(order, random.integers(9, 30, size=len(order)))
        np.testing.assert_array_equal(RULES[name](states), states)


@every_rule
def test_no_label_is_invented_and_the_input_is_left_alone(name):
    for states in inputs(name):
        before = states.copy()
        assert set(RULES[name](states)) <= set(states) - {-1}
        np.testing.assert_array_equal(states, before)


@every_rule
def test_every_frame_from_the_first_core_on_gets_a_state(name):
    for states in inputs(name):
        cut = frames_before_core(states) if name in ON_CORES else 0
        result = RULES[name](states)
        assert len(result) == len(states) - cut
        assert result.dtype == np.int64


@every_rule
def test_a_state_by_another_number_is_the_same_state(name):
    renumbered = np.append(np.random.default_rng(7).permutation(9) + 20, -1)  # the last serves −1
    for states in inputs(name):
        if name.startswith("smoothing") and len(set(states)) > 2:
            continue  # of several states met equally often, none of them the present one, the lowest number is taken
        np.testing.assert_array_equal(RULES[name](renumbered[states]), renumbered[RULES[name](states)])


@pytest.mark.parametrize("rule", [core_sets, transition_based])
def test_inside_a_core_its_label_holds(rule):
    for seed in SEEDS:
        visited = sequence(seed, between=True)
        kept = visited[frames_before_core(visited) :]
        inside = kept >= 0
        np.testing.assert_array_equal(rule(visited)[inside], kept[inside])


def test_core_labels_change_only_on_entering_another_core():
    for seed in SEEDS:
        visited = sequence(seed, between=True)
        kept = visited[frames_before_core(visited) :]
        entered = np.flatnonzero(np.diff(core_sets(visited))) + 1
        assert (kept[entered] >= 0).all()


def test_transitions_are_as_many_and_in_the_same_order_as_those_between_cores():
    for seed in SEEDS:
        visited = sequence(seed, between=True)
        states = transition_based(visited)
        order = lambda path: path[np.diff(path, prepend=-1) != 0]  # noqa: E731
        np.testing.assert_array_equal(order(states), order(visited[visited >= 0]))


def test_transits_are_split_in_the_middle_backwards_as_forwards():
    for seed in SEEDS:
        states = sequence(seed)
        visited = np.insert(np.repeat(states, 3), np.arange(1, len(states)).repeat(2) * 3, -1)  # even transits alone
        np.testing.assert_array_equal(transition_based(visited[::-1]), transition_based(visited)[::-1])


def test_every_visit_but_the_first_lasts_as_long_as_the_dwell_asks():
    for seed in SEEDS:
        for min_frames in (2, 5, 20):
            assert (visits(minimum_dwell(sequence(seed), min_frames=min_frames))[1:] >= min_frames).all()


def test_every_inner_visit_lasts_as_long_as_smoothing_asks():
    for seed in SEEDS:
        result = smoothing(sequence(seed), window_frames=3, min_frames=6)
        assert (visits(result)[1:-1] >= 6).all()


def frame_by_frame_dwell(states, min_frames):
    """The rule as it is worded, one frame after the other."""
    held, result = states[0], []
    for frame, state in enumerate(states):
        ahead = states[frame : frame + min_frames]
        if state != held and len(ahead) == min_frames and (ahead == state).all():
            held = state
        result.append(held)
    return result


def frame_by_frame_transits(visited):
    """Each frame between cores goes to the nearer one in time, the earlier of equals; the end to the last."""
    inside = np.flatnonzero(visited >= 0)
    result = []
    for frame in range(inside[0], len(visited)):
        last, following = inside[inside <= frame][-1], inside[inside >= frame][:1]
        result.append(visited[last if not len(following) or frame - last <= following[0] - frame else following[0]])
    return result


def frame_by_frame_core_sets(visited):
    result, last = [], None
    for label in visited:
        last = label if label >= 0 else last
        result += [] if last is None else [last]
    return result


def test_they_agree_with_the_rules_worked_out_frame_by_frame():
    for seed in SEEDS:
        states, visited = sequence(seed), sequence(seed, between=True)
        for min_frames in (1, 3, 8):
            expected = frame_by_frame_dwell(states, min_frames)
            np.testing.assert_array_equal(minimum_dwell(states, min_frames=min_frames), expected)
        np.testing.assert_array_equal(transition_based(visited), frame_by_frame_transits(visited))
        np.testing.assert_array_equal(core_sets(visited), frame_by_frame_core_sets(visited))


KNOWN = [
    (core_sets, [-1, -1, 0, -1, 0, -1, -1, 2, -1], [0, 0, 0, 0, 0, 2, 2]),
    (transition_based, [-1, -1, 0, -1, 0, -1, -1, 2, -1], [0, 0, 0, 0, 2, 2, 2]),
    (transition_based, [1, -1, -1, -1, 0], [1, 1, 1, 0, 0]),
    (RULES["dwell 4"], [0, 0, 1, 0, 1, 1, 1, 1, 2, 1, 2], [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]),
    (RULES["dwell 4"], [3, 1, 2, 1, 2], [3, 3, 3, 3, 3]),
    (RULES["dwell 4"], [0, 1, 1, 2, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]),
    (RULES["smoothing 1, 3"], [0, 0, 0, 1, 1, 0, 0, 0], [0] * 8),
    (RULES["smoothing 1, 3"], [0, 0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 0, 2, 2, 2, 2]),
    (RULES["smoothing 1, 3"], [0, 1, 1, 1, 2], [0, 1, 1, 1, 2]),
    (functools.partial(smoothing, window_frames=3, min_frames=2), [2, 2, 1, 0, 0], [2, 2, 2, 0, 0]),
    (RULES["smoothing 5, 3"], [0, 0, 0, 1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1, 1]),
]


@pytest.mark.parametrize(("rule", "states", "expected"), KNOWN)
def test_known_answers(rule, states, expected):
    np.testing.assert_array_equal(rule(np.array(states)), expected)


def test_frames_before_the_first_core_are_counted():
    assert frames_before_core(np.array([-1, -1, 3, -1])) == 2
    assert frames_before_core(np.array([3, -1])) == 0


@every_rule
def test_a_constant_path_and_a_single_frame_stay(name):
    for states in (np.full(20, 3), np.array([2])):
        np.testing.assert_array_equal(RULES[name](states), states)


BAD_STATES = [
    (np.array([], dtype=int), "at least one"),
    (np.array([0.0, 1.0]), "float64"),
    (np.array([True, False]), "bool"),
    (np.zeros((3, 2), dtype=int), "shape"),
    (np.array([0, -2, 1]), "down to -2"),
]


@every_rule
@pytest.mark.parametrize(("states", "words"), BAD_STATES)
def test_what_is_no_path_is_refused(name, states, words):
    with pytest.raises(InvalidTrajectory, match=words):
        RULES[name](states)


@pytest.mark.parametrize("rule", [core_sets, transition_based, frames_before_core])
def test_a_path_that_visits_no_core_is_refused(rule):
    with pytest.raises(InvalidTrajectory, match="None of the 5 frames lies in a core"):
        rule(np.full(5, -1))


@pytest.mark.parametrize("name", [name for name in RULES if name not in ON_CORES])
def test_frames_between_cores_are_refused_where_cores_mean_nothing(name):
    with pytest.raises(InvalidTrajectory, match="use core_sets first"):
        RULES[name](np.array([0, -1, 1]))


@pytest.mark.parametrize("count", [0, -3, 2.0, True, "5"])
def test_a_count_of_frames_that_is_none_is_refused(count):
    with pytest.raises(InvalidSettings, match="min_frames was"):
        minimum_dwell(np.zeros(5, dtype=int), min_frames=count)
    with pytest.raises(InvalidSettings, match="window_frames was"):
        smoothing(np.zeros(5, dtype=int), window_frames=count, min_frames=5)


def test_windows_that_have_no_middle_or_would_change_their_own_result_are_refused():
    with pytest.raises(InvalidSettings, match="even window has no middle. Use 7"):
        smoothing(np.zeros(5, dtype=int), window_frames=6, min_frames=9)
    with pytest.raises(InvalidSettings, match="min_frames of at least 4, found 3"):
        smoothing(np.zeros(5, dtype=int), window_frames=7, min_frames=3)


def test_coordinates_are_smoothed_before_they_become_states():
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2, 0], 400)
    centres = np.array([(0.0, 0.0), (2.0, 0.0), (0.0, 2.0)])
    noisy = centres[truth] + random.normal(scale=1.5, size=(len(truth), 2))
    raw = nearest_centre(noisy, centres)
    found = smoothed_coordinates(noisy, centres, window_frames=41, min_frames=60)
    assert len(visits(raw)) > 300
    np.testing.assert_array_equal(found[np.diff(found, prepend=-1) != 0], [0, 1, 2, 0])
    np.testing.assert_allclose(np.flatnonzero(np.diff(found)), [399, 799, 1199], atol=25)


def test_a_window_of_one_frame_leaves_coordinates_alone():
    coordinates = np.random.default_rng(1).normal(size=(500, 3)) + 1e6
    centres = coordinates[::100]
    expected = nearest_centre(coordinates, centres)
    np.testing.assert_array_equal(smoothed_coordinates(coordinates, centres, window_frames=1, min_frames=1), expected)


def test_the_running_mean_is_centred_and_holds_the_ends():
    coordinates = np.array([[0.0], [0.0], [0.9], [0.0], [9.0], [9.0]])  # means of three: 0, 0.3, 0.3, 3.3, 6, 9
    centres = np.array([[0.0], [0.3], [3.3], [6.0], [9.0]])
    found = smoothed_coordinates(coordinates, centres, window_frames=3, min_frames=1)
    np.testing.assert_array_equal(found, [0, 1, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("coordinates", "words"),
    [
        (np.zeros((0, 2)), "at least one of each"),
        (np.zeros(5), "frames, dimensions"),
        (np.zeros((5, 3)), "centres of shape"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), "NaN or infinity, first in frame 1"),
    ],
)
def test_coordinates_that_fit_no_centre_are_refused(coordinates, words):
    with pytest.raises(InvalidTrajectory, match=words):
        smoothed_coordinates(coordinates, np.zeros((2, 2)), window_frames=3, min_frames=2)


@pytest.fixture
def trajectory() -> StateTrajectory:
    states = np.array([3, 1, 0, 1, 0, 0, 2, 2, 3, 2, 2, 2])
    names = ("left", "rim", "right", "out")
    return StateTrajectory(states, 4, 20.0, labels=names, name="walk", provenance={"seed": 5})


def test_a_trajectory_keeps_spacing_names_and_history(trajectory):
    result = remove_recrossings(trajectory, minimum_dwell, min_frames=2)
    np.testing.assert_array_equal(result.states, [3, 3, 3, 3, 0, 0, 2, 2, 2, 2, 2, 2])
    assert (result.dt_fs, result.labels, result.name, result.n_states) == (20.0, trajectory.labels, "walk", 4)
    assert result.provenance == {
        "seed": 5,
        "recrossing": {"rule": "minimum_dwell", "min_frames": 2},
        "frames_cut": 0,
    }


def test_states_become_cores_and_the_frames_before_are_counted(trajectory):
    cores = np.array([0, -1, 1, -1])
    result = remove_recrossings(trajectory, core_sets, core_of=cores, labels=("left", "right"))
    np.testing.assert_array_equal(result.states, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    assert (result.n_states, result.labels, result.dt_fs) == (2, ("left", "right"), 20.0)
    assert result.provenance["frames_cut"] == 2
    named = remove_recrossings(trajectory, transition_based, core_of=cores)
    assert named.labels == ("0", "1")


@pytest.mark.parametrize(
    ("rule", "settings", "words"),
    [
        (core_sets, {}, "core_sets came without cores"),
        (transition_based, {}, "transition_based came without cores"),
        (minimum_dwell, {"core_of": np.zeros(4, dtype=int), "min_frames": 2}, "minimum_dwell came with cores"),
        (core_sets, {"core_of": np.zeros(3, dtype=int)}, "3 entries up to 0 for 4 states"),
        (core_sets, {"core_of": np.full(4, -1)}, "at least one core"),
    ],
)
def test_cores_that_are_missing_or_do_not_fit_are_refused(trajectory, rule, settings, words):
    with pytest.raises(InvalidSettings, match=words):
        remove_recrossings(trajectory, rule, **settings)


def test_a_trajectory_that_enters_no_core_is_refused(trajectory):
    with pytest.raises(InvalidTrajectory, match="None of the 3 frames"):
        remove_recrossings(trajectory[1:4:1], core_sets, core_of=np.array([-1, -1, 0, -1]))


def test_centres_cores_bins_and_memberships():
    points = np.array([[0.0, 0.2], [1.0, 0.0], [0.3, 0.0], [3.0, 0.0]])
    centres = np.array([[0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(nearest_centre(points, centres), [0, 1, 0, 1])
    np.testing.assert_array_equal(cores_within(points, centres, radius=0.2), [0, 1, -1, -1])
    np.testing.assert_array_equal(equal_bins([-9, 0, 0.49, 0.5, 1, 9], 2, low=0, high=1), [0, 0, 0, 1, 1, 1])
    memberships = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    np.testing.assert_array_equal(cores_of_memberships(memberships), [0, -1, 1])
    for radius in (0.0, 0.5, -1.0):
        with pytest.raises(InvalidSettings, match="half way"):
            cores_within(points, centres, radius=radius)
    with pytest.raises(InvalidSettings, match="above 0.5"):
        cores_of_memberships(memberships, at_least=0.5)
    with pytest.raises(InvalidSettings, match="sum to 1"):
        cores_of_memberships(memberships * 2)
    with pytest.raises(InvalidSettings, match="low < high"):
        equal_bins([0.0], 3, low=1, high=1)


def test_many_frames_are_looked_at_in_pieces(monkeypatch):
    random = np.random.default_rng(0)
    points, centres = random.normal(size=(101, 2)), random.normal(size=(7, 2))
    whole = nearest_centre(points, centres)
    monkeypatch.setattr("asteroid_nb.states.partitions.CHUNK_VALUES", 50)
    np.testing.assert_array_equal(nearest_centre(points, centres), whole)


def test_frames_between_cores_carry_one_mark_everywhere():
    assert cores_within(np.array([[5.0]]), np.array([[0.0]]), radius=1.0) == recrossing.BETWEEN_CORES


def test_frames_cut_by_one_rule_are_still_counted_after_the_next():
    whole = StateTrajectory(np.array([2, 2, 0, 0, 1, 0, 0, 1, 1, 1]), 3, 10.0)
    once = remove_recrossings(whole, core_sets, core_of=np.array([0, 1, -1]))
    twice = remove_recrossings(once, minimum_dwell, min_frames=2)
    assert once.provenance["frames_cut"] == twice.provenance["frames_cut"] == whole.n_frames - twice.n_frames == 2
