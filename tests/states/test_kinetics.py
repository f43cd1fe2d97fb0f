"""Timescales and passage times: laws of the estimators, then the four wells' and Prinz's exact answers."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from token_chains import THREE, replicas, tokens

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.states.counting import MIN_BLOCKS, band_of, gathered, largest_connected
from asteroid_nb.states.kinetics import (
    Timescales,
    bayesian_band,
    implied_timescales,
    passage_times,
    plateau_lag,
)
from asteroid_nb.states.landscapes import (
    FS_PER_UNIT,
    PRINZ_INTERVAL,
    four_well_partitions,
    four_wells,
    prinz,
)
from asteroid_nb.states.msm import MSM, likeliest, posterior
from asteroid_nb.states.one_step import label_passage_times, one_step
from asteroid_nb.states.passage import mean_passages, mean_wait
from asteroid_nb.states.recrossing import core_sets

INTERVAL = 0.1


@functools.cache
def four_wells_partition(name: str) -> np.ndarray:
    return four_well_partitions(four_wells().centres)[name]


@functools.cache
def sampled_cells() -> np.ndarray:
    return four_wells().sample(4000, interval=INTERVAL, n_chains=256, seed=1)


@functools.cache
def sampled(name: str) -> tuple[StateTrajectory, ...]:
    """Return 256 chains of the four wells, 400 time units each, as one partition shows them."""
    partition = four_wells_partition(name)
    visited = (partition[cells] for cells in sampled_cells())
    return tuple(
        tokens(states if states.min() >= 0 else core_sets(states), partition.max() + 1, dt_fs=INTERVAL * FS_PER_UNIT)
        for states in visited
    )


def shuffled(trajectories, seed: int = 0):
    """Return the trajectories in another order."""
    return [trajectories[at] for at in np.random.default_rng(seed).permutation(len(trajectories))]


def relabelled(trajectories, order):
    return [dataclasses.replace(one, states=np.asarray(order)[one.states]) for one in trajectories]


def exact_joint(chain, interval: float) -> np.ndarray:
    return chain.populations[:, None] * chain.transition_matrix(interval)


# Laws of counting


def test_counts_never_run_from_one_trajectory_into_the_next():
    frames = gathered([tokens([0, 1, 1], 3), tokens([2, 2, 0, 0], 3)])
    np.testing.assert_array_equal(frames.counts(1), [[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(frames.counts(2), [[0, 1, 0], [0, 0, 0], [2, 0, 0]])
    np.testing.assert_array_equal(frames.counts(3), [[0, 0, 0], [0, 0, 0], [1, 0, 0]])


def test_counts_are_deeptime_s():
    from deeptime.markov import TransitionCountEstimator

    chains = replicas(3)
    for lag in (1, 7):
        estimator = TransitionCountEstimator(lag, "sliding")
        expected = estimator.fit_fetch([chain.states.astype(np.int32) for chain in chains]).count_matrix
        np.testing.assert_array_equal(gathered(chains).counts(lag), expected)


@pytest.mark.parametrize("lengths", [(1000,), (500, 900, 300), (2, 1000), (40,) * MIN_BLOCKS])
def test_blocks_are_about_equal_and_lose_no_pair(lengths):
    random = np.random.default_rng(0)
    frames = gathered([tokens(random.integers(0, 3, length), 3) for length in lengths])
    assert MIN_BLOCKS - 2 <= frames.n_blocks <= MIN_BLOCKS + 2
    assert set(np.unique(frames.block)) == set(range(frames.n_blocks))
    block, code = frames.pairs(3)
    np.testing.assert_array_equal(np.bincount(code, minlength=9).reshape(3, 3), frames.counts(3))
    several = [frames.states[frames.block == one] for one in range(frames.n_blocks)]
    assert max(map(len, several)) <= 1.5 * sum(lengths) / MIN_BLOCKS


def test_a_bootstrap_sample_holds_as_many_blocks():
    chains = [tokens(np.arange(100 + shift) % 3, 3) for shift in range(2)] * MIN_BLOCKS
    totals = {int(counts.sum()) for counts in gathered(chains).resampled(1, 20, np.random.default_rng(0))}
    assert totals <= set(range(99 * 40, 100 * 40 + 1)) and len(totals) > 1


def test_the_largest_connected_set_leads_there_and_back():
    counts = np.zeros((6, 6))
    for pair in [(0, 1), (1, 0), (2, 3), (3, 4), (4, 2), (4, 0), (5, 2)]:
        counts[pair] = 1
    np.testing.assert_array_equal(largest_connected(counts), [2, 3, 4])
    counts[4, 2] = 0
    counts[[3, 4], [2, 3]] = 9
    np.testing.assert_array_equal(largest_connected(np.delete(np.delete(counts, 4, 0), 4, 1)), [2, 3])


def test_a_band_holds_its_share_and_says_nothing_about_modes_mostly_gone():
    samples = np.arange(101.0)[:, None] * [1, 1]
    samples[:60, 1] = np.nan
    low, high = band_of(samples, 0.9)
    np.testing.assert_allclose([low[0], high[0]], [5, 95])
    assert np.isnan([low[1], high[1]]).all()


# Laws of timescales


def test_timescales_do_not_depend_on_names_or_order_of_trajectories():
    chains = sampled("2-D, nearest of 4")[:40]
    told = {"lags_frames": [1, 10, 50]}
    base = implied_timescales(chains, **told)
    for other in (shuffled(chains), relabelled(chains, [2, 0, 3, 1])):
        np.testing.assert_allclose(implied_timescales(other, **told).timescales_fs, base.timescales_fs, rtol=1e-6)


def test_times_grow_with_the_spacing():
    chains = replicas(3)
    slower = [dataclasses.replace(chain, dt_fs=3 * chain.dt_fs) for chain in chains]
    told = {"lags_frames": [2, 5], "n_modes": 2, "band": "Bayesian", "n_samples": 20}
    base, other = implied_timescales(chains, **told), implied_timescales(slower, **told)
    for key in ("lags_fs", "timescales_fs", "low", "high"):
        np.testing.assert_allclose(getattr(other, key), 3 * getattr(base, key), rtol=1e-12)
    times, slowed = passage_times(chains, n_samples=5), passage_times(slower, n_samples=5)
    for key in ("times_fs", "low", "high"):
        np.testing.assert_allclose(getattr(slowed, key), 3 * getattr(times, key), rtol=1e-12)


def test_cutting_frames_is_a_longer_lag():
    chains = sampled("2-D, nearest of 4")[:40]
    cut = implied_timescales([chain[::10] for chain in chains], lags_frames=[5])
    np.testing.assert_allclose(cut.timescales_fs, implied_timescales(chains, lags_frames=[50]).timescales_fs, rtol=0.06)
    assert cut.lags_fs[0] == 50 * chains[0].dt_fs


def test_the_timescales_are_deeptime_s():
    from deeptime.markov import TransitionCountEstimator
    from deeptime.markov.msm import MaximumLikelihoodMSM

    chains = sampled("2-D, nearest of 4")
    counts = TransitionCountEstimator(10, "sliding").fit_fetch([chain.states.astype(np.int32) for chain in chains])
    expected = MaximumLikelihoodMSM().fit_fetch(counts).timescales(3) * chains[0].dt_fs
    np.testing.assert_allclose(implied_timescales(chains, lags_frames=[10]).at(10), expected, rtol=1e-6)


def test_exact_counts_give_exact_timescales():
    chain = four_wells()
    labels = four_wells_partition("2-D, nearest of 4")
    joint = one_step(chain, labels, 1.0).joint
    found = likeliest(joint, 10).timescales_frames(5) * 0.1
    np.testing.assert_allclose(found[:3], one_step(chain, labels, 1.0).timescales(3), rtol=1e-5)
    assert np.isnan(found[3:]).all()


def test_a_mode_of_negative_eigenvalue_has_no_timescale():
    flips = np.array([[0.1, 0.9], [0.9, 0.1]])
    assert np.isnan(likeliest(1000 * flips, 1).timescales_frames(1)).all()


@pytest.mark.parametrize("band", ["bootstrap", "Bayesian"])
def test_a_seed_is_a_band(band):
    told = {"lags_frames": [1, 4], "band": band, "n_samples": 20, "n_modes": 2}
    bands = [implied_timescales(replicas(3), **told, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(bands[0].low, bands[1].low)
    assert (bands[0].low != bands[2].low).all()
    assert (bands[0].low < bands[0].timescales_fs).all() and (bands[0].timescales_fs < bands[0].high).all()
    assert bands[0].band == f"90% {band}"


# Known answers


def test_timescales_of_the_four_wells_lie_in_their_bands():
    # Cores seen at every frame are not cores seen once a lag, so they have one exact answer alone.
    for name, lags in {"2-D, nearest of 4": [1, 10, 50], "core set": [1]}.items():
        found = implied_timescales(sampled(name), lags_frames=lags, band="bootstrap", level=0.998, n_samples=400)
        for row, lag in enumerate(lags):
            look = one_step(four_wells(), four_wells_partition(name), lag * INTERVAL, look="counted")
            exact = look.timescales(2) * FS_PER_UNIT
            assert (found.low[row, :2] < exact).all() and (exact < found.high[row, :2]).all(), (name, lag)
            assert (found.high[row, :2] < 1.5 * exact).all()


def test_the_core_set_reaches_the_exact_timescales_of_all_three_slow_modes():
    times = implied_timescales(sampled("core set"), lags_frames=[20]).at(20) / FS_PER_UNIT
    np.testing.assert_allclose(times, [71.00, 9.95, 8.62], rtol=0.15)


def test_bands_are_as_wide_as_estimates_scatter():
    paths = four_wells().sample(20_000, interval=INTERVAL, n_chains=16, seed=5)
    runs = [tokens(four_wells_partition("2-D, nearest of 4")[path], 4, dt_fs=100.0) for path in paths]
    told = {"lags_frames": [20], "n_modes": 2, "level": 0.6827}
    scatter = np.std(np.log([implied_timescales(run, **told).at(20) for run in runs]), axis=0, ddof=1)
    for band in ("bootstrap", "Bayesian"):
        found = [implied_timescales(run, **told, band=band, n_samples=60) for run in runs[:8]]
        width = np.mean([np.log(one.high / one.low)[0] / 2 for one in found], axis=0)
        assert (0.6 * scatter < width).all() and (width < 1.8 * scatter).all(), (band, width, scatter)


def test_effective_counts_of_deeptime_are_overconfident():
    """Why they are not the default."""
    run = tokens(four_wells_partition("2-D, nearest of 4")[four_wells().sample(20_000, interval=INTERVAL)[0]], 4)
    widths = {
        counting: np.log(np.divide(*bayesian_band(run, lag_frames=10, counting=counting, n_samples=200)[:0:-1]))
        for counting in ("sliding/lag", "effective")
    }
    assert widths["effective"] < 0.6 * widths["sliding/lag"]


def test_the_posterior_is_deeptime_s_bayesian_model():
    from deeptime.markov import TransitionCountModel
    from deeptime.markov.msm import BayesianMSM

    frames = gathered(replicas(3))
    ours = [model.timescales_frames(1)[0] for model in posterior(frames, 5, 800)]
    theirs = BayesianMSM(n_samples=800).fit_fetch(TransitionCountModel(frames.counts(5) / 5)).samples
    theirs = [model.timescales(1)[0] * 5 for model in theirs]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.2)


def test_the_bayesian_band_of_a_known_chain_holds_its_timescale():
    exact = -1 / np.log(np.sort(np.linalg.eigvals(THREE).real)[1]) * 10.0
    mean, low, high = bayesian_band(replicas(3), lag_frames=2, level=0.998, n_samples=400)
    assert low < exact < high and low < mean < high and high < 1.4 * low


# The plateau


def rising(values, lags=(1, 2, 5, 10, 20)) -> Timescales:
    values = np.asarray(values, dtype=float)[:, None]
    return Timescales(lags_frames=np.array(lags[: len(values)]), dt_fs=1.0, timescales_fs=values)


def test_the_plateau_is_the_first_lag_from_which_nothing_changes():
    assert plateau_lag(rising([50, 80, 96, 100, 101]), tolerance=0.1) == 5
    assert plateau_lag(rising([50, 80, 96, 100, 101]), tolerance=0.03) == 10
    assert plateau_lag(rising([98, 99, 130, 99, 100]), tolerance=0.1) == 10
    assert plateau_lag(rising([np.nan, 99, 100, 100, np.nan])) == 2


@pytest.mark.parametrize("values", [[10, 20, 30, 40, 50], [9, 9], [np.nan] * 5, [0.5, 0.5, 0.5]])
def test_without_a_plateau_there_is_an_error(values):
    lags = (1, 2, 5, 10, 20) if len(values) != 2 else (5, 50)
    with pytest.raises(InvalidTrajectory, match="never stays within"):
        plateau_lag(rising(values, lags))


def test_tolerances_and_lags_that_mean_nothing_are_refused():
    with pytest.raises(InvalidSettings, match="must be positive"):
        plateau_lag(rising([1, 1]), tolerance=0)
    with pytest.raises(InvalidSettings, match="no lag of 3 frames; there are 1, 2"):
        rising([1, 1]).at(3)


# Laws of passage times


def slow_waits(trajectories, source: int, target: int) -> tuple[int, float, float]:
    """Return, frame by frame, distinct arrivals, the mean wait that ended and the share that did not."""
    arrivals, waits, n_starts = set(), [], 0
    for number, one in enumerate(trajectories):
        for start in np.flatnonzero(one.states == source):
            n_starts += 1
            met = np.flatnonzero(one.states[start:] == target)
            if met.size:
                waits.append(met[0])
                arrivals.add((number, start + met[0]))
    return len(arrivals), float(np.mean(waits)), 1 - len(waits) / n_starts


def test_events_and_cut_off_shares_are_those_counted_by_hand():
    chains = [chain[:60] for chain in sampled("2-D, nearest of 4")[:30]]
    found = passage_times(chains)
    for source, target in [(0, 2), (2, 0), (1, 3), (0, 1)]:
        events, _, cut = slow_waits(chains, source, target)
        assert found.events[source, target] == events
        assert found.censored[source, target] == pytest.approx(cut)


def test_waits_seen_to_end_are_averaged():
    states = np.tile([0, 1, 1, 2], 400)
    found = passage_times(tokens(states, 3, dt_fs=2.0))
    np.testing.assert_allclose(found.times_fs / 2.0, [[0, 1, 3], [2.5, 0, 1.5], [1, 2, 0]], rtol=0.01)


def test_passage_times_do_not_depend_on_names_or_order_of_trajectories():
    chains, order = sampled("2-D, nearest of 4")[:40], np.array([2, 0, 3, 1])
    base = passage_times(chains)
    np.testing.assert_allclose(passage_times(shuffled(chains)).times_fs, base.times_fs, rtol=1e-9)
    other = passage_times(relabelled(chains, order))
    np.testing.assert_allclose(other.times_fs[np.ix_(order, order)], base.times_fs, rtol=1e-9)
    np.testing.assert_array_equal(other.events[np.ix_(order, order)], base.events)


def test_a_constant_chance_gives_its_reciprocal_however_early_trajectories_end():
    random, edges = np.random.default_rng(0), np.array([0, 1, 2, 4, 8])
    exposure = random.uniform(1, 5, (3, 5))
    np.testing.assert_allclose(mean_wait(exposure, 0.05 * exposure, edges), 20.0)
    assert np.isnan(mean_wait(exposure, 0 * exposure, edges)).all()


def test_a_mixture_of_quick_and_slow_waits_is_not_taken_for_one_chance():
    """Nine of ten starts wait 10 frames in the mean, one 200; all are watched for 400 frames."""
    random = np.random.default_rng(0)
    mean = np.where(random.random(40_000) < 0.9, 10.0, 200.0)
    waits, watched = random.geometric(1 / mean), 400
    edges = np.unique(np.append(0, np.rint(2 ** np.arange(0, 17, 0.5))).astype(int))
    edges = edges[edges < watched]
    spent = np.minimum(waits, watched)[:, None]
    exposure = np.clip(spent - edges, 0, np.append(np.diff(edges), watched)).sum(axis=0).astype(float)
    ended = np.histogram(waits[waits <= watched], bins=np.append(edges, watched) + 0.5)[0].astype(float)
    assert mean_wait(exposure, ended, edges) == pytest.approx(29.0, rel=0.05)
    assert exposure.sum() / ended.sum() < 0.95 * 29.0


def test_early_ends_do_not_shorten_passages():
    exact = np.linalg.solve(np.eye(2) - THREE[:2, :2], np.ones(2))  # on to the third state
    whole = replicas(3)
    pieces = [chain[first : first + 50] for chain in whole for first in range(0, 20_000, 50)]
    for chains in (whole, pieces):
        found = passage_times(chains).times_fs[:2, 2] / 10.0
        np.testing.assert_allclose(found, exact, rtol=0.1)
    assert passage_times(pieces).censored[0, 2] > 0.5


def test_what_was_never_seen_is_no_number():
    found = passage_times(tokens([0, 1, 0, 1, 2, 2], 4), n_samples=4)
    assert np.isnan(found.times_fs[2, 0]) and np.isnan(found.times_fs[3, 0]) and np.isnan(found.times_fs[0, 3])
    assert found.events[2, 0] == 0 and np.isfinite(found.times_fs[0, 1])
    np.testing.assert_array_equal(np.diag(found.times_fs), 0)


# Known passage times


@pytest.mark.parametrize("name", ["2-D, nearest of 4", "core set", "x only, 4 states"])
def test_direct_passage_times_of_the_four_wells_lie_in_their_bands(name):
    exact = label_passage_times(four_wells(), four_wells_partition(name), interval=INTERVAL) * FS_PER_UNIT
    found = passage_times(sampled(name), n_samples=400, level=0.998)
    off = ~np.eye(4, dtype=bool)
    assert (found.low <= exact).all() and (exact <= found.high).all()
    assert (found.high < 1.9 * exact)[off].all()


def test_passages_of_a_prinz_chain():
    chain = prinz(100)
    wells = np.digitize(chain.centres[:, 0], [-0.5, 0.0, 0.5])
    paths = chain.sample(4000, interval=PRINZ_INTERVAL, n_chains=64, seed=2)
    runs = [tokens(wells[path], 4, dt_fs=1.0) for path in paths]
    exact = label_passage_times(chain, wells, interval=PRINZ_INTERVAL) / PRINZ_INTERVAL
    found = passage_times(runs, n_samples=400, level=0.998)
    assert (found.low <= exact).all() and (exact <= found.high).all()


@pytest.mark.parametrize("chain", [four_wells(), prinz(100)], ids=["four wells", "Prinz"])
def test_deeptime_has_two_units_of_passage_time_and_ours_is_fs(chain):
    """Its Markov model answers in frames, its reactive flux in lags; both are the exact chain's once told apart."""
    from deeptime.markov import TransitionCountModel
    from deeptime.markov.msm import MarkovStateModel

    lag, spacing = 10, 0.05
    matrix = chain.transition_matrix(lag * spacing)
    counted = TransitionCountModel(exact_joint(chain, lag * spacing), lagtime=lag)
    model = MarkovStateModel(matrix, chain.populations, reversible=True, count_model=counted)
    ends = chain.centres[:, 0].argsort()[[0, -1]]
    exact = chain.passage_times(*np.eye(chain.n_cells)[ends][:, None], interval=lag * spacing)[0, 0]
    assert model.mfpt(ends[0], ends[1]) * spacing == pytest.approx(exact, rel=1e-6)
    flux = model.reactive_flux([ends[0]], [ends[1]])
    steps = mean_passages(matrix, chain.populations)[ends[0], ends[1]]
    assert steps * lag * spacing == pytest.approx(exact, rel=1e-6)
    assert model.mfpt(ends[0], ends[1]) == pytest.approx(lag * steps, rel=1e-6)
    # The flux starts on leaving the source for good, so its passage differs in meaning by little, in unit by the lag.
    assert flux.mfpt == pytest.approx(steps, rel=0.2)


