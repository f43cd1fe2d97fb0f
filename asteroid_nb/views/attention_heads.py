"""How evenly and how locally each head looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views.attention import WITH_LEGEND
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, finish, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Colour and pattern of the bars of each measure.
BARS = ((PALETTE[0], ""), ("#56B4E9", "/"), ("#8C8C8C", "."))

#: Of the room of one head that its bars take.
FILLED = 0.75


def head_bars(
    measures: Mapping[str, np.ndarray],
    *,
    even: Mapping[str, float] | None = None,
    chosen: int | None = None,
    heads: Sequence[str] = (),
    subtitle: str = "",
) -> Figure:
    """Draw shares per head as bars with their numbers at the right; a bar's customdata is its head.

    Args:
        measures: at most three, [heads] between 0 and 1 by name, such as the share of the possible entropy; NaN where
            nothing could be chosen.
        even: what a measure would be if all keys were looked at alike, drawn as a tick on its bars.
        chosen: a head whose name is marked.
        heads: names, else counted from 1.
        subtitle: below the title.
    """
    from plotly.graph_objects import Figure

    n_heads = len(next(iter(measures.values())))
    names = [plain(head) for head in heads] or [f"head {head + 1}" for head in range(n_heads)]
    fig = Figure()
    width = FILLED / len(measures)
    for place, (name, shares) in enumerate(measures.items()):
        _add_bars(fig, place, name, np.asarray(shares, dtype=float), width)
    ticked = [(place, (even or {})[name]) for place, name in enumerate(measures) if name in (even or {})]
    if ticked:
        _add_even(fig, ticked, n_heads, width)
    ticks = [f"▸ {name}" if head == chosen else name for head, name in enumerate(names)]
    fig.update_xaxes(title_text="share (no unit)", range=[0, 1.18], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat="~g")
    fig.update_yaxes(title_text="head", autorange="reversed", tickvals=list(range(n_heads)), ticktext=ticks)
    return finish(
        fig,
        title="Head by head",
        subtitle=subtitle,
        alt=f"Bars per head. {_told(measures, names)}.",
        height=int(np.clip(200 + 20 * len(measures) * n_heads, 320, 760)),
        **WITH_LEGEND,
    )


def _add_bars(fig: Figure, place: int, name: str, shares: np.ndarray, width: float) -> None:
    colour, pattern = BARS[place]
    heads = np.arange(len(shares))
    fig.add_bar(
        y=heads,
        x=shares,
        offset=place * width - FILLED / 2,
        width=0.9 * width,
        orientation="h",
        name=plain(name),
        customdata=heads,
        marker={"color": colour, "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": "white", "size": 6}},
        hovertemplate="%{x:.3f}<extra>%{fullData.name}</extra>",
    )
    fig.add_scatter(
        x=np.full(len(shares), 1.02),
        y=heads + (place + 0.45) * width - FILLED / 2,
        mode="text",
        text=[_number(share) for share in shares],
        textposition="middle right",
        textfont={"size": 11},
        hoverinfo="skip",
        showlegend=False,
    )


def _add_even(fig: Figure, ticked: Sequence[tuple[int, float]], n_heads: int, width: float) -> None:
    """Add a tick to each head's bar of each measure whose even share is known."""
    places = [(head + (place + 0.45) * width - FILLED / 2, share) for head in range(n_heads) for place, share in ticked]
    y, x = zip(*places, strict=True)
    fig.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name="if even",
        customdata=[head for head in range(n_heads) for _ in ticked],
        marker={"symbol": "line-ns", "size": 16, "line": {"color": MAIN_COLOUR, "width": 3}},
        hovertemplate="%{x:.3f}<extra>if everything were looked at alike</extra>",
    )


def _number(share: float) -> str:
    return f"{share:.2f}" if np.isfinite(share) else "no choice"


def _told(measures: Mapping[str, np.ndarray], names: Sequence[str]) -> str:
    parts = []
    for measure, shares in measures.items():
        told = (f"{head} {_number(share)}" for head, share in zip(names, shares, strict=True))
        parts.append(f"{measure}: {', '.join(told)}")
    return "; ".join(parts)
