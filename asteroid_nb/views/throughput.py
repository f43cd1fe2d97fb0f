"""How much is done in a second, against how much is asked for together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.style import TEXT, look, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LONGEST_NAME = 60


def rate_over_batch(
    rates: Mapping[str, Mapping[int, float]],
    *,
    quantity: str = "forecast in a second (fs/s)",
    levels: Mapping[str, float] | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw rates against the windows of a batch, both logarithmic; what the figure is about comes first.

    Args:
        rates: by name and number of windows.
        quantity: what is counted, with its unit in brackets.
        levels: rates by name that no batch changes, such as a simulation's.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    fig, levels = Figure(), levels or {}
    for index, (name, curve) in enumerate(rates.items()):
        drawn = look(max(0, index - 1), main=index == 0)
        fig.add_scatter(
            x=list(curve), y=list(curve.values()), mode="lines+markers", name=plain(name, LONGEST_NAME),
            line=drawn.line, marker=drawn.marker, hovertemplate="%{x} windows: %{y:.3~s}",
        )  # fmt: skip
    for name, rate in levels.items():
        fig.add_hline(y=rate, line={"color": TEXT, "dash": "dot", "width": 2})
        fig.add_annotation(
            x=1, xref="paper", xanchor="right", y=np.log10(rate), yanchor="bottom", text=plain(name), showarrow=False,
            font={"size": 12, "color": TEXT},
        )  # fmt: skip
    counts = np.array(sorted({n for curve in rates.values() for n in curve}), dtype=float)
    heights = np.array([*(rate for curve in rates.values() for rate in curve.values()), *levels.values()])
    shown = counts[:: -(-len(counts) // 9)].astype(int)
    ticks = {"tickvals": shown, "ticktext": [f"{n:,}" for n in shown]}
    fig.update_xaxes(title_text="batch (windows)", **{**log_axis(counts), **ticks})
    fig.update_yaxes(title_text=quantity, **{**log_axis(heights), "tickformat": "~s"})
    told = [
        f"{name}: {number(curve[min(curve)])} with {min(curve)}, {number(curve[max(curve)])} with {max(curve)} windows"
        for name, curve in rates.items()
    ]
    told += [f"{name}: {number(rate)}" for name, rate in levels.items()]
    alt = f"Line chart of {quantity} against windows in a batch. {'; '.join(told)}."
    return framed(fig, title="How much is done in a second", subtitle=subtitle, alt=alt, height=500)
