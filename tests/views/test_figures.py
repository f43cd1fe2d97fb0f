"""Every figure: the numbers it was given, units on its axes, words for those who cannot see it, no foreign markup."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from straight_line import Line

from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.metrics import spectra
from asteroid_nb.metrics import structure as measures
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.metrics.price import Price
from asteroid_nb.metrics.resampling import Interval
from asteroid_nb.views import (
    attention,
    delay,
    horizon,
    per_atom,
    price,
    ramachandran,
    state_network,
    state_parity,
    state_path,
    state_scans,
    state_times,
    structure,
    throughput,
    training,
    worst_windows,
)
from asteroid_nb.views.style import alt_text, look, plain

HOSTILE = "<script>alert(1)</script>"
LABELS = ("C1", "O1", "H1", HOSTILE)


def error_table():
    leads = np.arange(1, 9)
    noise = np.random.default_rng(0).normal(size=(30, 8, 4, 3))
    growth = {
        HOSTILE: 0.001 * leads**2,
        "copy": 0.02 * leads,
        "mean of history": np.full(8, 0.03),
        "AR(9)": 0.002 * leads,
    }
    forecasts = {name: noise * size[:, None, None] for name, size in growth.items()}
    walkers, starts = np.arange(30) % 3, np.arange(30) * 10
    return ErrorTable.of(forecasts, np.zeros_like(noise), dt_fs=2.0, atom_labels=LABELS, walkers=walkers, starts=starts)


def hankel(history=5, columns=7):
    rows, delays = np.indices((history, columns))
    return np.sin((rows + delays) / 2.0)


def all_figures():
    table, rng = error_table(), np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(4), size=4)
    cloud = rng.normal(size=(50, 4, 3))
    names = ("reference", HOSTILE)
    spectrum = spectra.density_of_states(rng.normal(size=(300, 4, 3)), np.ones(4), 1.0)
    history = [{"epoch": n, "train_loss": 1 / n, "validation_loss": 0.3 + (n - 5) ** 2} for n in range(1, 10)]
    return {
        "error_over_horizon": horizon.error_over_horizon(table),
        "error_over_horizon_in_a_panel": horizon.error_over_horizon(table, window=3, log=True, compact=True),
        "error_heatmap": worst_windows.error_heatmap(table, HOSTILE),
        "error_heatmap_worst_first": worst_windows.error_heatmap(table, HOSTILE, order="worst", window=3, compact=True),
        "per_atom_bars": per_atom.per_atom_bars(table, HOSTILE, 8.0, rival="copy", window=3),
        "attention_map": attention.attention_map(weights, LABELS, LABELS, title=f"Head 1 {HOSTILE}", kind=HOSTILE),
        "attention_by_distance": attention.attention_by_distance(weights, rng.uniform(0, 5, size=(4, 4))),
        "delay_matrix": delay.delay_matrix(hankel() + 0.1, hankel(), dt_fs=1.0, what=HOSTILE),
        "delay_matrix_without_truth": delay.delay_matrix(hankel(), dt_fs=1.0, what=HOSTILE),
        "bond_lengths": structure.bond_lengths(dict.fromkeys(names, rng.normal(1.1, 0.03, size=(50, 3)))),
        "distance_histogram": structure.distance_histogram(dict.fromkeys(names, measures.distance_histogram(cloud))),
        "torsions": structure.torsions(dict.fromkeys(names, rng.normal(size=50)), title=HOSTILE),
        "density_of_states": structure.density_of_states(dict.fromkeys(names, spectrum)),
        "loss_curve": training.loss_curve(history, title=HOSTILE),
        "loss_curves": training.loss_curves({HOSTILE: history, "other": history}, title=HOSTILE),
        **price_figures(),
        **state_figures(names),
    }


def price_figures():
    priced = {HOSTILE: Price(once_s=50.0, per_fs_s=5e-5), "MD": Price(per_fs_s=0.01)}
    right = dict.fromkeys(priced, Interval(20.0, 18.0, 21.0))
    rates = {HOSTILE: {1: 1e3, 64: 1e5}}
    return {
        "price_over_time": price.price_over_time(priced, rival="MD", subtitle=HOSTILE),
        "right_against_price": price.right_against_price(
            right, priced, tolerated_ang=0.05, horizon_fs=32.0, simulation=priced["MD"], subtitle=HOSTILE
        ),
        "rate_over_batch": throughput.rate_over_batch(rates, levels={HOSTILE: 300.0}, subtitle=HOSTILE),
    }


def state_figures(names):
    rng = np.random.default_rng(2)
    lags, times = np.array([100.0, 1e3, 1e4]), np.array([[5e4, 8e3], [6e4, 9e3], [7e4, 1e4]])
    curve = SimpleNamespace(lags_fs=lags, timescales_fs=times, low=0.9 * times, high=1.1 * times)
    passages, shares = rng.uniform(1e4, 1e5, (4, 4)), rng.dirichlet(np.ones(4))
    angles, states = rng.uniform(-3, 3, (500, 2)), rng.integers(0, 4, 500)
    scan, named = times[:, 0], dict.fromkeys(names, times[:, 0])
    stays = np.exp(-rng.uniform(0, 1, (3, 4)))
    hostile = {"title": HOSTILE, "subtitle": HOSTILE}
    return {
        "timescales_against_lag": state_times.timescales_against_lag(
            dict.fromkeys(names, curve), exact_fs=(71e3,), plateau_fs=1e3, **hostile
        ),
        "chapman_kolmogorov": state_times.chapman_kolmogorov_figure(lags, stays, stays, labels=LABELS, **hostile),
        "passage_parity": state_parity.passage_parity(
            passages, dict.fromkeys(names, passages), LABELS, reference_name=HOSTILE, **hostile
        ),
        "equivalence": state_parity.equivalence(
            0.1, -0.1, 0.3, seeds=[[0.1]], rows=[HOSTILE], row_title=HOSTILE, names=(HOSTILE, "b"), margin=0.2
        ),
        "dwell_scan": state_scans.dwell_scan(lags, {HOSTILE: scan}, exact={HOSTILE: 71e3}, **hostile),
        "saving_interval": state_scans.saving_interval(lags, named, exact_fs=71e3, what=HOSTILE, **hostile),
        "dimension_bars": state_scans.dimension_bars({name: {HOSTILE: 7e4} for name in names}, what=HOSTILE, **hostile),
        "state_network": state_network.state_network(shares, passages, LABELS, kind="passage times", **hostile),
        "population_bars": state_network.population_bars(dict.fromkeys(names, shares), LABELS, **hostile),
        "ramachandran": ramachandran.ramachandran(
            dict.fromkeys(names, angles), states=dict.fromkeys(names, states), labels=LABELS, names=(HOSTILE, "ψ")
        ),
        "state_path": state_path.state_path(np.arange(500.0), states, states[::-1], labels=LABELS, **hostile),
    }


FIGURES = all_figures()
NO_UNIT = {"atom", "epoch", "state", "coordinates", plain(HOSTILE)}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]


def axes(figure):
    """Return all axes that show numbers: those of panels beside one another show them once."""
    found = [axis for key, axis in figure.to_plotly_json()["layout"].items() if re.match(r"[xy]axis\d*$", key)]
    return [axis for axis in found if axis.get("visible", True) and axis.get("showticklabels", True)]


def trace(figure, name):
    (found,) = [one for one in figure.data if one.name == name]
    return found


def test_every_axis_has_a_title_with_its_unit(figure):
    for axis in axes(figure):
        title = axis["title"]["text"]
        assert title in NO_UNIT or re.search(r"\(.+\)$", title), title


def test_every_figure_has_a_title_and_words_with_numbers(figure):
    assert figure.layout.title.text
    assert len(alt_text(figure)) > 60 and re.search(r"\d", alt_text(figure))


def test_every_figure_travels_as_json_and_as_a_page_that_fetches_nothing(figure):
    assert json.loads(figure.to_json())["data"]
    page = figure.to_html(include_plotlyjs=False, full_html=True)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//", page)


def strings(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("meta", "alt"):  # plain text for programs, never drawn
                yield from strings(inner)
    elif isinstance(value, (list, tuple, np.ndarray)):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_no_name_brings_markup_in(figure):
    drawn = list(strings(figure.to_plotly_json()))
    allowed = re.compile(r"<br>|<extra></extra>")
    assert not [text for text in drawn if "<" in allowed.sub("", text)]
    assert HOSTILE not in figure.to_html(include_plotlyjs=False)


def test_both_themes_show_through(figure):
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_hostile_names_are_shown_letter_by_letter():
    assert trace(FIGURES["error_over_horizon"], "&lt;script&gt;alert(1)&lt;/script&gt;") is not None
    assert plain('a "b" & c') == 'a "b" &amp; c'
    assert len(plain("x" * 500)) == 40


def test_looks_differ_by_more_than_colour():
    looks = [look(index) for index in range(20)]
    assert len({(one.line["dash"], one.marker["symbol"]) for one in looks}) == 20
    assert len({one.line["color"] for one in looks[:6]}) == 6


def test_attention_keeps_queries_in_rows_and_starts_its_scale_at_zero():
    weights = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    figure = attention.attention_map(weights, ["C1", "H1"], ["C1", "H1", "H2"], title="t", kind="local")
    (heat,) = figure.data
    np.testing.assert_array_equal(heat.z, weights)
    assert (heat.zmin, heat.zmax) == (0, 0.7)
    assert heat.text[0][2] == "C1 looks at H2" and list(heat.customdata[0][2]) == [0, 2]
    assert figure.layout.yaxis.autorange == "reversed" and list(figure.layout.xaxis.ticktext) == ["C1", "H1", "H2"]
    assert "C1 at H2 (0.7), H1 at C1 (0.5)" in alt_text(figure)


def test_attention_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 4, 4\).*\(4, 4\).*Choose one layer"):
        attention.attention_map(np.ones((3, 4, 4)), LABELS, LABELS)


def test_masked_keys_stay_blank():
    figure = attention.attention_map([[np.nan, 1.0], [0.4, 0.6]], ["a", "b"], ["a", "b"])
    assert np.isnan(figure.data[0].z[0][0]) and "a at b (1)" in alt_text(figure)


def test_attention_by_distance_averages_in_bins():
    weights, distances = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([[0.1, 1.1], [1.2, 0.2]])
    pairs, mean = attention.attention_by_distance(weights, distances).data
    assert sorted(pairs.y) == [0.2, 0.4, 0.6, 0.8]
    assert (list(mean.x), list(mean.y)) == ([0.25, 1.25], pytest.approx([0.3, 0.7]))


def test_densities_integrate_to_one():
    for name in ("bond_lengths", "torsions"):
        for one in FIGURES[name].data:
            assert np.trapezoid(one.y, one.x) == pytest.approx(1, rel=0.05)


def test_a_torsion_is_shown_in_degrees():
    (one,) = structure.torsions({"reference": np.full(20, np.pi / 3)}).data
    assert one.x[np.argmax(one.y)] == pytest.approx(60, abs=3.6)


def test_loss_marks_the_least_validation_and_survives_gaps():
    figure = FIGURES["loss_curve"]
    assert (list(trace(figure, "least validation loss").x), figure.layout.yaxis.type) == ([5], "log")
    rows = [{"step": 10, "train_loss": 2.0}, {"step": 20, "train_loss": np.nan, "validation_loss": 1.0}, {"step": 30}]
    gaps = training.loss_curve(rows)
    np.testing.assert_array_equal(trace(gaps, "train").y, [2.0, np.nan, np.nan])
    assert list(trace(gaps, "train").x) == [10, 20, 30] and gaps.layout.xaxis.title.text == "step"
    assert "No record yet" in alt_text(training.loss_curve([]))


@pytest.mark.parametrize("n_epochs", [1, 2, 5])
def test_a_real_training_is_drawn_from_its_first_epoch_with_whole_epochs_as_ticks(n_epochs):
    history = fit(Line(), FitSettings(n_epochs=n_epochs, device="cpu")).history
    figure = training.loss_curve(history)
    for name in ("train", "validation"):
        assert list(trace(figure, name).x) == list(range(1, n_epochs + 1))
        assert list(trace(figure, name).y) == [record[f"{name}_loss"] for record in history]
    first, last = figure.layout.xaxis.range
    assert 0.5 <= first < 1 and n_epochs < last <= n_epochs + 0.5
    assert (figure.layout.xaxis.tick0, figure.layout.xaxis.dtick) == (1, 1)
    assert f"at epoch {n_epochs}" in alt_text(figure) and "No record yet" not in alt_text(figure)
