"""Several molecules in one network: each keeps what is its own, and none changes what another's model computes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from ase.build import molecule as built
from molecules_for_tests import shaken
from straight_line import Watcher, without_seconds
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, same

import asteroid_nb as anb
from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import CorruptModel, Interrupted, InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.fitting import fit
from asteroid_nb.forecast.kinds import Kinds
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.runs import Runs, loss_of
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings
from asteroid_nb.forecast.several import SeveralTask, train_several
from asteroid_nb.forecast.together import SHARED, Together
from asteroid_nb.forecast.training import ForecastTask, maker, train
from asteroid_nb.forecast.transformer import STITransformer

NAMES = {"ethanol": "CH3CH2OH", "methanol": "CH3OH"}
PLAIN = ObjectiveSettings(exchange=False, reverse=False)
TWO_EPOCHS = dataclasses.replace(ONE_EPOCH, n_epochs=2, batch_size=32)


def vibrating(name: str, n_frames: int = 240, *, dt_fs: float = 1.0, seed: int = 0) -> Trajectory:
    draw, atoms = np.random.default_rng(seed), built(name)
    frequency, phase = draw.uniform(0.1, 0.6, (1, len(atoms), 3)), draw.uniform(0, 6, (1, len(atoms), 3))
    shake = 0.05 * np.sin(frequency * np.arange(n_frames)[:, None, None] + phase)
    at_rest = atoms.positions + draw.normal(scale=0.03, size=atoms.positions.shape)
    return Trajectory(at_rest + shake, atoms.numbers, dt_fs=dt_fs, name=name)


@functools.cache
def data() -> dict[str, Trajectory]:
    return {name: vibrating(made, 240 - 5 * number) for number, (name, made) in enumerate(NAMES.items())}


def parts(settings: STISettings = TINY) -> dict[str, Split]:
    return {name: split(one, settings.window_shape()) for name, one in data().items()}


def task_of(settings: STISettings = TINY, objective: ObjectiveSettings = PLAIN, batch_size: int = 16) -> SeveralTask:
    """Return a task whose network has noise on its weights, so that whatever it reads shows."""
    fitting, divided = dataclasses.replace(ONE_EPOCH, batch_size=batch_size), parts(settings)
    kinds = Kinds.of([part.train.molecule for part in divided.values()])
    tasks = [maker(part, objective, fitting, kinds)(settings, None) for part in divided.values()]
    for task in tasks:
        task.model.fit_start(task.train, task.validation, task.variants)
    together = Together(dict(zip(divided, (task.model for task in tasks), strict=True)))
    owned = {name: value.clone() for name, value in together.state_dict().items() if ".skip." in name}
    shaken(together)
    together.load_state_dict(together.state_dict() | owned)
    return SeveralTask(together, tasks)


def trained(data: object = None, **options) -> Runs:
    options = {"settings": TINY, "fit_settings": TWO_EPOCHS, "observers": ()} | options
    return train(globals()["data"]() if data is None else data, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def runs() -> Runs:
    """Return a training that nobody may change."""
    return trained()


def alike(one: Runs, other: Runs) -> bool:
    return list(one) == list(other) and all(same(one[name], other[name]) for name in one)


class TestTogether:
    def test_everything_the_network_learns_is_shared_and_nothing_else(self):
        together = task_of().model
        first, second = (dict(member.named_parameters()) for member in together.members)
        assert first.keys() == second.keys()
        assert all(first[name] is second[name] for name in first)
        assert all(any(name.startswith(path) for path in SHARED) for name in first)
        buffers = [dict(member.named_buffers()) for member in together.members]
        own = [name for name in buffers[0] if not name.endswith("centres")]
        assert all(buffers[0][name] is not buffers[1][name] for name in own)

    def test_a_shared_weight_is_kept_once(self):
        together = task_of().model
        weights = [name for name in together.state_dict() if name in dict(together.named_parameters())]
        assert len(weights) == len(list(together.parameters()))
        assert not any(name.startswith("members.1.encoder.") for name in together.state_dict())

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: module.to(torch.float64)], ids=["copy", "moved"])
    def test_a_copy_shares_as_the_original_does(self, copied):
        together = copied(task_of().model)
        first, second = (list(member.parameters()) for member in together.members)
        assert all(one is other for one, other in zip(first, second, strict=True))

    def test_loaded_weights_reach_every_molecule(self):
        told, given = task_of().model, shaken(task_of().model, seed=5)
        assert isinstance(told, Together) and isinstance(given, Together)
        told.load_state_dict(given.state_dict())
        for one, other in zip(told.members, given.members, strict=True):
            expected = other.state_dict()
            assert all(torch.equal(value, expected[name]) for name, value in one.state_dict().items())

    def test_a_missing_shared_weight_is_told_by_its_first_name(self):
        together = task_of().model
        state = together.state_dict()
        del state["members.0.row_head.1.weight"]
        with pytest.raises(RuntimeError, match=r"members\.0\.row_head\.1\.weight"):
            together.load_state_dict(state)


class TestOfEachMolecule:
    def test_the_others_change_nothing(self):
        """Nothing is padded: beside a larger molecule the smaller has the forecast it has alone, to the last bit."""
        task = task_of()
        for number, (name, part) in enumerate(parts().items()):
            kinds = task.model[name].kinds
            alone = STITransformer(TINY, part.train.molecule, kinds)
            alone.load_state_dict(task.model[name].state_dict())
            window = part.test[:6]
            with torch.no_grad():
                expected = alone.eval().forecast(window)
                inside = task.model.eval()(task.model[name].prepare(window), molecule=number).forecast
            assert_close(inside, expected, rtol=0, atol=0)

    def test_atoms_listed_otherwise_give_the_forecast_listed_otherwise(self):
        part, model = parts()["ethanol"], task_of().model["ethanol"]
        order = np.random.default_rng(3).permutation(9)
        whole = data()["ethanol"]
        other = Trajectory(whole.positions[:, order], whole.atomic_numbers[order], dt_fs=whole.dt_fs)
        again = split(other, TINY.window_shape())
        relisted = STITransformer(TINY, again.train.molecule, model.kinds)
        shared = {name: value for name, value in model.state_dict().items() if name in dict(model.named_parameters())}
        relisted.load_state_dict(relisted.state_dict() | shared)
        relisted.fit_start(again.train, again.validation)
        model.fit_start(part.train, part.validation)
        with torch.no_grad():
            expected = model.eval().forecast(part.test[:6])[:, :, order]
            assert_close(relisted.eval().forecast(again.test[:6]), expected, rtol=0, atol=2e-4)

    @pytest.mark.parametrize(
        "changes",
        [{}, {"decode": "autoregressive"}, {"pairs": "listed"}, {"conjugate": "subset"}, {"atom_identity": False},
         {"frame": "window"}, {"spatial": "global"}, {"local": "variable"}],
        ids=str,
    )  # fmt: skip
    def test_a_step_on_one_teaches_all(self, changes):
        task = task_of(TINY.replace(**changes), batch_size=4)
        batch = next(batch for batch in task.batches(seed=0, device=torch.device("cpu")) if batch.molecule == 1)
        losses = task.loss(task.model.train(), batch, done=0.0)
        losses["loss"].backward()
        assert losses["loss"].isfinite()
        told = [weight.grad is not None and bool(weight.grad.abs().max() > 0) for weight in task.model.parameters()]
        assert np.mean(told) > 0.7
        for member in task.model.members:
            heads = [weight.grad for name, weight in member.named_parameters() if name.startswith("row_head")]
            assert heads and all(grad is not None and grad.abs().max() > 0 for grad in heads)


class TestTheTask:
    def test_an_epoch_holds_every_molecules_batches_in_a_drawn_order(self):
        task, cpu = task_of(), torch.device("cpu")
        turns = [batch.molecule for batch in task.batches(seed=1, device=cpu)]
        assert [turns.count(number) for number in range(2)] == [one.n_steps for one in task.tasks]
        assert len(turns) == task.n_steps and turns != sorted(turns)
        assert turns == [batch.molecule for batch in task.batches(seed=1, device=cpu)]
        assert turns != [batch.molecule for batch in task.batches(seed=2, device=cpu)]

    def test_batches_of_one_molecule_are_those_of_its_own_task(self):
        task, cpu = task_of(objective=ObjectiveSettings()), torch.device("cpu")
        found = [batch for batch in task.batches(seed=1, device=cpu) if batch.molecule == 1]
        for batch, expected in zip(found, task.tasks[1].batches(seed=1, device=cpu), strict=True):
            assert_close(batch.history, expected.history, rtol=0, atol=0)
            assert_close(batch.truth, expected.truth, rtol=0, atol=0)

    def test_validation_is_the_mean_over_molecules(self):
        task, cpu = task_of(), torch.device("cpu")
        with torch.no_grad():
            each = [one.validate(one.model.eval(), device=cpu) for one in task.tasks]
            assert task.validate(task.model.eval(), device=cpu) == pytest.approx(np.mean(each))
        assert task.measured == dict(zip(map(loss_of, NAMES), each, strict=True))


class TestTraining:
    def test_the_order_of_a_dictionary_changes_nothing(self, runs):
        turned = trained(dict(reversed(data().items())))
        assert alike(turned, runs) and without_seconds(turned.history) == without_seconds(runs.history)

    def test_one_molecule_in_it_is_that_molecule_trained_by_kinds(self):
        one = trained({"ethanol": data()["ethanol"]})
        part = parts()["ethanol"]
        task = maker(part, ObjectiveSettings(), TWO_EPOCHS, Kinds.of([part.train.molecule]))(TINY, None)
        task.model.fit_start(task.train, task.validation, task.variants)
        result = fit(task, TWO_EPOCHS)
        expected, found = task.model.state_dict(), one["ethanol"].model.state_dict()
        scales = () if result.best_validation < 1 else ("row_scale", "slot_scale")
        assert all(torch.equal(found[name], expected[name]) for name in expected if name not in scales)
        assert one["ethanol"].kept_loss == result.best_validation

    def test_each_molecule_is_a_run(self, runs):
        assert isinstance(runs, anb.Runs) and list(runs) == sorted(NAMES)
        for name, run in runs.items():
            assert run.split is not None and run.finished and len(run.history) == 2
            kept = min(runs.history, key=lambda record: record["validation_loss"])
            assert run.kept_loss == kept[loss_of(name)]
            assert run.history[-1]["validation_loss"] == runs.history[-1][loss_of(name)]
            assert not any(key.startswith("validation_loss of") for record in run.history for key in record)
            path = anb.predict(run, data()[name], starts=210)
            assert path.n_frames == TINY.history + TINY.horizon and path.n_atoms == data()[name].n_atoms
            assert np.isfinite(anb.evaluate(run, run.split.test, most=4).ade(run.name))
            assert runs.of_molecule(data()[name]) is run
        assert "2 molecules" in repr(runs) and "methanol: <Run of the STI-Transformer" in repr(runs)

    def test_lists_without_names_are_numbered(self):
        walkers = [[one] for one in data().values()]
        found = trained(walkers, fit_settings=dataclasses.replace(ONE_EPOCH, n_epochs=0))
        assert list(found) == ["0", "1"] and found["1"].model.molecule.n_atoms == 6

    @pytest.mark.parametrize("stop_after", [3, 9])
    def test_resumed_equals_uninterrupted(self, tmp_path, runs, stop_after):
        stopped = trained(folder=tmp_path, observers=[Watcher(stop_after=stop_after)])
        assert not stopped.finished and not Runs.load(tmp_path)["ethanol"].finished
        assert (tmp_path / CHECKPOINT_FILE).is_file()
        resumed = trained(folder=tmp_path, resume=True)
        assert alike(resumed, runs) and without_seconds(resumed.history) == without_seconds(runs.history)

    def test_the_start_stands_for_a_molecule_that_gains_nothing(self, monkeypatch):
        losses = {9: 0.5, 6: 1.2}
        monkeypatch.setattr(ForecastTask, "validate", lambda self, *_, **__: losses[self.model.molecule.n_atoms])
        found = trained()
        for name, part in parts().items():
            model, window = found[name].model, part.test[:4]
            with torch.no_grad():
                added = (model(window).forecast - model.at_once(window)).abs().max()
            assert (added == 0) == (name == "methanol")
        assert "which therefore stands" in repr(found["methanol"])
        assert "which therefore stands" not in repr(found["ethanol"])

    def test_an_ensemble_refuses_several(self):
        with pytest.raises(InvalidSettings, match="forecasts one molecule"):
            anb.train_ensemble(data(), settings=TINY)  # type: ignore[arg-type]


class TestNewton:
    OPTIONS = {
        "settings": TINY.replace(skip="newton"),
        "potential": {"n_steps": 12, "n_path_steps": 4, "batch_size": 32},
    }

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls):
        return trained(**cls.OPTIONS)

    def test_each_molecule_starts_from_a_potential_of_its_own(self, whole):
        first, second = (run.model.skip.potential for run in whole.values())
        assert first is not second and all(not one.requires_grad for one in (*first.parameters(), *second.parameters()))

    def test_stopped_while_a_potential_is_learnt_it_goes_on(self, tmp_path, whole):
        class WhenTheSecondHasBegun(Watcher):
            stopped = property(lambda _: (tmp_path / "potential-01.pt").is_file(), lambda *_: None)  # type: ignore

        with pytest.raises(Interrupted, match="potential of 'methanol' was stopped"):
            trained(folder=tmp_path, observers=[WhenTheSecondHasBegun()], **self.OPTIONS)
        resumed = trained(folder=tmp_path, resume=True, **self.OPTIONS)
        assert alike(resumed, whole)
        assert not list(tmp_path.glob("potential*"))
        assert alike(Runs.load(tmp_path), whole)

    def test_the_choice_is_each_molecules_own_and_known_when_resumed(self, tmp_path, monkeypatch):
        from asteroid_nb.forecast import start

        monkeypatch.setattr(start, "loses_to_a_ridge_map", lambda task: task.model.molecule.n_atoms == 6)
        options = self.OPTIONS | {"settings": TINY.replace(skip="auto")}
        with pytest.warns(UserWarning, match="forecasts worse than a ridge map"):
            stopped = trained(folder=tmp_path, observers=[Watcher(stop_after=3)], **options)
        assert not stopped.finished
        resumed = trained(folder=tmp_path, resume=True, **options)
        assert [run.settings.skip for run in resumed.values()] == ["newton", "ridge"]
        assert [run.settings.skip for run in Runs.load(tmp_path).values()] == ["newton", "ridge"]


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path, runs):
        return Runs(runs.model, runs, history=runs.history).save(tmp_path / "runs")

    def test_comes_back_with_identical_forecasts_and_one_network(self, folder, runs):
        again = Runs.load(folder)
        assert alike(again, runs) and again.history == runs.history and again.finished
        for name, part in parts().items():
            assert torch.equal(again[name].forecast(part.test[:4]), runs[name].forecast(part.test[:4]))
            assert again[name].kept_loss == runs[name].kept_loss and again[name].fitted == runs[name].fitted
        first, second = (run.model for run in again.values())
        assert first.encoder is second.encoder

    def test_saved_again_is_the_same(self, folder, tmp_path):
        again = Runs.load(folder).save(tmp_path / "copy")
        first, second = (json.loads((one / "settings.json").read_text()) for one in (folder, again))
        assert first == second
        assert (folder / "weights.safetensors").read_bytes() == (again / "weights.safetensors").read_bytes()

    def test_one_of_them_can_be_kept_alone(self, tmp_path, runs):
        alone = Run.load(runs["methanol"].save(tmp_path))
        assert same(alone, runs["methanol"]) and repr(alone) == repr(runs["methanol"])

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda record: record.update(molecules={}), "0 molecules"),
            (lambda record: record["molecules"]["ethanol"].pop("kinds"), "make no model"),
            (lambda record: record["molecules"]["ethanol"]["kinds"].update(slots=8), "different networks"),
            (lambda record: record["molecules"]["ethanol"]["kinds"].update(slots=10**9), "1 to 32 slots"),
            (lambda record: record["molecules"]["ethanol"].update(dt_fs=2.0), "different networks"),
            (lambda record: record["molecules"]["ethanol"]["settings"].update(width=9992), "cannot hold"),
            (lambda record: record["molecules"].pop("ethanol"), "another model|make no model"),
            (lambda record: record.pop("history"), "make no model"),
        ],
    )
    def test_with_a_forged_record_is_refused(self, folder, change, said):
        path = folder / "settings.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
        with pytest.raises(CorruptModel, match=said):
            Runs.load(folder)

    def test_of_one_is_not_that_of_several(self, folder):
        with pytest.raises(CorruptModel, match="several molecules"):
            Run.load(folder)


class TestAMoleculeNeverSeen:
    def test_is_forecast_from_a_start_of_its_own(self, runs):
        ether = vibrating("CH3OCH3")
        before = {name: value.clone() for name, value in runs.model.state_dict().items()}
        run = runs.adapt(ether, objective=PLAIN)
        assert run.split is not None and run.kept_loss is not None and run.kept_loss > 0
        assert run.model.encoder is runs["ethanol"].model.encoder
        assert anb.predict(run, ether, starts=200).n_atoms == 9
        assert all(torch.equal(value, before[name]) for name, value in runs.model.state_dict().items())
        with pytest.raises(ModelMismatch, match="were used in training or validation"):
            run.must_not_have_seen(run.split.train)

    def test_that_is_larger_than_all_it_learnt_keeps_its_nearest(self, runs):
        run = runs.adapt(vibrating("C2H6CHOH", seed=2), objective=PLAIN)
        assert run.model.molecule.n_atoms > run.model.kinds.slots  # type: ignore[union-attr]
        assert run.forecast(run.split.test[:2]).isfinite().all()  # type: ignore[union-attr]

    def test_can_be_kept(self, runs, tmp_path):
        run = runs.adapt(vibrating("CH3OCH3"), objective=PLAIN)
        assert same(Run.load(run.save(tmp_path)), run)

    def test_of_another_element_is_refused(self, runs):
        with pytest.raises(ModelMismatch, match="has never seen S"):
            runs.adapt(vibrating("CH3SH"))

    def test_at_another_spacing_is_refused(self, runs):
        with pytest.raises(ModelMismatch, match="every 0.5 fs as read, the network reads one every 1 fs"):
            runs.adapt(vibrating("CH3OCH3", dt_fs=0.5))

    def test_is_not_found_among_the_known(self, runs):
        with pytest.raises(ModelMismatch, match="is none of the molecules 'ethanol', 'methanol'"):
            runs.of_molecule(vibrating("CH3OCH3"))


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "options", "error", "said"),
        [
            ({"a": vibrating("CH3OH"), "b": vibrating("H2O", dt_fs=0.5)}, {}, ModelMismatch, "One network reads one"),
            ({}, {}, InvalidTrajectory, "No molecule was given"),
            ({3: vibrating("CH3OH")}, {}, InvalidSettings, "was called 3"),
            ([vibrating("CH3OH"), [vibrating("H2O")]], {}, InvalidTrajectory, "lists of trajectories"),
            ({"a": vibrating("CH3OH")}, {"parts": parts()["methanol"]}, InvalidSettings, "one Split"),
            (None, {"settings": TINY.replace(horizon=4), "parts": parts()}, ModelMismatch, "do not fit a model"),
        ],
    )
    def test_before_anything_is_computed(self, given, options, error, said):
        with pytest.raises(error, match=said):
            trained(given, **options)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"settings": TINY.replace(width=8)}, "width: 16 there, 8 now"),
            ({"data": {"ethanol": vibrating("CH3CH2OH")}}, r"molecules: \['ethanol', 'methanol'\] there"),
            ({"data": {**data(), "methanol": vibrating("CH3OH")}}, "methanol: n_windows: "),
        ],
    )
    def test_is_a_resumption_with_anything_else(self, tmp_path, change, said):
        trained(folder=tmp_path, observers=[Watcher(stop_after=1)])
        with pytest.raises(ModelMismatch, match=said):
            trained(folder=tmp_path, resume=True, **change)

    def test_is_a_resumption_from_nothing(self, tmp_path):
        with pytest.raises(CorruptModel, match="There is no checkpoint"):
            trained(folder=tmp_path, resume=True)


def test_the_verb_takes_windows_divided_already(runs):
    again = train_several(
        {}, TINY, ObjectiveSettings(), TWO_EPOCHS, stride_frames=1, parts=parts(), folder=None, resume=False,
        observers=(), potential=None,
    )  # fmt: skip
    assert alike(again, runs)
