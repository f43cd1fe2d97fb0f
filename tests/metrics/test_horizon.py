"""Laws of the errors by lead time, their table, and its error bars."""

import dataclasses
import json

import numpy as np
import pytest

from asteroid_nb.errors import ModelMismatch, UnreadableFile
from asteroid_nb.metrics import horizon
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.metrics.resampling import block_labels, resampled_means

MEASURES = (horizon.rmse, horizon.mae, horizon.ade, horizon.fde, horizon.ade_by_lead, horizon.rmse_per_window)


@pytest.fixture
def truth():
    return np.random.default_rng(1).normal(size=(40, 6, 5, 3))


@pytest.fixture
def table(truth):
    noise = np.random.default_rng(2).normal(size=truth.shape)
    growth = np.arange(1, 7)[:, None, None]
    forecasts = {
        "model": truth + 0.01 * growth * noise,
        "copy": truth + 0.03 * growth * noise,
        "flat": truth + 0.04 * noise,
    }
    return ErrorTable.of(forecasts, truth, dt_fs=2.0, walkers=np.arange(40) // 20, starts=np.arange(40) % 20)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_perfect_forecast_has_no_error_and_moving_both_changes_none(measure, truth):
    forecast = truth + np.random.default_rng(3).normal(size=truth.shape)
    assert not np.any(measure(truth, truth))
    np.testing.assert_allclose(measure(forecast + 7, truth + 7), measure(forecast, truth))


def test_a_constant_shift_is_the_shift_per_coordinate_and_root_three_of_it_in_space(truth):
    forecast = truth + 0.1
    np.testing.assert_allclose(horizon.rmse(forecast, truth), 0.1)
    np.testing.assert_allclose(horizon.mae(forecast, truth), 0.1)
    np.testing.assert_allclose(horizon.displacement(forecast, truth), 0.1 * np.sqrt(3))
    assert horizon.ade(forecast, truth) == pytest.approx(0.1 * np.sqrt(3))


def test_one_axis_alone_counts_a_third_per_coordinate(truth):
    forecast = truth + [0.3, 0, 0]
    np.testing.assert_allclose(horizon.rmse(forecast, truth), 0.3 / np.sqrt(3))
    np.testing.assert_allclose(horizon.mae(forecast, truth), 0.1)
    np.testing.assert_allclose(horizon.ade_by_lead(forecast, truth), 0.3)


def test_a_rotated_future_is_an_error(truth):
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert horizon.rmse(truth @ quarter.T, truth).min() > 0.5


def test_errors_stay_with_their_lead_time_window_and_atom(truth):
    forecast = truth.copy()
    forecast[2, 3, 4] += 1.0
    assert list(np.flatnonzero(horizon.rmse(forecast, truth))) == [3]
    assert horizon.rmse(forecast, truth)[3] == pytest.approx(np.sqrt(1 / 200))
    assert np.argwhere(horizon.rmse_per_window(forecast, truth)).tolist() == [[2, 3]]
    assert np.argwhere(horizon.per_atom_rmse(forecast, truth)).tolist() == [[3, 4]]
    assert horizon.ade(forecast, truth) == pytest.approx(np.sqrt(3) / 1200)
    assert horizon.fde(forecast, truth) == 0
    forecast[2, 5, 4] += 1.0
    assert horizon.fde(forecast, truth) == pytest.approx(np.sqrt(3) / 200)


def test_band_of_known_values():
    median, low, high = horizon.band(np.arange(101.0)[:, None] * [1, 2])
    assert (median.tolist(), low.tolist(), high.tolist()) == ([50, 100], [10, 20], [90, 180])


def test_shapes_that_disagree_are_named(truth):
    with pytest.raises(ModelMismatch, match=r"\(40, 5, 5, 3\).*\(40, 6, 5, 3\)"):
        horizon.rmse(truth[:, 1:], truth)
    with pytest.raises(ModelMismatch, match="needs|axis"):
        horizon.rmse(truth[0], truth[0])


def test_the_table_repeats_the_functions(table, truth):
    noise = np.random.default_rng(2).normal(size=truth.shape)
    forecast = truth + 0.01 * np.arange(1, 7)[:, None, None] * noise
    for name in ("rmse", "mae", "ade", "fde", "per_atom_rmse"):
        expected = getattr(horizon, name)(forecast, truth)
        np.testing.assert_allclose(getattr(table, name)("model"), expected, rtol=1e-6)
    np.testing.assert_allclose(table.per_window("model"), horizon.rmse_per_window(forecast, truth), rtol=1e-6)
    np.testing.assert_allclose(table.by_lead("model", "ade"), horizon.ade_by_lead(forecast, truth), rtol=1e-6)
    expected = horizon.band(horizon.rmse_per_window(forecast, truth))
    np.testing.assert_allclose(np.stack(table.band("model")), np.stack(expected), rtol=1e-6)


@pytest.mark.parametrize("measure", ["rmse", "mae", "ade"])
def test_errors_per_atom_are_those_of_tables_of_one_atom(table, truth, measure):
    noise = np.random.default_rng(2).normal(size=truth.shape)
    whole = ErrorTable.of({"model": truth + noise}, truth, dt_fs=2.0)
    per_atom = whole.per_atom("model", measure)
    for atom in range(truth.shape[2]):
        one = ErrorTable.of({"model": (truth + noise)[:, :, [atom]]}, truth[:, :, [atom]], dt_fs=2.0)
        np.testing.assert_allclose(per_atom[:, atom], one.by_lead("model", measure), rtol=1e-6)
    part = whole.per_atom("model", measure, windows=slice(3, 4), leads=slice(1, 2))
    alone = ErrorTable.of({"model": (truth + noise)[3:4, 1:2]}, truth[3:4, 1:2], dt_fs=2.0)
    np.testing.assert_allclose(part, alone.per_atom("model", measure), rtol=1e-6)


def test_ratio_to_one_rival_and_to_the_best_of_several(table):
    np.testing.assert_allclose(table.ratio("model", "copy"), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(
        table.ratio("model", ["copy", "flat"]), [1 / 3, *[1 / 4 * k for k in range(2, 7)]], rtol=1e-6
    )
    assert table.best_of(["copy", "flat"]) == "flat"
    value, low, high = table.mean_ratio("model", "copy")
    assert (value, low, high) == pytest.approx((1 / 3, 1 / 3, 1 / 3), rel=1e-6)


def test_skill_ends_where_the_rival_is_met(table):
    memory = table.skill_horizon_fs("model", "flat")
    assert memory == (8.0, 8.0, 8.0)
    assert table.skill_horizon_fs("copy", "flat").value == 4.0
    assert table.skill_horizon_fs("model", "copy").value == np.inf


def test_the_interval_holds_the_scatter_between_blocks():
    leads, late = np.array([1.0, 2.0, 3.0]), np.repeat([0, 1], 50)
    squared = np.where(late[:, None], [1, 1, 3], [1, 3, 3]).astype(float)
    memory = horizon.skill_horizon_fs(squared, np.full((100, 3), 1.9), leads, blocks=late)
    assert memory == (2.0, 2.0, 3.0)


def test_nan_has_no_skill():
    assert horizon.skill_horizon_fs(np.full((4, 2), np.nan), np.ones((4, 2)), np.array([1.0, 2.0])).value == 1.0


def test_blocks_are_runs_in_time_within_one_walker():
    starts, walkers = np.array([3, 0, 1, 2, 0, 1]), np.array([7, 7, 7, 7, 9, 9])
    assert block_labels(starts, walkers, n_blocks=4).tolist() == [1, 0, 0, 1, 2, 3]
    assert block_labels(starts, walkers, n_blocks=2).tolist() == [0, 0, 0, 0, 1, 1]


def test_block_draws_are_wider_than_single_draws_when_windows_repeat_one_another():
    values = np.repeat(np.random.default_rng(4).normal(size=20), 50)
    single = resampled_means(values, np.arange(1000), n_resamples=500, seed=0).std()
    block = resampled_means(values, np.arange(1000) // 50, n_resamples=500, seed=0).std()
    assert single == pytest.approx(values.std() / np.sqrt(1000), rel=0.15)
    assert block == pytest.approx(values.std() / np.sqrt(20), rel=0.15)


def test_batches_join_to_the_same_table(table, truth):
    noise = np.random.default_rng(2).normal(size=truth.shape) * 0.01 * np.arange(1, 7)[:, None, None]
    halves = [
        ErrorTable.of({"model": (truth + noise)[cut]}, truth[cut], dt_fs=2.0) for cut in (slice(25), slice(25, None))
    ]
    joined = ErrorTable.join(halves)
    assert joined.n_windows == 40
    np.testing.assert_array_equal(joined.rmse("model"), table.rmse("model"))
    with pytest.raises(ModelMismatch, match="differ"):
        ErrorTable.join([table, halves[0]])


def test_saving_and_loading_changes_nothing(table, tmp_path):
    path = table.save(tmp_path / "errors.npz")
    again = ErrorTable.load(path)
    assert again.names == table.names and again.atom_labels == table.atom_labels
    for name in table.names:
        np.testing.assert_array_equal(again.squared[name], table.squared[name])
        np.testing.assert_array_equal(again.absolute[name], table.absolute[name])
    for key in ("lead_times_fs", "starts", "walkers"):
        np.testing.assert_array_equal(getattr(again, key), getattr(table, key))


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: b"x" * 99, lambda data: data[:400]])
def test_damaged_files_are_refused(table, tmp_path, spoil):
    path = table.save(tmp_path / "errors.npz")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UnreadableFile, match="errors.npz is no table of errors"):
        ErrorTable.load(path)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    np.savez(tmp_path / "hostile.npz", names=np.array([print], dtype=object))
    with pytest.raises(UnreadableFile, match="no table"):
        ErrorTable.load(tmp_path / "hostile.npz")


