"""A model folder: what is saved comes back, and whatever is wrong with it is named before anything is computed."""

from __future__ import annotations

import json
import pickle
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from trained import shaken_ethanol, tiny_run
from vibrating import vibrating_ethanol

from asteroid_nb.data.splits import split
from asteroid_nb.errors import CorruptModel, ModelMismatch
from asteroid_nb.forecast.rollout import predict, window_at
from asteroid_nb.forecast.run import Run


@pytest.fixture
def folder(tmp_path) -> Path:
    run = tiny_run()
    return Run(run.model, run.dt_fs, history=run.history, split=run.split).save(tmp_path / "run")


def edit(folder: Path, **changes: Any) -> None:
    """Change what settings.json holds; ``settings`` are merged."""
    path = folder / "settings.json"
    record = json.loads(path.read_text())
    changes["settings"] = record["settings"] | changes.get("settings", {})
    path.write_text(json.dumps(record | changes))


class TestFolder:
    def test_comes_back_with_identical_forecasts(self, folder):
        run, again = tiny_run(), Run.load(folder)
        window = window_at(run, shaken_ethanol(), 5)
        assert torch.equal(run.forecast(window), again.forecast(window))
        assert again.settings == run.settings and again.dt_fs == run.dt_fs and again.history == run.history
        ours, theirs = run.model.molecule, again.model.molecule
        for name in ("atomic_numbers", "masses", "bonds", "reference"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))

    def test_saved_again_is_the_same(self, folder, tmp_path):
        edit(folder, stride_frames=3, finished=False)
        again = Run.load(Run.load(folder).save(tmp_path / "copy"))
        assert again.stride_frames == 3 and not again.finished
        first, second = ((place / "settings.json").read_text() for place in (folder, again.folder))
        assert json.loads(first) == json.loads(second)
        first, second = (load_file(place / "weights.safetensors") for place in (folder, again.folder))
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

    def test_says_in_words_what_it_is(self, folder):
        text = (folder / "settings.json").read_text()
        record = json.loads(text)
        assert text.count("\n") > 50
        assert record["kind"] == "sti-transformer" and record["versions"]["torch"] == torch.__version__
        assert record["dt_fs"] == 1.0 and record["stride_frames"] == 1
        assert record["atomic_numbers"] == shaken_ethanol().atomic_numbers.tolist()
        assert record["masses"] == shaken_ethanol().masses.tolist()
        assert record["settings"]["history"] == 8 and record["settings"]["frame"] == "local"

    def test_of_a_strided_training_keeps_its_stride(self, tmp_path):
        run, fine = tiny_run(), vibrating_ethanol(500, dt_fs=0.5)
        parts = split(fine, run.settings.window_shape(2))
        saved = Run(run.model, parts.train.dt_fs, split=parts).save(tmp_path)
        assert Run.load(saved).stride_frames == 2 and Run.load(saved).dt_fs == 1.0


DAMAGED_SETTINGS = {
    "negative width": ({"settings": {"width": -16}}, "width was -16"),
    "heads 0": ({"settings": {"heads": 0}}, "at least 1"),
    "row_stride 0": ({"settings": {"row_stride": 0}}, "."),
    "slot_frames 0": ({"settings": {"slot_frames": 0}}, "at least 1"),
    "width in words": ({"settings": {"width": "wide"}}, "width is 'wide'"),
    "width true": ({"settings": {"width": True}}, "width is True"),
    "sti in words": ({"settings": {"sti": "yes"}}, "sti is 'yes'"),
    "cutoff not a number": ({"settings": {"cutoff_ang": float("nan")}}, "cutoff_ang is nan"),
    "cutoff infinite": ({"settings": {"cutoff_ang": float("inf")}}, "cutoff_ang is inf"),
    "unknown frame": ({"settings": {"frame": "polar"}}, "frame was 'polar'"),
    "unknown setting": ({"settings": {"magic": 1}}, "magic"),
    "no molecule": ({"reference": []}, "."),
    "one mass too few": ({"masses": [12.0] * 8}, "8"),
    "one species too few": ({"atomic_numbers": [6] * 8}, "8 atomic numbers|9"),
    "species of no element": ({"atomic_numbers": [600] * 9}, "600"),
    "masses in words": ({"masses": ["heavy"] * 9}, "heavy"),
    "a mass of NaN": ({"masses": [float("nan")] * 9}, "positive numbers in amu"),
    "a mass of 10^400": ({"masses": [10**400] * 9}, "."),
    "bonds to nowhere": ({"bonds": [[0, 77]]}, "indices of 9 atoms"),
    "bonds of three": ({"bonds": [[0, 1, 2]]}, "."),
    "an exploded reference": ({"reference": [[1e30 * atom, 0, 0] for atom in range(9)]}, "."),
    "no time": ({"dt_fs": 0}, "0"),
    "time backwards": ({"dt_fs": -1}, "-1"),
    "time in words": ({"dt_fs": "soon"}, "soon"),
    "history in words": ({"history": "long"}, "."),
    "settings a list": ({"settings_list": True}, "."),
}


