"""Figures C to H on records made by hand: every rule passes on good ones and fails on bad ones, gaps are said."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from rare_event_records import T2, T3, exact_passages, frozen, grid, kinetics, record, unmade, verdicts

from asteroid_nb.finding import Finding, Rule, spread, write
from asteroid_nb.rare_events import comparison
from asteroid_nb.rare_events.comparison import figure_d, figure_e, paired_interval
from asteroid_nb.rare_events.factors import figure_f, figure_g, figure_h
from asteroid_nb.rare_events.figures import chosen, each, figure_c, largest
from asteroid_nb.rare_events.finding import error_of, reasons, timescale
from asteroid_nb.rare_events.four_wells import CELLS, CORE_SET, DIMENSIONS, INTERVAL, NEAREST, X_ONLY
from asteroid_nb.rare_events.grid import CLEANED, COARSE, FINE, INTERVALS, SMALL
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_wells
from asteroid_nb.views.style import alt_text

PLAIN, NOISY = "x, y", list(DIMENSIONS)[-1]


@pytest.fixture(autouse=True)
def without_data(monkeypatch, request):
    """The Markov model of figure D knows the truth, which is computed once: the rest is quick."""
    monkeypatch.setattr(comparison, "_by_msm", lambda record: exact_passages())
    if "slow_truth" not in request.fixturenames:
        monkeypatch.setattr(comparison, "label_passage_times", lambda *_, **__: exact_passages() / FS_PER_UNIT)


@pytest.fixture
def slow_truth():
    """Asked for by the test that lets figure D compute the exact times itself."""


def good_c(**changes):
    """Return records as the design expects them: raw states are fast at lag 1, core sets right at every lag."""
    raw = {1: 36.0, 2: 44.0, 5: 54.0, 10: 60.0, 20: 65.0, 50: 69.0, 100: 70.0}
    times = {CORE_SET: T2, NEAREST: raw, X_ONLY: {lag: t / 9 for lag, t in raw.items()}, CELLS: T2}
    given = {key: lambda name, *_: times[name] for key in ("learnt", "data", "chain")}
    return grid([CORE_SET, NEAREST, X_ONLY, CELLS], **{**given, **changes})


def good_f(**changes):
    raw = dict(zip(INTERVALS, (14.0, 36.0, 57.9, 66.0), strict=True))
    frames = lambda at: {"interval": at, "n_frames": round(600_000 * INTERVAL / at)} if at != INTERVAL else {}  # noqa: E731
    made = []
    for at in INTERVALS:
        for states, t2 in ((CORE_SET, T2), (NEAREST, raw[at])):
            known = dict.fromkeys(("learnt", "data"), t2) | {key: value(states, at) for key, value in changes.items()}
            made += [record(states, seed=seed, **known, **frames(at)) for seed in range(2)]
    return made


def good_g(**changes):
    """Return records in which fast coordinates take half of the fine states' t2, and cores have it back."""
    made = []
    for states in (FINE, COARSE):
        for at in DIMENSIONS:
            t2 = {1: 30.0 if states == FINE and at == NOISY else 62.0, 10: 70.0, 50: 71.0}
            known = dict.fromkeys(("learnt", "data"), t2) | {
                key: value(states, at) for key, value in changes.items() if value(states, at) is not None
            }
            made += [record(states, seed=seed, dimension=at, n_frames=240_000, **known) for seed in range(2)]
    return made


def the_rest(**changes):
    """Return one finding per figure, C to H."""
    passed = grid([CORE_SET], range(5), passage_fs=exact_passages())
    return [
        figure_c(good_c()),
        figure_d(passed),
        figure_e(passed),
        figure_f(good_f()),
        figure_g(good_g()),
        figure_h(grid([NEAREST, CORE_SET, *CLEANED], models=["LSTM"])),
    ]


def test_good_records_pass_every_rule():
    for finding in the_rest():
        assert not [str(rule) for rule in finding.rules if rule.holds is False]


