"""A learned potential: what it learns is the force, and what it forecasts obeys Newton."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from straight_line import Watcher
from vibrating import vibrating_ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule, Window, Windows, WindowShape
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast import potential_fit
from asteroid_nb.forecast.bent_frames import BentFrames
from asteroid_nb.forecast.newton import LearnedNewton, velocities_of
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.potential_fit import (
    PATH_FIT,
    PathTask,
    PotentialTask,
    _longest,
    _paths,
    learn_potential,
    paths_file,
)
from asteroid_nb.forecast.verlet import integrate
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2

BRIEF = {"n_steps": 4, "n_path_steps": 0, "width": 8, "observers": ()}

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
    return LearnedNewton.fit(
        train, validation, n_steps=2500, n_path_steps=0, width=32, batch_size=64, ema_decay=0.98, observers=()
    )


class TestWhatIsLearnt:
    def test_second_differences_are_forces(self):
        one = spring(200)
        frames = BentFrames.of(windows(one))
        arm = one.positions[2:-2, 1] - one.positions[2:-2, 0]
        length = np.linalg.norm(arm, axis=-1, keepdims=True)
        np.testing.assert_allclose(frames.forces[:, 0], STIFF * (length - REST) * arm / length, atol=0.02)
        assert len(frames) == 196
        assert frames.step_fs == 1.0

    def test_only_frames_that_windows_cover_are_learnt_from(self):
        one, shape = spring(100), WindowShape(history=4, horizon=8, stride_frames=2)
        starts = np.stack([np.zeros(5, dtype=int), np.arange(10, 15)], axis=1)
        covered = Windows([one], shape, starts=starts)
        assert len(BentFrames.of(covered)) == 4 + shape.span_frames - 4
        assert len(BentFrames.of(windows(one, spring(100, seed=1)))) == 2 * 96

    @pytest.mark.parametrize(
        ("dt_fs", "stride", "step_fs"), [(0.5, 1, 0.5), (0.5, 2, 1.0), (0.5, 3, 0.5), (0.25, 20, 1.0), (1.5, 4, 1.5)]
    )
    def test_steps_divide_windows_and_last_a_femtosecond_at_most(self, dt_fs, stride, step_fs):
        frames = BentFrames.of(windows(vibrating_ethanol(300, dt_fs=dt_fs), stride=stride))
        assert frames.step_fs == pytest.approx(step_fs)

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
        learn_potential(one, one, checkpoint=path, **BRIEF)
        with pytest.raises(ModelMismatch, match="other settings"):
            learn_potential(
                other, other, n_steps=4, n_path_steps=0, width=8, checkpoint=path, resume=True, observers=()
            )

    def test_the_force_is_found(self, learnt):
        places = torch.tensor([[[0.0, 0, 0], [length, 0, 0]] for length in (1.1, 1.2, 1.3)])
        found = learnt.potential.forces(places)[:, 0, 0].detach()
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
        assert float(forces.detach().sum(1).abs().max()) < 1e-10

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
        one, other = (
            learn_potential(train, train, n_steps=4, n_path_steps=0, width=8, seed=5, observers=()) for _ in range(2)
        )
        torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()), rtol=0, atol=0)


class TestPaths:
    train, validation = windows(*(spring(600, seed=seed) for seed in range(2))), windows(spring(600, seed=3))
    options = {"n_steps": 60, "width": 32, "batch_size": 64, "ema_decay": 0.9, "observers": ()}

    def errors(self, **options) -> np.ndarray:
        found = LearnedNewton.fit(self.train, self.validation, **self.options, **options)
        return evaluate(found, windows(spring(600, seed=9))).rmse("learned Newton")

    def test_learning_from_them_makes_forecasts_better(self):
        assert self.errors(n_path_steps=240)[-1] < 0.75 * self.errors(n_path_steps=0)[-1]

    def test_they_are_two_frames_and_the_steps_after_them(self):
        known, shape = spring(100), WindowShape(history=4, horizon=8, stride_frames=2)
        part = Windows([known], shape, starts=np.array([[0, 10], [0, 60], [0, 61]]))
        paths = _paths(part, _longest(part))
        assert paths.shape == WindowShape(history=2, horizon=10, stride_frames=2)
        np.testing.assert_array_equal(paths.starts, [[0, 10], [0, 60], [0, 61]])

    def test_what_makes_them_worse_is_not_kept(self, monkeypatch):
        ruinous = dataclasses.replace(PATH_FIT, learning_rate=10.0, warmup_share=0.0)
        before = learn_potential(self.train, self.validation, n_path_steps=0, **self.options)
        monkeypatch.setattr(potential_fit, "PATH_FIT", ruinous)
        after = learn_potential(self.train, self.validation, n_path_steps=9, **self.options)
        torch.testing.assert_close(dict(after.state_dict()), dict(before.state_dict()), rtol=0, atol=0)

    def test_where_they_diverge_what_forces_taught_is_kept(self, monkeypatch):
        before = learn_potential(self.train, self.validation, n_path_steps=0, **self.options)
        monkeypatch.setattr(
            PathTask, "loss", lambda self, model, batch, *, done: {"loss": model(batch[:, :2], 2).sum() * torch.nan}
        )
        with pytest.warns(UserWarning, match="Learning from paths was given up"):
            after = learn_potential(self.train, self.validation, n_path_steps=9, **self.options)
        torch.testing.assert_close(dict(after.state_dict()), dict(before.state_dict()), rtol=0, atol=0)

    def test_those_of_other_frames_do_not_resume(self, tmp_path):
        path, options = tmp_path / "potential.pt", {**self.options, "n_path_steps": 40}
        late, early = ({**options, "observers": [Watcher(stop_after=steps)]} for steps in (70, 9))
        learn_potential(self.train, self.validation, checkpoint=path, **late)
        kept = paths_file(path).read_bytes()
        other = windows(*(spring(600, seed=seed) for seed in (5, 6)))
        learn_potential(other, self.validation, checkpoint=path, **early)
        assert not paths_file(path).exists()
        paths_file(path).write_bytes(kept)
        with pytest.raises(ModelMismatch, match="frames: "):
            learn_potential(other, self.validation, checkpoint=path, resume=True, **options)

    @pytest.mark.parametrize("stop_after", [30, 70])
    def test_stopped_and_gone_on_with(self, tmp_path, stop_after):
        path, options = tmp_path / "potential.pt", {**self.options, "n_path_steps": 40}
        whole = learn_potential(self.train, self.validation, **options)
        impatient = {**options, "observers": [Watcher(stop_after=stop_after)]}
        stopped = learn_potential(self.train, self.validation, checkpoint=path, **impatient)
        assert not stopped.finished
        resumed = learn_potential(self.train, self.validation, checkpoint=path, resume=True, **options)
        assert resumed.finished
        torch.testing.assert_close(dict(resumed.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)


class TestForecasts:
    @pytest.mark.parametrize(
        ("dt_fs", "step_fs", "expected"),
        [(5, 0.5, 10), (1, 1, 1), (1, 0.5, 2), (0.9, 0.3, 3), (1.2, 1, 2), (5, 1.5, 4), (0.5, 1, 1)],
    )
    def test_steps_are_no_longer_than_those_learnt_from(self, monkeypatch, dt_fs, step_fs, expected):
        calls, potential = [], Potential(Molecule.of([spring(4)]), width=8)
        potential.step_fs.fill_(step_fs)
        monkeypatch.setattr(potential, "bend", lambda at: calls.append(1) or torch.zeros_like(at))
        moved = integrate(potential, torch.zeros(1, 2, 3), torch.ones(1, 2, 3), dt_fs=dt_fs, n=3)
        assert len(calls) == 3 * expected
        torch.testing.assert_close(moved[0, :, 0, 0], dt_fs * torch.tensor([1.0, 2, 3]))

    def test_paths_are_those_of_velocity_verlet_by_the_book(self, learnt):
        start, speed, book = torch.tensor([[[0.0, 0, 0], [1.3, 0, 0]]]), torch.randn(1, 2, 3) * 0.01, []
        places, speeds, accelerations = start, speed, lambda at: learnt.potential.accelerations(at).detach()
        for _ in range(12):
            speeds = speeds + 0.5 * accelerations(places)
            places = places + speeds
            speeds = speeds + 0.5 * accelerations(places)
            book.append(places)
        found = integrate(learnt.potential, start, speed, dt_fs=3.0, n=4).detach()
        torch.testing.assert_close(found[0], torch.cat(book)[2::3], rtol=0, atol=1e-5)

    @pytest.mark.parametrize(("stride", "worst"), [(2, 0.004), (8, 0.02)])
    def test_a_spring_is_forecast_also_where_frames_are_far_apart(self, learnt, stride, worst):
        test = windows(spring(600, seed=9), stride=stride)
        table = evaluate(learnt, test)
        still = np.abs(test[:].truth.numpy() - test[:].history[:, -1:].numpy()).max()
        assert table.rmse("learned Newton").max() < worst < 0.3 * still

    def test_velocities_lead_back_to_the_frames_before(self, learnt):
        window = windows(spring(300, seed=7), stride=8)[:40]
        speeds = velocities_of(learnt.potential, window.history, dt_fs=window.dt_fs)
        back = integrate(learnt.potential, window.history[:, -1], -speeds, dt_fs=window.dt_fs, n=1)[:, 0].detach()
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
        speeds = velocities_of(learnt.potential, window.history, dt_fs=window.dt_fs)
        path = integrate(learnt.potential, window.history[:, -1], speeds, dt_fs=0.5, n=2000)[0].detach().double()
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
