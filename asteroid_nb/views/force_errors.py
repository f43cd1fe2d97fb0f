"""Force errors of models side by side, with their spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.state_frame import framed
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, TEXT, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def force_errors(
    errors: Mapping[str, Sequence[float] | np.ndarray],
    *,
    notes: Mapping[str, str] | None = None,
    target_meV_per_ang: float | None = None,
    what: str = "force MAE (meV/Å)",
    title: str = "Force error of each model",
    subtitle: str = "",
) -> Figure:
    """Draw the error of each seed of each model as a dot and their mean as a bar; the model in question comes first.

    Args:
        errors: per model [seeds]; what is not finite is left out and counted.
        notes: per model what stands under its name: parameters, evaluations, ….
        target_meV_per_ang: drawn as a line.
        what: is measured, with its unit.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    found = {name: np.asarray(values, dtype=float) for name, values in errors.items()}
    known = {name: values[np.isfinite(values)] for name, values in found.items()}
    means = [float(values.mean()) if values.size else np.nan for values in known.values()]
    fig, places = Figure(), np.arange(len(known))
    colours = [MAIN_COLOUR if place == 0 else PALETTE[0] for place in places]
    pale = {"color": ["rgba(213,94,0,0.35)" if place == 0 else "rgba(0,114,178,0.25)" for place in places]}
    fig.add_bar(
        x=means, y=places, orientation="h", name="mean over seeds",
        marker=pale | {"line": {"color": colours, "width": 1.5}},
        text=[number(mean) if np.isfinite(mean) else "none" for mean in means], textposition="inside",
        insidetextanchor="start", textfont={"color": TEXT}, width=0.6, hovertemplate="mean %{x:.3~g}",
    )  # fmt: skip
    each = dict(enumerate(known.values()))
    fig.add_scatter(
        x=np.concatenate([*each.values(), []]), y=np.concatenate([*(_fanned(*pair) for pair in each.items()), []]),
        mode="markers", name="one seed", hovertemplate="%{x:.4~g}",
        marker={"symbol": "circle-open", "size": 9, "color": TEXT, "line": {"width": 2}},
    )  # fmt: skip
    if target_meV_per_ang is not None:
        _add_target(fig, target_meV_per_ang, len(places))
    labels = [_label(name, (notes or {}).get(name, "")) for name in known]
    fig.update_xaxes(title_text=plain(what), rangemode="tozero", tickformat="~g")
    fig.update_yaxes(
        tickvals=places, ticktext=labels, range=[len(places) - 0.4, -0.6], showgrid=False
    )  # fmt: skip
    alt = _in_words(what, found, known, target_meV_per_ang)
    return framed(fig, title=title, subtitle=subtitle, alt=alt, height=190 + 52 * max(1, len(places)))


def _fanned(place: int, values: np.ndarray) -> np.ndarray:
    """Return the heights of dots of one model, a little apart so that equal ones are seen."""
    return place + (np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(len(values)))


def _add_target(fig: Figure, target: float, n_models: int) -> None:
    line: dict[str, Any] = {"color": TEXT, "width": 2, "dash": "dash"}
    words = f"target {number(target)}"
    ends = [-0.6, n_models - 0.4]
    fig.add_scatter(x=[target] * 2, y=ends, mode="lines", line=line, name=words, hovertemplate=words)


def _label(name: str, note: str) -> str:
    return f"{plain(name)}<br><span style='font-size:11px'>{plain(note)}</span>" if note else plain(name)


def _in_words(what: str, found: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray], target: float | None) -> str:
    facts = []
    for name, values in known.items():
        lost = len(found[name]) - len(values)
        without = f", {lost} without a number" if lost else ""
        if not values.size:
            facts.append(f"{name}: no seed has a number")
            continue
        span = f" ({number(float(values.min()))} to {number(float(values.max()))})" if values.size > 1 else ""
        facts.append(f"{name}: {number(float(values.mean()))}{span} over {values.size} seeds{without}")
    goal = "" if target is None else f" Target {number(target)}."
    return f"Bar chart of {what}. {'; '.join(facts) or 'No model'}.{goal}"
