"""What is loaded from disk: never code, never half of it, and every refusal says why."""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from asteroid_nb.checkpoints import (
    SETTINGS_FILE,
    WEIGHTS_FILE,
    load_checkpoint,
    load_record,
    load_weights,
    save_checkpoint,
    save_model,
)
from asteroid_nb.errors import CorruptModel, DiskFull, ModelMismatch

SETTINGS = {"seed": 3, "betas": (0.9, 0.98), "patience": None}


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "checkpoint.pt"


class TestCheckpoint:
    def test_comes_back_as_it_was(self, path):
        save_checkpoint(path, {"settings": SETTINGS, "best": {"a": torch.arange(3.0)}, "history": [{"epoch": 1}]})
        state = load_checkpoint(path, settings=SETTINGS)
        assert torch.equal(state["best"]["a"], torch.arange(3.0))
        assert state["settings"] == SETTINGS and state["history"] == [{"epoch": 1}]
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_of_other_settings_names_all_that_differ(self, path):
        save_checkpoint(path, {"settings": SETTINGS})
        with pytest.raises(ModelMismatch, match=r"patience: None there, 4 now, seed: 3 there, 5 now"):
            load_checkpoint(path, settings=SETTINGS | {"seed": 5, "patience": 4})

    @pytest.mark.parametrize("pickled_by", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))])
    def test_that_would_run_code_is_refused_and_does_not_run_it(self, path, tmp_path, pickled_by):
        touched = tmp_path / "touched"
        pickled_by({"settings": SETTINGS, "model": Hostile(touched)}, path)
        with pytest.raises(CorruptModel, match="not a checkpoint of ours or is damaged.*Train again without resume"):
            load_checkpoint(path, settings=SETTINGS)
        assert not touched.exists()

    @pytest.mark.parametrize("kept", [0, 0.01, 0.3, 0.7, 0.99])
    def test_cut_off_anywhere_is_refused(self, path, kept):
        save_checkpoint(path, {"settings": SETTINGS, "model": torch.randn(1000)})
        whole = path.read_bytes()
        path.write_bytes(whole[: int(kept * len(whole))])
        with pytest.raises(CorruptModel, match="damaged"):
            load_checkpoint(path, settings=SETTINGS)

    @pytest.mark.parametrize("seed", range(20))
    def test_of_random_bytes_is_refused(self, path, seed):
        path.write_bytes(np.random.default_rng(seed).bytes(300))
        with pytest.raises(CorruptModel, match="not a checkpoint of ours"):
            load_checkpoint(path, settings=SETTINGS)

    @pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"model": 1}, {"settings": 4}, "words", None])
    def test_of_something_else_is_refused(self, path, content):
        torch.save(content, path)
        with pytest.raises(CorruptModel, match="not a checkpoint of ours"):
            load_checkpoint(path, settings=SETTINGS)

    def test_that_is_a_folder_or_missing_is_refused(self, tmp_path):
        for absent in (tmp_path, tmp_path / "none.pt", None):
            with pytest.raises(CorruptModel, match="There is no checkpoint"):
                load_checkpoint(absent, settings=SETTINGS)

    @pytest.mark.parametrize("step", ["write_bytes", "replace"])
    def test_on_a_full_disk_leaves_the_old_one(self, path, monkeypatch, step):
        save_checkpoint(path, {"settings": SETTINGS})
        before = path.read_bytes()

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(*((Path, step) if step == "write_bytes" else (os, step)), full)
        with pytest.raises(DiskFull, match="The disk is full"):
            save_checkpoint(path, {"settings": {"seed": 4}})
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    @pytest.mark.parametrize("save", ["checkpoint", "model"])
    def test_on_a_disk_that_is_really_full_says_so(self, tmp_path, monkeypatch, save):
        whole = Path.write_bytes
        monkeypatch.setattr(Path, "write_bytes", lambda self, data: whole(Path("/dev/full"), data))
        with pytest.raises(DiskFull, match="The disk is full"):
            if save == "checkpoint":
                save_checkpoint(tmp_path / "checkpoint.pt", {"model": torch.zeros(10**6)})
            else:
                save_model(tmp_path / "run", kind="line", record={}, weights={"a": torch.zeros(10**6)})


@pytest.fixture
def model() -> nn.Module:
    return nn.Linear(3, 2)


@pytest.fixture
def folder(tmp_path, model) -> Path:
    record = {"masses": np.array([1.0, 2.0]), "dt_fs": np.float64(0.5)}
    return save_model(tmp_path / "run", kind="line", record=record, weights=model.state_dict())