def test_passages_by_a_model_are_the_exact_ones_of_frames_one_lag_apart():
    labels, lag = four_wells_partition("core set"), 20
    found = passage_times(sampled("core set"), method="msm", lag_frames=lag, n_samples=60)
    exact = label_passage_times(four_wells(), labels, interval=INTERVAL) * FS_PER_UNIT
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found.times_fs[off], exact[off], rtol=0.15)
    assert (found.low <= found.times_fs).all() and (found.times_fs <= found.high).all()
    assert found.method == "Markov state model at 2000 fs" and found.events is None and found.censored is None


def test_mean_passages_solve_their_equations():
    populations = likeliest(1e6 * THREE, 1).populations
    reversible = likeliest(1e6 * THREE, 1).matrix
    times = mean_passages(reversible, populations)
    for target in range(3):
        others = np.delete(np.arange(3), target)
        expected = np.linalg.solve(np.eye(2) - reversible[np.ix_(others, others)], np.ones(2))
        np.testing.assert_allclose(times[others, target], expected, rtol=1e-8)
    np.testing.assert_allclose(np.diag(times), 0, atol=1e-12)


# Bad input


MOVING = tokens(np.arange(60) % 3, 3)
CALLS = {
    "timescales": lambda chains, lag=1: implied_timescales(chains, lags_frames=[lag]),
    "passage": lambda chains, lag=1: passage_times(chains, method="msm", lag_frames=lag),
    "band": lambda chains, lag=1: bayesian_band(chains, lag_frames=lag),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("chains", "error", "words"),
    [
        ([], InvalidTrajectory, "No state trajectory was given"),
        ([tokens(np.ones(50, dtype=int), 3)], InvalidTrajectory, "None of the 1 trajectories ever changes"),
        ([tokens([0, 0], 3), tokens([1, 1, 1], 3)], InvalidTrajectory, "None of the 2 trajectories ever changes"),
        ([tokens([0, 0, 1, 1, 2, 2], 3)], InvalidTrajectory, "No two states are visited there and back"),
        ([MOVING, tokens([0, 1, 0], 4)], ModelMismatch, "has 4 states, the first one 3"),
        ([MOVING, tokens([0, 1, 0], 3, dt_fs=5.0)], ModelMismatch, "a frame every 5 fs, the first one every 10"),
    ],
)
def test_sequences_without_kinetics_are_refused(call, chains, error, words):
    with pytest.raises(error, match=words):
        call(chains)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_lags_that_do_not_fit_are_refused(call):
    with pytest.raises(TrajectoryTooShort, match="lag spans 60 frames, the longest trajectory has 60"):
        call(MOVING, 60)
    for lag in (0, -1, 1.5):
        with pytest.raises(InvalidSettings, match="whole number"):
            call(MOVING, lag)


