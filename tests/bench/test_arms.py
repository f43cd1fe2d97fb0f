"""Arms and sources: failed trainings leave records, stopped ones none, and other frames are another arm."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

import asteroid_nb as anb
from asteroid_nb.bench import arms, command, equilibrium
from asteroid_nb.bench.arms import DEQ, MATCHED, Arm, train_all
from asteroid_nb.bench.sources import Source, _fingerprint
from asteroid_nb.cli import main, parser
from asteroid_nb.data.readers import save
from asteroid_nb.equilibrium.force_field import n_parameters
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.errors import InvalidSettings, NotConverged, TrainingDiverged

ARM = Arm(model=DEQ, n_frames=4, n_epochs=2, width=4)


class Trained:
    """What a training gives, without it."""

    finished = True
    history = [{"validation_loss": 4.0, "seconds": 30.0}, {"validation_loss": 3.0, "seconds": 70.0}]

    def errors(self, test):
        return types.SimpleNamespace(_asdict=lambda: {"force_meV_per_ang": 5.0, "energy_meV": 1.0})


def trained(monkeypatch, tmp_path, run):
    def train(*_, folder, **__):
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(run, Exception):
            raise run
        return run

    monkeypatch.setattr(arms, "train_force_field", train)
    return train_all(tmp_path, [ARM], processes=0)


def test_a_record_has_the_time_of_all_its_sessions(monkeypatch, tmp_path):
    (record,) = trained(monkeypatch, tmp_path, Trained())
    assert (record["seconds"], record["validation"], record["late_gain"]) == (70.0, 3.0, 0.25)


@pytest.mark.parametrize("error", [TrainingDiverged("no longer finite"), NotConverged("not reached")])
def test_a_training_that_fails_leaves_a_record(monkeypatch, tmp_path, error):
    (record,) = trained(monkeypatch, tmp_path, error)
    assert record["failed"] == str(error) and "test" not in record


def test_a_model_whose_test_has_no_answer_leaves_a_record(monkeypatch, tmp_path):
    run = Trained()
    monkeypatch.setattr(run, "errors", lambda test: (_ for _ in ()).throw(NotConverged("not reached")), raising=False)
    (record,) = trained(monkeypatch, tmp_path, run)
    assert record["failed"] == "not reached"


def test_a_training_that_was_stopped_leaves_none(monkeypatch, tmp_path):
    run = Trained()
    monkeypatch.setattr(run, "finished", False, raising=False)
    with pytest.raises(KeyboardInterrupt):
        trained(monkeypatch, tmp_path, run)
    assert not list(tmp_path.rglob("arm.json"))


def test_other_frames_are_another_arm_wherever_the_file_lies(tmp_path):
    def folder(name, content):
        (tmp_path / name).write_bytes(content)
        _fingerprint.cache_clear()
        return dataclasses.replace(ARM, source=Source("a", str(tmp_path / name))).folder(tmp_path)

    long = bytes(3 * 2**20)
    first = folder("a", long)
    assert folder("b", long) == first == folder("a", long)
    assert len({first, folder("a", long + b"0"), folder("a", b"1" + long[1:]), folder("a", long[1:] + b"1")}) == 4


def test_layers_are_of_the_arm(tmp_path):
    other = dataclasses.replace(ARM, layer="attention", l_max=2, width=8)
    assert other.settings.layer == "attention" and other.settings.l_max == 2
    assert other.folder(tmp_path) != dataclasses.replace(ARM, width=8).folder(tmp_path)
    matched = dataclasses.replace(other, model=MATCHED, width=32).settings
    assert matched.width % matched.heads == 0 and matched.depth == 4
    assert n_parameters(matched) < n_parameters(matched.replace(width=32))


@pytest.mark.parametrize(
    ("words", "path", "dt_fs"),
    [("a=b.xyz", "b.xyz", None), ("a=b.xyz@0.5", "b.xyz", 0.5), ("a=in@home/b.xyz@2", "in@home/b.xyz", 2.0)],
)
def test_a_source_by_words(words, path, dt_fs):
    assert Source.named(words) == Source("a", path, dt_fs)


@pytest.mark.parametrize("words", ["a=b.xyz@", "a=b.xyz@x", "a=b.xyz@-1", "a=b.xyz@nan", "b.xyz", "a=", "=b"])
def test_words_that_are_no_source(words):
    with pytest.raises(InvalidSettings, match="Write, for example"):
        Source.named(words)


def test_a_files_own_name_may_have_an_at(tmp_path):
    path = tmp_path / "b@300K.xyz"
    path.write_bytes(b"")
    assert Source.named(f"a={path}") == Source("a", str(path))


def test_parts_of_a_single_trajectory_leave_gaps(tmp_path):
    one = anb.sample("ethanol")[0][:100]
    save(one, tmp_path / "one.npz")
    parts = Source("a", str(tmp_path / "one.npz")).parts()
    (train,) = parts.train
    assert parts.single and (train.n_frames, parts.validation.n_frames, parts.test.n_frames) == (68, 6, 18)
    expected = (one[:68], one[72:78], one[82:])
    for part, wanted in zip((train, parts.validation, parts.test), expected, strict=True):
        np.testing.assert_array_equal(part.positions, wanted.positions)
    assert not Source().parts().single


def asked(monkeypatch, *words):
    seen = {}
    monkeypatch.setattr(equilibrium, "run", lambda **told: seen.update(told))
    command.bench(parser().parse_args(["bench", "equilibrium", *words]))
    return seen


def test_the_page_says_what_was_typed(monkeypatch):
    words = ["--small", "--figures", "A1", "C4", "--data", "my ethanol=/far/away/e.npz@0.5", "--seeds", "2"]
    told = asked(monkeypatch, *words, "--epochs", "7", "--frames", "50", "--page", "mine", "--preset", "large")
    assert told["command"] == (
        "asteroid-nb bench equilibrium --small --figures A1 C4 --data 'my ethanol=e.npz@0.5' --preset large --seeds 2 "
        "--epochs 7 --frames 50 --processes 2 --page mine"
    )
    size = told["size"]
    assert (size.seeds, size.n_epochs, size.n_frames, size.layer, size.l_max) == (2, 7, 50, "attention", 2)
    assert told["page"] == "mine"


def test_a_page_of_some_figures_does_not_replace_the_whole(monkeypatch):
    assert asked(monkeypatch)["page"] == "equilibrium"
    assert asked(monkeypatch, "--figures", "A1", "A2")["page"] == "equilibrium-A1-A2"


@pytest.mark.parametrize("option", ["--seeds", "--epochs", "--frames"])
def test_counts_below_one_are_one_message(option, tmp_path, capsys):
    assert main(["bench", "equilibrium", option, "0", "--out", str(tmp_path / "out")]) == 2
    assert f"{option} was 0; it must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("width", [1, 3, 8])
def test_a_twin_of_as_many_weights_is_found_for_narrow_models_too(width):
    assert 1 <= arms.matched_width(ForceFieldSettings(width=width)) <= width
