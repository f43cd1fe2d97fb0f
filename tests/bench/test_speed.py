"""Timings count what they say they count, and a page of them names the simulation they are held against."""

from __future__ import annotations

import pytest
import torch
from contracts.small_models import walkers

from asteroid_nb.bench.forecasts import arms, narrow, speed
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.forecasts.roofline import Peaks, Work, measured, median_s, peaks
from asteroid_nb.bench.sources import Source
from asteroid_nb.cli import main
from asteroid_nb.errors import InvalidSettings, TrainingDiverged
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.settings import STISettings

CPU = torch.device("cpu")


class TestRoofline:
    def test_a_product_of_matrices_is_counted(self):
        left, right = torch.ones(100, 50), torch.ones(50, 20)
        found = measured(lambda: left @ right, device=CPU)
        assert found.flops == 2 * 100 * 50 * 20
        assert found.moved_bytes == 4 * (100 * 50 + 50 * 20 + 100 * 20)
        assert found.seconds > 0

    def test_views_move_nothing_and_what_is_changed_in_place_does(self):
        one = torch.ones(1000)
        assert measured(lambda: one.view(10, 100)[3:5].T, device=CPU).moved_bytes == 0
        assert measured(lambda: one.add_(1.0), device=CPU).moved_bytes >= 2 * 4000

    def test_the_nearer_limit_is_the_one_that_counts(self):
        limits = Peaks(flops=100.0, bytes_per_s=10.0)
        assert Work(flops=50.0, moved_bytes=1.0, seconds=1.0).share_of(limits) == pytest.approx(0.5)
        assert Work(flops=50.0, moved_bytes=10.0, seconds=2.0).share_of(limits) == pytest.approx(0.5)

    def test_the_middle_of_times_is_taken(self, monkeypatch):
        clock = iter([0.0, 1.0, 10.0, 15.0, 20.0, 22.0])
        monkeypatch.setattr("asteroid_nb.bench.forecasts.roofline.time.perf_counter", lambda: next(clock))
        assert median_s(lambda: None, device=CPU, rounds=3) == 2.0

    def test_this_machine_has_peaks(self):
        found = peaks(CPU)
        assert found.flops > 1e8 and found.bytes_per_s > 1e8


TINY = {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "delay_frames": 2, "slot_frames": 2}


@pytest.mark.parametrize("start", ["newton", "ridge"])
def test_the_page_names_every_forecaster_and_the_simulation(tmp_path, monkeypatch, start):
    brief = Protocol(name="F1", spacing_fs=1.0, history=4, horizon=4, leads_fs=(1, 4), about="briefly")
    monkeypatch.setitem(PROTOCOLS, "F1", brief)
    monkeypatch.setattr(Protocol, "settings", lambda self, **_: STISettings(history=4, horizon=4, skip=start, **TINY))
    monkeypatch.setattr(Source, "trajectories", lambda self: walkers())
    for module in (arms, narrow):
        monkeypatch.setattr(module, "NEWTON_STEPS", {"n_steps": 5, "n_path_steps": 2})
    monkeypatch.setattr(speed, "NARROW_SEEDS", 2)
    monkeypatch.setattr(speed, "BATCHES", (1, 4))
    monkeypatch.setattr(speed, "XTB_STEPS", 3)
    text = speed.run(
        folder=tmp_path, sources=[Source()], protocols=["F1"], n_epochs=1, processes=0, command="typed"
    ).read_text(encoding="utf-8")
    names = [
        "STI-Transformer",
        "ridge, equivariant",
        "ridge, local frames",
        "GFN2-xTB dynamics",
        "learned Newton, 64 wide",
    ]
    names += ["learned Newton"] * (start == "newton")
    assert all(f"| {name} |" in text for name in names) and "Made by `typed`" in text
    assert "one step of training on" in text and "GFlop/s" in text and "1 ×" in text
    assert "learned Newton, 64 wide: at least 1,000 times as fast" in text and "of 2 seeds of the narrow" in text
    monkeypatch.setattr(narrow, "learn_potential", lambda *_, **__: pytest.fail("learnt again"))
    again = narrow.narrow_newtons(tmp_path, Source(), brief, seeds=2, processes=0)
    weights = [one.potential.last.weight for one in again]
    assert len(again) == 2 and not torch.equal(*weights) and not list(tmp_path.rglob(narrow.TRAINING))


def test_the_fastest_simulation_is_what_forecasts_are_held_against(monkeypatch):
    simulated, clock = {"one": []}, iter([3.0, None, 5.0])
    monkeypatch.setattr(speed, "xtb_fs_per_s", lambda _: next(clock))
    monkeypatch.setattr(Source, "trajectories", lambda self: walkers())
    for _ in range(3):
        speed._simulate([Source(name="one")], simulated)
    work = speed.Timed(
        protocol=PROTOCOLS["F1"], source=Source(name="one"), rates={"it": [1.0, 4000.0]}, off={"it": ("a", "b")},
        works={}, judged=["it"], about="ten windows",
    )  # fmt: skip
    (rule,) = speed.speed(work, max(simulated["one"]), Peaks(flops=1.0, bytes_per_s=1.0)).rules
    assert simulated == {"one": [3.0, 5.0]} and rule.measured == "800 ×" and rule.holds is False
    assert speed.speed(work, None, Peaks(flops=1.0, bytes_per_s=1.0)).rules[0].holds is None


@pytest.mark.parametrize(
    ("ends", "left"), [(TrainingDiverged("exploded"), "without it"), (KeyboardInterrupt(), "stopped")]
)
def test_a_narrow_potential_that_fails_is_left_out_and_one_that_is_stopped_stops_all(tmp_path, monkeypatch, ends, left):
    monkeypatch.setattr(Source, "trajectories", lambda self: walkers())

    def failing(*_, **__):
        raise ends

    monkeypatch.setattr(narrow, "learn_potential", failing)
    ask = lambda: narrow.narrow_newtons(tmp_path, Source(), PROTOCOLS["F1"], seeds=1, processes=0)  # noqa: E731
    if left == "stopped":
        with pytest.raises(KeyboardInterrupt):
            ask()
    else:
        assert ask() == []
    assert not list(tmp_path.rglob("*.pt"))


def test_a_training_that_was_stopped_is_gone_on_with(tmp_path, monkeypatch):
    parts, asked = PROTOCOLS["F1"].parts(walkers()), []
    unfinished = Potential(parts.train.molecule, width=8)
    unfinished.finished = False
    monkeypatch.setattr(narrow, "learn_potential", lambda *_, **given: asked.append(given["resume"]) or unfinished)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            narrow.kept_potential(tmp_path, parts, width=8)
        (tmp_path / narrow.TRAINING).touch()
    assert asked == [False, True] and not (tmp_path / narrow.WEIGHTS).exists()


def test_what_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidSettings, match="torch finds no GPU here"):
        speed.run(folder=tmp_path, sources=[Source()], device="cuda")
    with pytest.raises(InvalidSettings, match="No protocol is called 'P9'"):
        speed.run(folder=tmp_path, sources=[Source()], protocols=["P9"])
    assert main(["bench", "speed", "--epochs", "0", "--out", str(tmp_path)]) == 2
