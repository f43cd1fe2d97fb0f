"""Figures F, G and H: saving interval, dimension, and where recrossings are taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.rare_events.arms import CHAIN_FRAMES, MOST_EPOCHS, TRAINED_FRAMES
from asteroid_nb.rare_events.figures import Record, chosen, each, largest
from asteroid_nb.rare_events.finding import seen
from asteroid_nb.rare_events.four_wells import CORE_SET, DIMENSIONS, DWELL_FRAMES, INTERVAL, NEAREST
from asteroid_nb.rare_events.grid import CLEANED, COARSE, FINE, INTERVALS
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_wells

#: How far the core set's t2 may move over all saving intervals and still count as flat, as a share of the exact value.
FLAT = 0.15

#: What fast coordinates must take from the fine states' t2, and how near the cores must come to the exact one.
OBSCURED, RESTORED = 0.2, 0.15


def figure_f(records: Sequence[Record]) -> Finding:
    """One-step t2 against saving interval, for the same physical time."""
    from asteroid_nb.views.state_scans import saving_interval

    exact = float(four_wells().timescales(1)[0])
    found = {
        (states, interval): _at(records, states, interval) for states in (NEAREST, CORE_SET) for interval in INTERVALS
    }
    who = (("MD", "data"), ("order-1 chain", "chain"), ("LSTM", "model"))
    means = {
        (name, states): np.array([each(found[states, at], of, lag=1).mean() for at in INTERVALS])
        for name, of in who
        for states in (NEAREST, CORE_SET)
    }
    drawn = saving_interval(
        np.array(INTERVALS) * FS_PER_UNIT,
        {f"{states}: {name}": values * FS_PER_UNIT for (name, states), values in means.items()},
        exact_fs=exact * FS_PER_UNIT,
        title="One-step t2 against saving interval",
    )
    return Finding(
        key="F",
        title="Does saving less often help?",
        head=(
            "interval",
            "frames of training",
            *(f"{states}: {name}" for name, _ in who for states in (NEAREST, CORE_SET)),
        ),
        rows=[
            (
                at,
                seen(found[CORE_SET, at]),
                *(spread(each(found[states, at], of, lag=1)) for _, of in who for states in (NEAREST, CORE_SET)),
            )
            for at in INTERVALS
        ],
        rules=[rule for name in ("MD", "LSTM") for rule in _rules_f(name, means, exact)],
        drawings={"figure-F": drawn},
        note="One-step estimates of t2, the same physical time for every interval; mean ± standard deviation over "
        f"{len(found[CORE_SET, INTERVAL])} seeds. Models see {TRAINED_FRAMES:,} frames in training, those of the "
        f"longest interval fewer (at most {MOST_EPOCHS} epochs), and make chains of {CHAIN_FRAMES:,} frames each.",
    )


def _rules_f(name: str, means: dict[tuple[str, str], np.ndarray], exact: float) -> list[Rule]:
    off = np.abs(means[name, NEAREST] / exact - 1)
    moved = float(np.ptp(means[name, CORE_SET])) / exact
    furthest = float(np.abs(means[name, CORE_SET] / exact - 1).max())
    said = " → ".join(f"{value:.1f}" for value in means[name, CORE_SET])
    return [
        Rule(
            asked=f"{name}: the raw states' error shrinks with every longer interval",
            measured=" → ".join(f"{value:.0%}" for value in off),
            holds=bool((np.diff(off) < 0).all()),
        ),
        Rule(
            asked=f"{name}: the core set's t2 is flat (moves by {FLAT:.0%} at most, no further from exact)",
            measured=f"moves by {moved:.0%}, off by up to {furthest:.0%}: {said}",
            holds=moved <= FLAT and furthest <= FLAT,
        ),
    ]


def _at(records: Sequence[Record], states: str, interval: float) -> list[Record]:
    """Return arms of an interval, all of one physical time: those of the longest, where there are several."""
    wanted = None if interval == INTERVAL else interval
    some = [
        one for one in chosen(records, states=states, model="LSTM") if dict(one["options"]).get("interval") == wanted
    ]
    if wanted is None:
        some = [one for one in some if "n_frames" not in dict(one["options"])] or some
    return some


def figure_g(records: Sequence[Record]) -> Finding:
    """The number of coordinates: fine states and PCCA+ cores of them, with fast coordinates added."""
    from asteroid_nb.views.state_scans import dimension_bars

    exact = float(four_wells().timescales(1)[0])
    found = {
        (states, at): chosen(records, states=states, dimension=at) for states in (FINE, COARSE) for at in DIMENSIONS
    }
    who = {"MD": "data", "order-1 chain": "chain", "LSTM": "model"}
    means = {
        (name, states, at, lag): float(np.mean(each(several, of, lag=lag)))  # NaN where one seed has none
        for (states, at), several in found.items()
        for name, of in who.items()
        for lag in (1, 10)
    }
    plain, noisy = "x, y", list(DIMENSIONS)[-1]
    rules = []
    for name in ("MD", "LSTM"):
        lost = 1 - means[name, FINE, noisy, 1] / means[name, FINE, plain, 1]
        rules.append(
            Rule(
                asked=f"{name}: fast coordinates take at least {OBSCURED:.0%} from the fine states' one-step t2",
                measured=f"{means[name, FINE, plain, 1]:.1f} → {means[name, FINE, noisy, 1]:.1f}, {lost:.0%}",
                holds=bool(lost >= OBSCURED),
            )
        )
        off = means[name, COARSE, noisy, 10] / exact - 1
        rules.append(
            Rule(
                asked=f"{name}: cores restore it (t2 at lag 10 within {RESTORED:.0%} of exact)",
                measured=f"{means[name, COARSE, noisy, 10]:.1f}, {off:+.0%}",
                holds=bool(abs(off) <= RESTORED),
            )
        )
    bars = {
        f"{states}: {name}, lag 1": {at: means[name, states, at, 1] * FS_PER_UNIT for at in DIMENSIONS}
        for states in (FINE, COARSE)
        for name in who
    }
    return Finding(
        key="G",
        title="Do more coordinates help?",
        head=("coordinates", "states", "who", "t2 at lag 1", "t2 at lag 10", "t2 at lag 50"),
        rows=[
            (at, states, name, *(spread(each(several, of, lag=lag)) for lag in (1, 10, 50)))
            for (states, at), several in found.items()
            for name, of in who.items()
        ],
        rules=rules,
        drawings={"figure-G": dimension_bars(bars, exact_fs=exact * FS_PER_UNIT, title="t2 by coordinates and states")},
        note="Fast coordinates are four Ornstein–Uhlenbeck processes as wide as the wells are apart. Cores take the "
        "highest PCCA+ membership that leaves each of four sets a member. x alone has fewer places than states are "
        "asked for: each place is one.",
    )


def figure_h(records: Sequence[Record]) -> Finding:
    """Where recrossings are taken out: of the tokens, of what is made, or of both."""
    exact = four_wells().timescales(2)
    names = (NEAREST, *CLEANED, CORE_SET)
    found = {name: chosen(largest(records), states=name, model="LSTM", interval=None) for name in names}
    seeds = min(len(several) for several in found.values())
    found = {name: several[:seeds] for name, several in found.items()}
    return Finding(
        key="H",
        title="Where should recrossings be taken out?",
        head=("states", "who", "t2 at lag 1", "t2 at lag 10", "t3 at lag 10"),
        rows=[
            (name, who, spread(each(several, of, lag=1)), spread(each(several, of)), spread(each(several, of, mode=1)))
            for name, several in found.items()
            for who, of in (("MD", "data"), ("order-1 chain", "chain"), ("LSTM", "model"))
        ],
        rules=[
            Rule(
                asked=f"{name}: LSTM at lag 10 against exact",
                measured=", ".join(
                    f"{t} {each(several, mode=mode).mean() / exact[mode] - 1:+.0%}"
                    for mode, t in enumerate(("t2", "t3"))
                ),
                holds=None,
            )
            for name, several in found.items()
        ],
        note=f"Minimum dwell of {DWELL_FRAMES} frames on the nearest of four centres, beside core sets; {seeds} seeds.",
    )
