"""Figures of the solver: numbers and units as given, legends whole, explosions and missing answers told, not hidden."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from asteroid_nb.views.energy_drift import LOST_MEV, energy_drift
from asteroid_nb.views.force_errors import force_errors
from asteroid_nb.views.solver import MOST_POINTS, block_means, residual_curves, steps_over_time
from asteroid_nb.views.solver_dial import policy_scatter, tolerance_dial
from asteroid_nb.views.solver_looks import GUESSES, RECYCLE, policy_looks, tolerance_words
from asteroid_nb.views.style import alt_text

HOSTILE = "<script>alert(1)</script>"
EVERY = [guess + end for guess in GUESSES for end in ("", RECYCLE)]
TOLERANCES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]

RESIDUALS = {"cold": 0.5 ** np.arange(11), "previous": 0.03 * 0.5 ** np.arange(6)}
COUNTS = {"cold": np.tile([10.0, 12.0], 50), "linear": np.tile([4.0, 5.0], 50)}
TIMES = np.arange(0, 4000, 2.0)


def energies(slope_meV_per_ps, *, ripple=0.2):
    """Return times in fs and meV per atom around a straight line that starts far from zero."""
    return TIMES, -5e4 + slope_meV_per_ps * TIMES / 1000 + ripple * np.sin(TIMES)


CALM = {"cold": energies(-2.0), "xl": energies(1.0)}
WILD = {**CALM, "previous": energies(400.0)}
DIAL = {
    "force_error": {"cold": [30, 12, 9, 8.5, 8.5], "linear": [34, 13, 9, 8.5, 8.5]},
    "deviation": {"cold": [20, 5, 0.7, 0.1, 0.01], "linear": [30, 7, 0.7, 0.1, 0.02]},
    "evaluations": {"cold": [4, 8, 12, 16, 20], "linear": [2, 3, 5, 8, 11], "xl": [2, 3, 4, 6, np.nan]},
    "ms": {"cold": [5, 9, 13, 17, 21], "linear": [3, 4, 6, 9, 12]},
}
POINTS = {
    "cold": {1e-2: (1.0, -3.7), 1e-3: (1.0, 0.8)},
    "previous": {1e-2: (0.5, 417.0), 1e-3: (0.6, 15.7)},
    "linear+recycle": {1e-3: (0.3, 6.7), 3e-4: (0.38, 0.3), 1e-2: (0.2, np.nan)},
}
SEEDS = {"DEQ": [8.2, 8.8, 8.5], "K = 1": [13.0, 12.6, np.nan], "K = 4": [8.1]}

FIGURES = {
    "residuals": residual_curves(RESIDUALS | {HOSTILE: [0.1, 0.01]}, tolerance=1e-3),
    "steps": steps_over_time(COUNTS | {HOSTILE: [1.0, 2.0]}, timestep_fs=0.5),
    "dial": tolerance_dial(TOLERANCES, **DIAL, chosen=1e-3, subtitle=HOSTILE),
    "drift": energy_drift(CALM | {HOSTILE: energies(3.0)}),
    "drift, bent": energy_drift(WILD),
    "drift, clipped": energy_drift(WILD, scale="clip"),
    "errors": force_errors(SEEDS | {HOSTILE: [1.0]}, notes={"DEQ": HOSTILE}, target_meV_per_ang=10.0),
    "scatter": policy_scatter(POINTS | {HOSTILE: {1e-3: (0.5, 0.5)}}, target=(0.4, 1.0)),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]


def traces(figure, name):
    return [trace for trace in figure.data if (trace.name or "").startswith(name)]


def curve(figure, name):
    """Return the one trace of this name that has a line and numbers."""
    (found,) = [one for one in traces(figure, name) if "lines" in one.mode and len(one.x) > 1]
    return found


def test_every_axis_of_numbers_has_a_title_with_its_unit(figure):
    for key, axis in figure.to_plotly_json()["layout"].items():
        if key[1:5] != "axis" or not axis.get("showticklabels", True):
            continue
        if all(re.match(r"[+−]?\d", text) for text in axis.get("ticktext", ())):  # else it names models
            assert re.search(r"\(.+\)|per|evaluations", axis["title"]["text"]), key


def test_there_are_words_with_numbers_and_no_markup_of_a_name(figure):
    assert re.search(r"\d", alt_text(figure)) and len(alt_text(figure)) > 60
    drawn = json.loads(figure.to_json())
    del drawn["layout"]["meta"]
    for one in drawn["data"]:
        one.pop("legendgroup", None)
        one.pop("meta", None)
    assert "<script" not in json.dumps(drawn)


def test_the_legend_names_everything_once(figure):
    shown = [one.name for one in figure.data if one.showlegend is not False]
    assert all(shown) and len(shown) == len(set(shown))
    groups = {one.legendgroup for one in figure.data if one.legendgroup}
    listed = {one.legendgroup for one in figure.data if one.showlegend is not False}
    assert groups <= listed


def test_no_two_policies_differ_by_colour_alone():
    looks = policy_looks(EVERY)
    kind = lambda name: (looks[name].marker["symbol"], looks[name].line["dash"])  # noqa: E731
    assert len({kind(name) for name in EVERY}) == len(EVERY)
    for one, other in itertools.combinations(EVERY, 2):
        apart = [
            looks[one].line["color"] != looks[other].line["color"],
            *map(lambda a, b: a != b, kind(one), kind(other)),
        ]
        assert sum(apart) >= 2


def test_a_policy_looks_the_same_in_every_company_and_unknown_ones_differ():
    assert policy_looks(["xl", "cold"])["xl"] == policy_looks(EVERY)["xl"]
    names = [f"run {number}" for number in range(8)]
    looks = policy_looks(names)
    assert len({(looks[name].line.get("color"), looks[name].marker["symbol"]) for name in names}) == 8


@pytest.mark.parametrize(("value", "words"), [(0.1, "1e-1"), (3e-4, "3e-4"), (2.5e-6, "2.5e-6"), (0.05, "5e-2")])
def test_tolerances_are_written_as_they_are_typed(value, words):
    assert tolerance_words(value) == words and float(words) == pytest.approx(value)


def test_residuals_are_those_given_and_counted_from_one():
    figure = FIGURES["residuals"]
    np.testing.assert_allclose(curve(figure, "cold").y, RESIDUALS["cold"])
    np.testing.assert_array_equal(curve(figure, "cold").x, np.arange(1, 12))
    (line,) = traces(figure, "tolerance 1e-3")
    assert set(line.y) == {1e-3} and line.x[0] < 1 and line.x[-1] > 11
    low, high = 10 ** np.array(figure.layout.yaxis.range)
    assert low < RESIDUALS["cold"].min() and high > 1
    assert "cold: from 1 to 0.000977 in 11 evaluations" in alt_text(figure)


def test_of_several_molecules_the_largest_residual_counts():
    several = np.array([[0.5, 0.9], [0.4, 0.2], [0.01, 0.02]])
    np.testing.assert_allclose(curve(residual_curves({"cold": several}), "cold").y, [0.9, 0.4, 0.02])


def test_residuals_that_no_logarithm_knows_are_gaps():
    figure = residual_curves({"cold": [1.0, np.nan, 0.0, np.inf, 0.1], "previous": [np.nan, np.nan]}, tolerance=1e-2)
    np.testing.assert_array_equal(np.isnan(curve(figure, "cold").y), [False, True, True, True, False])
    assert np.isfinite(figure.layout.yaxis.range).all() and "previous: no residual" in alt_text(figure)
    assert residual_curves({}).layout.xaxis.title.text


def test_few_steps_are_drawn_one_by_one_and_their_mean_beside_them():
    figure = FIGURES["steps"]
    drawn = curve(figure, "linear")
    np.testing.assert_allclose(drawn.y, COUNTS["linear"])
    np.testing.assert_allclose(drawn.x, 0.5 * np.arange(100))
    (mean,) = [one for one in traces(figure, "linear") if len(one.x) == 1]
    assert list(mean.y) == [4.5] and mean.x[0] > drawn.x[-1] and mean.name == "linear, mean 4.5"
    assert figure.layout.meta["time_axes"] == ["x"] and "each point" not in figure.layout.title.subtitle.text


@pytest.mark.parametrize("n_steps", [301, 1000, 12_345])
def test_many_steps_are_drawn_as_means_that_say_so_and_lose_nothing(n_steps):
    counts = np.random.default_rng(0).integers(2, 20, n_steps).astype(float)
    figure = steps_over_time({"cold": counts}, timestep_fs=0.5)
    drawn, size = curve(figure, "cold"), -(-n_steps // MOST_POINTS)
    assert len(drawn.x) <= MOST_POINTS and f"the mean over {size} steps" in figure.layout.title.subtitle.text
    whole = n_steps // size
    np.testing.assert_allclose(np.mean(drawn.y[:whole]), counts[: whole * size].mean())
    assert f"mean {counts.mean():.3g}, 2 to 19, over {n_steps} steps" in alt_text(figure)


def test_means_stand_in_the_middle_of_what_they_are_of():
    times, means = block_means(np.array([1.0, 3.0, np.nan, 5.0, 7.0]), 0.5, 2)
    np.testing.assert_allclose(times, [0.25, 1.25, 2.0])
    np.testing.assert_allclose(means, [2.0, 5.0, 7.0])


def test_steps_without_an_answer_are_gaps_and_are_counted():
    figure = steps_over_time({"cold": [4.0, np.nan, 6.0], "previous": [np.nan] * 3}, timestep_fs=1.0)
    assert np.isnan(curve(figure, "cold").y[1])
    assert "mean 5, 4 to 6, over 3 steps, 1 without" in alt_text(figure)
    assert "previous: none of 3 steps" in alt_text(figure) and traces(figure, "previous, mean unknown")


def test_the_dial_has_a_panel_for_each_quantity_and_loose_is_left():
    figure = FIGURES["dial"]
    titles = [figure.layout[f"yaxis{number}"].title.text for number in ("", 2, 3, 4)]
    assert titles == ["force error (meV/Å)", "force deviation (%)", "evaluations per step", "time per step (ms)"]
    for key, axis in zip(DIAL, ("y", "y2", "y3", "y4"), strict=True):
        for name, values in DIAL[key].items():
            (drawn,) = [one for one in traces(figure, name) if one.yaxis == axis]
            np.testing.assert_allclose(drawn.y, values)
            np.testing.assert_allclose(drawn.x, TOLERANCES)
    left, right = figure.layout.xaxis.range
    assert left > np.log10(0.1) > np.log10(1e-5) > right
    assert list(figure.layout.xaxis4.ticktext) == ["1e-1", "1e-2", "1e-3", "1e-4", "1e-5"]
    assert [shape.x0 for shape in figure.layout.shapes] == [1e-3] * 4
    assert figure.layout.annotations[-1].text == "chosen 1e-3"


def test_a_click_on_the_dial_says_which_tolerance_and_policy():
    for one in FIGURES["dial"].data:
        assert one.meta["tolerances"] and [place for place, _ in one.customdata] == [0, 1, 2, 3, 4]
        assert {("cold", "linear", "xl")[policy] for _, policy in one.customdata} == {one.meta["policy"]}


def test_the_dial_tells_numbers_at_the_chosen_tolerance_and_what_has_no_answer():
    said = alt_text(tolerance_dial(TOLERANCES, **DIAL, chosen=1e-5))
    assert "At 1e-5" in said and "cold 0.01 %" in said and "xl no answer" in said
    alone = tolerance_dial([1e-3], evaluations={"cold": [9.0]})
    assert len(alone.data) == 1 and np.isfinite(alone.layout.xaxis.range).all()
    assert "nothing measured" in alt_text(tolerance_dial(TOLERANCES))


@pytest.mark.parametrize("slope", [-2.0, 0.3, 400.0])
def test_the_drift_is_the_slope_in_mev_per_atom_and_ps(slope):
    figure = energy_drift({"cold": energies(slope, ripple=0.0)})
    written = traces(figure, "cold")[0].name.split(", ")[1].replace("−", "-")
    assert float(written) == pytest.approx(slope, rel=1e-3)
    assert float(curve(figure, "cold").customdata[-1]) == pytest.approx(slope * TIMES[-1] / 1000)
    assert curve(figure, "cold").x[-1] == pytest.approx(TIMES[-1] / 1000)
    assert figure.layout.legend.title.text == "drift (meV/atom/ps)"


def test_given_drifts_are_written_as_given():
    assert traces(energy_drift(CALM, drifts={"cold": -2.7}), "cold")[0].name == "cold, −2.7"


def test_a_calm_figure_is_linear_and_one_with_a_wild_run_bends_its_axis():
    np.testing.assert_allclose(curve(FIGURES["drift"], "cold").y, curve(FIGURES["drift"], "cold").customdata)
    bent = FIGURES["drift, bent"]
    ticks = dict(zip(bent.layout.yaxis.ticktext, bent.layout.yaxis.tickvals, strict=True))
    assert ticks["0"] == 0 and "logarithmic beyond" in bent.layout.title.subtitle.text
    drawn = curve(bent, "previous")
    for label, place in ticks.items():
        value = float(label.replace("−", "-"))
        if 0 < value < 1500:
            assert float(np.interp(value, drawn.customdata, drawn.y)) == pytest.approx(place, abs=0.02)
    calm, wild = np.ptp(curve(bent, "xl").y), np.ptp(drawn.y)
    assert calm > 0.15 * wild, "the calm run must not be flattened"


def test_a_clipped_figure_marks_where_a_run_leaves():
    figure = energy_drift(WILD, scale="clip", clip_meV=20.0)
    (left,) = [one for one in traces(figure, "previous") if one.mode == "markers"]
    assert left.marker.symbol == "triangle-up" and left.y[0] == 20 and left.x[0] == pytest.approx(0.05, abs=0.01)
    assert figure.layout.yaxis.range == (-21, 21) and "± 20 meV/atom" in figure.layout.title.subtitle.text


@pytest.mark.parametrize("what", [np.nan, np.inf, 10 * LOST_MEV])
@pytest.mark.parametrize("scale", ["auto", "linear", "symlog", "clip"])
def test_an_explosion_ends_its_curve_and_is_told(what, scale):
    times, values = energies(100.0)
    broken = np.where(times >= 310, what, values)
    figure = energy_drift({**CALM, "previous": (times, broken)}, scale=scale)
    drawn = curve(figure, "previous")
    assert drawn.x[-1] < 0.31 and np.isfinite(np.array(drawn.y, dtype=float)).all()
    assert traces(figure, "previous, explodes at 0.31 ps") and "explodes at 0.31 ps" in alt_text(figure)
    assert np.isfinite(np.concatenate([np.array(one.y, dtype=float) for one in figure.data if len(one.y) > 1])).all()


def test_too_short_a_run_has_no_drift_and_a_run_lost_from_the_start_no_curve():
    figure = energy_drift({"cold": (TIMES[:2], np.array([0.0, 1.0])), "previous": (TIMES[:2], np.full(2, np.nan))})
    assert "cold too short for a drift" in alt_text(figure) and "previous explodes at 0 ps" in alt_text(figure)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="scale was 'loglog'; choose"):
        energy_drift(CALM, scale="loglog")  # type: ignore[arg-type]


def test_errors_of_models_are_means_of_their_seeds_and_every_seed_is_seen():
    figure = FIGURES["errors"]
    (bars,) = traces(figure, "mean over seeds")
    np.testing.assert_allclose(bars.x[:3], [8.5, 12.8, 8.1])
    (dots,) = traces(figure, "one seed")
    assert sorted(dots.x[:3]) == [8.2, 8.5, 8.8] and len(dots.x) == 7
    assert len(set(dots.y[:3])) == 3 and np.rint(dots.y[:3]).tolist() == [0, 0, 0]
    (target,) = traces(figure, "target 10")
    assert set(target.x) == {10.0}
    labels = figure.layout.yaxis.ticktext
    assert labels[1] == "K = 1" and labels[0].startswith("DEQ<br>") and "&lt;script&gt;" in labels[0]
    assert "K = 1: 12.8 (12.6 to 13) over 2 seeds, 1 without a number" in alt_text(figure)


def test_a_model_without_any_number_keeps_its_row():
    figure = force_errors({"DEQ": [np.nan], "K = 1": [3.0]})
    assert np.isnan(figure.data[0].x[0]) and "DEQ: no seed has a number" in alt_text(figure)


def test_policies_stand_where_their_numbers_are_and_the_exploded_at_the_edge():
    figure = FIGURES["scatter"]
    (warm,) = traces(figure, "linear+recycle")
    np.testing.assert_allclose(warm.x, [0.2, 0.3, 0.38])
    np.testing.assert_allclose(warm.y[1:], [6.7, 0.3])
    assert 417 < warm.y[0] < 10 ** figure.layout.yaxis.range[1]
    assert list(warm.text) == ["1e-2 ✕", "1e-3 ▲", "3e-4 ▲"]
    (cold,) = traces(figure, "cold")
    np.testing.assert_allclose(cold.y, [3.7, 0.8])
    assert list(cold.text) == ["1e-2 ▼", "1e-3 ▲"]


def test_the_target_is_outlined_and_who_reaches_it_is_said():
    figure = FIGURES["scatter"]
    (region,) = traces(figure, "target")
    assert max(region.x) == 0.4 and max(region.y) == 1.0 and min(region.x) == 0
    assert "Within the target: linear+recycle at 3e-4." in alt_text(figure)
    none = policy_scatter({"cold": POINTS["cold"]}, target=(0.4, 1.0))
    assert "Within the target: none." in alt_text(none)
    assert np.isfinite(policy_scatter({"xl": {1e-2: (np.nan, np.nan)}}).layout.yaxis.range).all()
