"""One table of peers and rivals: errors, what they cost, and what may not be concluded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asteroid_nb.bench.forecasts.accuracy import rmse_at
from asteroid_nb.bench.forecasts.protocols import Protocol
from asteroid_nb.finding import Finding, Rule

Record = dict[str, Any]

CAUTION = (
    "Peers are trained from scratch, in minutes of one core, on one molecule, with sizes and rates chosen for that "
    "budget, which is not what their authors recommend: FlashMD's tutorial asks for 1,000 epochs at least and prefers "
    "its universal models, fine-tuned; it is made for long strides and for ensembles. EGNO's own scripts default to "
    "10,000 epochs; it sees one state, not the history. Nothing here says how they do when trained as recommended, on "
    "other data, or on what they are made for."
)


def finding(
    protocol: Protocol,
    source: str,
    rivals: Mapping[str, Record],
    peers: Mapping[str, Record],
    not_run: Mapping[str, str],
    *,
    seconds: float,
) -> Finding:
    """Return the table of one protocol on one source.

    Args:
        rivals: errors by name.
        peers: what `judge` returned, by title.
        not_run: reasons, by name.
    """
    rows = [_row(name, errors, errors, protocol) for name, errors in rivals.items()]
    rows += [_row(name, one["test"], one, protocol) for name, one in peers.items() if "test" in one]
    failed = {name: one["failed"] for name, one in peers.items() if "failed" in one} | dict(not_run)
    rows += [_reason_row(name, protocol) for name in failed]
    told = sorted({one["velocities"] for one in peers.values() if "velocities" in one})
    return Finding(
        key=protocol.name,
        title=f"{source}: {protocol.about}",
        head=(
            "forecaster", *(f"{lead:g} fs" for lead in protocol.leads_fs), "mean distance", "at the end",
            "training, s", "by the clock, s", "weights",
        ),
        rows=rows,
        rules=[_said(name, one) for name, one in peers.items() if "test" in one]
        + [Rule(asked=f"{name} has no result", measured=reason, holds=None) for name, reason in failed.items()],
        note=_note(seconds, told),
    )  # fmt: skip


def _note(seconds: float, velocities: list[str]) -> str:
    return (
        "RMSE per coordinate in Å by lead time; then the mean distance per atom in Å over the horizon (ADE) and at its "
        f"end (FDE). A peer may train for {seconds:.0f} s of processor time on one thread, imports and preparation "
        "included, which is wall-clock on a core of one's own; by the clock, with its forecasts and beside other jobs, "
        "it took longer. Peers are also told velocities at every frame of the history "
        f"({'; '.join(velocities) or 'none was asked'}), rivals see positions alone; learned Newton learns from stored "
        f"frames between those of a window. {CAUTION}"
    )


def _row(name: str, errors: Record, cost: Record, protocol: Protocol) -> tuple[str, ...]:
    numbers = [rmse_at(errors, lead) for lead in protocol.leads_fs] + [errors["ade_ang"], errors["fde_ang"]]
    shown = [f"{one:.4f}" if one is not None and np.isfinite(one) else "–" for one in numbers]
    whole = [f"{cost[key]:,.0f}" if key in cost else "–" for key in ("core_seconds", "wall_seconds", "n_parameters")]
    return (name, *shown, *whole)


def _reason_row(name: str, protocol: Protocol) -> tuple[str, ...]:
    return (name, *["no result"] * (len(protocol.leads_fs) + 2), "–", "–", "–")


def _said(name: str, record: Record) -> Rule:
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    return Rule(asked=f"what {name} was", measured=f"{record['about']} ({versions})", holds=None)
