"""Exact chains: laws of reversible kinetics, chains whose answers fit on paper, and the four wells' table."""

from __future__ import annotations

import types

import numpy as np
import pytest
from scipy.linalg import expm

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.rare_events.exact import INTERVALS, PRINTED, ROUNDING
from asteroid_nb.states.chains import ExactChain
from asteroid_nb.states.landscapes import (
    PRINZ_INTERVAL,
    WELLS,
    four_well_partitions,
    four_wells,
    four_wells_potential,
    grid_chain,
    prinz,
    prinz_potential,
)
from asteroid_nb.states.one_step import label_passage_times, one_step, one_step_table
from asteroid_nb.states.recrossing import core_sets


@pytest.fixture(scope="module")
def wells() -> ExactChain:
    return four_wells()


@pytest.fixture(scope="module")
def partitions(wells) -> dict:
    return four_well_partitions(wells.centres)


@pytest.fixture
def walk() -> ExactChain:
    """A random walk over nine cells with three basins."""
    axis = np.arange(9.0)
    return grid_chain([axis], 1.5 * np.cos(2 * np.pi * axis / 3.2) + 0.1 * axis, name="walk")


def two_states(there: float = 0.3, back: float = 0.1) -> ExactChain:
    generator = np.array([[-there, there], [back, -back]])
    return ExactChain(
        centres=np.array([[0.0], [1.0]]), generator=generator, populations=np.array([back, there]) / (there + back)
    )


# The four wells


@pytest.fixture(scope="module")
def table(wells, partitions) -> dict:
    return one_step_table(wells, partitions, INTERVALS, n_modes=2)


@pytest.mark.parametrize("name", PRINTED)
def test_the_table_of_partitions_and_intervals(table, name):
    found, printed = table[name][:, 0], np.array(PRINTED[name])
    np.testing.assert_allclose(found, printed, atol=ROUNDING, rtol=0)
    firm = printed >= 6  # below, the printed digit itself is coarser than one per cent
    np.testing.assert_allclose(found[firm], printed[firm], rtol=0.01)


def test_the_exact_timescales(wells):
    np.testing.assert_allclose(wells.timescales(4), [71.00, 9.95, 8.62, 0.19], atol=0.005)


def test_passage_times_between_cores_seen_every_tenth(wells, partitions):
    times = label_passage_times(wells, partitions["core set"], interval=0.1)
    np.testing.assert_array_equal(np.diag(times), 0)
    side = np.array([0, 1, 0, 1])
    neighbours = (side[:, None] == side) & ~np.eye(4, dtype=bool)
    across = side[:, None] != side
    np.testing.assert_allclose((times[neighbours].min(), times[neighbours].max()), (37.8, 39.1), atol=0.05)
    np.testing.assert_allclose((times[across].min(), times[across].max()), (159.8, 163.3), atol=0.05)


def test_passage_times_between_cores_watched_at_every_instant(wells, partitions):
    cores = partitions["core set"] == np.arange(4)[:, None]
    times = wells.passage_times(cores, cores)
    golden = [[0, 161.05, 38.47, 163.19], [159.72, 0, 162.79, 37.44]]  # as of the first version
    np.testing.assert_allclose(times[:2], golden, atol=0.01)
    np.testing.assert_allclose(times[::-1, ::-1], times, rtol=1e-6)  # the landscape is its own image through the centre


def test_no_partition_is_slower_than_the_truth_and_longer_intervals_come_closer(wells, table):
    exact = wells.timescales(2)
    for found in table.values():
        assert (found <= exact * (1 + 1e-6)).all()
        assert (np.diff(found, axis=0) >= -1e-6).all()


def test_counted_labels_of_cores_come_out_slow_when_the_interval_is_long(wells, partitions):
    counted = one_step_table(wells, {"core set": partitions["core set"]}, (0.1, 1, 10), look="counted")["core set"]
    np.testing.assert_allclose(counted[:, 0], [71.33, 71.69, 74.04], atol=0.01)


