"""Attention of many windows, and of which layers there is any in a forecast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import held_out, small_model, walkers
from trained import TINY, shaken_ethanol, tiny_run

from asteroid_nb.errors import InvalidSettings, TrajectoryTooShort
from asteroid_nb.forecast.attention import Attention, recording
from asteroid_nb.forecast.rollout import attention, mean_attention, windows_along
from asteroid_nb.forecast.run import Run

SPAN = TINY.history + TINY.horizon


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_mean_over_windows_is_that_of_one_by_one(batch_size):
    windows = windows_along(tiny_run(), shaken_ethanol(), start=4, n_windows=7)
    found = mean_attention(tiny_run(), windows, batch_size=batch_size)
    each = [attention(tiny_run(), windows[index : index + 1]) for index in range(7)]
    assert set(found) == set(each[0])
    for name, weights in found.items():
        np.testing.assert_allclose(weights, np.mean([one[name] for one in each], axis=0), atol=1e-5)
        assert weights.dtype == np.float32


def test_windows_are_counted_in_batches_not_one_by_one(monkeypatch):
    windows, calls = windows_along(tiny_run(), shaken_ethanol(), n_windows=40), []
    predict = type(tiny_run().model).predict
    monkeypatch.setattr(
        type(tiny_run().model), "predict", lambda *args, **options: calls.append(1) or predict(*args, **options)
    )
    mean_attention(tiny_run(), windows)
    assert len(calls) == 2


def test_windows_spread_from_the_first_to_the_last_that_fits():
    last = shaken_ethanol().n_frames - SPAN
    windows = windows_along(tiny_run(), shaken_ethanol(), start=10, n_windows=4)
    assert windows.starts[:, 1].tolist() == [10, 10 + (last - 10) // 3, 10 + 2 * (last - 10) // 3, last]
    assert windows_along(tiny_run(), shaken_ethanol(), start=5, n_windows=1).starts.tolist() == [[0, 5]]


def test_no_window_is_taken_twice():
    windows = windows_along(tiny_run(), shaken_ethanol()[: SPAN + 2], n_windows=50)
    assert windows.starts[:, 1].tolist() == [0, 1, 2]


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(InvalidSettings, match="n_windows was 0"):
        windows_along(tiny_run(), shaken_ethanol(), n_windows=0)
    with pytest.raises(TrajectoryTooShort, match="Choose a start between 0 and 224"):
        windows_along(tiny_run(), shaken_ethanol(), start=-1, n_windows=3)


@torch.no_grad()
def test_the_conjugate_attends_in_training_alone():
    model, window = small_model(conjugate="subset"), held_out()[:2]
    has_one = [name for name, layer in model.named_modules() if isinstance(layer, Attention) and "conjugate" in name]
    assert has_one
    with recording(model.train()) as trained:
        model(model.prepare(window))
    with recording(model.eval()) as forecast:
        model.forecast(window)
    assert set(has_one) <= set(trained) and not set(has_one) & set(forecast)
    assert not any("conjugate" in name for name in attention(Run(model, 1.0), windows_along_first()))


def windows_along_first():
    return windows_along(Run(small_model(), 1.0), walkers()[0], n_windows=1)[:]


@torch.no_grad()
def test_without_a_decoder_only_the_encoder_attends():
    names = set(attention(Run(small_model(decode="none"), 1.0), windows_along_first()))
    assert names == {f"encoder.0.{kind}" for kind in ("local", "global", "temporal")}
