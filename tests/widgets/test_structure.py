"""The structure explorer: what it offers, that its numbers are right, what it leaves out, what it refuses in words."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from ase import Atoms
from ipywidgets.widgets.widget import _instances
from molecules_for_tests import ETHANOL_ANG, ETHANOL_BONDS, harmonic_ethanol, modes
from vibrating import vibrating_ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.metrics import structure as measures
from asteroid_nb.units import CM_PER_FS_LIGHT
from asteroid_nb.widgets import structure, structure_figures
from asteroid_nb.widgets.compare import compare
from asteroid_nb.widgets.parts import _parts
from asteroid_nb.widgets.plot import library
from asteroid_nb.widgets.structure import ALL, BONDS, DISTANCES, STATES, TEMPERATURE, TORSION, explore_structure

HISTORY = 16


@pytest.fixture
def reference():
    return harmonic_ethanol(80).replace(name="truth")


@pytest.fixture
def forecast():
    return harmonic_ethanol(80, seed=1).replace(name="model")


def choose(explorer, kind, member=None):
    """Choose as a reader does, and return the figure and the words."""
    explorer.what.value = kind
    if member is not None:
        explorer.which.value = dict(explorer.which.options)[member]
    assert not explorer.errors.value
    return json.loads(explorer.plot.figure), explorer.words.value


def alt(explorer) -> str:
    return json.loads(explorer.plot.figure)["layout"]["meta"]["alt"]


def spoiled(trajectory: Trajectory, frames: slice, value: float) -> Trajectory:
    """Return a trajectory with something in it that a reader would have refused."""
    positions = np.array(trajectory.positions)
    positions[frames, 0] = value
    broken = trajectory.replace()
    object.__setattr__(broken, "positions", positions)
    return broken


def test_it_offers_what_the_molecule_has(reference, forecast):
    explorer = explore_structure(reference, forecast)
    assert explorer.what.options == (BONDS, DISTANCES, TORSION, STATES, TEMPERATURE)
    names = [label for label, _ in explorer.which.options]
    assert names[0] == "all" and len(names) == 1 + len(ETHANOL_BONDS) and "C2–O1" in names
    explorer.what.value = TORSION
    assert [label for label, _ in explorer.which.options] == ["H4–C1–C2–O1", "C1–C2–O1–H1"]
    explorer.what.value = DISTANCES
    assert explorer.which.options == (("all", ALL),) and explorer.which.disabled


def test_atoms_without_bonds_are_offered_distances_and_a_single_atom_words():
    far = np.zeros((20, 2, 3))
    far[:, 1, 0] = 3.0 + 0.1 * np.sin(np.arange(20))
    gas = explore_structure(Trajectory(far, [18, 18], 1.0))
    assert gas.what.options == (DISTANCES, STATES, TEMPERATURE) and not gas.errors.value
    alone = explore_structure(Trajectory(far[:, :1], [18], 1.0))
    assert "single atom has no distances" in alt(alone)
    choose(alone, TEMPERATURE)
    assert "single atom has no motion" in alt(alone)


def test_the_same_trajectory_twice_differs_in_nothing(reference):
    explorer = explore_structure(reference, reference.replace(name="model"))
    assert "off by 0 Å on average" in choose(explorer, BONDS)[1]
    assert "none in common: model 0." in choose(explorer, DISTANCES)[1]
    assert "nothing in common: model 0." in choose(explorer, TORSION)[1]
    warm = choose(explorer, TEMPERATURE)[1]
    for element, own, other in re.findall(r"(\w+): truth (\d+) K, model (\d+) K", warm):
        assert own == other, element


def test_words_hold_the_measures_of_what_comes_after_the_present(reference, forecast):
    explorer = explore_structure(reference, forecast, history=HISTORY)
    ahead = [np.asarray(one.positions[HISTORY:]) for one in (reference, forecast)]
    found = re.search(
        r"none in common: model ([\d.]+)\. Two halves of the reference are ([\d.]+) apart",
        choose(explorer, DISTANCES)[1],
    )
    assert found
    assert float(found[1]) == pytest.approx(measures.distance_mae(ahead[1], ahead[0], n_bins=200), rel=1e-2)
    assert float(found[2]) == pytest.approx(measures.distance_mae(ahead[0][:32], ahead[0][32:], n_bins=200), rel=1e-2)
    lengths = [measures.bond_lengths(one, ETHANOL_BONDS) for one in ahead]
    off = measures.bond_length_wasserstein(lengths[1], lengths[0])
    said = choose(explorer, BONDS, "all")[1]
    assert f"off by {off.mean():.3g} Å on average" in said and f"{off.max():.3g} Å; a bond is broken" in said


def test_a_forecasts_history_is_not_its_own(reference):
    """Two forecasts that differ in the history alone are told apart by nothing."""
    spoilt = np.array(reference.positions)
    spoilt[: HISTORY - 1] += np.random.default_rng(0).normal(scale=0.1, size=spoilt[: HISTORY - 1].shape)
    twins = [reference, reference.replace(positions=spoilt)]
    shown = [explore_structure(reference, twin, names=["truth", "model"], history=HISTORY) for twin in twins]
    for kind in shown[0].what.options:
        one, other = (choose(explorer, kind) for explorer in shown)
        assert one == other, kind


def test_what_the_reference_did_before_the_present_is_drawn_and_counts_for_nothing(reference, forecast):
    shaken = np.array(reference.positions)
    shaken[: HISTORY - 1] += np.random.default_rng(0).normal(scale=0.1, size=shaken[: HISTORY - 1].shape)
    pair = [reference, reference.replace(positions=shaken)]
    shown = [explore_structure(one, forecast, history=HISTORY) for one in pair]
    for kind in shown[0].what.options:
        # The last to be chosen of bonds and torsions is a single one, over time.
        (calm, said), (wild, told) = (choose(one, kind, list(_options(one, kind))[-1][0]) for one in shown)
        assert said == told, kind
        assert (calm["data"][0] != wild["data"][0]) == (kind in (BONDS, TORSION, TEMPERATURE))
        assert calm["data"][1] == wild["data"][1]


def test_differences_stand_half_way_between_frames(reference, forecast):
    figure = structure_figures.temperature(explore_structure(reference, forecast, history=HISTORY)._sources).figure
    assert [trace.x[0] for trace in figure.data[:3:2]] == [-14.5, 0.5]
    assert figure.data[0].x[-1] == figure.data[2].x[-1] == 63.5


def test_times_start_at_the_present_for_forecasts_and_earlier_for_the_reference(reference, forecast):
    explorer = explore_structure(reference, forecast, history=HISTORY)
    assert explorer.plot.times_fs[HISTORY - 1] == 0 and explorer.frame == HISTORY - 1
    drawn = structure_figures.one_torsion(explorer._sources, 0).figure.data
    assert (drawn[0].x[0], drawn[2].x[0]) == (-15, 0)
    assert drawn[0].x[-1] == drawn[2].x[-1] == 64
    np.testing.assert_allclose(drawn[2].y[0], np.degrees(_torsion(forecast, HISTORY - 1)))
    choose(explorer, TORSION)
    assert json.loads(explorer.plot.figure)["layout"]["meta"]["time_axes"] == ["x"]


def _torsion(trajectory, frame):
    from asteroid_nb.data.geometry import torsions

    return torsions(np.asarray(trajectory.positions[frame]), np.array([[6, 0, 1, 2]]))[0]


def test_a_forecast_without_its_history_is_the_one_with_it(reference, forecast):
    whole, cut = (
        explore_structure(reference, one, names=["truth", "model"], history=HISTORY)
        for one in (forecast, forecast[HISTORY:])
    )
    # The first difference of the one without history starts from the reference's present.
    for kind in (BONDS, DISTANCES, TORSION):
        assert choose(whole, kind)[1] == choose(cut, kind)[1]


def test_temperatures_of_equal_modes_are_what_they_were_made_with():
    long = [harmonic_ethanol(4000, seed=seed, temperature_K=temperature) for seed, temperature in ((0, 300), (1, 150))]
    said = choose(explore_structure(*long, names=["truth", "model"]), TEMPERATURE)[1]
    found = {element: (int(a), int(b)) for element, a, b in re.findall(r"(\w+): truth (\d+) K, model (\d+) K", said)}
    assert set(found) == {"H", "C", "O", "heavy"}
    for own, other in found.values():
        # Differences over 1 fs damp the fastest modes by a twentieth; each element's modes hold kT on average.
        assert own == pytest.approx(300, rel=0.1) and other == pytest.approx(150, rel=0.1)


def test_velocities_that_are_stored_are_used_if_all_have_them_and_said(reference):
    still = reference.replace(velocities=np.zeros(reference.positions.shape))
    explorer = explore_structure(still, still.replace(name="model"))
    figure, said = choose(explorer, TEMPERATURE)
    assert "H: truth 0 K, model 0 K" in said and "stored velocities" in figure["layout"]["title"]["subtitle"]["text"]
    mixed = explore_structure(still, reference.replace(name="model"))
    figure, said = choose(mixed, TEMPERATURE)
    assert "H: truth 0 K" not in said and "from differences" in figure["layout"]["title"]["subtitle"]["text"]


def test_the_density_of_states_peaks_at_the_modes_and_tells_its_resolution():
    explorer = explore_structure(harmonic_ethanol(6000))
    figure, said = choose(explorer, STATES)
    assert "resolves 17 1/cm" in figure["layout"]["title"]["subtitle"]["text"]
    peaks = np.array([float(one) for one in re.search(r"trajectory|0 ([\d, ]+);", said)[1].split(",")])  # type: ignore[index]
    own = modes()[0] / (2 * np.pi * CM_PER_FS_LIGHT)
    assert len(peaks) > 5
    assert np.abs(peaks[:, None] - own).min(axis=1).max() < 17


@pytest.mark.parametrize(("n_frames", "refused"), [(56, True), (57, False)])
def test_a_spectrum_of_too_short_a_forecast_is_refused_in_its_place(n_frames, refused):
    explorer = explore_structure(harmonic_ethanol(n_frames))
    figure, said = choose(explorer, STATES)
    assert bool(figure["data"]) != refused
    if refused:
        assert "has 55 steps of 1 fs; with fewer than 56" in alt(explorer) and "n_blocks" in alt(explorer)
        assert figure["layout"]["annotations"] and not explorer.errors.value
        assert choose(explorer, BONDS)[0]["data"]


def test_spectra_of_one_figure_resolve_the_same(reference):
    """A long reference beside a short forecast is cut to as fine a grid."""
    short = spoiled(harmonic_ethanol(80, seed=1).replace(name="model"), slice(70, None), np.nan)
    drawn = structure_figures.density_of_states(explore_structure(reference, short)._sources).figure.data
    assert len(drawn[0].x) == len(drawn[1].x)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("history", [None, HISTORY])
def test_what_is_not_finite_is_left_out_and_said(value, history):
    lost = spoiled(harmonic_ethanol(100, seed=1).replace(name="model"), slice(90, None), value)
    explorer = explore_structure(harmonic_ethanol(100), lost, history=history)
    for kind in explorer.what.options:
        for member, _ in _options(explorer, kind):
            figure, said = choose(explorer, kind, member)
            assert figure["data"], alt(explorer)
            assert "model: 10 frames with NaN, infinity or atoms lost in space are left out" in said
            assert not re.search(r"\bnan\b", alt(explorer))


def _options(explorer, kind):
    explorer.what.value = kind
    return explorer.which.options


def test_a_forecast_of_nothing_but_nan_is_told_in_place(reference, forecast):
    explorer = explore_structure(reference, spoiled(forecast, slice(0, None), np.nan))
    for kind in (BONDS, DISTANCES, STATES, TEMPERATURE):
        choose(explorer, kind)
        assert re.search("nothing but NaN|has 0 steps|No two frames", alt(explorer)), kind


def test_a_molecule_that_flew_apart_is_drawn(reference):
    apart = np.array(reference.positions)
    apart[40:] *= 30
    broken = reference.replace(positions=apart, name="model")
    explorer = explore_structure(reference, broken)
    assert "a bond is broken (0.5 Å off) in 50% of the frames" in explorer.words.value
    for kind in explorer.what.options:
        assert choose(explorer, kind)[0]["data"]


def test_mdtraj_and_ase_are_taken(reference, forecast):
    frames = [Atoms(reference.symbols, positions) for positions in forecast.positions]
    explorer = explore_structure(reference, forecast.to_mdtraj(), frames, forecast, dt_fs=1.0, names=["a", *"bbb"])
    assert explorer._sources.names == ["a", "b", "b (2)", "b (3)"]
    for kind in explorer.what.options:
        assert choose(explorer, kind)[0]["data"]
    said = choose(explorer, DISTANCES)[1]
    one, other = re.search(r"b ([\d.]+), b \(2\) ([\d.]+),", said).groups()  # type: ignore[union-attr]
    assert float(one) == pytest.approx(float(other), rel=0.05)


def test_other_atoms_and_a_history_that_is_all_are_refused(reference):
    with pytest.raises(InvalidTrajectory, match="8 atoms"):
        explore_structure(reference, reference.select(range(8)))
    with pytest.raises(InvalidTrajectory, match="80 frames and all of them are history"):
        explore_structure(reference, reference, history=80)


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_the_shortest_trajectories_crash_nothing(n_frames):
    one = vibrating_ethanol(n_frames)
    explorer = explore_structure(one, one)
    for kind in explorer.what.options:
        choose(explorer, kind)
        assert alt(explorer)


def test_nothing_is_computed_before_it_is_chosen_nor_twice(reference, forecast, monkeypatch):
    calls = []
    monkeypatch.setattr(structure.figures, "temperature", _counting(structure_figures.temperature, calls))
    explorer = explore_structure(reference, forecast)
    assert not calls
    for kind in (TEMPERATURE, BONDS, TEMPERATURE):
        explorer.what.value = kind
    assert len(calls) == 1
    explorer.show(reference, forecast)
    assert len(calls) == 2, "other trajectories are drawn anew, once"


def _counting(function, calls):
    def counted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return counted


def test_other_trajectories_take_their_place_and_the_choice_stays(reference, forecast):
    explorer = explore_structure(reference, forecast, history=HISTORY)
    before, _ = choose(explorer, TORSION, "C1–C2–O1–H1")
    explorer.show(forecast, reference)
    after, _ = choose(explorer, TORSION)
    assert explorer.which.label == "C1–C2–O1–H1" and explorer.what.value == TORSION
    assert before["data"][0]["name"] == "truth"
    assert after["data"][0]["name"] == "model" and after["data"][2]["name"] == "truth"
    with pytest.raises(InvalidTrajectory, match="8 atoms"):
        explorer.show(reference, reference.select(range(8)))


def test_an_error_in_a_callback_is_shown_below(reference, monkeypatch):
    explorer = explore_structure(reference)

    def fails(_):
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(structure.figures, "temperature", fails)
    with pytest.raises(ZeroDivisionError):
        explorer.what.value = TEMPERATURE
    assert "no such thing" in explorer.errors.value and explorer.children[-1] is explorer.errors
    explorer.what.value = BONDS
    assert not explorer.errors.value


def test_it_follows_a_comparison(reference, forecast):
    panel = compare(reference, forecast, history=HISTORY, most_frames=20)
    explorer = explore_structure(reference, forecast, history=HISTORY)
    explorer.follow(panel)
    found = {(link.source[0], link.target[0], link.target[1]) for link in explorer._links}
    assert {(panel.player, explorer, "frame"), (explorer, explorer.plot, "frame")} <= found
    assert list(explorer.plot.times_fs) == list(panel.times_fs) and explorer.frame == panel.frame
    explorer.show(forecast, reference)
    assert list(explorer.plot.times_fs) == list(panel.times_fs)
    explorer.close()
    panel.close()


def test_the_state_stays_small_and_closing_leaves_nothing(reference, forecast):
    library()
    before = set(_instances)
    explorer = explore_structure(reference, forecast, forecast, history=HISTORY)
    for kind in explorer.what.options:
        choose(explorer, kind)
        sizes = [len(json.dumps(part.get_state(), default=str)) for part in _parts(explorer, seen=set())]
        assert sum(sizes) < 100_000
    explorer.close()
    assert [_instances[left] for left in set(_instances) - before] == []


def test_names_bring_no_markup(reference):
    explorer = explore_structure(reference, reference.replace(name="<img src=x onerror=alert(1)>"))
    for kind in explorer.what.options:
        choose(explorer, kind)
        figure = json.loads(explorer.plot.figure)
        figure["layout"].pop("meta")
        assert "<img" not in json.dumps(figure) and "<img" not in explorer.words.value


def test_temperatures_do_not_depend_on_how_many_frames_are_taken_at_a_time(reference, monkeypatch):
    sources = explore_structure(reference)._sources
    whole = structure_figures.temperature(sources).words
    monkeypatch.setattr(structure_figures, "CHUNK_VALUES", 18 * 9 * 7)
    assert structure_figures.temperature(sources).words == whole


def test_distances_of_many_atoms_are_thinned_and_said(reference, monkeypatch):
    monkeypatch.setattr(structure_figures, "MOST_DISTANCES", 36 * 20)
    figure = structure_figures.all_distances(explore_structure(reference)._sources).figure
    assert "36 pairs, one frame in 4" in figure.layout.title.subtitle.text
    monkeypatch.setattr(structure_figures, "MOST_ATOMS", 3)
    figure = structure_figures.all_distances(explore_structure(reference)._sources).figure
    assert "3 pairs, one atom in 3" in figure.layout.title.subtitle.text
    found = measures.distance_histogram(np.asarray(reference.positions)[:, ::3], n_bins=200)[1]
    np.testing.assert_allclose(figure.data[0].y, found)


def test_still_atoms_are_where_they_are():
    still = Trajectory(np.repeat(ETHANOL_ANG[None], 70, axis=0), harmonic_ethanol(1).atomic_numbers, 1.0, name="still")
    explorer = explore_structure(still, still)
    for kind in explorer.what.options:
        choose(explorer, kind)
        assert not re.search(r"\bnan\b", alt(explorer) + explorer.words.value)
    assert "does not move and has no spectrum" in choose(explorer, STATES)[0]["layout"]["meta"]["alt"]
    moving = explore_structure(harmonic_ethanol(70), still)
    figure, said = choose(moving, STATES)
    assert len(figure["data"]) == 1 and "still does not move and has no spectrum" in said
