"""How warm-start policies and tolerances are drawn and written: the same in every figure of the solver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.views.structure import line_of
from asteroid_nb.views.style import MAIN_COLOUR, MARKERS, PALETTE, TEXT

#: Colour and marker by what a solve starts from; the cold start is what all others are held against.
GUESSES = {
    "cold": (TEXT, "circle"),
    "previous": (MAIN_COLOUR, "square"),
    "linear": (PALETTE[0], "diamond"),
    "quadratic": (PALETTE[2], "triangle-up"),
    "xl": (PALETTE[3], "star"),
}

#: What follows the name of a policy that keeps secants from one solve to the next.
RECYCLE = "+recycle"


class PolicyLook(NamedTuple):
    """A line's and a marker's look."""

    line: dict[str, Any]
    marker: dict[str, Any]


def policy_looks(names: Iterable[str]) -> dict[str, PolicyLook]:
    """Return a look for each name: known policies always have the same one, other names are told apart by their place.

    Recycling is a dashed line and an open marker in the colour of its guess.
    """
    listed = list(names)
    if all(name.removesuffix(RECYCLE) in GUESSES for name in listed):
        return {name: _known(name) for name in listed}
    symbols = ("circle", *MARKERS)
    return {
        name: PolicyLook(line_of(index), {"symbol": symbols[index % len(symbols)], "size": 9})
        for index, name in enumerate(listed)
    }


def _known(name: str) -> PolicyLook:
    colour, symbol = GUESSES[name.removesuffix(RECYCLE)]
    recycled = name.endswith(RECYCLE)
    line = {"color": colour, "width": 3 if name == "cold" else 2.2, "dash": "dash" if recycled else "solid"}
    marker: dict[str, Any] = {"symbol": f"{symbol}-open" if recycled else symbol, "size": 9, "color": colour}
    return PolicyLook(line, {**marker, "line": {"width": 2 if recycled else 1, "color": colour}})


def tolerance_words(tolerance: float) -> str:
    """Return a tolerance as it is typed.

    >>> tolerance_words(0.001), tolerance_words(2.5e-4)
    ('1e-3', '2.5e-4')
    """
    mantissa, exponent = f"{tolerance:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def tolerance_axis(tolerances: Iterable[float]) -> dict[str, Any]:
    """Return a logarithmic axis with a tick at each tolerance, the loosest on the left."""
    known = np.unique(np.fromiter(tolerances, dtype=float))[::-1]
    powers = np.log10(known)
    margin = 0.06 * float(np.ptp(powers)) or 0.5
    ticks = {"tickvals": known, "ticktext": [tolerance_words(float(one)) for one in known]}
    return {"type": "log", "range": [powers[0] + margin, powers[-1] - margin], **ticks}
