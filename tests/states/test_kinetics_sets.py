"""Populations, rates, metastable sets, the Chapman–Kolmogorov test and the sampler at the plateau."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from token_chains import TWO, replicas, tokens

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.states.counting import gathered
from asteroid_nb.states.discretise import bins
from asteroid_nb.states.kinetics import (
    chapman_kolmogorov,
    free_energies_eV,
    implied_timescales,
    jump_rates,
    mean_dwell_fs,
    metastable,
    plateau_lag,
    plateau_msm,
    populations,
)
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_well_partitions, four_wells
from asteroid_nb.states.msm import fitted
from asteroid_nb.states.one_step import one_step
from asteroid_nb.states.recrossing import core_sets, remove_recrossings
from asteroid_nb.units import BOLTZMANN_EV_PER_K, FS_PER_NS

INTERVAL = 0.1


def partition(name: str) -> np.ndarray:
    return four_well_partitions(four_wells().centres)[name]


@functools.cache
def fine() -> tuple[StateTrajectory, ...]:
    """Return 100 chains of the four wells, 400 time units each, in 400 cells."""
    cells = four_wells().sample(4000, interval=INTERVAL, n_chains=100, seed=3)
    return tuple(tokens(partition("2-D, 400 cells")[one], 400, dt_fs=INTERVAL * FS_PER_UNIT) for one in cells)


@functools.cache
def sets():
    return metastable(fine(), lag_frames=10, n_sets=4)


def stationary(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.matrix_power(matrix, 10_000)[0]


# Populations, rates, free energies


def test_populations_are_shares_of_frames_and_sum_to_one():
    shares = populations([tokens([0, 0, 1], 4), tokens([3, 3, 3, 1, 0], 4)])
    np.testing.assert_allclose(shares, [3 / 8, 2 / 8, 0, 3 / 8])


def test_populations_of_a_model_forget_where_trajectories_began():
    """All begin in the rarer state, and end long before they could forget it."""
    begins = [(chain, first) for chain in replicas(2) for first in np.flatnonzero(chain.states[:-5] == 1)[::5]]
    short = [chain[first : first + 5] for chain, first in begins]
    exact = stationary(TWO)
    assert populations(short)[1] > 2 * exact[1]
    np.testing.assert_allclose(populations(short, lag_frames=1), exact, atol=0.03)


def test_populations_and_rates_of_a_known_chain():
    chains = replicas(2)
    np.testing.assert_allclose(populations(chains), stationary(TWO), atol=0.02)
    expected = (TWO - np.diag(np.diag(TWO))) / 10.0 * FS_PER_NS
    np.testing.assert_allclose(jump_rates(chains), expected, rtol=0.1)
    np.testing.assert_allclose(mean_dwell_fs(chains), 10.0 / np.array([0.05, 0.2]), rtol=0.1)


def test_rates_are_jumps_per_time_spent_by_hand():
    trajectory = tokens([0, 0, 0, 1, 1, 0, 2], 4, dt_fs=500.0)
    rates = jump_rates(trajectory) * 500.0 / FS_PER_NS
    np.testing.assert_allclose(rates[:2], [[0, 0.25, 0.25, 0], [0.5, 0, 0, 0]])
    assert np.isnan(rates[2, :2]).all() and np.isnan(rates[3, :3]).all()
    np.testing.assert_allclose(mean_dwell_fs(trajectory)[:2], [4 / 2 * 500, 2 / 1 * 500])
    assert np.isnan(mean_dwell_fs(trajectory)[2:]).all()


def test_dwells_are_the_reciprocal_of_all_rates_together():
    np.testing.assert_allclose(mean_dwell_fs(replicas(3)) * jump_rates(replicas(3)).sum(axis=1) / FS_PER_NS, 1)


def test_dwells_do_not_depend_on_where_trajectories_are_cut():
    whole = replicas(2)
    pieces = [chain[first : first + 8] for chain in whole for first in range(0, 20_000, 8)]
    np.testing.assert_allclose(mean_dwell_fs(pieces), mean_dwell_fs(whole), rtol=0.05)


def test_constant_and_single_frames_have_populations_but_no_dwell():
    still = tokens(np.ones(5, dtype=int), 3)
    np.testing.assert_array_equal(populations(still), [0, 1, 0])
    np.testing.assert_array_equal(jump_rates(still)[1], 0)
    assert np.isnan(mean_dwell_fs(still)).all()
    assert np.isnan(jump_rates(tokens([1], 3))[1, [0, 2]]).all()


def test_free_energies_are_kt_per_e_fold():
    shares = np.array([np.e**2, np.e, 1.0]) / 100
    kt = BOLTZMANN_EV_PER_K * 300
    np.testing.assert_allclose(free_energies_eV(shares, 300), [0, kt, 2 * kt], atol=1e-15)
    np.testing.assert_allclose(free_energies_eV(shares, 600), 2 * free_energies_eV(shares, 300))
    np.testing.assert_allclose(free_energies_eV(7 * shares, 300), free_energies_eV(shares, 300), atol=1e-15)
    assert np.isnan(free_energies_eV(np.array([1.0, 0.0]), 300)[1])


@pytest.mark.parametrize("kelvin", [0, -10.0, np.nan, np.inf])
def test_temperatures_that_are_none_are_refused(kelvin):
    with pytest.raises(InvalidSettings, match="must be positive"):
        free_energies_eV(np.ones(2), kelvin)


@pytest.mark.parametrize(
    "shares", [np.zeros(3), np.array([1.0, -0.1]), np.array([np.nan, 1]), np.ones((2, 2)), np.ones(0)]
)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(InvalidSettings, match=r"must be \[states\]"):
        free_energies_eV(shares, 300)


# Metastable sets


def test_memberships_are_shares_and_uncertain_outside_the_connected_set():
    found = sets()
    np.testing.assert_allclose(found.memberships.sum(axis=1), 1)
    assert found.memberships.min() >= 0 and found.populations.sum() == pytest.approx(1)
    assert (np.diff(found.populations) <= 0).all()
    outside = np.setdiff1d(np.arange(400), found.connected)
    assert outside.size and (found.memberships[outside] == 0.25).all()
    assert (found.cores()[outside] == -1).all() and (found.hard[outside] == -1).all()


def test_the_sets_are_the_four_wells():
    """Every cell that is a core of one set lies nearest to one well alone."""
    cells, nearest = partition("2-D, 400 cells"), partition("2-D, nearest of 4")
    cores = sets().cores(at_least=0.9)[cells]
    wells = [np.unique(nearest[cores == one]) for one in range(4)]
    assert sorted(np.concatenate(wells)) == [0, 1, 2, 3]


def test_memberships_are_deeptime_s_but_for_the_order():
    from deeptime.markov.msm import MaximumLikelihoodMSM

    frames = gathered(replicas(3))
    model = MaximumLikelihoodMSM().fit_fetch(frames.counts(2)).pcca(2)
    found = metastable(replicas(3), lag_frames=2, n_sets=2)
    order = np.argsort(-model.coarse_grained_stationary_probability)
    np.testing.assert_allclose(found.memberships, model.memberships[:, order], atol=1e-6)


def test_hard_sets_bring_recrossings_back_and_memberships_as_cores_do_not():
    found = sets()
    smallest = np.where(found.hard < 0, 0, found.hard)  # a label for cells nearly never met
    hard = [tokens(smallest[one.states], 4, dt_fs=one.dt_fs) for one in fine()]
    cores = [remove_recrossings(one, core_sets, core_of=found.cores(at_least=0.8)) for one in fine()]
    t2 = {
        name: implied_timescales(chains, lags_frames=[1]).at(1)[0] / FS_PER_UNIT
        for name, chains in {"hard": hard, "cores": cores}.items()
    }
    assert t2["hard"] < 0.65 * 71.0
    assert t2["cores"] == pytest.approx(71.0, rel=0.15)


def test_cores_that_are_never_entered_are_refused():
    import dataclasses

    found = sets()
    blurred = dataclasses.replace(found, memberships=0.5 * found.memberships + 0.125)
    with pytest.raises(InvalidTrajectory, match=r"No state belongs to the sets \[0, 1, 2, 3\] by 0.8 or more"):
        blurred.cores()
    with pytest.raises(InvalidTrajectory, match="lies in a core"):
        remove_recrossings(tokens([1, 1], 2), core_sets, core_of=np.array([0, -1]))


@pytest.mark.parametrize("n_sets", [0, 1, 4])
def test_as_many_sets_as_states_at_most(n_sets):
    with pytest.raises(InvalidSettings, match="3 connected states"):
        metastable(replicas(3), lag_frames=1, n_sets=n_sets)


# Chapman–Kolmogorov


def test_a_markov_chain_passes_and_a_lumped_one_fails():
    assert chapman_kolmogorov(replicas(3), lag_frames=1).largest_difference < 0.02
    cells = four_wells().sample(20_000, interval=INTERVAL, n_chains=20, seed=4)
    lumped = [tokens(partition("x only, 4 states")[one], 4, dt_fs=100.0) for one in cells]
    assert chapman_kolmogorov(lumped, lag_frames=5).largest_difference > 0.1


def test_the_test_begins_at_certainty_and_its_first_multiple_is_the_model():
    test = chapman_kolmogorov(replicas(3), lag_frames=3, multiples=[4, 1], band="bootstrap", n_samples=20)
    np.testing.assert_array_equal(test.lags_fs, [0, 30, 120])
    np.testing.assert_array_equal(test.predicted[0], np.eye(3))
    np.testing.assert_allclose(test.predicted[1], test.estimated[1], atol=1e-12)
    np.testing.assert_allclose(test.predicted.sum(axis=2), 1)
    np.testing.assert_allclose(test.estimated.sum(axis=2), 1)
    for kind in ("predicted", "estimated"):
        low, high = getattr(test, f"{kind}_low"), getattr(test, f"{kind}_high")
        assert low.shape == high.shape == (3, 3, 3)
        assert (low[1:] <= getattr(test, kind)[1:] + 0.01).all() and (getattr(test, kind)[1:] <= high[1:] + 0.01).all()
    assert test.band == "90% bootstrap"
    assert repr(test).startswith("<CKTest of 'MD': 3 sets up to 120 fs")


@pytest.mark.parametrize("band", ["bootstrap", "Bayesian"])
def test_bands_of_metastable_sets_of_the_four_wells_meet(band):
    test = chapman_kolmogorov(
        fine(), lag_frames=50, multiples=[1, 2, 3], sets=sets(), band=band, n_samples=8, level=0.98
    )
    assert test.labels == ("set 1", "set 2", "set 3", "set 4")
    assert test.largest_difference < 0.03
    gap = np.maximum(test.predicted_low - test.estimated_high, test.estimated_low - test.predicted_high)
    assert (gap[2:] < 0.02).all()


def test_the_test_is_deeptime_s_where_all_states_are_connected():
    from deeptime.markov import TransitionCountEstimator
    from deeptime.markov.msm import MaximumLikelihoodMSM

    chains = [chain.states.astype(np.int32) for chain in replicas(3)]
    models = [
        MaximumLikelihoodMSM().fit_fetch(TransitionCountEstimator(lag, "sliding").fit_fetch(chains))
        for lag in (2, 4, 6)
    ]
    theirs = models[0].ck_test(models, 2)
    members = models[0].pcca(2).memberships
    ours = chapman_kolmogorov(replicas(3), lag_frames=2, multiples=[1, 2, 3], sets=members)
    # deeptime writes no certainty at lag 0 for memberships that are shares, so later lags are compared.
    np.testing.assert_allclose(ours.predicted[1:], theirs.predictions[1:], atol=1e-6)
    np.testing.assert_allclose(ours.estimated[1:], theirs.estimates[1:], atol=1e-6)


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ({"multiples": []}, InvalidSettings, "at least one"),
        ({"multiples": [0, 1]}, InvalidSettings, "from 1"),
        ({"multiples": [30_000]}, TrajectoryTooShort, "longest trajectory has 20000"),
        ({"sets": np.ones((2, 2))}, InvalidSettings, "must be"),
        ({"sets": np.array([[1.0, 0], [1, 0], [1, 0]])}, InvalidTrajectory, "hold no state"),
        ({"band": "guessed"}, InvalidSettings, "The band was"),
        ({"band": "bootstrap", "n_samples": 1}, InvalidSettings, "at least 2"),
    ],
)
def test_tests_that_cannot_be_made_are_refused(told, error, words):
    with pytest.raises(error, match=words):
        chapman_kolmogorov(replicas(3), lag_frames=1, **told)


def test_a_multiple_without_a_model_is_a_gap():
    chain = tokens(np.array([0] * 30 + [1] * 5 + [0] * 30 + [1] * 30), 2)
    test = chapman_kolmogorov(chain, lag_frames=1, multiples=[1, 90])
    assert np.isnan(test.estimated[2]).all() and np.isfinite(test.predicted).all()


# The sampler at the plateau


def test_the_sampler_s_timescale_is_that_of_the_model_at_its_lag():
    nearest = partition("2-D, nearest of 4")[four_wells().sample(4000, interval=INTERVAL, n_chains=100, seed=3)]
    wells = [tokens(states, 4, dt_fs=INTERVAL * FS_PER_UNIT) for states in nearest]
    lag = plateau_lag(implied_timescales(wells, lags_frames=[1, 5, 10, 20, 50, 100]), tolerance=0.1)
    assert lag > 5
    chain = plateau_msm(wells, lag_frames=lag)
    assert chain.dt_fs == lag * 100.0 and chain.name == "plateau MSM" and chain.labels == wells[0].labels
    made = chain.trajectories(1500, n_chains=64, seed=1)
    again = implied_timescales(made, lags_frames=[1], band="bootstrap", level=0.998, n_samples=60, name=chain.name)
    model = implied_timescales(wells, lags_frames=[lag]).at(lag)
    assert again.low[0, 0] < model[0] < again.high[0, 0]
    assert again.lags_fs[0] == lag * 100.0


def test_the_sampler_starts_from_and_keeps_its_stationary_populations():
    chain = plateau_msm(replicas(3), lag_frames=2)
    np.testing.assert_allclose(chain.frequencies @ chain.transition_matrix, chain.frequencies, atol=1e-6)
    np.testing.assert_allclose(chain.transition_matrix, fitted(gathered(replicas(3)), 2).matrix, atol=1e-12)


def test_states_outside_the_model_are_never_entered_and_never_left():
    trajectories = [tokens(np.tile([0, 0, 1, 1, 1], 40), 5), tokens([3, 3, 4, 0, 1], 5)]
    chain = plateau_msm(trajectories, lag_frames=1)
    assert chain.never_left == (2, 3, 4)
    assert set(np.unique(chain.sample(50, n_chains=200))) == {0, 1}
    assert (chain.sample(5, n_chains=3, start=3) == 3).all()


# Bad input


CALLS = {
    "metastable": lambda chains: metastable(chains, lag_frames=1, n_sets=2),
    "Chapman": lambda chains: chapman_kolmogorov(chains, lag_frames=1, multiples=[1]),
    "sampler": lambda chains: plateau_msm(chains, lag_frames=1),
    "populations": lambda chains: populations(chains, lag_frames=1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("chains", "error", "words"),
    [
        ([], InvalidTrajectory, "No state trajectory was given"),
        ([tokens(np.ones(50, dtype=int), 3)], InvalidTrajectory, "ever changes its state"),
        ([tokens([0, 0, 1, 1, 2, 2], 3)], InvalidTrajectory, "No two states are visited there and back"),
        ([tokens([0, 1], 3), tokens([0, 1, 0], 4)], ModelMismatch, "has 4 states, the first one 3"),
        ([tokens([0, 1], 3), tokens([0, 1, 0], 3, dt_fs=5.0)], ModelMismatch, "a frame every 5 fs"),
    ],
)
def test_sequences_without_kinetics_are_refused(call, chains, error, words):
    with pytest.raises(error, match=words):
        call(chains)


@pytest.mark.parametrize("call", [populations, jump_rates, mean_dwell_fs])
def test_plain_counts_refuse_nothing_and_unlike_trajectories(call):
    with pytest.raises(InvalidTrajectory, match="No state trajectory"):
        call([])
    with pytest.raises(ModelMismatch):
        call([tokens([0, 1], 2), tokens([0, 1], 3)])


def test_the_exact_one_step_of_hard_wells_is_below_that_of_cores():
    """The law behind the test on PCCA+ sets, without noise."""
    chain = four_wells()
    hard = one_step(chain, partition("2-D, nearest of 4"), INTERVAL).timescales(1)[0]
    cores = one_step(chain, partition("core set"), INTERVAL).timescales(1)[0]
    assert hard < 0.6 * cores


def test_many_states_part_without_a_warning():
    """Of some hundreds of states deeptime's eigenvalues have imaginary parts of rounding."""
    chain = four_wells()
    cells = chain.sample(6_666, interval=INTERVAL, n_chains=6, seed=0)
    replicas = [Coordinates(chain.centres[visited], 100.0, ("x", "y")) for visited in cells]
    fine = bins(replicas, 20)
    found = metastable([fine.assign(one) for one in replicas], lag_frames=10, n_sets=4)
    assert len(found.connected) > 280 and found.memberships.min() >= 0
    assert np.allclose(found.memberships.sum(axis=1), 1) and (found.cores(at_least=0.9) >= 0).sum() > 100
