"""Figures of states: numbers and units as given, thinning told, exact lines where they belong, clicks answered."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from asteroid_nb.units import BOLTZMANN_EV_PER_K
from asteroid_nb.views.ramachandran import ramachandran
from asteroid_nb.views.state_frame import log_axis
from asteroid_nb.views.state_network import MOST_ARROWS, population_bars, state_network
from asteroid_nb.views.state_parity import equivalence, passage_parity
from asteroid_nb.views.state_path import MOST_POINTS, state_path
from asteroid_nb.views.state_scans import dimension_bars, dwell_scan, saving_interval
from asteroid_nb.views.state_times import chapman_kolmogorov_figure, timescales_against_lag
from asteroid_nb.views.style import alt_text
from asteroid_nb.views.time_units import time_unit, time_words

LABELS = ("A", "B", "C", "D")
PASSAGES = 1e3 * np.array([[0, 38, 160, 162], [39, 0, 161, 163], [160, 162, 0, 38], [163, 161, 39, 0.0]])
SHARES = np.array([0.4, 0.3, 0.2, 0.1])


@dataclass
class Curve:
    """What a view asks of `asteroid_nb.states.kinetics.Timescales`."""

    lags_fs: np.ndarray
    timescales_fs: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def curve(slowest_fs=71_000.0, *, band=False, lags_fs=(100.0, 1000.0, 10_000.0)):
    times = slowest_fs * np.array([[0.5, 0.1], [0.8, 0.12], [1.0, 0.14]])
    return Curve(np.array(lags_fs), times, 0.9 * times if band else None, 1.1 * times if band else None)


def trace(figure, name):
    (found,) = [one for one in figure.data if one.name == name]
    return found


@pytest.mark.parametrize(
    ("times_fs", "name"),
    [([0.5, 2.0], "fs"), ([999.0], "fs"), ([1000.0], "ps"), ([1e5, 1e6, 1e7], "ns"), ([3e9], "µs"), ([], "fs")],
)
def test_the_unit_suits_the_middle_time(times_fs, name):
    assert time_unit(times_fs).name == name


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3, 1e6])
def test_units_change_numbers_and_not_times(factor):
    """Whatever the unit, the axis times it is what was given."""
    given = curve(71_000 * factor, lags_fs=np.array([100.0, 1000.0, 10_000.0]) * factor)
    figure = timescales_against_lag({"MD": given})
    across, up = (re.search(r"\((.+)\)", axis.title.text)[1] for axis in (figure.layout.xaxis, figure.layout.yaxis))
    fs = {"fs": 1.0, "ps": 1e3, "ns": 1e6, "µs": 1e9}
    drawn = trace(figure, "MD")
    np.testing.assert_allclose(drawn.x * fs[across], given.lags_fs)
    np.testing.assert_allclose(drawn.y * fs[up], given.timescales_fs[:, 0])


def test_what_is_not_resolved_lies_below_the_diagonal_of_both_axes_even_in_different_units():
    figure = timescales_against_lag({"MD": curve(5e6, lags_fs=(1e5, 1e6 - 1, 4e6))})
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("lag time (ps)", "t2 (ns)")
    shaded = trace(figure, "shorter than the lag: not resolved")
    np.testing.assert_allclose(shaded.x[:2], np.array(shaded.y[:2]) * 1000)
    assert max(shaded.y[2:]) <= 10 ** figure.layout.yaxis.range[0] * 1.001


def test_curves_bands_the_exact_line_and_the_lag_that_is_read_are_drawn():
    curves = {"MD": curve(band=True), "LSTM": curve(60_000)}
    figure = timescales_against_lag(curves, exact_fs=(71_000, 9950), plateau_fs=1000.0)
    np.testing.assert_allclose(trace(figure, "exact, 71 ps").y, 71)
    band = figure.data[0]
    assert band.fill == "toself" and max(band.y) == pytest.approx(78.1)
    assert figure.layout.shapes[0].x0 == 1 and figure.layout.annotations[0].text == "read at 1 ps"
    third = timescales_against_lag(curves, exact_fs=(71_000, 9950), mode=1)
    np.testing.assert_allclose(trace(third, "exact, 9.95 ps").y, 9.95)
    np.testing.assert_allclose(trace(third, "MD").y[-1] / trace(figure, "MD").y[-1], 0.14)
    assert third.layout.yaxis.title.text == "t3 (ps)"


def test_short_lags_do_not_stretch_the_axis_of_long_timescales():
    """Two curves a factor of two apart must not lie on one another because lags are a thousand times shorter."""
    figure = timescales_against_lag({"MD": curve(), "LSTM": curve(142_000)})
    low, high = figure.layout.yaxis.range
    assert high - low < 1.5 and 10**low < 35.5 / 2
    assert not any("not resolved" in one.name for one in figure.data if one.name)


def test_an_axis_holds_bands_and_none_squashes_the_curves():
    wide = curve()
    wide.low, wide.high = wide.timescales_fs / 2, wide.timescales_fs * np.array([[2.0], [2.0], [1e6]])
    low, high = 10 ** np.array(timescales_against_lag({"MD": wide}).layout.yaxis.range)
    assert 2 * 71 < high < 500


def test_a_timescale_that_is_not_there_is_a_gap_and_is_told():
    gone = curve()
    gone.timescales_fs[0] = np.nan
    figure = timescales_against_lag({"MD": gone, "chain": curve()}, mode=0)
    assert np.isnan(trace(figure, "MD").y[0]) and "no time at lag 100 fs" in alt_text(figure)
    assert not any(one.name.startswith("exact") for one in figure.data if one.name)
    nothing = timescales_against_lag({"MD": curve()}, mode=5)
    assert np.isnan(trace(nothing, "MD").y).all() and np.isfinite(nothing.layout.yaxis.range).all()


def test_a_model_that_predicts_what_is_counted_is_off_by_nothing():
    times, stays = np.array([1e3, 2e3, 3e3]), np.array([[0.9, 0.8], [0.8, 0.6], [0.7, 0.5]])
    figure = chapman_kolmogorov_figure(times, stays, stays, labels=("A", "B"), low=stays - 0.1, high=stays + 0.1)
    assert "A 0.000, B 0.000" in alt_text(figure)
    assert sum(one.name == "predicted" for one in figure.data) == 2
    unknown = chapman_kolmogorov_figure(times, stays, np.full_like(stays, np.nan), labels=("A", "B"))
    assert "A unknown" in alt_text(unknown)


def test_passage_times_lie_on_the_diagonal_where_they_agree_and_off_it_by_their_error():
    figure = passage_parity(PASSAGES, {"same": PASSAGES, "slow": 1.3 * PASSAGES}, LABELS)
    same, slow = trace(figure, "same"), trace(figure, "slow")
    assert len(same.x) == 12
    np.testing.assert_allclose(same.x, same.y)
    np.testing.assert_allclose(slow.y, 1.3 * np.array(slow.x))
    assert slow.text[0] == "A → B, +30%" and "slow: median error 30%, worst 30%" in alt_text(figure)
    low, high = figure.layout.xaxis.range
    assert 10**low < 38 and 10**high > 1.3 * 163


def test_pairs_never_passed_are_left_out_and_counted():
    seldom = PASSAGES.copy()
    seldom[0, 3], seldom[1, 2] = np.nan, np.inf
    figure = passage_parity(PASSAGES, {"model": seldom}, LABELS)
    assert len(trace(figure, "model").x) == 10 and "2 of 12 pairs were never passed" in alt_text(figure)
    nothing = passage_parity(PASSAGES, {"model": np.full((4, 4), np.nan)}, LABELS)
    assert "none of 12 pairs" in alt_text(nothing)


def test_an_equivalence_shows_its_interval_its_seeds_and_zero():
    figure = equivalence([0.05, 0.4], [-0.1, 0.2], [0.2, 0.6], seeds=[[0.0, 0.1], [0.3]], rows=("cores", "raw"))
    (middle,) = [one for one in figure.data if one.error_x.array is not None]
    np.testing.assert_allclose(np.array(middle.x) + middle.error_x.array, [0.2, 0.6])
    np.testing.assert_allclose(np.array(middle.x) - middle.error_x.arrayminus, [-0.1, 0.2])
    assert figure.layout.shapes[0].x0 == 0
    assert re.search(r"cores: \+0.050 \(.*zero lies inside; raw: .*zero lies outside", alt_text(figure))
    low, high = figure.layout.xaxis.range
    assert low == -high and high > 0.6
    with pytest.raises(ValueError, match="2 rows. Give one of each per row"):
        equivalence(0.1, 0.0, 0.2, rows=("cores", "raw"))


def test_a_dwell_scan_tells_the_best_and_the_worst_dwell_of_each_timescale():
    dwell = np.array([100.0, 1000.0, 10_000.0])
    found = {"t2": [20e3, 70e3, 72e3], "t3": [4e3, 9e3, 30e3]}
    exact = {"t2": 71e3, "t3": 9.95e3}
    figure = dwell_scan(dwell, found, exact=exact, core_set={"t2": 70.9e3, "t3": 9.9e3})
    assert "t3: exact 9.95 ps, core set 9.9 ps; nearest 9 ps at a dwell of 1 ps" in alt_text(figure)
    assert "furthest 30 ps at 10 ps" in alt_text(figure)
    lines = [one for one in figure.data if one.name == "exact"]
    assert [one.y[0] for one in lines] == [71, 9.95] and [one.xaxis for one in lines] == ["x", "x2"]
    shaded = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(box.y0, box.y1) for box in shaded] == [pytest.approx((49.7, 92.3)), pytest.approx((6.965, 12.935))]


def test_timescales_against_the_saving_interval_are_those_given():
    found = {"raw": np.array([14e3, 70e3]), "core set": np.array([70.6e3, np.nan])}
    figure = saving_interval([10.0, 10_000.0], found, exact_fs=71e3, bands={"raw": (found["raw"] - 1e3, [71e3] * 2)})
    np.testing.assert_allclose(trace(figure, "raw").y, [14, 70])
    np.testing.assert_allclose(trace(figure, "raw").error_y.arrayminus, 1)
    assert trace(figure, "core set").error_y.array is None
    assert "raw 14 ps at 10 fs and 70 ps at 10 ps" in alt_text(figure) and "Exact: 71 ps" in alt_text(figure)


def test_bars_of_dimensions_keep_their_place_where_one_is_missing():
    found = {"cells": {"x": 3e3, "x, y": 66e3, "x, y, noise": 20e3}, "core set": {"x, y": 70e3}}
    figure = dimension_bars(found, exact_fs=71e3, bands={"core set": {"x, y": (64e3, 76e3)}})
    cells, cores = figure.data[:2]
    assert list(figure.layout.xaxis.ticktext) == ["x", "x, y", "x, y, noise"]
    np.testing.assert_allclose(cells.y, [3, 66, 20])
    np.testing.assert_allclose(cores.y, [np.nan, 70, np.nan])
    np.testing.assert_allclose(cores.error_y.array, [np.nan, 6, np.nan])
    assert cells.marker.pattern.shape != cores.marker.pattern.shape


def arrows(figure):
    return [note for note in figure.layout.annotations if note.showarrow is not False]


def test_the_area_of_a_state_is_its_population_and_its_click_is_its_number():
    figure = state_network([0.64, 0.16, 0.1, 0.1], PASSAGES, LABELS, kind="passage times")
    (circles,) = figure.data
    assert circles.marker.size[0] == pytest.approx(2 * circles.marker.size[1])
    assert list(circles.customdata) == [0, 1, 2, 3] and circles.meta == {"states": True}
    assert len(arrows(figure)) == 12
    widths = {(note.ax, note.ay, note.x, note.y): note.arrowwidth for note in arrows(figure)}
    at = lambda a, b: (circles.x[a], circles.y[a], circles.x[b], circles.y[b])  # noqa: E731
    assert widths[at(0, 1)] > 2 * widths[at(0, 3)]
    assert "A to B 38 ps" in alt_text(figure) and "in ps" in figure.layout.title.subtitle.text


def test_rates_and_the_passage_times_that_are_their_inverse_draw_the_same_arrows():
    with np.errstate(divide="ignore"):
        rates = np.where(PASSAGES > 0, 1 / PASSAGES, 0)
    one, other = state_network(SHARES, rates, LABELS), state_network(SHARES, PASSAGES, LABELS, kind="passage times")
    assert [note.arrowwidth for note in arrows(one)] == pytest.approx([note.arrowwidth for note in arrows(other)])
    assert "numbers: 1/ns" in one.layout.title.subtitle.text
    assert "26" in {note.text for note in one.layout.annotations}


def test_many_arrows_are_thinned_with_a_note_and_every_state_keeps_one():
    random = np.random.default_rng(0)
    figure = state_network(
        random.dirichlet(np.ones(10)), random.uniform(1e-6, 1e-4, (10, 10)), [str(n) for n in range(10)]
    )
    assert len(arrows(figure)) == MOST_ARROWS
    assert f"{90 - MOST_ARROWS} of 90 arrows, the least used, are left out" in figure.layout.title.subtitle.text
    assert len({(note.x, note.y) for note in arrows(figure)}) == 10


def test_states_lie_at_their_centres_unless_these_would_overlap():
    centres = np.array([(2.0, -1.0), (0.5, 2.0), (-0.5, -2.0), (-2.0, 1.0)])
    (there,) = state_network(SHARES, PASSAGES, LABELS, centres=centres).data
    np.testing.assert_allclose(np.stack([there.x, there.y], 1) * 2, centres)
    centres[1] = centres[0] + 0.01
    (apart,) = state_network(SHARES, PASSAGES, LABELS, centres=centres).data
    np.testing.assert_allclose(np.hypot(apart.x, apart.y), 1)


@pytest.mark.parametrize("n_states", [1, 2])
def test_few_states_and_no_way_between_them_are_drawn(n_states):
    figure = state_network(np.full(n_states, 1 / n_states), np.zeros((n_states, n_states)), LABELS[:n_states])
    assert not arrows(figure) and "no way between states" in alt_text(figure)


def test_a_network_of_other_shapes_or_too_many_states_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\).*\(4, 4\).*4 labelled"):
        state_network(SHARES[:3], PASSAGES, LABELS)
    with pytest.raises(ValueError, match="100 states cannot be told apart"):
        state_network(np.full(100, 0.01), np.ones((100, 100)), [str(n) for n in range(100)])


def test_bars_of_populations_carry_their_state():
    figure = population_bars({"MD": SHARES, "LSTM": SHARES[::-1]}, LABELS, bands={"MD": (SHARES - 0.05, SHARES + 0.1)})
    for bar in figure.data:
        assert list(bar.customdata) == [0, 1, 2, 3] and bar.meta == {"states": True}
    np.testing.assert_allclose(figure.data[0].error_y.array, 0.1)
    assert "MD: A 40.0%, B 30.0%" in alt_text(figure) and "LSTM: D 40.0%" in alt_text(figure)


def angles(n_frames=4000, seed=0):
    random = np.random.default_rng(seed)
    return np.stack([random.vonmises(-1.4, 8, n_frames), random.vonmises(1.2, 8, n_frames)], axis=1)


def test_free_energy_is_minus_kT_ln_of_the_density_on_one_scale_for_all():
    once = angles()
    narrow = np.concatenate([once, np.tile(once[:1], (4000, 1))])
    figure = ramachandran({"MD": once, "narrow": narrow}, temperature_K=450.0)
    first, second = (np.array(one.z, dtype=float) for one in figure.data)
    kT = BOLTZMANN_EV_PER_K * 450
    counts = np.histogram2d(once[:, 1], once[:, 0], bins=36, range=[[-np.pi, np.pi]] * 2)[0]
    seen = counts > 0
    np.testing.assert_allclose(first[seen], -kT * np.log(counts[seen] / counts.max()), atol=1e-6)
    assert np.isnan(first[~seen]).all() and first[seen].min() == 0
    assert np.nanmin(second) < 0  # a deeper well than any of the reference
    assert {one.coloraxis for one in figure.data} == {"coloraxis"}
    in_kT = ramachandran({"MD": once})
    np.testing.assert_allclose(np.array(in_kT.data[0].z, dtype=float)[seen] * kT, first[seen], atol=1e-6)


def test_angles_are_drawn_in_degrees_where_they_are():
    figure = ramachandran({"MD": np.radians(np.tile([[-60.0, 175.0]], (50, 1)))})
    (row,), (column,) = np.nonzero(np.isfinite(np.array(figure.data[0].z, dtype=float)))
    assert (figure.data[0].x[column], figure.data[0].y[row]) == (-55, 175)
    assert tuple(figure.layout.xaxis.range) == tuple(figure.layout.yaxis.range) == (-180, 180)
    edge = ramachandran({"MD": np.array([[np.pi, -np.pi], [-np.pi, np.pi]])})
    assert np.isfinite(np.array(edge.data[0].z, dtype=float)).sum() == 1


def test_bins_carry_the_state_most_of_their_frames_are_in_and_states_are_parted_by_a_line():
    given = angles()
    states = np.where(given[:, 0] < -1.4, 0, 1)
    states[given[:, 1] > 2] = -1
    figure = ramachandran({"MD": given}, states={"MD": states}, labels=("left", "right"))
    heat, rim, line = figure.data
    where = np.asarray(heat.customdata)
    column, row = (np.floor((given[:, at] + np.pi) / (2 * np.pi) * 36).astype(int) for at in (0, 1))
    assert (where[row, column] == states).mean() > 0.9 and set(np.unique(where)) == {-1, 0, 1}
    x = np.asarray(line.x)
    assert np.isin(-80, x) and rim.line.width > line.line.width and len(x) % 3 == 0
    assert {note.text for note in figure.layout.annotations} == {"MD", "left", "right"}
    assert heat.meta == {"states": True}


def test_a_stray_frame_frays_no_boundary_and_is_still_told():
    given = angles()
    given = given[np.abs(given[:, 0] + 2.5) > 0.3]
    states = np.where(given[:, 0] < -1.4, 0, 1)
    many = np.concatenate([given, [[-2.5, 1.2]], np.tile([[-2.5, 1.2 + 0.18], [-2.5, 1.2 - 0.18]], (3, 1))])
    figure = ramachandran({"MD": many}, states={"MD": np.append(states, [1] + [0] * 6)}, labels=("left", "right"))
    heat, _, line = figure.data
    column, row = (int((at + np.pi) / (2 * np.pi) * 36) for at in (-2.5, 1.2))
    assert np.asarray(heat.customdata)[row, column] == 1
    assert np.nanmin(np.asarray(line.x)) > -100


def test_a_long_trajectory_makes_no_large_map():
    many = {name: angles(100_000, seed) for seed, name in enumerate(("MD", "LSTM", "Transformer", "chain"))}
    figure = ramachandran(
        many, states={name: (one[:, 0] > -1.4).astype(int) for name, one in many.items()}, labels=LABELS
    )
    assert len(figure.data[0].x) == 72 and len(figure.to_json()) < 350_000


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ramachandran({}), r"needed is \[frames, 2\] rad"),
        (lambda: ramachandran({"MD": np.zeros((5, 3))}), r"\(5, 3\)"),
        (lambda: ramachandran({"MD": angles(9)}, states={"MD": np.zeros(3, int)}), "9 frames and 3 states"),
        (lambda: ramachandran({"MD": angles(9)}, temperature_K=0.0), "must be positive"),
    ],
)
def test_a_map_of_what_cannot_be_one_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def flickering(n_frames=3000, n_flips=60):
    clean = np.repeat([0, 2, 1], n_frames // 3)
    states = clean.copy()
    flips = np.random.default_rng(0).choice(n_frames, n_flips, replace=False)
    states[flips] = 3
    return states, clean, np.sort(flips)


def test_recrossings_are_marked_at_the_frames_that_changed():
    states, clean, flips = flickering()
    times = np.arange(3000) * 100.0
    figure = state_path(times, states, clean, labels=LABELS)
    marks = trace(figure, "recrossing, removed")
    np.testing.assert_allclose(np.array(marks.x) * 1000, times[flips])
    assert set(marks.y) == set(marks.customdata) == {3} and marks.marker.symbol == "x"
    path = trace(figure, "recrossings removed")
    assert (list(path.y), path.line.shape) == ([0, 2, 1, 1], "hv")
    np.testing.assert_allclose(np.array(path.x) * 1000, [0, 100_000, 200_000, 299_900])
    assert "2 are left; 60 frames" in alt_text(figure) and not figure.layout.title.subtitle.text


def test_a_path_that_nobody_cleaned_has_no_marks():
    states, _, _ = flickering()
    figure = state_path(np.arange(3000.0), states, labels=LABELS)
    assert [one.name for one in figure.data] == ["path"]
    moved = state_path(np.arange(3000.0), states, states, labels=LABELS)
    assert [one.name for one in moved.data] == ["as it was", "recrossings removed"]
    assert len(state_path([0.0], [1], labels=LABELS).data) == 1


def test_a_restless_path_is_thinned_and_says_so():
    states = np.random.default_rng(0).integers(0, 4, 100_000)
    figure = state_path(np.arange(100_000.0), states, np.zeros(100_000, int), labels=LABELS)
    assert all(len(one.x) <= MOST_POINTS for one in figure.data)
    assert "as it was: one frame in 67 drawn; one recrossing in 50 marked" in figure.layout.title.subtitle.text
    assert len(figure.to_json()) < 200_000


def test_frames_of_no_state_are_gaps_and_no_recrossings():
    states = np.array([0, 0, 1, 1])
    figure = state_path(np.arange(4.0), states, np.array([-1, 0, 1, 1]), labels=LABELS)
    assert "recrossing, removed" not in [one.name for one in figure.data]
    assert np.isnan(trace(figure, "recrossings removed").y[0])


def test_a_path_without_labels_or_of_other_length_is_refused():
    with pytest.raises(ValueError, match="up to state 4, for 4 labels"):
        state_path(np.arange(2.0), [0, 4], labels=LABELS)
    with pytest.raises(ValueError, match="Give one per frame"):
        state_path(np.arange(2.0), [0, 1], [0], labels=LABELS)


@pytest.mark.parametrize("values", [[], [np.nan], [0.0], [-1.0], [3.0], [1e-3, 1e9]])
def test_a_logarithmic_axis_always_has_a_range(values):
    low, high = log_axis(np.array(values, dtype=float))["range"]
    assert np.isfinite([low, high]).all() and low < high


def test_times_in_words_have_their_unit():
    assert [time_words(one) for one in (0.5, 71_000.0, 2.5e6, np.nan)] == ["0.5 fs", "71 ps", "2.5 ns", "no time"]