# --- C --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["LSTM", "Transformer"])
@pytest.mark.parametrize(("t2", "holds"), [(0.59 * T2, True), (0.61 * T2, False)])
def test_c_asks_that_raw_states_err_by_40_percent_at_one_step(model, t2, holds):
    learnt = lambda name, who, _: {1: t2, 10: T2} if name == NEAREST and who == model else {1: 40.0, 10: T2}  # noqa: E731
    found = figure_c(grid([CORE_SET, NEAREST], learnt=learnt))
    other = {"LSTM": "Transformer", "Transformer": "LSTM"}[model]
    assert verdicts(found, f"{model}, raw states") == [holds] and verdicts(found, f"{other}, raw") == [True]


@pytest.mark.parametrize(("factor", "holds"), [(0.84, False), (0.86, True), (1.14, True), (1.16, False)])
def test_c_asks_the_core_set_for_15_percent_at_lag_10_in_the_mean(factor, holds):
    around = {0: 0.7, 1: 1.0, 2: 1.3}  # single seeds may lie outside
    found = figure_c(grid([CORE_SET, NEAREST], learnt=lambda *arm: {1: T2, 10: T2 * factor * around[arm[2]]}))
    assert verdicts(found, "core set: t2 at lag 10") == [holds, holds]


def test_c_asks_for_three_seeds():
    assert verdicts(figure_c(grid([CORE_SET, NEAREST], [0, 1])), "core set: t2 at lag 10") == [False, False]
    assert verdicts(figure_c(grid([CORE_SET, NEAREST], [0, 1, 2])), "core set: t2 at lag 10") == [True, True]


def test_c_asks_the_core_set_to_be_better_in_every_single_seed():
    def learnt(name, model, seed):
        worse = seed == 1 and model == "LSTM"
        return {1: (20.0 if worse else 65.0) if name == CORE_SET else 30.0, 10: T2}

    found = figure_c(grid([CORE_SET, NEAREST], learnt=learnt))
    assert verdicts(found, "errs less than raw states") == [False, True]


def test_c_has_a_row_for_everybody_and_says_the_numbers_of_the_records():
    found = figure_c(good_c(learnt=lambda name, model, seed: {1: 10.0 + seed, 10: 20.0, 50: 30.0}))
    rows = [row for row in found.rows if row[0] == CORE_SET and row[2] == "LSTM"]
    assert rows == [(CORE_SET, "500,000", "LSTM", "11.0 ± 1.0", "20.0 ± 0.0", "30.0 ± 0.0", f"{T3:.1f} ± 0.0", 3)]
    who = [row[2] for row in found.rows if row[0] == NEAREST]
    assert [name.split(" (")[0] for name in who] == ["plateau MSM", "MD", "order-1 chain", "LSTM", "Transformer"]
    assert set(found.drawings) == {
        "figure-C-core-set", "figure-C-2-D-nearest-of-4-raw", "figure-C-x-only-4-states-raw",
        "figure-C-fine-2-D-cells-core-set",
    }  # fmt: skip


def test_c_reads_the_plateau_from_the_data_of_each_seed():
    climbing = {1: 36.0, 2: 44.0, 5: 54.0, 10: 66.0, 20: 67.0, 50: 68.0, 100: 69.0}
    found = figure_c(grid([CORE_SET, NEAREST], data=climbing))
    row = next(row for row in found.rows if row[2].startswith("plateau MSM"))
    assert row[2] == "plateau MSM (lag 10)" and row[3] == "66.0 ± 0.0"
    never = {lag: 0.15 * 1.5**n for n, lag in enumerate((1, 2, 5, 10, 20, 50, 100))}
    row = next(row for row in figure_c(grid([CORE_SET, NEAREST], data=never)).rows if row[2].startswith("plateau MSM"))
    assert row[2] == "plateau MSM (lag none)" and row[3] == "–"


def test_small_data_have_rows_and_drawings_of_their_own_and_change_no_rule():
    small = grid([CORE_SET, NEAREST], learnt=3.0, n_frames=SMALL)
    both = figure_c([*good_c(), *small])
    assert both.rules == figure_c(good_c()).rules
    assert "figure-C-core-set-120000" in both.drawings and {row[1] for row in both.rows} == {"500,000", "100,000"}


