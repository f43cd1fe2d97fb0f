"""How far off forecasts are, by protocol and by data, beside every rival, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.bench.forecasts.arms import USUAL_RIDGES, compared, fit_rivals, record_of
from asteroid_nb.bench.forecasts.protocols import Protocol
from asteroid_nb.bench.sources import Source
from asteroid_nb.finding import Finding, Rule, spread, write

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What errors may be at most, in Å.

    Args:
        protocol: by name.
        words: all in the name of the data; "long" is in no other's.
        ade_ang, fde_ang: mean over the horizon, and at its end.
        rmse_ang: by lead time in fs.
    """

    protocol: str
    words: tuple[str, ...]
    ade_ang: float | None = None
    fde_ang: float | None = None
    rmse_ang: tuple[tuple[float, float], ...] = ()

    def is_meant_for(self, source: Source) -> bool:
        name = source.name.lower()
        return all(word in name for word in self.words) and ("long" in name) == ("long" in self.words)


TARGETS = (
    Target(protocol="P3", words=("ethanol", "sgdml"), ade_ang=0.060, fde_ang=0.085),
    Target(protocol="P3", words=("malonaldehyde", "sgdml"), ade_ang=0.100, fde_ang=0.170),
    Target(protocol="P3", words=("ethanol", "sgdml", "long"), ade_ang=0.090, fde_ang=0.130),
    Target(protocol="P3", words=("malonaldehyde", "sgdml", "long"), ade_ang=0.090, fde_ang=0.150),
    Target(protocol="P3", words=("aspirin", "sgdml"), ade_ang=0.115, fde_ang=0.200),
    Target(protocol="F1", words=("ethanol", "sgdml"), rmse_ang=((16, 0.015), (32, 0.035))),
    Target(protocol="F1", words=("malonaldehyde", "sgdml"), rmse_ang=((16, 0.015), (32, 0.035))),
    Target(protocol="F1", words=("aspirin", "sgdml"), rmse_ang=((16, 0.030), (32, 0.060))),
)


def run(
    *,
    folder: Path,
    sources: Sequence[Source],
    protocols: Sequence[str] = ("F1", "P3"),
    seeds: int = 3,
    n_epochs: int = 3,
    processes: int = 2,
    page: str = "accuracy",
    command: str = "asteroid-nb bench accuracy",
) -> Path:
    """Train what is not there yet, write a page with tables and rules, and return it.

    Raises:
        InvalidSettings: a name that is no protocol.
    """
    found = [
        accuracy(protocol, source, [record_of(folder, arm) for arm in arms], fit_rivals(folder, source, protocol.name))
        for protocol, source, arms in compared(
            folder, sources, protocols, seeds=seeds, n_epochs=n_epochs, processes=processes
        )
    ]
    about = f"{n_epochs} epochs, {seeds} seeds" if seeds else "Rivals alone, one training each"
    about += "; no window of the test was seen or chosen by."
    path = write(folder, page, found, command=command, about=about)
    print(path.read_text(encoding="utf-8"))
    return path


def accuracy(protocol: Protocol, source: Source, records: Sequence[Record], rivals: dict[str, Record]) -> Finding:
    """Return the table of one protocol on one source."""
    known = [one for one in records if "test" in one]
    rows = [_row(name, [errors], protocol) for name, errors in rivals.items()]
    if known:
        rows.append(_row("STI-Transformer", [one["test"] for one in known], protocol))
    return Finding(
        key=protocol.name,
        title=f"{source.name}: {protocol.about}",
        head=("forecaster", *(f"{lead:g} fs" for lead in protocol.leads_fs), "mean distance", "at the end"),
        rows=rows,
        rules=[*_rules(protocol, source, records, rivals), *failures(records)] if records else [],
        note="RMSE per coordinate in Å by lead time; then the mean distance per atom in Å over the horizon (ADE) and "
        "at its end (FDE). Learned Newton, and an STI-Transformer that starts from it, also learn from stored frames "
        "between those of a window. "
        f"Mean ± standard deviation over seeds; {_size(known)}",
    )


