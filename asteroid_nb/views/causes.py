"""What large errors go along with, window by window. Going along is not causing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable, Measure
from asteroid_nb.views.error_axes import AXIS
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, finish, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Equally filled groups of windows whose medians are joined.
N_GROUPS = 5

#: Of the medians: colour, marker and dash of the forecaster, then of the rival.
LOOKS = ((MAIN_COLOUR, "circle", "solid"), (PALETTE[0], "square", "dash"))


def error_against(
    table: ErrorTable,
    name: str,
    values: np.ndarray,
    *,
    what: str,
    unit: str = "",
    rival: str | None = None,
    measure: Measure = "rmse",
) -> Figure:
    """Draw each window's error, averaged over the horizon, against a property of the window; points carry its index.

    Args:
        values: [windows] of the property.
        what: names it.
        rival: its medians are drawn too.
    """
    from plotly.graph_objects import Figure

    values = np.asarray(values, dtype=float)
    if values.shape != (table.n_windows,):
        raise ValueError(f"Found values of shape {values.shape}; needed is one for each of {table.n_windows} windows.")
    errors = table.per_window(name, measure).mean(axis=1)
    fig = Figure()
    fig.add_scatter(
        x=values, y=errors, mode="markers", name="windows", customdata=np.arange(len(values)),
        marker={"color": "#56B4E9", "size": 6, "symbol": "circle-open", "opacity": 0.7},
        hovertemplate=f"window %{{customdata}}: %{{x:.3g}} {plain(unit)}, %{{y:.4f}} Å<extra></extra>",
    )  # fmt: skip
    facts = [
        _add_medians(fig, values, table.per_window(one, measure).mean(axis=1), one, look, unit)
        for one, look in zip([name] if rival is None else [name, rival], LOOKS, strict=False)
    ]
    fig.update_xaxes(title_text=f"{plain(what)} ({plain(unit)})" if unit else plain(what), rangemode="tozero")
    fig.update_yaxes(title_text=AXIS[measure], rangemode="tozero", tickformat="~g")
    alt = f"Scatter plot of {AXIS[measure]} against {what}, {table.n_windows} windows. Medians: {'; '.join(facts)}."
    return finish(
        fig, title=f"Error against {what}", subtitle=f"{name}, {table.n_windows} windows, means over the horizon",
        alt=alt, height=440, hovermode="closest", margin={"b": 95},
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"},
    )  # fmt: skip


def _add_medians(
    fig: Figure, values: np.ndarray, errors: np.ndarray, name: str, look: tuple[str, str, str], unit: str
) -> str:
    """Draw the medians of groups, and return them in words."""
    colour, symbol, dash = look
    x, y = medians_of_groups(values, errors)
    fig.add_scatter(
        x=x, y=y, mode="lines+markers", name=f"{plain(name, 26)}, medians",
        line={"color": colour, "width": 3, "dash": dash}, marker={"symbol": symbol, "size": 9},
        hovertemplate=f"median at %{{x:.3g}} {plain(unit)}: %{{y:.4f}} Å",
    )  # fmt: skip
    return f"{name} {number(y[0], 'Å')} in the lowest fifth, {number(y[-1], 'Å')} in the highest"


def medians_of_groups(
    values: np.ndarray, errors: np.ndarray, n_groups: int = N_GROUPS
) -> tuple[np.ndarray, np.ndarray]:
    """Return medians of both over equally filled groups, by rising value."""
    groups = np.array_split(np.argsort(values, kind="stable"), min(n_groups, len(values)))
    return np.array([np.median(values[one]) for one in groups]), np.array([np.median(errors[one]) for one in groups])
