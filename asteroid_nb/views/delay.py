"""The delay matrix of one coordinate: what was seen, what was predicted, whether the prediction agrees with itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.metrics.delay import along_antidiagonals
from asteroid_nb.views.delay_numbers import Coordinate, agreement, checked, described, deviations
from asteroid_nb.views.style import DIVERGING, MAIN_COLOUR, PALETTE, SEQUENTIAL, TEXT, finish, plain

__all__ = ["agreement", "boundary", "delay_matrix", "refilled"]

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Pixels of a row, of a panel at the least and at the most, between panels, and around them.
ROW_PX, LEAST_PX, MOST_PX, GAP_PX, AROUND_PX = 60, 150, 260, 84, 174

#: Where the panel stands that tells how well the cells agree: with a truth, and without.
LAST_PANEL = {True: (2, 2), False: (1, 2)}


def delay_matrix(
    predicted: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    dt_fs: float,
    rows: Sequence[int] | None = None,
    forecast: np.ndarray | None = None,
    unit: str = "Å",
    what: str = "coordinate",
) -> Figure:
    """Draw the matrix of a model, the true one, their difference, and the spread along each anti-diagonal.

    Entry (i, j) stands for the frame rows[i] + j, so all entries of an anti-diagonal claim to be the same number.
    Cells up to the present, at which the last row starts, were observed; a line parts them from the future.

    Args:
        predicted: [rows, horizon + 1] of one atom and axis.
        truth: the same shape, or None where the future is not known.
        dt_fs: between frames.
        rows: frames at which the rows start, rising; 0, 1, 2 … when not given.
        forecast: [horizon], what the model made of its matrix; its error is drawn beside the matrix's.
        unit: of the entries.
        what: names the entries, such as "H3, x".

    Raises:
        ValueError: shapes that do not fit, rows that do not rise, nothing finite.
    """
    from plotly.subplots import make_subplots

    shown = checked(predicted, truth, rows, forecast, dt_fs, unit)
    alt = described(shown, what)
    known = shown.truth is not None
    panels = ["prediction", *(["truth", "prediction − truth"] if known else []), "do the cells of a frame agree?"]
    height = _panel_px(shown) * (1 + known) + GAP_PX * known
    fig = make_subplots(
        1 + known, 2, subplot_titles=panels, horizontal_spacing=0.24, vertical_spacing=GAP_PX / height if known else 0
    )
    matrices = [(shown.predicted, (1, 1), "coloraxis")]
    if shown.truth is not None:
        matrices += [(shown.truth, (1, 2), "coloraxis"), (shown.predicted - shown.truth, (2, 1), "coloraxis2")]
    for matrix, place, colours in matrices:
        _add_matrix(fig, shown, matrix, place, colours)
    _add_agreement(fig, shown, LAST_PANEL[known])
    fig.update_xaxes(title={"standoff": 6, "font": {"size": 13}})
    fig.update_yaxes(title={"standoff": 6, "font": {"size": 13}})
    fig.update_annotations(font={"size": 15, "color": TEXT})
    finish(
        fig,
        title=f"Delay matrix of {what}",
        subtitle="left of the line: frames that were seen; right of it: the future",
        alt=alt,
        height=height + AROUND_PX,
        margin={"t": 90, "r": 20, "b": 84},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 0, "yref": "container", "yanchor": "bottom"},
        **_colours(shown),
    )
    meta = {"alt": alt, "time_axes": [f"x{2 * (1 + known)}"], "delays": _for_the_browser(shown)}
    return fig.update_layout(meta=meta, title={"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}})


def refilled(
    drawn: dict[str, Any],
    predicted: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    dt_fs: float,
    rows: Sequence[int] | None = None,
    forecast: np.ndarray | None = None,
    unit: str = "Å",
    what: str = "coordinate",
) -> dict[str, Any]:
    """Return, as JSON, the figure of another coordinate: what `delay_matrix` would draw, many times as fast.

    Args:
        drawn: JSON of a figure that `delay_matrix` made of matrices of the same shape and rows.
        predicted: as are all others, see there.
    """
    shown = checked(predicted, truth, rows, forecast, dt_fs, unit)
    matrices = [shown.predicted] + ([] if shown.truth is None else [shown.truth, shown.predicted - shown.truth])
    curves = {name: values for name, (_, values) in deviations(shown).items()}
    fill, traces = iter(matrices), []
    for trace in drawn["data"]:
        if trace["type"] == "heatmap":
            trace = {**trace, "z": as_list(next(fill))}
        elif trace.get("name") in curves:
            trace = {**trace, "y": as_list(curves[trace["name"]])}
        traces.append(trace)
    layout = {**drawn["layout"], "meta": {**drawn["layout"]["meta"], "alt": described(shown, what)}}
    layout["title"] = {**layout["title"], "text": plain(f"Delay matrix of {what}", 110)}
    for axis, colours in _colours(shown).items():
        layout[axis] = {**layout[axis], "cmin": float(colours["cmin"]), "cmax": float(colours["cmax"])}
    return {**drawn, "data": traces, "layout": layout}


def as_list(values: np.ndarray) -> list:
    """Return values as JSON takes them, four decimals and None for what is not finite."""
    return np.where(np.isfinite(values), np.round(values, 4).astype(object), None).tolist()  # type: ignore[arg-type]


def _panel_px(shown: Coordinate) -> int:
    return int(np.clip(ROW_PX * len(shown.rows), LEAST_PX, MOST_PX))


def _for_the_browser(shown: Coordinate) -> list[dict[str, Any]]:
    """Return where each panel's rows start: the browser finds by it the cells of a frame and the frame of a cell."""
    longest = (shown.predicted.shape[1] - 1) * shown.dt_fs
    common = {"starts_fs": shown.starts_fs.tolist(), "longest_fs": longest, "dt_fs": shown.dt_fs}
    axes = ["", "2", "3"] if shown.truth is not None else [""]
    return [{"xref": f"x{axis}", "yref": f"y{axis}", **common} for axis in axes]


