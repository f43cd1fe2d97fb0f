"""What attention tells beside what taking an atom away does: maps of pairs, and one against the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.attention import rank_agreement
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, SEQUENTIAL, TEXT, finish, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


#: How pairs are drawn.
PAIRS = {
    "other pairs": {"color": PALETTE[0], "symbol": "circle-open", "size": 8},
    "bonded pairs": {"color": MAIN_COLOUR, "symbol": "diamond", "size": 10},
}


def pair_maps(maps: Mapping[str, np.ndarray], labels: Sequence[str], *, subtitle: str = "") -> Figure:
    """Draw maps [atoms, atoms] beside one another, each as shares of its own largest off-diagonal entry.

    An atom's entry with itself stays blank: it would outshine what atoms are to each other.

    Args:
        maps: by name, at most three; rows look or are moved, columns are looked at or taken away.
    """
    from plotly.subplots import make_subplots

    names = [plain(label) for label in labels]
    fig = make_subplots(1, len(maps), subplot_titles=[plain(name, 60) for name in maps], horizontal_spacing=0.07)
    facts = []
    for column, (name, values) in enumerate(maps.items(), start=1):
        pairs = np.where(np.eye(len(names), dtype=bool), np.nan, np.asarray(values, dtype=float))
        largest = np.nanmax(pairs)
        hover = f"{plain(name, 60)}: row %{{y}}, column %{{x}}: %{{customdata:.3g}} (%{{z:.2f}} of the largest)"
        fig.add_heatmap(
            x=names, y=names, z=pairs / largest, customdata=pairs, coloraxis="coloraxis", xgap=1, ygap=1,
            hovertemplate=f"{hover}<extra></extra>", row=1, col=column,
        )  # fmt: skip
        row, key = divmod(int(np.nanargmax(pairs)), len(names))
        facts.append(f"{name} is largest for {labels[row]} from {labels[key]}, {number(largest)}")
    fig.update_xaxes(showgrid=False, title_standoff=6, tickangle=90)
    fig.update_xaxes(title_text="atom looked at or taken away", row=1, col=(len(maps) + 1) // 2)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    fig.update_yaxes(title_text="atom that looks or is moved", row=1, col=1)
    fig.update_annotations(font={"size": 14, "color": TEXT})
    bar = {"title": {"text": "share of the largest", "side": "right"}, "thickness": 14}
    finish(
        fig, title="Who matters to whom", subtitle=subtitle, alt=f"Heat maps of pairs of atoms: {'; '.join(facts)}.",
        height=430, margin={"t": 110, "b": 80},
        coloraxis={"colorscale": SEQUENTIAL, "cmin": 0, "cmax": 1, "colorbar": bar},
    )  # fmt: skip
    return fig.update_layout(title={"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}})


def effect_against_attention(
    attention: np.ndarray,
    effect: np.ndarray,
    labels: Sequence[str],
    *,
    bonded: np.ndarray | None = None,
    what: str = "",
) -> Figure:
    """Draw, for each ordered pair of atoms, how far the forecast moved against how much weight there was.

    Args:
        attention: [atoms, atoms], without unit.
        effect: [atoms, atoms] Å.
        bonded: [atoms, atoms], pairs drawn as filled diamonds; none when not given.
        what: the intervention, for the axis.
    """
    from plotly.graph_objects import Figure

    pairs = np.argwhere(~np.eye(len(labels), dtype=bool))
    near = np.zeros(len(pairs), dtype=bool) if bonded is None else np.asarray(bonded)[tuple(pairs.T)]
    fig = Figure()
    for chosen, (name, look) in zip((~near, near), PAIRS.items(), strict=True):
        first, second = pairs[chosen].T
        fig.add_scatter(
            x=attention[first, second], y=effect[first, second], mode="markers", name=name, marker=look,
            text=[f"{plain(labels[one])} from {plain(labels[two])}" for one, two in pairs[chosen].tolist()],
            hovertemplate="%{text}: weight %{x:.3f}, moved by %{y:.4f} Å<extra></extra>",
        )  # fmt: skip
    found = float(rank_agreement(np.asarray(attention), np.asarray(effect)))
    fig.update_xaxes(title_text="attention, mean weight (no unit)", rangemode="tozero")
    fig.update_yaxes(title_text="forecast moved by (Å)", rangemode="tozero", tickformat="~g")
    alt = (
        f"Scatter plot of the effect of {what or 'taking an atom away'} against attention, {len(pairs)} pairs of atoms."
    )
    return finish(
        fig, title=f"Effect against attention{': ' if what else ''}{what}", subtitle=f"rank correlation {found:.2f}",
        alt=f"{alt} Rank correlation {number(found)}.", height=430, margin={"b": 95}, hovermode="closest",
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"}, showlegend=True,
    )  # fmt: skip
