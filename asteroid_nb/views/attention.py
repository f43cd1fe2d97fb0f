"""Who looks at whom. Attention shows where information was read, not why a forecast came out as it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.metrics.attention import mean_by_distance
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, SEQUENTIAL, TEXT, finish, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Larger maps are read by hovering: their numbers would not fit the cells.
MOST_KEYS_WITH_NUMBERS = 12

#: Points that a browser still moves at ease; of more pairs one in so many is drawn.
MOST_PAIRS = 3000

#: Names of more pairs would cover each other.
MOST_NAMED = 4

#: Below the axes: narrow figures have no room for it beside their title.
LEGEND = {
    "traceorder": "normal",
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "yref": "container",
    "y": 0.01,
    "yanchor": "bottom",
}
WITH_LEGEND = {"legend": LEGEND, "margin": {"l": 70, "r": 20, "t": 70, "b": 95}, "hovermode": "closest"}


#: A colour bar above the map leaves its whole width to the cells.
ABOVE = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1,
    "yanchor": "bottom",
    "thickness": 10,
    "tickformat": "~g",
}


def attention_map(
    weights: np.ndarray,
    query_labels: Sequence[str],
    key_labels: Sequence[str],
    *,
    title: str = "Attention",
    subtitle: str = "",
    kind: str = "attention",
    chosen: int | None = None,
    largest: float | None = None,
) -> Figure:
    """Draw weights as a heat map, from 0 to the largest; each cell carries its query and key index.

    Args:
        weights: [queries, keys], without unit; NaN where a key is masked stays blank.
        query_labels: [queries], names of atoms or times with their unit.
        key_labels: [keys].
        title: of the figure.
        subtitle: below it.
        kind: local, global, temporal or transformation; names the axes and the alternative text.
        chosen: a query whose row is outlined.
        largest: the weight that gets the last colour, beyond which all look the same; the largest there is.
    """
    from plotly.graph_objects import Figure

    weights = _matrix(weights, (len(query_labels), len(key_labels)), "the labels")
    queries, keys = [plain(label) for label in query_labels], [plain(label) for label in key_labels]
    fig = Figure()
    _add_cells(fig, weights, queries, keys, largest or _largest(weights))
    upright = sum(map(len, keys)) > 30
    room = 16 + 3 * upright * max(map(len, keys))  # plotly lets upright labels run over the title
    below = {"text": f"looked at (key, {plain(kind)})", "standoff": room}
    fig.update_xaxes(title=below, tickangle=90 if upright else 0, **_ticks(keys))
    fig.update_yaxes(title_text=f"looking (query, {plain(kind)})", autorange="reversed", **_ticks(queries))
    height = int(np.clip(220 + 32 * len(queries), 380, 760)) + room
    alt = _describe(weights, query_labels, key_labels, kind)
    look = {"shapes": _outline(chosen), "margin": {"l": 70, "r": 20, "t": 125, "b": 60}, "hovermode": "closest"}
    return finish(fig, title=title, subtitle=subtitle, alt=alt, height=height, **look)


def _add_cells(fig: Figure, weights: np.ndarray, queries: list[str], keys: list[str], largest: float) -> None:
    gap = 1 if max(weights.shape) <= 2 * MOST_KEYS_WITH_NUMBERS else 0
    fig.add_heatmap(
        z=weights,
        customdata=np.moveaxis(np.indices(weights.shape), 0, -1),
        texttemplate="%{z:.2f}" if max(weights.shape) <= MOST_KEYS_WITH_NUMBERS else None,
        colorscale=SEQUENTIAL,
        zmin=0,
        zmax=largest,
        colorbar={"title": {"text": "weight (no unit)", "side": "top", "font": {"size": 12}}, **ABOVE},
        xgap=gap,
        ygap=gap,
        **_hovers(weights, queries, keys),
    )


def attention_by_distance(
    weights: np.ndarray,
    distances: np.ndarray,
    *,
    bin_ang: float = 0.5,
    labels: Sequence[str] = (),
    chosen: int | None = None,
    even: float | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw each weight against the distance of its pair, with means in bins and the weight of looking everywhere alike.

    Args:
        weights: [queries, keys] between atoms, without registers.
        distances: [queries, keys] Å.
        bin_ang: width of the bins of the mean.
        labels: [atoms]; named when pointed at.
        chosen: a query whose pairs are drawn large and named.
        even: the weight if all keys were looked at alike, where it is not one over their number.
        subtitle: below the title.
    """
    from plotly.graph_objects import Figure

    distances = np.asarray(distances, dtype=float)
    weights = _matrix(weights, distances.shape, "the distances")
    names = [plain(label) for label in labels] or [str(atom + 1) for atom in range(max(weights.shape))]
    every = np.argwhere(np.isfinite(weights) & np.isfinite(distances))
    mid, means = mean_by_distance(weights, distances, bin_ang=bin_ang)
    even = 1 / weights.shape[1] if even is None else even
    fig = Figure()
    _add_pairs(fig, every, weights, distances, names)
    _add_means(fig, mid, means)
    if chosen is not None:
        _add_chosen(fig, every[every[:, 0] == chosen], weights, distances, names)
    fig.add_hline(y=even, line={"color": TEXT, "dash": "dash", "width": 2}, name="everywhere alike", showlegend=True)
    fig.update_xaxes(title_text="distance (Å)", rangemode="tozero")
    fig.update_yaxes(title_text="weight (no unit)", rangemode="tozero", tickformat="~g")
    parts = ", ".join(f"{number(at, 'Å')} {number(mean)}" for at, mean in zip(mid, means, strict=True))
    alt = f"Scatter plot of attention against distance. Mean weight by distance: {parts}; {number(even)} if even."
    return finish(fig, title="Attention by distance", subtitle=subtitle, alt=alt, height=460, **WITH_LEGEND)


