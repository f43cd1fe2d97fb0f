"""The state explorer: what it offers, that its numbers are right, which structures a state has, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import partial

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances
from turning_dipeptide import BASINS, LABELS, coordinates_of, hopping, simulated

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.dipeptide import PHI, PSI
from asteroid_nb.data.geometry import torsions
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.states import kinetics
from asteroid_nb.states.landscapes import FS_PER_UNIT, WELLS, four_well_partitions, four_wells
from asteroid_nb.states.one_step import label_passage_times
from asteroid_nb.states.recrossing import core_sets, minimum_dwell, remove_recrossings
from asteroid_nb.views.time_units import time_words
from asteroid_nb.widgets import state_structures, state_views
from asteroid_nb.widgets.parts import _parts
from asteroid_nb.widgets.plot import library
from asteroid_nb.widgets.state_explorer import NONE, explore_states
from asteroid_nb.widgets.state_views import MAPS, NETWORK, PASSAGES, PATHS, POPULATIONS, TEST, TIMESCALES

DWELL = partial(remove_recrossings, rule=minimum_dwell, min_frames=5)


@pytest.fixture(scope="module")
def models():
    return [hopping(3000, 10 + seed, name="LSTM") for seed in range(2)]


@pytest.fixture
def explorer(models):
    paths, coordinates = simulated()
    made = explore_states({"MD": paths, "LSTM": models}, coordinates=coordinates, clean=DWELL, temperature_K=450.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def wells():
    """Core-set labels of the exactly known chain, and what is exact about it."""
    chain = four_wells()
    cores = four_well_partitions(chain.centres)["core set"]
    cells = chain.sample(4000, interval=0.5, n_chains=6, seed=1)
    paths = [StateTrajectory(core_sets(cores[one]), 4, 0.5 * FS_PER_UNIT, labels=tuple("ABCD")) for one in cells]
    exact = FS_PER_UNIT * label_passage_times(chain, cores, interval=0.5)
    return paths, tuple(FS_PER_UNIT * chain.timescales(3)), exact


def choose(explorer, kind, member=None):
    """Choose as a reader does, and return the figure and the words."""
    explorer.what.value = kind
    if member is not None:
        explorer.which.value = member
    assert not explorer.errors.value
    return json.loads(explorer.plot.figure), explorer.words.value


def alt(explorer) -> str:
    return json.loads(explorer.plot.figure)["layout"]["meta"]["alt"]


def click(explorer, state, *, meta=None, count=1):
    """Click as the browser reports it."""
    explorer.plot.clicked = {"customdata": state, "meta": {"states": True} if meta is None else meta, "count": count}


def test_it_offers_what_was_given(explorer):
    assert explorer.what.options == (TIMESCALES, PASSAGES, NETWORK, MAPS, PATHS, POPULATIONS, TEST)
    assert explorer.which.options == ("t2", "t3")
    choose(explorer, MAPS)
    assert explorer.which.options == ("φ, ψ",) and explorer.which.disabled
    choose(explorer, PATHS)
    assert explorer.which.options[:4] == ("MD, 1 of 3", "MD, 2 of 3", "MD, 3 of 3", "LSTM, 1 of 2")
    assert not explorer.which.disabled
    choose(explorer, NETWORK, "LSTM")
    choose(explorer, TEST)
    assert explorer.which.value == "LSTM"
    assert [label for label, _ in explorer.state.options] == ["none", *LABELS]


def test_without_coordinates_and_models_there_is_less_to_see():
    alone = explore_states({"MD": simulated()[0]})
    assert alone.what.options == (TIMESCALES, NETWORK, PATHS, POPULATIONS, TEST)
    assert alone.state not in alone.children[0].children
    click(alone, 1)
    assert "αR: no structures to show" in alone.words.value and not alone.errors.value
    alone.close()


def test_every_view_is_drawn_with_words(explorer):
    for kind in explorer.what.options:
        figure, _ = choose(explorer, kind)
        for member in explorer.which.options:
            figure, _ = choose(explorer, kind, member)
            assert figure["data"] and re.search(r"\d", alt(explorer)), (kind, member)


def test_timescales_are_those_of_the_kinetics_and_read_at_the_plateau(wells):
    paths, exact, _ = wells
    explorer = explore_states({"MD": paths, "model": paths[:3]}, exact_timescales_fs=exact, lags_frames=(1, 2, 5, 10))
    found = kinetics.implied_timescales(paths, lags_frames=(1, 2, 5, 10), band="bootstrap", n_samples=50)
    _, said = choose(explorer, TIMESCALES)
    at = kinetics.plateau_lag(found)
    assert f"At a lag of {time_words(at * 500.0)}, from which t2 of MD stays within 10%" in said
    low, high = (one[list(found.lags_frames).index(at), 0] / 1000 for one in (found.low, found.high))
    assert f"t2 of MD {found.at(at)[0] / 1000:.3g} ps ({low:.3g} ps to {high:.3g} ps)" in said and "exact 71 ps" in said
    third = choose(explorer, TIMESCALES, "t4")[1]
    assert f"t4 of MD {found.at(at)[2] / 1000:.3g} ps" in third
    explorer.close()


def test_passage_times_are_compared_with_what_is_exact_or_else_with_the_reference(wells):
    paths, _, exact = wells
    explorer = explore_states({"MD": paths, "model": paths[:3]}, exact_passage_fs=exact)
    figure, _ = choose(explorer, PASSAGES)
    assert explorer.which.options == ("all", "MD", "model")
    assert figure["layout"]["xaxis"]["title"]["text"] == "exact (ps)"
    off = np.abs(kinetics.passage_times(paths).times_fs / np.where(exact > 0, exact, np.inf) - 1)[exact > 0]
    assert f"MD: median error {np.median(off):.0%}, worst {off.max():.0%}" in alt(explorer)
    explorer.close()
    compared = explore_states({"MD": paths, "model": paths})
    figure, said = choose(compared, PASSAGES)
    assert figure["layout"]["xaxis"]["title"]["text"] == "MD (ps)"
    assert "model: median error 0%, worst 0%" in alt(compared)
    events = kinetics.passage_times(paths).events
    assert f"MD {events[~np.eye(4, dtype=bool)].min()}" in said
    compared.close()


def test_populations_say_how_much_time_is_spent_elsewhere(explorer, models):
    share = lambda paths: np.bincount(np.concatenate([one.states for one in paths]), minlength=3) / 3000 / len(paths)  # noqa: E731
    apart = np.abs(share(simulated()[0]) - share(models)).sum() / 2
    assert f"LSTM {apart:.1%}" in choose(explorer, POPULATIONS)[1]


def test_states_of_a_network_lie_where_their_torsions_are(explorer):
    centres = explorer._sources.centres
    np.testing.assert_allclose(centres, BASINS, atol=0.05)


def test_the_map_of_a_model_with_states_alone_is_the_references_by_its_populations(explorer, models):
    values, states, said = explorer._sources.drawn_frames("LSTM")
    found = np.bincount(states, minlength=3) / len(states)
    wanted = np.bincount(np.concatenate([one.states for one in models]), minlength=3) / 6000
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    centres = [np.angle(np.exp(1j * values[states == state]).mean(axis=0)) for state in range(3)]
    np.testing.assert_allclose(centres, BASINS, atol=0.05)
    assert "LSTM has states alone" in said and "LSTM has states alone" in choose(explorer, MAPS)[1]
    choose(explorer, MAPS)
    assert "LSTM, frames of MD: deepest near φ" in alt(explorer)


def test_a_models_own_coordinates_are_drawn_as_they_are(models):
    paths, coordinates = simulated()
    own = [coordinates_of(path, 5, structure_every=3000) for path in models]
    explorer = explore_states({"MD": paths, "LSTM": models}, coordinates={"MD": coordinates, "LSTM": own})
    values, _, said = explorer._sources.drawn_frames("LSTM")
    np.testing.assert_array_equal(values, np.concatenate([one.values for one in own]))
    assert not said
    explorer.close()


def test_recrossings_are_those_the_cleaning_changed_and_cut_frames_are_none(wells):
    paths = simulated()[0]
    explorer = explore_states({"MD": paths}, clean=DWELL)
    choose(explorer, PATHS, "MD, 2 of 3")
    changed = int((DWELL(paths[1]).states != paths[1].states).sum())
    assert changed and f"{changed} frames got another state" in alt(explorer)
    explorer.close()
    cut = [dataclasses.replace(path, states=path.states[100:]) for path in paths]
    given = explore_states({"MD": paths}, clean={"MD": cut[:2]})
    choose(given, PATHS, "MD, 1 of 3")
    assert "0 frames got another state" in alt(given)
    assert "No cleaned labels were given for trajectory 3 of MD" in choose(given, PATHS, "MD, 3 of 3")[1]
    given.close()
    foreign = explore_states({"MD": paths}, clean={"MD": wells[0][:3]})
    assert "The cleaned labels are A, B, C, D" in choose(foreign, PATHS)[1]
    foreign.close()


@pytest.mark.parametrize("state", range(3))
def test_structures_of_a_state_are_in_it(state):
    paths, coordinates = simulated()
    explorer = explore_states({"MD": paths}, coordinates=coordinates)
    found = state_structures.ensemble(explorer._sources, state)
    assert 1 < found.structures.n_frames <= state_structures.MOST_STRUCTURES
    for positions, time, member in zip(found.structures.positions, found.times_fs, found.members, strict=True):
        frame = round(time / 1000.0)
        assert paths[member - 1].states[frame] == state and frame % 20 == 0
        now = torsions(positions, np.array([PHI, PSI]))
        np.testing.assert_allclose(now, coordinates[member - 1].values[frame], atol=1e-4)
    kept = sum(int((path.states[::20] == state).sum()) for path in paths)
    assert found.n_kept == kept and len(set(found.members)) > 1
    explorer.close()


def test_structures_are_laid_on_the_backbone_of_the_first():
    paths, coordinates = simulated()
    explorer = explore_states({"MD": paths}, coordinates=coordinates)
    found = state_structures.ensemble(explorer._sources, 1)
    weights = state_structures.backbone_weights(found.structures)
    assert set(np.flatnonzero(weights)) == {*PHI, *PSI}
    backbone = found.structures.positions[:, weights > 0]
    apart = np.sqrt(((backbone - backbone[0]) ** 2).sum(axis=-1).mean(axis=-1))
    assert apart.max() < 0.6
    explorer.close()


def test_frames_cut_before_the_first_core_shift_states_and_not_structures():
    """States that begin later than their coordinates belong to the later frames."""
    paths, coordinates = simulated()
    cut = [
        dataclasses.replace(path, states=path.states[37:], provenance={"frames_cut": 37}) for path in paths
    ]  # fmt: skip
    explorer = explore_states({"MD": cut}, coordinates=coordinates)
    found = state_structures.ensemble(explorer._sources, 2)
    for time, member in zip(found.times_fs, found.members, strict=True):
        assert time >= 37_000 and paths[member - 1].states[round(time / 1000)] == 2
    values, states = explorer._sources.frames("MD")
    assert len(values) == len(states) == 3 * (3000 - 37)
    explorer.close()


def test_a_click_on_a_state_shows_its_structures_and_tells_how_many(explorer):
    assert explorer.structures.children == () and explorer.structures.view is None
    choose(explorer, NETWORK)
    click(explorer, 2)
    assert explorer.state.value == 2
    said = explorer.structures.words.value
    assert re.search(r"20 of \d+ structures of αL \(one frame in 20 has a structure\)", said)
    assert "trajectories 1, 2, 3 of MD" in said
    view, player = explorer.structures.view, explorer.structures.player
    assert view is not None and len(view.anb_positions) == 20 * 22 * 3 * 4 and len(player.times_fs) == 20
    before = view.anb_positions
    click(explorer, [0], count=2)
    assert (
        explorer.structures.view is view and view.anb_positions != before and "of C5" in explorer.structures.words.value
    )
    explorer.state.value = NONE
    assert explorer.structures.children == ()
    assert not explorer.errors.value


@pytest.mark.parametrize(
    "point",
    [
        {"customdata": 1, "meta": None},
        {"customdata": 1, "meta": {}},
        {"customdata": -1, "meta": {"states": True}},
        {"customdata": None, "meta": {"states": True}},
        {"customdata": [], "meta": {"states": True}},
    ],
)
def test_a_click_that_is_no_state_shows_nothing(explorer, point):
    explorer.plot.clicked = point
    assert explorer.state.value == NONE and not explorer.errors.value


def test_a_state_without_structures_is_told_under_the_widget():
    path = hopping(400, 3, stay=np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]]))
    explorer = explore_states({"MD": path}, coordinates=coordinates_of(path, 3))
    with pytest.raises(InvalidTrajectory, match="No structure of state αL"):
        explorer.state.value = 2
    assert "No structure of state αL" in explorer.errors.value and explorer.children[-1] is explorer.errors
    explorer.state.value = 0
    assert not explorer.errors.value and "structures of C5" in explorer.structures.words.value
    explorer.close()


def test_a_view_that_cannot_be_is_told_in_its_place_and_the_next_one_is_drawn():
    still = StateTrajectory(np.zeros(500, dtype=int), 2, 1000.0, labels=("A", "B"))
    explorer = explore_states({"MD": still, "model": still})
    for kind in (TIMESCALES, PASSAGES, TEST):
        figure, _ = choose(explorer, kind)
        assert not figure["data"] and figure["layout"]["annotations"] and len(alt(explorer)) > 30, kind
    assert choose(explorer, POPULATIONS)[0]["data"] and choose(explorer, PATHS)[0]["data"]
    explorer.close()


def test_an_error_in_a_callback_is_shown_below(explorer, monkeypatch):
    def fails(*_, **__):
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(state_views, "population_bars", fails)
    with pytest.raises(ZeroDivisionError):
        explorer.what.value = POPULATIONS
    assert "no such thing" in explorer.errors.value
    explorer.what.value = NETWORK
    assert not explorer.errors.value


def test_nothing_is_computed_before_it_is_chosen_nor_twice(models, monkeypatch):
    calls = []
    own = kinetics.passage_times
    monkeypatch.setattr(kinetics, "passage_times", lambda *paths, **more: calls.append(more) or own(*paths, **more))
    explorer = explore_states({"MD": simulated()[0], "LSTM": models})
    assert not calls
    for kind, member in ((PASSAGES, None), (NETWORK, "MD"), (NETWORK, "LSTM"), (PASSAGES, None)):
        choose(explorer, kind, member)
    assert [one["name"] for one in calls] == ["MD", "LSTM"]
    explorer.close()


def test_many_states_leave_out_what_cannot_be_read():
    random = np.random.default_rng(0)
    many = StateTrajectory(random.integers(0, 200, 4000), 200, 100.0)
    explorer = explore_states({"MD": many, "model": many})
    assert explorer.what.options == (TIMESCALES, PATHS, POPULATIONS)
    for kind in explorer.what.options:
        assert choose(explorer, kind)[0]["data"]
    explorer.close()


def test_coordinates_in_the_plane_place_states_and_make_no_map(wells):
    chain = four_wells()
    cells = chain.sample(2000, interval=1.0, n_chains=2, seed=3)
    states = four_well_partitions(chain.centres)["2-D, nearest of 4"]
    paths = [StateTrajectory(states[one], 4, FS_PER_UNIT) for one in cells]
    plane = [Coordinates(chain.centres[one], FS_PER_UNIT, ("x", "y")) for one in cells]
    explorer = explore_states({"MD": paths}, coordinates=plane)
    assert MAPS not in explorer.what.options
    np.testing.assert_allclose(explorer._sources.centres, WELLS, atol=0.4)
    explorer.close()


@pytest.mark.parametrize("give", [{}, {"MD": []}])
def test_no_trajectories_are_refused(give):
    with pytest.raises(InvalidTrajectory, match="Give a mapping from names"):
        explore_states(give)


def test_other_states_spacing_and_coordinates_are_refused(models):
    paths, coordinates = simulated()
    with pytest.raises(ModelMismatch, match="2 states"):
        explore_states({"MD": paths, "model": StateTrajectory([0, 1], 2, 1000.0)})
    with pytest.raises(ModelMismatch, match="every 500 fs"):
        explore_states({"MD": paths, "model": dataclasses.replace(models[0], dt_fs=500.0)})
    with pytest.raises(InvalidTrajectory, match=r"'MD' have \[3000, 3000\] frames.*need \[3000, 3000, 3000\]"):
        explore_states({"MD": paths}, coordinates=coordinates[:2])
    with pytest.raises(InvalidTrajectory, match=r"every \[2000.0\] fs"):
        explore_states({"MD": [path[:1500] for path in paths]}, coordinates=[one[::2] for one in coordinates])


def test_the_state_stays_small_and_closing_leaves_nothing(models):
    library()
    paths, coordinates = simulated()
    before = set(_instances)
    explorer = explore_states({"MD": paths, "LSTM": models}, coordinates=coordinates, clean=DWELL)
    for state, kind in enumerate(explorer.what.options):
        choose(explorer, kind)
        explorer.state.value = state % 3
        sizes = [len(json.dumps(part.get_state(), default=str)) for part in _parts(explorer, seen=set())]
        assert sum(sizes) < 1_000_000
    explorer.close()
    assert [_instances[left] for left in set(_instances) - before] == []


@pytest.mark.parametrize("chosen", [[], [1], [1, NONE]])
def test_closing_leaves_nothing_with_and_without_structures(chosen):
    library()
    paths, coordinates = simulated()
    before = set(_instances)
    explorer = explore_states({"MD": paths}, coordinates=coordinates)
    for state in chosen:
        explorer.state.value = state
    explorer.close()
    explorer.close()
    assert [_instances[left] for left in set(_instances) - before] == []


def test_names_bring_no_markup(models):
    hostile = "<img src=x onerror=alert(1)>"
    paths, coordinates = simulated()
    spoiled = [dataclasses.replace(path, labels=(hostile, "<b>B</b>", "αL")) for path in paths]
    models = [dataclasses.replace(path, labels=spoiled[0].labels) for path in models]
    explorer = explore_states({hostile: spoiled, "LSTM": models}, coordinates=coordinates, clean=DWELL)
    explorer.state.value = 0
    for kind in explorer.what.options:
        choose(explorer, kind)
        figure = json.loads(explorer.plot.figure)
        figure["layout"].pop("meta")
        assert "<img" not in json.dumps(figure) and "<b>" not in json.dumps(figure)
        assert "<img" not in explorer.words.value + explorer.structures.words.value + explorer.structures.title.value
    explorer.close()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"temperature_K": 0}, InvalidSettings, "temperature_K was 0"),
        ({"exact_passage_fs": np.zeros((2, 2))}, InvalidSettings, r"has shape \(2, 2\)"),
        ({"lags_frames": [1, 10_000]}, InvalidSettings, "whole numbers of frames from 1 to 2999"),
        ({"lags_frames": [0, 5]}, InvalidSettings, "from 1 to"),
        ({"coordinates": {"Md": []}}, InvalidTrajectory, "coordinates of 'Md'; there are states of MD"),
    ],
)
def test_what_cannot_be_shown_is_refused_at_the_door(models, change, error, words):
    with pytest.raises(error, match=words):
        explore_states({"MD": models}, **change)


def test_other_things_than_states_are_named(models):
    with pytest.raises(InvalidTrajectory, match="Found a list where a mapping is needed"):
        explore_states(models)
    with pytest.raises(InvalidTrajectory, match="'MD' holds a ndarray"):
        explore_states({"MD": [np.zeros(5, dtype=int)]})


def test_maps_pair_torsions_of_one_residue():
    names = ("ψ1", "φ2", "ψ2", "φ3")
    path = StateTrajectory(np.arange(50) % 2, 2, 10.0)
    values = np.random.default_rng(0).uniform(-3, 3, (50, 4))
    made = explore_states({"MD": path}, coordinates=Coordinates(values, 10.0, names, periodic=True))
    choose(made, MAPS)
    assert made.which.label == "φ2, ψ2" and len(made.which.options) == 1
