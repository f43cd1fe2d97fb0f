"""A network that starts from Newton's equations: the start is theirs, is kept, and learning it may be stopped."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from contracts.forecaster import ForecasterContract
from contracts.small_models import small_settings, training, validating
from molecules_for_tests import shaken
from safetensors.torch import load_file, save_file
from straight_line import Watcher
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, same
from vibrating import vibrating_ethanol

from asteroid_nb.errors import CorruptModel, InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.newton import LearnedNewton, NewtonSkip
from asteroid_nb.forecast.rollout import rollout
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.start import POTENTIAL_FILE
from asteroid_nb.forecast.training import ForecastTask, ObjectiveSettings, train
from asteroid_nb.forecast.transformer import STITransformer

QUICK = {"n_steps": 60, "n_path_steps": 6, "batch_size": 64, "observers": ()}


def started(**changes) -> STITransformer:
    """Return a model whose start is learnt and whose network is as it was made."""
    torch.manual_seed(0)
    model = STITransformer(small_settings(skip="newton", **changes), training().molecule)
    model.fit_start(training(), validating(), **QUICK)
    return model.eval()


class TestNewtonItself(ForecasterContract):
    mirrors = True

    @pytest.fixture(scope="class")
    @classmethod
    def forecaster(cls):
        return LearnedNewton.fit(training(), validating(), **QUICK)


class TestStartingFromIt(ForecasterContract):
    """The network on top has noise on its weights, so that whatever it reads shows."""

    @pytest.fixture(scope="class", params=["parallel", "autoregressive"])
    @classmethod
    def forecaster(cls, request):
        model = started(decode=request.param)
        known = {name: value.clone() for name, value in model.skip.state_dict().items()}
        shaken(model)
        model.skip.load_state_dict(known)  # a shaken potential throws its molecule apart
        return model


class TestTheStart:
    def test_an_untrained_network_forecasts_what_newton_does(self):
        model, window = started(), training()[:6]
        assert isinstance(model.skip, NewtonSkip)
        newton = LearnedNewton(model.skip.potential, horizon=8)
        assert_close(model.forecast(window), newton.forecast(window), rtol=0, atol=1e-5)
        assert_close(model.predict(window).sti_forecast[:, -1], newton.forecast(window)[:, -1], rtol=0, atol=1e-5)

    def test_every_row_of_the_delay_matrix_is_the_path_from_its_own_frame(self):
        model, window = started(), training()[:3]
        rows = model.skip(window.history, model.rows)
        for number, row in enumerate(model.rows.tolist()):
            earlier = window.replace(history=window.history[:, : row + 1])
            expected = LearnedNewton(model.skip.potential, horizon=8).forecast(earlier)
            assert_close(rows[:, number, 1:], expected, rtol=0, atol=1e-6)
            assert_close(rows[:, number, 0], window.history[:, row], rtol=0, atol=0)

    def test_training_leaves_the_potential_alone(self):
        model = started().train()
        task = ForecastTask(model, training(), validating(), ObjectiveSettings(), batch_size=16)
        before = {name: value.clone() for name, value in model.skip.state_dict().items()}
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
        batch = next(task.batches(seed=0, device=torch.device("cpu")))
        task.loss(model, batch, done=0.0)["loss"].backward()
        optimiser.step()
        assert_close(dict(model.skip.state_dict()), before, rtol=0, atol=0)
        assert any(one.grad is not None and one.grad.abs().max() > 0 for one in model.row_head.parameters())

    def test_low_precision_around_it_changes_nothing(self):
        model, window = started(), training()[:3]
        exact = model.skip(window.history, model.rows)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_close(model.skip(window.history, model.rows), exact, rtol=0, atol=0)

    def test_without_velocities_there_is_none(self):
        with pytest.raises(InvalidSettings, match="skip='newton' needs velocities"):
            small_settings(skip="newton", state="positions")


FAST = TINY.replace(skip="newton")
TWO_EPOCHS = dataclasses.replace(ONE_EPOCH, n_epochs=2, batch_size=32)


def trained(settings: STISettings = FAST, fit_settings: FitSettings = TWO_EPOCHS, **options) -> Run:
    chosen = {"observers": (), "potential": {"n_steps": 12, "n_path_steps": 4, "batch_size": 32}, **options}
    return train(vibrating_ethanol(240, dt_fs=1.0), settings=settings, fit_settings=fit_settings, **chosen)


class TestRuns:
    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory) -> Run:
        return trained(folder=tmp_path_factory.mktemp("whole"))

    def test_a_folder_holds_the_start(self, whole):
        again, window = Run.load(whole.folder), whole.split.test[:4]
        assert same(again, whole)
        assert_close(again.forecast(window), whole.forecast(window), rtol=0, atol=0)
        assert "learned Newton" in repr(whole) and not (whole.folder / POTENTIAL_FILE).exists()

    @pytest.mark.parametrize(
        ("dt_fs", "stride", "step_fs"), [(2.0, 1, 1.0), (1.0, 1, 1e-9), (1.0, 1, 0.3), (1.0, 1, 0.5), (1e6, 9999, 1.0)]
    )
    def test_forged_steps_are_refused(self, tmp_path, whole, dt_fs, stride, step_fs):
        folder = whole.save(tmp_path / "forged")
        weights = load_file(folder / "weights.safetensors")
        forged = {"skip.dt_fs": torch.tensor(dt_fs), "skip.potential.step_fs": torch.tensor(step_fs)}
        save_file(weights | forged, folder / "weights.safetensors")
        settings = json.loads((folder / "settings.json").read_text())
        told = {"dt_fs": 1.0 if dt_fs == 2.0 else dt_fs, "stride_frames": stride}
        (folder / "settings.json").write_text(json.dumps(settings | told))
        with pytest.raises(CorruptModel, match="whose steps do not fit frames every"):
            Run.load(folder)

    def test_a_new_training_in_a_used_folder_forgets_the_old_one(self, tmp_path, whole):
        trained(folder=tmp_path, potential={"n_steps": 5, "n_path_steps": 0})
        impatient = Watcher()
        impatient.stopped = True
        trained(folder=tmp_path, observers=[impatient])
        assert (tmp_path / POTENTIAL_FILE).is_file()
        assert same(trained(folder=tmp_path, resume=True), whole)

    def test_another_potential_does_not_resume(self, tmp_path):
        trained(folder=tmp_path, observers=[Watcher(stop_after=3)])
        with pytest.raises(ModelMismatch, match="start: "):
            trained(folder=tmp_path, resume=True, potential={"n_steps": 5})

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"potential": {"width": 32}}, "knows no option 'width'; there are"),
            ({"potential": {"observers": ()}}, "knows no option 'observers'"),
            ({"potential": {"n_epochs": 2}}, "knows no option 'n_epochs'"),
            ({"settings": TINY}, "is for skip='newton'; skip is 'ridge'"),
        ],
    )
    def test_options_are_looked_at_first(self, changes, why):
        with pytest.raises(InvalidSettings, match=why):
            trained(**changes)

    def test_stopped_while_the_network_learns(self, tmp_path, whole):
        stopped = trained(folder=tmp_path, observers=[Watcher(stop_after=3)])
        assert not stopped.finished
        assert same(trained(folder=tmp_path, resume=True), whole)

    def test_stopped_while_the_potential_is_learnt(self, tmp_path, whole):
        impatient = Watcher()
        impatient.stopped = True
        stopped = trained(folder=tmp_path, observers=[impatient])
        assert not stopped.finished and not stopped.history and (tmp_path / POTENTIAL_FILE).is_file()
        assert not Run.load(tmp_path).finished
        resumed = trained(folder=tmp_path, resume=True)
        assert resumed.finished and same(resumed, whole)
        assert not (tmp_path / POTENTIAL_FILE).exists()

    def test_chained(self, whole):
        assert rollout(whole, whole.split.test[:2].history, n_blocks=3).shape == (2, 3 * FAST.horizon, 9, 3)

    def test_frames_too_far_apart_are_told(self, tmp_path):
        with pytest.raises(InvalidTrajectory, match="stored every 4 fs; up to 1.5 fs"):
            train(vibrating_ethanol(240, dt_fs=4.0), settings=FAST, folder=tmp_path / "none", observers=())
        assert not (tmp_path / "none").exists()
