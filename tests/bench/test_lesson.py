"""What the notebook on the equilibrium force field is told: velocities without looking ahead, true energies, honest
counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_force_field import frames, learnt

import asteroid_nb as anb
from asteroid_nb.bench import lesson
from asteroid_nb.data.windows import Window
from asteroid_nb.equilibrium.md import run_md
from asteroid_nb.errors import InvalidSettings, SimulationFailed, TrajectoryTooShort


def test_beemans_velocities_of_an_oscillator_are_of_third_order():
    omega, off = 0.7, []
    for dt_fs in (0.5, 1.0):
        times = 3.0 + np.array([-dt_fs, 0.0])
        places, pushes = np.sin(omega * times), -(omega**2) * np.sin(omega * times)
        found = lesson.beeman_velocities(*places, *pushes, dt_fs=dt_fs)
        off.append(found / (omega * np.cos(omega * times[1])) - 1)
    assert abs(off[1]) < 0.03
    assert 6 < off[1] / off[0] < 10


def window(walker, start=5, history=3):
    path = torch.tensor(np.array(walker.positions[start : start + history], dtype=float))
    return Window.of(path[None], dt_fs=walker.dt_fs)


@pytest.fixture(scope="module")
def walker():
    return run_md(
        learnt(), frames(), n_frames=20, dt_fs=0.5, timestep_fs=0.25, temperature_K=300, policy="linear",
        tolerance=1e-6, progress=False,
    )  # fmt: skip


def dynamics(walker, horizon=8, **options):
    options = {"policy": "linear", "tolerance": 1e-6, "steps_per_frame": 2} | options
    return lesson.Dynamics(learnt(), walker, horizon, **options)


def test_the_forecast_goes_on_where_the_simulation_would(walker):
    seen = window(walker)
    found = seen.place(dynamics(walker).forecast(seen))[0].numpy()
    truth = np.asarray(walker.positions[8:16])
    moved = np.linalg.norm(truth - walker.positions[7], axis=-1).max()
    assert np.abs(found - truth).max() < 0.01 * moved


def test_the_future_cannot_leak(walker):
    seen = window(walker)
    future = torch.randn(1, 8, walker.n_atoms, 3)
    with_future = dynamics(walker).forecast(dataclasses.replace(seen, future=future))
    assert torch.equal(with_future, dynamics(walker).forecast(seen))


def test_windows_of_a_batch_do_not_see_each_other(walker):
    one, other = window(walker, 2), window(walker, 9)
    both = one.replace(history=torch.cat([one.history, other.history]), origin=torch.cat([one.origin, other.origin]))
    together = dynamics(walker, tolerance=1e-9).forecast(both)
    alone = torch.cat([dynamics(walker, tolerance=1e-9).forecast(each) for each in (one, other)])
    assert torch.allclose(together, alone, atol=1e-5, rtol=0)


def test_a_prediction_holds_its_history_and_stays_in_place(walker):
    shifted = walker.replace(positions=np.asarray(walker.positions) + 7.0)
    found = dynamics(walker).predict(shifted, start=5, history=3)
    assert (found.n_frames, found.dt_fs) == (11, walker.dt_fs)
    assert np.allclose(found.positions[:3], shifted.positions[5:8], atol=1e-6)
    assert np.abs(found.positions[3:] - shifted.positions[8:16]).max() < 1e-2
    assert found.provenance["start_frame"] == 5 and found.provenance["tolerance"] == 1e-6


def test_it_stands_beside_other_forecasters(walker):
    from asteroid_nb.data.windows import Windows, WindowShape
    from asteroid_nb.forecast.baselines import Copy

    windows = Windows([walker], WindowShape(history=3, horizon=8), starts=np.array([[0, 1], [0, 6]]))
    table = anb.evaluate([dynamics(walker), Copy(8)], windows)
    assert table.rmse("force field").max() < 0.05 * table.rmse("copy").max()


def test_a_history_of_one_frame_is_refused(walker):
    with pytest.raises(TrajectoryTooShort, match="two frames or more"):
        dynamics(walker).forecast(window(walker, history=1))
    with pytest.raises(InvalidSettings, match="horizon was 0"):
        dynamics(walker, horizon=0)


def test_runs_are_judged_by_the_true_energy_and_count_every_walker():
    loose = lesson.move(learnt(), frames(), policy="previous", tolerance=3e-2, length_fs=20, n_walkers=2, stored_fs=2)
    tight = lesson.move(learnt(), frames(), policy="linear", tolerance=1e-5, length_fs=20, n_walkers=2, stored_fs=2)
    cold = lesson.move(learnt(), frames(), policy="cold", tolerance=1e-5, length_fs=20, n_walkers=2, stored_fs=2)
    assert loose.totals.shape == loose.deviation_percent.shape == (2, 11)
    assert loose.evaluations.shape == (41, 2)
    assert tight.deviation_percent.max() < 0.05 < loose.deviation_percent.mean()
    assert (tight.work < cold.work).all() and (loose.work < tight.work).all()
    times, off = tight.curve
    assert times[-1] == 20 and off[0] == 0
    assert np.abs(off).max() < 5  # meV per atom
    assert loose.drifts.shape == (2,) and not loose.why


def test_a_run_of_too_few_frames_has_no_drift():
    with pytest.raises(SimulationFailed, match="Use a longer run"):
        lesson.move(learnt(), frames(), length_fs=5, n_walkers=1)
    with pytest.raises(SimulationFailed, match="frames are left. The run ended 0 fs after its start"):
        lesson.move(learnt(), frames(), length_fs=50, tolerance=1e-9, n_walkers=2)  # single precision has no 1e-9


def test_tables_say_what_was_found():
    table = lesson.error_table({"learnt": learnt()}, frames()).splitlines()
    nothing, found = (line.split("|") for line in table[2:])
    assert float(found[3]) < float(nothing[3]) and found[1].strip() == "learnt"
    energies = np.asarray(frames().energies)
    assert float(nothing[4]) == pytest.approx(1000 * np.abs(energies - np.median(energies)).mean(), abs=0.06)
    totals = np.array([[0.0, 0.01, 0.02], [0.0, 0.02, 0.04]])
    moved = lesson.Moved(
        walkers=[frames()[:3]] * 2, evaluations=np.full((9, 2), 4.0), totals=totals,
        deviation_percent=np.full((2, 3), 0.5), why="The run ended",
    )  # fmt: skip
    drifts = 1e6 * np.array([0.001, 0.002]) / frames().n_atoms
    said = f"| {drifts.mean():.1f} ± {drifts.std(ddof=1):.1f} | ended early |"
    assert (
        lesson.warning_table({"previous 0.01": moved}).splitlines()[2] == f"| previous 0.01 | 4.0 ± 0.0 | 0.50 {said}"
    )


def test_one_frame_without_a_solution_costs_one_energy(walker):
    places = np.array(walker.positions)
    places[4, 1] = places[4, 0]
    found = lesson._true(learnt(), walker.replace(positions=places))
    whole = lesson._true(learnt(), walker)
    for one, other in zip(found, whole, strict=True):
        assert np.flatnonzero(np.isnan(one)).tolist() == [4]
        np.testing.assert_allclose(np.delete(one, 4), np.delete(other, 4), rtol=1e-4, atol=1e-3)


def test_a_wreck_has_no_energy_but_its_past_has():
    energies = np.array([[1.0, 1.0, 1.0, 1.1, np.nan], [1.0, 1.0, 1.0, 1.0, 1.0]])
    walkers = [frames()[:5]] * 2
    moved = lesson.Moved(walkers=walkers, evaluations=np.ones((9, 2)), totals=energies, deviation_percent=energies)
    assert np.isfinite(moved.drifts).all() and moved.drifts[0] > 0 == moved.drifts[1]
    assert np.isnan(moved.curve[1][-1])
