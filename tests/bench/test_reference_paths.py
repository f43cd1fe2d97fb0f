"""Dynamics that chains start from and are judged by: equilibrated one by one, of the method that made the data."""

from typing import ClassVar

import numpy as np
import pytest

from asteroid_nb import sample
from asteroid_nb.bench.forecasts import arms, chaining, reference, rollouts
from asteroid_nb.bench.forecasts.chaining import Chaining, staged
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.forecasts.reference import must_have_made, reference_paths
from asteroid_nb.bench.sources import Source
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.metrics.conservation import temperature_K
from asteroid_nb.rolling import covered

pytest.importorskip("tblite")

METHOD, SHAPE = "GFN2-xTB", WindowShape(history=4, horizon=8)
BRIEF = Protocol(name="F1", spacing_fs=1.0, history=4, horizon=4, leads_fs=(1, 4), about="for tests")


@pytest.fixture(scope="module")
def walker():
    return sample("ethanol")[-1][:100]


@pytest.fixture
def asked(walker, monkeypatch):
    monkeypatch.setattr(reference, "EQUILIBRATION_FS", 5.0)
    return {"windows": Windows([walker], SHAPE), "method": METHOD, "temperature_K": 500.0, "processes": 0}


def test_each_path_is_another_one_and_goes_as_far_as_asked(tmp_path, asked):
    paths = reference_paths(tmp_path, n_paths=3, n_frames=6, **asked)
    assert [path.n_frames for path in paths] == [6, 6, 6] and {path.dt_fs for path in paths} == {1.0}
    moved = [path.positions[-1] - path.positions[0] for path in paths]
    assert not any(np.allclose(moved[0], other, atol=1e-3) for other in moved[1:])


def test_more_paths_than_windows_differ_by_their_seeds(tmp_path, asked, walker):
    one = asked | {"windows": Windows([walker[:12]], SHAPE)}
    first, second = reference_paths(tmp_path, n_paths=2, n_frames=4, **one)
    assert not np.allclose(first.positions[-1], second.positions[-1], atol=1e-3)


def test_paths_are_as_warm_as_asked(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(reference, "EQUILIBRATION_FS", 100.0)
    cold, hot = (
        np.mean(
            [
                temperature_K(np.diff(path.positions, axis=0), path.masses).mean()
                for path in reference_paths(
                    tmp_path / f"{kelvin}", n_paths=3, n_frames=20, **asked | {"temperature_K": kelvin}
                )
            ]
        )
        for kelvin in (50.0, 800.0)
    )
    assert hot > 3 * cold


def test_frames_further_apart_are_those_of_the_windows(tmp_path, asked, walker):
    two = Windows([walker], WindowShape(history=3, horizon=4, stride_frames=2))
    (path,) = reference_paths(tmp_path, n_paths=1, n_frames=4, **asked | {"windows": two})
    assert path.dt_fs == 2.0 and path.n_frames == 4


def test_what_was_simulated_is_kept(tmp_path, asked, monkeypatch):
    first = reference_paths(tmp_path, n_paths=2, n_frames=3, **asked)
    (tmp_path / "001.npy").unlink()
    seeds = []
    real = reference.simulate
    monkeypatch.setattr(reference, "simulate", lambda *a, **k: seeds.append(k["seed"]) or real(*a, **k))
    again = reference_paths(tmp_path, n_paths=2, n_frames=3, **asked)
    assert seeds == [1]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.positions, other.positions)


def test_a_method_that_did_not_make_the_frames_is_refused(walker):
    must_have_made(METHOD, Windows([walker], SHAPE))
    with pytest.raises(InvalidSettings, match="off those of GFN1-xTB, which therefore did not make it"):
        must_have_made("GFN1-xTB", Windows([walker], SHAPE))
    with pytest.raises(InvalidSettings, match="has no forces"):
        must_have_made(METHOD, Windows([walker.replace(forces=None)], SHAPE))
    with pytest.raises(InvalidSettings, match="'PM7' is none of GFN2-xTB"):
        must_have_made("PM7", Windows([walker], SHAPE))


class TestChains:
    TINY: ClassVar = {"width": 16, "heads": 2, "encoder_layers": 1, "delay_frames": 2, "row_stride": 1}
    BESIDE = Chaining(length_fs=12.0, n_starts=2, reference=METHOD)

    @pytest.fixture(autouse=True)
    def _brief(self, monkeypatch):
        settings = STISettings(history=4, horizon=4, skip="newton", slot_frames=4, **self.TINY)
        monkeypatch.setitem(PROTOCOLS, "F1", BRIEF)
        monkeypatch.setattr(Protocol, "settings", lambda self, **_: settings)
        monkeypatch.setattr(Source, "trajectories", lambda self: [one[:60] for one in sample("ethanol")[:3]])
        monkeypatch.setattr(arms, "NEWTON_STEPS", {"n_steps": 5, "n_path_steps": 2})
        monkeypatch.setattr(reference, "EQUILIBRATION_FS", 5.0)

    def made(self, folder, chained):
        return rollouts.run(folder=folder, sources=[Source()], seeds=2, n_epochs=1, processes=0, chaining=chained)

    def test_they_start_where_the_truth_is_in_the_present(self, tmp_path):
        stage = staged(tmp_path, BRIEF, Source(), self.BESIDE, processes=0)
        true, seen = covered(stage.truth), stage.starts[:]
        assert len(true) == len(stage.starts) == 2
        for number, path in enumerate(true):
            assert len(path) == 1 + 12
            assert seen.place(seen.history)[number, -1].numpy() == pytest.approx(path[0], abs=1e-5)

    def test_they_are_judged_by_its_paths(self, tmp_path, monkeypatch):
        judged, real = [], chaining.judge
        monkeypatch.setattr(
            chaining, "judge", lambda paths, by, **how: judged.append((len(paths), by, how)) or real(paths, by, **how)
        )
        text = self.made(tmp_path, self.BESIDE).read_text(encoding="utf-8")
        chains = [(by, how) for n, by, how in judged if n == 2]
        assert len(chains) >= 6, "two ridge maps; network and potential of two seeds"
        for by, how in chains:
            assert len(by.trajectories) == 2 and by.trajectories[0].name == METHOD and how == {"asked_K": None}
        assert "2 chains of 0.012 ps, beside GFN2-xTB" in text and "equilibrated one by one at 500 K" in text
        assert "| GFN2-xTB, half against half |" in text and "| the test walker" not in text
        newton = next(row for row in text.splitlines() if row.startswith("| learned Newton |"))
        assert newton.split("|")[2].count(",") == 1, "of both seeds"

    def test_a_reference_that_does_not_fit_is_refused_before_anything_is_trained(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rollouts, "compared", lambda *_, **__: pytest.fail("trained"))
        with pytest.raises(InvalidSettings, match="did not make it"):
            self.made(tmp_path, Chaining(reference="GFN1-xTB"))


def test_what_is_judged_otherwise_has_another_name(monkeypatch):
    how = [{}, {"temperature_K": 300.0}, {"reference": METHOD}, {"reference": METHOD, "temperature_K": 300.0}]
    names = {Chaining(**one).file for one in how}
    assert len(names) == 4
    monkeypatch.setattr(chaining, "JUDGED", -1)
    assert Chaining().file not in names
    assert Chaining(temperature_K=300.0).held_K == 300.0
    assert Chaining(reference=METHOD, temperature_K=300.0).held_K is None, "beside a reference chains keep their energy"
