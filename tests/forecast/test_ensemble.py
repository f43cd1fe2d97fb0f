"""An ensemble forecasts like any forecaster, and its spread is what its members' forecasts say."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from contracts.forecaster import ForecasterContract
from contracts.small_models import SHAPE, held_out, training, walkers
from straight_line import Watcher
from torch.testing import assert_close
from trained import ONE_EPOCH, TINY, same, shaken_ethanol, tiny_run
from vibrating import vibrating_ethanol

import asteroid_nb as anb
from asteroid_nb.data.windows import Molecule, Windows, WindowShape
from asteroid_nb.errors import CorruptModel, Interrupted, InvalidSettings, ModelMismatch
from asteroid_nb.forecast.ensemble import Ensemble, train_ensemble
from asteroid_nb.forecast.newton import LearnedNewton
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.rollout import chained

BRIEF = {"n_steps": 4, "n_path_steps": 0, "width": 8, "observers": ()}
OPTIONS = {"settings": TINY, "fit_settings": ONE_EPOCH, "observers": ()}


@functools.cache
def potentials() -> Ensemble:
    return Ensemble.fit(training(), held_out(), n_members=3, **BRIEF)


@functools.cache
def runs() -> Ensemble:
    return train_ensemble(shaken_ethanol(), n_members=2, **OPTIONS)


class TestOfPotentials(ForecasterContract):
    rotates, mirrors = True, True

    @pytest.fixture(scope="class")
    @classmethod
    def forecaster(cls):
        return potentials()

    def test_mean_and_spread_are_those_of_the_members(self, forecaster, window):
        each = torch.stack([member.forecast(window) for member in forecaster.members]).double()
        assert_close(forecaster.forecast(window).double(), each.mean(0), rtol=0, atol=1e-6)
        around = (each - each.mean(0)).square().sum(0) / 2
        spread = (around.sum(-1) / 3).sqrt()
        assert_close(forecaster.spread(window).double(), spread, rtol=1e-3, atol=1e-6)
        assert forecaster.spread(window).shape == window.truth.shape[:3]

    def test_the_spread_is_what_noise_of_the_members_says(self, window):
        class Shifted:
            name, horizon = "shifted", 8

            def __init__(self, seed):
                self.draw = torch.Generator().manual_seed(seed)

            def forecast(self, window):
                return window.truth + 0.3 * torch.randn(window.truth.shape, generator=self.draw)

        many = Ensemble([Shifted(seed) for seed in range(60)])
        assert float(many.spread(window).square().mean().sqrt()) == pytest.approx(0.3, rel=0.02)

    def test_the_same_member_twice_has_no_spread(self, forecaster, window):
        assert float(Ensemble([forecaster.members[0]] * 2).spread(window).max()) == 0

    def test_the_spread_grows_with_the_lead_time(self, forecaster, window):
        by_lead = forecaster.spread(window).mean((0, 2))
        assert (by_lead.diff() > 0).all()

    def test_it_stands_beside_other_forecasters(self, forecaster, windows):
        table = anb.evaluate([forecaster, forecaster.members[0]], windows, most=20)
        assert table.names == ("ensemble", "learned Newton")
        path = chained(forecaster, windows[:2].history, dt_fs=windows.dt_fs, n_blocks=2)
        assert path.shape == (2, 16, 9, 3)

    def test_seeds_differ(self, forecaster):
        one, other = (member.potential.state_dict()["last.weight"] for member in forecaster.members[:2])
        assert not torch.equal(one, other)


class TestOfRuns:
    def test_members_have_the_seeds_in_turn(self):
        assert same(runs().members[0], tiny_run()) and not same(*runs().members)
        assert repr(runs()) == "<Ensemble 'ensemble' of 2 × STI-Transformer>"

    def test_saved_and_loaded_it_says_the_same(self, tmp_path):
        again = Ensemble.load(runs().save(tmp_path))
        window = runs().members[0].split.test[:4]
        assert_close(again.forecast_and_spread(window), runs().forecast_and_spread(window), rtol=0, atol=0)

    def test_a_missing_member_is_told(self, tmp_path):
        runs().save(tmp_path)
        (tmp_path / "member-01" / "settings.json").unlink()
        with pytest.raises(CorruptModel, match=r"member-01 is not a model folder"):
            Ensemble.load(tmp_path)

    @pytest.mark.parametrize("count", [1, "two", 10**9, True])
    def test_a_forged_count_is_told(self, tmp_path, count):
        runs().save(tmp_path)
        record = json.loads((tmp_path / "settings.json").read_text())
        (tmp_path / "settings.json").write_text(json.dumps(record | {"n_members": count}))
        with pytest.raises(CorruptModel, match="Copy the folder or train again"):
            Ensemble.load(tmp_path)

    def test_stopped_and_gone_on_with(self, tmp_path):
        with pytest.raises(Interrupted, match=r"Member 0 of 2 was stopped.*resume=True"):
            stopping = {**OPTIONS, "observers": [Watcher(stop_after=2)]}
            train_ensemble(shaken_ethanol(), n_members=2, folder=tmp_path, **stopping)
        resumed = train_ensemble(shaken_ethanol(), n_members=2, folder=tmp_path, resume=True, **OPTIONS)
        assert all(map(same, resumed.members, runs().members))
        assert all(map(same, Ensemble.load(tmp_path).members, runs().members))

    def test_other_data_are_refused_where_members_would(self):
        with pytest.raises(ModelMismatch, match="has a frame every 0.7 fs"):
            shape = WindowShape(history=TINY.history, horizon=TINY.horizon)
            anb.evaluate(runs(), Windows([vibrating_ethanol(200, dt_fs=0.7)], shape))


class TestWhatIsRefused:
    def test_one_member_is_none(self):
        with pytest.raises(InvalidSettings, match="2 members or more, found 1"):
            Ensemble(potentials().members[:1])
        with pytest.raises(InvalidSettings, match="n_members was 1"):
            train_ensemble(shaken_ethanol(), n_members=1)

    def test_members_that_disagree(self):
        molecule = Molecule.of(walkers())
        one, longer = (LearnedNewton(Potential(molecule, width=8), horizon=horizon) for horizon in (8, 9))
        with pytest.raises(ModelMismatch, match=r"Member 1 of the ensemble has horizon 9, those before it 8.*agree"):
            Ensemble([one, longer])
        with pytest.raises(ModelMismatch, match="Member 1 of the ensemble has horizon"):
            Ensemble([runs().members[0], LearnedNewton(one.potential, horizon=TINY.horizon + 1)])
        heavy = vibrating_ethanol(4, masses=[12, 12, 16, 2, 2, 2, 2, 2, 2])
        with pytest.raises(ModelMismatch, match="has masses"):
            Ensemble([one, LearnedNewton(Potential(Molecule.of([heavy]), width=8), horizon=8)])

    def test_potentials_have_no_folder(self, tmp_path):
        with pytest.raises(InvalidSettings, match="A LearnedNewton has no folder of its own"):
            potentials().save(tmp_path)
        assert SHAPE.horizon == potentials().members[0].horizon