def _add_pairs(fig: Figure, pairs: np.ndarray, weights: np.ndarray, distances: np.ndarray, names: list[str]) -> None:
    step = -(-len(pairs) // MOST_PAIRS) or 1
    dots = {"color": "#56B4E9", "size": 6, "opacity": 0.7, "symbol": "circle-open"}
    shown = f"one pair in {step}" if step > 1 else "pairs"
    fig.add_scatter(**_pairs(pairs[::step], weights, distances, names), mode="markers", marker=dots, name=shown)


def _add_means(fig: Figure, mid: np.ndarray, means: np.ndarray) -> None:
    fig.add_scatter(
        x=mid,
        y=means,
        mode="lines+markers",
        line={"color": PALETTE[0], "width": 4},
        marker={"size": 8},
        name="mean",
        hovertemplate="mean at %{x:.2f} Å: %{y:.3f}<extra></extra>",
    )


def _add_chosen(fig: Figure, pairs: np.ndarray, weights: np.ndarray, distances: np.ndarray, names: list[str]) -> None:
    large = {"color": MAIN_COLOUR, "size": 10, "symbol": "diamond"}
    fig.add_scatter(
        **_pairs(pairs, weights, distances, names),
        mode="markers",
        marker=large,
        name=f"of {names[pairs[0, 0]]}" if len(pairs) else "of the chosen",
    )
    # A trace of their own: beside empty texts plotly loses some when it draws a figure again.
    strongest = pairs[np.argsort(-weights[tuple(pairs.T)], kind="stable")[:MOST_NAMED]]
    first, second = strongest.T
    fig.add_scatter(
        x=distances[first, second],
        y=weights[first, second],
        mode="markers+text",
        marker=large,
        text=[names[key] for key in second.tolist()],
        textposition="top center",
        textfont={"size": 11},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def _matrix(weights: np.ndarray, shape: tuple[int, ...], rival: str) -> np.ndarray:
    weights = np.asarray(weights, dtype=float)
    if weights.shape != shape or weights.ndim != 2 or not weights.size:
        raise ValueError(
            f"Weights have shape {weights.shape}, {rival} ask for {shape}, and [queries, keys] is needed. "
            "Choose one layer, head and window, or take the mean over them."
        )
    return weights


def _largest(weights: np.ndarray) -> float:
    seen = weights[np.isfinite(weights)]
    return float(seen.max()) if seen.size and seen.max() > 0 else 1.0


def _hovers(weights: np.ndarray, queries: list[str], keys: list[str]) -> dict[str, Any]:
    """Return what a cell says when pointed at; one without a weight has no number to be filled in."""
    if np.isfinite(weights).all():
        text = [[f"{query} looks at {key}" for key in keys] for query in queries]
        return {"text": text, "hovertemplate": "%{text}: %{z:.3f}<extra></extra>"}
    text = [
        [f"{query} looks at {key}: {w:.3f}" if np.isfinite(w) else f"{query} cannot see {key}" for key, w in line]
        for query, line in zip(queries, (zip(keys, row, strict=True) for row in weights), strict=True)
    ]
    return {"text": text, "hovertemplate": "%{text}<extra></extra>"}


def _outline(row: int | None) -> list[dict[str, Any]]:
    if row is None:
        return []
    place = {"xref": "paper", "x0": 0, "x1": 1, "y0": row - 0.5, "y1": row + 0.5}
    return [{"type": "rect", **place, "line": {"color": MAIN_COLOUR, "width": 2}}]


def _pairs(pairs: np.ndarray, weights: np.ndarray, distances: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return what the points of some pairs share: places, [query, key] as customdata, and names to be pointed at."""
    first, second = pairs.T
    return {
        "x": distances[first, second],
        "y": weights[first, second],
        "customdata": pairs,
        "hovertext": [f"{names[query]} looks at {names[key]}" for query, key in pairs.tolist()],
        "hovertemplate": "%{hovertext}, %{x:.2f} Å: %{y:.3f}<extra></extra>",
    }


def _ticks(labels: list[str]) -> dict:
    """Return ticks for all labels up to forty, else for about that many of them."""
    every = max(1, -(-len(labels) // 40))
    shown = list(range(0, len(labels), every))
    return {"tickvals": shown, "ticktext": [labels[at] for at in shown], "showgrid": False, "constrain": "domain"}


def _describe(weights: np.ndarray, queries: Sequence[str], keys: Sequence[str], kind: str) -> str:
    filled = np.nan_to_num(weights, nan=-np.inf)
    top = filled.argmax(axis=1)
    pairs = [
        f"{query} at {keys[at]} ({number(filled[row, at])})"
        for row, (query, at) in enumerate(zip(queries, top, strict=True))
    ]
    more = f" and {len(pairs) - 12} more" if len(pairs) > 12 else ""
    return f"Heat map of {kind} weights, {weights.shape[0]} queries, {weights.shape[1]} keys. Each looks most: " + (
        f"{', '.join(pairs[:12])}{more}."
    )
