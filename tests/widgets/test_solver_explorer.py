"""The solver explorer: its numbers are the solver's, every control reaches every panel, what fails is shown."""

from __future__ import annotations

import dataclasses
import json
import re
import time

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from solver_studies import made_up_study, residuals_of, without_answers
from traitlets import TraitError
from vibrating import vibrating_ethanol

from asteroid_nb.equilibrium import replay as replaying
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.forces import evaluate
from asteroid_nb.equilibrium.replay import study
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.equilibrium.study import SolverStudy
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, NotConverged
from asteroid_nb.widgets import solver_views
from asteroid_nb.widgets.compare import compare
from asteroid_nb.widgets.parts import _parts
from asteroid_nb.widgets.plot import library
from asteroid_nb.widgets.solver_explorer import SolverExplorer, explore_solver, explore_study
from asteroid_nb.widgets.solver_views import DEVIATION, ELEMENT, ERROR, SHARE

N_ATOMS = 9


@pytest.fixture
def explorer():
    made = explore_study(made_up_study())
    yield made
    made.close()


@pytest.fixture(scope="module")
def run():
    torch.manual_seed(0)
    return ForceFieldRun(ForceField(ForceFieldSettings(width=8)), {1: 0.0, 6: 0.0, 8: 0.0})


@pytest.fixture(scope="module")
def film():
    positions = vibrating_ethanol(30, amplitude_ang=0.02)
    forces = np.random.default_rng(0).normal(size=positions.positions.shape)
    return positions.replace(forces=forces)


@pytest.fixture(scope="module")
def studied(run, film):
    policies = ("previous", "cold", "linear+recycle")
    return study(run, film, policies=policies, tolerances=(1e-2, 1e-4), n_frames=6, n_warm=4)


def drawn(plot) -> dict:
    return json.loads(plot.figure)


def names(plot) -> list[str]:
    return [trace["name"] for trace in drawn(plot)["data"] if trace.get("showlegend") is not False]


def title(plot) -> str:
    return drawn(plot)["layout"]["title"]["text"]


def chosen_on(plot) -> str:
    return drawn(plot)["layout"]["annotations"][-1]["text"]


