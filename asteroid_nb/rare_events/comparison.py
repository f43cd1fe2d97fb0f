"""Figures D and E: passage times against exact ones, and the Transformer against the LSTM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asteroid_nb.finding import Finding, Rule
from asteroid_nb.rare_events.arms import CHAIN_FRAMES
from asteroid_nb.rare_events.figures import WHO, Record, chosen, each, largest
from asteroid_nb.rare_events.finding import passages, timescale
from asteroid_nb.rare_events.four_wells import CORE_SET, INTERVAL, N_REPLICAS, arm, prepare
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_well_partitions, four_wells
from asteroid_nb.states.one_step import label_passage_times
from asteroid_nb.states.passage import passage_times

#: Logarithms of timescales that differ by less are called equal: 15 %, as for the core set against the exact value.
EQUAL = float(np.log(1.15))

#: Lag in frames of the Markov state model that stands beside the language models: from here on t2 is flat.
PLATEAU = 10


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
        f"{INTERVAL:g}; models from chains of {CHAIN_FRAMES * INTERVAL:,.0f} units, MD from {N_REPLICAS} replicas. "
        f"Starts whose chain ends before they arrive, which are told by their tail: {_cut(found)}.",
    )


def _cut(found: dict[str, list[Record]]) -> str:
    """Return the largest share of waits cut off, of the data and of each model."""
    shares = {
        name: [one.get(f"{of}_kinetics", {}).get("censored") for one in several]
        for name, of, several in [("MD", "data", found["LSTM"]), *((m, "model", one) for m, one in found.items())]
    }
    known = {
        name: [np.array(one, dtype=float) for one in several if one is not None] for name, several in shares.items()
    }
    return ", ".join(f"{name} {np.nanmax(several):.0%} at most" for name, several in known.items() if several)


def _by_msm(record: Record) -> np.ndarray:
    """Return the passage times of a Markov state model at the plateau lag, from the data that an arm saw."""
    data = prepare(arm(CORE_SET, "LSTM", record["seed"], **dict(record["options"])))
    return passage_times([*data.train, data.held_out], method="msm", lag_frames=PLATEAU).times_fs


def figure_e(records: Sequence[Record]) -> Finding:
    """Transformer against LSTM: ln t2 at lag 10, same data, tokens, context and number of parameters."""
    from asteroid_nb.views.state_parity import equivalence

    pairs = [chosen(largest(records), states=CORE_SET, model=model) for model in ("LSTM", "Transformer")]
    lstm, transformer = (np.log(each(found)) for found in pairs)
    differences = transformer - lstm
    low, high = paired_interval(differences)
    sizes = [max(one.get("n_parameters", 0) for one in found) for found in pairs]
    return Finding(
        key="E",
        title="Is a Transformer better than an LSTM of its size?",
        head=("seed", "ln t2 Transformer − LSTM", "LSTM t2", "Transformer t2", "MD t2", "order-1 chain t2"),
        rows=[
            (
                one["seed"],
                f"{ln:+.3f}",
                *(
                    f"{timescale(found, of):.1f}"
                    for found, of in ((one, "model"), (other, "model"), (one, "data"), (one, "chain"))
                ),
            )
            for one, other, ln in zip(*pairs, differences, strict=True)
        ],
        rules=[
            Rule(
                asked="90 % interval of ln t2, Transformer − LSTM, at lag 10",
                measured=f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f}), {len(differences)} seeds, parameters "
                f"{sizes[1]:,} and {sizes[0]:,}: {verdict(low, high)}",
                holds=None,
            )
        ],
        drawings={
            "figure-E": equivalence(
                differences.mean(),
                low,
                high,
                seeds=[differences.tolist()],
                rows=["core set"],
                margin=EQUAL,
                title="t2 at lag 10",
            )
        },
        note="Both learn from the same replicas seed by seed. The interval is that of a paired t test over seeds, "
        "whose scatter holds the noise of data, weights and chains alike; a bootstrap over so few would be too narrow. "
        f"Equal means that it lies within ±{EQUAL:.2f}, 15 %.",
    )


def paired_interval(differences: np.ndarray, *, level: float = 0.9) -> tuple[float, float]:
    """Return the t interval of a mean, NaN for fewer than two values or one that is missing."""
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        return float("nan"), float("nan")
    reach = t.ppf((1 + level) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return float(differences.mean() - reach), float(differences.mean() + reach)


def verdict(low: float, high: float) -> str:
    """Return in words what an interval says of a difference of logarithms."""
    if not np.isfinite([low, high]).all():
        return "nothing can be said; needed are timescales of two seeds and more"
    equal = "equal within 15 %" if -EQUAL < low and high < EQUAL else "not shown to be equal within 15 %"
    return f"{'they differ' if low > 0 or high < 0 else 'no difference is shown'}, {equal}"
