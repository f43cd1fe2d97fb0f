"""Does a forecast visit the right structures: reference and forecasts over one another. The reference comes first."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.metrics.spectra import peaks_per_cm
from asteroid_nb.metrics.structure import area_between
from asteroid_nb.views import densities
from asteroid_nb.views.densities import Curve
from asteroid_nb.views.style import TEXT, finish, look, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Points of a curve over time: more cannot be told apart on a screen.
MOST_POINTS = 1500

#: Title and subtitle at the top, so that a legend right of the figure's upper edge has a line of its own.
AT_THE_TOP = {"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}}

ABOVE = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}


def bond_lengths(
    lengths: Mapping[str, np.ndarray], *, title: str = "Bond lengths", n_bins: int | None = None, subtitle: str = ""
) -> Figure:
    """Draw how the lengths of all bonds are distributed.

    Args:
        lengths: per trajectory [frames, bonds] Å, the reference first; what is not finite is left out.
        title: of the figure.
        n_bins: of the axis; as many as the reference's frames allow when not given.
        subtitle: of the figure.
    """
    kept = {name: densities.finite(values) for name, values in lengths.items()}
    edges = densities.length_edges(next(iter(lengths.values())), list(kept.values()), n_bins)
    curves = {name: densities.density(values, edges) for name, values in kept.items()}
    facts = ", ".join(densities.mean_and_deviation(name, values, "Å") for name, values in kept.items())
    alt = f"Distribution of bond lengths. Mean and standard deviation: {facts}.{densities.outside(kept, edges)}"
    return _overlay(curves, title, "bond length (Å)", "density (1/Å)", alt, " Å", subtitle)


def distance_histogram(curves: Mapping[str, Curve], *, subtitle: str = "") -> Figure:
    """Draw h(r) as `metrics.structure.distance_histogram` gives it, the reference first."""
    reference = next(iter(curves))
    off = {name: area_between(curve, curves[reference]) for name, curve in curves.items()}
    facts = ", ".join(f"{name} {number(value)}" for name, value in off.items() if name != reference)
    alt = f"Distribution of all interatomic distances, h(r). Area between {reference} and {facts or 'nothing'}."
    fig = _overlay(curves, "All interatomic distances", "distance r (Å)", "h(r) (1/Å)", alt, " Å", subtitle)
    present = np.any([h > 0 for _, h in curves.values()], axis=0)
    if present.any():
        fig.update_xaxes(range=[0, 1.05 * curves[reference][0][present][-1]])
    return fig


def torsions(
    angles: Mapping[str, np.ndarray], *, title: str = "Torsion", n_bins: int = 100, subtitle: str = ""
) -> Figure:
    """Draw how one torsion is distributed.

    Args:
        angles: per trajectory [frames] rad, the reference first.
        title: names the torsion.
        n_bins: of a full turn.
        subtitle: of the figure.
    """
    curves = {name: densities.turns(values, n_bins) for name, values in angles.items()}
    facts = ", ".join(densities.mostly(name, curve) for name, curve in curves.items())
    alt = f"Distribution of {title}: {facts}."
    fig = _overlay(curves, title, "torsion (degrees)", "density (1/degree)", alt, "°", subtitle)
    return fig.update_xaxes(range=[-180, 180], tick0=-180, dtick=60)


def density_of_states(curves: Mapping[str, Curve], *, highest_per_cm: float = 4000.0, subtitle: str = "") -> Figure:
    """Draw vibrational densities of states as `metrics.spectra.density_of_states` gives them, the reference first."""
    cut = {name: (x[x <= highest_per_cm], y[x <= highest_per_cm]) for name, (x, y) in curves.items()}
    alt = f"Vibrational density of states. Peaks in 1/cm: {peaks_in_words(cut)}."
    title = "Vibrational density of states"
    return _overlay(cut, title, "wavenumber (1/cm)", "density (cm)", alt, " 1/cm", subtitle)


def peaks_in_words(curves: Mapping[str, Curve]) -> str:
    """Return the wavenumbers of the peaks of each density of states."""
    peaks = {name: ", ".join(f"{peak:.0f}" for peak in peaks_per_cm(*pair)) for name, pair in curves.items()}
    return "; ".join(f"{name} {found or 'none'}" for name, found in peaks.items())


def temperature(
    temperatures: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]],
    *,
    since_fs: float | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw the temperature of each element against time, one panel each, its mean as a thin line.

    Args:
        temperatures: per trajectory times in fs and, by element, K at these times, the reference first.
        since_fs: only what comes after it is counted in the means; everything when not given.
        subtitle: of the figure.
    """
    from plotly.subplots import make_subplots

    elements = [name for name in next(iter(temperatures.values()))[1] if name != "heavy"]
    fig = make_subplots(len(elements), 1, shared_xaxes=True, vertical_spacing=0.1 / len(elements))
    for row, element in enumerate(elements, start=1):
        for index, (name, (times, found)) in enumerate(temperatures.items()):
            pair = (times, found[element])
            mean = mean_since(pair, since_fs)
            hover = f"{element}, %{{x:~g}} fs: %{{y:.0f}} K"
            common = {"name": plain(name), "legendgroup": str(index), "mode": "lines", "row": row, "col": 1}
            line = line_of(index) | {"width": 1.6 if index else 3}
            x, y = _block_means(pair)
            fig.add_scatter(x=x, y=y, line=line, hovertemplate=hover, showlegend=row == 1, **common)
            span = [max(times[0], times[0] if since_fs is None else since_fs), times[-1]]
            fig.add_scatter(
                x=span, y=[mean] * 2, line=line | {"width": 1}, showlegend=False,
                hovertemplate=f"{element}, mean %{{y:.0f}} K", **common,
            )  # fmt: skip
        fig.update_yaxes(title_text=f"{plain(element)} (K)", rangemode="tozero", row=row, col=1)
    fig.update_xaxes(title_text="time (fs)", row=len(elements), col=1)
    alt = f"Temperature of each element over time. Means: {mean_temperatures(temperatures, since_fs=since_fs)}."
    height = 150 + int(np.clip(420 / len(elements), 110, 300)) * len(elements)
    finish(fig, title="Temperature per element", subtitle=subtitle, alt=alt, height=height, legend=ABOVE)
    axes = ["x", *(f"x{row}" for row in range(2, len(elements) + 1))]
    mark_present(fig, since_fs, axes)
    return fig.update_layout(title=AT_THE_TOP, meta={"alt": alt, "time_axes": axes}, showlegend=True, margin={"t": 108})


