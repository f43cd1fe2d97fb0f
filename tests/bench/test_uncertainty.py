"""The bench of uncertainty: what is chosen, what it costs, and that nothing is judged on what was learnt."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from contracts.small_models import walkers

from asteroid_nb.bench.forecasts import choosing, doubt, learning, uncertainty
from asteroid_nb.bench.forecasts.choosing import LoopSize, candidates, ordered
from asteroid_nb.bench.forecasts.doubt import DISTANCE, SPREAD, USUAL, DoubtSize
from asteroid_nb.bench.forecasts.learning import divided
from asteroid_nb.bench.forecasts.novelty import Known, farthest_apart, temperatures_K
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.cli import main
from asteroid_nb.data.symmetry import Symmetries
from asteroid_nb.data.windows import Molecule, Window
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, SimulationFailed
from asteroid_nb.forecast.ensemble import Ensemble
from asteroid_nb.forecast.newton import LearnedNewton
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2

LOOP = LoopSize(
    n_members=2, n_steps=4, n_path_steps=0, width=8, first_frames=60, n_rounds=1, n_chosen=2, piece_frames=44,
    n_chains=4, n_kicks=1, n_candidates=12, n_windows=20, horizon=8,
)  # fmt: skip
HALFWAY = dataclasses.replace(LOOP, horizon=16)
DOUBT = DoubtSize(n_members=2, n_steps=4, n_path_steps=0, width=8, n_windows=30, leads_fs=(1, 4), n_bins=3)
BRIEF = Protocol(name="F1", spacing_fs=1.0, history=4, horizon=4, leads_fs=(1, 4), about="for tests")


@pytest.fixture(scope="module")
def molecule():
    return Molecule.of(walkers())


def untrained(molecule, n=3):
    torch.manual_seed(0)
    return Ensemble([LearnedNewton(Potential(molecule, width=8), horizon=8) for _ in range(n)])


class TestNovelty:
    def test_what_is_known_has_no_distance_however_it_lies_and_whichever_equal_atoms_are_exchanged(self, molecule):
        positions = np.asarray(walkers()[0].positions[:40])
        known = Known(molecule, positions)
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
        exchanges = np.unique(Symmetries.of(molecule).exchanges, axis=0)
        assert len(exchanges) == 6
        for order in exchanges:
            assert known.distances(positions[:5, order] @ turn + 3.0).max() < 1e-3

    def test_it_grows_with_what_is_changed_and_atoms_share_it(self, molecule):
        positions = np.asarray(walkers()[0].positions[:40], dtype=float)
        known, moved = Known(molecule, positions), positions[:1].repeat(3, axis=0)
        moved[1, 3, 0] += 0.1
        moved[2, 3, 0] += 0.5
        assert (np.diff(known.distances(moved)) > 0).all()
        each = known.distances_per_atom(moved)
        assert each.shape == (3, 9) and each[1].argmax() == 3

    def test_the_farthest_come_first_and_no_copy_is_chosen_twice(self):
        line = torch.tensor([[0.0], [1.0], [10.0], [10.0], [4.0]])
        assert farthest_apart(line, torch.tensor([[0.0]]), 2).tolist() == [2, 4]

    def test_the_temperature_is_that_of_the_velocities(self):
        draw, masses = np.random.default_rng(0), np.array([1.0, 12.0, 16.0])
        sigma = np.sqrt(BOLTZMANN_EV_PER_K * 400 / (EV_PER_AMU_ANG2_PER_FS2 * masses))[:, None]
        history = np.stack([np.zeros((9000, 3, 3)), 0.5 * sigma * draw.normal(size=(9000, 3, 3))], axis=1)
        np.testing.assert_allclose(temperatures_K(history, masses, 0.5).mean(0), 400, rtol=0.03)


class TestRule:
    def loops(self, *errors):
        return [[{"rmse_ang": [one], "n_lost": 0} for one in (1.0, error)] for error in errors]

    @pytest.mark.parametrize(
        ("own", "holds"), [((0.8, 0.9, 0.85), True), ((1.2, 1.1, 1.3), False), ((0.5, 1.4, 1.0), False)]
    )
    def test_chance_is_beaten_by_more_than_the_seeds_scatter(self, own, holds):
        learnt = {"spread": self.loops(*own), "random": self.loops(1.0, 1.0, 1.0)}
        rule = uncertainty._against(learnt, "random", lead_fs=1, clean=True)
        assert (
            rule.holds is holds and f"better in {sum(one < 1 for one in own)} of 3 rounds of 3 seeds" in rule.measured
        )

    def test_loops_that_were_seen_before_the_question_do_not_judge(self):
        learnt = {
            one: [[{"simulated_fs": 1, "rmse_ang": [x] * 16, "median_ang": [x] * 16, "n_lost": 0}] * 2] * 3
            for one, x in (("spread", 0.5), ("random", 1.0))
        }
        judged = [uncertainty.errors_by_cost("ethanol", learnt, HALFWAY, drawn=range(n, n + 3)) for n in (0, 3)]
        assert [[rule.holds for rule in one.rules] for one in judged] == [[None, True], [True, True]]

    def test_few_seeds_and_other_rivals_are_only_reported(self):
        few = {"spread": self.loops(0.5), "random": self.loops(1.0), "farthest": self.loops(1.0)}
        assert uncertainty._against(few, "random", lead_fs=1, clean=True).holds is None
        lost = {"spread": self.loops(0.5, 0.5, 0.5), "random": self.loops(1.0, 1.0, 1.0)}
        lost["spread"][1][1]["n_lost"] = 1  # of other windows nothing is said
        assert uncertainty._against(lost, "random", lead_fs=1, clean=True).holds is None
        many = {"spread": self.loops(0.5, 0.5, 0.5), "farthest": self.loops(1.0, 1.0, 1.0)}
        assert uncertainty._against(many, "farthest", lead_fs=1, clean=True).holds is None


class TestChoosing:
    histories = torch.tensor(np.stack([walkers()[3].positions[:-1:3], walkers()[3].positions[1::3][:53]], axis=1))

    def test_the_most_unsure_comes_first(self, molecule):
        ensemble = untrained(molecule)
        order = ordered("spread", ensemble, walkers()[:1], self.histories, seed=0, n=5)

        spread = ensemble.spread(Window.of(self.histories, dt_fs=1.0)).square().mean((1, 2))
        assert order[0] == int(spread.argmax()) and len(set(order.tolist())) == 5
        assert set(order.tolist()) <= set(spread.argsort(descending=True)[:13].tolist())

    def test_the_others_look_at_no_spread(self, molecule, monkeypatch):
        monkeypatch.setattr(Ensemble, "spread", lambda *_: pytest.fail("asked for the spread"))
        for strategy in ("random", "farthest"):
            order = ordered(strategy, untrained(molecule), walkers()[:1], self.histories, seed=0, n=5)
            assert len(set(order.tolist())) == 5

    def test_candidates_are_two_frames_of_whole_molecules(self, molecule):
        found, kelvin = candidates(untrained(molecule), walkers()[:1], seed=0, size=LOOP)
        assert kelvin.tolist() == [650.0] * len(found)
        assert found.shape[1:] == (2, 9, 3) and 0 < len(found) <= LOOP.n_candidates
        apart = (found[:, 1] - found[:, 0]).norm(dim=-1)
        assert float(apart.max()) < 0.3 and float(apart.mean()) > 1e-3

    def test_each_candidate_tells_at_which_temperature_it_moved(self, molecule):
        size = dataclasses.replace(LOOP, kelvin=(100.0, 900.0), n_chains=60, n_candidates=600)
        found, kelvin = candidates(untrained(molecule), walkers()[:1], seed=0, size=size)
        assert len(set(kelvin)) > 20 and 100 < kelvin.min() < 300 and 700 < kelvin.max() < 900
        moved = temperatures_K(found.numpy(), molecule.masses, 1.0).mean(1)
        assert np.corrcoef(moved, kelvin)[0, 1] > 0.5

    def test_the_coldest_begins_and_the_hottest_judge(self):
        warm = sorted(walkers(), key=learning.warmth_K)
        cold, hot = divided(walkers(), LOOP, seed=1)
        assert cold.n_frames == 60 and [one.name for one in hot] == [one.name for one in warm[-2:]]
        assert cold.name.startswith(warm[0].name) and learning.warmth_K(warm[0]) < learning.warmth_K(hot[0])
        with pytest.raises(InvalidTrajectory, match="found 2"):
            divided(walkers()[:2], LOOP, seed=0)


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "F1", BRIEF)
    for module in (doubt, uncertainty):
        monkeypatch.setattr(module, "sample", lambda name: list(walkers()))


@pytest.mark.usefixtures("brief")
class TestPage:
    def test_it_says_all_and_what_is_finished_is_kept(self, tmp_path, monkeypatch):
        pytest.importorskip("tblite")
        ask = {
            "folder": tmp_path,
            "seeds": 1,
            "loops": 1,
            "processes": 0,
            "size": DOUBT,
            "loop": LOOP,
            "command": "typed",
        }
        path = uncertainty.run(**ask)
        text = path.read_text(encoding="utf-8")
        assert "Made by `typed`" in text and ("PASSED" in text or "FAILED" in text)
        assert all(f"| {name} |" in text for name in (*uncertainty.SAYERS, *choosing.STRATEGIES))
        assert all(f"| {strategy} | 148 |" in text for strategy in choosing.STRATEGIES)  # 60 + 2 × 44 fs, each
        assert (tmp_path / "uncertainty-calibration.html").is_file()
        monkeypatch.setattr(Ensemble, "fit", lambda *_, **__: pytest.fail("learnt again"))
        assert uncertainty.run(**ask).read_text(encoding="utf-8") == text
        without = uncertainty.run(**ask | {"loops": 0}).read_text(encoding="utf-8")
        assert "### C." in without and "### L." not in without
        alone = uncertainty.run(**ask | {"seeds": 0}).read_text(encoding="utf-8")
        assert "### C." not in alone and "### L." in alone and "loops of seeds 0 to 0" in alone

    def test_an_interrupted_loop_ends_as_one_that_was_not(self, tmp_path, monkeypatch):
        pytest.importorskip("tblite")
        whole = uncertainty.choose_and_learn(tmp_path / "whole", "ethanol", "random", 0, LOOP)
        with monkeypatch.context() as stopping:
            stopping.setattr(learning, "save_walkers", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                uncertainty.choose_and_learn(tmp_path / "cut", "ethanol", "random", 0, LOOP)
        assert uncertainty.choose_and_learn(tmp_path / "cut", "ethanol", "random", 0, LOOP) == whole

    def test_structures_that_cannot_be_simulated_are_passed_over_and_none_is_an_error(self, tmp_path, monkeypatch):
        tried = []

        def failing(start, *_, **__):
            tried.append(start)
            raise SimulationFailed("exploded")

        monkeypatch.setattr(learning, "_simulated", failing)
        with pytest.raises(SimulationFailed, match=r"structures chosen by random, 0 could be simulated"):
            uncertainty.choose_and_learn(tmp_path, "ethanol", "random", 0, LOOP)
        assert 2 <= len(tried) <= 3 * LOOP.n_chosen
        monkeypatch.setattr(choosing, "broken_bonds", lambda frames, *_: np.ones((len(frames), 1), dtype=bool))
        with pytest.raises(SimulationFailed, match="No chain kept its bonds for 10 frames at 650 K"):
            uncertainty.choose_and_learn(tmp_path / "broken", "ethanol", "random", 0, LOOP)

    def test_factors_come_from_validation_and_the_usual_error_ranks_no_window(self, tmp_path):
        found = doubt.judge_seed(tmp_path, "ethanol", 0, DOUBT)
        verdict = found[SPREAD]["4"]["atoms"]
        assert sum(verdict["counts"]) == 30 * 9 and 0 <= verdict["inside_1"] <= verdict["inside_2"] <= 1
        assert found[USUAL]["4"]["windows"]["rank"] is None
        assert found[USUAL]["4"]["atoms"]["factor"] == pytest.approx(1, abs=1e-6)
        assert set(found) == {SPREAD, DISTANCE, doubt.WARMTH, USUAL}

    def test_other_sizes_have_other_files(self, tmp_path):
        paths = {doubt.record_path(tmp_path, "ethanol", seed, size) for seed in (0, 1) for size in (DOUBT, DoubtSize())}
        loops = {learning.loop_folder(tmp_path, "ethanol", size) for size in (LOOP, LoopSize())}
        assert len(paths) == 4 and len(loops) == 2


def test_what_is_not_there_is_told(tmp_path, capsys):
    with pytest.raises(InvalidSettings, match="No strategy is called 'luck'"):
        uncertainty.run(folder=tmp_path, strategies=["luck"])
    assert main(["bench", "uncertainty", "--strategies", "luck", "--out", str(tmp_path)]) == 2
    assert main(["bench", "uncertainty", "--seeds", "0", "--loops", "0", "--out", str(tmp_path)]) == 2
    assert main(["bench", "uncertainty", "--loops", "-1", "--out", str(tmp_path)]) == 2
    assert main(["bench", "uncertainty", "--kelvin", "700", "200", "--out", str(tmp_path)]) == 2
    assert main(["bench", "uncertainty", "--pieces", "15", "5", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "of 12 frames or more" in said
    assert "--kelvin was 700 200" in said
    assert "--loops was -1" in said and "both 0" in said


def test_the_command_says_what_was_typed(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(uncertainty, "run", lambda **given: asked.update(given))
    assert main(["bench", "uncertainty", "--strategies", "spread", "straight on", "--out", str(tmp_path)]) == 0
    typed = "asteroid-nb bench uncertainty --sample ethanol --strategies spread 'straight on' --seeds 3 --loops 3"
    assert asked["command"] == f"{typed} --page uncertainty"
    assert asked["strategies"] == ["spread", "straight on"] and json.dumps(asked["name"]) == '"ethanol"'
