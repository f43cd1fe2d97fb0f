"""``train`` interrupted, resumed, repeated: the same weights to the last bit."""

from __future__ import annotations

import dataclasses

import pytest
from straight_line import Watcher, without_seconds
from trained import ONE_EPOCH, TINY, same, shaken_ethanol
from vibrating import vibrating_ethanol

from asteroid_nb.errors import CorruptModel, InvalidSettings, ModelMismatch, TrajectoryTooShort
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.rollout import predict
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings
from asteroid_nb.forecast.training import train

TWO_EPOCHS = dataclasses.replace(ONE_EPOCH, n_epochs=2, batch_size=32)  # of four steps each

#: Both draw random numbers while training: Ψ hides atoms, and scheduled sampling chooses whom to follow.
WITH_CHANCE = TINY.replace(conjugate="subset", decode="autoregressive")


def trained(settings: STISettings = TINY, fit_settings: FitSettings = TWO_EPOCHS, **options) -> Run:
    options = {"observers": ()} | options
    return train(options.pop("data", shaken_ethanol()), settings=settings, fit_settings=fit_settings, **options)


@pytest.fixture(scope="module")
def whole() -> Run:
    return trained(WITH_CHANCE)


@pytest.mark.parametrize("stop_after", [3, 4])
def test_resumed_equals_uninterrupted(tmp_path, whole, stop_after):
    stopped = trained(WITH_CHANCE, folder=tmp_path, observers=[Watcher(stop_after=stop_after)])
    assert not stopped.finished and not Run.load(tmp_path).finished
    assert len(stopped.history) == stop_after // 4
    resumed = trained(WITH_CHANCE, folder=tmp_path, resume=True)
    assert resumed.finished and same(resumed, whole)
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    again = Run.load(tmp_path)
    assert same(again, whole) and again.finished


def test_the_same_seed_gives_the_same_and_another_another():
    one_epoch = dataclasses.replace(ONE_EPOCH, batch_size=64)
    one, again, other = (trained(fit_settings=dataclasses.replace(one_epoch, seed=seed)) for seed in (0, 0, 1))
    assert same(one, again) and not same(one, other)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trained(folder=folder, observers=[Watcher(stop_after=1)])
    return folder


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"settings": TINY.replace(width=8)}, "width: 16 there, 8 now"),
            ({"settings": TINY.replace(frame="window")}, "frame: 'local' there, 'window' now"),
            ({"objective": ObjectiveSettings(decoder=2.0)}, "decoder: 1.0 there, 2.0 now"),
            ({"fit_settings": dataclasses.replace(TWO_EPOCHS, batch_size=8)}, "batch_size: 32 there, 8 now"),
            ({"data": vibrating_ethanol(240, dt_fs=0.5)}, "dt_fs: 1.0 there, 0.5 now"),
            ({"data": vibrating_ethanol(280, dt_fs=1.0)}, " there, "),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_is_a_resumption_with_anything_else(self, folder, change, named):
        with pytest.raises(ModelMismatch, match=named):
            trained(folder=folder, resume=True, **change)

    def test_is_a_resumption_from_nothing(self, tmp_path):
        for folder in (tmp_path, None):
            with pytest.raises(CorruptModel, match="There is no checkpoint"):
                trained(folder=folder, resume=True)

    def test_is_too_short_a_trajectory(self):
        with pytest.raises(TrajectoryTooShort, match="leaves no window in part 2 of 3"):
            trained(data=shaken_ethanol()[:100])

    def test_is_a_preset_nobody_has(self):
        with pytest.raises(InvalidSettings, match="No preset is called 'huge'; there are default, tiny"):
            train(shaken_ethanol(), settings="huge")


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = trained(fit_settings=ONE_EPOCH)
    assert run.folder is None and not list(tmp_path.iterdir())


def test_zero_epochs_leave_the_linear_forecast(tmp_path):
    run = trained(fit_settings=dataclasses.replace(ONE_EPOCH, n_epochs=0), folder=tmp_path)
    assert run.finished and run.history == []
    assert predict(Run.load(tmp_path), shaken_ethanol()).n_frames == 16


@pytest.mark.gpu
def test_the_gpu_trains_and_gives_a_model_on_the_cpu(tmp_path):
    run = trained(fit_settings=dataclasses.replace(TWO_EPOCHS, device="cuda"), folder=tmp_path)
    assert run.finished and run.device.type == "cpu"
    expected = trained().history[-1]["validation_loss"]
    assert run.history[-1]["validation_loss"] == pytest.approx(expected, rel=0.05)
