"""Ablations: one idea left out or exchanged at a time, several seeds each, everything else as it was.

``asteroid-nb ablate`` runs them on the bundled ethanol; finished trainings are kept, so an interrupted grid goes on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_nb import __version__
from asteroid_nb.data.catalogue import sample
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.evaluation import evaluate
from asteroid_nb.files import replacing
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.settings import ObjectiveSettings, preset
from asteroid_nb.forecast.training import train
from asteroid_nb.parallel import side_by_side

#: What each variant changes: settings of the model, then of the objective.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full model": ({}, {}),
    "no STI": ({"sti": False}, {}),
    "with conjugate Ψ": ({"conjugate": "subset"}, {}),
    "local attention only": ({"spatial": "local"}, {}),
    "global attention only": ({"spatial": "global"}, {}),
    "gated fusion": ({"fusion": "gated"}, {}),
    "positions only": ({"state": "positions"}, {}),
    "autoregressive": ({"decode": "autoregressive"}, {}),
    "no linear skip": ({"skip": "none"}, {}),
    "skip: constant velocity": ({"skip": "constant_velocity"}, {}),
    "superposed frame": ({"frame": "window"}, {}),
    "no exchange, no reversal": ({}, {"exchange": False, "reverse": False}),
    "self-supervised": ({"decode": "none", "skip": "constant_velocity"}, {"training": "self_supervised"}),
}

LEADS_FS = (2, 8, 16, 32)


def run(
    *, folder: Path, fit_settings: FitSettings, n_seeds: int, names: Sequence[str] | None = None, processes: int = 2
) -> Path:
    """Train every variant with every seed, write ``ablation.json`` and ``ablation.md``, and return the latter.

    Raises:
        InvalidSettings: a name that is no variant.
    """
    chosen = list(names or VARIANTS)
    if unknown := [name for name in chosen if name not in VARIANTS]:
        raise InvalidSettings(f"No variant is called {unknown[0]!r}; there are: {'; '.join(VARIANTS)}.")
    jobs = [(name, dataclasses.replace(fit_settings, seed=seed)) for seed in range(n_seeds) for name in chosen]
    waiting = [job for job in jobs if not _path(folder, *job).is_file()]
    side_by_side(_one, [(folder, *job) for job in waiting], processes=processes, label="ablation")
    return write_table(
        folder, [(name, settings.seed, _read(_path(folder, name, settings))) for name, settings in jobs], fit_settings
    )


def _path(folder: Path, name: str, settings: FitSettings) -> Path:
    plain = "".join(letter if letter.isalnum() else "-" for letter in name)
    chosen = repr(sorted(vars(settings).items())) + repr(VARIANTS[name]) + __version__
    return folder / "trainings" / f"{plain}-seed{settings.seed}-{hashlib.sha256(chosen.encode()).hexdigest()[:8]}.json"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _one(folder: Path, name: str, settings: FitSettings) -> None:
    """Train one variant with one seed and keep its test errors by lead time."""
    model, objective = VARIANTS[name]
    trained = train(
        sample("ethanol"),
        settings=preset("notebook", **model),
        objective=ObjectiveSettings(**objective),
        fit_settings=settings,
        observers=(),
    )
    assert trained.split is not None
    table = evaluate(trained, trained.split.test)
    record = {
        "variant": name,
        "seed": settings.seed,
        "rmse_ang": table.rmse(trained.name).tolist(),
        "lead_times_fs": table.lead_times_fs.tolist(),
        "n_parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "seconds": trained.history[-1]["seconds"],
    }
    with replacing(_path(folder, name, settings)) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")


def write_table(folder: Path, records: list[tuple[str, int, dict[str, Any]]], settings: FitSettings) -> Path:
    """Write the Markdown table (mean ± standard deviation over seeds) and the numbers behind it."""
    names = list(dict.fromkeys(name for name, _, _ in records))
    seeds = sorted({seed for _, seed, _ in records})
    rows = [_row(name, [record for other, _, record in records if other == name]) for name in names]
    leads = [lead for lead in LEADS_FS if lead in records[0][2]["lead_times_fs"]]
    head = f"| variant | {' | '.join(f'{lead} fs' for lead in leads)} | mean over horizon | parameters | seconds |"
    made = (
        f"Bundled ethanol, test walker never fitted, RMSE per coordinate in Å, mean ± standard deviation over "
        f"{len(seeds)} seeds, {settings.n_epochs} epochs. "
        f"Made by `asteroid-nb ablate --epochs {settings.n_epochs} --seeds {len(seeds)}` on "
        f"{platform.machine()}, {os.cpu_count()} cores, one thread each; torch {torch.__version__}."
    )
    with replacing(folder / "ablation.json") as temporary:
        temporary.write_text(json.dumps([record for _, _, record in records], indent=1), encoding="utf-8")
    with replacing(folder / "ablation.md") as temporary:
        temporary.write_text(
            "\n".join([made, "", head, "|---" * (len(LEADS_FS) + 4) + "|", *rows]) + "\n", encoding="utf-8"
        )
    print((folder / "ablation.md").read_text(encoding="utf-8"))
    return folder / "ablation.md"


def _row(name: str, records: list[dict[str, Any]]) -> str:
    errors = np.array([record["rmse_ang"] for record in records])
    leads = records[0]["lead_times_fs"]
    columns = [errors[:, leads.index(lead)] for lead in LEADS_FS if lead in leads] + [errors.mean(axis=1)]
    cells = [f"{values.mean():.4f} ± {values.std(ddof=min(1, len(values) - 1)):.4f}" for values in columns]
    seconds = np.mean([record["seconds"] for record in records])
    return f"| {name} | {' | '.join(cells)} | {records[0]['n_parameters']:,} | {seconds:.0f} |"
