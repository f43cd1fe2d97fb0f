"""What lessons on cost and on GPUs are told: rates of what ran, rounding that is rounding, tables as they are."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from contracts.small_models import held_out, small_model, small_settings, walkers

import asteroid_nb as anb
from asteroid_nb.bench import results, timing
from asteroid_nb.bench.forecasts import precision, price
from asteroid_nb.captured import recorded
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.forecast.baselines import Copy
from asteroid_nb.forecast.run import Run


@functools.cache
def run():
    parts = anb.split(walkers(), small_settings().window_shape())
    return Run(small_model(), 1.0, split=parts)


class Slow:
    """A forecaster that notes what it is asked."""

    name = "slow"

    def __init__(self):
        self.asked = []

    def forecast(self, window):
        assert window.future is None
        self.asked.append(len(window))
        return window.history[:, -1:].expand(-1, 8, -1, -1)


def test_rates_are_fs_over_the_median_seconds_whatever_the_batch(monkeypatch):
    monkeypatch.setattr(price, "median_s", lambda work, *, device, rounds: (work(), 0.5)[1])
    slow, windows = Slow(), held_out()
    found = price.rates([slow], windows, at_once=(1, 4, 1000))
    assert slow.asked == [1, 4, 1000], "windows are repeated where there are too few"
    assert found == {"slow": {n: n * 8 * 1.0 / 0.5 for n in (1, 4, 1000)}}
    assert price.of_forecasts(slow, windows, at_once=4, once_s=3.0).seconds(64.0) == pytest.approx(3.0 + 1.0)


def test_training_is_timed_on_a_copy():
    before = {name: value.clone() for name, value in run().model.state_dict().items()}
    found = price.training_rates(run(), batches=(2, 8))
    assert list(found) == [run().name] and all(rate > 0 for rate in found[run().name].values())
    assert all(torch.equal(value, before[name]) for name, value in run().model.state_dict().items())
    assert not run().model.training and all(one.grad is None for one in run().model.parameters())


def test_a_loaded_run_has_nothing_to_train_on(tmp_path):
    loaded = anb.Run.load(run().save(tmp_path))
    with pytest.raises(ModelMismatch, match="no windows to train on"):
        price.training_rates(loaded)


def argon_walkers(folder):
    ase = pytest.importorskip("ase")
    from ase.calculators.lj import LennardJones

    argon = functools.partial(LennardJones, sigma=3.4, epsilon=0.0104, rc=20.0)
    dimer = ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]])
    return anb.simulate(
        dimer, n_walkers=2, n_frames=20, chunk_frames=8, dt_fs=2.0, timestep_fs=1.0, equilibration_fs=50.0,
        temperature_K=20.0, calculator=argon, progress=False, processes=0, out=folder,
    )  # fmt: skip


def test_a_simulation_has_a_price_where_its_cores_were_timed(tmp_path):
    walkers = argon_walkers(tmp_path)
    spent = [walker.provenance["core_seconds"] for walker in walkers]
    assert all(0 < one < 60 for one in spent)
    assert price.simulated_fs(walkers) == 2 * (20 * 2.0 + 50.0)
    found = price.of_simulation(walkers)
    assert found is not None and found.per_fs_s == pytest.approx(sum(spent) / 180)
    again = [walker.provenance["core_seconds"] for walker in argon_walkers(tmp_path)]
    assert again == spent, "what was paid once is not paid twice"


def test_chunks_written_without_a_clock_have_no_price(tmp_path):
    timed = argon_walkers(tmp_path)
    path = tmp_path / "walker-000" / "chunk-00000.npz"
    with np.load(path) as stored:
        kept = {name: stored[name] for name in stored.files if name != "core_seconds"}
    np.savez(path, **kept)
    found = argon_walkers(tmp_path)
    assert ["core_seconds" in one.provenance for one in found] == [False, True]
    assert price.of_simulation(timed) is not None and price.of_simulation(found) is None


def test_bundled_walkers_say_how_they_were_made_and_not_what_it_cost():
    assert price.of_simulation(walkers()) is None
    assert price.simulated_fs(walkers()[:1]) == 5300 * 1.0 + 5000.0
    with pytest.raises(InvalidTrajectory, match="does not say how it was simulated"):
        price.of_simulation([walkers()[0].replace(provenance={})])


def test_a_clock_runs_while_there_is_one_thread():
    before = torch.get_num_threads()
    with timing.one_thread() as machine:
        assert torch.get_num_threads() == 1 and "seconds" not in machine
        sum(range(10**5))
    assert torch.get_num_threads() == before and 0 < machine["seconds"] < 30


class TestRounding:
    def test_a_rounded_network_moves_a_forecast_less_than_rounded_positions_do(self):
        table = precision.differences(run(), run().split.test, most=32)
        network, positions = (table.rmse(f"{what} in bfloat16") for what in ("network", "positions"))
        assert (network > 0).all() and (network < 0.1 * positions).all()
        assert positions.min() > 1e-3, "three digits of 1 Å are some thousandths"

    def test_the_error_is_that_of_an_evaluation(self):
        table = precision.differences(run(), run().split.test, most=32)
        judged = anb.evaluate(run(), run().split.test, most=32)
        np.testing.assert_allclose(table.rmse("the forecast's own error"), judged.rmse(run().name), rtol=1e-5)

    def test_fitted_windows_are_refused(self):
        with pytest.raises(ModelMismatch, match="were used in training"):
            precision.differences(run(), run().split.train)

    def test_mixed_runs_stand_beside_the_run_they_come_from(self):
        mixed = precision.Mixed(run())
        errors = anb.evaluate([run(), mixed, precision.Mixed(run(), positions_too=True)], run().split.test, most=16)
        assert len(set(errors.names)) == 3 and mixed.device == run().device
        assert not torch.is_autocast_enabled("cpu")


class TestTables:
    def test_the_one_of_the_gpu_is_read_as_it_is(self):
        found = results.measured("forecast_gpu")
        rates = results.rates_on_a_gpu(found)
        raw = [one for one in found["forecasts"] if one["forecaster"] == "notebook"]
        assert list(rates) == [f"{found['hardware']}, {how}" for how in ("launched", "recorded")]
        assert {n: rate for rate in [rates[f"{found['hardware']}, recorded"]] for n, rate in rate.items()} == {
            one["at_once"]: one["recorded"] for one in raw
        }

    def test_windows_a_second_are_a_batch_over_its_time(self):
        rows = [{"preset": "p", "batch": 8, "launched_ms": 4.0}, {"failed": "x"}]
        rows.append({"preset": "p", "batch": 16, "launched_ms": 4.0, "recorded_ms": 2.0})
        found = results.training_on_a_gpu({"hardware": "G", "steps": rows}, "p")
        assert found == {"G, launched": {8: 2000.0, 16: 4000.0}, "G, recorded": {16: 8000.0}}

    def test_there_is_nothing_without_a_checkout(self, tmp_path, monkeypatch):
        monkeypatch.setattr(results, "__file__", str(tmp_path / "site" / "package" / "results.py"))
        assert results.measured("forecast_gpu") == {}
        assert results.rates_on_a_gpu({}) == results.training_on_a_gpu({}) == {}

    def test_names_are_those_of_the_folder(self):
        path = results.FOLDER / "forecast_gpu.json"
        assert json.loads((results.Path(anb.__file__).parents[1] / path).read_text()) == results.measured(
            "forecast_gpu"
        )


def test_nothing_is_recorded_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidSettings, match="torch finds no CUDA GPU"):
        recorded(lambda: None)


@pytest.mark.gpu
def test_a_recorded_forecast_is_the_forecast():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    window = price.repeated(held_out(), 4).to("cuda")
    found = torch.zeros(4, 8, window.history.shape[2], 3, device="cuda")
    replay = recorded(lambda: found.copy_(Copy(8).forecast(window)))
    found.zero_()
    window.history.add_(1.0)
    replay()
    torch.testing.assert_close(found, window.history[:, -1:].expand_as(found))