class TestDamagedSettings:
    @pytest.mark.parametrize(("changes", "why"), DAMAGED_SETTINGS.values(), ids=DAMAGED_SETTINGS)
    def test_are_refused_by_name(self, folder, changes, why):
        if changes.pop("settings_list", False):
            record = json.loads((folder / "settings.json").read_text()) | {"settings": [1, 2]}
            (folder / "settings.json").write_text(json.dumps(record))
        else:
            edit(folder, **changes)
        with pytest.raises(
            CorruptModel, match=f"(?s)holds settings that make no model .*({why}).*Copy the folder again"
        ):
            Run.load(folder)

    @pytest.mark.parametrize("missing", ["settings", "masses", "bonds", "reference", "dt_fs", "atomic_numbers"])
    def test_that_lack_something_are_refused(self, folder, missing):
        record = json.loads((folder / "settings.json").read_text())
        del record[missing]
        (folder / "settings.json").write_text(json.dumps(record))
        with pytest.raises(CorruptModel, match=f"make no model.*{missing}"):
            Run.load(folder)

    @pytest.mark.parametrize(
        "huge",
        [
            {"width": 10**12},
            {"width": 9984},
            {"encoder_layers": 10**9},
            {"decoder_layers": 9000},
            {"history": 10**12},
            {"history": 9000, "delay_frames": 9000},
            {"horizon": 10**9, "slot_frames": 10**9},
            {"horizon": 10_000, "slot_frames": 10_000},
            {"registers": 10**10},
            {"width": 10**400},
            {"history": 9000, "delay_frames": 9000, "horizon": 9000, "width": 2, "heads": 1, "slot_frames": 9000},
        ],
        ids=str,
    )
    def test_that_ask_for_terabytes_are_refused_at_once(self, folder, huge):
        edit(folder, settings=huge)
        began, most = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(CorruptModel, match="make no model.*(the largest 10000|cannot hold|Exceeds the limit)"):
            Run.load(folder)
        assert time.perf_counter() - began < 10
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 200_000, "kB more were held"

    def test_of_another_shape_than_the_weights_are_refused(self, folder):
        edit(folder, settings={"width": 8})
        with pytest.raises(CorruptModel, match="of another model: .* needed is"):
            Run.load(folder)


