"""Figures D and B4: rules flip on logs made by hand, logs are kept and used again, runs that fail become rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from asteroid_nb.bench import distribution, motion, runs, time_step
from asteroid_nb.bench.arms import DEQ
from asteroid_nb.bench.distribution import COLD, CONTROL, REUSE, figure_d4
from asteroid_nb.bench.motion import figure_d1, figure_d2, figure_d3, force_jacobian
from asteroid_nb.bench.runs import Motion, drifts, evaluations, fluctuations, how_it_ended, log_path, moved
from asteroid_nb.bench.samples import compared, detectable, frames_per_sample, holm, opened
from asteroid_nb.bench.setting import FULL, SMALL, Setting
from asteroid_nb.bench.time_step import figure_b4
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.errors import SimulationFailed
from asteroid_nb.views.solver_time_step import against_time_step
from asteroid_nb.views.style import alt_text


class Untrained(Setting):
    """A bench on models that learnt nothing."""

    def run(self, model=DEQ, seed=0, **changes):
        torch.manual_seed(seed)
        settings = ForceFieldSettings(width=4, depth=0 if model == DEQ else int(model.split()[-1]), **changes)
        return ForceFieldRun(ForceField(settings).eval(), {1: -13.6, 6: -1000.0, 8: -2000.0})


def bench(folder: Path, size=SMALL, **changes):
    return Untrained(folder, size=dataclasses.replace(size, **changes), processes=0)


def made(wanted: Motion, *, drift=0.0, steps=5.0, why=None, n_frames=40, n_atoms=9):
    """Return a log whose energy drifts by so many meV/atom/ps, at so many evaluations of f and of its adjoint."""
    times_ps = np.arange(n_frames) * wanted.stored_fs / 1000
    walkers = [-3000.0 + walker + drift * times_ps * n_atoms / 1000 for walker in range(wanted.n_walkers)]
    walkers = [list(one) for one in walkers] if n_frames else []
    return {
        "motion": dataclasses.asdict(wanted), "n_atoms": n_atoms, "why": why, "cold_calls": 0, "ms_per_step": 7.0,
        "ended_fs": None if why is None else max(0, n_frames - 1) * wanted.stored_fs, "true_every": 1,
        "work": [[30.0, 30.0]] * min(n_frames, runs.N_WARM) + [[steps, steps]] * n_frames, "total_eV": walkers,
        "true_eV": walkers, "temperature_K": [[500.0] * n_frames for _ in walkers],
    }  # fmt: skip


def verdicts(finding):
    return [rule.holds for rule in finding.rules]


def given(monkeypatch, module, log_of):
    monkeypatch.setattr(module, "moved", lambda setting, motions: [log_of(one) for one in motions])


def d1(monkeypatch, tmp_path, *, size=FULL, tight=0.0, default=0.0, work=3.0, why=None):
    def log_of(one):
        pair = (one.policy, one.tolerance)
        if one.model == CONTROL:
            return made(one)
        if pair == motion.TIGHT:
            return made(one, drift=tight)
        if pair == motion.DEFAULT:
            return made(one, drift=default, steps=work, why=why)
        return made(one, steps=10.0, drift=5.0)

    given(monkeypatch, motion, log_of)
    return figure_d1(bench(tmp_path, size))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [True, True, True]),
        ({"tight": -0.2}, [False, True, True]),
        ({"default": 1.1}, [True, False, True]),
        ({"default": -0.9, "work": 4.1}, [True, True, False]),
        ({"size": SMALL, "tight": 0.4, "default": 2.9, "work": 9.0}, [True, True, None]),
        ({"size": SMALL, "tight": 0.6, "default": -3.1}, [False, False, None]),
    ],
)
def test_d1_holds_the_tight_run_and_the_default_to_their_limits(monkeypatch, tmp_path, changes, expected):
    finding = d1(monkeypatch, tmp_path, **changes)
    assert verdicts(finding) == expected
    assert len(finding.rows) == len(motion.POLICIES) + 1
    assert {len(row) for row in finding.rows} == {len(finding.head)}
    assert set(finding.drawings) == {"figure-D1", "figure-D1-work"}


def test_d1_work_is_a_share_of_the_cold_start_without_the_first_steps(monkeypatch, tmp_path):
    row = next(row for row in d1(monkeypatch, tmp_path, work=2.5).rows if "(default)" in row[0])
    assert row[2:4] == ("2.5 + 2.5", "0.25")


def test_a_default_that_ends_early_fails_though_its_drift_is_small(monkeypatch, tmp_path):
    why = "The run ended 195 fs after its start: The fixed point of z was not reached: 100 evaluations. The rest."
    finding = d1(monkeypatch, tmp_path, why=why)
    assert verdicts(finding) == [True, False, True]
    assert "ended after 195 fs: The fixed point of z was not reached: 100 evaluations" in finding.markdown()


def test_a_run_that_never_began_is_a_row(monkeypatch, tmp_path):
    def log_of(one):
        dead = one.policy == "previous"
        return made(one, n_frames=0 if dead else 40, why="The run ended 0 fs after its start: no." if dead else None)

    given(monkeypatch, motion, log_of)
    finding = figure_d1(bench(tmp_path))
    row = next(row for row in finding.rows if row[0] == "previous")
    assert row[2:7] == ("–",) * 5
    assert row[8] == "ended after 0 fs: no."


@pytest.mark.parametrize(
    ("previous", "xl", "expected"),
    [
        (210.0, -9.0, [True, True]),
        (190.0, 3.0, [False, True]),
        (-400.0, 11.0, [False, False]),
        (float("nan"), 1.0, [False, True]),
    ],
)
def test_d2_previous_must_heat_and_xl_must_not(monkeypatch, tmp_path, previous, xl, expected):
    told = {"previous": previous, "xl": xl, "cold": -4.0, "linear": 30.0}
    given(monkeypatch, motion, lambda one: made(one, drift=told[one.policy]))
    finding = figure_d2(bench(tmp_path))
    assert verdicts(finding) == expected
    assert [row[0] for row in finding.rows] == ["cold", "previous", "linear", "xl"]


def test_d2_fifty_times_next_to_nothing_is_no_heat(monkeypatch, tmp_path):
    told = {"previous": 9.0, "cold": 0.01}
    given(monkeypatch, motion, lambda one: made(one, drift=told.get(one.policy, 0.0)))
    assert verdicts(figure_d2(bench(tmp_path))) == [False, True]


@pytest.mark.parametrize("n_frames", [0, 2, 20])
def test_d2_a_burst_of_previous_is_heat(monkeypatch, tmp_path, n_frames):
    def log_of(one):
        if one.policy != "previous":
            return made(one, drift=1.0)
        return made(one, drift=900.0, n_frames=n_frames, why="The run ended 9 fs after its start: it burst.")

    given(monkeypatch, motion, log_of)
    assert verdicts(figure_d2(bench(tmp_path))) == [True, True]


def test_d2_xl_must_be_known_to_its_end(monkeypatch, tmp_path):
    given(monkeypatch, motion, lambda one: unknown(made(one), 30) if one.policy == "xl" else made(one, drift=1.0))
    assert verdicts(figure_d2(bench(tmp_path)))[1] is False


def unknown(log, first):
    """Return a log whose first walker's true energy is not known from a frame on."""
    walkers = [list(one) for one in log["true_eV"]]
    walkers[0][first:] = [None] * (len(walkers[0]) - first)
    return log | {"true_eV": walkers}


