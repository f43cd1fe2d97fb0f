"""Figures C to H from finished arms: tables, drawings, and the rules of the design, each evaluated as it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.rare_events.finding import Finding, Rule, error_of, passages, seen, spread, timescale
from asteroid_nb.rare_events.four_wells import (
    CELLS,
    CORE_SET,
    INTERVAL,
    N_FRAMES,
    N_REPLICAS,
    NEAREST,
    X_ONLY,
    arm,
    prepare,
)
from asteroid_nb.rare_events.grid import CLEANED, COARSE, FINE
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_well_partitions, four_wells
from asteroid_nb.states.one_step import label_passage_times
from asteroid_nb.states.passage import passage_times
from asteroid_nb.states.timescales import Timescales, plateau_lag

Record = dict[str, Any]

#: What is compared in every figure, as records name it.
WHO = {"MD": "data", "order-1 chain": "chain"}

LAGS = (1, 10, 50)

#: Lag in frames of the Markov state model that stands beside the language models: from here on t2 is flat.
PLATEAU = 10


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
        shared = sorted({one["seed"] for one in raw} & {one["seed"] for one in core})
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
        errors = {
            name: np.abs(each([one for one in found if one["seed"] in shared], lag=1) / exact - 1)
            for name, found in (("raw", raw), ("core", core))
        }
        rules.append(
            Rule(
                asked=f"{model}: at lag 1 the core set errs less than raw states in every seed",
                measured=f"core set {_percents(errors['core'])}; raw {_percents(errors['raw'])}",
                holds=bool(len(shared) and (errors["core"] < errors["raw"]).all()),
            )
        )
    return rules


def _percents(values: np.ndarray) -> str:
    return ", ".join(f"{value:.0%}" for value in values)


def _against_lag(states: str, several: dict[str, list[Record]], exact: float) -> Any:
    from asteroid_nb.views.state_times import timescales_against_lag

    first = next(records for records in several.values() if records)
    curves = {name: _curve(first, of) for name, of in WHO.items()}
    curves |= {model: _curve(found, "model") for model, found in several.items() if found}
    return timescales_against_lag(
        curves,
        exact_fs=[exact * FS_PER_UNIT],
        title=f"t2 against lag: {states}",
        subtitle=f"mean of {len(first)} seeds; bands from the lowest seed to the highest",
    )


def _curve(records: Sequence[Record], of: str) -> Any:
    """Return the mean over seeds, with the range over seeds for a band."""
    lags = records[0]["lags_frames"]
    values = np.array([[timescale(one, of, lag=lag, fs=True) for lag in lags] for one in records])[..., None]
    return SimpleNamespace(
        lags_fs=np.array(lags) * INTERVAL * FS_PER_UNIT,
        timescales_fs=values.mean(axis=0),
        low=values.min(axis=0),
        high=values.max(axis=0),
    )


def figure_d(records: Sequence[Record]) -> Finding:
    """Passage times between the wells, model against exact."""
    from asteroid_nb.views.state_parity import passage_parity

    chain = four_wells()
    labels = ["1", "2", "3", "4"]
    exact = label_passage_times(chain, four_well_partitions(chain.centres)["core set"], interval=INTERVAL) * FS_PER_UNIT
    off_diagonal = ~np.eye(len(exact), dtype=bool)
    means, rules = {}, []
    found = {model: chosen(largest(records), states=CORE_SET, model=model) for model in ("LSTM", "Transformer")}
    given = {name: [passages(one, of) for one in found["LSTM"]] for name, of in WHO.items()}
    given[f"plateau MSM, lag {PLATEAU}"] = [_by_msm(one) for one in found["LSTM"]]
    given |= {model: [passages(one, "model") for one in several] for model, several in found.items()}
    for name, seeds in given.items():
        times = np.array(seeds)
        means[name] = times.mean(axis=0)
        errors = np.abs(means[name] / np.where(off_diagonal, exact, 1) - 1)[off_diagonal]
        middle, worst = float(np.median(errors)), float(errors.max())
        alone = np.median(np.abs(times[:, off_diagonal] / exact[off_diagonal] - 1), axis=1)
        rules.append(
            Rule(
                asked=f"{name}: median error at most 20 %, worst at most 40 %",
                measured=f"median {middle:.1%}, worst {worst:.1%} (mean of {len(times)} seeds; median of single seeds "
                f"{alone.min():.0%} to {alone.max():.0%})",
                holds=None if name not in found else middle <= 0.2 and worst <= 0.4,
            )
        )
    cells = lambda times, a, b: f"{times[a, b] / FS_PER_UNIT:.1f}"  # noqa: E731
    return Finding(
        key="D",
        title="How long does it take from well to well?",
        head=("from → to", "exact", *means),
        rows=[
            (f"{labels[a]} → {labels[b]}", cells(exact, a, b), *(cells(times, a, b) for times in means.values()))
            for a, b in np.argwhere(off_diagonal)
        ],
        rules=rules,
        drawings={"figure-D": passage_parity(exact, means, labels)},
        note="Mean time from any moment with one label until the first frame in the other core, every "
        f"{INTERVAL:g}; models from chains of 1,000 units, MD from {N_REPLICAS} replicas.",
    )


def _by_msm(record: Record) -> np.ndarray:
    """Return the passage times of a Markov state model at the plateau lag, from the data that an arm saw."""
    data = prepare(arm(CORE_SET, "LSTM", record["seed"], **dict(record["options"])))
    return passage_times([*data.train, data.held_out], method="msm", lag_frames=PLATEAU).times_fs


def figure_e(records: Sequence[Record], *, n_samples: int = 4000, seed: int = 0) -> Finding:
    """Transformer against LSTM: ln t2 at lag 10, same data, tokens, context and number of parameters."""
    from asteroid_nb.views.state_parity import equivalence

    pairs = [chosen(largest(records), states=CORE_SET, model=model) for model in ("LSTM", "Transformer")]
    lstm, transformer = (np.log(each(found)) for found in pairs)
    noise = np.hypot(*(_chain_noise(found) for found in pairs))
    differences = transformer - lstm
    random = np.random.default_rng(seed)
    drawn = random.integers(len(differences), size=(n_samples, len(differences)))
    means = (differences[drawn] + noise[drawn] * random.standard_normal(drawn.shape)).mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    sizes = [max(one.get("n_parameters", 0) for one in found) for found in pairs]
    verdict = "no difference is shown" if low <= 0 <= high else "they differ"
    verdict = verdict if np.isfinite([low, high]).all() else "nothing can be said, a timescale is missing"
    return Finding(
        key="E",
        title="Is a Transformer better than an LSTM of its size?",
        head=("seed", "ln t2 Transformer − LSTM", "LSTM t2", "Transformer t2"),
        rows=[
            (one["seed"], f"{difference:+.3f}", f"{np.exp(a):.1f}", f"{np.exp(b):.1f}")
            for one, difference, a, b in zip(pairs[0], differences, lstm, transformer, strict=True)
        ],
        rules=[
            Rule(
                asked="90 % interval of ln t2, Transformer − LSTM, at lag 10",
                measured=f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f}), {len(differences)} seeds, parameters "
                f"{sizes[1]:,} and {sizes[0]:,}: {verdict}",
                holds=None,
            )
        ],
        drawings={
            "figure-E": equivalence(
                differences.mean(), low, high, seeds=[differences.tolist()], rows=["core set"], title="t2 at lag 10"
            )
        },
        note="Both learn from the same replicas seed by seed. The bootstrap draws seeds, and for each the noise that "
        "its own bootstrap over chains found.",
    )


def _chain_noise(records: Sequence[Record]) -> np.ndarray:
    """Return the standard deviation of ln t2 at lag 10 that the finite number of chains leaves, by their own band."""
    low, high = (np.array([timescale(one, key=key) for one in records]) for key in ("low_fs", "high_fs"))
    return np.log(high / low) / (2 * 1.645)  # a band of 90 % of a normal distribution


def _plain(text: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text).split())


FIGURES: dict[str, Callable[[Sequence[Record]], Finding]] = {"C": figure_c, "D": figure_d, "E": figure_e}

__all__ = ["CLEANED", "COARSE", "FIGURES", "FINE", "chosen", "each", "figure_c", "figure_d", "figure_e"]
