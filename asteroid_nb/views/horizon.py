"""How the error grows with lead time; in which windows and on which atoms, say `worst_windows` and `per_atom`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable, Measure
from asteroid_nb.views.error_axes import AXIS, LEAD, LEGEND_BELOW, PANEL_HEIGHT_PX, title_at_the_top
from asteroid_nb.views.style import TEXT, Look, finish, look, number, plain, scale_buttons, translucent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from asteroid_nb.metrics.resampling import Interval

#: Below the plot, in columns as wide as the longest name: with names of any length each would need its own row.
LONGEST_IN_LEGEND = 26


def error_over_horizon(
    table: ErrorTable,
    *,
    measure: Measure = "rmse",
    forecasters: Sequence[str] | None = None,
    mean_of_history: str | None = None,
    band: bool = True,
    log: bool = False,
    window: int | None = None,
    compact: bool = False,
    title: str = "Error over the horizon",
) -> Figure:
    """Draw the error of every forecaster in the table against lead time.

    Each point carries its lead-time index as ``customdata``, so that a click can be answered.

    Args:
        table: whose forecasters are all drawn: rivals cannot be left out here.
        measure: RMSE and MAE per coordinate, or ADE.
        forecasters: those the figure is about, bold and with their band; the table's first when not given.
        mean_of_history: the rival whose error ends the vibrational memory; the one whose name starts with "mean" when
            not given, and no mark where there is none. The mark is a matter of the RMSE, whichever measure is drawn.
        band: shade where 80 % of the windows lie, around their median.
        log: start with a logarithmic axis; buttons switch.
        window: draw the error of the first of ``forecasters`` in this window too.
        compact: lower, and without the buttons, for panels that bring their own.
        title: of the figure.
    """
    from plotly.graph_objects import Figure

    main = tuple(forecasters or table.names[:1])
    curves = {name: table.by_lead(name, measure) for name in (*main, *table.names)}
    rivals = sorted(set(table.names) - set(main), key=lambda name: (-curves[name][-1], name))
    fig = Figure()
    if window is not None:
        _add_window(fig, table, main[0], window, measure)
    for index, name in reversed(list(enumerate(main))) if band else ():
        _add_band(fig, table, name, measure, look(index, main=True).line["color"], alone=len(main) == 1)
    for name in rivals:
        _add_curve(fig, table, name, curves[name], look(table.names.index(name)))
    for index, name in reversed(list(enumerate(main))):
        _add_curve(fig, table, name, curves[name], look(index, main=True))
    memory = _memory(table, main, mean_of_history)
    for index, (name, skill) in enumerate(memory.items()):
        _mark_memory(fig, table, name, skill, look(index, main=True).line["color"], index, alone=len(main) == 1)
    # Fixed, because a mark of the present moment in the history would stretch the axis.
    fig.update_xaxes(title_text=LEAD, title_standoff=8, range=[0, 1.02 * float(table.lead_times_fs[-1])])
    fig.update_yaxes(title_text=AXIS[measure], type="log" if log else "linear", tickformat="~g", rangemode="tozero")
    told = _describe(table, curves, measure, memory)
    return _finished(fig, table, told, memory, title=title, log=log, compact=compact)


def _finished(
    fig: Figure, table: ErrorTable, alt: str, memory: dict[str, Interval], *, title: str, log: bool, compact: bool
) -> Figure:
    height = PANEL_HEIGHT_PX if compact else 540
    meaning = "; memory: while better than the mean of the history" if memory else ""
    # Above the marks of the memory, which stand on the plot's upper edge.
    marks_px = 16 * max(1, len(memory))
    buttons = {**scale_buttons(log=log), "pad": {"t": 0, "b": marks_px}}
    return finish(
        fig,
        title=title,
        subtitle=f"{table.n_windows} windows{meaning}",
        alt=alt,
        height=height,
        margin={"t": 56 + marks_px, "b": 30},
        **title_at_the_top(height),
        hovermode="closest",
        updatemenus=[] if compact else [buttons],
        # The last trace is the model, which belongs in the first place of the legend.
        legend={"traceorder": "reversed", **LEGEND_BELOW},
    )


def _add_curve(fig: Figure, table: ErrorTable, name: str, curve: np.ndarray, drawn: Look) -> None:
    fig.add_scatter(
        x=table.lead_times_fs,
        y=curve,
        name=plain(name, LONGEST_IN_LEGEND),
        mode="lines+markers",
        line=drawn.line,
        marker=drawn.marker,
        customdata=np.arange(len(curve)),
        meta={"forecaster": name},
        hovertemplate="%{x:~g} fs: %{y:.4f} Å",
    )


def _add_band(fig: Figure, table: ErrorTable, name: str, measure: Measure, colour: str, *, alone: bool) -> None:
    median, low, high = table.band(name, measure)
    leads = table.lead_times_fs
    whose = "" if alone else f"{plain(name, LONGEST_IN_LEGEND)}, "
    fig.add_scatter(
        x=np.concatenate([leads, leads[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        name=f"{whose}10–90 % of windows",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=translucent(colour, 0.2),
        showlegend=alone,
        hoverinfo="skip",
        meta={"forecaster": name},
    )
    fig.add_scatter(
        x=leads,
        y=median,
        name=f"{whose}median of windows",
        mode="lines",
        line={"color": colour, "width": 1.5, "dash": "dot"},
        showlegend=alone,
        customdata=np.arange(len(leads)),
        meta={"forecaster": name},
        hovertemplate="%{x:~g} fs: %{y:.4f} Å",
    )


def _add_window(fig: Figure, table: ErrorTable, name: str, window: int, measure: Measure) -> None:
    curve = table.per_window(name, measure)[window]
    drawn = Look({"color": TEXT, "width": 1.5}, {"symbol": "circle-open", "size": 5})
    _add_curve(fig, table, f"window {window}", curve, drawn)


def _memory(table: ErrorTable, main: Sequence[str], mean_of_history: str | None) -> dict[str, Interval]:
    means = [name for name in table.names if name.lower().startswith("mean")]
    rival = mean_of_history or (means[0] if means else None)
    if rival is None:
        return {}
    return {name: table.skill_horizon_fs(name, rival) for name in main if name != rival}


def _mark_memory(
    fig: Figure, table: ErrorTable, name: str, skill: Interval, colour: str, index: int, *, alone: bool
) -> None:
    """Mark where the memory ends, with words above the plot, where no curve runs."""
    whose = "memory" if alone else f"{plain(name, LONGEST_IN_LEGEND)}, memory"
    words = {"font": {"size": 12, "color": TEXT}, "showarrow": False, "y": 1, "yref": "paper", "yanchor": "bottom"}
    words["yshift"] = 16 * index
    last = float(table.lead_times_fs[-1])
    if not np.isfinite(skill.value):
        fig.add_annotation(x=1, xref="paper", xanchor="right", text=f"{whose} over {last:g} fs →", **words)
        return
    fig.add_vline(x=skill.value, line={"color": colour, "width": 1.5, "dash": "longdash"})
    if np.isfinite(skill.high) and skill.high > skill.low:
        fig.add_vrect(x0=skill.low, x1=skill.high, fillcolor=translucent(colour, 0.08), line_width=0, layer="below")
    anchor = ("left", "center", "right")[min(2, int(3 * skill.value / last))]
    fig.add_annotation(x=skill.value, xanchor=anchor, text=f"{whose} {skill.value:g} fs", **words)


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