class TestModelFolder:
    def test_comes_back_as_it_was(self, folder, model):
        record = load_record(folder, kind="line")
        assert record["masses"] == [1.0, 2.0] and record["dt_fs"] == 0.5
        assert set(record["versions"]) == {"asteroid_nb", "torch", "numpy"}
        other = nn.Linear(3, 2)
        load_weights(folder, other)
        assert torch.equal(other.weight, model.weight) and torch.equal(other.bias, model.bias)

    def test_is_two_files_that_others_may_read(self, folder):
        assert {file.name for file in folder.iterdir()} == {SETTINGS_FILE, WEIGHTS_FILE}
        assert folder.joinpath(SETTINGS_FILE).read_text().startswith('{\n "format": 1,\n "kind": "line"')

    def test_keeps_out_what_json_cannot_say(self, tmp_path):
        with pytest.raises(TypeError, match="object cannot be written to settings.json"):
            save_model(tmp_path / "run", kind="line", record={"what": object()}, weights={})
        assert not (tmp_path / "run" / SETTINGS_FILE).exists()

    @pytest.mark.parametrize(
        "text", ["", "{", '{"kind": "line", "format"', "[1, 2]", '"line"', "7", "null", "[" * 10**5]
    )
    def test_with_broken_settings_is_refused(self, folder, text):
        folder.joinpath(SETTINGS_FILE).write_text(text)
        with pytest.raises(CorruptModel, match=r"settings.json cannot be read.*Copy the folder again or train again"):
            load_record(folder, kind="line")

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"kind": "line"}', b'{"format": 1}', b"\x80\x04."])
    def test_with_foreign_settings_is_refused(self, folder, content):
        folder.joinpath(SETTINGS_FILE).write_bytes(content)
        with pytest.raises(CorruptModel, match="settings.json cannot be read"):
            load_record(folder, kind="line")

    @pytest.mark.parametrize(("key", "value"), [("kind", "curve"), ("kind", ["line"]), ("format", 2), ("format", "1")])
    def test_of_another_kind_or_a_newer_format_is_refused(self, folder, key, value):
        path = folder / SETTINGS_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(CorruptModel, match="this version reads a 'line' of format 1.*read it with the asteroid-nb"):
            load_record(folder, kind="line")

    def test_without_settings_is_no_model_folder(self, tmp_path):
        with pytest.raises(CorruptModel, match="it has no settings.json.*Name the folder that training wrote"):
            load_record(tmp_path, kind="line")


class TestWeights:
    def refused(self, folder: Path, model: nn.Module, why: str) -> None:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(CorruptModel, match=rf"missing, damaged or of another model: .*{why}"):
            load_weights(folder, model)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), "a refused file must leave the model as it was"

    def write(self, folder: Path, weights: dict[str, torch.Tensor]) -> Path:
        return save_model(folder, kind="line", record={}, weights=weights)

    def test_that_are_missing(self, folder, model):
        folder.joinpath(WEIGHTS_FILE).unlink()
        self.refused(folder, model, "No such file")

    @pytest.mark.parametrize("kept", [0, 4, 20, -1])
    def test_that_are_cut_off(self, folder, model, kept):
        path = folder / WEIGHTS_FILE
        path.write_bytes(path.read_bytes()[:kept])
        self.refused(folder, model, "")

    def test_that_are_a_pickle(self, folder, model, tmp_path):
        touched = tmp_path / "touched"
        for content in (pickle.dumps(Hostile(touched)), pickle.dumps(Hostile(touched), protocol=0)):
            folder.joinpath(WEIGHTS_FILE).write_bytes(content)
            self.refused(folder, model, "header")
        torch.save({"weight": Hostile(touched)}, folder / WEIGHTS_FILE)
        self.refused(folder, model, "header")
        assert not touched.exists()

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_that_are_not_finite(self, folder, model, value):
        self.write(folder, {"weight": torch.full((2, 3), value), "bias": torch.zeros(2)})
        self.refused(folder, model, "weight holds NaN or infinity")

    def test_that_are_too_few_or_too_many_or_of_another_shape_or_type(self, folder, model):
        good = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
        for wrong, why in (
            ({"weight": good["weight"]}, "bias is missing"),
            (good | {"extra": torch.zeros(1)}, "extra belongs to no part of the model"),
            (good | {"bias": torch.zeros(3)}, r"bias is \[3\] torch.float32, needed is \[2\] torch.float32"),
            (good | {"bias": torch.zeros(2).half()}, r"bias is \[2\] torch.float16, needed"),
        ):
            self.write(folder, wrong)
            self.refused(folder, model, why)