def test_counted_labels_are_those_of_sampled_paths(wells, partitions):
    cores, interval = partitions["core set"], 5.0
    paths = wells.sample(1001, interval=interval, n_chains=400, seed=2)
    counts = np.zeros((4, 4))
    for path in paths:
        labels = core_sets(cores[path])
        np.add.at(counts, (labels[:-1], labels[1:]), 1)
    expected = one_step(wells, cores, interval).matrix
    error = np.sqrt(expected * (1 - expected) / counts.sum(1, keepdims=True))
    assert (np.abs(counts / counts.sum(1, keepdims=True) - expected) < 4.5 * error).all()


def test_the_wells_are_deepest_near_their_names(wells):
    energy = four_wells_potential(wells.centres)
    for well in WELLS:
        near = np.linalg.norm(wells.centres - well, axis=1) < 0.6
        assert np.linalg.norm(wells.centres[near][energy[near].argmin()] - well) < 0.3
    assert four_wells_potential(np.zeros((1, 2)))[0] > energy.min() + 1


def test_five_partitions_of_the_plane(partitions):
    assert {name: labels.max() + 1 for name, labels in partitions.items()} == {
        "x only, 4 states": 4,
        "x only, 20 bins": 20,
        "2-D, nearest of 4": 4,
        "2-D, 400 cells": 400,
        "core set": 4,
    }
    assert (np.bincount(partitions["2-D, 400 cells"]) == 4).all()
    cores = partitions["core set"]
    np.testing.assert_array_equal(partitions["2-D, nearest of 4"][cores >= 0], cores[cores >= 0])


# The Prinz potential


def test_the_prinz_potential_relaxes_as_published():
    frames = prinz().timescales(4) / PRINZ_INTERVAL
    np.testing.assert_allclose(frames, [166.7, 25.35, 13.0, 2.44], rtol=0.002)


def test_a_finer_grid_changes_the_prinz_potential_little():
    np.testing.assert_allclose(prinz(800).timescales(4), prinz().timescales(4), rtol=0.001)


@pytest.mark.filterwarnings("ignore")
def test_the_prinz_potential_is_deeptime_s():
    data = pytest.importorskip("deeptime.data")
    system, x = data.prinz_potential(), np.linspace(-1.2, 1.2, 50)
    np.testing.assert_allclose(system.potential(x[:, None]).ravel(), prinz_potential(x), rtol=1e-9)
    assert system.h * system.n_steps == pytest.approx(PRINZ_INTERVAL)


# Laws


@pytest.mark.parametrize("interval", [0.02, 0.7, 30.0])
def test_the_transition_matrix_is_the_exponential_of_the_generator(walk, interval):
    np.testing.assert_allclose(walk.transition_matrix(interval), expm(walk.generator * interval), atol=1e-12)


def test_probabilities_are_kept_and_flows_balance(wells):
    matrix = wells.transition_matrix(0.1)
    flow = wells.populations[:, None] * matrix
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(wells.populations @ matrix, wells.populations, atol=1e-13)
    np.testing.assert_allclose(flow, flow.T, atol=1e-14)


def test_two_short_intervals_make_a_long_one(walk):
    parts = walk.transition_matrix(0.3) @ walk.transition_matrix(1.1)
    np.testing.assert_allclose(parts, walk.transition_matrix(1.4), atol=1e-12)


def test_after_an_age_nothing_is_remembered(wells, partitions):
    labels = partitions["2-D, nearest of 4"]
    shown = one_step(wells, labels, 1e14)
    np.testing.assert_allclose(shown.matrix, np.tile(shown.populations, (4, 1)), rtol=1e-6)
    assert np.isnan(shown.timescales(1)).all()


def test_populations_are_boltzmann_s():
    energy = np.array([0.0, 1.0, 0.3])
    chain = grid_chain([np.arange(3.0)], energy, beta=2.0)
    np.testing.assert_allclose(chain.populations / chain.populations[0], np.exp(-2.0 * energy))


def test_rates_follow_spacing_and_diffusion():
    chain = grid_chain([np.array([0.0, 0.5])], np.array([0.0, 1.0]), beta=3.0, diffusion=2.0)
    np.testing.assert_allclose(chain.generator[[0, 1], [1, 0]], [8 * np.exp(-1.5), 8 * np.exp(1.5)])


