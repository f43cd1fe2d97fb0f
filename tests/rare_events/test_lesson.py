"""What the notebook on rare events is told: exact numbers, chains without warm-up, the stretch worth showing."""

from __future__ import annotations

import numpy as np
import pytest

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.rare_events import lesson
from asteroid_nb.states.discretise import core_states
from asteroid_nb.states.markov import MarkovChain


def path(states: list[int]) -> StateTrajectory:
    return StateTrajectory(np.array(states), 4, 100.0, lesson.LABELS)


def test_the_truth_is_that_of_the_design():
    truth = lesson.truth()
    assert truth.timescales_fs == pytest.approx([71_000, 9_950, 8_620], rel=1e-3)
    assert truth.populations.sum() == pytest.approx(1)
    side = np.array([label[0] for label in truth.labels])
    across = side[:, None] != side
    assert truth.passage_fs[across].min() > 150_000  # the slow barrier parts A from B
    near = truth.passage_fs[~across]
    assert near[near > 0].max() < 45_000


def test_naive_words_flicker_and_cores_do_not():
    walks = lesson.walks(60_000)
    raw = [lesson.nearest_of_four().assign(walk) for walk in walks]
    core = core_states(lesson.four_cores(), walks)
    seen = [sum(lesson.crossings(one) for one in several) for several in (raw, core)]
    assert seen[0] > 1.5 * seen[1] > 0
    assert raw[0].labels == core[0].labels == lesson.LABELS


def test_chains_leave_out_the_frames_in_which_a_model_warms_up():
    model = MarkovChain.fit(path([0, 0, 1, 1, 2, 3, 3, 0]))
    made = lesson.chains(model, n_frames=50, n_chains=3, seed=1)
    assert [one.n_frames for one in made] == [50] * 3
    whole = model.trajectories(51, n_chains=3, seed=1)
    assert (made[2].states == whole[2].states[1:]).all()


def test_the_excerpt_shows_the_crossing_that_flickers_most():
    calm = [0] * 20 + [2] * 20 + [0] * 20
    raw = path([3] + calm + [2, 0, 2, 0, 2, 2] + [2] * 20)
    clean = path(calm + [0, 0, 0, 0, 2, 2] + [2] * 20)  # the first frame was cut
    assert (lesson.crossings(raw), lesson.crossings(clean)) == (8, 3)
    found = lesson.excerpt(raw, clean, n_frames=10)
    assert found.times_fs.tolist() == [100.0 * frame for frame in range(10)]
    assert found.states.tolist() == [0, 2, 0, 2, 0, 2, 2, 2, 2, 2]
    assert found.cleaned.tolist() == [0] * 5 + [2] * 5


def test_jumps_on_one_side_are_no_crossing():
    assert lesson.crossings(path([0, 1, 0, 1, 2, 3, 2])) == 1


@pytest.mark.parametrize("states, n_frames", [([0, 2, 2, 0], 4), ([0, 1, 0, 0], 2)])
def test_without_a_crossing_or_with_too_few_frames_there_is_no_excerpt(states, n_frames):
    with pytest.raises(InvalidTrajectory, match="needed are one, and more than"):
        lesson.excerpt(path(states), path(states), n_frames=n_frames)


def test_once_more_gives_a_timescale_for_either_kind_of_words():
    found = lesson.once_more(seed=3, n_frames=12_000, n_epochs=1, device="cpu")
    assert set(found) == {"nearest of 4", "core sets"}
    assert all(np.isfinite(time_fs) and time_fs > 0 for time_fs in found.values())
