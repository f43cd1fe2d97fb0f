"""The delay matrix of one coordinate: what was seen, what was predicted, whether the prediction agrees with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.style import DIVERGING, MAIN_COLOUR, PALETTE, SEQUENTIAL, TEXT, finish, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def delay_matrix(
    predicted: np.ndarray, truth: np.ndarray | None = None, *, dt_fs: float, unit: str = "Å", what: str = "coordinate"
) -> Figure:
    """Draw the matrix of a model, the true one, their difference, and the spread along each anti-diagonal.

    Entry (i, j) stands for frame i + j of the window, so all entries of an anti-diagonal claim to be the same number.
    Cells with i + j ≤ history − 1 were observed; a line parts them from the future.

    Args:
        predicted: [history, horizon + 1] of one atom and axis.
        truth: the same shape, or None where the future is not known.
        dt_fs: between frames.
        unit: of the entries.
        what: names the entries, such as "H3, x".
    """
    from plotly.subplots import make_subplots

    predicted = np.asarray(predicted, dtype=float)
    truth = None if truth is None else np.asarray(truth, dtype=float)
    if predicted.ndim != 2 or not predicted.size or (truth is not None and truth.shape != predicted.shape):
        raise ValueError(
            f"The matrices have shapes {predicted.shape} and {None if truth is None else truth.shape}; both must be "
            "the same [history, horizon + 1]. Choose one window, atom and axis."
        )
    panels = ["prediction", *([] if truth is None else ["truth", "prediction − truth"]), "along each anti-diagonal"]
    rows = 1 if truth is None else 2
    fig = make_subplots(rows, 2, subplot_titles=panels, horizontal_spacing=0.17, vertical_spacing=0.2)
    _add_matrix(fig, predicted, 1, 1, dt_fs, unit, {"coloraxis": "coloraxis"})
    if truth is not None:
        _add_matrix(fig, truth, 1, 2, dt_fs, unit, {"coloraxis": "coloraxis"})
        _add_matrix(fig, predicted - truth, 2, 1, dt_fs, unit, {"coloraxis": "coloraxis2"})
    _add_spread(fig, predicted, truth, rows, dt_fs, unit)
    legend = {"x": 0.6, "xanchor": "left", "y": 0.99 if truth is None else 0.39, "yanchor": "top"}
    fig.update_annotations(font={"size": 15, "color": TEXT})
    return finish(
        fig,
        title=f"Delay matrix of {what}",
        alt=_describe(predicted, truth, dt_fs, unit, what),
        height=400 if truth is None else 760,
        margin={"t": 100},
        legend={**legend, "bgcolor": "rgba(0,0,0,0)"},
        **_colours(predicted, truth, unit),
    )


def _frames(matrix: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(matrix.shape)
    return rows + columns


def _add_matrix(
    fig: Figure, matrix: np.ndarray, row: int, column: int, dt_fs: float, unit: str, colours: dict[str, Any]
) -> None:
    frames = _frames(matrix)
    times = (frames - (len(matrix) - 1)) * dt_fs
    known = np.where(times <= 0, "observed", "future")
    facts = np.stack([frames.astype(object), times.astype(object), known.astype(object)], axis=-1)
    frame = "(%{y}, %{x}), frame %{customdata[0]}, %{customdata[1]:+g} fs, %{customdata[2]}"
    hover = f"{frame}: %{{z:.4f}} {plain(unit)}<extra></extra>"
    fig.add_heatmap(z=matrix, customdata=facts, hovertemplate=hover, row=row, col=column, **colours)
    x, y = boundary(*matrix.shape)
    for line in ({"color": "#FFFFFF", "width": 5}, {"color": MAIN_COLOUR, "width": 2.5}):
        fig.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False, row=row, col=column)
    fig.update_xaxes(
        title_text="delay j (frames)", showgrid=False, range=[-0.5, matrix.shape[1] - 0.5], row=row, col=column
    )
    fig.update_yaxes(
        title_text="start i (frames)", showgrid=False, range=[len(matrix) - 0.5, -0.5], row=row, col=column
    )


def boundary(history: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the staircase between cells with i + j ≤ history − 1 and the others, as x and y in cell units."""
    last_known = np.minimum(history - 1 - np.arange(history), columns - 1)
    return np.repeat(last_known + 0.5, 2), (np.arange(history)[:, None] + [-0.5, 0.5]).ravel()