@pytest.mark.parametrize("n_frames", [3000, 240_000, 1_200_000])
def test_rules_are_those_of_the_largest_data_whatever_their_size(n_frames):
    """`--frames` names a size other than the usual one, and every arm then says so."""
    passed = grid([CORE_SET, NEAREST], passage_fs=exact_passages(), learnt={1: 36.0, 10: T2}, n_frames=n_frames)
    assert verdicts(figure_c(passed), "core set: t2 at lag 10") == [True, True]
    assert verdicts(figure_d(passed), "LSTM") == [True]
    assert "3 seeds" in figure_e(passed).rules[0].measured
    cleaned = grid([NEAREST, CORE_SET, *CLEANED], models=["LSTM"], n_frames=n_frames)
    assert "3 seeds" in figure_h(cleaned).note and "nan" not in figure_h(cleaned).markdown()


def test_the_largest_are_all_of_one_size_and_the_usual_size_counts():
    records = [record(seed=0), record(seed=1, n_frames=SMALL), record(seed=2)]
    assert [one["seed"] for one in largest(records)] == [0, 2]
    assert [one["seed"] for one in largest([*records, record(seed=3, n_frames=10**6)])] == [3]
    assert largest([]) == []


# --- D --------------------------------------------------------------------------------------------------------------


def off_by(errors):
    """Return passage times that are off by the shares given, from the first pair of wells on."""
    factors = np.ones(12)
    factors[: len(errors)] += errors
    times = exact_passages().copy()
    times[~np.eye(4, dtype=bool)] *= factors
    return times


@pytest.mark.parametrize(
    ("errors", "holds"),
    [
        ([0.39], True),
        ([0.41], False),  # the worst
        ([-0.41], False),
        ([0.19] * 12, True),
        ([0.21] * 12, False),  # the median
        ([-0.21] * 12, False),
        ([0.3] * 5, True),
        ([0.3] * 7, False),
    ],
)
def test_d_asks_for_the_median_and_for_the_worst(errors, holds):
    found = figure_d(grid([CORE_SET], passage_fs=lambda _, model, __: off_by(errors if model == "LSTM" else [])))
    assert verdicts(found, "LSTM:") == [holds] and verdicts(found, "Transformer:") == [True]
    assert verdicts(found, "MD:") + verdicts(found, "order-1 chain:") + verdicts(found, "plateau MSM") == [None] * 3


def test_d_judges_the_mean_over_seeds_and_tells_single_ones():
    found = figure_d(grid([CORE_SET], [0, 1], passage_fs=lambda *arm: off_by([0.5 - arm[2]] * 12)))
    rule = next(rule for rule in found.rules if rule.asked.startswith("LSTM"))
    assert rule.holds and "median 0.0%" in rule.measured and "single seeds 50% to 50%" in rule.measured


def test_d_has_a_row_for_every_pair_in_units_of_the_wells(slow_truth):
    found = figure_d(grid([CORE_SET], passage_fs=2 * exact_passages()))
    assert [row[0] for row in found.rows][:4] == ["1 → 2", "1 → 3", "1 → 4", "2 → 1"] and len(found.rows) == 12
    exact, learnt = (float(found.rows[0][found.head.index(name)]) for name in ("exact", "LSTM"))
    assert exact == pytest.approx(exact_passages()[0, 1] / FS_PER_UNIT, abs=0.06)
    assert learnt == pytest.approx(2 * exact, abs=0.2)


def test_d_fails_where_a_pair_was_never_passed():
    times = exact_passages().copy()
    times[2, 1] = np.nan
    found = figure_d(grid([CORE_SET], passage_fs=times))
    assert verdicts(found, "LSTM:") == [False]
    assert next(row for row in found.rows if row[0] == "3 → 2")[found.head.index("LSTM")] == "nan"


# --- E --------------------------------------------------------------------------------------------------------------


