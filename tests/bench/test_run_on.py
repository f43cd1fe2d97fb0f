"""The simulation run on from where chains start: it goes on as the walker did, and only for those it made."""

from typing import ClassVar

import numpy as np
import pytest

from asteroid_nb import sample
from asteroid_nb.bench.forecasts import arms, rollouts
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.forecasts.run_on import TIMESTEP_FS, must_have_made, run_on, velocity_weights
from asteroid_nb.bench.sources import Source
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.rolling import covered

pytest.importorskip("tblite")

METHOD, SHAPE = "GFN2-xTB", WindowShape(history=4, horizon=8)


@pytest.fixture(scope="module")
def walker():
    return sample("ethanol")[-1][:100]


def test_it_goes_on_as_the_walker_did(tmp_path, walker):
    truth = run_on(tmp_path, Windows([walker], SHAPE), method=METHOD, n_starts=2, n_frames=8, processes=0)
    assert len(truth.trajectories) == 2 and truth.dt_fs == walker.dt_fs
    for path, first in zip(truth.trajectories, (3, 91), strict=True):
        assert path.n_frames == 9
        assert path.positions[0] == pytest.approx(walker.positions[first])
        assert path.positions[1:] == pytest.approx(walker.positions[first + 1 : first + 9], abs=1e-4)
        assert np.abs(path.positions[8] - path.positions[0]).max() > 0.05, "in which the molecule moves"


def test_frames_further_apart_are_those_of_the_windows(tmp_path, walker):
    shape = WindowShape(history=3, horizon=4, stride_frames=2)
    truth = run_on(tmp_path, Windows([walker], shape), method=METHOD, n_starts=1, n_frames=4, processes=0)
    assert truth.dt_fs == 2 * walker.dt_fs and truth.shape.stride_frames == 1
    assert truth.trajectories[0].positions == pytest.approx(walker.positions[4:13:2], abs=1e-4)
    assert [path.shape for path in covered(truth)] == [(5, 9, 3)], "of which all is judged by"


def test_what_was_run_is_kept(tmp_path, walker, monkeypatch):
    asked = {"method": METHOD, "n_starts": 2, "n_frames": 3, "processes": 0}
    first = run_on(tmp_path, Windows([walker], SHAPE), **asked)
    monkeypatch.setattr("asteroid_nb.bench.forecasts.run_on.simulate", lambda *_, **__: pytest.fail("simulated again"))
    again = run_on(tmp_path, Windows([walker], SHAPE), **asked)
    for one, other in zip(first.trajectories, again.trajectories, strict=True):
        assert np.array_equal(one.positions, other.positions)


def test_a_method_that_did_not_make_the_frames_is_refused(walker):
    must_have_made(METHOD, Windows([walker], SHAPE))
    with pytest.raises(InvalidSettings, match="off those of GFN1-xTB, which therefore did not make it"):
        must_have_made("GFN1-xTB", Windows([walker], SHAPE))
    with pytest.raises(InvalidSettings, match="has no forces"):
        must_have_made(METHOD, Windows([walker.replace(forces=None)], SHAPE))


def test_a_velocity_needs_frames_on_either_side(walker):
    for short in (WindowShape(history=3, horizon=8), WindowShape(history=8, horizon=2)):
        with pytest.raises(InvalidSettings, match="3 frames on either side"):
            must_have_made(METHOD, Windows([walker], short))


@pytest.mark.parametrize("dt_fs", [0.25, 0.5, 1.0, 1.5])
def test_a_velocity_is_the_difference_over_two_steps_of_the_integrator(dt_fs):
    slow = 0.1  # rad/fs
    times = dt_fs * np.arange(-3, 4)
    step = min(dt_fs, TIMESTEP_FS)
    assert velocity_weights(dt_fs) @ np.sin(slow * times) == pytest.approx(np.sin(slow * step) / step, rel=1e-6)
    assert velocity_weights(dt_fs) @ np.ones(7) == pytest.approx(0.0, abs=1e-12)
    if dt_fs <= TIMESTEP_FS:
        assert velocity_weights(dt_fs) == pytest.approx(np.array([0, 0, -1, 0, 1, 0, 0]) / (2 * dt_fs), abs=1e-12)


class TestPage:
    BRIEF = Protocol(name="F1", spacing_fs=1.0, history=4, horizon=4, leads_fs=(1, 4), about="for tests")
    TINY: ClassVar = {"width": 16, "heads": 2, "encoder_layers": 1, "delay_frames": 2, "row_stride": 1}

    @pytest.fixture(autouse=True)
    def _brief(self, monkeypatch):
        settings = STISettings(history=4, horizon=4, skip="newton", slot_frames=4, **self.TINY)
        monkeypatch.setitem(PROTOCOLS, "F1", self.BRIEF)
        monkeypatch.setattr(Protocol, "settings", lambda self, **_: settings)
        monkeypatch.setattr(Source, "trajectories", lambda self: [one[:60] for one in sample("ethanol")[:3]])
        monkeypatch.setattr(arms, "NEWTON_STEPS", {"n_steps": 5, "n_path_steps": 2})

    def made(self, folder, method):
        chaining = rollouts.Chaining(length_fs=12.0, n_starts=2, reference=method)
        return rollouts.run(folder=folder, sources=[Source()], seeds=1, n_epochs=1, processes=0, chaining=chaining)

    def test_chains_are_judged_by_what_was_run_on(self, tmp_path):
        text = self.made(tmp_path, METHOD).read_text(encoding="utf-8")
        assert "each against GFN2-xTB run on at constant energy from the same starts" in text
        assert "| GFN2-xTB, half against half |" in text and "| the test walker" not in text

    def test_a_reference_that_does_not_fit_is_refused_before_anything_is_trained(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rollouts, "compared", lambda *_, **__: pytest.fail("trained"))
        with pytest.raises(InvalidSettings, match="did not make it"):
            self.made(tmp_path, "GFN1-xTB")
        with pytest.raises(InvalidSettings, match="not for both"):
            rollouts.Chaining(reference=METHOD, temperature_K=500.0)