@pytest.mark.parametrize("look", ["counted", "projected"])
def test_every_cell_a_state_shows_everything(walk, look):
    for interval in (0.1, 1.0):
        shown = one_step(walk, np.arange(9), interval, look=look)
        np.testing.assert_allclose(shown.matrix, walk.transition_matrix(interval), atol=1e-10)
        np.testing.assert_allclose(shown.timescales(3), walk.timescales(3), rtol=1e-8)
        np.testing.assert_allclose(shown.populations, walk.populations, rtol=1e-10)


def test_a_hard_partition_lumps_the_weighted_transition_matrix(walk):
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    member = (labels[:, None] == np.arange(3)).astype(float)
    joint = member.T @ (walk.populations[:, None] * walk.transition_matrix(0.5)) @ member
    for look in ("counted", "projected"):
        shown = one_step(walk, labels, 0.5, look=look)
        np.testing.assert_allclose(shown.matrix, joint / joint.sum(axis=1, keepdims=True), atol=1e-12)


def test_counted_cores_are_the_chain_augmented_with_the_last_core(walk):
    cores, interval = np.array([0, -1, -1, 1, -1, -1, 2, -1, -1]), 0.4
    matrix = walk.transition_matrix(interval)
    pairs = [(cell, core) for cell in range(9) for core in range(3) if cores[cell] in (-1, core)]
    augmented = np.zeros((len(pairs), len(pairs)))
    for row, (cell, core) in enumerate(pairs):
        for column, (arrived, label) in enumerate(pairs):
            takes = cores[arrived] if cores[arrived] >= 0 else core
            augmented[row, column] = matrix[cell, arrived] * (label == takes)
    weights = np.linalg.matrix_power(augmented, 2**14)[0]
    member = np.array([[label == core for core in range(3)] for _, label in pairs], dtype=float)
    joint = member.T @ (weights[:, None] * augmented) @ member
    shown = one_step(walk, cores, interval)
    np.testing.assert_allclose(shown.joint, joint, atol=1e-10)
    np.testing.assert_allclose(shown.matrix.sum(axis=1), 1)
    np.testing.assert_allclose(shown.populations, member.T @ weights, atol=1e-10)


def test_a_mode_that_is_gone_or_absent_has_no_timescale(walk):
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    assert np.isnan(one_step(walk, labels, 500.0).timescales(3)[1:]).all()
    assert np.isfinite(one_step(walk, labels, 0.1).timescales(3)[0])
    assert np.isnan(one_step(walk, labels, 1e-20).timescales(1)).all()


# Committors and passage times


def test_two_states_on_paper():
    chain = two_states(0.3, 0.1)
    assert chain.timescales(1)[0] == pytest.approx(2.5)
    assert chain.transition_matrix(1.0)[0, 1] == pytest.approx(0.75 * (1 - np.exp(-0.4)))
    np.testing.assert_allclose(chain.passage_times(np.eye(2), np.eye(2)), [[0, 1 / 0.3], [10, 0]])
    seen = chain.passage_times(np.eye(2), np.eye(2), interval=1.0)
    np.testing.assert_allclose(seen[0, 1], 1 / chain.transition_matrix(1.0)[0, 1])


def resistances(chain: ExactChain) -> np.ndarray:
    """Return 1 / (π_k · rate k → k + 1) along a line of cells."""
    return 1 / (chain.populations[:-1] * np.diag(chain.generator, 1))


def test_the_committor_along_a_line_falls_over_resistances(walk):
    climbed = np.concatenate([[0], np.cumsum(resistances(walk))])
    np.testing.assert_allclose(walk.committor([0], [8]), climbed / climbed[-1], atol=1e-12)


def test_the_passage_along_a_line_is_the_sum_of_populations_over_flows(walk):
    expected = (resistances(walk) * np.cumsum(walk.populations)[:-1]).sum()
    start, end = np.eye(9, dtype=bool)[[0, 8]]
    assert walk.passage_times(start, end)[0, 0] == pytest.approx(expected)


def test_committors_to_several_cores_share_one_probability(wells, partitions):
    cores = partitions["core set"]
    for interval in (None, 0.5):
        shares = wells.committors(cores, interval=interval)
        assert shares.min() >= -1e-12
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        np.testing.assert_array_equal(shares[cores == 2], np.tile([0, 0, 1, 0], (38, 1)))


