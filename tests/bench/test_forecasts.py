"""Benches of the STI-Transformer: nothing is judged on what was learnt, and a rule says what was measured."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from vibrating import vibrating_ethanol

from asteroid_nb.bench.forecasts import accuracy, arms, chaining, rollouts
from asteroid_nb.bench.forecasts.arms import Arm
from asteroid_nb.bench.forecasts.chaining import Chaining
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.sources import Source
from asteroid_nb.cli import main
from asteroid_nb.errors import InvalidSettings, ModelMismatch, TrainingDiverged, TrajectoryTooShort
from asteroid_nb.forecast.settings import STISettings

BRIEF = Protocol(name="F1", spacing_fs=1.0, history=4, horizon=4, leads_fs=(1, 4), about="for tests")
TINY = {"width": 16, "heads": 2, "encoder_layers": 1, "delay_frames": 2, "row_stride": 1, "slot_frames": 4}
SURROGATE = Source("ethanol, sGDML surrogate")


def walkers(n=3):
    return [vibrating_ethanol(60, seed=seed) for seed in range(n)]


def frames_of(windows):
    spans = np.arange(windows.shape.span_frames)
    return {(int(walker), int(frame)) for walker, start in windows.starts for frame in start + spans}


class TestProtocols:
    def test_spacing_becomes_a_stride(self):
        assert [BRIEF.stride(vibrating_ethanol(8, dt_fs=dt)) for dt in (0.5, 1.0, 0.25)] == [2, 1, 4]
        with pytest.raises(ModelMismatch, match=r"looks every 1 fs.*stored every 0.4 fs"):
            BRIEF.stride(vibrating_ethanol(8, dt_fs=0.4))

    def test_several_trajectories_are_divided_whole(self):
        parts, given = BRIEF.parts(walkers()), walkers()
        for windows, expected in ((parts.train, given[0]), (parts.validation, given[1]), (parts.test, given[2])):
            np.testing.assert_array_equal(windows.trajectories[0].positions, expected.positions)

    def test_of_one_trajectory_the_second_half_judges_and_no_frame_is_in_two_parts(self):
        one = vibrating_ethanol(400)
        parts = BRIEF.parts([one])
        train, validation, test = map(frames_of, (parts.train, parts.validation, parts.test))
        assert not (train & validation or train & test or validation & test)
        assert max(frame for _, frame in train | validation) < 200 <= min(frame for _, frame in test)
        assert (
            min(frame for _, frame in test) - max(frame for _, frame in validation)
            >= BRIEF.parts([one]).test.shape.span_frames
        )

    @pytest.mark.parametrize(("given", "said"), [([60] * 2, "Two trajectories"), ([40], "does not fit into frames")])
    def test_too_little_is_told(self, given, said):
        with pytest.raises(TrajectoryTooShort, match=said):
            BRIEF.parts([vibrating_ethanol(n) for n in given])

    @pytest.mark.parametrize("name", PROTOCOLS)
    def test_the_default_model_fits_its_protocol(self, name):
        settings = PROTOCOLS[name].settings()
        assert (settings.history, settings.horizon) == (PROTOCOLS[name].history, PROTOCOLS[name].horizon)


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "F1", BRIEF)
    monkeypatch.setattr(Source, "trajectories", lambda self: walkers())
    monkeypatch.setattr(arms, "NEWTON_STEPS", {"n_steps": 5, "n_path_steps": 2})


@pytest.mark.usefixtures("brief")
class TestArms:
    arm = Arm(n_epochs=1, model=TINY, fitting={"batch_size": 32})

    def test_what_is_finished_is_kept(self, tmp_path, monkeypatch):
        (record,) = arms.train_all(tmp_path, [self.arm], processes=0)
        assert len(record["test"]["rmse_ang"]) == 4 and record["n_parameters"] > 0
        assert self.arm.load(tmp_path).settings.width == 16
        monkeypatch.setattr(arms, "train", lambda *_, **__: pytest.fail("trained again"))
        assert arms.train_all(tmp_path, [self.arm], processes=0) == [record]

    def test_other_settings_or_frames_have_another_folder(self, tmp_path):
        others = [
            dataclasses.replace(self.arm, seed=1), dataclasses.replace(self.arm, n_epochs=2),
            dataclasses.replace(self.arm, model=TINY | {"width": 32}),
            dataclasses.replace(self.arm, objective={"noise_ang": 0.01}),
            dataclasses.replace(self.arm, source=Source("other")),
        ]  # fmt: skip
        assert len({one.folder(tmp_path) for one in (self.arm, *others)}) == 6

    def test_a_file_of_the_same_name_has_another_folder(self, tmp_path):
        files = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            files.append(tmp_path / str(number) / "frames.npz")
            files[-1].write_bytes(bytes([number] * 100))
        sources = [Source("one name", str(file)) for file in files]
        assert len({dataclasses.replace(self.arm, source=one).folder(tmp_path) for one in sources}) == 2
        assert len({arms._folder(tmp_path, one, "F1", "rivals", "") for one in sources}) == 2

    def test_a_rival_whose_training_was_stopped_is_not_kept(self, tmp_path, monkeypatch):
        stopped = lambda *_, **__: SimpleNamespace(potential=SimpleNamespace(finished=False))  # noqa: E731
        monkeypatch.setattr(arms.LearnedNewton, "fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            arms.fit_rivals(tmp_path, Source(), "F1")
        assert not list(tmp_path.rglob("record.json"))

    def test_rivals_fitted_otherwise_are_others(self, tmp_path, monkeypatch):
        arms.fit_rivals(tmp_path, Source(), "F1")
        monkeypatch.setattr(arms, "NEWTON_STEPS", {"n_steps": 6, "n_path_steps": 2})
        arms.fit_rivals(tmp_path, Source(), "F1")
        assert len(list(tmp_path.rglob("record.json"))) == 2

    def test_rivals_are_fitted_once(self, tmp_path, monkeypatch):
        first = arms.fit_rivals(tmp_path, Source(), "F1")
        assert {"copy", "ridge, equivariant", "ridge, superposed", "learned Newton"} <= first.keys()
        monkeypatch.setattr(arms, "rivals", lambda *_: pytest.fail("fitted again"))
        assert arms.fit_rivals(tmp_path, Source(), "F1") == first


def errors(rmse, ade=0.1, fde=0.2):
    return {"lead_times_fs": [1, 16, 32], "rmse_ang": rmse, "ade_ang": ade, "fde_ang": fde, "n_windows": 9}


def found(rmse, protocol="F1", source=SURROGATE, **changes):
    records = [
        {"seed": seed, "test": errors(rmse, **changes), "seconds": 60, "n_parameters": 5, "n_windows": 9}
        for seed in range(3)
    ]
    rivals = {"copy": errors([0.1, 0.2, 0.3]), "ridge, equivariant": errors([0.02, 0.04, 0.08])}
    return accuracy.accuracy(PROTOCOLS[protocol], source, records, rivals)


class TestStarts:
    def test_a_network_starts_from_newton_where_a_potential_can_be_learnt(self, monkeypatch):
        assert Arm().settings.skip == "newton"
        assert Arm(model={"skip": "ridge"}).settings.skip == "ridge"
        monkeypatch.setattr(Source, "trajectories", lambda self: [vibrating_ethanol(8, dt_fs=4.0)])
        assert Arm().settings.skip == "ridge"

    def test_of_many_windows_some_spread_evenly_are_learnt_from(self, tmp_path, monkeypatch, brief):
        monkeypatch.setattr(arms, "MOST_WINDOWS", 50)
        (record,) = arms.train_all(tmp_path, [Arm(n_epochs=1, model=TINY, fitting={"batch_size": 8})], processes=0)
        assert 40 <= record["n_windows"] <= 50


@pytest.mark.usefixtures("brief")
class TestRollouts:
    def made(self, folder, **changes):
        options = {"sources": [Source()], "protocols": ["F1"], "seeds": 2, "n_epochs": 1, "processes": 0}
        return rollouts.run(folder=folder, **(options | {"chaining": Chaining(length_fs=24.0, n_starts=3)} | changes))

    @pytest.fixture(autouse=True)
    def _tiny(self, monkeypatch):
        monkeypatch.setattr(
            Protocol, "settings", lambda self, **_: STISettings(history=4, horizon=4, skip="newton", **TINY)
        )

    def test_the_page_has_rivals_the_model_and_the_truth_itself(self, tmp_path):
        text = self.made(tmp_path, command="typed").read_text(encoding="utf-8")
        names = (
            "ridge, equivariant",
            "ridge, superposed",
            "learned Newton",
            "STI-Transformer",
            "the test walker, half against half",
        )
        assert (
            all(f"| {name} |" in text for name in (*names, "the test walker, half against half"))
            and "Made by `typed`" in text
        )
        assert "of 3 |" in text and "no bond off by more than 0.5 Å" in text

    def test_what_is_chained_is_kept(self, tmp_path, monkeypatch):
        first = self.made(tmp_path).read_text(encoding="utf-8")
        monkeypatch.setattr(chaining, "chains", lambda *_, **__: pytest.fail("chained again"))
        assert self.made(tmp_path).read_text(encoding="utf-8") == first

    def test_chains_held_at_a_temperature_are_kept_apart_and_judged_by_it(self, tmp_path):
        free, held = (
            self.made(tmp_path, chaining=Chaining(length_fs=24.0, n_starts=3, temperature_K=temperature_K)).read_text(
                encoding="utf-8"
            )
            for temperature_K in (None, 300.0)
        )
        assert "held at" not in free and "3 chains of 0.024 ps, held at 300 K" in held
        assert "every temperature against 300 K" in held and "density of states, within" not in held
        for name in ("STI-Transformer", "the test walker, half against half"):
            one, other = (
                next(row for row in page.splitlines() if row.startswith(f"| {name}")) for page in (free, held)
            )
            assert one.split("|")[:-2] != other.split("|")[:-2], "but for the speed, which is never the same"

    def test_what_no_thermostat_takes_is_refused_before_anything_is_trained(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rollouts, "compared", lambda *_, **__: pytest.fail("trained"))
        with pytest.raises(InvalidSettings, match="temperature_K was -5"):
            self.made(tmp_path, chaining=Chaining(temperature_K=-5.0))
        with pytest.raises(InvalidSettings, match="P3 looks at frames more than 2 fs apart"):
            self.made(tmp_path, protocols=["F1", "P3"], chaining=Chaining(temperature_K=500.0))

    GOOD: ClassVar = {
        "n_whole": 3, "n_loose": 0, "stable_fs": [None] * 3, "temperature_off": 0.01,
        "furthest_peak_per_cm": 4.0, "furthest_repeated_per_cm": 3.0,
    }  # fmt: skip
    BAD: ClassVar = {
        "n_whole": 2, "n_loose": 0, "stable_fs": [None, None, 8.0], "temperature_off": 0.3,
        "furthest_peak_per_cm": None, "furthest_repeated_per_cm": 40.0,
    }  # fmt: skip

    @pytest.mark.parametrize(("kelvin", "n_rules"), [(None, 4), (500.0, 2)])
    def test_what_breaks_fails_its_rules(self, kelvin, n_rules):
        of = lambda records: [rule.holds for rule in rollouts._rules(records, 2, 1.0, kelvin)]  # noqa: E731
        assert of([self.GOOD, self.GOOD]) == [True] * n_rules
        assert of([self.GOOD, self.BAD]) == [False] * n_rules
        assert of([self.GOOD]) == [False] * n_rules

    def test_a_rule_says_which_bonds_it_lets_off(self):
        (whole, *_), (loose, *_) = (rollouts._rules([self.GOOD | {"n_loose": n}], 1, 1.0) for n in (0, 1))
        assert "breaks" not in whole.asked and "but for 1 that the truth itself breaks" in loose.asked

    def test_folded_peaks_are_no_rule(self):
        for peaks in rollouts._rules([self.GOOD], 1, 5.0)[2:]:
            assert peaks.holds is None and "5 fs apart are too far" in peaks.measured

    def test_the_median_counts_chains_that_never_broke(self):
        record = {
            "stable_fs": [10.0, 20.0, 30.0, None, None], "n_whole": 2, "distance_mae": 0.1, "torsion_js": [],
            "furthest_peak_per_cm": None, "temperature_off": None, "fs_per_s": 9.0, "peaks_per_cm": [],
            "furthest_repeated_per_cm": None,
        }  # fmt: skip
        assert rollouts._row("one", [record]) == ("one", "2 of 5", "30", "0.10", "–", "–", "–", "–", "–", "9")

    def test_peaks_are_told_by_the_middle_one_and_by_the_worst(self):
        record = {
            "stable_fs": [None], "n_whole": 1, "distance_mae": 0.1, "torsion_js": [], "temperature_off": 0.01,
            "peaks_per_cm": [[100.0, 220.0], [1000.0, 996.0], [3000.0, 3007.0]], "furthest_peak_per_cm": 120.0,
            "furthest_repeated_per_cm": 7.0, "fs_per_s": 9.0,
        }  # fmt: skip
        assert rollouts._row("one", [record])[4:7] == ("7", "120", "7")

    def test_a_failed_seed_is_told_and_another_one_s_potential_taken(self, tmp_path, monkeypatch):
        real = arms.train

        def only_the_second(*args, fit_settings, **options):
            if fit_settings.seed == 0:
                raise TrainingDiverged("the loss became nan")
            return real(*args, fit_settings=fit_settings, **options)

        monkeypatch.setattr(arms, "train", only_the_second)
        text = self.made(tmp_path).read_text(encoding="utf-8")
        assert "no result of seed 0: the loss became nan" in text and "| learned Newton | " in text

    @pytest.mark.parametrize("wrong", ["length", "starts", "epochs"])
    def test_counts_are_looked_at(self, tmp_path, wrong, capsys):
        assert main(["bench", "rollout", f"--{wrong}", "0", "--out", str(tmp_path)]) == 2
        assert f"--{wrong} was 0" in capsys.readouterr().err


class TestAccuracy:
    @pytest.mark.parametrize(
        ("rmse", "holds"),
        [
            ([0.01, 0.015, 0.035], [True, True, True]),
            ([0.01, 0.016, 0.035], [True, False, True]),
            ([0.02, 0.014, 0.09], [False, True, False]),
        ],
    )
    def test_targets_and_rivals_make_the_rules(self, rmse, holds):
        assert [rule.holds for rule in found(rmse).rules] == holds

    @pytest.mark.parametrize(
        ("name", "most"),
        [("ethanol, sGDML surrogate", "0.06"), ("ethanol, sGDML surrogate, long", "0.09"), ("ethanol, GFN2-xTB", None)],
    )
    def test_a_target_is_for_its_data(self, name, most):
        rules = found([0.01] * 3, protocol="P3", source=Source(name)).rules
        assert len(rules) == (1 if most is None else 3)
        assert most is None or f"ADE at most {most} Å" in rules[1].asked

    @pytest.mark.parametrize("n_known", [0, 2])
    def test_a_failed_seed_is_told_and_no_rule_holds(self, n_known):
        records = [{"seed": 0, "failed": "The loss became nan."}]
        known = {"test": errors([0.01, 0.01, 0.01]), "seconds": 60, "n_parameters": 5, "n_windows": 9}
        records += [{"seed": seed + 1, **known} for seed in range(n_known)]
        finding = accuracy.accuracy(PROTOCOLS["F1"], SURROGATE, records, {"copy": errors([0.1, 0.2, 0.3])})
        assert [rule.holds for rule in finding.rules] == [False, False, False, None]
        assert "nan" in finding.rules[-1].measured and len(finding.rows) == 1 + bool(n_known)

    def test_rivals_alone_are_shown_and_held_to_nothing(self):
        finding = accuracy.accuracy(PROTOCOLS["F1"], SURROGATE, [], {"copy": errors([0.1, 0.2, 0.3])})
        assert finding.rules == [] and [row[0] for row in finding.rows] == ["copy"]

    def test_a_rival_that_left_all_numbers_loses_and_is_shown_as_nothing(self):
        rivals = {"copy": errors([0.1, 0.2, 0.3]), "learned Newton": errors([0.01, None, None], ade=None, fde=None)}
        records = [{"seed": 0, "test": errors([0.005, 0.01, 0.02]), "seconds": 6, "n_parameters": 5, "n_windows": 9}]
        finding = accuracy.accuracy(PROTOCOLS["F1"], SURROGATE, records, rivals)
        assert finding.rules[0].holds and "–" in finding.rows[1]

    @pytest.mark.usefixtures("brief")
    def test_the_page_has_every_rival_and_the_model(self, tmp_path, monkeypatch):
        tiny = STISettings(history=4, horizon=4, skip="ridge", **TINY)
        monkeypatch.setattr(Protocol, "settings", lambda self, **_: tiny)
        path = accuracy.run(
            folder=tmp_path, sources=[Source()], protocols=["F1"], seeds=1, n_epochs=1, processes=0, command="typed"
        )
        text = path.read_text(encoding="utf-8")
        assert all(f"| {name} |" in text for name in ("copy", "AR(4)", "ridge, local frames", "STI-Transformer"))
        assert "Made by `typed`" in text and json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))

    def test_an_unknown_protocol_is_told(self, tmp_path):
        with pytest.raises(InvalidSettings, match="No protocol is called 'P9'; there are F1, P3"):
            accuracy.run(folder=tmp_path, sources=[Source()], protocols=["P9"])

    def test_a_count_below_one_ends_the_command(self, tmp_path):
        assert main(["bench", "accuracy", "--seeds", "-1", "--out", str(tmp_path)]) == 2
