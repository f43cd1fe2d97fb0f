"""How the error grows with lead time, in which windows, and on which atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable, Measure
from asteroid_nb.views.style import (
    MAIN_COLOUR,
    SEQUENTIAL,
    TEXT,
    Look,
    finish,
    look,
    number,
    plain,
    scale_buttons,
    translucent,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from asteroid_nb.metrics.resampling import Interval

AXIS = {
    "rmse": "RMSE per coordinate (Å)",
    "mae": "mean absolute error per coordinate (Å)",
    "ade": "mean distance per atom (Å)",
}
LEAD = "lead time (fs)"


def error_over_horizon(
    table: ErrorTable,
    *,
    measure: Measure = "rmse",
    forecasters: Sequence[str] | None = None,
    mean_of_history: str | None = None,
    band: bool = True,
    log: bool = False,
) -> Figure:
    """Draw the error of every forecaster in the table against lead time.

    Each point carries its lead-time index as ``customdata``, so that a click can be answered.

    Args:
        table: whose forecasters are all drawn: rivals cannot be left out here.
        measure: RMSE and MAE per coordinate, or ADE.
        forecasters: those the figure is about, bold and with their band; the table's first when not given.
        mean_of_history: the rival whose error ends the vibrational memory; the one whose name starts with "mean" when
            not given, and no mark where there is none. The mark is a matter of the RMSE, whichever measure is drawn.
        band: shade where 80 % of the windows lie.
        log: start with a logarithmic axis; buttons switch.
    """
    from plotly.graph_objects import Figure

    main = tuple(forecasters or table.names[:1])
    curves = {name: table.by_lead(name, measure) for name in (*main, *table.names)}
    rivals = sorted(set(table.names) - set(main), key=lambda name: (-curves[name][-1], name))
    fig = Figure()
    for name in rivals:
        _add_curve(fig, table, name, curves[name], look(table.names.index(name)))
    for index, name in reversed(list(enumerate(main))):
        if band:
            _add_band(fig, table, name, measure, look(index, main=True).line["color"])
        _add_curve(fig, table, name, curves[name], look(index, main=True))
    memory = _memory(table, main, mean_of_history)
    for index, (name, skill) in enumerate(memory.items()):
        _mark_memory(fig, name, skill, look(index, main=True).line["color"], index, alone=len(main) == 1)
    fig.update_xaxes(title_text=LEAD, rangemode="tozero")
    fig.update_yaxes(title_text=AXIS[measure], type="log" if log else "linear", tickformat="~g", rangemode="tozero")
    return finish(
        fig,
        title="Error over the horizon",
        subtitle=f"{table.n_windows} windows{', shaded: 10–90 % of them' if band else ''}",
        alt=_describe(table, curves, measure, memory),
        height=520,
        margin={"t": 90},
        hovermode="closest",
        updatemenus=[scale_buttons(log=log)],
        # The last trace is the model, which belongs on top of the legend.
        legend={"traceorder": "reversed", "x": 1.02, "y": 1, "font": {"size": 14}},
    )


def _add_curve(fig: Figure, table: ErrorTable, name: str, curve: np.ndarray, drawn: Look) -> None:
    fig.add_scatter(
        x=table.lead_times_fs,
        y=curve,
        name=plain(name),
        mode="lines+markers",
        line=drawn.line,
        marker=drawn.marker,
        customdata=np.arange(len(curve)),
        meta={"forecaster": name},
        hovertemplate="%{x:g} fs: %{y:.4f} Å",
    )


def _add_band(fig: Figure, table: ErrorTable, name: str, measure: Measure, colour: str) -> None:
    _, low, high = table.band(name, measure)
    leads = table.lead_times_fs
    fig.add_scatter(
        x=np.concatenate([leads, leads[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        name=f"{plain(name)}, 10–90 %",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=translucent(colour, 0.2),
        showlegend=False,
        hoverinfo="skip",
    )


def _memory(table: ErrorTable, main: Sequence[str], mean_of_history: str | None) -> dict[str, Interval]:
    means = [name for name in table.names if name.lower().startswith("mean")]
    rival = mean_of_history or (means[0] if means else None)
    if rival is None:
        return {}
    return {name: table.skill_horizon_fs(name, rival) for name in main if name != rival}


def _mark_memory(fig: Figure, name: str, skill: Interval, colour: str, index: int, *, alone: bool) -> None:
    whose = "" if alone else f"{plain(name)}: "
    words = {"font": {"size": 12, "color": TEXT}, "showarrow": False, "yref": "paper", "y": 0.99 - 0.06 * index}
    if not np.isfinite(skill.value):
        fig.add_annotation(
            x=0.01, xref="paper", xanchor="left", text=f"{whose}better than the mean of the history throughout", **words
        )
        return
    fig.add_vline(x=skill.value, line={"color": colour, "width": 2, "dash": "dot"})
    if np.isfinite(skill.high) and skill.high > skill.low:
        fig.add_vrect(x0=skill.low, x1=skill.high, fillcolor=translucent(colour, 0.08), line_width=0, layer="below")
    text = f"{whose}no better than the mean of the history from {skill.value:g} fs"
    fig.add_annotation(x=skill.value, xanchor="right", xshift=-6, text=text, **words)


def _describe(table: ErrorTable, curves: dict[str, np.ndarray], measure: Measure, memory: dict[str, Interval]) -> str:
    leads = table.lead_times_fs
    shown = sorted({0, len(leads) // 2, len(leads) - 1})
    heads = ", ".join(f"{leads[lead]:g}" for lead in shown)
    parts = [f"{name}: {', '.join(number(curve[lead]) for lead in shown)}" for name, curve in curves.items()]
    ends = [
        f"{name} is no better than the mean of the history from {skill.value:g} fs on"
        if np.isfinite(skill.value)
        else f"{name} is better than the mean of the history at every lead time"
        for name, skill in memory.items()
    ]
    text = f"Line chart. {AXIS[measure]} at {heads} fs over {table.n_windows} windows. {'; '.join(parts)}. "
    return (text + "".join(f"{end}. " for end in ends)).strip()


def error_heatmap(table: ErrorTable, name: str, *, measure: Measure = "rmse") -> Figure:
    """Draw the error of each window at each lead time, by walker and start; each cell carries its window's index."""
    from plotly.graph_objects import Figure

    order = np.lexsort((table.starts, table.walkers))
    values = table.per_window(name, measure)[order]
    facts = np.stack([order, table.walkers[order], table.starts[order]], axis=1)
    fig = Figure()
    fig.add_heatmap(
        x=table.lead_times_fs,
        y=np.arange(len(order)),
        z=values,
        customdata=np.broadcast_to(facts[:, None], (*values.shape, 3)),
        colorscale=SEQUENTIAL,
        zmin=0,
        colorbar={"title": {"text": AXIS[measure], "side": "right"}, "tickformat": "~g"},
        hovertemplate="window %{customdata[0]} (walker %{customdata[1]}, from frame %{customdata[2]})<br>"
        "%{x:g} fs: %{z:.4f} Å<extra></extra>",
    )
    fig.update_xaxes(title_text=LEAD, showgrid=False)
    fig.update_yaxes(title_text="window (by walker and start)", showgrid=False, autorange="reversed")
    last = values[:, -1]
    worst = int(np.nan_to_num(last, nan=np.inf).argmax())
    alt = (
        f"Heat map of {AXIS[measure]} of {name} in {len(order)} windows up to {table.lead_times_fs[-1]:g} fs. At the "
        f"end the median is {number(float(np.median(last)), 'Å')}; the worst window is number {order[worst]} (walker "
        f"{facts[worst, 1]}, from frame {facts[worst, 2]}) with {number(last[worst], 'Å')}."
    )
    return finish(fig, title=f"Where {plain_title(name)} goes wrong", alt=alt, height=520)


