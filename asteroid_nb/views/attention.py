"""Who looks at whom. Attention shows where information was read, not why a forecast came out as it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views.style import MAIN_COLOUR, SEQUENTIAL, TEXT, finish, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Larger maps are read by hovering: their numbers would not fit the cells.
MOST_KEYS_WITH_NUMBERS = 12


def attention_map(
    weights: np.ndarray,
    query_labels: Sequence[str],
    key_labels: Sequence[str],
    *,
    title: str = "Attention",
    kind: str = "attention",
) -> Figure:
    """Draw weights as a heat map, from 0 to the largest; each cell carries its query and key index.

    Args:
        weights: [queries, keys], without unit; NaN where a key is masked stays blank.
        query_labels: [queries], names of atoms or times with their unit.
        key_labels: [keys].
        title: of the figure.
        kind: local, global, temporal, transformation or STI; names the axes and the alternative text.
    """
    from plotly.graph_objects import Figure

    weights = _matrix(weights, (len(query_labels), len(key_labels)), "the labels")
    rows, columns = np.indices(weights.shape)
    queries, keys = [plain(label) for label in query_labels], [plain(label) for label in key_labels]
    gap = 1 if max(weights.shape) <= 2 * MOST_KEYS_WITH_NUMBERS else 0
    fig = Figure()
    fig.add_heatmap(
        z=weights,
        customdata=np.stack([rows, columns], axis=-1),
        text=[[f"{query} looks at {key}" for key in keys] for query in queries],
        texttemplate="%{z:.2f}" if max(weights.shape) <= MOST_KEYS_WITH_NUMBERS else None,
        colorscale=SEQUENTIAL,
        zmin=0,
        zmax=_largest(weights),
        colorbar={"title": {"text": "weight (no unit)", "side": "right"}, "tickformat": "~g"},
        xgap=gap,
        ygap=gap,
        hovertemplate="%{text}: %{z:.3f}<extra></extra>",
    )
    fig.update_xaxes(title_text=f"looked at (key, {plain(kind)})", **_ticks(keys))
    fig.update_yaxes(title_text=f"looking (query, {plain(kind)})", autorange="reversed", **_ticks(queries))
    height = int(np.clip(170 + 36 * len(queries), 380, 760))
    return finish(fig, title=title, alt=_describe(weights, query_labels, key_labels, kind), height=height)


def attention_by_distance(weights: np.ndarray, distances: np.ndarray, *, bin_ang: float = 0.5) -> Figure:
    """Draw each weight against the distance of its pair, with means in bins and the weight of looking everywhere alike.

    Args:
        weights: [queries, keys] between atoms, without registers.
        distances: [queries, keys] Å.
        bin_ang: width of the bins of the mean.
    """
    from plotly.graph_objects import Figure

    distances = np.asarray(distances, dtype=float)
    weights = _matrix(weights, distances.shape, "the distances")
    seen = np.isfinite(weights) & np.isfinite(distances)
    bins = np.floor(distances[seen] / bin_ang).astype(int)
    filled, inverse = np.unique(bins, return_inverse=True)
    means = np.bincount(inverse, weights[seen]) / np.bincount(inverse)
    even = 1 / weights.shape[1]
    fig = Figure()
    hover = "%{x:.2f} Å: %{y:.3f}"
    dots = {"color": "#56B4E9", "size": 6, "opacity": 0.6, "symbol": "circle-open"}
    fig.add_scatter(x=distances[seen], y=weights[seen], mode="markers", marker=dots, name="pairs", hovertemplate=hover)
    line = {"color": MAIN_COLOUR, "width": 4}
    mid = (filled + 0.5) * bin_ang
    fig.add_scatter(
        x=mid, y=means, mode="lines+markers", line=line, marker={"size": 8}, name="mean", hovertemplate=hover
    )
    fig.add_hline(y=even, line={"color": TEXT, "dash": "dash", "width": 2}, annotation_text="everywhere alike")
    fig.update_xaxes(title_text="distance (Å)", rangemode="tozero")
    fig.update_yaxes(title_text="weight (no unit)", rangemode="tozero", tickformat="~g")
    parts = ", ".join(f"{number(at, 'Å')} {number(mean)}" for at, mean in zip(mid, means, strict=True))
    alt = f"Scatter plot of attention against distance. Mean weight by distance: {parts}; {number(even)} if even."
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    return finish(fig, title="Attention by distance", alt=alt, height=440, legend=legend)


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
