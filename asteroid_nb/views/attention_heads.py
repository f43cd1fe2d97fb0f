"""How evenly and how locally each head looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views.attention import LEGEND
from asteroid_nb.views.style import PALETTE, TEXT, finish, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Colour and pattern of the bars of each measure.
BARS = ((PALETTE[0], ""), ("#56B4E9", "/"), ("#8C8C8C", "."))


def head_bars(
    measures: Mapping[str, np.ndarray],
    *,
    even: Mapping[str, float] | None = None,
    chosen: int | None = None,
    heads: Sequence[str] = (),
    subtitle: str = "",
) -> Figure:
    """Draw shares per head as bars that carry their number; a bar's customdata is its head.

    Args:
        measures: at most three, [heads] between 0 and 1 by name, such as the share of the possible entropy; NaN where
            nothing could be chosen.
        even: what a measure would be if all keys were looked at alike, drawn as a line across its bars.
        chosen: a head whose name is marked.
        heads: names, else counted from 1.
        subtitle: below the title.
    """
    from plotly.graph_objects import Figure

    n_heads = len(next(iter(measures.values())))
    names = [plain(head) for head in heads] or [f"head {head + 1}" for head in range(n_heads)]
    fig = Figure()
    for look, (name, shares) in zip(BARS, measures.items(), strict=False):
        _add_bars(fig, look, plain(name), np.asarray(shares, dtype=float))
    for dash, (name, share) in zip(("dash", "dot", "dashdot"), (even or {}).items(), strict=False):
        _add_even(fig, plain(name), share, dash)
    ticks = [f"▸ {name}" if head == chosen else name for head, name in enumerate(names)]
    fig.update_xaxes(title_text="share (no unit)", range=[0, 1.12], tickformat="~g")
    fig.update_yaxes(title_text="head (by number)", autorange="reversed", tickvals=list(range(n_heads)), ticktext=ticks)
    return finish(
        fig,
        title="Head by head",
        subtitle=subtitle,
        alt=f"Bars per head. {_told(measures, names)}.",
        height=int(np.clip(170 + 26 * len(measures) * n_heads, 300, 760)),
        legend={**LEGEND, "traceorder": "normal"},
        bargap=0.3,
        hovermode="closest",
    )


def _add_bars(fig: Figure, look: tuple[str, str], name: str, shares: np.ndarray) -> None:
    colour, pattern = look
    heads = np.arange(len(shares))
    fig.add_bar(
        y=heads,
        x=shares,
        orientation="h",
        name=name,
        customdata=heads,
        text=[f"{share:.2f}" if np.isfinite(share) else "no choice" for share in shares],
        textposition="outside",
        cliponaxis=False,
        marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": "white", "size": 6}},
        hovertemplate="%{x:.3f}<extra>%{fullData.name}</extra>",
    )


def _add_even(fig: Figure, name: str, share: float, dash: str) -> None:
    fig.add_vline(
        x=share,
        line={"color": TEXT, "dash": dash, "width": 2},
        annotation_text=f"{name} if even",
        annotation_font_size=11,
        annotation_position="bottom right" if share < 0.5 else "bottom left",
    )


def _told(measures: Mapping[str, np.ndarray], names: Sequence[str]) -> str:
    parts = []
    for measure, shares in measures.items():
        told = (f"{head} {number(share)}" for head, share in zip(names, shares, strict=True))
        parts.append(f"{measure}: {', '.join(told)}")
    return "; ".join(parts)