def mean_temperatures(
    temperatures: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]], *, since_fs: float | None = None
) -> str:
    """Return the mean temperature of each element in each trajectory, in words; arguments as in `temperature`."""
    elements = next(iter(temperatures.values()))[1]
    parts = []
    for element in elements:
        means = [
            f"{name} {mean_since((times, found[element]), since_fs):.0f} K"
            for name, (times, found) in temperatures.items()
        ]
        parts.append(f"{element}: {', '.join(means)}")
    return "; ".join(parts)


def mean_since(pair: Curve, since_fs: float | None = None) -> float:
    """Return the mean of the finite values after a time, NaN if there are none."""
    values = densities.finite(densities.since(pair, since_fs))
    return float(values.mean()) if values.size else float("nan")


def _block_means(pair: Curve) -> Curve:
    """Return means over so many frames that the points can be told apart; a rest at the end is left out."""
    size = max(1, -(-len(pair[0]) // MOST_POINTS))
    n_blocks = len(pair[0]) // size
    times, values = (np.reshape(one[: n_blocks * size], (n_blocks, size)).mean(axis=1) for one in pair)
    return times, values


def blank(title: str, message: str) -> Figure:
    """Return a message where a figure would be."""
    from plotly.graph_objects import Figure

    fig = Figure()
    lines = [plain(line, 120) for line in textwrap.wrap(message, 80)]
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "top", "align": "left"}
    fig.add_annotation(text="<br>".join(lines), showarrow=False, font={"size": 14, "color": TEXT}, **place)
    finish(fig, title=title, alt=message, height=110 + 22 * len(lines), margin={"t": 60, "b": 20})
    hidden = {"visible": False, "showgrid": False}
    return fig.update_layout(meta={"alt": message, "time_axes": []}, xaxis=hidden, yaxis=hidden)


def line_of(index: int) -> dict[str, Any]:
    """Return how the curve of a trajectory is drawn, the reference's being the first."""
    if index == 0:
        return {"color": TEXT, "width": 4}
    return look(index - 1, main=True).line | {"width": 2.2} if index == 1 else look(index, main=False).line


def mark_present(fig: Figure, since_fs: float | None, axes: Sequence[str] = ("x",)) -> Figure:
    """Part history and forecast on time axes."""
    if since_fs is not None:
        line = {"color": TEXT, "width": 2, "dash": "dot"}
        for axis in axes:
            span = {"x0": since_fs, "x1": since_fs, "y0": 0, "y1": 1, "yref": f"y{axis[1:]} domain"}
            fig.add_shape(type="line", xref=axis, line=line, **span)
    return fig


def _overlay(
    curves: Mapping[str, Curve], title: str, x_title: str, y_title: str, alt: str, unit: str, subtitle: str
) -> Figure:
    from plotly.graph_objects import Figure

    fig = Figure()
    for index, (name, (x, y)) in enumerate(curves.items()):
        fig.add_scatter(
            x=x,
            y=y,
            name=plain(name),
            mode="lines",
            line=line_of(index),
            hovertemplate=f"%{{x:.4~g}}{unit}: %{{y:.3~g}}",
        )
    fig.update_xaxes(title_text=x_title)
    fig.update_yaxes(title_text=y_title, rangemode="tozero", tickformat="~g")
    finish(fig, title=title, subtitle=subtitle, alt=alt, height=450, legend=ABOVE, showlegend=True, margin={"t": 108})
    return fig.update_layout(title=AT_THE_TOP, meta={"alt": alt, "time_axes": []})