def test_the_committor_is_the_fate_of_sampled_chains(walk):
    paths = walk.sample(400, interval=0.5, n_chains=4000, seed=3, start=3)
    ended = (paths == 0) | (paths == 8)
    fate = np.take_along_axis(paths, ended.argmax(axis=1)[:, None], axis=1)
    assert ended.any(axis=1).all()
    expected = walk.committor([0], [8], interval=0.5)[3]
    assert (fate == 8).mean() == pytest.approx(expected, abs=4.5 * np.sqrt(expected * (1 - expected) / 4000))


def test_passage_times_are_those_of_sampled_chains(walk):
    paths = walk.sample(3000, interval=0.5, n_chains=2000, seed=4, start=0)
    arrived = paths == 8
    assert arrived.any(axis=1).all()
    times = arrived.argmax(axis=1) * 0.5
    expected = walk.passage_times(np.eye(9)[0], np.eye(9)[8], interval=0.5)[0, 0]
    assert times.mean() == pytest.approx(expected, abs=4.5 * times.std() / np.sqrt(2000))


def test_watching_more_often_comes_closer_to_every_instant(walk):
    ends = np.eye(9, dtype=bool)[[0, 8]]
    exact = walk.passage_times(ends, ends)[0, 1]
    seen = [walk.passage_times(ends, ends, interval=interval)[0, 1] for interval in (1.0, 0.1, 0.001)]
    assert seen[0] > seen[1] > seen[2] > exact
    assert seen[2] == pytest.approx(exact, rel=1e-3)


def test_sources_may_be_weights(walk):
    ends = np.eye(9, dtype=bool)[[0, 8]]
    apart = walk.passage_times(np.eye(9)[:2], ends[1])[:, 0]
    together = walk.passage_times(np.array([1.0, 0.5, 0, 0, 0, 0, 0, 0, 0]), ends[1])[0, 0]
    assert together == pytest.approx(np.average(apart, weights=walk.populations[:2] * [1, 0.5]))


# Sampling


def test_sampled_steps_have_the_chain_s_probabilities(walk):
    paths = walk.sample(2001, interval=0.3, n_chains=200, seed=1)
    counts = np.zeros((9, 9))
    np.add.at(counts, (paths[:, :-1].ravel(), paths[:, 1:].ravel()), 1)
    expected = walk.transition_matrix(0.3)
    visited = counts.sum(axis=1, keepdims=True)
    error = np.sqrt(expected * (1 - expected) / visited) + 1 / visited
    assert (np.abs(counts / visited - expected) < 4.5 * error).all()


def test_chains_start_in_equilibrium_unless_told(walk):
    first = walk.sample(1, interval=1.0, n_chains=40000, seed=0)[:, 0]
    expected = walk.populations
    error = np.sqrt(expected * (1 - expected) / 40000)
    assert (np.abs(np.bincount(first, minlength=9) / 40000 - expected) < 4.5 * error).all()
    assert (walk.sample(3, interval=1.0, n_chains=5, start=4)[:, 0] == 4).all()
    np.testing.assert_array_equal(walk.sample(3, interval=1.0, n_chains=3, start=[8, 0, 2])[:, 0], [8, 0, 2])


def test_a_seed_is_a_path(walk):
    draw = lambda seed: walk.sample(50, interval=0.3, n_chains=4, seed=seed)  # noqa: E731
    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()
    assert draw(1).shape == (4, 50)


@pytest.mark.parametrize("draw", [0.0, np.nextafter(1.0, 0.0)])
def test_the_last_digit_of_a_draw_never_leaves_the_row(walk, monkeypatch, draw):
    fixed = types.SimpleNamespace(random=lambda n: np.full(n, draw))
    monkeypatch.setattr(np.random, "default_rng", lambda seed: fixed)
    paths = walk.sample(4, interval=0.3, n_chains=9, start=np.arange(9))
    assert (paths[:, 1:] == (0 if draw == 0 else 8)).all()


# Bad input