def compared(difference, *, n_seeds=5, scatter=0.0):
    """Return the interval and the words for a Transformer that is off by so much in ln t2, give or take."""
    random = np.random.default_rng(0)
    off = difference + scatter * (np.arange(n_seeds) - (n_seeds - 1) / 2)
    shared = random.standard_normal(n_seeds)  # of the data, the same for both, and so without a part in it

    def learnt(_, model, at):
        return float(T2 * np.exp(shared[at] + (off[at] if model == "Transformer" else 0)))

    said = figure_e(grid([CORE_SET], range(n_seeds), learnt=learnt)).rules[0].measured
    middle, low, high = (float(number) for number in re.findall(r"[+-]\d+\.\d+", said)[:3])
    return middle, low, high, said.rsplit(": ", 1)[1]


@pytest.mark.parametrize(
    ("difference", "scatter", "words"),
    [
        (0.4, 0.02, "they differ, not shown to be equal within 15 %"),
        (-0.4, 0.02, "they differ, not shown to be equal within 15 %"),
        (0.08, 0.01, "they differ, equal within 15 %"),
        (-0.08, 0.01, "they differ, equal within 15 %"),
        (0.0, 0.02, "no difference is shown, equal within 15 %"),
        (0.0, 0.2, "no difference is shown, not shown to be equal within 15 %"),
        (0.13, 0.01, "they differ, not shown to be equal within 15 %"),
        (-0.13, 0.01, "they differ, not shown to be equal within 15 %"),
    ],
)
def test_e_says_whether_models_differ_and_whether_they_are_equal(difference, scatter, words):
    middle, low, high, said = compared(difference, scatter=scatter)
    assert said == words and middle == pytest.approx(difference, abs=1e-3) and low <= difference <= high


def test_e_gives_the_interval_of_a_paired_t_test():
    low, high = paired_interval(np.array([-1.0, 0.0, 1.0]) + 5)
    assert (low, high) == pytest.approx((5 - 2.920 / np.sqrt(3), 5 + 2.920 / np.sqrt(3)), abs=1e-3)
    _, low, high, _ = compared(0.0, n_seeds=3, scatter=1.0)
    assert (low, high) == pytest.approx((-1.686, 1.686), abs=1e-3), "what the data share has no part in it"


def test_e_covers_the_truth_as_often_as_it_says():
    found = [paired_interval(seeds) for seeds in 0.1 + np.random.default_rng(0).standard_normal((2000, 4))]
    assert np.mean([low <= 0.1 <= high for low, high in found]) == pytest.approx(0.9, abs=0.025)


def test_e_says_nothing_of_one_seed():
    said = figure_e(grid([CORE_SET], [0])).rules[0].measured
    assert "nothing can be said" in said and "differ" not in said


def test_e_pairs_seeds_and_names_both_sizes():
    found = figure_e(list(reversed(grid([CORE_SET], learnt=lambda *arm: T2 * (1 + arm[2])))))
    assert [(row[0], row[1]) for row in found.rows] == [(0, "+0.000"), (1, "+0.000"), (2, "+0.000")]
    assert "parameters 83,012 and 83,588" in found.rules[0].measured


def test_e_says_nothing_where_a_timescale_is_missing():
    records = grid([CORE_SET], learnt=lambda _, model, seed: {1: T2} if (model, seed) == ("LSTM", 1) else T2)
    said = figure_e(records).rules[0].measured
    assert "nothing can be said" in said and "differ" not in said


# --- F --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "key"), [("MD", "data"), ("LSTM", "learnt")])
def test_f_asks_that_raw_states_become_better_with_every_longer_interval(who, key):
    wrong = {0.02: 14.0, 0.1: 36.0, 0.5: 35.0, 2.0: 66.0}
    found = figure_f(good_f(**{key: lambda states, at: T2 if states == CORE_SET else wrong[at]}))
    other = {"MD": "LSTM", "LSTM": "MD"}[who]
    assert verdicts(found, f"{who}: the raw") == [False] and verdicts(found, f"{other}: the raw") == [True]


@pytest.mark.parametrize(("who", "key"), [("MD", "data"), ("LSTM", "learnt")])
@pytest.mark.parametrize(("share", "holds"), [(0.14, True), (0.16, False)])
def test_f_asks_that_the_core_set_is_flat(who, key, share, holds):
    raw = {0.02: 14.0, 0.1: 36.0, 0.5: 57.9, 2.0: 66.0}
    found = figure_f(
        good_f(**{key: lambda states, at: raw[at] if states == NEAREST else T2 * (1 - share * (at == INTERVALS[0]))})
    )
    other = {"MD": "LSTM", "LSTM": "MD"}[who]
    assert verdicts(found, f"{who}: the core set") == [holds] and verdicts(found, f"{other}: the core set") == [True]


