"""Structure figures: densities that suit few and many frames, curves over time, temperatures of known samples."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from asteroid_nb.metrics.conservation import temperature_per_element_K
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2
from asteroid_nb.views import over_time, structure
from asteroid_nb.views.style import alt_text

HOSTILE = "<script>alert(1)</script>"
NUMBERS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
MASSES = np.array([12.011, 12.011, 15.999, *[1.008] * 6])


def thermal(temperature_K, n_frames, seed):
    """Return the temperatures by element of a Maxwell–Boltzmann sample, and its times."""
    scale = np.sqrt(BOLTZMANN_EV_PER_K * temperature_K / (MASSES * EV_PER_AMU_ANG2_PER_FS2))
    velocities = scale[:, None] * np.random.default_rng(seed).normal(size=(n_frames, 9, 3))
    return np.arange(n_frames) * 1.0, temperature_per_element_K(velocities, NUMBERS, MASSES)


def waves(n_frames=400, *, frequency=0.6, mean=1.1, amplitude=0.03):
    times = np.arange(n_frames) - 15.0
    return times, mean + amplitude * np.sin(frequency * times)


SERIES = {"reference": waves(), HOSTILE: waves(frequency=0.5, mean=1.13)}
TURNING = {name: (times, np.sin(times / 40) + 2.5) for name, (times, _) in SERIES.items()}
FIGURES = {
    "length": over_time.length_over_time(SERIES, title=f"Bond {HOSTILE}", since_fs=0.0),
    "torsion": over_time.torsion_over_time(TURNING, title=f"Torsion {HOSTILE}", since_fs=0.0),
    "temperature": structure.temperature(
        {"reference": thermal(500, 300, 0), HOSTILE: thermal(300, 300, 1)}, since_fs=0.0, subtitle=HOSTILE
    ),
    "blank": structure.blank(HOSTILE, f"Too short {HOSTILE}: give 10 frames more. " * 5),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]


def area(density, centres):
    return np.sum(density) * (centres[1] - centres[0])


def curves(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_axes_with_numbers_have_titles_with_units(figure):
    for key, axis in figure.to_plotly_json()["layout"].items():
        if re.match(r"[xy]axis\d*$", key) and axis.get("showticklabels", True) and axis.get("visible", True):
            assert re.search(r"\(.+\)$", axis["title"]["text"])


def test_every_figure_has_words_with_numbers_and_brings_no_markup(figure):
    assert figure.layout.title.text and re.search(r"\d", alt_text(figure)) and len(alt_text(figure)) > 60
    drawn = figure.to_plotly_json()
    drawn["layout"].pop("meta")
    assert "<script>" not in json.dumps(drawn, default=lambda array: array.tolist())
    assert len(figure.to_json()) < 60_000


def test_time_axes_are_named_for_the_browser_and_the_present_is_marked_on_each():
    assert FIGURES["length"].layout.meta["time_axes"] == ["x"]
    assert FIGURES["temperature"].layout.meta["time_axes"] == ["x", "x2", "x3"]
    assert FIGURES["blank"].layout.meta["time_axes"] == []
    histogram = structure.bond_lengths({"reference": np.full((4, 2), 1.1)})
    assert histogram.layout.meta["time_axes"] == []
    for name, n_axes in (("length", 1), ("torsion", 1), ("temperature", 3)):
        marks = FIGURES[name].layout.shapes
        assert [(mark.x0, mark.x1) for mark in marks] == [(0, 0)] * n_axes
        assert {mark.xref for mark in marks} == set(FIGURES[name].layout.meta["time_axes"])
    assert not over_time.length_over_time(SERIES, title="Bond").layout.shapes


def test_a_curve_over_time_is_what_was_given_and_its_density_counts_what_comes_after_the_present():
    times, lengths = waves(60)
    lengths[:16] = 1.9
    drawn, often = over_time.length_over_time({"reference": (times, lengths)}, title="Bond", since_fs=0.0).data
    np.testing.assert_allclose((drawn.x, drawn.y), (times, lengths))
    assert often.xaxis == "x2" and max(often.y) < 1.2
    assert area(often.x, often.y) == pytest.approx(1)
    whole = over_time.length_over_time({"reference": (times, lengths)}, title="Bond").data[1]
    assert max(whole.y) > 1.8


def test_a_broken_bond_does_not_squash_the_axis_and_is_told():
    times, lengths = waves(100)
    _, broken = waves(100)
    broken[60:] = 50.0
    figure = over_time.length_over_time({"reference": (times, lengths), "model": (times, broken)}, title="Bond")
    low, high = figure.layout.yaxis.range
    assert low < 1.07 and 1.13 < high < 1.8
    assert "not drawn: model 40.0%" in alt_text(figure)
    both = {"reference": lengths[:, None], "model": broken[:, None]}
    assert "not drawn: model 40.0%" in alt_text(structure.bond_lengths(both))
    one = structure.bond_lengths(both).data[1]
    assert area(one.y, one.x) == pytest.approx(0.6)


def test_what_is_not_finite_is_a_gap_and_counts_for_nothing():
    times, lengths = waves(100)
    spoiled = lengths.copy()
    spoiled[40:50], spoiled[50] = np.nan, np.inf
    figure = over_time.length_over_time({"reference": (times, lengths), "model": (times, spoiled)}, title="Bond")
    assert np.isfinite(figure.layout.yaxis.range).all() and "nan" not in alt_text(figure)
    nothing = {"reference": (times, lengths), "model": (times, np.full(100, np.nan))}
    assert "model nothing" in alt_text(over_time.length_over_time(nothing, title="Bond"))
    assert "model nothing" in alt_text(over_time.torsion_over_time(nothing, title="Torsion"))


def turning(degrees):
    angles = np.radians((np.asarray(degrees) + 180) % 360 - 180)
    return over_time.torsion_over_time({"reference": (np.arange(len(angles)) * 1.0, angles)}, title="Torsion")


@pytest.mark.parametrize(
    ("degrees", "low"), [(np.arange(160, 200), 0), (np.arange(-20, 20), -180), (np.full(9, 90), -180)]
)
def test_an_axis_of_torsions_begins_where_they_are_not(degrees, low):
    figure = turning(degrees)
    drawn, often = figure.data
    np.testing.assert_allclose(drawn.y, degrees)
    assert tuple(figure.layout.yaxis.range) == (low - 5, low + 365) and figure.layout.yaxis.tick0 == low
    assert (np.diff(often.y) > 0).all() and often.y[0] > low and often.y[-1] < low + 360
    assert area(often.x, often.y) == pytest.approx(1)
    assert abs(often.y[np.argmax(often.x)] - np.mean(degrees)) < 25


def test_a_whole_turn_is_no_line_across_the_figure():
    drawn, _ = turning(np.arange(0, 720, 7)).data
    y = np.asarray(drawn.y, dtype=float)
    assert np.isnan(y).any() and np.nanmax(np.abs(np.diff(y))) < 8
    assert np.isfinite(y).sum() == len(range(0, 720, 7))


@pytest.mark.parametrize(("n_frames", "width"), [(32, 10), (5000, 3.6)])
def test_bins_of_a_torsion_grow_finer_with_more_frames(n_frames, width):
    angles = np.random.default_rng(0).uniform(-3, 3, n_frames)
    _, often = over_time.torsion_over_time({"reference": (np.arange(n_frames), angles)}, title="Torsion").data
    assert np.diff(often.y)[0] == pytest.approx(width)


def test_long_curves_are_thinned_and_keep_their_mean():
    times, lengths = waves(100_000)
    figure = over_time.length_over_time({"reference": (times, lengths)}, title="Bond")
    assert len(figure.data[0].x) <= over_time.MOST_POINTS and len(figure.to_json()) < 60_000
    warm = structure.temperature({"reference": thermal(400, 20_000, 3)})
    drawn, mean = curves(warm, "reference")[:2]
    assert len(drawn.x) <= structure.MOST_POINTS
    assert np.mean(drawn.y) == pytest.approx(mean.y[0], rel=1e-3)


def test_temperatures_of_maxwell_and_boltzmann_are_read_within_their_error():
    figure = structure.temperature({"reference": thermal(500, 4000, 0), "model": thermal(250, 4000, 1)})
    assert [axis.title.text for axis in figure.select_yaxes()] == ["H (K)", "C (K)", "O (K)"]
    for name, expected in (("reference", 500), ("model", 250)):
        means = [trace for trace in curves(figure, name) if len(trace.x) == 2]
        assert len(means) == 3
        for mean in means:
            # One oxygen has three degrees of freedom: the mean of 4000 frames is known to √(2/3/4000).
            assert mean.y[0] == pytest.approx(expected, rel=5 * np.sqrt(2 / (3 * 4000)))
    found = re.search(r"heavy: reference (\d+) K, model (\d+) K", alt_text(figure))
    assert found and [int(one) for one in found.groups()] == pytest.approx([500, 250], rel=0.03)


def test_means_count_from_the_present_on():
    times = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    found = {"reference": (times, {"H": np.array([900.0, 900.0, 900.0, 100.0, 200.0])})}
    assert structure.mean_temperatures(found, since_fs=0.0) == "H: reference 150 K"
    assert structure.mean_temperatures(found) == "H: reference 600 K"
    mean = structure.temperature(found, since_fs=0.0).data[1]
    assert list(mean.x) == [0, 2] and list(mean.y) == [150, 150]


def test_peaks_are_told_in_words():
    x = np.linspace(0, 4000, 401)
    y = np.exp(-(((x - 1500) / 30) ** 2)) + np.exp(-(((x - 3000) / 30) ** 2))
    assert structure.peaks_in_words({"reference": (x, y)}) == "reference 1500, 3000"
    assert "reference none" in structure.peaks_in_words({"reference": (x, np.ones(401))})
    assert "reference 1500, 3000" in alt_text(structure.density_of_states({"reference": (x, y)}))
