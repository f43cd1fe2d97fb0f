"""Figures B, C1 and C4 on numbers made by hand: missing answers and failed trainings fail rules, and are told."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from asteroid_nb.bench import accuracy, cost, work
from asteroid_nb.bench.arms import DEQ, EXPLICIT, MODELS
from asteroid_nb.bench.runs import weights_digest
from asteroid_nb.bench.setting import FULL, SMALL, Setting
from asteroid_nb.bench.sources import Source
from asteroid_nb.bench.timing import in_words, one_thread
from asteroid_nb.equilibrium.committee import Committee
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import ForceFieldSettings


def replayed(**changes):
    """Return rows whose deviation falls with the tolerance and whose work grows; some of them changed by name."""
    rows = [
        {
            "policy": policy, "tolerance": tolerance, "dt_fs": 1.0, "steps": 10.0 - np.log(tolerance), "lost": 0,
            "adjoint_steps": 1.0, "deviation": tolerance, "worst": 2 * tolerance, "error": 1.0, "ms": 1.0, "frames": 9,
        }
        for policy in work.SHOWN
        for tolerance in work.TOLERANCES
    ]  # fmt: skip
    for row in rows:
        if (row["policy"], row["tolerance"]) == (DEFAULT_POLICY, DEFAULT_TOLERANCE):
            row.update(changes)
    return rows


LOST = {"deviation": None, "worst": None, "steps": None, "adjoint_steps": None, "error": None, "lost": 9}


def figure(monkeypatch, tmp_path, make, rows, size=FULL):
    monkeypatch.setattr(work, "replays", lambda setting: rows)
    return make(Setting(tmp_path, size=size))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, [True, True]), (LOST, [False, False]), ({"lost": 1}, [False, False]), ({"worst": 3.1}, [True, False])],
)
def test_b2_fails_where_the_default_has_no_answer(monkeypatch, tmp_path, changes, expected):
    finding = figure(monkeypatch, tmp_path, work.figure_b2, replayed(**changes))
    assert [rule.holds for rule in finding.rules] == expected
    assert ("–" in finding.rules[0].measured) == (changes is LOST)
    assert finding.markdown()


@pytest.mark.parametrize(("changes", "holds"), [({}, True), (LOST, False), ({"deviation": 0.9}, False)])
def test_b3_needs_every_answer(monkeypatch, tmp_path, changes, holds):
    finding = figure(monkeypatch, tmp_path, work.figure_b3, replayed(**changes))
    assert finding.rules[0].holds is holds
    assert (DEFAULT_POLICY in finding.rules[0].measured) is not holds


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_tolerances_show_no_trend(n):
    assert work._falls(replayed()[:3]) and not work._falls(replayed()[:n])


@pytest.mark.parametrize(("spacing_fs", "told"), [(0.5, False), (1.0, True)])
def test_b1_names_the_spacing(monkeypatch, tmp_path, spacing_fs, told):
    rows = [row | {"dt_fs": spacing_fs} for row in replayed()]
    finding = figure(monkeypatch, tmp_path, work.figure_b1, rows)
    assert all(f"at {spacing_fs:g} fs" in rule.asked for rule in finding.rules)
    assert ("these frames are 1 fs apart" in finding.note) is told


SURROGATE = Source("ethanol, sGDML surrogate")


def record(model, seed, force, failed=False):
    known = {"model": model, "seed": seed, "n_parameters": 10}
    if failed:
        return known | {"failed": "The loss is not finite."}
    errors = {"force_meV_per_ang": force, "energy_meV": 1.0, "force_rmse_meV_per_ang": force}
    return known | {"test": errors, "validation": force, "late_gain": 0.2, "seconds": 120.0}


def c4(monkeypatch, tmp_path, failed=(), deq=9.0, size=FULL, source=SURROGATE, committee=()):
    setting = Setting(tmp_path, source=source, size=size)
    setting.__dict__["parts"] = Source().parts()
    force = dict(zip(MODELS, (deq, 15.0, 12.0, 9.0, 8.0, 11.0), strict=True))
    made = {m: [record(m, seed, force[m], (m, seed) in failed) for seed in range(3)] for m in MODELS}
    monkeypatch.setattr(Setting, "records", lambda self, models, **_: made[models[0]])
    monkeypatch.setattr(accuracy, "_committee", lambda *_: list(committee))
    return accuracy.figure_c4(setting)


def test_c4_passes_and_reports(monkeypatch, tmp_path):
    finding = c4(monkeypatch, tmp_path)
    assert [rule.holds for rule in finding.rules] == [True, True, None, None, True]
    assert {len(row) for row in finding.rows} == {len(finding.head)}
    assert finding.rules[3].measured.startswith("K = 4")
    assert not any("last tenth" in rule.asked for rule in finding.rules)


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({(DEQ, 1)}, [False, False, None, None, False, None]),
        ({("K = 1", 0)}, [False, True, None, None, True, None]),
        ({("K = 4", 2)}, [True, False, None, None, True, None]),
        ({("K = 8", 0), ("K = 8", 1), ("K = 8", 2)}, [True, True, None, None, True, None, None, None]),
    ],
)
def test_c4_counts_and_tells_failed_trainings(monkeypatch, tmp_path, failed, expected):
    finding = c4(monkeypatch, tmp_path, failed)
    assert [rule.holds for rule in finding.rules] == expected
    assert sum("no result of" in rule.asked for rule in finding.rules) == len(failed)
    assert "(1 without)" in finding.markdown() or len(failed) == 3


def test_c4_shows_what_all_seeds_say_together(monkeypatch, tmp_path):
    finding = c4(monkeypatch, tmp_path, deq=10.4, committee=[{"test": {"force_meV_per_ang": 9.4, "energy_meV": 1.0},
                                                              "n_parameters": 30, "seconds": 360.0}])  # fmt: skip
    alone, together = finding.rules[-2:]
    assert (alone.holds, together.holds) == (False, True)
    assert together.measured == f"9.40 meV/Å ({accuracy.COMMITTEE})"
    (row,) = [row for row in finding.rows if row[0] == accuracy.COMMITTEE]
    assert row[1:3] == ("30", "9.40") and row[-1] == "6"


def test_a_committee_is_of_all_seeds_and_kept(monkeypatch, tmp_path):
    setting = Setting(tmp_path)
    setting.__dict__["parts"] = dataclasses.replace(Source().parts(), test=Source().parts().test[:3])
    runs = [random_run(seed) for seed in range(2)]
    monkeypatch.setattr(Setting, "run", lambda self, model, seed: runs[seed])
    records = [record(DEQ, seed, 9.0) for seed in range(2)]
    (found,) = accuracy._committee(setting, records)
    expected = Committee(runs).errors(setting.parts.test)
    assert found["test"]["force_meV_per_ang"] == pytest.approx(expected.force_meV_per_ang)
    assert (found["n_parameters"], found["seconds"]) == (20, 240.0)
    monkeypatch.setattr(Committee, "errors", None)  # what is kept is not made again
    assert accuracy._committee(setting, records) == [found]
    assert accuracy._committee(setting, records[:1]) == []
    assert accuracy._committee(setting, [*records, record(DEQ, 2, 9.0, failed=True)]) == []


def random_run(seed):
    torch.manual_seed(seed)
    return ForceFieldRun(ForceField(ForceFieldSettings(depth=1, width=8)), {1: -13.0, 6: -1000.0, 8: -2000.0})


def test_the_target_is_for_its_data_and_few_frames(monkeypatch, tmp_path):
    asked = lambda **changes: len(c4(monkeypatch, tmp_path, **changes).rules)  # noqa: E731
    assert asked() == 5
    assert asked(size=dataclasses.replace(FULL, n_frames=951)) == 4
    assert asked(source=Source()) == asked(size=SMALL) == 4


@pytest.mark.parametrize(
    ("means", "strict", "holds"),
    [
        ((9.0, 8.0), True, True),
        ((8.0, 7.9), True, False),
        ((8.0, 7.9), False, None),
        ((5.0, 6.0), True, None),
        ((float("nan"), 6.0), True, None),
    ],
)
def test_c1_judges_by_the_twin_that_is_as_accurate(means, strict, holds):
    forces = dict.fromkeys(EXPLICIT, 50.0) | {DEQ: means[0], "K = 4" if means[0] == 9 else "K = 2": means[1]}
    ms = {cost.WARM: 5.0, "K = 2": 4.0, "K = 4": 6.0}
    assert cost._against_as_accurate(ms, forces, strict=strict).holds is holds


def test_c1_does_not_train_to_find_out(monkeypatch, tmp_path):
    setting = Setting(tmp_path)
    monkeypatch.setattr("asteroid_nb.bench.setting.train_all", lambda *_, **__: pytest.fail("trained"))
    assert accuracy.forces_of(setting) is None
    for model in (DEQ, *EXPLICIT):
        for seed in range(3):
            where = setting.arm(model, seed).folder(tmp_path)
            where.mkdir(parents=True)
            (where / "arm.json").write_text(json.dumps(record(model, seed, seed + 4)), encoding="utf-8")
    assert accuracy.forces_of(setting) == dict.fromkeys((DEQ, *EXPLICIT), 5.0)


def test_one_thread_is_for_a_while_and_told():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), one_thread() as machine:
            assert torch.get_num_threads() == machine["threads"] == 1 and "1 thread" in in_words(machine)
            _ = 1 / 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Untrained(Setting):
    """A bench on models that learnt nothing, the explicit twin of other weights each time."""

    twin_seed = 0

    def run(self, model=DEQ, seed=0, **changes):
        torch.manual_seed(0 if model == DEQ else self.twin_seed)
        settings = ForceFieldSettings(width=4, depth=0 if model == DEQ else int(model.split()[2].strip(",")))
        return ForceFieldRun(ForceField(settings).eval(), {1: -13.6, 6: -1000.0, 8: -2000.0})


def test_c1_is_timed_anew_for_other_twins(monkeypatch, tmp_path):
    timed = []
    names = (cost.WARM, cost.COLD, *EXPLICIT, cost.MATCHED)

    def in_turn(setting, trained):
        timed.append([weights_digest(one) for one in trained.values()])
        return {name: {"median": 1.0, "low": 0.5, "high": 2.0} for name in names}

    monkeypatch.setattr(cost, "_in_turn", in_turn)
    monkeypatch.setattr(cost, "_parts", lambda setting: {"whole step": 1.0})
    (tmp_path / "logs").mkdir()
    setting = Untrained(tmp_path)
    first = cost.figure_c1(setting)
    assert cost.figure_c1(setting).rows == first.rows and len(timed) == 1
    assert "1 thread" in first.note and "torch" in first.note
    monkeypatch.setattr(Untrained, "twin_seed", 1)
    cost.figure_c1(setting)
    assert len(timed) == 2 and timed[0][0] == timed[1][0] and timed[0][1:] != timed[1][1:]


def test_a_step_is_taken_apart(tmp_path):
    with one_thread():
        parts = cost._parts(Untrained(tmp_path, size=SMALL))
    assert all(value > 0 for name, value in parts.items() if "rest" not in name)
