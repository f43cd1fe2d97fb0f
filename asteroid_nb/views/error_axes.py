"""How errors are called on axes and in sentences."""

from __future__ import annotations

from typing import Any

AXIS = {
    "rmse": "RMSE per coordinate (Å)",
    "mae": "mean absolute error per coordinate (Å)",
    "ade": "mean distance per atom (Å)",
}
LEAD = "lead time (fs)"

#: In a panel, where the three figures stand beside one another.
PANEL_HEIGHT_PX = 450

#: Where names of any number and length have room.
LEGEND_BELOW = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": 12}}


def title_at_the_top(height_px: int) -> dict[str, Any]:
    """Return where the title stands, which is the same in all figures, whatever else is above the plot."""
    return {"title_y": 1 - 26 / height_px, "title_yanchor": "bottom"}
