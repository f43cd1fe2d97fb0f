"""The error that was found where a forecast said how large it would be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.calibration import CalibrationCurve
from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.style import TEXT, look, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SAID, FOUND = "spread said (Å)", "RMSE per coordinate found (Å)"


def calibration_curves(
    curves: Mapping[str, CalibrationCurve],
    *,
    title: str = "Does it know how wrong it is?",
    subtitle: str = "on the line: as wrong as it said; above: surer than it should be",
) -> Figure:
    """Draw the error found in each bin against the spread said there; the forecaster in question comes first.

    Bins that say or find nothing above zero cannot stand on logarithmic axes: they are left out and counted.

    Args:
        curves: by name.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    fig = Figure()
    shown = {name: _drawable(curve) for name, curve in curves.items()}
    axis = log_axis(np.concatenate([[], *(values for said, found, _ in shown.values() for values in (said, found))]))
    ends = [10**value for value in axis["range"]]
    line = {"color": TEXT, "width": 2, "dash": "dash"}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, name="as wrong as said", hoverinfo="skip")
    for index, (name, (said, found, counts)) in enumerate(shown.items()):
        drawn = look(index, main=index == 0) if index == 0 else look(index - 1)
        fig.add_scatter(
            x=said, y=found, mode="lines+markers", name=plain(name), line=drawn.line, marker=drawn.marker,
            customdata=counts, hovertemplate="said %{x:.3~g} Å, found %{y:.3~g} Å<br>%{customdata} in the bin",
        )  # fmt: skip
    fig.update_xaxes(title_text=SAID, **axis)
    fig.update_yaxes(title_text=FOUND, **axis)
    return framed(fig, title=title, subtitle=subtitle, alt=_in_words(curves))


def _drawable(curve: CalibrationCurve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return said, found and counts of the bins that logarithmic axes can show."""
    kept = np.isfinite(curve.said) & np.isfinite(curve.found) & (curve.said > 0) & (curve.found > 0)
    return curve.said[kept], curve.found[kept], curve.counts[kept]


def _in_words(curves: Mapping[str, CalibrationCurve]) -> str:
    facts = []
    for name, curve in curves.items():
        said, found, counts = _drawable(curve)
        lost = len(curve.said) - len(said)
        without = f"; {lost} bins cannot be shown" if lost else ""
        if not len(said):
            facts.append(f"{name}: no bin can be shown")
            continue
        pairs = f"{number(said[0], 'Å')} said and {number(found[0], 'Å')} found"
        if len(said) > 1:
            pairs += f", to {number(said[-1], 'Å')} said and {number(found[-1], 'Å')} found"
        facts.append(f"{name}: {len(said)} bins of {counts.min()} to {counts.max()}, {pairs}{without}")
    told = ". ".join(facts) or "No curve"
    return f"Error found against spread said, both in Å, with the line where they are equal. {told}."
