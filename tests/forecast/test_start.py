"""What a training starts from by itself, and what is kept where the network makes nothing better."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from contracts.small_models import small_settings, training, validating
from straight_line import Watcher
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, same, shaken_ethanol
from vibrating import vibrating_ethanol

from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.forecast import environment, linear, start, transformer
from asteroid_nb.forecast.newton import can_be_learnt
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import STISettings, preset
from asteroid_nb.forecast.start import first_choice
from asteroid_nb.forecast.training import ForecastTask, train
from asteroid_nb.forecast.transformer import STITransformer


def chosen(dt_fs: float = 1.0, noisy: bool = False, **changes) -> str:
    settings = small_settings(**{"skip": "auto", "conjugate": "none", **changes})
    windows = Windows([vibrating_ethanol(60, dt_fs=dt_fs)], settings.window_shape())
    return first_choice(settings, windows, noisy=noisy)


@pytest.mark.parametrize(
    ("changes", "skip"),
    [
        ({}, "newton"),
        ({"dt_fs": 0.5}, "newton"),
        ({"dt_fs": 2.0}, "ridge"),
        ({"noisy": True}, "ridge"),
        ({"state": "positions"}, "ridge"),
    ],
    ids=str,
)
def test_newton_is_tried_where_histories_are_clean_and_frames_close(changes, skip):
    assert chosen(**changes) == skip


def test_no_potential_of_all_pairs_is_learnt_in_a_box():
    trajectory = vibrating_ethanol(60, dt_fs=1.0)
    boxed = trajectory.replace(cell=np.broadcast_to(20 * np.eye(3), (60, 3, 3)))
    assert can_be_learnt(trajectory) and not can_be_learnt(boxed)


def test_only_presets_that_take_minutes_start_by_themselves():
    assert {name: preset(name).skip for name in ("default", "large", "notebook", "tiny")} == {
        "default": "auto", "large": "auto", "notebook": "ridge", "tiny": "ridge",
    }  # fmt: skip
    assert STISettings() == preset("default")


def test_a_bare_model_starts_from_the_ridge_map():
    assert STITransformer(small_settings(skip="auto"), training().molecule).settings.skip == "ridge"


QUICK = {"n_steps": 12, "n_path_steps": 2}
AUTO = TINY.replace(skip="auto")


def trained(folder=None, *, settings=AUTO, data=shaken_ethanol, potential=QUICK, fit_settings=ONE_EPOCH, **options):
    return train(
        data(), settings=settings, fit_settings=fit_settings, folder=folder, observers=options.pop("observers", ()),
        potential=potential, **options,
    )  # fmt: skip


def test_a_run_knows_what_it_started_from(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "loses_to_a_ridge_map", lambda task: False)
    run = trained(tmp_path)
    assert run.settings.skip == Run.load(tmp_path).settings.skip == "newton"


def test_what_loses_to_a_ridge_map_is_not_started_from(tmp_path):
    with pytest.warns(UserWarning, match="forecasts worse than a ridge map"):  # twelve steps make no potential
        run = trained(tmp_path)
    asked_for = trained(settings=TINY, potential=None)
    assert run.settings.skip == Run.load(tmp_path).settings.skip == "ridge" and same(run, asked_for)
    assert not (tmp_path / start.POTENTIAL_FILE).exists()


@pytest.mark.parametrize("loses", [False, True])
def test_a_resumed_training_keeps_its_start(loses, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "loses_to_a_ridge_map", lambda task: loses)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = trained()
        stopped = trained(tmp_path, observers=[Watcher(stop_after=2)])
    monkeypatch.setattr(start, "loses_to_a_ridge_map", lambda task: pytest.fail("looked again"))
    resumed = trained(tmp_path, resume=True)
    assert not stopped.finished and resumed.finished and same(resumed, whole)


def test_rounded_frames_make_a_potential_that_loses():
    rounded = shaken_ethanol().replace(positions=np.round(shaken_ethanol().positions, 2))
    with pytest.warns(UserWarning, match="Are positions rounded"):
        assert trained(data=lambda: rounded, potential={"n_steps": 200, "n_path_steps": 10}).settings.skip == "ridge"


@pytest.mark.parametrize(("error", "stands"), [(1.0, True), (1.2, True), (0.9, False)])
def test_where_no_epoch_was_better_the_start_stands(error, stands, monkeypatch):
    monkeypatch.setattr(ForecastTask, "validate", lambda *_, **__: error)
    run = train(shaken_ethanol(), settings=TINY, fit_settings=ONE_EPOCH, observers=())
    window = run.model.prepare(run.split.test[:4])
    with torch.no_grad():
        gained = float((run.model.eval()(window).forecast - run.model.at_once(window)).abs().max())
    assert (gained == 0) == stands
    assert ("which therefore stands" in repr(run)) == stands


def test_the_start_stands_as_a_whole():
    model, window = STITransformer(small_settings(), training().molecule), training()[:3]
    model.fit_start(training(), training())
    for head in (model.row_head, model.slot_head):
        torch.nn.init.normal_(head[-1].weight)
    model.stay_at_start()
    found = model.eval()(model.prepare(window))
    assert_close(found.forecast, model.at_once(model.prepare(window)), rtol=0, atol=1e-6)


def test_the_start_does_not_depend_on_how_many_windows_are_held_at_a_time(monkeypatch):
    train, validation = training(), validating()

    def shaken(window: Window) -> list[Window]:
        noise = torch.as_tensor(np.random.default_rng(0).standard_normal(window.history.shape)).float()
        return [window.replace(history=window.history + 0.02 * noise)]

    def fitted() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = STITransformer(small_settings(), train.molecule)
        model.fit_start(train, validation, shaken)
        return model.state_dict()

    whole = fitted()
    monkeypatch.setattr(environment, "TOGETHER", 7)
    monkeypatch.setattr(transformer, "TOGETHER", 7)
    monkeypatch.setattr(linear, "gathered_windows", lambda windows: 7)
    assert len(train) % 7
    assert_close(fitted(), whole, rtol=1e-4, atol=1e-6)
