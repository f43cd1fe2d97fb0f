"""A learned potential: what it learns is the force, and what it forecasts obeys Newton."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from vibrating import vibrating_ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule, Window, Windows, WindowShape
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast.newton import LearnedNewton
from asteroid_nb.forecast.potential import BentFrames, Potential, PotentialTask, learn_potential
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2

#: Two atoms on a spring, in eV/Å² and Å.
STIFF, REST = 20.0, 1.2


def spring(n_frames=4000, *, dt_fs=0.5, seed=0):
    """Return two carbon atoms that vibrate and turn, exactly integrated with steps a tenth as long."""
    draw = np.random.default_rng(seed)
    places = np.array([[0.0, 0, 0], [REST + 0.1 * draw.random(), 0, 0]])
    speed = 0.01 * draw.normal(size=(2, 3))
    mass, step, path = 12.011 * EV_PER_AMU_ANG2_PER_FS2, dt_fs / 10, []

    def pull(at):
        arm = at[1] - at[0]
        length = np.linalg.norm(arm)
        force = STIFF * (length - REST) * arm / length
        return np.array([force, -force]) / mass

    now = pull(places)
    for _ in range(n_frames):
        path.append(places)
        for _ in range(10):
            speed = speed + 0.5 * step * now
            places = places + step * speed
            now = pull(places)
            speed = speed + 0.5 * step * now
    return Trajectory(np.array(path), [6, 6], dt_fs, name="spring", check_distances=False, bonds=[[0, 1]])


def windows(*trajectories, history=4, horizon=8, stride=2):
    return Windows(list(trajectories), WindowShape(history=history, horizon=horizon, stride_frames=stride))


@pytest.fixture(scope="module")
def learnt():
    train, validation = windows(*(spring(seed=seed) for seed in range(3))), windows(spring(1000, seed=3))
    return LearnedNewton.fit(train, validation, n_steps=2500, width=32, batch_size=64, ema_decay=0.98, observers=())


class TestWhatIsLearnt:
    def test_second_differences_are_forces(self):
        one = spring(200)
        frames = BentFrames.of(windows(one))
        arm = one.positions[1:-1, 1] - one.positions[1:-1, 0]
        length = np.linalg.norm(arm, axis=-1, keepdims=True)
        np.testing.assert_allclose(frames.forces[:, 0], STIFF * (length - REST) * arm / length, atol=0.02)
        assert len(frames) == 198

    def test_only_frames_that_windows_cover_are_learnt_from(self):
        one, shape = spring(100), WindowShape(history=4, horizon=8, stride_frames=2)
        starts = np.stack([np.zeros(5, dtype=int), np.arange(10, 15)], axis=1)
        covered = Windows([one], shape, starts=starts)
        assert len(BentFrames.of(covered)) == 4 + shape.span_frames - 2
        assert len(BentFrames.of(windows(one, spring(100, seed=1)))) == 2 * 98

    def test_gaps_between_windows_stay_gaps(self):
        one, shape = spring(100), WindowShape(history=4, horizon=8)
        apart = Windows([one], shape, starts=np.array([[0, 0], [0, 80]]))
        frames = BentFrames.of(apart)
        inner = np.asarray(one.positions)[[*range(1, 11), *range(81, 91)]]
        np.testing.assert_allclose(frames.positions, inner - inner.mean(1, keepdims=True), atol=1e-6)

    def test_what_a_thermostat_adds_along_the_momenta_changes_nothing(self):
        model = Potential(Molecule.of([vibrating_ethanol(4)]), width=8)
        frames = BentFrames.of(windows(vibrating_ethanol(60)))
        heated = dataclasses.replace(frames, forces=frames.forces + 0.5 * frames.momenta)
        batches = [PotentialTask(model, one, one, np.arange(9)[None], 16) for one in (frames, heated)]
        found = [
            float(task.loss(model, next(task.batches(seed=0, device="cpu")), done=0.0)["loss"].detach())
            for task in batches
        ]
        assert found[0] == pytest.approx(found[1], rel=1e-5)
        lengths = np.sqrt((frames.momenta**2).sum((1, 2)))
        np.testing.assert_allclose(lengths, 1.0, rtol=1e-5)

    def test_other_frames_do_not_resume(self, tmp_path):
        one, other = (windows(vibrating_ethanol(60, seed=seed)) for seed in range(2))
        path = tmp_path / "checkpoint.pt"
        learn_potential(one, one, n_steps=4, width=8, checkpoint=path, observers=())
        with pytest.raises(ModelMismatch, match="other settings"):
            learn_potential(other, other, n_steps=4, width=8, checkpoint=path, resume=True, observers=())

    def test_the_force_is_found(self, learnt):
        places = torch.tensor([[[0.0, 0, 0], [length, 0, 0]] for length in (1.1, 1.2, 1.3)])
        found = learnt.potential.forces(places)[:, 0, 0]
        np.testing.assert_allclose(found, STIFF * (np.array([1.1, 1.2, 1.3]) - REST), atol=0.15)

    def test_forces_are_the_energy_s_and_know_no_place(self):
        torch.manual_seed(0)
        one = vibrating_ethanol(40)
        model = Potential(Molecule.of([one]), width=16).double()
        places = torch.tensor(np.array(one.positions[:3], dtype=float))
        forces, step = model.forces(places), torch.randn(places.shape, dtype=torch.float64)
        slope = (model.energies(places + 1e-5 * step) - model.energies(places - 1e-5 * step)) / 2e-5
        torch.testing.assert_close(slope, -(forces * step).sum((1, 2)), rtol=1e-6, atol=1e-8)
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
        torch.testing.assert_close(model.forces(places @ turn.T + 5.0), forces @ turn.T)
        assert float(forces.sum(1).abs().max()) < 1e-10

    def test_equal_atoms_are_exchanged_in_structure_and_force_alike(self):
        train = windows(vibrating_ethanol(60))
        model, frames = Potential(train.molecule, width=8), BentFrames.of(train)
        exchanges = np.array([np.arange(9), [0, 1, 2, 3, 4, 5, 6, 8, 7]])
        task = PotentialTask(model, frames, frames, exchanges, 16)
        for positions, forces, _ in task.batches(seed=0, device=torch.device("cpu")):
            for place, force in zip(positions.numpy(), forces.numpy(), strict=True):
                row = int(np.argmin(np.abs(frames.positions[:, 0] - place[0]).sum(-1)))
                swaps = [order for order in exchanges if np.array_equal(frames.positions[row][order], place)]
                assert len(swaps) == 1 and np.array_equal(frames.forces[row][swaps[0]], force)

    def test_the_same_seed_learns_the_same(self):
        train = windows(vibrating_ethanol(60))
        one, other = (learn_potential(train, train, n_steps=4, width=8, seed=5, observers=()) for _ in range(2))
        torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()), rtol=0, atol=0)


class TestForecasts:
    @pytest.mark.parametrize(
        ("dt_fs", "step_fs", "expected"),
        [(5, 0.5, 10), (1, 1, 1), (1, 0.5, 2), (0.9, 0.3, 3), (1.2, 1, 2), (5, 1.5, 4), (0.5, 1, 1)],
    )
    def test_steps_are_no_longer_than_those_learnt_from(self, learnt, monkeypatch, dt_fs, step_fs, expected):
        calls = []
        still = lambda at: calls.append(1) or torch.zeros_like(at)  # noqa: E731
        monkeypatch.setattr(learnt.potential, "accelerations", still)
        one = LearnedNewton(learnt.potential, horizon=1, step_fs=step_fs)
        moved = one.integrate(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), dt_fs, 3)
        assert len(calls) == 1 + 3 * expected
        torch.testing.assert_close(moved[0, :, 0, 0], dt_fs * torch.tensor([1.0, 2, 3]))

    @pytest.mark.parametrize(("stride", "worst"), [(2, 0.004), (8, 0.02)])
    def test_a_spring_is_forecast_also_where_frames_are_far_apart(self, learnt, stride, worst):
        test = windows(spring(600, seed=9), stride=stride)
        table = evaluate(learnt, test)
        still = np.abs(test[:].truth.numpy() - test[:].history[:, -1:].numpy()).max()
        assert table.rmse("learned Newton").max() < worst < 0.3 * still

    def test_velocities_lead_back_to_the_frames_before(self, learnt):
        window = windows(spring(300, seed=7), stride=8)[:40]
        back = learnt.integrate(window.history[:, -1], -learnt.velocities(window), window.dt_fs, 1)[:, 0]
        off = (back - window.history[:, -2]).abs().max()
        assert float(off) < 0.05 * float((window.history[:, -1] - window.history[:, -2]).abs().max())

    def test_the_future_is_not_looked_at(self, learnt):
        window = windows(spring(300, seed=7))[:8]
        other = window.replace(future=window.truth + 1.0)
        torch.testing.assert_close(learnt.forecast(window), learnt.forecast(other), rtol=0, atol=0)

    def test_turned_windows_have_turned_forecasts(self, learnt):
        window = windows(spring(300, seed=7))[:8].replace(future=None)
        turn = torch.linalg.qr(torch.randn(3, 3)).Q.expand(8, 3, 3)
        turned = torch.einsum("wab,wtnb->wtna", turn, learnt.forecast(window))
        torch.testing.assert_close(learnt.forecast(window.rotated(turn)), turned, rtol=1e-4, atol=1e-5)

    def test_energy_is_kept(self, learnt):
        window = windows(spring(300, seed=7))[:1]
        path = learnt.integrate(window.history[:, -1], learnt.velocities(window), 0.5, 2000)[0].double()
        speed = (path[2:] - path[:-2]) / 1.0
        kinetic = 0.5 * 12.011 * EV_PER_AMU_ANG2_PER_FS2 * speed.square().sum((1, 2))
        total = kinetic + learnt.potential.energies(path[1:-1].float()).detach().double()
        assert float(total[-200:].mean() - total[:200].mean()) == pytest.approx(0, abs=0.02 * float(kinetic.mean()))


class TestWhatDoesNotFit:
    def test_frames_too_far_apart(self):
        with pytest.raises(InvalidTrajectory, match="stored every 2 fs; up to 1.5 fs"):
            BentFrames.of(windows(vibrating_ethanol(60, dt_fs=2.0), stride=1))

    def test_too_few_frames(self):
        with pytest.raises(TrajectoryTooShort, match="found 0; needed are two"):
            BentFrames.of(windows(vibrating_ethanol(2), history=1, horizon=1, stride=1))

    def test_too_many_atoms(self):
        molecule = Molecule.of([vibrating_ethanol(4)])
        crowd = dataclasses.replace(molecule, atomic_numbers=np.ones(65, dtype=int), masses=np.ones(65))
        with pytest.raises(InvalidSettings, match="2 to 64 atoms, found 65"):
            Potential(crowd)

    def test_a_window_of_one_frame_has_no_velocity(self, learnt):
        window = Window.of(torch.zeros(1, 1, 2, 3), dt_fs=0.5)
        with pytest.raises(InvalidSettings, match="two frames of history"):
            learnt.forecast(window)
