"""Figure B4: what is left of a warm start's gain when the time step grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asteroid_nb.bench.runs import Log, Motion, drifts, evaluations, how_it_ended, moved
from asteroid_nb.bench.setting import Setting
from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.views.solver_looks import tolerance_words
from asteroid_nb.views.solver_time_step import against_time_step

TIMESTEPS_FS = (0.25, 0.5, 1.0, 2.0)
POLICIES = ("cold", "previous", "linear+recycle", "xl+recycle")
TOLERANCE = 1e-3

#: The same physical time at every time step.
LENGTH_PS, STORED_FS = 0.25, 2.0

#: Cold against the best policy, and at which time step.
LEAST_GAIN, RULED_FS = 1.3, 1.0


def figure_b4(setting: Setting) -> Finding:
    """Return evaluations in a step at every time step, by policy."""
    pairs = [(step, policy) for step in TIMESTEPS_FS for policy in POLICIES]
    logs = dict(zip(pairs, moved(setting, [_motion(setting, *pair) for pair in pairs]), strict=True))
    work = {pair: sum(evaluations(log)) for pair, log in logs.items()}
    return Finding(
        key="B4",
        title="What is left of the gain when the time step grows?",
        head=("time step, fs", "policy", "evaluations of f and of its adjoint in a step", "cold / this", "cold starts",
              "drift, meV/atom/ps", "run"),
        rows=[_row(*pair, log, work) for pair, log in logs.items()],
        rules=[_rule(step, work, strict=setting.size.strict) for step in TIMESTEPS_FS],
        drawings={
            "figure-B4": against_time_step(
                TIMESTEPS_FS, {policy: [work[step, policy] for step in TIMESTEPS_FS] for policy in POLICIES}
            )
        },
        note=f"Tolerance {tolerance_words(TOLERANCE)}, {setting.size.md_walkers} runs of {LENGTH_PS:g} ps, constant "
        "energy. Equal tolerances are not equal errors: the drift of the true energy, mean ± standard deviation over "
        "walkers, stands beside the work, and at long steps holds the integrator's error. Cold starts are those a warm "
        "policy fell back to, the first left out.",
    )  # fmt: skip


def _motion(setting: Setting, timestep_fs: float, policy: str) -> Motion:
    return Motion(
        policy=policy, tolerance=TOLERANCE, length_ps=LENGTH_PS, timestep_fs=timestep_fs, stored_fs=STORED_FS,
        n_walkers=setting.size.md_walkers,
    )  # fmt: skip


def _row(step: float, policy: str, log: Log, work: Mapping[tuple[float, str], float]) -> tuple[Any, ...]:
    steps, adjoint = evaluations(log)
    gain = work[step, "cold"] / work[step, policy]
    said = (f"{steps:.1f} + {adjoint:.1f}", f"{gain:.2f}") if np.isfinite(gain) else ("–", "–")
    fallen_back = "–" if policy == "cold" else log["cold_calls"]
    return (f"{step:g}", policy, *said, fallen_back, spread(drifts(log), 1), how_it_ended(log))


def _rule(step: float, work: Mapping[tuple[float, str], float], *, strict: bool) -> Rule:
    """Return what the best warm policy gains at one time step; only one time step has a rule, in the full size."""
    warm = {policy: work[step, policy] for policy in POLICIES[1:] if np.isfinite(work[step, policy])}
    best = min(warm, key=warm.__getitem__) if warm else None
    gain = work[step, "cold"] / warm[best] if best else float("nan")
    ruled = strict and step == RULED_FS
    return Rule(
        asked=f"cold / best at {step:g} fs" + (f", at least {LEAST_GAIN:g}" if step == RULED_FS else ""),
        measured=f"{gain:.2f} ({best})" if np.isfinite(gain) else "no run long enough",
        holds=bool(gain >= LEAST_GAIN) if ruled else None,
    )