def good() -> dict:
    chain = two_states()
    return {"centres": chain.centres, "generator": chain.generator, "populations": chain.populations}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator": expm(np.array([[-0.3, 0.3], [0.1, -0.1]]))}, "A transition matrix is not a generator"),
        ({"generator": np.array([[0.1, -0.1], [0.3, -0.3]])}, "at least 0"),
        ({"generator": np.full((2, 2), np.nan)}, "sum to 0"),
        ({"generator": np.zeros((3, 3))}, "must be"),
        ({"centres": np.zeros(2)}, "must be"),
        ({"populations": np.array([1.0, 0.0])}, "positive and sum to 1"),
        ({"populations": np.array([0.5, 0.6])}, "positive and sum to 1"),
        ({"populations": np.array([0.5, 0.5])}, "must be reversible"),
    ],
)
def test_what_is_no_reversible_chain_is_refused(changes, words):
    with pytest.raises(InvalidSettings, match=words):
        ExactChain(**{**good(), **changes})


def test_a_chain_in_pieces_is_refused():
    generator = np.kron(np.eye(2), [[-1.0, 1.0], [1.0, -1.0]])
    with pytest.raises(InvalidSettings, match="Only 2 of 4 cells can be reached"):
        ExactChain(centres=np.zeros((4, 1)), generator=generator, populations=np.full(4, 0.25))


def test_a_chain_cannot_be_changed():
    chain = ExactChain(**good())
    with pytest.raises(ValueError, match="read-only"):
        chain.generator[0, 0] = 1.0


@pytest.mark.parametrize("interval", [0, -1.0, np.nan, np.inf, "1", True])
def test_intervals_that_are_no_time_are_refused(walk, interval):
    with pytest.raises(InvalidSettings, match="positive time"):
        walk.transition_matrix(interval)
    with pytest.raises(InvalidSettings, match="positive time"):
        one_step(walk, np.arange(9), interval)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(8), "one whole number per cell"),
        (np.zeros(9), "float64"),
        (np.full(9, -1), "without a gap"),
        (np.array([0, 0, 0, 0, 2, 2, 2, 2, 2]), "without a gap"),
        (np.array([0, 0, 0, 0, 1, 1, 1, 1, -2]), "−1 alone"),
    ],
)
def test_partitions_that_do_not_fit_are_refused(walk, labels, words):
    with pytest.raises(InvalidSettings, match=words):
        one_step(walk, labels, 1.0)
    with pytest.raises(InvalidSettings, match=words):
        walk.committors(labels)


@pytest.mark.parametrize(
    "call",
    [
        lambda chain: chain.committor([], [8]),
        lambda chain: chain.committor([0], [9]),
        lambda chain: chain.committor([-1], [8]),
        lambda chain: chain.committor([0.5], [8]),
        lambda chain: chain.committor(np.ones(4, dtype=bool), [8]),
        lambda chain: chain.committor([0, 8], [8]),
        lambda chain: chain.passage_times(np.zeros(9), np.eye(9)),
        lambda chain: chain.passage_times(np.eye(9), np.zeros(9, dtype=bool)),
        lambda chain: chain.passage_times(np.eye(8), np.eye(9)),
        lambda chain: chain.passage_times(np.eye(9), np.eye(9)[:, :8]),
        lambda chain: chain.passage_times(-np.eye(9), np.eye(9)),
        lambda chain: chain.sample(0, interval=1.0),
        lambda chain: chain.sample(5, interval=1.0, n_chains=0),
        lambda chain: chain.sample(5, interval=1.0, start=9),
        lambda chain: chain.sample(5, interval=1.0, n_chains=3, start=[1, 2]),
        lambda chain: chain.sample(5, interval=1.0, start=0.5),
        lambda chain: one_step(chain, np.arange(9), 1.0, look="guessed"),
        lambda chain: grid_chain([np.arange(3.0)], np.zeros(4)),
        lambda chain: grid_chain([np.array([0.0, 1.0, 3.0])], np.zeros(3)),
        lambda chain: grid_chain([np.arange(3.0)], np.array([0.0, np.inf, 0.0])),
        lambda chain: prinz(1),
    ],
)
def test_sets_starts_and_grids_that_do_not_fit_are_refused(walk, call):
    with pytest.raises(InvalidSettings):
        call(walk)