def _size(records: Sequence[Record]) -> str:
    if not records:
        return "no network was trained, or none has a result."
    first = records[0]
    minutes = np.mean([one["seconds"] for one in records]) / 60
    return (
        f"{first['n_windows']:,} windows to learn from, {first['test']['n_windows']:,} to be judged on, "
        f"{first['n_parameters']:,} weights, {minutes:.0f} minutes of training each network, after what it starts from."
    )


def _row(name: str, errors: Sequence[Record], protocol: Protocol) -> tuple[str, ...]:
    one_of = lambda value: f"{value:.4f}" if value is not None and np.isfinite(value) else "–"  # noqa: E731
    said = lambda values: spread(values, 4) if len(values) > 1 else one_of(values[0])  # noqa: E731
    leads = [said([rmse_at(one, lead) for one in errors]) for lead in protocol.leads_fs]
    return (name, *leads, *(said([one[key] for one in errors]) for key in ("ade_ang", "fde_ang")))


def rmse_at(errors: Record, lead_fs: float) -> float:
    """Return the RMSE per coordinate in Å at a lead time, NaN where a forecast left all numbers."""
    return float(_rmse(errors)[int(np.argmin(np.abs(np.array(errors["lead_times_fs"]) - lead_fs)))])


def _rmse(errors: Record) -> np.ndarray:
    return np.array(errors["rmse_ang"], dtype=float)


def _rules(protocol: Protocol, source: Source, records: Sequence[Record], rivals: dict[str, Record]) -> list[Rule]:
    """Return the rules; a seed without a result fails all of them."""
    rules = [_against_rivals(records, rivals)]
    for target in TARGETS:
        if target.protocol == protocol.name and target.is_meant_for(source):
            for lead, most in target.rmse_ang:
                values = [rmse_at(one["test"], lead) if "test" in one else np.nan for one in records]
                rules.append(_at_most(f"RMSE at {lead:g} fs", values, most))
            for name, key, most in (("ADE", "ade_ang", target.ade_ang), ("FDE", "fde_ang", target.fde_ang)):
                if most is not None:
                    values = [one.get("test", {}).get(key) for one in records]
                    rules.append(_at_most(name, np.array(values, dtype=float), most))
    return rules


def _at_most(name: str, values: Sequence[float] | np.ndarray, most: float) -> Rule:
    asked = f"{name} at most {most:g} Å, mean of seeds"
    return Rule(asked=asked, measured=spread(values, 4), holds=bool(np.mean(values) <= most))


def _against_rivals(records: Sequence[Record], rivals: dict[str, Record]) -> Rule:
    asked, known = "below every rival at every lead time", [one["test"] for one in records if "test" in one]
    if len(known) < len(records) or not known:
        return Rule(asked=asked, measured="not known: a seed has no result", holds=False)
    own = np.mean([_rmse(one) for one in known], axis=0)
    best = np.nanmin([_rmse(one) for one in rivals.values()], axis=0)
    means = [_rmse(rivals[name]).mean() for name in USUAL_RIDGES if name in rivals]
    ridge = min((mean for mean in means if np.isfinite(mean)), default=np.nan)
    worse = np.array(known[0]["lead_times_fs"])[~(own < best)]
    where = f"not at {', '.join(f'{lead:g}' for lead in worse)} fs; " if len(worse) else ""
    measured = f"{where}{own.mean() / ridge:.2f} × the better usual ridge, mean over the horizon"
    return Rule(asked=asked, measured=measured, holds=not len(worse))


def failures(records: Sequence[Record]) -> list[Rule]:
    return [
        Rule(asked=f"no result of seed {one['seed']}", measured=str(one["failed"]), holds=None)
        for one in records
        if "failed" in one
    ]
