"""Training: resumed equals uninterrupted, the best average is kept, whatever goes wrong leaves a checkpoint behind."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from straight_line import TRUTH, Line, Watcher, without_seconds

from asteroid_nb import fitting
from asteroid_nb.errors import CorruptModel, DiskFull, InvalidSettings, ModelMismatch, TrainingDiverged
from asteroid_nb.fit_settings import can_be_fused, device_and_precision
from asteroid_nb.fitting import FitSettings, fit

FOUR_EPOCHS = FitSettings(n_epochs=4, learning_rate=0.05, ema_decay=0.8, device="cpu")


def same(one: Line, other: Line) -> bool:
    return torch.equal(one.model.weight, other.model.weight)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "run" / "checkpoint.pt"


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[Line, fitting.FitResult]:
    task = Line()
    return task, fit(task, FOUR_EPOCHS)


class TestResume:
    @pytest.mark.parametrize("stop_after", [1, 3, 5, 12, 15, 19])
    def test_gives_what_the_uninterrupted_training_gives(self, path, uninterrupted, stop_after):
        stopped = fit(Line(), FOUR_EPOCHS, checkpoint=path, observers=[Watcher(stop_after=stop_after)])
        assert not stopped.finished
        assert len(stopped.history) == stop_after // 5
        torch.manual_seed(99)  # what was drawn in between must not matter
        task = Line()
        result = fit(task, FOUR_EPOCHS, checkpoint=path, resume=True)
        assert result.finished
        assert len(task.seen) == 20 - stop_after
        assert same(task, uninterrupted[0])
        assert without_seconds(result.history) == without_seconds(uninterrupted[1].history)
        assert result.best_validation == uninterrupted[1].best_validation

    def test_after_every_single_step(self, path, uninterrupted):
        result, resume = fitting.FitResult(), False
        for _ in range(30):
            task = Line()
            result = fit(task, FOUR_EPOCHS, checkpoint=path, resume=resume, observers=[Watcher(stop_after=1)])
            resume = True
            if result.finished:
                break
        assert result.finished
        assert same(task, uninterrupted[0])
        assert without_seconds(result.history) == without_seconds(uninterrupted[1].history)

    def test_of_a_finished_training_returns_it_and_trains_no_more(self, path, uninterrupted):
        fit(Line(), FOUR_EPOCHS, checkpoint=path)
        task = Line()
        result = fit(task, FOUR_EPOCHS, checkpoint=path, resume=True)
        assert result.finished and not task.seen
        assert same(task, uninterrupted[0])

    @pytest.mark.parametrize(
        "changed", [{"learning_rate": 0.1}, {"seed": 1}, {"n_epochs": 5}, {"patience": 3}, {"precision": "bf16-mixed"}]
    )
    def test_refuses_other_settings_and_names_them(self, path, changed):
        fit(Line(), FOUR_EPOCHS, checkpoint=path, observers=[Watcher(stop_after=3)])
        other = FitSettings(**(vars(FOUR_EPOCHS) | changed))
        name, value = next(iter(changed.items()))
        with pytest.raises(ModelMismatch, match=rf"{name}: .* there, {value!r} now.*Resume with those, or start"):
            fit(Line(), other, checkpoint=path, resume=True)

    def test_refuses_another_identity_of_the_task_and_names_it(self, path):
        fit(Line(width=16, data="ethanol"), FOUR_EPOCHS, checkpoint=path, observers=[Watcher(stop_after=3)])
        with pytest.raises(ModelMismatch, match=r"\(width: 16 there, 24 now\)"):
            fit(Line(width=24, data="ethanol"), FOUR_EPOCHS, checkpoint=path, resume=True)

    def test_refuses_another_model_and_names_the_tensor(self, path):
        fit(Line(), FOUR_EPOCHS, checkpoint=path, observers=[Watcher(stop_after=3)])
        other = Line()
        other.model = torch.nn.Linear(4, 1, bias=False)
        with pytest.raises(ModelMismatch, match=r"weight is \[1, 3\] .*, needed is \[1, 4\]"):
            fit(other, FOUR_EPOCHS, checkpoint=path, resume=True)

    @pytest.mark.parametrize("named", [True, False])
    def test_without_a_checkpoint_says_so(self, path, named):
        watcher = Watcher()
        with pytest.raises(CorruptModel, match=r"no checkpoint at.*Train without resume first"):
            fit(Line(), FOUR_EPOCHS, checkpoint=path if named else None, resume=True, observers=[watcher])
        assert not watcher.told

    @pytest.mark.parametrize("missing", ["model", "optimiser", "counters", "best"])
    def test_of_half_a_checkpoint_says_it_is_damaged(self, path, missing):
        fit(Line(), FOUR_EPOCHS, checkpoint=path, observers=[Watcher(stop_after=3)])
        state = torch.load(path, weights_only=True)
        del state[missing]
        torch.save(state, path)
        with pytest.raises(CorruptModel, match=f"damaged.*{missing}"):
            fit(Line(), FOUR_EPOCHS, checkpoint=path, resume=True)


SCRIPT = """
import sys, time
import torch
from straight_line import Line
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.progress import Bar