def _add_matrix(fig: Figure, shown: Coordinate, matrix: np.ndarray, place: tuple[int, int], colours: str) -> None:
    row, column = place
    times = shown.times_fs(shown.frames)
    known = np.where(times <= 0, "seen", "future")
    facts = np.stack([shown.frames.astype(object), times.astype(object), known.astype(object)], axis=-1)
    frame = "frame %{customdata[0]}, %{customdata[1]:+~g} fs (%{customdata[2]}): %{z:.4f} " + plain(shown.unit)
    starts = np.broadcast_to([[_signed(start)] for start in shown.starts_fs], matrix.shape)
    hover = f"{frame}<br>row from %{{text}} fs, delay %{{x:~g}} fs<extra></extra>"
    delays = np.arange(matrix.shape[1]) * shown.dt_fs
    fig.add_heatmap(
        x=delays, z=matrix, customdata=facts, text=starts, hovertemplate=hover, row=row, col=column, coloraxis=colours
    )
    x, y = boundary(shown.rows, matrix.shape[1])
    for line in ({"color": "#FFFFFF", "width": 5}, {"color": MAIN_COLOUR, "width": 2.5}):
        fig.add_scatter(
            x=x * shown.dt_fs, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False, row=row, col=column
        )
    ends = [-0.5 * shown.dt_fs, (matrix.shape[1] - 0.5) * shown.dt_fs]
    fig.update_xaxes(title_text="delay (fs)", showgrid=False, range=ends, row=row, col=column)
    fig.update_yaxes(
        title_text="row starts at (fs)", showgrid=False, range=[len(matrix) - 0.5, -0.5], row=row, col=column,
        **_row_ticks(shown),
    )  # fmt: skip


def _row_ticks(shown: Coordinate) -> dict[str, Any]:
    """Return the times at which rows start as ticks, the present's among them, not more than fit."""
    last, step = len(shown.rows) - 1, max(1, -(-len(shown.rows) // 8))
    ticks = list(range(last, -1, -step))[::-1]
    words = [_signed(shown.starts_fs[tick]) if tick != last else "now" for tick in ticks]
    return {"tickvals": ticks, "ticktext": words}


def _signed(time_fs: float) -> str:
    return f"{time_fs:+g}".replace("-", "−")


def boundary(rows: Sequence[int] | np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the staircase between cells up to the frame at which the last row starts and the others.

    As x in columns and y in rows, both counted from the centre of the first cell.
    """
    rows = np.asarray(rows)
    last_known = np.minimum(rows[-1] - rows, columns - 1)
    return np.repeat(last_known + 0.5, 2), (np.arange(len(rows))[:, None] + [-0.5, 0.5]).ravel()


def _add_agreement(fig: Figure, shown: Coordinate, place: tuple[int, int]) -> None:
    row, column = place
    counts = along_antidiagonals(shown.predicted, shown.rows)
    looks = [
        ({"color": MAIN_COLOUR, "width": 3}, "circle"),
        ({"color": PALETTE[0], "width": 3, "dash": "dash"}, "square"),
        ({"color": PALETTE[2], "width": 2, "dash": "dot"}, "diamond"),
    ]
    for (name, (frames, values)), (line, symbol) in zip(deviations(shown).items(), looks, strict=False):
        hover = f"{name} at %{{x:+~g}} fs: %{{y:.4f}} {plain(shown.unit)}, frame %{{customdata[0]}}"
        fig.add_scatter(
            x=shown.times_fs(frames), y=values, name=name, mode="lines+markers", line=line,
            marker={"symbol": symbol, "size": 5}, showlegend=True,
            customdata=np.stack([frames, counts.counts[frames - shown.rows[0]]], axis=-1),
            hovertemplate=f"{hover}, held by %{{customdata[1]}}<extra></extra>", row=row, col=column,
        )  # fmt: skip
    fig.add_vline(x=0, line={"color": TEXT, "dash": "dot", "width": 2}, row=row, col=column)  # type: ignore[arg-type]
    fig.update_xaxes(title_text="time from the present (fs)", row=row, col=column)
    fig.update_yaxes(
        title_text=f"deviation ({plain(shown.unit)})", rangemode="tozero", tickformat="~g", row=row, col=column
    )


def _colours(shown: Coordinate) -> dict[str, Any]:
    bar = {"thickness": 12, "title": {"text": plain(shown.unit)}, "tickformat": "~g", "x": 0.385, "xanchor": "left"}
    bar |= {"xpad": 5, "nticks": 5, "tickfont": {"size": 12}}
    both = shown.predicted if shown.truth is None else np.stack([shown.predicted, shown.truth])
    limits = {"cmin": np.nanmin(both), "cmax": np.nanmax(both)}
    if shown.truth is None:
        return {"coloraxis": {"colorscale": SEQUENTIAL, "colorbar": bar, **limits}}
    span = _largest(np.abs(shown.predicted - shown.truth).ravel()) or 1.0
    upper, lower = {"y": 1, "yanchor": "top", "len": 0.42}, {"y": 0, "yanchor": "bottom", "len": 0.42}
    return {
        "coloraxis": {"colorscale": SEQUENTIAL, "colorbar": {**bar, **upper}, **limits},
        "coloraxis2": {"colorscale": DIVERGING, "colorbar": {**bar, **lower}, "cmin": -span, "cmax": span},
    }


def _largest(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0
