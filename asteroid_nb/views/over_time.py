"""One bond or torsion against time, and beside it how often it takes which value. The reference comes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views import densities
from asteroid_nb.views.densities import Curve
from asteroid_nb.views.structure import ABOVE, AT_THE_TOP, line_of, mark_present
from asteroid_nb.views.style import finish, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Points of a curve: more cannot be told apart on a screen.
MOST_POINTS = 1500


def length_over_time(
    series: Mapping[str, Curve], *, title: str, since_fs: float | None = None, subtitle: str = ""
) -> Figure:
    """Draw one bond's length against time, and beside it how it is distributed.

    Args:
        series: per trajectory times in fs and lengths in Å, the reference first; what is not finite is left out.
        title: names the bond.
        since_fs: only what comes after it is counted in the distribution; everything when not given.
        subtitle: of the figure.
    """
    counted = {name: densities.finite(densities.since(pair, since_fs)) for name, pair in series.items()}
    edges = densities.length_edges(next(iter(counted.values()))[:, None], list(counted.values()), None)
    shares = {name: densities.density(values, edges) for name, values in counted.items()}
    facts = ", ".join(densities.mean_and_deviation(name, values, "Å") for name, values in counted.items())
    said = f"{title} over time and its distribution. Mean and standard deviation: {facts}."
    alt = f"{said}{densities.outside(counted, edges)}"
    fig = _beside(series, shares, title, "bond length (Å)", "density (1/Å)", alt, subtitle)
    everything = [densities.finite(values) for _, values in series.values()]
    low, high = densities.length_range(everything[0], everything)
    margin = 0.05 * (high - low)
    return mark_present(fig, since_fs).update_yaxes(range=[low - margin, high + margin])


def torsion_over_time(
    series: Mapping[str, Curve],
    *,
    title: str,
    since_fs: float | None = None,
    n_bins: int | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw one torsion in rad against time, and beside it how it is distributed; arguments as in `length_over_time`."""
    counted = {name: densities.since(pair, since_fs) for name, pair in series.items()}
    n_bins = n_bins or densities.turn_bins(len(next(iter(counted.values()))))
    low = densities.seam([values for _, values in series.values()])
    shares = {name: densities.turns(values, n_bins, low=low) for name, values in counted.items()}
    facts = ", ".join(densities.mostly(name, curve) for name, curve in shares.items())
    alt = f"{title} over time and its distribution: {facts}."
    degrees = {name: (times, (np.degrees(values) - low) % 360 + low) for name, (times, values) in series.items()}
    fig = _beside(degrees, shares, title, "torsion (degrees)", "density (1/degree)", alt, subtitle, turn=360.0)
    return mark_present(fig, since_fs).update_yaxes(range=[low - 5, low + 365], tick0=low, dtick=60)


def _beside(
    series: Mapping[str, Curve],
    shares: Mapping[str, Curve],
    title: str,
    y_title: str,
    density_title: str,
    alt: str,
    subtitle: str,
    *,
    turn: float | None = None,
) -> Figure:
    """Draw values over time and, along the same axis, their densities; a leap over half a turn is no line."""
    from plotly.graph_objects import Figure

    fig = Figure()
    for index, (name, pair) in enumerate(series.items()):
        x, y = _thinned(pair)
        if turn is not None:
            leaps = np.flatnonzero(np.abs(np.diff(y)) > turn / 2) + 1
            x, y = np.insert(x, leaps, x[leaps]), np.insert(y, leaps, np.nan)
        common = {"mode": "lines", "line": line_of(index), "name": plain(name), "legendgroup": str(index)}
        fig.add_scatter(x=x, y=y, hovertemplate="%{x:~g} fs: %{y:.4~g}", **common)
        centres, often = shares[name]
        fig.add_scatter(
            x=often, y=centres, xaxis="x2", showlegend=False, hovertemplate="%{y:.4~g}: %{x:.3~g}", **common
        )
    fig.update_layout(xaxis={"domain": [0, 0.68]}, xaxis2={"domain": [0.73, 1], "anchor": "y"})
    fig.update_xaxes(title_text="time (fs)")
    fig.update_yaxes(title_text=y_title, tickformat="~g")
    finish(fig, title=title, subtitle=subtitle, alt=alt, height=450, legend=ABOVE, showlegend=True, margin={"t": 108})
    return fig.update_layout(
        title=AT_THE_TOP,
        meta={"alt": alt, "time_axes": ["x"]},
        xaxis2={"title": {"text": density_title}, "rangemode": "tozero", "tickformat": "~g", "nticks": 4},
    )


def _thinned(pair: Curve) -> Curve:
    times, values = pair
    step = max(1, -(-len(times) // MOST_POINTS))
    return times[::step], values[::step]
