"""On which atoms the error sits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable, Measure
from asteroid_nb.views.error_axes import AXIS, LEGEND_BELOW, PANEL_HEIGHT_PX, title_at_the_top
from asteroid_nb.views.style import MAIN_COLOUR, TEXT, finish, number, plain, translucent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: More labels than these would overlap on half a screen.
MOST_LABELS = 30
MOST_IN_WORDS = 12


def per_atom_bars(
    table: ErrorTable,
    name: str,
    lead_fs: float,
    *,
    measure: Measure = "rmse",
    rival: str | None = None,
    window: int | None = None,
) -> Figure:
    """Draw the error of each atom at the lead time nearest to ``lead_fs``; each bar carries its atom index.

    Args:
        table: of all windows, over which the bars are taken.
        name: the forecaster.
        lead_fs: the lead time.
        measure: RMSE and MAE per coordinate, or the mean distance.
        rival: whose error is marked by a line.
        window: whose own error is marked by a diamond.
    """
    from plotly.graph_objects import Figure

    lead = table.nearest_lead(lead_fs)
    at = {"measure": measure, "leads": slice(lead, lead + 1)}
    values = table.per_atom(name, **at)[0]
    fig = Figure()
    # Pale, so that the marks are seen in front of them.
    pale = {"color": translucent(MAIN_COLOUR, 0.35), "line": {"color": MAIN_COLOUR, "width": 1.5}}
    _add(fig.add_bar, table, values, name, marker=pale)
    if rival is not None:
        mark = {"symbol": "line-ew", "size": 14, "line": {"width": 3, "color": TEXT}}
        _add(fig.add_scatter, table, table.per_atom(rival, **at)[0], rival, mode="markers", marker=mark)
    if window is not None:
        own = table.per_atom(name, **at, windows=slice(window, window + 1))[0]
        mark = {"symbol": "diamond", "size": 9, "color": "#FFFFFF", "line": {"color": "#333333", "width": 2}}
        _add(fig.add_scatter, table, own, f"window {window}", mode="markers", marker=mark)
    fig.update_xaxes(
        title_text="atom",
        title_standoff=8,
        showgrid=False,
        range=[-0.5, len(values) - 0.5],
        **_ticks(table.atom_labels),
    )
    fig.update_yaxes(title_text=AXIS[measure], rangemode="tozero", tickformat="~g")
    time = f"{table.lead_times_fs[lead]:g} fs"
    alt = f"Bar chart. {AXIS[measure]} of {name} per atom, {time} ahead: {_pairs(table, values)}."
    of = f"{name}, {table.n_windows} windows"
    place = {"height": PANEL_HEIGHT_PX, **title_at_the_top(PANEL_HEIGHT_PX), "margin": {"t": 72, "b": 30}}
    return finish(
        fig, title=f"Error per atom, {time} ahead", subtitle=of, alt=alt, showlegend=True, legend=LEGEND_BELOW, **place
    )


def _add(draw: Any, table: ErrorTable, values: np.ndarray, name: str, **look: Any) -> None:
    index = np.arange(len(values))
    extra = {"textposition": "none"} if "mode" not in look else {}
    draw(
        x=index,
        y=values,
        text=[plain(label) for label in table.atom_labels],
        customdata=index,
        name=plain(name, 26),
        hovertemplate="%{text}: %{y:.4f} Å",
        meta={"forecaster": name},
        **extra,
        **look,
    )


def _ticks(labels: tuple[str, ...]) -> dict[str, Any]:
    shown = range(0, len(labels), -(-len(labels) // MOST_LABELS))
    return {"tickvals": list(shown), "ticktext": [plain(labels[atom]) for atom in shown]}


def _pairs(table: ErrorTable, values: np.ndarray) -> str:
    """Return all atoms with their errors, or the worst ones of many."""
    atoms = list(range(len(values)))
    if len(atoms) > MOST_IN_WORDS:
        atoms = np.nan_to_num(values, nan=np.inf).argsort(kind="stable")[::-1][:MOST_IN_WORDS].tolist()
    pairs = ", ".join(f"{table.atom_labels[atom]} {number(values[atom])}" for atom in atoms)
    return pairs if len(atoms) == len(values) else f"{pairs} and {len(values) - len(atoms)} atoms with less"
