"""Does a forecast visit the right structures: reference and forecasts over one another. The reference comes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.spectra import peaks_per_cm
from asteroid_nb.metrics.structure import torsion_density
from asteroid_nb.views.style import TEXT, finish, look, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Curve = tuple[np.ndarray, np.ndarray]


def bond_lengths(lengths: Mapping[str, np.ndarray], *, n_bins: int = 150) -> Figure:
    """Draw how the lengths of all bonds are distributed.

    Args:
        lengths: per trajectory [frames, bonds] Å, the reference first; NaN is left out.
        n_bins: between the shortest and the longest bond of all.
    """
    finite = {name: np.ravel(values)[np.isfinite(np.ravel(values))] for name, values in lengths.items()}
    everything = np.concatenate(list(finite.values()))
    edges = np.linspace(everything.min() - 1e-3, everything.max() + 1e-3, n_bins + 1)
    curves = {
        name: ((edges[:-1] + edges[1:]) / 2, np.histogram(values, edges)[0] / (max(1, len(values)) * np.diff(edges)))
        for name, values in finite.items()
    }
    facts = ", ".join(
        f"{name} {number(values.mean())} ± {number(values.std(), 'Å')}" for name, values in finite.items()
    )
    alt = f"Distribution of bond lengths. Mean and standard deviation: {facts}."
    return _overlay(curves, "Bond lengths", "bond length (Å)", "density (1/Å)", alt, " Å")


def distance_histogram(curves: Mapping[str, Curve]) -> Figure:
    """Draw h(r) as `metrics.structure.distance_histogram` gives it, the reference first."""
    reference = next(iter(curves))
    off = {name: np.abs(h - curves[reference][1]).sum() * (r[1] - r[0]) for name, (r, h) in curves.items()}
    facts = ", ".join(f"{name} {number(value)}" for name, value in off.items() if name != reference)
    alt = f"Distribution of all interatomic distances, h(r). Area between {reference} and {facts or 'nothing'}."
    fig = _overlay(curves, "All interatomic distances", "distance r (Å)", "h(r) (1/Å)", alt, " Å")
    present = np.any([h > 0 for _, h in curves.values()], axis=0)
    if present.any():
        fig.update_xaxes(range=[0, 1.05 * curves[reference][0][present][-1]])
    return fig


def torsions(angles: Mapping[str, np.ndarray], *, title: str = "Torsion", n_bins: int = 100) -> Figure:
    """Draw how one torsion is distributed.

    Args:
        angles: per trajectory [frames] rad, the reference first.
        title: names the torsion.
        n_bins: of a full turn.
    """
    curves = {}
    for name, values in angles.items():
        centres, density = torsion_density(np.reshape(values, (-1, 1)), n_bins=n_bins)
        curves[name] = (np.degrees(centres), density[0] / np.degrees(1))
    facts = ", ".join(f"{name} most often near {x[y.argmax()]:.0f}°" for name, (x, y) in curves.items())
    fig = _overlay(curves, title, "torsion (degrees)", "density (1/degree)", f"Distribution of {title}: {facts}.", "°")
    return fig.update_xaxes(range=[-180, 180], tick0=-180, dtick=60)


def density_of_states(curves: Mapping[str, Curve], *, highest_per_cm: float = 4000.0) -> Figure:
    """Draw vibrational densities of states as `metrics.spectra.density_of_states` gives them, the reference first."""
    cut = {name: (x[x <= highest_per_cm], y[x <= highest_per_cm]) for name, (x, y) in curves.items()}
    facts = "; ".join(
        f"{name} {', '.join(f'{peak:.0f}' for peak in peaks_per_cm(*pair))}" for name, pair in cut.items()
    )
    alt = f"Vibrational density of states. Peaks in 1/cm: {facts}."
    return _overlay(cut, "Vibrational density of states", "wavenumber (1/cm)", "density (cm)", alt, " 1/cm")


def _overlay(curves: Mapping[str, Curve], title: str, x_title: str, y_title: str, alt: str, unit: str) -> Figure:
    from plotly.graph_objects import Figure

    fig = Figure()
    for index, (name, (x, y)) in enumerate(curves.items()):
        line = {"color": TEXT, "width": 4} if index == 0 else look(index - 1, main=True).line | {"width": 2.2}
        if index > 1:
            line = look(index, main=False).line | {"width": 2.2}
        fig.add_scatter(
            x=x, y=y, name=plain(name), mode="lines", line=line, hovertemplate=f"%{{x:.4g}}{unit}: %{{y:.3g}}"
        )
    fig.update_xaxes(title_text=x_title)
    fig.update_yaxes(title_text=y_title, rangemode="tozero", tickformat="~g")
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    return finish(fig, title=title, alt=alt, height=440, legend=legend, showlegend=True)