class TestDamagedWeights:
    def change(self, folder: Path, **changes: torch.Tensor | None) -> None:
        path = folder / "weights.safetensors"
        weights = load_file(path) | changes
        save_file({name: value.contiguous() for name, value in weights.items() if value is not None}, path)

    def test_that_are_missing_or_cut_off_are_refused(self, folder):
        path = folder / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(CorruptModel, match="missing, damaged or of another model"):
            Run.load(folder)
        path.unlink()
        with pytest.raises(CorruptModel, match="0 bytes cannot hold"):
            Run.load(folder)

    def test_that_are_a_pickle_are_refused_and_not_run(self, folder, tmp_path):
        class Hostile:
            def __reduce__(self):
                return Path.touch, (tmp_path / "touched",)

        (folder / "weights.safetensors").write_bytes(pickle.dumps([Hostile(), b"0" * 10**6]))
        with pytest.raises(CorruptModel, match="missing, damaged or of another model"):
            Run.load(folder)
        assert not (tmp_path / "touched").exists()

    def test_that_hold_nan_lack_a_tensor_or_have_one_too_many_are_refused(self, folder):
        name = "row_head.1.weight"
        good = load_file(folder / "weights.safetensors")[name]
        for value, why in (
            (good * torch.nan, f"{name} holds NaN"),
            (good[:-1], f"{name} is "),
            (None, f"{name} is missi"),
        ):
            self.change(folder, **{name: value})
            with pytest.raises(CorruptModel, match=why):
                Run.load(folder)
        self.change(folder, **{name: good, "trapdoor": good.clone()})
        with pytest.raises(CorruptModel, match="trapdoor belongs to no part"):
            Run.load(folder)

    @pytest.mark.parametrize("name", ["environment.neighbours", "environment.spanning", "environment.group"])
    @pytest.mark.parametrize("value", [-1, 9, 2**62])
    def test_whose_tables_name_no_atom_are_refused(self, folder, name, value):
        self.change(folder, **{name: torch.full_like(load_file(folder / "weights.safetensors")[name], value)})
        with pytest.raises(CorruptModel, match=f"{name} names no atom"):
            Run.load(folder)


class TestOtherData:
    def test_of_other_species_is_refused(self):
        other = shaken_ethanol().replace(atomic_numbers=shaken_ethanol().atomic_numbers[::-1], masses=None)
        with pytest.raises(ModelMismatch, match=r"holds the species \[1, .*needed are .*in this order"):
            tiny_run().stride_for(other)
        with pytest.raises(ModelMismatch, match="holds the species"):
            predict(tiny_run(), shaken_ethanol().select(range(8)))

    def test_of_heavy_hydrogens_is_refused(self):
        masses = np.where(shaken_ethanol().atomic_numbers == 1, 3.024, shaken_ethanol().masses)
        with pytest.raises(ModelMismatch, match=r"mass 3.024 amu for atom 3, needed is 1.008 \(heavy hydrogens\?\)"):
            predict(tiny_run(), shaken_ethanol().replace(masses=masses))

    @pytest.mark.parametrize("dt_fs", [0.75, 1.5, 2.0, 3.0, 0.9, 0.4])
    def test_of_a_spacing_that_no_stride_reaches_is_refused(self, dt_fs):
        with pytest.raises(ModelMismatch, match=f"a frame every {dt_fs:g} fs, the model every 1 fs.*train on this"):
            tiny_run().stride_for(shaken_ethanol().replace(dt_fs=dt_fs))

    @pytest.mark.parametrize(("dt_fs", "stride"), [(1.0, 1), (0.5, 2), (0.25, 4), (1 / 3, 3), (0.1, 10)])
    def test_of_a_whole_fraction_of_the_spacing_is_read_with_a_stride(self, dt_fs, stride):
        fine = shaken_ethanol().replace(dt_fs=dt_fs)
        assert tiny_run().stride_for(fine) == stride
        assert tiny_run().shape_for(fine).stride_frames == stride

    def test_finer_in_time_gives_the_forecast_of_the_strided(self):
        fine = vibrating_ethanol(100, dt_fs=0.5)
        whole, strided = (predict(tiny_run(), one, starts=start) for one, start in ((fine, 10), (fine[::2], 5)))
        assert whole.dt_fs == strided.dt_fs == 1.0
        assert np.array_equal(whole.positions, strided.positions)

    @pytest.mark.parametrize("wrong", ["history", "atoms", "dt_fs"])
    def test_as_windows_of_another_shape_is_refused(self, wrong):
        window = window_at(tiny_run(), shaken_ethanol(), 0)
        bad = {
            "history": lambda: window.replace(history=window.history[:, 1:]),
            "atoms": lambda: window.replace(history=window.history[:, :, 1:], future=None),
            "dt_fs": lambda: window.replace(dt_fs=0.5),
        }[wrong]()
        with pytest.raises(ModelMismatch, match=f"The window has {wrong} .*, the model"):
            tiny_run().forecast(bad)
