"""Training over states: known chains are learnt, resumed equals uninterrupted, a run refuses foreign data."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from straight_line import Watcher, without_seconds
from token_chains import ENTROPY, THREE, TWO, replicas, ring, tokens

from asteroid_nb.errors import CorruptModel, InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.fitting import FitSettings
from asteroid_nb.states.markov import MarkovChain
from asteroid_nb.states.run import LanguageRun
from asteroid_nb.states.settings import LARGEST, LanguageSettings, LSTMSettings, TransformerSettings
from asteroid_nb.states.training import LanguageTask, train_language
from asteroid_nb.states.windows import StateWindows

SMALL: dict[str, LanguageSettings] = {
    "LSTM": LSTMSettings(context=16, embedding=8, width=24),
    "Transformer": TransformerSettings(context=16, width=16, heads=2, feed_forward=32),
}
both = pytest.mark.parametrize("name", SMALL)
LEARNING = FitSettings(n_epochs=6, batch_size=32, learning_rate=1e-2, ema_decay=0.98, device="cpu")

#: For what needs a run and not a good one: two epochs of six steps, with dropout, which draws random numbers.
TINY: dict[str, LanguageSettings] = {
    "LSTM": LSTMSettings(context=10, embedding=4, width=8, dropout=0.2),
    "Transformer": TransformerSettings(context=10, width=8, heads=2, feed_forward=8, dropout=0.2),
}
BRIEFLY = dataclasses.replace(LEARNING, n_epochs=2, batch_size=8)


def short_rings(n_frames: int = 300):
    return [walker[:n_frames] for walker in ring()]


def briefly(name: str = "LSTM", data=None, **options) -> LanguageRun:
    options = {"settings": TINY[name], "fit_settings": BRIEFLY, "observers": ()} | options
    return train_language(short_rings() if data is None else data, **options)


def same(one: LanguageRun, other: LanguageRun) -> bool:
    first, second = one.model.state_dict(), other.model.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class TestLearns:
    @both
    @pytest.mark.parametrize("truth", [TWO, THREE], ids=["two states", "three states"])
    def test_the_transition_probabilities_of_a_known_chain(self, name, truth):
        n_epochs = {"LSTM": 6, "Transformer": 3}[name]
        options = {"settings": SMALL[name], "fit_settings": LEARNING, "observers": ()}
        run = train_language(replicas(len(truth)), n_epochs=n_epochs, **options)
        made = MarkovChain.fit(run.trajectories(400, n_chains=400), prior=1e-9)
        assert_allclose(made.transition_matrix, truth, atol=0.02)
        assert_allclose(made.frequencies, stationary(truth), atol=0.03)

    @both
    def test_a_memory_that_no_order_1_chain_has(self, name):
        """A walker on a ring turns rarely: without memory each step is a toss-up, with memory it hardly is one.

        The first state of a window tells no direction, so its next is a toss-up even for the best of models.
        """
        run = train_language(ring(), settings=SMALL[name], fit_settings=LEARNING, observers=())
        best = (np.log(2) + (run.context - 1) * ENTROPY) / run.context
        assert run.cross_entropy(ring()[-1]) == pytest.approx(best, abs=0.02)
        assert MarkovChain.fit(ring()).cross_entropy(ring()[-1]) == pytest.approx(np.log(2), abs=0.01)
        made = run.sample(200, n_chains=100)
        turned = np.diff(np.diff(made, axis=1) % 4, axis=1) != 0
        assert turned[:, 1:].mean() == pytest.approx(0.1, abs=0.02)


def stationary(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.matrix_power(matrix, 1000)[0]


class TestValidation:
    def test_is_of_the_replica_held_out_and_in_nats_per_frame(self):
        run = briefly()
        assert run.history[-1]["validation_loss"] == pytest.approx(run.cross_entropy(short_rings()[-1]), rel=1e-6)

    def test_is_of_the_last_replica_or_the_one_named(self):
        first, second, third = short_rings()
        assert same(briefly(data=[first, second, third]), briefly(data=[first, second], validation=third))
        assert briefly().n_training_frames == 600

    def test_never_teaches(self):
        """Every other held-out replica gives the same weights after one epoch, of which there is nothing to choose."""
        once = dataclasses.replace(BRIEFLY, n_epochs=1)
        data = short_rings()
        other = dataclasses.replace(data[2], states=data[2].states[::-1])
        one, another = (briefly(data=[*data[:2], last], fit_settings=once) for last in (data[2], other))
        assert same(one, another)
        assert one.history[0]["validation_loss"] != another.history[0]["validation_loss"]

    def test_ends_training_that_no_longer_helps(self):
        impatient = dataclasses.replace(LEARNING, n_epochs=40, batch_size=4, patience=1)
        run = briefly(data=[states_at_random(seed) for seed in (1, 2)], fit_settings=impatient)
        losses = [record["validation_loss"] for record in run.history]
        assert run.finished and len(losses) < 40
        assert losses[-1] > losses[-2] == min(losses)
        assert run.cross_entropy(states_at_random(2)) == pytest.approx(min(losses), rel=1e-6)


def states_at_random(seed: int):
    return tokens(np.random.default_rng(seed).integers(3, size=120), 3, name=f"noise {seed}")


class TestResume:
    @both
    @pytest.mark.parametrize("stop_after", [4, 7, 10])
    def test_gives_what_the_uninterrupted_training_gives(self, tmp_path, name, stop_after):
        whole = briefly(name)
        stopped = briefly(name, folder=tmp_path, observers=[Watcher(stop_after=stop_after)])
        assert not stopped.finished and not LanguageRun.load(tmp_path).finished
        torch.manual_seed(99)  # what was drawn in between must not matter
        resumed = briefly(name, folder=tmp_path, resume=True)
        assert resumed.finished and same(resumed, whole)
        assert without_seconds(resumed.history) == without_seconds(whole.history)

    @both
    def test_the_same_seed_gives_the_same_and_another_another(self, name):
        one, again, other = (briefly(name, seed=seed) for seed in (0, 0, 1))
        assert same(one, again) and not same(one, other)
        assert not same(*(briefly(name, seed=seed, n_epochs=0) for seed in (0, 1)))

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"settings": TINY["Transformer"]}, "model: 'LSTM' there, 'Transformer' now"),
            ({"settings": dataclasses.replace(TINY["LSTM"], width=9)}, "width: 8 there, 9 now"),
            ({"batch_size": 9}, "batch_size: 8 there, 9 now"),
            ({"data": [ring()[0][5:305], *short_rings()[1:]]}, r"\(states: .* there"),
            ({"data": [*short_rings()[:2], ring()[2][5:305]]}, "validation_states: .* there"),
            ({"data": [dataclasses.replace(one, dt_fs=5.0) for one in short_rings()]}, "dt_fs: 10.0 there, 5.0 now"),
        ],
    )
    def test_refuses_anything_else_and_names_it(self, tmp_path, change, named):
        briefly(folder=tmp_path, observers=[Watcher(stop_after=3)])
        with pytest.raises(ModelMismatch, match=named):
            briefly(folder=tmp_path, resume=True, **change)

    def test_from_nothing_is_refused(self, tmp_path):
        with pytest.raises(CorruptModel, match="There is no checkpoint"):
            briefly(folder=tmp_path, resume=True)


class TestWindows:
    def windows(self, length: int = 5) -> StateWindows:
        return StateWindows([tokens(np.arange(17), 40), tokens(np.arange(20, 26), 40)], length)

    def cut(self, starts: np.ndarray) -> np.ndarray:
        return torch.cat(list(self.windows().batches(starts, 2, torch.device("cpu")))).numpy()

    def test_hold_consecutive_frames_of_one_trajectory(self):
        for seed in range(50):
            cut = self.cut(self.windows().starts(np.random.default_rng(seed)))
            assert cut.shape == (5, 5)
            assert (np.diff(cut, axis=1) == 1).all()

    def test_side_by_side_ask_for_every_frame_but_the_first(self):
        asked = self.cut(self.windows().starts())[:, 1:]
        assert set(range(1, 17)) <= set(asked.ravel().tolist())

    def test_shifted_meet_every_frame_in_the_end(self):
        met = [self.cut(self.windows().starts(np.random.default_rng(seed))) for seed in range(200)]
        assert set(np.unique(met)) == {*range(17), *range(20, 26)}

    @pytest.mark.parametrize("batch_size", [3, 8, 1000])
    def test_batches_are_full_unless_there_are_too_few(self, batch_size):
        windows = StateWindows(short_rings()[:2], 11)
        task = LanguageTask(briefly().model, windows, windows, batch_size)
        batches = list(task.batches(seed=1, device=torch.device("cpu")))
        assert len(batches) == task.n_steps == max(1, 58 // batch_size)
        assert all(batch.shape == (min(batch_size, 58), 11) for batch in batches)

    def test_batches_depend_on_the_seed_alone(self):
        windows = StateWindows(short_rings()[:2], 11)
        task = LanguageTask(briefly().model, windows, windows, 8)
        one, again, other = (torch.cat(list(task.batches(seed=s, device=torch.device("cpu")))) for s in (1, 1, 2))
        assert torch.equal(one, again) and not torch.equal(one, other)


class TestRefused:
    def test_is_nothing(self):
        with pytest.raises(InvalidTrajectory, match="Found 0 trajectories.*one replica must be held out"):
            briefly(data=[])

    @pytest.mark.parametrize("data", [short_rings()[0], short_rings()[:1]])
    def test_is_a_single_trajectory(self, data):
        with pytest.raises(InvalidTrajectory, match=r"Found 1 trajectories.*\[trajectory\[:n\], trajectory\[n:\]\]"):
            briefly(data=data)

    def test_is_validation_on_the_training_data(self):
        first, second, _ = short_rings()
        with pytest.raises(InvalidTrajectory, match="'walker 0' is to be held out but is among the training data"):
            briefly(data=[first, second], validation=first)

    @pytest.mark.parametrize("n_states", [1, 3])
    def test_are_states_that_never_change(self, n_states):
        with pytest.raises(InvalidTrajectory, match="training states never change"):
            briefly(data=[tokens([0] * 50, n_states), tokens([0] * 40, n_states)])

    def test_is_a_context_longer_than_a_trajectory(self):
        with pytest.raises(TrajectoryTooShort, match="spans 300 frames.*'short' has 299.*Shorten the context"):
            data = [*short_rings(), tokens([0, 1] * 150, 4, name="short")[:299]]
            briefly(data=data, settings=TINY["LSTM"].replace(context=299))

    def test_a_context_as_long_as_the_trajectory_leaves_room_for_one_window(self):
        run = briefly(settings=TINY["LSTM"].replace(context=299))
        assert len(run.history) == 2

    @pytest.mark.parametrize(
        ("change", "said"), [({"dt_fs": 5.0}, "a frame every 5 fs, the first one every 10"), ({"n_states": 6}, "has 6")]
    )
    def test_are_replicas_that_differ(self, change, said):
        data = short_rings()
        data[-1] = dataclasses.replace(data[-1], labels=(), **change)
        with pytest.raises(ModelMismatch, match=said):
            briefly(data=data)

    def test_are_states_beyond_their_number_by_the_trajectory_itself(self):
        with pytest.raises(InvalidTrajectory, match="run from 0 to 4; 4 states are numbered 0 to 3"):
            briefly(data=[tokens([0, 4], 4)])


@pytest.fixture(scope="module", params=SMALL)
def saved(request, tmp_path_factory) -> tuple[LanguageRun, str]:
    folder = tmp_path_factory.mktemp(request.param)
    return briefly(request.param, folder=folder), str(folder)


class TestFolder:
    def test_a_loaded_run_is_the_saved_one(self, saved):
        run, folder = saved
        again = LanguageRun.load(folder)
        assert same(run, again) and again.settings == run.settings
        for attribute in ("name", "n_states", "dt_fs", "labels", "history", "n_training_frames", "finished"):
            assert getattr(again, attribute) == getattr(run, attribute)
        assert_array_equal(again.frequencies, run.frequencies)
        assert_array_equal(again.sample(40, seed=3), run.sample(40, seed=3))
        assert repr(again) == repr(run)

    def test_nothing_is_written_without_one(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert briefly().folder is None and not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "change",
        [
            {"n_states": 5},
            {"n_states": 10**9},
            {"model": "GRU"},
            {"dt_fs": 0.0},
            {"dt_fs": None},
            {"labels": ["a"]},
            {"frequencies": [0.5, 0.5]},
            {"frequencies": [0.5, 0.5, 0.5, -0.5]},
            {"history": 3},
            {"settings": {"context": 0}},
            {"settings": {"width": LARGEST}},
            {"settings": {"unheard_of": 1}},
        ],
        ids=str,
    )
    def test_whose_settings_were_changed_is_refused(self, saved, tmp_path, change):
        run, _ = saved
        path = run.save(tmp_path) / "settings.json"
        record = json.loads(path.read_text())
        settings = record["settings"] | change.get("settings", {})
        path.write_text(json.dumps(record | change | {"settings": settings}))
        with pytest.raises(CorruptModel, match="settings that make no model"):
            LanguageRun.load(tmp_path)

    def test_that_is_damaged_foreign_or_absent_is_refused(self, saved, tmp_path):
        run, _ = saved
        weights = run.save(tmp_path) / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-40] + b"\xff" * 40)
        with pytest.raises(CorruptModel, match="NaN or infinity"):
            LanguageRun.load(tmp_path)
        path = tmp_path / "settings.json"
        path.write_text(path.read_text().replace("state-language-model", "sti-transformer"))
        with pytest.raises(CorruptModel, match="holds a 'sti-transformer'"):
            LanguageRun.load(tmp_path)
        with pytest.raises(CorruptModel, match="is not a model folder"):
            LanguageRun.load(tmp_path / "nowhere")


@pytest.mark.gpu
@both
def test_the_gpu_trains_and_samples_what_the_cpu_does(name):
    run, reference = (briefly(name, device=device, settings=SMALL[name]) for device in ("cuda", "cpu"))
    assert run.device.type == "cpu"
    assert run.history[-1]["validation_loss"] == pytest.approx(reference.history[-1]["validation_loss"], rel=0.05)
    on_cpu = run.sample(100, seed=1)
    run.model.to("cuda")
    assert (run.sample(100, seed=1) == on_cpu).mean() > 0.9