@pytest.mark.parametrize("first", [0, 30, 39])
def test_an_energy_that_is_not_known_to_the_end_is_not_kept(first):
    log = made(Motion(n_walkers=3, length_ps=0.195))
    assert motion._keeps("x", log, 1.0).holds and "known" not in how_it_ended(log)
    rule = motion._keeps("x", unknown(log, first), 1.0)
    assert rule.holds is False
    assert f"energy known to {max(0, first - 1) * 5 / 1000:g} ps" in rule.measured


def test_drifts_that_cancel_are_not_kept():
    log = made(Motion(n_walkers=2), drift=2.0)
    log["true_eV"][1] = [2 * log["true_eV"][1][0] - energy for energy in log["true_eV"][1]]
    np.testing.assert_allclose(drifts(log), [2.0, -2.0], rtol=1e-6)
    assert motion._keeps("x", log, 1.9).holds is False
    assert motion._keeps("x", log, 2.1).holds


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_one_frame_without_a_solution_costs_one_energy(tmp_path, bad):
    setting = bench(tmp_path)
    run, frames = setting.run(), setting.parts.test[:7]
    places = np.array(frames.positions)
    places[bad, 1] = places[bad, 0]
    broken = frames.replace(positions=places, velocities=None, forces=None, energies=None)
    ask = lambda frames: run.predict_known(frames, batch_size=4, precision=torch.float64)  # noqa: E731
    found = ask(broken).energies
    assert np.flatnonzero(np.isnan(found)).tolist() == [bad]
    others = np.delete(np.arange(7), bad)
    np.testing.assert_allclose(found[others], ask(frames).energies[others], rtol=1e-9)


