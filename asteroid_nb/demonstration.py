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
from asteroid_nb.forecast.rollout import attention
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.training import train
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.processes import from_the_first, say
from asteroid_nb.progress import Bar
from asteroid_nb.reporting.report import report
from asteroid_nb.rolling import rollout_quality

RIDGES = ("ridge, equivariant", "ridge, superposed")
LOCAL_RIDGE = "ridge, local frames"

#: Lead times the printed table shows, fs, as far as the horizon reaches.
LEADS_FS = (1, 2, 4, 8, 16, 32)


def run(name: str, *, folder: Path, fit_settings: FitSettings, resume: bool = False) -> Run:
    """Train on a bundled sample and judge the result."""
    began = time.perf_counter()
    walkers = sample(name)
    say(
        f"Data: {walkers[0].name}, {len(walkers)} walkers of {walkers[0].n_frames} frames every {walkers[0].dt_fs:g} fs"
    )
    last = len(walkers)
    say(f"Train on walkers 1 to {last - 2}, validate on {last - 1}, test on {last}. Run folder: {folder}")
    trained = train(walkers, settings="notebook", fit_settings=fit_settings, folder=folder, resume=resume)
    if not trained.finished:
        say(f"Stopped. Go on with the same command and --out {folder} --resume")
        return trained
    page, n_bytes = from_the_first(lambda: _page(trained, folder, fit_settings))
    say(f"\nA page to play with, without kernel or network: {page} ({n_bytes / 1e6:.1f} MB)")
    say(f"In {time.perf_counter() - began:.0f} s. Figures: {folder / 'figures'}.")
    say("Now look at it move: make lab, notebook 01_forecast.")
    return trained


def _page(trained: Run, folder: Path, fit_settings: FitSettings) -> tuple[Path, int]:
    table = judge(trained, folder=folder, networks=fit_settings)
    page = report(trained, folder / "report.html", errors=table)
    return page, page.stat().st_size


def judge(trained: Run, *, folder: Path, networks: FitSettings | None) -> ErrorTable:
    """Fit the rivals, measure everything on the test windows, print the table and write it with the figures.

    Raises:
        ModelMismatch: the test windows were used in training.
    """
    assert trained.split is not None, "judging needs the windows the run was split into"
    parts = trained.split
    trained.must_not_have_seen(parts.test)
    print("\nFitting the rivals …")
    others: list[Any] = list(rivals(parts.train, parts.validation))
    if networks is not None:
        others += network_rivals(parts.train, parts.validation, networks, observers=(Bar("network rivals"),))
    table = evaluate([trained, *others], parts.test)
    text = "\n\n".join([caption(trained, table, networks), as_markdown(table), describe(table, trained.name)])
    text += f"\n{rollout_quality(trained, parts.test)}"
    print(f"\n{text}")
    table.save(folder / "errors.npz")
    with replacing(folder / "errors.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    write_figures(trained, table, folder / "figures")
    return table


def as_markdown(table: ErrorTable) -> str:
    return table.to_markdown(leads_fs=[lead for lead in LEADS_FS if lead in table.lead_times_fs] or None)


def caption(trained: Run, table: ErrorTable, networks: FitSettings | None) -> str:
    """Return what the table shows: data, split, unit and what each network was given."""
    assert trained.split is not None
    test = trained.split.test.trajectories
    several = not any(trajectory in trained.split.train.trajectories for trajectory in test)
    where = "a trajectory never fitted" if several else "the last part of a trajectory whose first part was fitted"
    spent = f"The STI-Transformer was trained for {len(trained.history)} epochs"
    spent += f", the LSTM and the plain Transformer for {networks.n_epochs}." if networks else "."
    return f"RMSE per coordinate in Å on {table.n_windows} windows of {test[0].name}, {where}. {spent}"


def describe(table: ErrorTable, name: str) -> str:
    """Return in words how a forecaster stands against the simple rivals, and what it adds to the map it starts from."""
    simple = [other for other in table.names if other not in (name, LOCAL_RIDGE, "LSTM", "plain Transformer")]
    lines = [f"{name} is below copy, mean, velocity, autoregression and both usual ridges at every lead time."]
    if worse := _not_below(table, name, simple):
        lines = [f"{name} is not below every simple rival at {worse} fs."]
    present = [ridge for ridge in RIDGES if ridge in table.names]
    if present:
        lines.append(_against(table, name, table.best_of(present), "the better usual ridge"))
    if LOCAL_RIDGE in table.names:
        lines.append(_against(table, name, LOCAL_RIDGE, "the kind of linear map it starts from"))
    return "\n".join(lines)


def _against(table: ErrorTable, name: str, rival: str, which: str) -> str:
    ratio, worse = table.mean_ratio(name, rival), _not_below(table, name, [rival])
    said = (
        f"Against {which} ({rival}), averaged over the horizon: {ratio.value:.2f} × its error "
        f"(90 % interval {ratio.low:.2f} to {ratio.high:.2f} over blocks of windows)"
    )
    return said + (f"; not below it at {worse} fs." if worse else "; below it at every lead time.")


def _not_below(table: ErrorTable, name: str, others: Sequence[str]) -> str:
    """Return the lead times at which one of the others is as good or better, as words."""
    ratios = table.ratio(name, others)
    return ", ".join(f"{lead:g}" for lead, ratio in zip(table.lead_times_fs, ratios, strict=True) if ratio >= 1)


def write_figures(trained: Run, table: ErrorTable, folder: Path) -> None:
    """Write every figure as one HTML file that opens without a network."""
    from asteroid_nb.views.attention import attention_map
    from asteroid_nb.views.horizon import error_over_horizon
    from asteroid_nb.views.per_atom import per_atom_bars
    from asteroid_nb.views.training import loss_curve
    from asteroid_nb.views.worst_windows import error_heatmap
    from asteroid_nb.widgets.attention_records import attention_labels

    test = trained.split.test  # type: ignore[union-attr]
    looked = attention(trained, test[:1])
    shown = next(key for key in looked if key.endswith(("global", "local")))
    axes = attention_labels(trained, test.trajectories[0], shown)
    kind = shown.rsplit(".", 1)[-1]
    rival = table.best_of([name for name in table.names if name != trained.name])
    figures = {
        "error_over_horizon": error_over_horizon(table),
        "worst_windows": error_heatmap(table, trained.name),
        "error_per_atom": per_atom_bars(table, trained.name, float(table.lead_times_fs[-1]), rival=rival),
        "training": loss_curve(trained.history),
        "attention": attention_map(
            looked[shown][-1].mean(0), axes.queries, axes.keys, title=f"{shown}, mean over heads", kind=kind
        ),
    }
    for name, figure in figures.items():
        with replacing(folder / f"{name}.html") as temporary:
            figure.write_html(temporary, include_plotlyjs=True)
    with replacing(folder.parent / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in trained.history), encoding="utf-8")