def settled(condition, seconds=20.0) -> bool:
    """Return whether something comes true: frames are drawn a moment later, and only the last of many."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def click(explorer, place, *, meta=None, count=1):
    """Click a point of the dial as the browser reports it."""
    explorer.dial.clicked = {
        "customdata": place,
        "meta": {"tolerances": True} if meta is None else meta,
        "count": count,
    }


def test_a_study_puts_the_cold_start_and_the_loosest_tolerance_first():
    made = made_up_study()
    assert made.policies == ("cold", "previous", "linear+recycle") and made.tolerances == (1e-1, 1e-2, 1e-3)
    assert made.reference == "cold" and made.n_frames == 24 and made.labelled
    np.testing.assert_allclose(made.per_tolerance("deviation_percent")["cold"], [10, 1, 0.1])
    alone = made_up_study(policies=("linear+recycle", "previous"))
    assert alone.reference == "linear+recycle"


def test_what_found_no_answer_somewhere_has_no_mean():
    made = without_answers(made_up_study(), "previous", 1e-3, slice(3, 5))
    assert np.isnan(made.per_tolerance("steps")["previous"]).tolist() == [False, False, True]
    assert np.isnan(made.per_tolerance("ms", middle=True)["previous"]).tolist() == [False, False, True]
    assert made.replays["previous", 1e-3].n_lost == 2 and made.replays["cold", 1e-3].n_lost == 0


def test_a_study_with_holes_or_of_other_frames_is_refused():
    made = made_up_study()
    holes = {key: replay for key, replay in made.replays.items() if key != ("cold", 1e-2)}
    with pytest.raises(InvalidSettings, match=r"missing are \[\('cold', 0.01\)\]"):
        SolverStudy(trajectory=made.trajectory, replays=holes)
    with pytest.raises(InvalidSettings, match="Found replays of nothing"):
        SolverStudy(trajectory=made.trajectory, replays={})
    with pytest.raises(InvalidTrajectory, match="steps of previous at 0.001 has 24 frames, the trajectory 20"):
        SolverStudy(trajectory=made.trajectory[:20], replays=made.replays)


def test_the_replay_of_a_cold_start_is_what_single_frames_take(run, film, studied):
    model, numbers = run.copy_of_model("cpu", torch.float64), torch.as_tensor(np.array(film.atomic_numbers))[None]
    replay, solver = studied.replays["cold", 1e-4], Solver(tolerance=1e-4, max_steps=100)
    for frame in (0, 5):
        places = torch.as_tensor(np.array(film.positions[frame + 4]))[None]
        alone = evaluate(model, places, numbers, solver=solver)
        tight = evaluate(model, places, numbers, solver=Solver(tolerance=1e-10, max_steps=300)).forces[0].numpy()
        assert (
            replay.steps[frame] == alone.z.n_evaluations and replay.adjoint_steps[frame] == alone.adjoint.n_evaluations
        )
        np.testing.assert_allclose(replay.residuals[frame], alone.z.residuals[:, 0].numpy())
        off = alone.forces[0].numpy() - tight
        assert replay.deviation_percent[frame] == pytest.approx(
            100 * np.sqrt((off**2).sum() / (tight**2).sum()), rel=1e-3
        )
        np.testing.assert_allclose(
            replay.atom_deviations_meV_per_ang[frame], 1000 * np.sqrt((off**2).sum(-1)), rtol=1e-2
        )
        wrong = alone.forces[0].numpy() - film.forces[frame + 4]
        assert replay.force_error_meV_per_ang[frame] == pytest.approx(1000 * np.abs(wrong).mean())
        np.testing.assert_allclose(replay.atom_errors_meV_per_ang[frame], 1000 * np.sqrt((wrong**2).sum(-1)), rtol=1e-6)


def test_tighter_is_dearer_and_closer_and_warm_is_cheaper(studied):
    steps, off = studied.per_tolerance("evaluations"), studied.per_tolerance("deviation_percent")
    for policy in studied.policies:
        assert steps[policy][0] < steps[policy][1] and off[policy][1] < 0.2 * off[policy][0]
        assert off[policy][1] < 0.1
    for policy in studied.policies[1:]:
        assert (steps[policy] < 0.8 * steps["cold"]).all()
    assert studied.trajectory.n_frames == 6
    np.testing.assert_array_equal(
        studied.trajectory.positions[0], vibrating_ethanol(30, amplitude_ang=0.02).positions[4]
    )


def test_shares_of_the_residual_are_shares(studied):
    for replay in studied.replays.values():
        np.testing.assert_allclose(replay.atom_shares_percent.sum(1), 100)
        assert (replay.atom_shares_percent >= 0).all() and (replay.ms > 0).all()


def test_without_labels_there_are_no_errors_and_no_panel_of_them(run, film):
    found = study(run, film.replace(forces=None), policies=("cold",), tolerances=(1e-2,), n_frames=2, n_warm=0)
    assert not found.labelled and np.isnan(found.replays["cold", 1e-2].atom_errors_meV_per_ang).all()
    explorer = explore_study(found)
    assert explorer.colour.options == (ELEMENT, SHARE, DEVIATION) and "err" not in explorer.words.value
    titles = [axis["title"]["text"] for key, axis in drawn(explorer.dial)["layout"].items() if key.startswith("yaxis")]
    assert titles == ["force deviation (%)", "evaluations per step", "time per step (ms)"]
    explorer.close()


def test_a_frame_without_an_answer_is_told_and_the_next_begins_cold(run, film, monkeypatch):
    own, calls = replaying.evaluate, []

    def fails_once(*args, solver, start, **more):
        if solver.tolerance == 1e-3:
            calls.append(start.z is None)
            if len(calls) == 3:
                raise NotConverged("no such thing")
        return own(*args, solver=solver, start=start, **more)

    monkeypatch.setattr(replaying, "evaluate", fails_once)
    found = study(run, film, policies=("previous",), tolerances=(1e-3,), n_frames=5, n_warm=0)
    replay = found.replays["previous", 1e-3]
    assert np.flatnonzero(np.isnan(replay.steps)).tolist() == [2] and len(replay.residuals[2]) == 0
    assert calls == [True, False, False, True, False]
    assert replay.n_lost == 1 and np.isnan(replay.atom_shares_percent[2]).all()


def test_a_replay_refuses_what_it_cannot_study(run, film):
    twin = ForceFieldRun(ForceField(ForceFieldSettings(width=8, depth=2)), run.atomic_energies_eV)
    with pytest.raises(InvalidSettings, match="explicit stack of 2 blocks"):
        study(twin, film)
    with pytest.raises(InvalidSettings, match="No warm start is called 'lukewarm'"):
        study(run, film, policies=("lukewarm",))
    with pytest.raises(InvalidSettings, match="at least one policy and one tolerance"):
        study(run, film, tolerances=())
    with pytest.raises(InvalidTrajectory, match="has 30 frames, n_frames is 5; needed are 30"):
        study(run, film, n_frames=5, n_warm=30)
    with pytest.raises(ModelMismatch, match="never seen O"):
        study(ForceFieldRun(run.model, {1: 0.0, 6: 0.0}), film)


def test_the_easy_door_studies_and_shows_and_says_what_it_does(run, film):
    told = []
    explorer = explore_solver(
        run, film, policies=("cold", "xl"), tolerances=(1e-1, 1e-3), n_frames=3, n_warm=2,
        on_replay=lambda *pair: told.append(pair),
    )  # fmt: skip
    assert isinstance(explorer, SolverExplorer) and explorer.study.policies == ("cold", "xl")
    assert told == [("cold", 1e-1), ("cold", 1e-3), ("xl", 1e-1), ("xl", 1e-3)]
    assert re.search(r"xl at 1e-3: [\d.]+ evaluations of f", explorer.words.value)
    explorer.close()


def test_it_opens_with_the_last_policy_beside_the_cold_start(explorer):
    assert explorer.policy.value == "linear+recycle" and explorer.tolerance.value == 1e-3
    assert names(explorer.residuals) == ["cold", "linear+recycle", "tolerance 1e-3"]
    assert names(explorer.dial) == ["cold", "previous", "linear+recycle"] and chosen_on(explorer.dial) == "chosen 1e-3"
    assert [name.split(",")[0] for name in names(explorer.steps)] == ["cold", "linear+recycle"]
    assert explorer.view.colour == "error" and explorer.colour.options == (ELEMENT, SHARE, DEVIATION, ERROR)
    assert len(explorer.view.anb_errors) == 24 * N_ATOMS


def test_the_words_hold_the_numbers_of_choice_and_frame(explorer):
    replay = explorer.study.replays["linear+recycle", 1e-3]
    said = explorer.words.value
    ratio = replay.evaluations.mean() / explorer.study.replays["cold", 1e-3].evaluations.mean()
    assert f"{replay.steps.mean():.3g} evaluations of f" in said and f"{ratio:.3g} times those of cold" in said
    assert "force deviation 0.1 %, force error 8.1 meV/Å" in said
    assert "C1 holds 64.4 % of the residual" in said and "the force on C2 deviates most" in said
    explorer.frame = 3
    assert settled(lambda: "H1 holds" in explorer.words.value)
    assert f"At 1.5 fs: {replay.evaluations[3]:g} evaluations" in explorer.words.value


def test_a_tolerance_reaches_every_panel(explorer):
    explorer.colour.value = DEVIATION
    assert "≥ 0.5 meV/Å" in explorer.bar.value
    explorer.tolerance.value = 1e-1
    assert chosen_on(explorer.dial) == "chosen 1e-1" and "tolerance 1e-1" in title(explorer.steps)
    assert "tolerance 1e-1" in names(explorer.residuals)
    assert "linear+recycle at 1e-1" in explorer.words.value
    assert "≥ 50 meV/Å" in explorer.bar.value and not explorer.errors.value


def test_a_policy_reaches_every_panel_and_cold_stands_alone(explorer):
    explorer.policy.value = "previous"
    assert names(explorer.residuals)[:2] == ["cold", "previous"]
    assert [name.split(",")[0] for name in names(explorer.steps)] == ["cold", "previous"]
    explorer.policy.value = "cold"
    assert names(explorer.residuals) == ["cold", "tolerance 1e-3"] and "times those of" not in explorer.words.value


def test_a_frame_shows_its_own_residuals(explorer):
    explorer.frame = 7
    assert settled(lambda: title(explorer.residuals) == "Residual at 3.5 fs")
    assert f"in {len(residuals_of('linear+recycle', 1e-3, 7))} evaluations" in explorer.residuals.alt
    assert len(residuals_of("linear+recycle", 1e-3, 7)) != len(residuals_of("linear+recycle", 1e-3, 6))


@pytest.mark.parametrize("frame", [-1, 24])
def test_a_frame_that_is_not_there_is_refused(explorer, frame):
    with pytest.raises(TraitError, match="there are 24 frames"):
        explorer.frame = frame


def test_a_click_on_the_dial_chooses_tolerance_and_policy(explorer):
    click(explorer, [0, 1])
    assert explorer.tolerance.value == 1e-1 and explorer.policy.value == "previous"
    assert chosen_on(explorer.dial) == "chosen 1e-1" and "previous at 1e-1" in explorer.words.value
    click(explorer, [2, 0], count=2)
    assert explorer.tolerance.value == 1e-3 and explorer.policy.value == "cold"


@pytest.mark.parametrize("point", [([0, 1], {}), ([0, 1], {"states": True}), (None, None), (3, None)])
def test_a_click_that_is_no_point_of_the_dial_chooses_nothing(explorer, point):
    click(explorer, point[0], meta=point[1])
    assert explorer.tolerance.value == 1e-3 and explorer.policy.value == "linear+recycle" and not explorer.errors.value


@pytest.mark.parametrize(("coloured", "unit"), [(SHARE, "%"), (DEVIATION, "meV/Å"), (ERROR, "meV/Å")])
def test_atoms_are_coloured_by_what_the_bar_says(explorer, coloured, unit):
    explorer.colour.value = coloured
    values = getattr(explorer.study.replays["linear+recycle", 1e-3], solver_views.COLOURINGS[coloured].values)
    end = float(re.search(r"≥ ([\d.e-]+) " + re.escape(unit), explorer.bar.value)[1])
    sent = np.frombuffer(explorer.view.anb_errors, np.uint8).reshape(24, N_ATOMS)
    np.testing.assert_allclose(sent, np.clip(np.round(255 * values / end), 0, 255), atol=1)
    assert sent.max() > 50 and explorer.view.colour == "error"
    explorer.colour.value = ELEMENT
    assert explorer.view.colour == "element" and explorer.bar.value == ""


def linked(explorer) -> set:
    pairs = [link for link in explorer._links if hasattr(link, "source")]
    return {(link.source[0], link.source[1], link.target[0], link.target[1]) for link in pairs}


def test_the_browser_links_player_steps_and_molecule(explorer):
    found = linked(explorer)
    assert {(explorer, "frame", explorer.steps, "frame"), (explorer, "frame", explorer.view, "frame")} <= found
    assert {(explorer, "atom", explorer.view, "atom"), (explorer.player, "frame", explorer, "frame")} <= found
    assert explorer.steps.times_fs == explorer.player.times_fs == [0.5 * frame for frame in range(24)]


def test_a_comparisons_player_leads():
    made = made_up_study()
    panel = compare(made.trajectory, made.trajectory)
    explorer = explore_study(made, comparison=panel)
    assert explorer.player not in explorer.children
    found = linked(explorer)
    assert {(panel.player, name, explorer, name) for name in ("frame", "atom")} <= found
    assert (explorer, "frame", explorer.steps, "frame") in found
    explorer.frame = 5
    assert settled(lambda: title(explorer.residuals) == "Residual at 2.5 fs")
    explorer.close()
    panel.close()


def test_a_comparison_of_other_frames_is_refused(explorer):
    panel = compare(vibrating_ethanol(20), vibrating_ethanol(20, seed=1))
    with pytest.raises(InvalidTrajectory, match="shows 20 frames of 9 atoms, the study has 24 of 9"):
        explorer.follow(panel)
    assert explorer.player in explorer.children and linked(explorer)
    panel.close()


def test_frames_without_an_answer_are_shown_as_such():
    made = without_answers(made_up_study(), "linear+recycle", 1e-3, slice(2, 4))
    explorer = explore_study(made)
    assert "No answer for 2 of 24 frames." in explorer.words.value
    assert "At 0 fs: 7 evaluations" in explorer.words.value
    explorer.frame = 3
    assert settled(lambda: "At 1.5 fs: no answer." in explorer.words.value)
    assert names(explorer.residuals)[:2] == ["cold", "linear+recycle"] and not explorer.errors.value
    explorer.close()
    nothing = explore_study(without_answers(made_up_study(), "linear+recycle", 1e-3, slice(None)))
    assert "found no answer for any of 24 frames" in nothing.words.value
    nothing.colour.value = DEVIATION
    assert not nothing.errors.value
    nothing.close()


def test_one_tolerance_and_one_policy_are_enough():
    explorer = explore_study(made_up_study(1, policies=("xl",), tolerances=(1e-2,)))
    assert explorer.tolerance.options == (("1e-2", 1e-2),) and names(explorer.residuals) == ["xl", "tolerance 1e-2"]
    explorer.close()


def test_an_error_in_a_callback_is_shown_below_and_goes_when_all_is_well(explorer, monkeypatch):
    own = solver_views.tolerance_dial

    def fails(*_, **__):
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(solver_views, "tolerance_dial", fails)
    with pytest.raises(ZeroDivisionError):
        explorer.tolerance.value = 1e-1
    assert "no such thing" in explorer.errors.value and explorer.children[-1] is explorer.errors
    monkeypatch.setattr(solver_views, "tolerance_dial", own)
    explorer.tolerance.value = 1e-2
    assert not explorer.errors.value and chosen_on(explorer.dial) == "chosen 1e-2"


def test_controls_say_what_they_are_and_can_be_reached_by_keys(explorer):
    controls = (explorer.tolerance, explorer.policy, explorer.colour)
    assert [control.description for control in controls] == ["tolerance", "start", "atoms by"]
    assert [type(control).__name__ for control in controls] == ["SelectionSlider", "Dropdown", "Dropdown"]
    assert [label for label, _ in explorer.tolerance.options] == ["1e-1", "1e-2", "1e-3"]


def test_names_cannot_bring_markup():
    evil = "<img src=x onerror=alert(1)>"
    made = made_up_study(4, policies=("cold",))
    replays = {(policy.replace("cold", evil), tolerance): one for (policy, tolerance), one in made.replays.items()}
    explorer = explore_study(dataclasses.replace(made, replays=replays))
    assert "<img" not in explorer.words.value
    for plot in explorer.plots:
        figure = drawn(plot)
        assert not any("<img" in str(trace.get(key)) for trace in figure["data"] for key in ("name", "hovertemplate"))
    explorer.close()


def test_the_state_stays_small(explorer):
    sizes = [len(json.dumps(part.get_state(), default=str)) for part in _parts(explorer, seen=set())]
    assert sum(sizes) < 250_000 and len(json.dumps(explorer.get_state(), default=str)) < 5_000


def test_closing_leaves_nothing_but_the_library():
    library()
    made = made_up_study(6)
    before = set(_instances)
    explorer = explore_study(made)
    explorer.tolerance.value = 1e-1
    explorer.close()
    assert [_instances[left] for left in set(_instances) - before] == []