def test_d3_tells_a_gradient_from_what_is_none(monkeypatch, tmp_path):
    given(monkeypatch, motion, lambda one: made(one, drift=100.0 if one.direct else 1.0))
    setting = bench(tmp_path)
    finding = figure_d3(setting)
    assert verdicts(finding) == [None] * 3
    conservative, _, direct, _ = (float(row[-1]) for row in finding.rows)
    assert conservative < 1e-4 < 1e-2 < direct
    monkeypatch.setattr(motion, "_measured_asymmetries", lambda *_: pytest.fail("measured again"))
    assert figure_d3(setting).rows == finding.rows


def test_the_jacobian_of_forces_is_that_of_their_differences(tmp_path):
    setting = bench(tmp_path)
    run, frame = setting.run(), setting.parts.test[3]
    jacobian = force_jacobian(run, setting, 3)
    way = np.random.default_rng(0).normal(size=frame.positions.shape[1:])
    places = np.asarray(frame.positions, dtype=float) + 1e-3 * way * np.array([1, -1])[:, None, None]
    shifted = frame.replace(positions=places, velocities=None, forces=None, energies=None)
    found = run.predict(shifted, solver=motion.JACOBIAN_SOLVER, precision=torch.float64).forces
    np.testing.assert_allclose(jacobian @ way.ravel(), (found[0] - found[1]).ravel() / 2e-3, atol=2e-3)


@pytest.mark.parametrize(("size", "best", "expected"), [(FULL, 3.8, True), (FULL, 3.9, False), (SMALL, 3.8, None)])
def test_b4_asks_for_a_gain_at_one_time_step_in_the_full_size(monkeypatch, tmp_path, size, best, expected):
    def log_of(one):
        steps = {"cold": 5.0, "linear+recycle": best if one.timestep_fs == 1.0 else 4.9}.get(one.policy, 6.0)
        return made(one, steps=steps)

    given(monkeypatch, time_step, log_of)
    finding = figure_b4(bench(tmp_path, size))
    assert verdicts(finding) == [None, None, expected, None]
    assert f"{5 / best:.2f} (linear+recycle)" in finding.rules[2].measured
    assert len(finding.rows) == 16


def test_b4_leaves_out_what_ended_too_early(monkeypatch, tmp_path):
    def log_of(one):
        lost = one.timestep_fs == 2.0 and one.policy != "cold"
        return made(one, n_frames=3 if lost else 40, why="It ended: badly." if lost else None) | (
            {"work": [[1.0, 1.0]] * 3} if lost else {}
        )

    given(monkeypatch, time_step, log_of)
    finding = figure_b4(bench(tmp_path, FULL))
    assert finding.rules[3].measured == "no run long enough"
    assert verdicts(finding)[3] is None


def sampled(one: Motion, *, n_frames=200, width=0.03, why=None, slow=0.0):
    """Return a log of a Langevin run: two bonds, one wider than the other, and one torsion."""
    random = np.random.default_rng(one.seed)
    log = made(one, why=why, n_frames=n_frames)
    noise = random.normal(size=(one.n_walkers, n_frames, 3))
    for frame in range(1, n_frames):
        noise[:, frame] = slow * noise[:, frame - 1] + (1 - slow**2) ** 0.5 * noise[:, frame]
    torsions = (3.0 + 0.6 * noise[..., 2:] + np.pi) % (2 * np.pi) - np.pi
    bonds = np.array([1.5, 1.1]) + noise[..., :2] * [0.03, width]
    return log | {
        "bond_names": ["C1–C2", "C1–H1"], "torsion_names": ["C2–C1–O1–H6"],
        "bonds_ang": bonds.tolist(), "torsions_rad": torsions.tolist(),
    }  # fmt: skip


def role(one: Motion):
    return CONTROL if one.model == CONTROL else REUSE if one.policy == DEFAULT_POLICY else COLD


def test_d4_passes_where_both_runs_sample_the_same(monkeypatch, tmp_path):
    given(monkeypatch, distribution, sampled)
    finding = figure_d4(bench(tmp_path))
    assert verdicts(finding) == [True, None, None]
    assert [row[0] for row in finding.rows] == ["C1–C2", "C1–H1", "C2–C1–O1–H6"]
    assert set(finding.drawings) == {"figure-D4-bonds", "figure-D4-torsion-1"}
    assert {len(row) for row in finding.rows} == {len(finding.head)}