@pytest.mark.parametrize(
    "call",
    [
        lambda: implied_timescales(MOVING, lags_frames=[]),
        lambda: implied_timescales(MOVING, lags_frames=[1], n_modes=0),
        lambda: implied_timescales(MOVING, lags_frames=[1], band="guessed"),
        lambda: implied_timescales(replicas(3), lags_frames=[1], band="bootstrap", n_samples=1),
        lambda: implied_timescales(replicas(3), lags_frames=[1], band="Bayesian", n_samples=1),
        lambda: implied_timescales(replicas(3), lags_frames=[1], band="Bayesian", level=1.0),
        lambda: bayesian_band(replicas(3), lag_frames=1, counting="guessed"),
        lambda: passage_times(MOVING, method="msm"),
        lambda: passage_times(MOVING, lag_frames=1),
        lambda: passage_times(MOVING, method="guessed"),
        lambda: passage_times(MOVING, n_samples=1),
    ],
)
def test_settings_that_mean_nothing_are_refused(call):
    with pytest.raises(InvalidSettings):
        call()


def test_negative_labels_never_become_a_trajectory():
    with pytest.raises(InvalidTrajectory, match="negative labels often mark frames outside all cores"):
        tokens([0, -1, 1], 2)


def test_states_never_visited_and_states_cut_off_are_left_out_and_named():
    moving = tokens(np.tile([0, 0, 1, 1, 1], 40), 5)
    once = tokens([3, 3, 4, 0, 1], 5)
    found = implied_timescales([moving, once], lags_frames=[1], n_modes=4)
    assert np.isfinite(found.at(1)[0]) and np.isnan(found.at(1)[1:]).all()
    assert found.notes == ("At a lag of 1 frames the states 3, 4 (1.46% of the frames) are not connected.",)
    assert found.share_used[0] == pytest.approx(202 / 205)
    times = passage_times([moving, once], method="msm", lag_frames=1).times_fs
    assert np.isfinite(times[:2, :2]).all() and np.isnan(times[0, 2:]).all() and np.isnan(times[2:, 0]).all()


