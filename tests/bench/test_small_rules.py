"""The small rules of every figure of the equilibrium force field, on the model that comes with the package."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import pytest

from asteroid_nb.bench import accuracy, cost, distribution, fixed_points, motion, work
from asteroid_nb.bench.arms import DEQ
from asteroid_nb.bench.setting import SMALL, Setting
from asteroid_nb.bench.sources import Parts
from asteroid_nb.data.simulate import simulate
from asteroid_nb.equilibrium.pretrained import pretrained
from asteroid_nb.equilibrium.run import ForceFieldRun

pytestmark = pytest.mark.slow

#: Of a laptop's minutes: what CI can spend on each figure.
SIZE = replace(
    SMALL, width=64, replayed=40, md_ps=0.4, md_walkers=2, langevin_ps=0.6, langevin_walkers=4, timed_steps=50
)


class Bundled(Setting):
    """A bench whose equilibrium model is the bundled one, so that nothing is trained, on frames that are 0.5 fs apart.

    The bundled walkers are stored every 1 fs, for which the rules of warm starts are not meant.
    """

    @cached_property
    def parts(self) -> Parts:
        (made,) = simulate(
            "ethanol", n_frames=120, dt_fs=0.5, equilibration_fs=300, seed=11, processes=0, progress=False
        )
        return replace(self.source.parts(), test=made)

    def run(self, model: str = DEQ, seed: int = 0, **changes: Any) -> ForceFieldRun:
        return pretrained("ethanol") if model == DEQ and not changes else super().run(model, seed, **changes)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory) -> Setting:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "logs").mkdir()
    return Bundled(folder, size=SIZE, processes=0)


@pytest.mark.parametrize(
    "figure",
    [
        *(fixed_points.figure_a1, fixed_points.figure_a2, fixed_points.figure_a3),
        *(work.figure_b1, work.figure_b2, work.figure_b3),
        *(cost.figure_c2, cost.figure_c3, motion.figure_d2),
    ],
    ids=lambda figure: figure.__name__,
)
def test_a_small_rule_holds(bundled, figure):
    finding = figure(bundled)
    failed = [str(rule) for rule in finding.rules if rule.holds is False]
    assert not failed and any(rule.holds for rule in finding.rules)
    assert finding.rows and finding.key in finding.markdown()


def test_trained_side_by_side_the_equilibrium_model_beats_one_block(tmp_path):
    setting = Setting(tmp_path, size=replace(SMALL, width=16, n_frames=200, n_epochs=40), processes=0)
    records = {model: setting.records((model,))[0] for model in (DEQ, "K = 1")}
    errors = {model: one["test"]["force_meV_per_ang"] for model, one in records.items()}
    assert errors[DEQ] < errors["K = 1"]
    assert accuracy.as_accurate({DEQ: 1.0, "K = 1": 3.0, "K = 2": 2.0, "K = 4": 0.9, "K = 8": 0.8}) == "K = 4"


@pytest.fixture
def without_twin(monkeypatch) -> None:
    """Let the explicit control be the bundled model, too: nothing is trained in CI."""
    monkeypatch.setattr(motion, "POLICIES", (motion.TIGHT, motion.DEFAULT, motion.COLD))
    monkeypatch.setattr(motion, "CONTROL", DEQ)
    monkeypatch.setattr(distribution, "CONTROL", DEQ)


@pytest.mark.usefixtures("without_twin")
def test_reuse_keeps_the_energy(bundled):
    rules = [rule for rule in motion.figure_d1(bundled).rules if "drift" in rule.asked]
    assert [rule.holds for rule in rules] == [True, True], list(map(str, rules))


@pytest.mark.usefixtures("without_twin")
def test_reuse_keeps_the_distribution(bundled):
    rule = distribution.figure_d4(bundled).rules[0]
    assert rule.holds, str(rule)
