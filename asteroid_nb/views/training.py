"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.error_axes import LEGEND_BELOW
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, TEXT, finish, look, number, plain, scale_buttons

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: By key of a record: the name shown, the line and the marker.
LOOKS = {
    "train_loss": ("train", {"color": PALETTE[0], "width": 2, "dash": "dash"}, "square"),
    "validation_loss": ("validation", {"color": MAIN_COLOUR, "width": 3}, "circle"),
}


def loss_curve(history: Sequence[Mapping[str, Any]], *, title: str = "Training", log: bool = True) -> Figure:
    """Draw training and validation loss, and mark the least validation loss, which early stopping would keep.

    Args:
        history: the records of `asteroid_nb.fitting`: mappings with ``epoch`` or ``step``, and ``train_loss``,
            ``validation_loss`` or both; what is missing or not finite leaves a gap.
        title: of the figure.
        log: start with a logarithmic axis; buttons switch.
    """
    from plotly.graph_objects import Figure

    clock = next((key for key in ("epoch", "step") if history and all(key in row for row in history)), "record")
    times = np.array([row.get(clock, index) for index, row in enumerate(history)], dtype=float)
    fig, facts = Figure(), []
    for key, (name, line, symbol) in LOOKS.items():
        values = np.array([np.nan if row.get(key) is None else row[key] for row in history], dtype=float)
        values = np.where(np.isfinite(values), values, np.nan)
        if not np.isfinite(values).any():
            continue
        mode = "lines+markers" if len(values) <= 60 else "lines"
        marker = {"symbol": symbol, "size": 6}
        hover = f"{clock} %{{x:g}}: %{{y:.4g}}"
        fig.add_scatter(x=times, y=values, name=name, mode=mode, line=line, marker=marker, hovertemplate=hover)
        facts.append(_summary(name, times, values, clock))
        if key == "validation_loss":
            _mark_best(fig, times, values)
    fig.update_xaxes(title_text=clock, **_span(times))
    fig.update_yaxes(title_text="loss (no unit)", type="log" if log else "linear", tickformat="~g", nticks=6)
    alt = f"Line chart of the loss. {' '.join(facts) or 'No record yet.'}"
    legend = {"orientation": "h", "x": 0.86, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    return finish(
        fig, title=title, alt=alt, height=400, updatemenus=[scale_buttons(log=log)], legend=legend, showlegend=True
    )


def _span(times: np.ndarray) -> dict[str, Any]:
    """Return an axis from the first record to the last, with ticks on records only while there are few."""
    if not len(times):
        return {}
    first, last = times.min(), times.max()
    margin = 0.04 * (last - first) or 0.5
    whole = {"tick0": first, "dtick": 1} if last - first <= 12 else {}
    return {"range": [first - margin, last + margin], **whole}


def _summary(name: str, times: np.ndarray, values: np.ndarray, clock: str) -> str:
    seen = np.flatnonzero(np.isfinite(values))
    least = seen[values[seen].argmin()]
    first, last = values[seen[0]], values[seen[-1]]
    return (
        f"{name}: from {number(float(first))} to {number(float(last))} at {clock} {times[seen[-1]]:g}, "
        f"least {number(float(values[least]))} at {clock} {times[least]:g}."
    )


def _mark_best(fig: Figure, times: np.ndarray, values: np.ndarray) -> None:
    least = int(np.nanargmin(values))
    marker = {"symbol": "star", "size": 15, "color": TEXT, "line": {"width": 1, "color": MAIN_COLOUR}}
    fig.add_scatter(
        x=times[least : least + 1], y=values[least : least + 1], name="least validation loss", mode="markers",
        marker=marker, hovertemplate="%{x:g}: %{y:.4g}",
    )  # fmt: skip


def loss_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], *, key: str = "train_loss", title: str = "Trainings"
) -> Figure:
    """Draw one loss of several trainings over one another, and say how far they part; the reference comes first.

    Args:
        histories: by name the records of `asteroid_nb.fitting`, with ``epoch``.
        key: of the records.
        title: of the figure.
    """
    from plotly.graph_objects import Figure

    fig, curves = Figure(), {}
    for index, (name, history) in enumerate(histories.items()):
        drawn = look(max(0, index - 1), main=index == 0)
        curves[name] = {row["epoch"]: float(row[key]) for row in history if row.get(key) is not None}
        fig.add_scatter(
            x=list(curves[name]), y=list(curves[name].values()), name=plain(name), mode="lines+markers",
            line=drawn.line, marker={**drawn.marker, "size": 13 if index == 0 else 7},
            hovertemplate="epoch %{x:g}: %{y:.6g}",
        )  # fmt: skip
    first, *others = curves.values()
    apart = max((abs(one[epoch] / first[epoch] - 1) for one in others for epoch in first if epoch in one), default=0.0)
    said = f"largest relative difference {apart:.1g}"
    told = [f"{name}: {number(curve[min(curve)])} to {number(curve[max(curve)])}" for name, curve in curves.items()]
    fig.update_xaxes(title_text="epoch", **_span(np.array(sorted(first), dtype=float)))
    fig.update_yaxes(title_text=f"{LOOKS[key][0]} loss (no unit)", tickformat="~g", nticks=6)
    alt = f"Line chart of the {LOOKS[key][0]} loss of several trainings, {said}. {'; '.join(told)}."
    return finish(fig, title=title, subtitle=said, alt=alt, height=420, showlegend=True, legend=LEGEND_BELOW)
