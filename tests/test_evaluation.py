"""Rivals against the truth: nobody sees the future, all see the same windows, the numbers are those of the metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trained import shaken_ethanol, tiny_run

from asteroid_nb import evaluation
from asteroid_nb.data.windows import Window, Windows, WindowShape
from asteroid_nb.errors import ModelMismatch
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast.baselines import ConstantVelocity, Copy

SHAPE = WindowShape(history=8, horizon=8)


class Spy:
    """Holds the present frame, and notes what it was shown."""

    def __init__(self, name: str = "spy") -> None:
        self.name, self.shown = name, []

    def forecast(self, window: Window) -> torch.Tensor:
        self.shown.append(window)
        return window.history[:, -1:].expand(-1, SHAPE.horizon, -1, -1)


@pytest.fixture(scope="module")
def windows() -> Windows:
    walkers = [shaken_ethanol()[first : first + 40] for first in (0, 60, 130)]
    return Windows(walkers, SHAPE)


def test_no_forecaster_sees_the_future(windows):
    spies = [Spy("one"), Spy("other")]
    evaluate(spies, windows)
    for spy in spies:
        assert spy.shown and all(window.future is None for window in spy.shown)
        with pytest.raises(ValueError, match="has no future"):
            spy.shown[0].truth  # noqa: B018


def test_all_forecasters_see_the_same_windows_batch_by_batch(windows, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH", 10)
    spies = [Spy("one"), Spy("other")]
    table = evaluate(spies, windows)
    assert [len(window) for window in spies[0].shown] == [10] * 7 + [5]
    for one, other in zip(*(spy.shown for spy in spies), strict=True):
        assert torch.equal(one.history, other.history)
    assert table.n_windows == len(windows) == 75


def test_numbers_are_those_computed_by_hand(windows, monkeypatch):
    monkeypatch.setattr(evaluation, "BATCH", 7)
    table = evaluate([Copy(8), ConstantVelocity(8)], windows)
    positions = [walker.positions for walker in windows.trajectories]
    errors = {"copy": [], "constant velocity": []}
    for walker, start in windows.starts:
        path = positions[walker][start : start + 16]
        step = path[7] - path[6]
        for lead in range(8):
            errors["copy"].append(path[7] - path[8 + lead])
            errors["constant velocity"].append(path[7] + (lead + 1) * step - path[8 + lead])
    for name, differences in errors.items():
        difference = np.reshape(differences, (75, 8, 9, 3))
        expected = np.sqrt((difference**2).mean(axis=(0, 2, 3)))
        np.testing.assert_allclose(table.rmse(name), expected, rtol=1e-4)
        np.testing.assert_allclose(table.squared[name], (difference**2).sum(-1), rtol=1e-3, atol=1e-6)
    assert table.names == ("copy", "constant velocity")
    np.testing.assert_allclose(table.lead_times_fs, np.arange(1, 9) * 1.0)
    assert table.atom_labels == shaken_ethanol().labels


def test_starts_and_walkers_say_which_windows(windows):
    table = evaluate(Copy(8), windows)
    assert np.array_equal(np.stack([table.walkers, table.starts], axis=1), windows.starts)
    some = evaluate(Copy(8), windows, most=10)
    assert some.n_windows == 10 and set(some.walkers) == {0, 1, 2}
    assert (some.walkers[0], some.starts[0]) == (0, 0) and (some.walkers[-1], some.starts[-1]) == (2, 24)


def test_one_forecaster_needs_no_list(windows):
    alone, listed = evaluate(Copy(8), windows), evaluate([Copy(8)], windows)
    assert alone.names == ("copy",) and np.array_equal(alone.rmse("copy"), listed.rmse("copy"))


def test_a_name_used_twice_is_refused_before_anybody_works(windows):
    spies = [Spy("same"), Spy("other"), Spy("same")]
    with pytest.raises(ModelMismatch, match="2 forecasters are called 'same'. Give each a name of its own"):
        evaluate(spies, windows)
    assert not spies[0].shown


def test_nobody_to_measure_is_refused(windows):
    with pytest.raises(ModelMismatch):
        evaluate([], windows)


def test_a_trained_model_is_measured_on_what_it_was_trained_for(windows):
    table = evaluate([tiny_run(), Copy(8)], windows)
    forecast, truth = tiny_run().forecast(windows[:]), windows[:].truth
    expected = (forecast - truth).square().mean((0, 2, 3)).sqrt()
    np.testing.assert_allclose(table.rmse("STI-Transformer"), expected, rtol=1e-4)


def test_a_trained_model_is_not_measured_on_other_data():
    source = shaken_ethanol()
    heavy = source.replace(masses=np.where(source.atomic_numbers == 1, 3.024, source.masses))
    for other, why in (
        (Windows([heavy], SHAPE), "heavy hydrogens"),
        (Windows([source.select([1, 0, 2, 3, 4, 5, 6, 8])], SHAPE), "species"),
        (Windows([source.replace(dt_fs=0.75)], SHAPE), "a frame every 0.75 fs"),
        (Windows([source.replace(dt_fs=0.5)], SHAPE), "The window has dt_fs 0.5"),
        (Windows([source], WindowShape(history=6, horizon=8)), "The window has history 6"),
    ):
        with pytest.raises(ModelMismatch, match=why):
            evaluate([Copy(8), tiny_run()], other)


def test_gradients_are_not_kept(windows):
    class Learning(Spy):
        def forecast(self, window):
            assert not torch.is_grad_enabled()
            return super().forecast(window)

    evaluate(Learning(), windows)


def test_a_forecaster_may_be_called_by_another_name(windows):
    table = evaluate({"one": Copy(SHAPE.horizon), "other": Copy(SHAPE.horizon)}, windows)
    assert table.names == ("one", "other")
    np.testing.assert_array_equal(table.rmse("one"), table.rmse("other"))


def test_another_name_does_not_hide_another_molecule(windows):
    with pytest.raises(ModelMismatch, match="species"):
        evaluate({"mine": tiny_run()}, Windows([windows.trajectories[0].select(range(8))], SHAPE))
