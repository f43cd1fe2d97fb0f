"""What a tolerance buys and costs: the dial, and cheap against conserving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.solver_looks import PolicyLook, policy_looks, tolerance_axis, tolerance_words
from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.style import MAIN_COLOUR, TEXT, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: By panel: the title of its axis, the unit in words, and whether it is logarithmic.
PANELS = {
    "force_error": ("force error (meV/Å)", "meV/Å", False),
    "deviation": ("force deviation (%)", "%", True),
    "evaluations": ("evaluations per step", "evaluations", False),
    "ms": ("time per step (ms)", "ms", False),
}

#: Where labels stand, policy after policy: neighbours do not cover one another's.
BESIDE = ("top right", "bottom left", "top left", "bottom right", "middle right", "middle left")

TARGET = {"color": TEXT, "width": 2, "dash": "dash"}


def tolerance_dial(
    tolerances: Sequence[float],
    *,
    force_error: Mapping[str, Any] | None = None,
    deviation: Mapping[str, Any] | None = None,
    evaluations: Mapping[str, Any] | None = None,
    ms: Mapping[str, Any] | None = None,
    chosen: float | None = None,
    title: str = "What a tolerance buys and costs",
    subtitle: str = "",
    panel_px: int = 130,
) -> Figure:
    """Draw what depends on the solver's tolerance, loose on the left, a panel each; what is not given has none.

    A point's ``customdata`` is the place of its tolerance among ``tolerances``, and the policy's.

    Args:
        tolerances: of the solver.
        force_error: per policy [tolerances] mean absolute error against the labels, meV/Å.
        deviation: per policy [tolerances] force deviation from the tight solution, %.
        evaluations: per policy [tolerances] mean over MD steps.
        ms: per policy [tolerances] time per MD step.
        chosen: the tolerance to mark.
        title: of the figure.
        subtitle: of the figure.
        panel_px: height of each.
    """
    from plotly.subplots import make_subplots

    given = {"force_error": force_error, "deviation": deviation, "evaluations": evaluations, "ms": ms}
    shown = {key: _numbers(found) for key, found in given.items() if found}
    names = list(dict.fromkeys(name for found in shown.values() for name in found))
    looks, n_panels = policy_looks(names), max(1, len(shown))
    fig, listed = make_subplots(n_panels, 1, shared_xaxes=True, vertical_spacing=0.13 / n_panels), set()
    for row, (key, found) in enumerate(shown.items(), start=1):
        up, unit, log = PANELS[key]
        for name, values in found.items():
            place = {"row": row, "col": 1, "showlegend": name not in listed}
            _add_line(fig, tolerances, values, name, looks[name], unit, names.index(name), place)
            listed.add(name)
        axis: dict[str, Any] = {"title": {"text": up, "font": {"size": 12}}, "tickformat": "~g", "rangemode": "tozero"}
        if log:
            axis |= log_axis(np.concatenate(list(found.values())), margin=1.6) | {"dtick": 1, "rangemode": "normal"}
        fig.update_yaxes(row=row, col=1, **axis)
    fig.update_xaxes(**tolerance_axis(tolerances))
    fig.update_xaxes(title_text="tolerance of the solver (no unit)", row=n_panels, col=1)
    _mark(fig, chosen, n_panels)
    alt = _dial_in_words(tolerances, shown, chosen)
    return framed(fig, title=title, subtitle=subtitle, alt=alt, height=160 + panel_px * n_panels)


def _numbers(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return [tolerances] each, NaN for what is not finite."""
    arrays = {name: np.asarray(values, dtype=float) for name, values in found.items()}
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in arrays.items()}


def _add_line(
    fig: Figure,
    x: Sequence[float],
    y: np.ndarray,
    name: str,
    look: PolicyLook,
    unit: str,
    policy: int,
    place: dict[str, Any],
) -> None:
    fig.add_scatter(
        x=list(x), y=y, name=plain(name), legendgroup=name, mode="lines+markers", line=look.line, marker=look.marker,
        customdata=[[index, policy] for index in range(len(x))],
        meta={"tolerances": True, "policy": name},
        hovertemplate=f"{plain(name)}, %{{x:.0e}}: %{{y:.3~g}} {unit}<extra></extra>", **place,
    )  # fmt: skip


def _mark(fig: Figure, chosen: float | None, n_panels: int) -> None:
    if chosen is None:
        return
    for row in range(1, n_panels + 1):
        fig.add_vline(x=chosen, row=row, col=1, line={"color": MAIN_COLOUR, "width": 2, "dash": "dot"})  # type: ignore[arg-type]
    words = {"text": f"chosen {tolerance_words(chosen)}", "font": {"size": 12, "color": TEXT}, "showarrow": False}
    fig.add_annotation(x=np.log10(chosen), xref="x", y=1, yref="paper", yanchor="bottom", **words)


def _dial_in_words(
    tolerances: Sequence[float], shown: Mapping[str, Mapping[str, np.ndarray]], chosen: float | None
) -> str:
    at = 0 if chosen is None else int(np.abs(np.log(np.asarray(tolerances) / chosen)).argmin())
    facts = []
    for key, found in shown.items():
        values = (f"{name} {_said(numbers[at], PANELS[key][1])}" for name, numbers in found.items())
        facts.append(f"{PANELS[key][0]}: {', '.join(values)}")
    where = tolerance_words(float(tolerances[at])) if len(tolerances) else "no tolerance"
    return f"Line charts against the solver's tolerance. At {where}: {'; '.join(facts) or 'nothing measured'}."