@pytest.mark.parametrize(("factor", "holds"), [(0.84, False), (0.86, True), (1.14, True), (1.16, False)])
def test_f_asks_that_the_flat_value_is_the_right_one(factor, holds):
    raw = {0.02: 14.0, 0.1: 36.0, 0.5: 57.9, 2.0: 66.0}
    found = figure_f(good_f(learnt=lambda states, at: raw[at] if states == NEAREST else T2 * factor))
    assert verdicts(found, "LSTM: the core set") == [holds]


def test_f_compares_the_same_physical_time():
    """Small data at the usual interval, as figure C has them, are left out."""
    found = figure_f([*good_f(), *(record(name, learnt=1.0, data=1.0, n_frames=SMALL) for name in (CORE_SET, NEAREST))])
    assert found.rows == figure_f(good_f()).rows
    assert [(row[0], row[1]) for row in found.rows] == [
        (0.02, "2,500,000"), (0.1, "500,000"), (0.5, "100,000"), (2.0, "25,000"),
    ]  # fmt: skip
    printed = dict(zip(found.head[2:], found.rows[1][2:], strict=True))
    assert printed[f"{CORE_SET}: LSTM"] == "71.0 ± 0.0" and printed[f"{NEAREST}: MD"] == "36.0 ± 0.0"


def test_f_reads_one_step_and_no_longer_lag():
    late = lambda states, at: {1: 5.0, 10: T2, 50: T2}  # noqa: E731
    assert verdicts(figure_f(good_f(learnt=late)), "LSTM: the raw") == [False]


# --- G --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "key"), [("MD", "data"), ("LSTM", "learnt")])
@pytest.mark.parametrize(("lost", "holds"), [(0.19, False), (0.21, True)])
def test_g_asks_that_fast_coordinates_take_a_fifth(who, key, lost, holds):
    times = lambda states, at: {1: 62.0 * (1 - lost * (at == NOISY and states == FINE)), 10: 70.0}  # noqa: E731
    found = figure_g(good_g(**{key: times}))
    other = {"MD": "LSTM", "LSTM": "MD"}[who]
    assert verdicts(found, f"{who}: fast") == [holds] and verdicts(found, f"{other}: fast") == [True]


@pytest.mark.parametrize(("who", "key"), [("MD", "data"), ("LSTM", "learnt")])
@pytest.mark.parametrize(("off", "holds"), [(-0.16, False), (-0.14, True), (0.14, True), (0.16, False)])
def test_g_asks_that_cores_restore_t2(who, key, off, holds):
    def times(states, at):
        return {1: 30.0 if states == FINE and at == NOISY else 62.0, 10: T2 * (1 + off * (states == COARSE))}

    found = figure_g(good_g(**{key: times}))
    other = {"MD": "LSTM", "LSTM": "MD"}[who]
    assert verdicts(found, f"{who}: cores") == [holds] and verdicts(found, f"{other}: cores") == [True]


def test_g_judges_nothing_where_a_seed_is_missing():
    records = [frozen(one) if one["seed"] and one["states"] == COARSE else one for one in good_g()]
    found = figure_g(records)
    assert verdicts(found, "LSTM: cores") == [False] and verdicts(found, "MD: cores") == [True]


def test_g_shows_a_dash_where_x_alone_has_no_cores_and_judges_the_rest():
    records = [one for one in good_g() if (one["states"], dict(one["options"])["dimension"]) != (COARSE, "x")]
    records += [unmade(COARSE, seed=seed, dimension="x", n_frames=240_000) for seed in range(2)]
    found = figure_g(records)
    assert all(verdicts(found, word) == [True, True] for word in ("fast coordinates", "cores restore"))
    assert [row[3:] for row in found.rows if row[:2] == ("x", COARSE)] == [("–", "–", "–")] * 3


# --- H --------------------------------------------------------------------------------------------------------------


