"""Figures B: how much work a warm start saves, at which deviation, and how the tolerance trades one for the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from asteroid_nb.bench.arms import DEQ
from asteroid_nb.bench.runs import Log, kept, log_path
from asteroid_nb.bench.setting import Setting
from asteroid_nb.bench.timing import one_thread
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE
from asteroid_nb.equilibrium.replay import N_WARM, study
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.finding import Finding, Rule
from asteroid_nb.views.solver_dial import tolerance_dial

TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)

#: Of the mean force deviation from the tight solution, in %, that every policy may have.
MOST_DEVIATION = 1.0

#: Between consecutive frames, for which the rules of B1 are meant.
MEANT_FS = 0.5

#: Tolerances of one policy that show a trend.
FEWEST = 3

#: Of the work, by which a looser tolerance may cost more: guesses made of loose solutions are worse ones.
SLACK = 0.03

#: Policies that are replayed.
SHOWN = ("cold", "previous", "linear", "linear+recycle", "quadratic", "xl", "xl+recycle")


def replays(setting: Setting) -> list[Log]:
    """Return the numbers of every policy at every tolerance over the same consecutive frames, from the log or anew."""
    run, test, n_frames = setting.run(DEQ), setting.parts.test, setting.size.replayed
    first = max(0, (test.n_frames - n_frames) // 2 - N_WARM)
    path = log_path(setting, "replays", run, SHOWN, TOLERANCES, first, n_frames, test.n_frames, test.dt_fs)
    return kept(path, lambda: _replayed(run, test[first : first + n_frames + N_WARM], n_frames))["rows"]


def _replayed(run: ForceFieldRun, stretch: Trajectory, n_frames: int) -> Log:
    with one_thread() as machine:
        found = study(run, stretch, policies=SHOWN, tolerances=TOLERANCES, n_frames=n_frames)
    rows = [
        {
            "policy": policy,
            "tolerance": tolerance,
            "dt_fs": stretch.dt_fs,
            "steps": float(np.mean(one.steps)),
            "adjoint_steps": float(np.mean(one.adjoint_steps)),
            "deviation": float(np.mean(one.deviation_percent)),
            "worst": float(np.max(one.deviation_percent)),
            "error": float(np.mean(one.force_error_meV_per_ang)),
            "ms": float(np.median(one.ms)),
            "lost": one.n_lost,
            "frames": len(one.steps),
        }
        for (policy, tolerance), one in found.replays.items()
    ]
    return {"machine": machine, "rows": rows}


def work(row: Log) -> float:
    """Return evaluations of f and of its vector–Jacobian product per frame."""
    return row["steps"] + row["adjoint_steps"]


def cheapest(rows: list[Log], policy: str) -> Log | None:
    """Return the loosest tolerance of a policy whose mean deviation is allowed and that lost no frame."""
    fits = [
        row for row in rows
        if row["policy"] == policy and not row["lost"] and row["deviation"] is not None
        and row["deviation"] <= MOST_DEVIATION
    ]  # fmt: skip
    return min(fits, key=work) if fits else None


def figure_b1(setting: Setting) -> Finding:
    """Return the work of each policy at equal deviation, against cold starts."""
    rows = replays(setting)
    best = {policy: found for policy in SHOWN if (found := cheapest(rows, policy))}
    cold = best.get("cold")
    table = [
        (
            policy, f"{row['tolerance']:g}", f"{row['steps']:.2f}", f"{row['adjoint_steps']:.2f}",
            "–" if cold is None else f"{work(row) / work(cold):.2f}", f"{row['deviation']:.2f}", f"{row['ms']:.1f}",
        )
        for policy, row in best.items()
    ]  # fmt: skip
    share = lambda name: float("nan") if cold is None or name not in best else work(best[name]) / work(cold)  # noqa: E731
    warm = {name: share(name) for name in best if name != "cold"}
    leader = min(warm, key=lambda name: warm[name], default="none")
    spacing_fs = rows[0]["dt_fs"]
    rules = [
        Rule(
            asked=f"previous at most 0.6 × cold at {spacing_fs:g} fs",
            measured=f"{share('previous'):.2f}",
            holds=share("previous") <= 0.6,
        ),
        Rule(
            asked=f"the best policy at most 0.4 × cold at {spacing_fs:g} fs",
            measured=f"{leader} {warm.get(leader, float('nan')):.2f}",
            holds=warm.get(leader, 9.9) <= 0.4 if setting.size.strict else None,
        ),
    ]
    return Finding(
        key="B1",
        title=f"How much work does a warm start save at {spacing_fs:g} fs?",
        head=("policy", "tolerance", "f", "vector–Jacobian", "of cold", "mean deviation, %", "ms"),
        rows=table,
        rules=rules,
        note=f"Each at its cheapest tolerance with a mean deviation of at most {MOST_DEVIATION:g} % from tight forces. "
        "One more f and one more vector–Jacobian product a step, which every policy spends on the forces, are not "
        "counted." + _spacing_words(spacing_fs),
    )


def _spacing_words(spacing_fs: float) -> str:
    if np.isclose(spacing_fs, MEANT_FS):
        return ""
    return (
        f" The rules are meant for steps of {MEANT_FS:g} fs; these frames are {spacing_fs:g} fs apart, and a warm "
        "start has as much farther to go."
    )


def figure_b2(setting: Setting) -> Finding:
    """Return how far the default policy's forces are from the tight ones, over consecutive frames."""
    rows = replays(setting)
    mine = [row for row in rows if (row["policy"], row["tolerance"]) == (DEFAULT_POLICY, DEFAULT_TOLERANCE)]
    shown = [row for row in rows if row["tolerance"] in (1e-2, 1e-3, DEFAULT_TOLERANCE) and row["policy"] in SHOWN]
    chosen = mine[0]
    mean, largest = (float("inf") if chosen[key] is None else chosen[key] for key in ("deviation", "worst"))
    rules = [
        Rule(
            asked=f"mean at most 1 % ({DEFAULT_POLICY}, {DEFAULT_TOLERANCE:g})",
            measured=f"{_said(chosen['deviation'])} % over {chosen['frames']} frames, {chosen['lost']} lost",
            holds=mean <= 1 and not chosen["lost"],
        ),
        Rule(
            asked="largest at most 3 %",
            measured=f"{_said(chosen['worst'])} %",
            holds=largest <= 3 and not chosen["lost"] if setting.size.strict else None,
        ),
    ]
    return Finding(
        key="B2",
        title="Do reused states change the forces?",
        head=("policy", "tolerance", "mean, %", "largest, %", "frames without an answer"),
        rows=[
            (row["policy"], f"{row['tolerance']:g}", _said(row["deviation"]), _said(row["worst"]), row["lost"])
            for row in shown
        ],
        rules=rules,
        note="A small deviation does not yet conserve the energy: see D1 and D2.",
    )


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def figure_b3(setting: Setting) -> Finding:
    """Return error, deviation, work and time against the tolerance."""
    rows = replays(setting)
    falling = [_falls([row for row in rows if row["policy"] == policy]) for policy in SHOWN]
    table = [
        (
            row["policy"], f"{row['tolerance']:g}", f"{row['error']:.1f}", f"{row['deviation']:.3f}",
            f"{row['steps']:.2f}", f"{row['adjoint_steps']:.2f}", f"{row['ms']:.1f}",
        )
        for row in rows
        if row["deviation"] is not None
    ]  # fmt: skip
    return Finding(
        key="B3",
        title="What does the tolerance trade?",
        head=("policy", "tolerance", "force MAE, meV/Å", "deviation, %", "f", "vector–Jacobian", "ms"),
        rows=table,
        rules=[
            Rule(
                asked=f"with each tighter tolerance deviation falls and work grows (but for {SLACK:.0%}), any policy",
                measured=", ".join(name for name, ok in zip(SHOWN, falling, strict=True) if not ok) or "so it is",
                holds=all(falling),
            )
        ],
        drawings={"tolerance-dial": _dial(rows)},
    )


def _falls(rows: list[Log]) -> bool:
    """Return whether a tighter tolerance always deviates less and costs more, but for `SLACK`; not without answers."""
    if len(rows) < FEWEST or any(row["lost"] or row["deviation"] is None for row in rows):
        return False
    ordered = sorted(rows, key=lambda row: -row["tolerance"])
    deviations, costs = [row["deviation"] for row in ordered], [work(row) for row in ordered]
    return bool((np.diff(deviations) < 0).all() and (np.diff(costs) > -SLACK * np.array(costs[:-1])).all())


def _dial(rows: list[Log]) -> Any:
    column = lambda make: {  # noqa: E731
        policy: [make(row) for row in rows if row["policy"] == policy] for policy in SHOWN
    }
    known = lambda value: float("nan") if value is None else value  # noqa: E731
    return tolerance_dial(
        TOLERANCES,
        force_error=column(lambda row: known(row["error"])),
        deviation=column(lambda row: known(row["deviation"])),
        evaluations=column(lambda row: known(row["steps"]) + known(row["adjoint_steps"])),
        ms=column(lambda row: known(row["ms"])),
        chosen=DEFAULT_TOLERANCE,
    )