def test_chains_in_two_pieces_use_the_larger():
    pieces = [tokens(np.tile([0, 0, 1, 1, 1], 40), 4), tokens(np.tile([2, 2, 2, 3], 10), 4)]
    found = implied_timescales(pieces, lags_frames=[1], n_modes=1)
    assert "states 2, 3 (16.67% of the frames)" in found.notes[0]
    np.testing.assert_allclose(found.at(1), implied_timescales(pieces[0], lags_frames=[1], n_modes=1).at(1))


def test_a_lag_without_a_model_is_a_gap_and_not_an_error():
    chain = tokens(np.array([0] * 30 + [1] * 5 + [0] * 30 + [1] * 30), 2)
    found = implied_timescales([chain], lags_frames=[1, 90], n_modes=1, band="Bayesian", n_samples=5)
    assert np.isfinite(found.at(1)).all() and np.isnan(found.at(90)).all()
    assert "At a lag of 90 frames: No two states" in " ".join(found.notes)
    assert np.isnan(found.low[1]).all()


def test_too_few_independent_counts_make_a_note_instead_of_a_band():
    random = np.random.default_rng(0)
    sparse = [tokens(np.cumsum(random.choice([-1, 1], 300)) % 50, 50) for _ in range(3)]
    found = implied_timescales(sparse, lags_frames=[40], band="Bayesian", n_samples=5)
    assert np.isfinite(found.timescales_fs[0, 0]) and np.isnan(found.low[0]).all()
    assert "a posterior needs 90%" in found.notes[-1]
    with pytest.raises(InvalidTrajectory, match="a posterior needs 90%"):
        bayesian_band(sparse, lag_frames=40)


def test_representations_say_what_they_hold():
    assert repr(rising([1, 2])) == "<Timescales of 'MD': 1 modes at 2 lags from 1 to 2 fs>"
    assert repr(passage_times(MOVING)) == "<PassageTimes of 'MD' between 3 states, counted in frames>"
    assert isinstance(likeliest(THREE, 1), MSM)
