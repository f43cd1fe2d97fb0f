"""Figures D1 to D3: is the energy kept, by which warm start, and at what price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from asteroid_nb.bench.runs import (
    Log,
    Motion,
    curves,
    drifts,
    evaluations,
    fluctuations,
    how_it_ended,
    kept,
    known_to_ps,
    log_path,
    moved,
)
from asteroid_nb.bench.setting import Setting
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.shapes import Float
from asteroid_nb.units import MEV_PER_EV
from asteroid_nb.views.energy_drift import energy_drift
from asteroid_nb.views.solver_dial import policy_scatter
from asteroid_nb.views.solver_looks import tolerance_words

#: Held to as policy and tolerance: hardly any error of the solver is left.
TIGHT = ("linear", 1e-6)

#: What a practitioner would set without looking, and what its work is a share of.
COLD = ("cold", 1e-3)

DEFAULT = (DEFAULT_POLICY, DEFAULT_TOLERANCE)

#: Figure D1, in the order of its table.
POLICIES = tuple(
    dict.fromkeys(
        [
            *(TIGHT, DEFAULT, COLD, ("previous", 1e-3), ("linear", 1e-3)),
            *(("linear+recycle", 1e-3), ("linear+recycle", 3e-4), ("xl", 1e-3), ("xl+recycle", 3e-4)),
        ]
    )
)  # fmt: skip

#: A stack of blocks needs no solver: what its energy does is the integrator's doing.
CONTROL = "K = 4"

#: |drift| in meV/atom/ps that is allowed, tight and by default.
FULL_LIMITS, SMALL_LIMITS = (0.1, 1.0), (0.5, 3.0)

#: Evaluations of the default, as a share of those of a cold start.
MOST_WORK = 0.4

#: Figure D2: so loose that a stale state nearly passes the test.
LOOSE, LOOSE_PS = 1e-2, 1.0

#: How many times as fast as cold "previous" heats; and what "xl" may drift, in meV/atom/ps rather than as a multiple of
#: cold's drift, which may be next to nothing by chance.
HEATS, KEEPS = 50.0, 10.0

#: Figure D3: frames of the test, and half the central difference.
JACOBIAN_FRAMES, STEP_ANG = 4, 1e-3
JACOBIAN_SOLVER = Solver(tolerance=1e-10, max_steps=500)

HEAD = (
    "policy", "tolerance", "evaluations of f and of its adjoint in a step", "relative to cold",
    "drift, meV/atom/ps", "drift of the energy the run saw", "fluctuation, meV/atom", "ms per step", "run",
)  # fmt: skip

#: What all tables of this module need to be read.
READ = (
    "Mean ± standard deviation over walkers, which start from one frame with velocities of their own. The drift is "
    "that of the true energy, solved to 1e-8 in double precision along the run; the energy the run saw holds its "
    "solver's errors, too. The fluctuation is the RMS about the drift. Evaluations are a molecule's mean, the run's "
    "first steps left out; one of each more, which every policy spends on the forces, is not counted. A step's time is "
    "the median of the batch of all walkers, forces alone."
)


def figure_d1(setting: Setting) -> Finding:
    """Return how every policy keeps the energy, and the work it does for it."""
    motions = {pair: _motion(setting, *pair) for pair in POLICIES}
    twin = _motion(setting, *COLD, model=CONTROL)
    *found, control = moved(setting, [*motions.values(), twin])
    logs = dict(zip(motions, found, strict=True))
    size = setting.size
    return Finding(
        key="D1",
        title="Is the energy kept?",
        head=HEAD,
        rows=[*(_row(*pair, log, logs[COLD]) for pair, log in logs.items()), _control_row(control)],
        rules=_rules_d1(logs, strict=size.strict),
        drawings={
            "figure-D1": _over_time({_called(*pair): log for pair, log in logs.items()} | {CONTROL: control}),
            "figure-D1-work": _scatter(logs, strict=size.strict),
        },
        note=f"{size.md_walkers} runs of {size.md_ps:g} ps at {twin.timestep_fs:g} fs, constant energy. {READ}",
    )


def _motion(setting: Setting, policy: str, tolerance: float, **changes: Any) -> Motion:
    size = setting.size
    return replace(
        Motion(policy=policy, tolerance=tolerance, length_ps=size.md_ps, n_walkers=size.md_walkers), **changes
    )


def _called(policy: str, tolerance: float) -> str:
    words = {TIGHT: ", tight", DEFAULT: ", default"}.get((policy, tolerance), "")
    return f"{policy} {tolerance_words(tolerance)}{words}"


def _row(policy: str, tolerance: float, log: Log, cold: Log) -> tuple[Any, ...]:
    steps, adjoint = evaluations(log)
    share = (steps + adjoint) / sum(evaluations(cold))
    role = {TIGHT: " (tight)", DEFAULT: " (default)"}.get((policy, tolerance), "")
    work = f"{steps:.1f} + {adjoint:.1f}" if np.isfinite(steps) else "–"
    share_said = f"{share:.2f}" if np.isfinite(share) else "–"
    return (policy + role, tolerance_words(tolerance), work, share_said, *_energy_cells(log))


def _control_row(log: Log) -> tuple[Any, ...]:
    return (f"explicit, {CONTROL}", "–", "–", "–", *_energy_cells(log))


def _energy_cells(log: Log) -> tuple[str, ...]:
    took = "–" if log["ms_per_step"] is None else f"{log['ms_per_step']:.1f}"
    both = (spread(drifts(log, true=true), 2) for true in (True, False))
    return (*both, spread(fluctuations(log), 2), took, how_it_ended(log))


def _rules_d1(logs: Mapping[tuple[str, float], Log], *, strict: bool) -> list[Rule]:
    limits = FULL_LIMITS if strict else SMALL_LIMITS
    rules = [_keeps(_called(*pair), logs[pair], most) for pair, most in zip((TIGHT, DEFAULT), limits, strict=True)]
    share = sum(evaluations(logs[DEFAULT])) / sum(evaluations(logs[COLD]))
    work = Rule(
        asked=f"default: evaluations at most {MOST_WORK:g} of a cold start's at {tolerance_words(COLD[1])}",
        measured=f"{share:.2f}",
        holds=bool(share <= MOST_WORK) if strict else None,
    )
    return [*rules, work]


def _keeps(name: str, log: Log, most: float) -> Rule:
    """Return the rule that walkers' drifts are small; a run that ended early, or of unknown energies, fails it."""
    sizes = np.abs(drifts(log))
    complete = log["why"] is None and known_to_ps(log) is None
    return Rule(
        asked=f"{name}: mean |drift| over walkers at most {most:g} meV/atom/ps",
        measured=f"{spread(sizes, 3)} ({len(log['true_eV'])} walkers)" + ("" if complete else f"; {how_it_ended(log)}"),
        holds=bool(complete and _mean(sizes) <= most),
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _over_time(logs: Mapping[str, Log]) -> Any:
    """Return the figure of the true energy, mean over walkers."""
    drawn = {name: pair for name, log in logs.items() if (pair := _mean_curve(log)) is not None}
    return energy_drift(drawn, drifts={name: _mean(drifts(log)) for name, log in logs.items()})


def _mean_curve(log: Log) -> tuple[np.ndarray, np.ndarray] | None:
    walkers = curves(log)
    shortest = min((len(times) for times, _ in walkers), default=0)
    if not shortest:
        return None
    values = np.mean([energies[:shortest] - energies[0] for _, energies in walkers], axis=0)
    return walkers[0][0][:shortest], MEV_PER_EV * values / log["n_atoms"]


def _scatter(logs: Mapping[tuple[str, float], Log], *, strict: bool) -> Any:
    cold = sum(evaluations(logs[COLD]))
    points: dict[str, dict[float, tuple[float, float]]] = {}
    for (policy, tolerance), log in logs.items():
        share, drift = sum(evaluations(log)) / cold, _mean(drifts(log))
        if np.isfinite(share):
            points.setdefault(policy, {})[tolerance] = (share, drift if log["why"] is None else float("nan"))
    return policy_scatter(points, target=(MOST_WORK, (FULL_LIMITS if strict else SMALL_LIMITS)[1]))


def figure_d2(setting: Setting) -> Finding:
    """Return what a loose tolerance does to the energy, by policy: the warning a force deviation does not give."""
    length = min(LOOSE_PS, setting.size.md_ps)
    policies: list[str] = ["cold", "previous", "linear", "xl"]
    found = moved(setting, [_motion(setting, one, LOOSE, length_ps=length) for one in policies])
    logs = dict(zip(policies, found, strict=True))
    return Finding(
        key="D2",
        title="What does a loose tolerance do?",
        head=HEAD,
        rows=[_row(one, LOOSE, log, logs["cold"]) for one, log in logs.items()],
        rules=_rules_d2({one: _mean(drifts(log)) for one, log in logs.items()}, logs),
        drawings={"figure-D2": _over_time(logs)},
        note=f"Tolerance {tolerance_words(LOOSE)}, {setting.size.md_walkers} runs of {length:g} ps. {READ}",
    )


def _rules_d2(drift: Mapping[str, float], logs: Mapping[str, Log]) -> list[Rule]:
    """Return the rules of a loose tolerance; where "previous" bursts too early for a slope, it heats without bound."""
    burst = logs["previous"]["why"] is not None and not np.isfinite(drift["previous"])
    previous = float("inf") if burst else drift["previous"]
    times = previous / abs(drift["cold"])
    whole = logs["xl"]["why"] is None and known_to_ps(logs["xl"]) is None
    return [
        Rule(
            asked=f"previous heats at least {HEATS:g} times as fast as cold drifts, and by more than {KEEPS:g} "
            "meV/atom/ps",
            measured=f"{previous:+.1f} against {drift['cold']:+.1f} meV/atom/ps, {times:+.0f} times; "
            f"{how_it_ended(logs['previous'])}",
            holds=bool(times >= HEATS and previous > KEEPS),
        ),
        Rule(
            asked=f"xl does not: mean |drift| over walkers at most {KEEPS:g} meV/atom/ps",
            measured=f"{drift['xl']:+.1f}, mean size {_mean(np.abs(drifts(logs['xl']))):.1f}; "
            f"{how_it_ended(logs['xl'])}",
            holds=bool(whole and _mean(np.abs(drifts(logs["xl"]))) <= KEEPS),
        ),
    ]


def figure_d3(setting: Setting) -> Finding:
    """Return what forces that are no gradient do to the energy, and how far from a gradient they are."""
    kinds, pairs = {"conservative": False, "direct": True}, (TIGHT, ("previous", COLD[1]))
    motions = [_motion(setting, *pair, direct=direct) for direct in kinds.values() for pair in pairs]
    found = iter(moved(setting, motions))
    logs = {(kind, pair): next(found) for kind in kinds for pair in pairs}
    asymmetry = {kind: _asymmetries(setting, direct) for kind, direct in kinds.items()}
    rows = [
        (kind, pair[0], tolerance_words(pair[1]), *_energy_cells(log), _few(asymmetry[kind]))
        for (kind, pair), log in logs.items()
    ]
    measured = {name: f"{spread(drifts(log), 2)}, {how_it_ended(log)}" for name, log in logs.items()}
    rules = [
        Rule(
            asked=f"drift at {_called(*pair)}, meV/atom/ps, conservative against direct",
            measured=f"{measured['conservative', pair]} against {measured['direct', pair]}",
            holds=None,
        )
        for pair in pairs
    ]
    compared = " against ".join(_few(asymmetry[kind]) for kind in kinds)
    asked = "asymmetry of the forces' Jacobian, conservative against direct"
    return Finding(
        key="D3",
        title="What do forces cost that are no gradient?",
        head=("forces", "policy", "tolerance", *HEAD[4:], "‖J − Jᵀ‖ / ‖J + Jᵀ‖"),
        rows=rows,
        rules=[*rules, Rule(asked=asked, measured=compared, holds=None)],
        drawings={
            "figure-D3": _over_time({f"{kind}, {pair[0]} {pair[1]:g}": log for (kind, pair), log in logs.items()})
        },
        note=f"J by central differences of {STEP_ANG:g} Å, forces solved to 1e-10, mean of {JACOBIAN_FRAMES} frames of "
        f"the test. Where forces are no gradient, the energy is the model's own, of which they know nothing. {READ}",
    )


def _few(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1e}"


def _asymmetries(setting: Setting, direct: bool) -> list[float]:
    run = Motion(direct=direct).trained(setting)
    path = log_path(setting, "jacobian", run, JACOBIAN_FRAMES, STEP_ANG, JACOBIAN_SOLVER)
    return kept(path, lambda: {"asymmetry": _measured_asymmetries(setting, run)})["asymmetry"]


def _measured_asymmetries(setting: Setting, run: ForceFieldRun) -> list[float]:
    test = setting.parts.test
    rows = np.linspace(0, test.n_frames - 1, JACOBIAN_FRAMES).round().astype(int)
    jacobians = [force_jacobian(run, setting, int(row)) for row in rows]
    return [float(np.linalg.norm(one - one.T) / np.linalg.norm(one + one.T)) for one in jacobians]


def force_jacobian(run: ForceFieldRun, setting: Setting, row: int) -> Float[np.ndarray, "coordinates coordinates"]:
    """Return ∂F_i/∂R_j in eV/Å² at one frame of the test."""
    frame = setting.parts.test[row]
    n = 3 * frame.n_atoms
    shifts = STEP_ANG * np.eye(n).reshape(n, -1, 3)
    places = np.asarray(frame.positions, dtype=float) + np.concatenate([shifts, -shifts])
    moved_ = frame.replace(positions=places, velocities=None, forces=None, energies=None)
    forces = run.predict(moved_, solver=JACOBIAN_SOLVER, precision=torch.float64).forces.reshape(2, n, n)
    return ((forces[0] - forces[1]) / (2 * STEP_ANG)).T
