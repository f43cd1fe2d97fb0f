"""A harmonic molecule: with velocities its future is a linear map of its state, without them nothing determines it."""

from __future__ import annotations

import pytest
import torch
from contracts.small_models import small_settings, untrained
from molecules_for_tests import amplitude_ang, harmonic_windows

from asteroid_nb.data.windows import WindowShape

#: A cold molecule, whose bends are small enough for local frames to turn in proportion.
COLD = {"temperature_K": 0.1}


@torch.no_grad()
def relative_error(settings, **options) -> torch.Tensor:
    """Return, by lead time, the error of the untrained model (its linear forecast) over the amplitude."""
    shape = settings.window_shape()
    train, validation, test = (
        harmonic_windows(shape, seeds=range(*seeds), **options) for seeds in ((0, 3), (3, 4), (4, 5))
    )
    window = test[:]
    forecast = untrained(settings, train, validation).forecast(window.replace(future=None))
    return (forecast - window.truth).square().mean((0, 2, 3)).sqrt() / amplitude_ang(test)


@pytest.mark.parametrize("decode", ["parallel", "autoregressive"])
def test_positions_and_velocities_solve_it_to_one_percent(decode):
    error = relative_error(small_settings(history=2, delay_frames=2, row_stride=1, frame="none", decode=decode))
    assert (error < 0.01).all()


@pytest.mark.parametrize("changes", [{"state": "positions"}, {"history": 1, "delay_frames": 1}], ids=str)
@pytest.mark.parametrize("frame", ["none", "local"])
def test_positions_of_one_frame_do_not(changes, frame):
    error = relative_error(small_settings(frame=frame, row_stride=1, **changes))
    assert (error > 0.1).all()
    assert error[-1] > 0.5


def test_in_local_frames_more_of_the_past_does_the_same():
    error = relative_error(small_settings(delay_frames=8, row_stride=1), **COLD)
    assert (error < 0.01).all()
    assert (relative_error(small_settings(state="positions"), **COLD) > 0.1).all()


def test_reversing_the_velocities_gives_another_future_of_the_same_positions():
    windows = harmonic_windows(WindowShape(history=8, horizon=8))
    window = windows[:50]
    path = torch.cat([window.history, window.truth], dim=1)
    ahead, back = path[:, 8:], path[:, :7].flip(1)  # both leave from frame 7
    assert (ahead[:, :7] - back).square().mean().sqrt() > 0.5 * amplitude_ang(windows)
