"""What every forecaster must obey, whatever is inside: each forecaster's tests inherit this class and supply it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import held_out
from small_molecules import rotations
from torch.testing import assert_close

from asteroid_nb.data.windows import Window, Windows


class ForecasterContract:
    """Laws of a forecaster of ethanol, 8 frames to 8 frames.

    A subclass supplies the class-scoped fixture ``forecaster`` and may change what it does not claim:

    - ``rotates``: a turned molecule gives the turned forecast, up to rounding;
    - ``mirrors``: a mirrored molecule gives the mirrored forecast. Only what knows no handedness does.

    Up to rounding means: within three times what noise of the last digit in the history does. Forecasters that take
    differences of many frames make much of that digit, so that no fixed number of Å would suit all.
    """

    rotates = True
    mirrors = False

    @pytest.fixture(scope="class")
    @classmethod
    def windows(cls) -> Windows:
        return held_out()

    @pytest.fixture
    def window(self, windows) -> Window:
        return windows[[0, 30, 60, 90, 120]]

    @pytest.fixture(autouse=True)
    def _no_gradients(self):
        with torch.no_grad():
            yield

    @pytest.fixture
    def rounding_ang(self, forecaster, window) -> float:
        noise = 1e-7 * torch.randn(window.history.shape)
        moved = forecaster.forecast(window.replace(history=window.history + noise)) - forecaster.forecast(window)
        assert moved.abs().max() < 0.01
        return 3 * float(moved.abs().max()) + 1e-5

    def test_shape_name_and_finite_numbers(self, forecaster, window):
        assert isinstance(forecaster.name, str) and forecaster.name
        forecast = forecaster.forecast(window)
        assert forecast.shape == window.truth.shape
        assert forecast.dtype == torch.float32
        assert forecast.isfinite().all()

    def test_changing_a_future_frame_changes_nothing(self, forecaster, window):
        forecast = forecaster.forecast(window)
        for frame in range(window.truth.shape[1]):
            future = window.truth.clone()
            future[:, frame] += torch.randn_like(future[:, frame])
            assert_close(forecaster.forecast(window.replace(future=future)), forecast, rtol=0, atol=0)

    def test_no_future_is_needed(self, forecaster, window):
        assert_close(forecaster.forecast(window.replace(future=None)), forecaster.forecast(window), rtol=0, atol=0)

    def test_the_present_is_read(self, forecaster, window):
        history = window.history.clone()
        history[:, -1, 2, 0] += 0.01
        changed = forecaster.forecast(window.replace(history=history)) - forecaster.forecast(window)
        assert (changed.abs().amax((1, 2, 3)) > 1e-3).all()

    def test_other_windows_of_the_batch_change_nothing(self, forecaster, window, rounding_ang):
        together = forecaster.forecast(window)
        for index in range(len(window)):
            alone = Window(
                history=window.history[[index]], origin=window.origin[[index]], dt_fs=window.dt_fs, future=None
            )
            assert_close(forecaster.forecast(alone), together[[index]], rtol=0, atol=rounding_ang)
        history = window.history.clone()
        history[1:] += 0.3 * torch.randn_like(history[1:])
        assert_close(forecaster.forecast(window.replace(history=history))[0], together[0], rtol=0, atol=rounding_ang)

    def test_the_same_twice(self, forecaster, window):
        assert_close(forecaster.forecast(window), forecaster.forecast(window), rtol=0, atol=0)

    def test_the_window_is_left_as_it_was(self, forecaster, window):
        history, origin, dt_fs = window.history.clone(), window.origin.clone(), window.dt_fs
        forecaster.forecast(window)
        assert_close(window.history, history, rtol=0, atol=0)
        assert_close(window.origin, origin, rtol=0, atol=0)
        assert window.dt_fs == dt_fs

    def test_a_shifted_molecule_gives_the_shifted_forecast(self, forecaster, window, rounding_ang):
        bare = window.place(window.history).double()
        here, there = (Window.of(bare + shift, dt_fs=window.dt_fs) for shift in (0.0, 100.0))
        moved = there.place(forecaster.forecast(there)) - here.place(forecaster.forecast(here))
        assert_close(moved, torch.full_like(moved, 100.0), rtol=0, atol=rounding_ang)

    def test_a_turned_molecule_gives_the_turned_forecast(self, forecaster, window, rounding_ang):
        away_ang = turned_apart(forecaster, window, torch.as_tensor(rotations(len(window))).float())
        if self.rotates:
            assert away_ang < rounding_ang
        else:
            assert away_ang > 0.05

    def test_a_mirrored_molecule(self, forecaster, window, rounding_ang):
        mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0])).expand(len(window), 3, 3)
        away_ang = turned_apart(forecaster, window, mirror)
        if self.mirrors:
            assert away_ang < rounding_ang
        else:
            assert away_ang > 0.05


def turned_apart(forecaster, window: Window, rotation: torch.Tensor) -> float:
    """Return by how many Å at most the forecast of the turned window differs from the turned forecast."""
    turned = torch.einsum("wab,wtnb->wtna", rotation, forecaster.forecast(window))
    return float(np.abs((forecaster.forecast(window.rotated(rotation)) - turned).numpy()).max())
