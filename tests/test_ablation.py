"""The grid of ablations: every variant is possible, finished trainings are kept, the table says what it averaged."""

from __future__ import annotations

import json

import pytest

from asteroid_nb import ablation
from asteroid_nb.data.catalogue import sample
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.settings import ObjectiveSettings, preset


@pytest.fixture
def small(monkeypatch):
    """Short walkers and the tiny preset in place of the real thing."""
    monkeypatch.setattr(ablation, "sample", lambda name: [walker[:120] for walker in sample(name)[:3]])
    monkeypatch.setattr(ablation, "preset", lambda name, **changes: preset("tiny", width=16, **changes))


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_every_variant_can_be_made(name):
    model, objective = ablation.VARIANTS[name]
    assert preset("notebook", **model) and ObjectiveSettings(**objective)


def test_an_interrupted_grid_goes_on_where_it_stopped(small, tmp_path, capsys):
    settings = FitSettings(n_epochs=1, batch_size=64, device="cpu")
    ablation.run(folder=tmp_path, fit_settings=settings, n_seeds=1, names=["no STI"], processes=0)
    kept = next((tmp_path / "trainings").iterdir())
    before = kept.stat().st_mtime_ns
    path = ablation.run(
        folder=tmp_path, fit_settings=settings, n_seeds=2, names=["no STI", "no linear skip"], processes=0
    )
    assert kept.stat().st_mtime_ns == before
    table, records = path.read_text(), json.loads((tmp_path / "ablation.json").read_text())
    assert "2 seeds" in table and "| no linear skip |" in table
    assert [(record["variant"], record["seed"]) for record in records] == [
        ("no STI", 0),
        ("no linear skip", 0),
        ("no STI", 1),
        ("no linear skip", 1),
    ]
    without_skip = [record["rmse_ang"][1] for record in records if record["variant"] == "no linear skip"]
    with_skip = [record["rmse_ang"][1] for record in records if record["variant"] == "no STI"]
    assert min(without_skip) > max(with_skip), "two femtoseconds ahead a linear start is worth more than one epoch"


def test_an_unknown_variant_names_the_known_ones(tmp_path):
    with pytest.raises(InvalidSettings, match="no STI"):
        ablation.run(folder=tmp_path, fit_settings=FitSettings(), n_seeds=1, names=["no luck"], processes=0)
