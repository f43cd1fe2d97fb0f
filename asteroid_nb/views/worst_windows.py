"""In which windows a forecaster goes wrong: their ranking, a heat map of them, and one of them in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from asteroid_nb.metrics.horizon import ErrorTable, Measure
from asteroid_nb.shapes import Int
from asteroid_nb.views.error_axes import AXIS, LEAD, PANEL_HEIGHT_PX, title_at_the_top
from asteroid_nb.views.style import MAIN_COLOUR, SEQUENTIAL, finish, number

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Order = Literal["start", "worst"]

#: What the axis of windows says of each order.
ROWS = {"start": "window (by walker and start)", "worst": "window (worst first)"}

#: More names of walkers than these would overlap.
MOST_WALKERS = 12


def windows_in_order(
    table: ErrorTable, name: str, measure: Measure = "rmse", order: Order = "start"
) -> Int[np.ndarray, " windows"]:
    """Return the windows' indices by walker and start, or the worst first: by the mean of the error over the horizon.

    What is not a number is worse than any number.
    """
    if order not in ROWS:
        raise ValueError(f"The order was {order!r}; choose one of {', '.join(ROWS)}.")
    by_start = np.lexsort((table.starts, table.walkers))
    if order == "start":
        return by_start
    errors = np.nan_to_num(table.per_window(name, measure).mean(axis=1), nan=np.inf)
    return by_start[np.argsort(-errors[by_start], kind="stable")]


def error_heatmap(
    table: ErrorTable,
    name: str,
    *,
    measure: Measure = "rmse",
    order: Order = "start",
    window: int | None = None,
    some: Sequence[int] | np.ndarray | None = None,
    compact: bool = False,
) -> Figure:
    """Draw the error of each window at each lead time; each cell carries its window's index, walker and start.

    Args:
        table: of all windows.
        name: the forecaster.
        measure: RMSE and MAE per coordinate, or ADE.
        order: of the rows, see `windows_in_order`.
        window: outline its row.
        some: draw these windows alone.
        compact: lower, for panels.
    """
    from plotly.graph_objects import Figure

    rows = windows_in_order(table, name, measure, order)
    if some is not None:
        rows = rows[np.isin(rows, some)]
    values = table.per_window(name, measure)[rows].astype(np.float32)
    facts = _small(np.stack([rows, table.walkers[rows], table.starts[rows]], axis=1))
    fig = Figure()
    fig.add_heatmap(
        x=table.lead_times_fs,
        y=_small(np.arange(len(rows))),
        z=values,
        customdata=np.broadcast_to(facts[:, None], (*values.shape, 3)),
        colorscale=SEQUENTIAL,
        zmin=0,
        colorbar={"title": {"text": AXIS[measure], "side": "right"}, "tickformat": "~g", "thickness": 18},
        hovertemplate="window %{customdata[0]} (walker %{customdata[1]}, from frame %{customdata[2]})<br>"
        "%{x:~g} fs: %{z:.4f} Å<extra></extra>",
    )
    # Fixed, because marks would stretch them.
    fig.update_xaxes(title_text=LEAD, showgrid=False, range=_edges(table.lead_times_fs))
    fig.update_yaxes(
        title_text=ROWS[order], showgrid=False, range=[len(rows) - 0.5, -0.5], **_ticks(table, rows, order)
    )
    if window is not None:
        _outline(fig, int(np.flatnonzero(rows == window)[0]))
    alt = _describe(table, name, measure, rows)
    height = PANEL_HEIGHT_PX if compact else 520
    fig.update_xaxes(title_standoff=8)
    place = {"height": height, **title_at_the_top(height), "margin": {"t": 72, "b": 50}}
    return finish(fig, title="Error in each window", subtitle=name, alt=alt, **place)


def _small(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers in as few bytes as hold them: they travel once per cell."""
    types = [np.min_scalar_type(end) for end in (numbers.min(), numbers.max())]
    return numbers.astype(np.result_type(*types))


def _edges(leads: np.ndarray) -> list[float]:
    half = (leads[1] - leads[0] if len(leads) > 1 else leads[0]) / 2
    return [float(leads[0] - half), float(leads[-1] + half)]


def _ticks(table: ErrorTable, rows: np.ndarray, order: Order) -> dict:
    """Return a tick where each walker begins, as long as they are in order and there are several."""
    walkers = table.walkers[rows]
    first = np.flatnonzero(np.diff(walkers, prepend=walkers[0] - 1))
    if order != "start" or len(first) < 2:
        return {}
    kept = first[:: -(-len(first) // MOST_WALKERS)]
    return {"tickvals": kept.tolist(), "ticktext": [f"walker {walkers[row]}" for row in kept]}


def _outline(fig: Figure, row: int) -> None:
    edge = {"color": MAIN_COLOUR, "width": 2}
    fig.add_shape(type="rect", xref="x domain", x0=0, x1=1, y0=row - 0.5, y1=row + 0.5, line=edge, name="chosen window")
    pointer = {"ax": 14, "ay": 0, "arrowhead": 2, "arrowwidth": 2, "arrowcolor": MAIN_COLOUR, "text": ""}
    fig.add_annotation(x=1, xref="x domain", y=row, **pointer)


def _describe(table: ErrorTable, name: str, measure: Measure, rows: np.ndarray) -> str:
    averages = table.per_window(name, measure).mean(axis=1)
    worst = int(rows[np.nan_to_num(averages[rows], nan=np.inf).argmax()])
    return (
        f"Heat map of {AXIS[measure]} of {name} in {len(rows)} windows up to {table.lead_times_fs[-1]:g} fs. "
        f"Averaged over the horizon the median is {number(float(np.median(averages[rows])), 'Å')}; the worst window is "
        f"number {worst} (walker {table.walkers[worst]}, from frame {table.starts[worst]}) with "
        f"{number(float(averages[worst]), 'Å')}."
    )


def window_in_words(
    table: ErrorTable, name: str, window: int, lead: int | None, *, measure: Measure = "rmse", rival: str | None = None
) -> str:
    """Return, in plain text, which window this is and how it fares at a lead time among all windows and to a rival.

    Args:
        lead: index of the lead time; None for moments of the history.
    """
    which = f"Window {window}: walker {table.walkers[window]} from frame {table.starts[window]}."
    if lead is None:
        return f"{which} This moment is the history, which was given: no error yet."
    values = table.per_window(name, measure)[:, lead]
    own = float(values[window])
    said = [f"{measure.upper()} {number(own, 'Å')}"] if np.isfinite(own) else [f"{measure.upper()} is not a number"]
    if rival is not None and np.isfinite(own):
        said.append(f"{number(_ratio(own, float(table.per_window(rival, measure)[window, lead])))} × {rival}")
    if table.n_windows > 1 and np.isfinite(own):
        share = np.mean(np.delete(values, window) < own)
        said.append(f"worse than {100 * share:.0f} % of the other windows")
    return f"{which} At {table.lead_times_fs[lead]:g} fs: {', '.join(said)}."


def _ratio(own: float, rival: float) -> float:
    return own / rival if rival else np.inf if own else 1.0
