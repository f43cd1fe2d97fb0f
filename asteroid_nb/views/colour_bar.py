"""The legend of error colours: HTML, so that it follows the notebook's theme and is read aloud."""

from __future__ import annotations

import math

import numpy as np

from asteroid_nb.views.molecule import ERROR_COLOURS

#: Where the colour bar ends at the latest, Å: an atom off by more than a bond is lost, however far it flew.
LOST_ANG = 2.0


def colours_end(errors_ang: np.ndarray) -> float:
    """Return the upper end of a colour bar that holds nearly all errors, up to `LOST_ANG`."""
    return min(LOST_ANG, round_up(float(np.quantile(errors_ang, 0.98)) if np.size(errors_ang) else 0.0))


def round_up(highest: float) -> float:
    """Return the next of 1, 2, 5 × 10ⁿ: ends of a scale that can be read."""
    if not highest > 0:
        return 0.1
    power = 10.0 ** math.floor(math.log10(highest))
    steps = (factor * power for factor in (1, 2, 5, 10))
    return float(f"{next(step for step in steps if highest <= step * (1 + 1e-9)):.6g}")


def colour_bar(highest: float, *, label: str = "distance from the reference, per atom", unit: str = "Å") -> str:
    """Return HTML: the colours from 0 to ``highest`` with ticks in its unit."""
    ticks = [f"{highest * part:.3g}" for part in (0, 0.25, 0.5, 0.75, 1)]
    ticks[-1] = f"≥ {ticks[-1]} {unit}"
    numbers = "".join(f"<span>{tick}</span>" for tick in ticks)
    return (
        f"<div role='img' aria-label='Colour bar: {label}, 0 to {highest:g} {unit}, grey to dark red' "
        "style='max-width:420px;font-size:12px;line-height:16px;color:var(--jp-ui-font-color1,#333)'>"
        f"<div>{label}</div>"
        f"<div style='height:10px;background:linear-gradient(to right,{','.join(ERROR_COLOURS)})'></div>"
        f"<div style='display:flex;justify-content:space-between'>{numbers}</div></div>"
    )