def test_d4_fails_where_one_bond_is_wider(monkeypatch, tmp_path):
    given(monkeypatch, distribution, lambda one: sampled(one, width=0.09 if role(one) == REUSE else 0.03))
    finding = figure_d4(bench(tmp_path))
    assert verdicts(finding) == [False, None, None]
    assert "(C1–H1), of 3 quantities" in finding.rules[0].measured


def test_d4_only_reports_another_model(monkeypatch, tmp_path):
    given(monkeypatch, distribution, lambda one: sampled(one, width=0.09 if role(one) == CONTROL else 0.03))
    finding = figure_d4(bench(tmp_path))
    assert verdicts(finding) == [True, None, None]
    assert "(C1–H1)" in finding.rules[1].measured


@pytest.mark.parametrize("changes", [{"n_frames": 2}, {"slow": 0.9999}])
def test_d4_says_where_there_is_too_little_to_tell(monkeypatch, tmp_path, changes):
    given(monkeypatch, distribution, lambda one: sampled(one, **changes))
    finding = figure_d4(bench(tmp_path, langevin_walkers=2))
    assert finding.rules[0].holds is None
    assert "too few independent values" in finding.markdown()


def test_d4_fails_where_reuse_ended_early(monkeypatch, tmp_path):
    why = "The run ended 90 fs after its start: gone. Rest."
    given(monkeypatch, distribution, lambda one: sampled(one, why=why if role(one) == REUSE else None))
    finding = figure_d4(bench(tmp_path))
    assert finding.rules[0].holds is False
    assert "ended after 1990 fs: gone" in finding.rules[0].measured


def test_d4_runs_draw_independently(monkeypatch, tmp_path):
    asked = []
    given(monkeypatch, distribution, lambda one: asked.append(one) or sampled(one))
    figure_d4(bench(tmp_path))
    assert len({one.seed for one in asked}) == 3
    assert {one.tolerance for one in asked} == {DEFAULT_TOLERANCE}


def walk(keeps, n_frames=4000, n_walkers=8):
    values = np.random.default_rng(0).normal(size=(n_walkers, n_frames))
    for frame in range(1, n_frames):
        values[:, frame] = keeps * values[:, frame - 1] + (1 - keeps**2) ** 0.5 * values[:, frame]
    return values


@pytest.mark.parametrize("keeps", [0.0, 0.5, 0.9])
def test_frames_per_sample_of_a_known_process(keeps):
    assert frames_per_sample(walk(keeps)) == pytest.approx((1 + keeps) / (1 - keeps), rel=0.12)


def test_a_swing_that_keeps_its_amplitude_has_few_independent_values():
    slow = 1 + 0.9 * np.tanh(walk(0.99))
    fast = np.cos(2.1 * np.arange(slow.shape[1]))
    assert frames_per_sample(0 * slow + fast) < 1.5
    assert frames_per_sample(slow * fast) > 10


def test_a_constant_counts_every_frame():
    assert frames_per_sample(np.full((2, 50), 1.5)) == 1


def test_angles_are_compared_the_same_wherever_the_circle_is_cut():
    random = np.random.default_rng(0)
    one, other = random.normal(3.0, 0.5, 80), random.normal(2.7, 0.5, 70)
    turned = [(part + 1.9 + np.pi) % (2 * np.pi) - np.pi for part in (one, other)]
    assert compared(*opened(*turned)).p == pytest.approx(compared(*opened(one, other)).p)


def test_nothing_in_common_gives_the_smallest_p():
    found = compared(np.arange(6.0), np.arange(9.0) + 100)
    assert found.distance == 1
    assert found.p == pytest.approx(found.smallest_p)
    assert detectable(6, 9, 1e-6) == 1


def test_holm_known_answer():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_drift_and_fluctuation_of_a_known_energy():
    log = made(Motion(n_walkers=2), drift=2.5, n_frames=200)
    np.testing.assert_allclose(drifts(log), 2.5, rtol=1e-6)
    np.testing.assert_allclose(fluctuations(log), 0, atol=1e-6)
    swing = 0.009 * np.resize([1.0, -1.0], 200)  # 1 meV for each of nine atoms
    log["true_eV"] = [list(np.array(one) + swing) for one in log["true_eV"]]
    np.testing.assert_allclose(fluctuations(log), 1, rtol=1e-3)