def along_antidiagonals(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the entries that stand for each frame, [history + horizon]."""
    frames = _frames(matrix).ravel()
    counts = np.bincount(frames)
    means = np.bincount(frames, matrix.ravel()) / counts
    return means, np.sqrt(np.bincount(frames, np.square(matrix.ravel() - means[frames])) / counts)


def _add_spread(
    fig: Figure, predicted: np.ndarray, truth: np.ndarray | None, row: int, dt_fs: float, unit: str
) -> None:
    means, spread = along_antidiagonals(predicted)
    times = (np.arange(len(means)) - (len(predicted) - 1)) * dt_fs
    curves = [("spread", spread, {"color": MAIN_COLOUR, "width": 3}, "circle")]
    if truth is not None:
        error = np.abs(means - along_antidiagonals(truth)[0])
        curves.append(("error of the mean", error, {"color": PALETTE[0], "width": 3, "dash": "dash"}, "square"))
    for name, values, line, symbol in curves:
        hover = f"{name} at %{{x:+g}} fs: %{{y:.4f}} {plain(unit)}<extra></extra>"
        fig.add_scatter(
            x=times, y=values, name=name, mode="lines+markers", line=line, marker={"symbol": symbol, "size": 6},
            showlegend=True, hovertemplate=hover, row=row, col=2,
        )  # fmt: skip
    fig.add_vline(x=0, line={"color": TEXT, "dash": "dot", "width": 2}, row=row, col=2)  # type: ignore[arg-type]
    fig.update_xaxes(title_text="time from the present (fs)", row=row, col=2)
    fig.update_yaxes(title_text=f"deviation ({plain(unit)})", rangemode="tozero", tickformat="~g", row=row, col=2)


def _colours(predicted: np.ndarray, truth: np.ndarray | None, unit: str) -> dict[str, Any]:
    bar = {"thickness": 14, "title": {"text": plain(unit)}, "tickformat": "~g", "x": 0.42, "xanchor": "left"}
    if truth is None:
        return {"coloraxis": {"colorscale": SEQUENTIAL, "colorbar": bar}}
    both = np.concatenate([predicted, truth])
    span = float(np.nanmax(np.abs(predicted - truth))) or 1.0
    upper, lower = {"y": 1, "yanchor": "top", "len": 0.42}, {"y": 0, "yanchor": "bottom", "len": 0.42}
    limits = {"cmin": np.nanmin(both), "cmax": np.nanmax(both)}
    return {
        "coloraxis": {"colorscale": SEQUENTIAL, "colorbar": {**bar, **upper}, **limits},
        "coloraxis2": {"colorscale": DIVERGING, "colorbar": {**bar, **lower}, "cmin": -span, "cmax": span},
    }


def _describe(predicted: np.ndarray, truth: np.ndarray | None, dt_fs: float, unit: str, what: str) -> str:
    means, spread = along_antidiagonals(predicted)
    future = slice(len(predicted), None)
    widest = number(float(np.max(spread[future], initial=0)), unit)
    text = (
        f"Delay matrix of {what}, {predicted.shape[0]} starts by {predicted.shape[1]} delays of {dt_fs:g} fs. "
        f"Largest spread along an anti-diagonal of the future: {widest}."
    )
    if truth is None:
        return text
    error = np.abs(means - along_antidiagonals(truth)[0])[future]
    return f"{text} Largest error of its mean: {number(float(np.max(error, initial=0)), unit)}."
