"""The demo: train on a bundled sample, measure against every rival, write table and figures, say what comes next."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asteroid_nb.data.catalogue import sample
from asteroid_nb.evaluation import evaluate
from asteroid_nb.files import replacing
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.baselines import rivals
from asteroid_nb.forecast.networks import network_rivals
from asteroid_nb.forecast.rollout import attention, window_at
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.training import train
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.progress import Bar

RIDGES = ("ridge, equivariant", "ridge, superposed")

#: Lead times the printed table shows, fs, as far as the horizon reaches.
LEADS_FS = (1, 2, 4, 8, 16, 32)


def run(name: str, *, folder: Path, fit_settings: FitSettings, resume: bool = False) -> Run:
    """Train on a bundled sample and judge the result."""
    began = time.perf_counter()
    walkers = sample(name)
    print(
        f"Data: {walkers[0].name}, {len(walkers)} walkers of {walkers[0].n_frames} frames every {walkers[0].dt_fs:g} fs"
    )
    last = len(walkers)
    print(f"Trained on walkers 1 to {last - 2}, validated on {last - 1}, tested on {last}. Run folder: {folder}")
    trained = train(walkers, fit_settings=fit_settings, folder=folder, resume=resume)
    if not trained.finished:
        print(f"Stopped. Go on with: asteroid-nb demo --out {folder} --resume")
        return trained
    judge(trained, folder=folder, networks=FitSettings(n_epochs=2, batch_size=64, seed=fit_settings.seed))
    print(f"\nIn {time.perf_counter() - began:.0f} s. Figures: {folder / 'figures'}.")
    print("Now look at it move: make lab, notebook 01_forecast.")
    return trained


def judge(trained: Run, *, folder: Path, networks: FitSettings | None) -> ErrorTable:
    """Fit the rivals, measure everything on the test windows, print the table and write it with the figures."""
    assert trained.split is not None, "judging needs the windows the run was split into"
    parts = trained.split
    print("\nFitting the rivals …")
    others: list[Any] = list(rivals(parts.train, parts.validation))
    if networks is not None:
        others += network_rivals(parts.train, parts.validation, networks, observers=(Bar("network rivals"),))
    table = evaluate([trained, *others], parts.test)
    verdict = describe(table, trained.name)
    leads = [lead for lead in LEADS_FS if lead in table.lead_times_fs] or None
    text = table.to_markdown(leads_fs=leads)
    print(
        f"\nRMSE per coordinate in Å on {table.n_windows} windows of a trajectory never fitted:\n\n{text}\n\n{verdict}"
    )
    table.save(folder / "errors.npz")
    with replacing(folder / "errors.md") as temporary:
        temporary.write_text(f"{text}\n\n{verdict}\n", encoding="utf-8")
    write_figures(trained, table, folder / "figures")
    return table


def describe(table: ErrorTable, name: str, ridges: Sequence[str] = RIDGES) -> str:
    """Return in words how a forecaster stands against the ridge maps and the simple rivals."""
    present = [ridge for ridge in ridges if ridge in table.names]
    simple = [other for other in table.names if other not in (name, "ridge, local frames", "LSTM", "plain Transformer")]
    worse = [
        f"{lead:g}" for lead, ratio in zip(table.lead_times_fs, table.ratio(name, simple), strict=True) if ratio >= 1
    ]
    lines = [f"{name} is below copy, mean, velocity, autoregression and both ridges at every lead time."]
    if worse:
        lines = [f"{name} is not below every simple rival at lead times (fs): {', '.join(worse)}."]
    if present:
        better = table.best_of(present)
        ratio = table.mean_ratio(name, better)
        lines.append(
            f"Against the better ridge ({better}), averaged over the horizon: {ratio.value:.2f} × its error "
            f"(90 % interval {ratio.low:.2f} to {ratio.high:.2f} over blocks of windows)."
        )
    return "\n".join(lines)


def write_figures(trained: Run, table: ErrorTable, folder: Path) -> None:
    """Write every figure as one HTML file that opens without a network."""
    from asteroid_nb.views.attention import attention_map
    from asteroid_nb.views.horizon import error_heatmap, error_over_horizon, per_atom_bars
    from asteroid_nb.views.training import loss_curve

    test = trained.split.test  # type: ignore[union-attr]
    labels = list(test.trajectories[0].labels)
    looked = attention(trained, window_at(trained, test.trajectories[0], 0))
    shown = next(key for key in looked if key.startswith("encoder") and key.endswith(("global", "local")))
    present = looked[shown][-1].mean(0)
    keys = labels + [f"register {index + 1}" for index in range(present.shape[1] - len(labels))]
    figures = {
        "error_over_horizon": error_over_horizon(table),
        "worst_windows": error_heatmap(table, trained.name),
        "error_per_atom": per_atom_bars(table, trained.name, float(table.lead_times_fs[-1])),
        "training": loss_curve(trained.history),
        "attention": attention_map(
            present[: len(labels)], labels, keys, title=f"{shown}, mean over heads", kind="global"
        ),
    }
    for name, figure in figures.items():
        with replacing(folder / f"{name}.html") as temporary:
            figure.write_html(temporary, include_plotlyjs=True)
    with replacing(folder.parent / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in trained.history), encoding="utf-8")
