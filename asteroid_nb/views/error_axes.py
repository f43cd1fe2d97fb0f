"""How errors are called on axes and in sentences."""

from __future__ import annotations

AXIS = {
    "rmse": "RMSE per coordinate (Å)",
    "mae": "mean absolute error per coordinate (Å)",
    "ade": "mean distance per atom (Å)",
}
LEAD = "lead time (fs)"