def per_atom_bars(table: ErrorTable, name: str, lead_fs: float, *, rival: str | None = None) -> Figure:
    """Draw the RMSE of each atom at the lead time nearest to ``lead_fs``; each bar carries its atom index."""
    from plotly.graph_objects import Figure

    lead = table.nearest_lead(lead_fs)
    values = table.per_atom_rmse(name)[lead]
    labels = [plain(label) for label in table.atom_labels]
    index = np.arange(len(labels))
    hover = "%{text}: %{y:.4f} Å"
    fig = Figure()
    fig.add_bar(
        x=index, y=values, text=labels, textposition="none", customdata=index, name=plain(name),
        marker={"color": MAIN_COLOUR}, hovertemplate=hover, meta={"forecaster": name},
    )  # fmt: skip
    if rival is not None:
        mark = {"symbol": "line-ew", "size": 18, "line": {"width": 3, "color": TEXT}}
        fig.add_scatter(
            x=index, y=table.per_atom_rmse(rival)[lead], text=labels, customdata=index, name=plain(rival),
            mode="markers", marker=mark, hovertemplate=hover, meta={"forecaster": rival},
        )  # fmt: skip
    fig.update_xaxes(title_text="atom", tickvals=index, ticktext=labels, showgrid=False)
    fig.update_yaxes(title_text=AXIS["rmse"], rangemode="tozero", tickformat="~g")
    time = f"{table.lead_times_fs[lead]:g} fs"
    pairs = ", ".join(f"{label} {number(value)}" for label, value in zip(table.atom_labels, values, strict=True))
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    alt = f"Bar chart. {AXIS['rmse']} of {name} per atom, {time} ahead: {pairs}."
    return finish(fig, title=f"Error per atom, {time} ahead", alt=alt, height=420, showlegend=True, legend=legend)


def plain_title(name: str) -> str:
    """Return a name cut to fit a title, which `finish` escapes."""
    return name if len(name) <= 40 else f"{name[:39]}…"