def test_markdown_names_every_forecaster_and_refuses_foreign_lead_times(table):
    lines = table.to_markdown(leads_fs=[2, 12]).splitlines()
    assert lines[0] == "| RMSE / Å | 2 fs | 12 fs | mean | ADE | FDE |"
    assert len(lines) == 5 and lines[2].startswith(
        f"| model | {table.rmse('model')[0]:.4f} | {table.rmse('model')[5]:.4f} "
    )
    with pytest.raises(ValueError, match="No lead time of 3 fs; this table has 2 to 12 fs"):
        table.to_markdown(leads_fs=[3])
    assert "| 2 fs | 4 fs | 8 fs | 12 fs |" in table.to_markdown()


def test_the_dict_is_json_even_after_a_forecast_diverged(table, truth):
    assert json.loads(json.dumps(table.to_dict(), allow_nan=False))["forecasters"]["copy"]["mae"] == pytest.approx(
        table.mae("copy").tolist()
    )
    lost = ErrorTable.of({"model": truth + np.nan}, truth, dt_fs=1.0)
    assert json.dumps(lost.to_dict(), allow_nan=False).count("null") == 18


def test_the_table_refuses_what_does_not_fit(table):
    with pytest.raises(ModelMismatch, match="shapes"):
        ErrorTable(**{**vars(table), "atom_labels": ("C1",)})
    with pytest.raises(KeyError, match="No forecaster 'ridge'.*model, copy, flat"):
        table.rmse("ridge")
    with pytest.raises(ValueError, match="'mse'; choose one of rmse, mae, ade"):
        table.by_lead("model", "mse")


def test_a_forecaster_of_no_number_is_never_the_best(table):
    spoiled = dataclasses.replace(
        table, squared={"bad": np.full_like(table.squared["copy"], np.nan), **table.squared},
        absolute={"bad": table.absolute["copy"], **table.absolute},
    )  # fmt: skip
    assert spoiled.best_of(["bad", "copy", "flat"]) == "flat"


def test_a_forecast_is_right_up_to_the_lead_time_before_its_error_is_too_large(truth, table):
    known = ErrorTable.of({"model": truth + 0.01 * np.arange(1, 7)[:, None, None]}, truth, dt_fs=2.0)
    assert known.right_for_fs("model", 0.035).value == 6.0
    assert known.right_for_fs("model", 0.005).value == 0.0
    assert known.right_for_fs("model", 1.0) == (12.0, 12.0, 12.0)
    found = table.right_for_fs("model", 0.035)
    assert found.low <= found.value <= found.high and found.value in (4.0, 6.0, 8.0)