def _said(value: float, unit: str) -> str:
    return number(float(value), unit) if np.isfinite(value) else "no answer"


def policy_scatter(
    points: Mapping[str, Mapping[float, tuple[float, float]]],
    *,
    target: tuple[float, float] | None = None,
    title: str = "Cheap and conserving",
    subtitle: str = "",
    height: int = 520,
) -> Figure:
    """Draw work against energy drift, a marker for each policy and tolerance; the target region is outlined.

    Labels give the tolerance and whether the run heats or cools; what exploded stands at the upper edge.

    Args:
        points: per policy and, in it, per tolerance: evaluations per MD step relative to a cold start, and the drift in
            meV/atom/ps, not finite where the run exploded.
        target: work and |drift| to stay below.
        title: of the figure.
        subtitle: of the figure; explains the markers when not given.
        height: in pixels.
    """
    from plotly.graph_objects import Figure

    everything = np.array([pair for found in points.values() for pair in found.values()], dtype=float).reshape(-1, 2)
    goal = [] if target is None else [target[1]]
    axis = log_axis(np.concatenate([np.abs(everything[:, 1]), goal]), margin=4.0)
    widths = np.array([1.0, *everything[:, 0], *([] if target is None else target[:1])])
    most = float(widths[np.isfinite(widths)].max())
    fig, looks = Figure(), policy_looks(points)
    _outline(fig, target, axis["range"])
    for index, (name, found) in enumerate(points.items()):
        beside = BESIDE[index % len(BESIDE)]
        _add_policy(fig, name, found, looks[name], 10 ** axis["range"][1] / 2, beside)
    fig.add_vline(x=1, line={"color": TEXT, "width": 1.5, "dash": "dot"})  # type: ignore[arg-type]
    fig.update_xaxes(title_text="evaluations per MD step, relative to a cold start (no unit)", range=[0, 1.08 * most])
    fig.update_yaxes(title_text="|drift| of the energy (meV/atom/ps)", **axis)
    under = subtitle or "labels: tolerance; ▲ heats, ▼ cools, ✕ exploded"
    return framed(fig, title=title, subtitle=under, alt=_scatter_in_words(points, target), height=height)


def _outline(fig: Figure, target: tuple[float, float] | None, powers: Sequence[float]) -> None:
    if target is None:
        return
    work, drift = target
    floor = 10 ** powers[0]
    fig.add_scatter(
        x=[0, work, work, 0, 0], y=[floor, floor, drift, drift, floor], mode="lines", line=TARGET, fill="toself",
        fillcolor="rgba(0,158,115,0.14)", hoverinfo="skip",
        name=f"target: ≤ {number(work)}, ≤ {number(drift, 'meV/atom/ps')}",
    )  # fmt: skip


def _add_policy(
    fig: Figure, name: str, found: Mapping[float, tuple[float, float]], look: PolicyLook, edge: float, beside: str
) -> None:
    """Draw one policy from its loosest tolerance to its tightest."""
    ordered = sorted(found, reverse=True)
    work, drift = np.array([found[one] for one in ordered], dtype=float).reshape(-1, 2).T
    heights = np.where(np.isfinite(drift), np.abs(drift), edge)
    ways = np.where(np.isfinite(drift), np.where(drift < 0, "▼", "▲"), "✕")
    labels = [f"{tolerance_words(one)} {way}" for one, way in zip(ordered, ways, strict=True)]
    signs = [f"{value:+.3g} meV/atom/ps" if np.isfinite(value) else "unknown: it exploded" for value in drift]
    fig.add_scatter(
        x=work, y=heights, mode="lines+markers+text", name=plain(name), line=look.line | {"width": 1},
        marker=look.marker | {"size": 11}, text=labels, textposition=beside, textfont={"size": 11},
        customdata=[[one, said] for one, said in zip(ordered, signs, strict=True)], meta={"policy": name},
        hovertemplate=f"{plain(name)}, %{{text}}: %{{x:.2f}} of the work, drift %{{customdata[1]}}<extra></extra>",
    )  # fmt: skip


def _scatter_in_words(
    points: Mapping[str, Mapping[float, tuple[float, float]]], target: tuple[float, float] | None
) -> str:
    facts = [
        f"{name} at {tolerance_words(tolerance)}: {number(work)} of the work, "
        + (f"drift {drift:+.3g} meV/atom/ps" if np.isfinite(drift) else "exploded")
        for name, found in points.items()
        for tolerance, (work, drift) in found.items()
    ]
    within = [
        f"{name} at {tolerance_words(tolerance)}"
        for name, found in points.items()
        for tolerance, (work, drift) in found.items()
        if target is not None and work <= target[0] and abs(drift) <= target[1]
    ]
    reached = "" if target is None else f" Within the target: {', '.join(within) or 'none'}."
    return f"Work against energy drift. {'; '.join(facts) or 'Nothing measured'}.{reached}"
