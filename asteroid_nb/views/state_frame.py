"""The frame all figures of states share: title at the top, legend below, and no axis that is the panel's time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.error_axes import LEGEND_BELOW
from asteroid_nb.views.structure import AT_THE_TOP
from asteroid_nb.views.style import finish

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Hatching of bars.
PATTERNS = ("", "/", "x", "-", "+", ".", "\\", "|")


def framed(fig: Figure, *, title: str, subtitle: str, alt: str, height: int = 480, **layout: Any) -> Figure:
    """Finish a figure of states; arguments as in `asteroid_nb.views.style.finish`."""
    common = {"legend": LEGEND_BELOW, "margin": {"t": 84, "b": 30}, "hovermode": "closest", "showlegend": True}
    finish(fig, title=title, subtitle=subtitle, alt=alt, height=height, **{**common, **layout})
    return fig.update_layout(title=AT_THE_TOP, meta={"alt": alt, "time_axes": []})


def log_axis(values: np.ndarray, *, margin: float | None = None) -> dict[str, Any]:
    """Return a logarithmic axis around all values that can stand on it, with ticks that do not overlap.

    Args:
        values: in the axis's unit.
        margin: factor left free at either end; grows with the span when not given.
    """
    known = np.ravel(values)
    known = known[np.isfinite(known) & (known > 0)]
    low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 10.0)
    free = margin or max(1.15, (high / low) ** 0.04)
    decades = np.log10(high / low * free**2)
    ticks = {"dtick": 1 if decades > 3.5 else "D2"} if decades > 0.7 else {}
    return {"type": "log", "tickformat": "~g", "range": [np.log10(low / free), np.log10(high * free)], **ticks}


def hatched(index: int, colour: str) -> dict[str, Any]:
    """Return how the bars of one group are filled, told apart without colour too."""
    pattern = {"shape": PATTERNS[index % len(PATTERNS)], "fillmode": "overlay", "fgcolor": "#FFFFFF", "size": 8}
    return {"color": colour, "pattern": {**pattern, "solidity": 0.25}}