class Slow(Line):
    def loss(self, model, batch, *, done):
        time.sleep(0.1)
        print("step", flush=True)
        return super().loss(model, batch, done=done)

torch.set_num_threads(1)
settings = FitSettings(n_epochs=40, learning_rate=0.05, ema_decay=0.8, device="cpu")
result = fit(Slow(), settings, checkpoint=sys.argv[1], observers=[Bar()])
print("finished" if result.finished else "unfinished")
"""


def test_ctrl_c_leaves_one_message_and_a_checkpoint_that_finishes(tmp_path):
    script, path = tmp_path / "train.py", tmp_path / "checkpoint.pt"
    script.write_text(SCRIPT)
    places = os.pathsep.join(str(place) for place in (Path(__file__).parent, Path(__file__).parents[1]))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-W", "error", str(script), str(path)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": places}, **streams)
    for _ in range(3):
        assert process.stdout.readline() == "step\n"
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "Traceback" not in err and "KeyboardInterrupt" not in err
    assert (out + err).count("Stopped after") == 1 and "resume to go on" in out + err
    assert out.endswith("unfinished\n")
    settings = FitSettings(**(vars(FOUR_EPOCHS) | {"n_epochs": 40}))
    resumed, whole = Line(), Line()
    ends = [fit(resumed, settings, checkpoint=path, resume=True), fit(whole, settings)]
    assert all(end.finished for end in ends) and len(resumed.seen) < len(whole.seen)
    assert same(resumed, whole)
    assert without_seconds(ends[0].history) == without_seconds(ends[1].history)


class TestWhatIsKept:
    @pytest.mark.parametrize("decay", [0.0, 0.8])
    def test_is_the_moving_average_of_the_weights_that_steps_leave(self, decay):
        task, left = Line(), []
        watcher = Watcher()
        watcher.step = lambda *_, **__: left.append(task.model.weight.detach().clone())  # type: ignore[method-assign]
        fit(task, FitSettings(n_epochs=1, learning_rate=0.05, ema_decay=decay, device="cpu"), observers=[watcher])
        average = left[0]
        for weights in left[1:]:
            average = decay * average + (1 - decay) * weights
        torch.testing.assert_close(task.model.weight.detach(), average)
        assert torch.equal(average, left[-1]) == (decay == 0)

    def test_is_the_epoch_that_validated_best(self, path):
        falling, rising = Line(validations=[3.0, 1.0, 2.0, 5.0]), Line(validations=[3.0, 1.0])
        result = fit(falling, FOUR_EPOCHS, checkpoint=path)
        fit(rising, FOUR_EPOCHS, observers=[Watcher(stop_after=10)])
        assert result.best_validation == 1.0
        assert [record["validation_loss"] for record in result.history] == [3.0, 1.0, 2.0, 5.0]
        assert same(falling, rising)

    def test_learns(self, uninterrupted):
        longer = Line()
        fit(longer, FitSettings(n_epochs=40, learning_rate=0.1, ema_decay=0.8, device="cpu"))
        assert (longer.model.weight.T - TRUTH).abs().max() < 0.1

    def test_comes_back_on_the_cpu_and_ready(self, uninterrupted):
        task, result = uninterrupted
        assert not task.model.training and task.model.weight.device.type == "cpu"
        assert [record["epoch"] for record in result.history] == [1, 2, 3, 4]
        assert [record["step"] for record in result.history] == [5, 10, 15, 20]
        assert result.history[-1]["seconds_left"] == 0


class TestPatience:
    VALIDATIONS = [3.0, 1.0, 2.0, 1.5, 0.1, 0.1]

    def test_ends_after_that_many_epochs_without_a_better_one(self, path):
        task = Line(validations=list(self.VALIDATIONS))
        settings = FitSettings(n_epochs=6, patience=2, device="cpu")
        result = fit(task, settings, checkpoint=path)
        assert result.finished and result.best_validation == 1.0 and len(result.history) == 4
        again = fit(Line(validations=[]), settings, checkpoint=path, resume=True)
        assert again.finished and len(again.history) == 4

    def test_longer_than_the_bad_stretch_goes_on(self):
        result = fit(Line(validations=list(self.VALIDATIONS)), FitSettings(n_epochs=6, patience=3, device="cpu"))
        assert len(result.history) == 6 and result.best_validation == 0.1


class TestDivergence:
    def test_of_the_loss_says_what_to_do_and_leaves_the_last_checkpoint(self, path):
        watcher = Watcher()
        with pytest.raises(TrainingDiverged, match=r"loss became nan in epoch 2, step 3.*learning rate below 0.05"):
            fit(Line(broken_step=7), FOUR_EPOCHS, checkpoint=path, observers=[watcher])
        assert "TrainingDiverged" in watcher.all_of("finish")[0]
        task = Line()
        result = fit(task, FOUR_EPOCHS, checkpoint=path, resume=True)
        assert len(task.seen) == 15 and result.finished

    def test_of_the_gradient_alone(self):
        class Steep(Line):
            def loss(self, model, batch, *, done):
                return {"loss": (model(batch) * 0).abs().sqrt().sum()}

        with pytest.raises(TrainingDiverged, match="gradient became nan in epoch 1, step 1"):
            fit(Steep(), FOUR_EPOCHS)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_of_the_validation(self, path, value):
        with pytest.raises(TrainingDiverged, match="validation became"):
            fit(Line(validations=[1.0, value]), FOUR_EPOCHS, checkpoint=path)
        assert len(torch.load(path, weights_only=True)["history"]) == 1


def test_the_seed_decides_everything():
    ends = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed + 50)
        task = Line()
        fit(task, FitSettings(n_epochs=2, seed=seed, device="cpu"))
        ends.append(task)
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


def test_epochs_differ_and_follow_the_seed():
    task = Line()
    fit(task, FitSettings(n_epochs=2, device="cpu"))
    assert not torch.equal(task.seen[0], task.seen[5])


class TestObservers:
    def test_are_told_everything_in_order(self):
        watcher = Watcher()
        result = fit(Line(), FitSettings(n_epochs=2, device="cpu"), observers=[watcher])
        epoch = ["step"] * 5 + ["update"]
        assert [what for what, _ in watcher.told] == ["start", *epoch, *epoch, "finish"]
        assert watcher.all_of("start") == [(2, 5)]
        assert watcher.all_of("step") == [(epoch, index) for epoch in range(2) for index in range(5)]
        assert watcher.all_of("update") == result.history
        assert watcher.all_of("finish")[0].startswith("2 of 2 epochs, best validation")

    @pytest.mark.parametrize("broken", ["start", "step", "update", "finish"])
    def test_that_break_are_heard(self, broken, path):
        other = Watcher()
        with pytest.raises(ZeroDivisionError, match=f"broken in {broken}"):
            fit(Line(), FOUR_EPOCHS, checkpoint=path, observers=[other, Watcher(broken=broken)])
        assert len(other.all_of("finish")) == 1

    def test_that_stop_without_a_folder_are_told_that_nothing_was_saved(self):
        watcher = Watcher(stop_after=2)
        fit(Line(), FOUR_EPOCHS, observers=[watcher])
        assert "nothing was saved" in watcher.all_of("finish")[0]


class TestCtrlC:
    def test_is_an_ordinary_interrupt_again_afterwards(self):
        before = signal.getsignal(signal.SIGINT)
        fit(Line(), FOUR_EPOCHS)
        assert signal.getsignal(signal.SIGINT) is before
        with pytest.raises(TrainingDiverged):
            fit(Line(broken_step=0), FOUR_EPOCHS)
        assert signal.getsignal(signal.SIGINT) is before

    def test_ends_after_the_step_under_way(self, path):
        class Interrupting(Line):
            def loss(self, model, batch, *, done):
                if len(self.seen) == 7:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().loss(model, batch, done=done)

        task = Interrupting()
        result = fit(task, FOUR_EPOCHS, checkpoint=path)
        assert not result.finished and len(task.seen) == 8
        assert fit(Line(), FOUR_EPOCHS, checkpoint=path, resume=True).finished

    def test_twice_ends_at_once(self, path):
        class Impatient(Line):
            def loss(self, model, batch, *, done):
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                return super().loss(model, batch, done=done)

        with pytest.raises(KeyboardInterrupt):
            fit(Impatient(), FOUR_EPOCHS, checkpoint=path)
        assert not path.exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_checkpoint_before_it(path, uninterrupted, monkeypatch, code):
    whole = Path.write_bytes

    def full_after_the_second_epoch(self, data):
        if task.n_validated == 3:
            raise OSError(code, os.strerror(code))
        return whole(self, data)

    task = Line()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full_after_the_second_epoch)
        with pytest.raises(DiskFull, match="The disk is full"):
            fit(task, FOUR_EPOCHS, checkpoint=path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    task = Line()
    result = fit(task, FOUR_EPOCHS, checkpoint=path, resume=True)
    assert len(task.seen) == 10 and result.finished
    assert same(task, uninterrupted[0])


class TestDevices:
    @pytest.mark.parametrize(("has_cuda", "expected"), [(False, "cpu"), (True, "cuda")])
    def test_auto_takes_the_gpu_where_there_is_one(self, monkeypatch, has_cuda, expected):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
        assert device_and_precision(FitSettings()) == (expected, "bf16-mixed" if expected == "cuda" else "32-true")

    def test_what_is_asked_for_is_taken(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert device_and_precision(FitSettings(device="cpu")) == ("cpu", "32-true")
        assert device_and_precision(FitSettings(precision="bf16-mixed")) == ("cuda", "bf16-mixed")

    @pytest.mark.parametrize("device", ["cuda", "tpu"])
    def test_that_are_not_there_are_refused(self, monkeypatch, device):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(InvalidSettings, match=f"device was '{device}'.*choose one of 'auto', 'cpu'"):
            fit(Line(), FitSettings(device=device))

    @pytest.mark.parametrize(
        ("has_cuda", "precision", "expected"),
        [(True, "32-true", True), (True, "bf16-mixed", True), (True, "16-mixed", False), (False, "32-true", False)],
    )
    def test_weights_are_updated_by_one_kernel_where_that_can_be(self, monkeypatch, has_cuda, precision, expected):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
        assert can_be_fused(FitSettings(precision=precision)) is expected

    @pytest.mark.parametrize("there", [True, None])
    def test_a_checkpoint_of_another_device_is_gone_on_with_as_this_one_can(self, path, uninterrupted, there):
        fit(Line(), FOUR_EPOCHS, checkpoint=path, observers=[Watcher(stop_after=7)])
        state = torch.load(path, weights_only=False)
        state["optimiser"]["param_groups"][0]["fused"] = there
        torch.save(state, path)
        loop = fitting._Loop(Line(), FOUR_EPOCHS, path)
        loop.resume()
        assert loop.optimiser.param_groups[0]["fused"] is False
        resumed = Line()
        fit(resumed, FOUR_EPOCHS, checkpoint=path, resume=True)
        assert same(resumed, uninterrupted[0])

    def test_bfloat16_trains_on_the_cpu_too(self):
        result = fit(Line(), FitSettings(n_epochs=2, device="cpu", precision="bf16-mixed"))
        assert result.finished and math.isfinite(result.best_validation)

    @pytest.mark.gpu
    def test_the_gpu_trains_and_the_checkpoint_resumes_to_the_same_end(self, path):
        settings = FitSettings(**(vars(FOUR_EPOCHS) | {"device": "cuda", "precision": "32-true"}))
        whole, resumed = Line(), Line()
        fit(whole, settings)
        fit(Line(), settings, checkpoint=path, observers=[Watcher(stop_after=7)])
        fit(resumed, settings, checkpoint=path, resume=True)
        assert whole.seen[0].device.type == "cuda" and whole.model.weight.device.type == "cpu"
        torch.testing.assert_close(resumed.model.weight, whole.model.weight, rtol=1e-6, atol=1e-7)

    @pytest.mark.gpu
    @pytest.mark.parametrize("precision", ["auto", "bf16-mixed"])
    def test_the_gpu_is_found_by_itself(self, precision):
        assert fit(Line(), FitSettings(n_epochs=2, precision=precision)).finished


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_epochs", -1),
        ("batch_size", 0),
        ("patience", 0),
        ("seed", -1),
        ("ema_decay", 1.0),
        ("learning_rate", math.nan),
    ],
)
def test_settings_outside_their_range_are_refused(name, value):
    with pytest.raises(InvalidSettings, match=f"{name} was {value!r}; it must be at least"):
        FitSettings(**{name: value})


@pytest.mark.parametrize("changed", [{"n_devices": 2}, {"n_nodes": 3}, {"n_devices": 8, "n_nodes": 4}])
def test_by_how_many_processes_is_nothing_that_a_resumed_training_must_share(changed):
    loop, other = (fitting._Loop(Line(), FOUR_EPOCHS, None) for _ in range(2))
    other.settings = FitSettings(**(vars(FOUR_EPOCHS) | changed))
    assert other._identity == loop._identity


def test_more_processes_than_windows_in_a_batch_are_refused():
    with pytest.raises(InvalidSettings, match="batch_size was 5: too few windows for 6 processes"):
        fit(Line(), FitSettings(n_devices=3, n_nodes=2, batch_size=5, device="cpu"))
