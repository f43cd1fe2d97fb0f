"""Delay matrices as a forecast used them: where they lie, what they hold, which models have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from molecules_for_tests import shaken
from trained import TINY, shaken_ethanol, tiny_run

from asteroid_nb.errors import ModelMismatch, TrajectoryTooShort
from asteroid_nb.forecast import sti
from asteroid_nb.forecast.rollout import delay_matrices, predict, window_at
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.transformer import STITransformer

START, HISTORY, HORIZON = 30, TINY.history, TINY.horizon


def run_of(**changes) -> Run:
    """Return an untrained run whose head adds something to the linear rows."""
    torch.manual_seed(0)
    return Run(shaken(STITransformer(TINY.replace(**changes), tiny_run().model.molecule)), 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("frame", ["local", "window", "none"])
@pytest.mark.parametrize("row_stride", [1, 2, 8])
def test_the_true_matrix_holds_the_frames_of_the_trajectory(row_stride, frame):
    matrices = delay_matrices(run_of(row_stride=row_stride, frame=frame), shaken_ethanol(), START)
    assert matrices.truth is not None and matrices.rows[-1] == HISTORY - 1
    assert matrices.truth.shape == matrices.predicted.shape == (len(matrices.rows), HORIZON + 1, 9, 3)
    for number, row in enumerate(matrices.rows):
        for column in range(HORIZON + 1):
            stored = shaken_ethanol().positions[START + row + column]
            np.testing.assert_array_equal(matrices.truth[number, column], stored)


@pytest.mark.parametrize("frame", ["local", "window", "none"])
def test_the_first_column_is_what_was_seen_and_the_rest_is_not_the_truth(frame):
    matrices = delay_matrices(run_of(frame=frame), shaken_ethanol(), START)
    assert matrices.truth is not None
    np.testing.assert_allclose(matrices.predicted[:, 0], matrices.truth[:, 0], atol=1e-5)
    assert np.abs(matrices.predicted - matrices.truth)[:, 1:].max() > 1e-3


@pytest.mark.parametrize("shift_ang", [0.0, 1000.0])
def test_their_means_are_the_sti_forecast_where_the_trajectory_lies(shift_ang):
    run, source = run_of(), shaken_ethanol()
    source = source.replace(positions=source.positions + shift_ang)
    matrices, window = delay_matrices(run, source, START), window_at(run, source, START)
    rows = torch.tensor(matrices.rows)
    mean = sti.forecast_from(torch.from_numpy(matrices.predicted)[None], rows, HISTORY)[0].numpy()
    with torch.no_grad():
        expected = run.model.predict(window).sti_forecast
    assert expected is not None
    np.testing.assert_allclose(mean, window.place(expected)[0].numpy(), rtol=0, atol=2e-5)
    np.testing.assert_allclose(matrices.forecast, predict(run, source, starts=START).positions[HISTORY:], atol=2e-5)


def test_times_count_from_the_present():
    times = delay_matrices(tiny_run(), shaken_ethanol()).times_fs
    assert len(times) == HISTORY + HORIZON and times[HISTORY - 1] == 0 and times[-1] == HORIZON


def test_without_a_future_there_is_no_truth():
    source = shaken_ethanol()
    last = source.n_frames - HISTORY
    assert delay_matrices(tiny_run(), source, last - HORIZON).truth is not None
    whole, cut = (delay_matrices(tiny_run(), one, 30) for one in (source, source[: 30 + HISTORY + HORIZON - 1]))
    assert cut.truth is None and np.array_equal(whole.predicted, cut.predicted)
    with pytest.raises(TrajectoryTooShort, match=f"Choose a start between 0 and {last}"):
        delay_matrices(tiny_run(), source, last + 1)


def test_a_stride_reads_every_second_frame():
    fine = shaken_ethanol().replace(dt_fs=0.5)
    truth = delay_matrices(tiny_run(), fine, 3).truth
    assert truth is not None
    np.testing.assert_array_equal(truth[-1, :, 0], fine.positions[3 + 2 * (HISTORY - 1) :: 2, 0][: HORIZON + 1])


def test_a_model_without_them_says_what_to_train():
    with pytest.raises(ModelMismatch, match=r"sti=False.*settings.replace\(sti=True\)"):
        delay_matrices(run_of(sti=False), shaken_ethanol())


def test_another_molecule_is_refused():
    with pytest.raises(ModelMismatch, match="species"):
        delay_matrices(tiny_run(), shaken_ethanol().select(range(8)))