def test_h_reports_and_asks_for_nothing():
    records = grid(
        [NEAREST, CORE_SET, *CLEANED], models=["LSTM"], learnt=lambda name, *_: T2 * (1 + 0.5 * (name in CLEANED))
    )
    found = figure_h(records)
    assert len(found.rules) == 5 and not [rule for rule in found.rules if rule.holds is not None]
    assert [rule.measured.split(",")[0] for rule in found.rules] == ["t2 -0%"] + ["t2 +50%"] * 3 + ["t2 -0%"]


def test_h_takes_as_many_seeds_of_each():
    found = figure_h([*grid([NEAREST, *CLEANED], models=["LSTM"]), *grid([CORE_SET], range(5), models=["LSTM"])])
    assert "3 seeds" in found.note


# --- What is missing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gap", [lambda one: frozen(one), lambda one: frozen(one, "data"), lambda one: frozen(one, "chain")]
)
def test_an_arm_without_kinetics_is_counted_and_never_passes_for_good(gap):
    spoil = lambda records: [gap(one) if one["seed"] == 1 else one for one in records]  # noqa: E731
    page = figure_c(spoil(good_c())).markdown()
    assert "(1 without)" in page
    passed = grid([CORE_SET], passage_fs=exact_passages())
    assert "nan" in figure_d(spoil(passed)).markdown()
    assert "(1 without)" in figure_f([gap(one) if one["seed"] else one for one in good_f()]).markdown() or gap(
        record()
    )["chain_kinetics"].get("failed")


def test_models_that_never_move_fail_the_rules():
    still = [frozen(one) for one in good_c()]
    assert set(verdicts(figure_c(still), "")) == {False}
    passed = [frozen(one) for one in grid([CORE_SET], passage_fs=exact_passages())]
    assert verdicts(figure_d(passed), "LSTM:") + verdicts(figure_d(passed), "Transformer:") == [False, False]
    assert "nothing can be said" in figure_e(passed).rules[0].measured
    assert verdicts(figure_f([frozen(one) for one in good_f()]), "LSTM") == [False, False]
    assert verdicts(figure_g([frozen(one) for one in good_g()]), "LSTM") == [False, False]


def test_arms_whose_states_could_not_be_made_are_counted():
    records = [
        unmade(CORE_SET, one["model"], 1) if (one["states"], one["seed"]) == (CORE_SET, 1) else one for one in good_c()
    ]
    rows = [row for row in figure_c(records).rows if row[0] == CORE_SET]
    assert all("(1 without)" in row[4] for row in rows if not row[2].startswith("plateau"))
    none = [unmade(one["states"], one["model"], one["seed"]) for one in grid([CORE_SET, NEAREST])]
    assert {row[1] for row in figure_c(none).rows} == {"–"} and set(verdicts(figure_c(none), "")) == {False}


def test_numbers_of_seeds():
    assert spread([1.0, 3.0]) == "2.0 ± 1.4" and spread([5.0]) == "5.0 ± 0.0"
    assert spread([1.0, np.nan, 3.0]) == "2.0 ± 1.4 (1 without)" and spread([np.nan]) == "–" and spread([]) == "–"
    assert error_of([50.0, 70.0], 80.0) == pytest.approx(-0.25) and np.isnan(error_of([1.0, np.nan], 1.0))


def test_a_timescale_is_read_by_lag_and_mode_and_unit():
    one = record(learnt={1: 30.0, 10: 60.0})
    assert (timescale(one, lag=1), timescale(one, lag=10), timescale(one, lag=10, mode=1)) == (30.0, 60.0, T3)
    assert timescale(one, fs=True) == 60_000.0 and timescale(one, "data") == T2
    assert timescale(one, key="low_fs") < 60.0 < timescale(one, key="high_fs")
    assert np.isnan([timescale(one, lag=3), timescale(one, lag=50), timescale(unmade()), timescale(frozen(one))]).all()


def test_a_timescale_of_a_part_of_the_frames_is_none():
    """States that are not connected are left out of it, and the slow process may be among them."""
    for share, known in ((1.0, True), (0.995, True), (0.98, False)):
        assert np.isfinite(timescale({"model_kinetics": kinetics(T2, share_used=share)})) == known


