"""A force field's folder: what is saved comes back, what is damaged or foreign is refused beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file
from small_force_field import LOOSE, briefly, frames, untrained_run

from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import CorruptModel, InvalidTrajectory, ModelMismatch, NotConverged

CLOSE = Solver(tolerance=1e-5)


@pytest.fixture
def folder(tmp_path) -> Path:
    run = untrained_run()
    copy = ForceFieldRun(run.model, run.atomic_energies_eV, CLOSE, [{"validation_loss": 7.0}], {"names": ["x"]})
    return copy.save(tmp_path / "run")


def edit(folder: Path, **changes: Any) -> None:
    """Change what settings.json holds; dictionaries are merged."""
    path = folder / "settings.json"
    record = json.loads(path.read_text())
    for key, value in changes.items():
        record[key] = record[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(record))


class TestFolder:
    @pytest.mark.parametrize("changes", [{}, {"direct": True}, {"depth": 2}], ids=["energy", "direct", "twin"])
    def test_comes_back_with_identical_predictions(self, tmp_path, changes):
        run = untrained_run(**changes)
        again = ForceFieldRun.load(ForceFieldRun(run.model, run.atomic_energies_eV).save(tmp_path))
        assert again.settings == run.settings and again.folder == tmp_path
        for one, other in zip(run.predict(frames()[:3]), again.predict(frames()[:3]), strict=True):
            assert np.array_equal(one, other)

    def test_that_training_wrote_comes_back(self, tmp_path):
        run = briefly(folder=tmp_path)
        again = ForceFieldRun.load(tmp_path)
        for name in ("settings", "solver", "history", "trained_on", "finished", "atomic_energies_eV"):
            assert getattr(again, name) == getattr(run, name), name
        assert again.solver == LOOSE.validation and repr(again) == repr(run)
        assert np.array_equal(again.predict(frames()).forces, run.predict(frames()).forces)

    def test_saved_again_is_the_same(self, folder, tmp_path):
        again = ForceFieldRun.load(folder).save(tmp_path / "copy")
        first, second = (json.loads((place / "settings.json").read_text()) for place in (folder, again))
        assert first == second and first["kind"] == "equilibrium-force-field"

    def test_nothing_is_written_without_one(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert briefly(n_epochs=0).folder is None and not list(tmp_path.iterdir())


DAMAGED = {
    "an energy of NaN": ({"atomic_energies_eV": {"6": float("nan")}}, "an atomic energy is not finite"),
    "an energy in words": ({"atomic_energies_eV": {"6": "low"}}, "low"),
    "an unknown element": ({"atomic_energies_eV": {"600": 1.0}}, "600.* are not atomic numbers"),
    "an element in words": ({"atomic_energies_eV": {"carbon": 1.0}}, "carbon"),
    "element 0": ({"atomic_energies_eV": {"0": 1.0}}, "are not atomic numbers"),
    "no elements": ({"atomic_energies_eV": []}, "are not atomic numbers"),
    "a list of energies": ({"atomic_energies_eV": [1.0, 2.0]}, "."),
    "an unknown setting": ({"settings": {"magic": 1}}, "magic"),
    "another layer": ({"settings": {"layer": "dense"}}, "No layer is called 'dense'"),
    "width in words": ({"settings": {"width": "wide"}}, "width was 'wide'"),
    "a huge width": ({"settings": {"width": 4096}}, "weights do not fit into"),
    "a huge depth": ({"settings": {"depth": 64}}, "weights do not fit into"),
    "an impossible cutoff": ({"settings": {"cutoff_ang": float("nan")}}, "cutoff_ang was nan"),
    "no tolerance": ({"solver": {"tolerance": 0}}, "tolerance was 0"),
    "another solver": ({"solver": {"method": "newton"}}, "No solver is called 'newton'"),
    "steps without end": ({"solver": {"max_steps": 10**12}}, "max_steps was 1000000000000"),
    "half a secant": ({"solver": {"window": 0.5}}, "window was 0.5"),
    "a history of words": ({"history": ["epoch 1"]}, "."),
    "a history of numbers": ({"history": [3]}, "."),
    "trained on a number": ({"trained_on": 3}, "."),
}


class TestDamaged:
    @pytest.mark.parametrize(("changes", "why"), DAMAGED.values(), ids=DAMAGED)
    def test_settings_are_refused_by_name(self, folder, changes, why):
        edit(folder, **changes)
        with pytest.raises(CorruptModel, match=f"(?s)holds settings that make no model .*({why})"):
            ForceFieldRun.load(folder)

    @pytest.mark.parametrize(
        "missing", ["settings", "solver", "atomic_energies_eV", "history", "trained_on", "finished"]
    )
    def test_settings_that_lack_something_are_refused(self, folder, missing):
        record = json.loads((folder / "settings.json").read_text())
        del record[missing]
        (folder / "settings.json").write_text(json.dumps(record))
        with pytest.raises(CorruptModel, match=f"make no model.*{missing}"):
            ForceFieldRun.load(folder)

    @pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"kind": "equilibrium-force-field"}', "\x00"])
    def test_settings_that_are_no_record_are_refused(self, folder, text):
        (folder / "settings.json").write_text(text)
        with pytest.raises(CorruptModel, match="settings.json cannot be read"):
            ForceFieldRun.load(folder)

    @pytest.mark.parametrize("change", [{"kind": "sti-transformer"}, {"format": 99}], ids=str)
    def test_another_kind_or_format_is_refused(self, folder, change):
        edit(folder, **change)
        with pytest.raises(CorruptModel, match="this version reads a 'equilibrium-force-field' of format 1"):
            ForceFieldRun.load(folder)

    def test_no_folder_is_refused(self, tmp_path):
        with pytest.raises(CorruptModel, match="is not a model folder"):
            ForceFieldRun.load(tmp_path / "nowhere")

    def test_no_weights_are_refused(self, folder):
        (folder / "weights.safetensors").unlink()
        with pytest.raises(CorruptModel, match="weights do not fit into 0 bytes"):
            ForceFieldRun.load(folder)

    @pytest.mark.parametrize("kept", [0.5, 0.999])
    def test_half_the_weights_are_refused(self, folder, kept):
        path = folder / "weights.safetensors"
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
        with pytest.raises(CorruptModel):
            ForceFieldRun.load(folder)

    @pytest.mark.parametrize(
        ("damage", "why"),
        [
            (lambda weights: weights.pop("energy_scale"), "energy_scale is missing"),
            (lambda weights: weights["energy.0.weight"].fill_(torch.nan), "energy.0.weight holds NaN"),
            (
                lambda weights: weights.update(energy_scale=torch.tensor(torch.inf)),
                "energy_scale holds NaN or infinity",
            ),
            (lambda weights: weights.update(more=torch.zeros(3)), "more belongs to no part"),
            (lambda weights: weights.update({"pushes.weight": torch.zeros(2, 8)}), r"pushes.weight is \[2, 8\]"),
        ],
        ids=["missing", "NaN", "infinite scale", "too many", "shape"],
    )
    def test_weights_are_refused(self, folder, damage, why):
        path = folder / "weights.safetensors"
        weights = load_file(path)
        damage(weights)
        save_file(weights, path)
        with pytest.raises(CorruptModel, match=why):
            ForceFieldRun.load(folder)


class TestPrediction:
    def test_adds_what_atoms_have_by_themselves(self):
        run = untrained_run()
        more = ForceFieldRun(run.model, {number: energy + 1 for number, energy in run.atomic_energies_eV.items()})
        for name, shift in (("energies", 9.0), ("forces", 0.0)):
            one, other = (getattr(each.predict(frames()[:2]), name) for each in (run, more))
            assert_allclose(other - one, shift, atol=1e-9)

    def test_does_not_depend_on_the_batch(self):
        run, exactly = untrained_run(), {"solver": Solver(tolerance=1e-12), "precision": torch.float64}
        whole, single = (run.predict(frames()[:5], batch_size=size, **exactly) for size in (64, 2))
        assert_allclose(single.energies, whole.energies, rtol=0, atol=1e-9)
        assert_allclose(single.forces, whole.forces, rtol=0, atol=1e-10)
        assert np.array_equal(single.n_steps, whole.n_steps) and whole.n_steps.shape == (5,)
        assert (whole.adjoint_steps > 1).all()

    def test_of_a_twin_took_no_steps(self):
        found = untrained_run(depth=2).predict(frames()[:2])
        assert not found.n_steps.any() and not found.adjoint_steps.any()

    def test_sees_the_box_of_each_frame(self):
        """Frames in boxes of their own: in a large one as without, in a small one as in a batch of that frame alone."""
        run, free = untrained_run(), frames()[:2]
        sizes = np.array([30.0, 7.0])
        boxed = free.replace(cell=sizes[:, None, None] * np.eye(3))
        found, without = (run.predict(one, solver=CLOSE).energies for one in (boxed, free))
        assert found[0] == pytest.approx(without[0], abs=1e-4)
        assert abs(found[1] - without[1]) > 1e-3
        assert found[1] == pytest.approx(run.predict(boxed[1], solver=CLOSE).energies[0], abs=1e-4)

    def test_leaves_the_run_as_it_is(self):
        run = untrained_run()
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        run.predict(frames()[:1], precision=torch.float64)
        assert all(torch.equal(before[name], value) for name, value in run.model.state_dict().items())

    def test_errors_are_mean_absolute_ones(self):
        run, data = untrained_run(), frames()[:3]
        found, errors = run.predict(data), run.errors(data)
        assert errors.force_meV_per_ang == pytest.approx(1000 * np.abs(found.forces - data.forces).mean())
        assert errors.energy_meV == pytest.approx(1000 * np.abs(found.energies - data.energies).mean())
        assert errors.force_rmse_meV_per_ang > errors.force_meV_per_ang

    def test_has_no_errors_without_a_reference(self):
        with pytest.raises(InvalidTrajectory, match="no forces"):
            untrained_run().errors(frames()[:2].replace(forces=None))


class TestMismatch:
    def test_an_element_never_seen_is_refused(self):
        sulphur = frames()[:1].replace(atomic_numbers=[6, 6, 16, 1, 1, 1, 1, 1, 9], masses=None)
        with pytest.raises(ModelMismatch, match="has never seen F, S; it has learnt from H, C, O. Train it on"):
            untrained_run().predict(sulphur)

    def test_overlapping_atoms_are_refused(self):
        places = np.array(frames().positions[:2])
        places[1, 4] = places[1, 7] + 0.05
        with pytest.raises(InvalidTrajectory, match="Atoms 4 and 7 of molecule 1 are 0.087 Å apart"):
            untrained_run().predict(frames()[:2].replace(positions=places))

    def test_a_tolerance_beyond_single_precision_is_said(self):
        with pytest.raises(NotConverged, match=r"the residual is \d\S* for \d of 5 molecules, needed is 1e-12"):
            untrained_run().predict(frames()[:5], solver=Solver(tolerance=1e-12))


def test_says_in_words_what_it_is():
    assert "equilibrium" in repr(untrained_run()) and "H, C, O: untrained" in repr(untrained_run())
    assert "2 blocks" in repr(untrained_run(depth=2))
