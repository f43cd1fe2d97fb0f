"""Figure C from finished arms, with its rules evaluated as they stand, and how records are chosen for any figure."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.rare_events.finding import error_of, seen, timescale
from asteroid_nb.rare_events.four_wells import (
    CELLS,
    CORE_SET,
    INTERVAL,
    N_FRAMES,
    NEAREST,
    X_ONLY,
)
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_wells
from asteroid_nb.states.timescales import Timescales, plateau_lag

Record = dict[str, Any]

#: What is compared in every figure, as records name it.
WHO = {"MD": "data", "order-1 chain": "chain"}

LAGS = (1, 10, 50)


def chosen(records: Sequence[Record], **wanted: Any) -> list[Record]:
    """Return the records whose fields, or options, are these, by seed; an option not given counts as None."""
    fields = lambda record: {**dict(record["options"]), **{k: record[k] for k in ("states", "model", "seed")}}  # noqa: E731
    found = [one for one in records if all(fields(one).get(name) == value for name, value in wanted.items())]
    return sorted(found, key=lambda one: one["seed"])


def largest(records: Sequence[Record]) -> list[Record]:
    """Return the arms that saw most frames; those that name no number saw `N_FRAMES`."""
    size = lambda record: dict(record["options"]).get("n_frames", N_FRAMES)  # noqa: E731
    most = max(map(size, records), default=0)
    return [one for one in records if size(one) == most]


def each(records: Sequence[Record], of: str = "model", **which: Any) -> np.ndarray:
    """Return one timescale per record."""
    return np.array([timescale(one, of, **which) for one in records])


def figure_c(records: Sequence[Record]) -> Finding:
    """Timescales against lag: exact, MD, order-1 chain, LSTM, Transformer, per choice of states."""
    exact = float(four_wells().timescales(1)[0])
    rows, drawings = [], {}
    sizes = sorted({dict(one["options"]).get("n_frames") for one in records}, key=lambda size: size or np.inf)
    for size in sizes:
        for states in (CORE_SET, NEAREST, CELLS, X_ONLY):
            several = {m: chosen(records, states=states, model=m, n_frames=size) for m in ("LSTM", "Transformer")}
            if any(several.values()):
                rows += _rows(states, several, size)
                label = "" if size is None else f"-{size}"
                drawings[f"figure-C-{_plain(states)}{label}"] = _against_lag(states, several, exact)
    return Finding(
        key="C",
        title="Which timescale do models show, at which lag?",
        head=("states", "frames of training", "who", *(f"t2 at lag {lag}" for lag in LAGS), "t3 at lag 10", "seeds"),
        rows=rows,
        rules=_rules_c(largest(records), exact),
        drawings=drawings,
        note=f"Lags in frames of {INTERVAL:g}. Mean ± standard deviation over seeds, each with data of its own, so it "
        "holds the noise of the data, too. MD is all replicas through the same steps, the held-out one included.",
    )


def _rows(states: str, several: dict[str, list[Record]], size: int | None) -> list[tuple[Any, ...]]:
    first = next(records for records in several.values() if records)
    trained = seen(first)
    who = {name: (first, of) for name, of in WHO.items()} | {
        m: (found, "model") for m, found in several.items() if found
    }
    flat = [_plateau(one) for one in first]
    everywhere = spread([timescale(one, "data", lag=lag) for one, lag in zip(first, flat, strict=True)])
    second = spread([timescale(one, "data", lag=lag, mode=1) for one, lag in zip(first, flat, strict=True)])
    lags = sorted({str(lag) for lag in flat if lag}) or ["none"]
    msm = f"plateau MSM (lag {', '.join(lags)})"
    return [
        (states, trained, msm, *[everywhere] * len(LAGS), second, len(first)),
        *(
            (
                states,
                trained,
                name,
                *(spread(each(found, of, lag=lag)) for lag in LAGS),
                spread(each(found, of, mode=1)),
                len(found),
            )
            for name, (found, of) in who.items()
        ),
    ]


def _plateau(record: Record) -> int:
    """Return the first lag from which the data's t2 is flat, 0 where it never is."""
    found = record.get("data_kinetics", {})
    if "timescales_fs" not in found:
        return 0
    times = np.array(found["timescales_fs"], dtype=float)
    try:
        return plateau_lag(
            Timescales(lags_frames=np.array(found["lags_frames"]), dt_fs=record["dt_fs"], timescales_fs=times)
        )
    except InvalidTrajectory:
        return 0


def _rules_c(records: Sequence[Record], exact: float) -> list[Rule]:
    rules = []
    for model in ("LSTM", "Transformer"):
        raw, core = (chosen(records, states=states, model=model) for states in (NEAREST, CORE_SET))
        seeds, same = [one["seed"] for one in core], [one["seed"] for one in raw] == [one["seed"] for one in core]
        off = abs(error_of(each(raw, lag=1), exact))
        rules.append(
            Rule(asked=f"{model}, raw states: one step errs by 40 % or more", measured=f"{off:.0%}", holds=off >= 0.4)
        )
        slow = each(core, lag=10)
        off = error_of(slow, exact)
        rules.append(
            Rule(
                asked=f"{model}, core set: t2 at lag 10 within 15 % of exact, mean of at least 3 seeds",
                measured=f"{spread(slow)}, that is {off:+.1%} ({len(slow)} seeds)",
                holds=abs(off) <= 0.15 and len(slow) >= 3,
            )
        )
        errors = {name: np.abs(each(found, lag=1) / exact - 1) for name, found in (("raw", raw), ("core", core))}
        rules.append(
            Rule(
                asked=f"{model}: at lag 1 the core set errs less than raw states in every seed",
                measured=f"core set {_percents(errors['core'])}; raw {_percents(errors['raw'])}",
                holds=bool(same and len(seeds) >= 3 and (errors["core"] < errors["raw"]).all()),
            )
        )
    return rules


def _percents(values: np.ndarray) -> str:
    return ", ".join(f"{value:.0%}" for value in values)


def _against_lag(states: str, several: dict[str, list[Record]], exact: float) -> Any:
    from asteroid_nb.views.state_times import timescales_against_lag

    first = next(records for records in several.values() if records)
    curves = {name: _curve(first, of) for name, of in WHO.items()}
    if all(flat := [_plateau(one) for one in first]):
        curves["plateau MSM"] = _curve(first, "data", at=flat)
    curves |= {model: _curve(found, "model") for model, found in several.items() if found}
    return timescales_against_lag(
        curves,
        exact_fs=[exact * FS_PER_UNIT],
        title=f"t2 against lag: {states}",
        subtitle=f"mean of {len(first)} seeds; bands from the lowest seed to the highest",
    )


def _curve(records: Sequence[Record], of: str, *, at: Sequence[int] = ()) -> Any:
    """Return the mean over seeds, with their range for a band; read at one lag each for all lags where given."""
    lags = records[0]["lags_frames"]
    read = [[lag] * len(lags) for lag in at] or [lags] * len(records)
    values = np.array(
        [[timescale(one, of, lag=lag, fs=True) for lag in own] for one, own in zip(records, read, strict=True)]
    )[..., None]
    return SimpleNamespace(
        lags_fs=np.array(lags) * INTERVAL * FS_PER_UNIT,
        timescales_fs=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
    )


def _plain(text: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text).split())
