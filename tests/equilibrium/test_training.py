"""Training on forces and energies: it learns, resumes exactly, never sees what judges it, and refuses what it must."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from small_force_field import BRIEFLY, LOOSE, TINY, briefly, fragment, frames, learnt
from straight_line import Watcher, without_seconds

from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import ForceFieldSettings, ForceObjective
from asteroid_nb.equilibrium.training import ForceTask, _parts, train_in_two_steps
from asteroid_nb.errors import CorruptModel, InvalidSettings, InvalidTrajectory, ModelMismatch, TrainingDiverged

ONCE = dataclasses.replace(BRIEFLY, n_epochs=1)

#: What each epoch's record holds beside what every training's holds.
MEASURED = {"steps", "adjoint_steps", "unconverged", "energy_mae_meV", "validation_steps", "spectral_radius"}


def same(one: ForceFieldRun, other: ForceFieldRun) -> bool:
    first, second = one.model.state_dict(), other.model.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@functools.cache
def whole() -> ForceFieldRun:
    return briefly()


class TestLearns:
    def test_forces_it_never_saw(self):
        """Its error on the last frames falls well below that of no force at all."""
        losses = [record["train_loss"] for record in learnt().history]
        assert losses[-1] < 0.7 * losses[0]
        later = frames(n_frames=60)[44:]
        none = 1000 * np.abs(later.forces).mean()
        assert learnt().errors(later).force_meV_per_ang < 0.75 * none

    @pytest.mark.parametrize("changes", [{"direct": True}, {"depth": 2}, {"layer": "attention", "heads": 2}], ids=str)
    def test_every_kind_of_model(self, changes):
        history = briefly(settings=TINY.replace(**changes), n_epochs=4, learning_rate=1e-2).history
        assert history[-1]["train_loss"] < 0.97 * history[0]["train_loss"]

    def test_several_molecules_of_different_size(self):
        data = [frames(n_frames=12), frames("malonaldehyde", 12), fragment()]
        run = briefly(data, fit_settings=ONCE)
        assert all(math.isfinite(value) for value in run.history[0].values())
        assert run.elements == "H, C, O"
        for one in data:
            assert np.isfinite(run.predict(one[:2]).forces).all()

    def test_a_molecule_of_one_size_the_same_beside_a_larger_one(self):
        """The error on the small one is the same whether a larger one is validated beside it or not."""
        run = whole()
        small, both = ([fragment(10)[-1:]], [fragment(10)[-1:], frames()[-1:]])
        maes = {}
        for name, held_out in (("small", small), ("both", both)):
            checked = Frames.of(held_out).without_atoms(run.atomic_energies_eV)
            task = ForceTask(run.model, checked, checked, LOOSE.replace(validation=Solver(tolerance=1e-5)), 4)
            maes[name] = task.validate(run.model, device=torch.device("cpu"))
        large = run.errors(frames()[-1:], solver=Solver(tolerance=1e-5)).force_meV_per_ang
        assert maes["both"] == pytest.approx((5 * maes["small"] + 9 * large) / 14, rel=1e-4)


class TestHistory:
    def test_says_what_the_solvers_needed(self):
        for record in whole().history:
            assert set(record) >= MEASURED
            assert record["steps"] > 1 and record["adjoint_steps"] > 1 and record["validation_steps"] > 1
            assert record["unconverged"] == 0 and 0 < record["spectral_radius"] < 1

    def test_ends_where_solvers_give_up(self):
        short = LOOSE.replace(forward=Solver(tolerance=1e-6, max_steps=2))
        with pytest.raises(TrainingDiverged, match="gave up for 100% of the frames"):
            briefly(objective=short, fit_settings=ONCE)

    def test_of_a_twin_has_no_solver_to_speak_of(self):
        record = briefly(settings=TINY.replace(depth=1), fit_settings=ONCE).history[0]
        assert "spectral_radius" not in record
        assert record["steps"] == record["adjoint_steps"] == record["validation_steps"] == 0

    def test_of_direct_forces_has_no_adjoint(self):
        record = briefly(settings=TINY.replace(direct=True), fit_settings=ONCE).history[0]
        assert record["steps"] > 1 and record["adjoint_steps"] == 0


class TestValidation:
    def test_is_the_last_tenth_of_every_trajectory(self):
        first, second = frames(n_frames=22), frames("malonaldehyde", 40)
        learnt_from, held_out = _parts([first, second], None)
        for one, kept, last, n in zip((first, second), learnt_from, held_out, (2, 4), strict=True):
            assert last.n_frames == n and kept.n_frames + n == one.n_frames - 1, "one frame is nobody's"
            assert np.array_equal(kept.positions, one.positions[: kept.n_frames])
            assert np.array_equal(last.positions, one.positions[-n:])
            assert last.dt_fs == one.dt_fs

    def test_error_is_that_of_the_frames_held_out(self):
        run = whole()
        best = min(record["validation_loss"] for record in run.history)
        assert run.errors(frames()[20:]).force_meV_per_ang == pytest.approx(best, rel=1e-5)
        chosen = min(run.history, key=lambda record: record["validation_loss"])
        assert run.errors(frames()[20:]).energy_meV == pytest.approx(chosen["energy_mae_meV"], rel=1e-2)

    def test_given_is_the_same_as_held_out(self):
        assert same(whole(), briefly(frames()[:19], validation=frames()[20:]))

    def test_never_teaches(self):
        one, other = (
            briefly(frames()[:20], validation=frames("ethanol", 30)[k : k + 2], fit_settings=ONCE) for k in (20, 26)
        )
        assert same(one, other)
        assert one.history[0]["validation_loss"] != other.history[0]["validation_loss"]

    def test_that_training_spreads_are_not_those_held_out(self):
        run = briefly(n_frames=10, fit_settings=ONCE)
        assert run.trained_on["n_frames"] == 10 and run.trained_on["n_validation_frames"] == 2
        assert run.history[0]["step"] == 2

    def test_that_does_not_converge_is_said(self):
        impossible = LOOSE.replace(validation=Solver(tolerance=1e-12, max_steps=20))
        with pytest.raises(TrainingDiverged, match="In validation: The fixed point of z .*Raise contraction_weight"):
            briefly(objective=impossible)


class TestResume:
    @pytest.mark.parametrize("stop_after", [3, 4, 6])
    def test_gives_what_the_uninterrupted_training_gives(self, tmp_path, stop_after):
        stopped = briefly(folder=tmp_path, observers=[Watcher(stop_after=stop_after)])
        assert not stopped.finished and not ForceFieldRun.load(tmp_path).finished
        torch.manual_seed(99)  # what was drawn in between must not matter
        resumed = briefly(folder=tmp_path, resume=True)
        assert resumed.finished and same(resumed, whole())
        ours, theirs = without_seconds(resumed.history), without_seconds(whole().history)
        for one, other in zip(ours, theirs, strict=True):
            for key in set(one) - {"steps", "adjoint_steps", "unconverged"}:  # counted since the resumption
                assert one[key] == other[key], key

    def test_another_seed_gives_another_model(self):
        assert not same(*(briefly(seed=seed, n_epochs=0) for seed in (0, 1)))

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"settings": TINY.replace(width=9)}, "model: .*'width': 8.* there, .*'width': 9.* now"),
            ({"objective": LOOSE.replace(energy_weight=2.0)}, "objective: .*there"),
            ({"data": frames(n_frames=32)[10:]}, "frames: '.*' there"),
            ({"batch_size": 4}, "batch_size: 5 there, 4 now"),
        ],
        ids=["model", "objective", "frames", "batch"],
    )
    def test_refuses_anything_else_and_names_it(self, tmp_path, change, named):
        briefly(folder=tmp_path, n_epochs=0)
        briefly(folder=tmp_path, observers=[Watcher(stop_after=1)])
        with pytest.raises(ModelMismatch, match=named):
            briefly(folder=tmp_path, resume=True, **change)

    def test_from_nothing_is_refused(self, tmp_path):
        with pytest.raises(CorruptModel, match="There is no checkpoint"):
            briefly(folder=tmp_path, resume=True)


class TestStart:
    direct = TINY.replace(direct=True)

    def test_gives_its_weights_to_a_model_that_differs_in_its_forces(self):
        first = briefly(settings=self.direct, fit_settings=ONCE)
        taken = briefly(start=first, n_epochs=0)
        for name, weight in first.model.state_dict().items():
            assert torch.equal(taken.model.state_dict()[name], weight)
        assert not taken.settings.direct and first.settings.direct

    def test_keeps_the_scale_of_the_new_frames(self):
        stronger = frames().replace(forces=2 * np.asarray(frames().forces))
        taken = briefly(stronger, start=whole(), n_epochs=0)
        assert float(taken.model.energy_scale) == pytest.approx(2 * float(whole().model.energy_scale))

    def test_of_another_width_is_refused(self):
        with pytest.raises(ModelMismatch, match=r"The start is another model \(width 8 there, 9 now\)"):
            briefly(settings=TINY.replace(width=9), start=whole())

    def test_two_steps_end_conservative_and_go_on_where_they_were_stopped(self, tmp_path):
        options = {"settings": TINY, "objective": LOOSE, "fit_settings": BRIEFLY}
        todo = {"direct_epochs": 1, "n_epochs": 1, **options}
        data = ([frames()[:20]], frames()[20:])
        stopped = train_in_two_steps(*data, tmp_path / "a", observers=[Watcher(stop_after=2)], **todo)
        assert stopped.settings.direct and not stopped.finished and not (tmp_path / "a").exists()
        ended, straight = (train_in_two_steps(*data, tmp_path / name, observers=(), **todo) for name in "ab")
        assert ended.finished and not ended.settings.direct and same(ended, straight)


class TestRefused:
    @pytest.mark.parametrize("missing", [["forces"], ["energies"], ["forces", "energies"]], ids=" and ".join)
    def test_is_a_trajectory_without_labels(self, missing):
        said = f"'ethanol walker 0' has no {' and no '.join(missing)}, which a force field learns from"
        with pytest.raises(InvalidTrajectory, match=said):
            briefly(frames().replace(**dict.fromkeys(missing)))

    def test_is_validation_without_labels(self):
        with pytest.raises(InvalidTrajectory, match="has no forces"):
            briefly(validation=frames().replace(forces=None))

    def test_is_a_box(self):
        with pytest.raises(InvalidTrajectory, match=r"has a box; training is for molecules.*replace\(cell=None\)"):
            briefly(frames().replace(cell=20 * np.eye(3)))

    def test_is_nothing(self):
        with pytest.raises(InvalidTrajectory, match="No trajectory was given"):
            briefly([])
        with pytest.raises(InvalidTrajectory, match="validation holds no trajectory"):
            briefly(validation=[])

    def test_is_too_little_to_hold_out(self):
        with pytest.raises(InvalidTrajectory, match="A trajectory of 9 frames leaves no last tenth"):
            briefly(frames()[:9])

    @pytest.mark.parametrize("n_frames", [0, -1, 21])
    def test_are_more_frames_than_there_are(self, n_frames):
        with pytest.raises(InvalidTrajectory, match=f"n_frames was {n_frames}; the trajectories hold 19. Ask for 1 to"):
            briefly(n_frames=n_frames)

    def test_is_validation_with_an_element_never_seen(self):
        strange = frames().replace(atomic_numbers=[6, 6, 16, 1, 1, 1, 1, 1, 1], masses=None)
        with pytest.raises(ModelMismatch, match="has never seen S; it has learnt from H, C, O"):
            briefly(validation=strange)

    def test_is_a_loss_that_is_not_a_number(self):
        far = np.array(frames().energies)
        far[3] = 1e39  # beyond single precision
        with pytest.raises(TrainingDiverged, match="became (inf|nan)"):
            briefly(frames().replace(energies=far))

    @pytest.mark.parametrize(
        ("kind", "changes", "said"),
        [
            (ForceFieldSettings, {"layer": "dense"}, "No layer is called 'dense'; there are vector and attention"),
            (ForceFieldSettings, {"width": 0}, "width was 0; it must be a whole number from 1"),
            (ForceFieldSettings, {"width": True}, "width was True"),
            (ForceFieldSettings, {"depth": 65}, "depth was 65"),
            (ForceFieldSettings, {"l_max": 2}, "'vector' has l_max 1, found 2"),
            (ForceFieldSettings, {"layer": "attention", "width": 9}, "heads 4 must divide width 9"),
            (ForceFieldSettings, {"cutoff_ang": math.nan}, "cutoff_ang was nan; it must be from 0.5 to 50"),
            (ForceFieldSettings, {"direct": 1}, "direct was 1; it must be True or False"),
            (ForceObjective, {"energy_weight": -1.0}, "energy_weight was -1.0; it must not be negative"),
            (ForceObjective, {"gradients": "none"}, "gradients was 'none'; it must be 'implicit' or 'phantom'"),
            (ForceObjective, {"phantom_steps": 101}, "phantom_steps was 101"),
        ],
        ids=str,
    )
    def test_are_settings_outside_their_range(self, kind, changes, said):
        with pytest.raises(InvalidSettings, match=said):
            kind(**changes)


@pytest.mark.gpu
def test_the_gpu_trains_what_the_cpu_does():
    run, reference = (briefly(device=device) for device in ("cuda", "cpu"))
    assert run.history[-1]["validation_loss"] == pytest.approx(reference.history[-1]["validation_loss"], rel=0.01)


def test_a_frame_that_judges_is_never_learnt_from():
    walker = frames(n_frames=22)
    with pytest.raises(InvalidTrajectory, match="10 of 10 validation frames are among the training frames"):
        briefly(walker, validation=walker[:10])