def test_what_is_missing_is_said_with_its_reason():
    found = reasons([record(), unmade(NEAREST, seed=1), frozen(record(seed=2), "data")])
    assert [rule.asked for rule in found] == [
        f"no result of {NEAREST}, LSTM, seed 1", f"no result of {CORE_SET}, LSTM, seed 2 data",
    ]  # fmt: skip
    assert "certain member" in found[0].measured and {rule.holds for rule in found} == {None}


def test_the_truth_in_these_tests_is_that_of_the_chain():
    np.testing.assert_allclose(four_wells().timescales(2), [T2, T3], rtol=1e-3)


def test_records_are_chosen_by_fields_and_options_and_come_by_seed():
    records = [
        record(seed=2),
        record(seed=1),
        record(seed=0, n_frames=SMALL),
        record(NEAREST),
        record(model="Transformer"),
    ]
    assert [one["seed"] for one in chosen(records, states=CORE_SET, model="LSTM", n_frames=None)] == [1, 2]
    assert [one["seed"] for one in chosen(records, n_frames=SMALL)] == [0]
    assert each(chosen(records, states=NEAREST)).tolist() == [T2]


# --- Pages ----------------------------------------------------------------------------------------------------------


def tables(page):
    """Return the numbers of cells per row of every table; an escaped bar ends no cell."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [len(re.findall(r"(?<!\\)\|", row)) - 1 for row in rows]


def test_tables_have_as_many_cells_in_every_row():
    for finding in the_rest():
        assert set(tables(finding.markdown())) == {len(finding.head)}, finding.key
        assert len(tables(finding.markdown())) == len(finding.rows) + 2


def test_a_bar_in_a_cell_ends_no_cell():
    page = Finding(key="X", title="?", head=("|a|", "b"), rows=[("x | y", 1), (2, "3")], rules=[]).markdown()
    assert tables(page) == [2, 2, 2, 2] and r"x \| y" in page


def test_drawings_are_figures_with_words():
    from plotly.graph_objects import Figure

    drawn = {name: one for finding in the_rest() for name, one in finding.drawings.items()}
    assert {name.split("-")[1] for name in drawn} == set("CDEFG")
    for name, figure in drawn.items():
        assert isinstance(figure, Figure) and figure.data and len(alt_text(figure)) > 40, name


def test_rules_say_their_verdict_in_a_word():
    said = [str(Rule(asked="a", measured="b", holds=holds)) for holds in (True, False, None)]
    assert said == ["**PASSED** a: b", "**FAILED** a: b", "**reported** a: b"]


def test_a_page_lists_the_rules_that_failed_and_no_others(tmp_path):
    rules = [
        Rule(asked=word, measured="m", holds=holds) for word, holds in (("good", True), ("bad", False), ("so", None))
    ]
    finding = Finding(key="X", title="Why?", head=("a",), rows=[(1,)], rules=rules, note="A note.")
    page = write(tmp_path, "states", [finding], command="asteroid-nb states --seeds 1").read_text()
    assert "Rules that failed: X: bad.\n" in page and "`asteroid-nb states --seeds 1`" in page and "A note." in page
    fine = write(tmp_path, "states", [Finding(key="X", title="", head=(), rows=[], rules=rules[::2])], command="")
    assert "No rule failed." in fine.read_text() and "Rules that failed" not in fine.read_text()


def test_a_page_comes_with_its_numbers_and_drawings(tmp_path):
    found = the_rest()
    path = write(tmp_path, "states", found, command="asteroid-nb states")
    told = json.loads((tmp_path / "states.json").read_text())
    assert path == tmp_path / "states.md" and [one["figure"] for one in told] == list("CDEFGH")
    assert [[rule["holds"] for rule in one["rules"]] for one in told] == [[r.holds for r in one.rules] for one in found]
    assert [len(one["rows"]) for one in told] == [len(one.rows) for one in found]
    pages = {page.stem for page in tmp_path.glob("*.html")}
    assert pages == {name for one in found for name in one.drawings}
    assert (tmp_path / "plotly.min.js").is_file(), "drawings can be opened without a network"
