"""What a training starts from by itself, and what is kept where the network makes nothing better."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import small_settings, training
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, shaken_ethanol
from vibrating import vibrating_ethanol

from asteroid_nb.data.windows import Windows
from asteroid_nb.forecast.newton import can_be_learnt
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings, preset
from asteroid_nb.forecast.start import with_a_start
from asteroid_nb.forecast.training import ForecastTask, train
from asteroid_nb.forecast.transformer import STITransformer


def chosen(dt_fs: float = 1.0, noise_ang: float = 0.0, **changes) -> str:
    settings = small_settings(**{"skip": "auto", "conjugate": "none", **changes})
    windows = Windows([vibrating_ethanol(60, dt_fs=dt_fs)], settings.window_shape())
    return with_a_start(settings, ObjectiveSettings(noise_ang=noise_ang), windows).skip


@pytest.mark.parametrize(
    ("changes", "skip"),
    [
        ({}, "newton"),
        ({"dt_fs": 0.5}, "newton"),
        ({"dt_fs": 2.0}, "ridge"),
        ({"noise_ang": 0.01}, "ridge"),
        ({"state": "positions"}, "ridge"),
        ({"skip": "constant_velocity"}, "constant_velocity"),
        ({"skip": "ridge"}, "ridge"),
    ],
    ids=str,
)
def test_newton_is_chosen_where_clean_frames_are_close_and_nothing_else_was_asked_for(changes, skip):
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


def test_a_run_knows_what_it_started_from(tmp_path):
    quick = {"n_steps": 12, "n_path_steps": 2}
    settings = TINY.replace(skip="auto")
    run = train(
        shaken_ethanol(), settings=settings, fit_settings=ONE_EPOCH, folder=tmp_path, observers=(), potential=quick
    )
    assert run.settings.skip == Run.load(tmp_path).settings.skip == "newton"


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
