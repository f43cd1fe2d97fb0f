"""What the solver explorer shows: from a `SolverStudy` to figures, colours of atoms, and the numbers in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from plotly.graph_objects import Figure

from asteroid_nb.equilibrium.study import Replay, SolverStudy
from asteroid_nb.shapes import Float
from asteroid_nb.views.colour_bar import colour_bar, round_up
from asteroid_nb.views.solver import finite_mean, residual_curves, steps_over_time
from asteroid_nb.views.solver_dial import tolerance_dial
from asteroid_nb.views.solver_looks import tolerance_words
from asteroid_nb.views.style import number

ELEMENT, SHARE, DEVIATION, ERROR = "element", "share of the residual", "force deviation", "force error"


class Colouring(NamedTuple):
    """What atoms may be coloured by: the field of a `Replay`, its unit, and what it says in full."""

    values: str
    unit: str
    label: str


COLOURINGS = {
    SHARE: Colouring("atom_shares_percent", "%", "share of the squared residual that is left, per atom"),
    DEVIATION: Colouring("atom_deviations_meV_per_ang", "meV/Å", "force deviation from the tight solution, per atom"),
    ERROR: Colouring("atom_errors_meV_per_ang", "meV/Å", "force error against the labels, per atom"),
}

#: Of all entries, those the colours tell apart; the largest few share the last one.
TOLD_APART = 0.98


class Chosen(NamedTuple):
    """What is looked at."""

    policy: str
    tolerance: float
    frame: int


def colours_on_offer(study: SolverStudy) -> list[str]:
    return [ELEMENT, SHARE, DEVIATION, *([ERROR] if study.labelled else [])]


def compared(study: SolverStudy, policy: str) -> tuple[str, ...]:
    """Return the policies drawn for one that is chosen: what it is held against, and itself."""
    return tuple(dict.fromkeys([study.reference, policy]))


def residuals(study: SolverStudy, chosen: Chosen, *, height: int = 360) -> Figure:
    curves = {
        policy: study.replays[policy, chosen.tolerance].residuals[chosen.frame]
        for policy in compared(study, chosen.policy)
    }
    title = f"Residual at {study.trajectory.times_fs[chosen.frame]:g} fs"
    return residual_curves(curves, tolerance=chosen.tolerance, title=title, height=height)


def steps(study: SolverStudy, chosen: Chosen, *, height: int = 340) -> Figure:
    counts = {policy: study.replays[policy, chosen.tolerance].evaluations for policy in compared(study, chosen.policy)}
    title = f"Evaluations per step, tolerance {tolerance_words(chosen.tolerance)}"
    spacing, what = study.trajectory.dt_fs, "evaluations per step"
    return steps_over_time(counts, timestep_fs=spacing, what=what, title=title, height=height)


def dial(study: SolverStudy, chosen: Chosen, *, panel_px: int = 130) -> Figure:
    errors = study.per_tolerance("force_error_meV_per_ang") if study.labelled else None
    return tolerance_dial(
        study.tolerances,
        force_error=errors,
        deviation=study.per_tolerance("deviation_percent"),
        evaluations=study.per_tolerance("evaluations"),
        ms=study.per_tolerance("ms", middle=True),
        chosen=chosen.tolerance,
        panel_px=panel_px,
    )


def colours(study: SolverStudy, chosen: Chosen, coloured: str) -> tuple[Float[np.ndarray, "frames atoms"], str]:
    """Return [frames, atoms] from 0 to 1 and the HTML of the colour bar; atoms by element have neither."""
    if coloured == ELEMENT:
        return np.zeros((study.n_frames, study.trajectory.n_atoms)), ""
    values, unit, label = COLOURINGS[coloured]
    found = np.nan_to_num(getattr(study.replays[chosen.policy, chosen.tolerance], values))
    highest = round_up(float(np.quantile(found, TOLD_APART)))
    return found / highest, colour_bar(highest, label=label, unit=unit)


def in_numbers(study: SolverStudy, chosen: Chosen) -> str:
    """Return what the chosen policy saves and costs at the chosen tolerance, and what the frame took."""
    replay = study.replays[chosen.policy, chosen.tolerance]
    where = f"{chosen.policy} at {tolerance_words(chosen.tolerance)}"
    if replay.n_lost == study.n_frames:
        return f"{where} found no answer for any of {study.n_frames} frames."
    lost = f" No answer for {replay.n_lost} of {study.n_frames} frames." if replay.n_lost else ""
    deviation = number(finite_mean(replay.deviation_percent), "%")
    error = ""
    if study.labelled:
        error = f", force error {number(finite_mean(replay.force_error_meV_per_ang), 'meV/Å')}"
    means = (
        f"{where}: {number(finite_mean(replay.steps))} evaluations of f and "
        f"{number(finite_mean(replay.adjoint_steps))} of its gradient per step{_saved(study, chosen)}; "
        f"{number(float(np.nanmedian(replay.ms)), 'ms')}; force deviation {deviation}{error}.{lost}"
    )
    return f"{means} {_frame_in_numbers(study, chosen, replay)}"


def _saved(study: SolverStudy, chosen: Chosen) -> str:
    if chosen.policy == study.reference:
        return ""
    reference = finite_mean(study.replays[study.reference, chosen.tolerance].evaluations)
    ratio = finite_mean(study.replays[chosen.policy, chosen.tolerance].evaluations) / reference
    return f", {number(ratio)} times those of {study.reference}" if np.isfinite(ratio) else ""


def _frame_in_numbers(study: SolverStudy, chosen: Chosen, replay: Replay) -> str:
    now, at = f"At {study.trajectory.times_fs[chosen.frame]:g} fs", chosen.frame
    if not np.isfinite(replay.steps[at]):
        return f"{now}: no answer."
    labels = study.trajectory.labels
    shares, off = replay.atom_shares_percent[at], replay.atom_deviations_meV_per_ang[at]
    hardest, worst = int(np.argmax(shares)), int(np.argmax(off))
    said = (
        f"{now}: {replay.evaluations[at]:g} evaluations; {labels[hardest]} holds "
        f"{number(float(shares[hardest]), '%')} of the residual that is left, the force on {labels[worst]} deviates "
        f"most ({number(float(off[worst]), 'meV/Å')})"
    )
    if not study.labelled:
        return f"{said}."
    errors = replay.atom_errors_meV_per_ang[at]
    least = int(np.argmax(errors))
    return f"{said}, that on {labels[least]} errs most ({number(float(errors[least]), 'meV/Å')})."