def test_energies_that_are_not_known_end_the_curve():
    log = made(Motion(n_walkers=1), drift=2.5, n_frames=40)
    log["true_eV"][0][30:] = [None] * 10
    np.testing.assert_allclose(drifts(log), 2.5, rtol=1e-6)
    log["true_eV"][0][1:] = [None] * 39
    assert np.isnan(drifts(log)).all()


SHORT = Motion(length_ps=0.008, stored_fs=1.0, n_walkers=2, structure=True)


def test_a_run_is_kept_and_not_run_again(monkeypatch, tmp_path):
    setting = bench(tmp_path)
    (log,) = moved(setting, [SHORT])
    assert np.shape(log["true_eV"]) == np.shape(log["total_eV"]) == (2, 9)
    assert np.shape(log["bonds_ang"]) == (2, 9, 8)
    assert len(log["work"]) == 17 and how_it_ended(log) == "complete, 0.008 ps"
    assert np.abs(drifts(log) - drifts(log, true=False)).max() < 10
    monkeypatch.setattr(runs, "run_md", lambda *_, **__: pytest.fail("moved again"))
    assert moved(setting, [SHORT, SHORT]) == [log, log]


def test_other_weights_other_start_or_another_setting_have_logs_of_their_own(tmp_path):
    setting = bench(tmp_path)
    names = {
        log_path(setting, "x", setting.run(), SHORT),
        log_path(setting, "x", setting.run(seed=1), SHORT),
        log_path(setting, "x", setting.run(), dataclasses.replace(SHORT, seed=1)),
    }
    setting.__dict__["parts"] = dataclasses.replace(setting.parts, test=setting.parts.test[1:])
    names.add(log_path(setting, "x", setting.run(), SHORT))
    assert len(names) == 4
    assert log_path(setting, "x", setting.run(), SHORT) in names


def test_work_is_that_of_the_calculator_for_a_single_molecule(monkeypatch, tmp_path):
    seen = []
    make = runs.calculator
    monkeypatch.setattr(runs, "calculator", lambda *a, **k: seen.append(make(*a, **k)) or seen[-1])
    (log,) = moved(bench(tmp_path), [dataclasses.replace(SHORT, n_walkers=1, structure=False)])
    assert log["work"] == [[call.steps, call.adjoint_steps] for call in seen[0].history]
    assert evaluations(log) == pytest.approx(tuple(np.mean(log["work"][runs.N_WARM :], axis=0)))


@pytest.mark.parametrize("n_left", [0, 4])
def test_a_run_that_fails_is_a_log(monkeypatch, tmp_path, n_left):
    run_md = runs.run_md

    def failing(*arguments, n_frames, **options):
        error = SimulationFailed("The run ended 3 fs after its start: it burst. Use another.")
        error.trajectory = run_md(*arguments, n_frames=n_left, **options) if n_left else None
        raise error

    monkeypatch.setattr(runs, "run_md", failing)
    (log,) = moved(bench(tmp_path), [SHORT])
    assert how_it_ended(log) == f"ended after {max(0, n_left - 1)} fs: it burst"
    assert len(log["true_eV"]) == (2 if n_left else 0)
    assert not drifts(log).size or np.isfinite(drifts(log)).all()


def test_a_run_that_was_interrupted_leaves_no_log(monkeypatch, tmp_path):
    run_md, setting = runs.run_md, bench(tmp_path)
    monkeypatch.setattr(runs, "run_md", lambda *a, n_frames, **k: run_md(*a, n_frames=2, **k))
    with pytest.raises(KeyboardInterrupt):
        moved(setting, [SHORT])
    assert not list((tmp_path / "logs").glob("*.json"))


def test_logs_are_plain_json(tmp_path):
    setting = bench(tmp_path)
    moved(setting, [dataclasses.replace(SHORT, model=CONTROL, ensemble="langevin")])
    (path,) = (tmp_path / "logs").glob("langevin-K---4-*.json")
    log = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda word: pytest.fail(word))
    assert evaluations(log) == (0.0, 0.0)


def test_the_drawing_of_time_steps_says_what_is_known():
    fig = against_time_step((0.5, 1.0), {"cold": (20.0, 20.0), "xl+recycle": (8.0, float("nan"))})
    assert "xl+recycle 8 at 0.5 fs, unknown at 1 fs" in alt_text(fig)
