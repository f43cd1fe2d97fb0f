"""Where two torsions like to be: free-energy maps of several trajectories side by side, on one scale of colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.units import BOLTZMANN_EV_PER_K
from asteroid_nb.views.state_frame import framed
from asteroid_nb.views.style import SEQUENTIAL, TEXT, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Bins of a full turn for many frames and for few, and how many frames are many.
FINE, COARSE, MANY_FRAMES = 72, 36, 20_000

#: Panels in a row.
MOST_COLUMNS = 4

#: Bins on either side that have a say where a boundary runs: single frames of rare bins would fray it.
AROUND = 1

#: Boundaries between states: white, with a dark rim on either side, seen on every colour of the scale.
RIM, LINE = {"color": "#222222", "width": 3.5}, {"color": "#FFFFFF", "width": 1.6}


def ramachandran(
    panels: Mapping[str, np.ndarray],
    *,
    temperature_K: float | None = None,
    states: Mapping[str, np.ndarray] | None = None,
    labels: Sequence[str] = (),
    names: tuple[str, str] = ("φ", "ψ"),
    n_bins: int | None = None,
    title: str = "Ramachandran maps",
    subtitle: str = "",
) -> Figure:
    """Draw −kT ln of the density of two torsions, a panel for each trajectory, the reference first.

    All panels share their zero, the deepest point of the first: one colour is one density everywhere. Bins never
    visited stay empty. Each bin carries, as ``customdata``, the state most of its frames are in.

    Args:
        panels: per name [frames, 2] rad.
        temperature_K: energies are in eV then, in kT when not given.
        states: per name [frames], −1 for none; their boundaries are drawn, and their names from ``labels``.
        labels: one per state.
        names: of the two torsions.
        n_bins: of a full turn; as many as the frames allow when not given.
        title: of the figure.
        subtitle: of the figure; says where zero is when not given.

    Raises:
        ValueError: no panel, other shapes, a temperature that is not positive.
    """
    from plotly.subplots import make_subplots

    _check(panels, states, temperature_K)
    bins = n_bins or (FINE if min(map(len, panels.values())) >= MANY_FRAMES else COARSE)
    kT = 1.0 if temperature_K is None else BOLTZMANN_EV_PER_K * temperature_K
    unit = "kT" if temperature_K is None else "eV"
    densities = {name: _density(angles, bins) for name, angles in panels.items()}
    most = next(iter(densities.values())).max()
    columns = min(len(panels), MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    fig = make_subplots(
        rows, columns, subplot_titles=[plain(name, 26) for name in panels],
        horizontal_spacing=0.02, vertical_spacing=0.2 / rows,
    )  # fmt: skip
    fig.update_annotations(font={"size": 14, "color": TEXT})
    for at, (name, density) in enumerate(densities.items()):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        with np.errstate(divide="ignore"):
            energy = np.where(density > 0, -kT * np.log(density / most), np.nan)
        found = (panels[name], (states or {}).get(name), bins, len(labels))
        where, around = _states_of_bins(*found), _states_of_bins(*found, around=AROUND)
        _add_map(fig, energy, where, around, labels, names, unit, place)
    _draw_axes(fig, names, columns, len(panels))
    bar = {"title": {"text": unit, "font": {"size": 13}}, "thickness": 12, "xpad": 6, "tickformat": "~g"}
    alt = _in_words(densities, kT, unit, names, most)
    under = subtitle or f"free energy in {unit}, zero at the deepest point of {next(iter(panels))}"
    colours = {"colorscale": SEQUENTIAL, "colorbar": bar, "cmin": 0, "cmax": _highest(densities, kT, most)}
    place = {"height": 110 + 330 * rows, "margin": {"t": 96, "b": 56}, "showlegend": False, "coloraxis": colours}
    return framed(fig, title=title, subtitle=under, alt=alt, **place)


def _draw_axes(fig: Figure, names: tuple[str, str], columns: int, n_panels: int) -> None:
    """Let both axes of all panels go once round, as long as they are high."""
    turn = {"range": [-180, 180], "showgrid": False, "constrain": "domain"}
    fig.update_xaxes(title_text=f"{plain(names[0])} (degrees)", tickvals=[-120, 0, 120], **turn)
    fig.update_yaxes(tickvals=[-180, -90, 0, 90, 180], **turn)
    for at in range(n_panels):
        axis = str(at + 1) if at else ""
        first = at % columns == 0
        title = {"text": f"{plain(names[1])} (degrees)"} if first else {}
        # Axes that "match" one another would come out in different sizes.
        own = {"scaleanchor": f"x{axis}", "title": title, "showticklabels": first}
        fig.update_layout({f"yaxis{axis}": own})


def _check(
    panels: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray] | None, temperature_K: float | None
) -> None:
    if not panels or any(np.ndim(one) != 2 or np.shape(one)[1] != 2 or not len(one) for one in panels.values()):
        shapes = {name: np.shape(one) for name, one in panels.items()}
        raise ValueError(f"Torsions were {shapes}; needed is [frames, 2] rad for one trajectory at least.")
    for name, found in (states or {}).items():
        if name in panels and len(found) != len(panels[name]):
            raise ValueError(f"{name!r} has {len(panels[name])} frames and {len(found)} states. Give one per frame.")
    if temperature_K is not None and not temperature_K > 0:
        raise ValueError(f"The temperature was {temperature_K:g} K; it must be positive.")


def _bin_of(angles: np.ndarray, bins: int) -> np.ndarray:
    """Return [frames] bin of both torsions, those of the second in rows."""
    turned = np.floor((np.asarray(angles, dtype=float) + np.pi) / (2 * np.pi) * bins).astype(int) % bins
    return turned[:, 1] * bins + turned[:, 0]


def _density(angles: np.ndarray, bins: int) -> np.ndarray:
    """Return [bins, bins] shares of the frames."""
    return np.bincount(_bin_of(angles, bins), minlength=bins**2).reshape(bins, bins) / len(angles)


def _states_of_bins(
    angles: np.ndarray, states: np.ndarray | None, bins: int, n_labels: int, *, around: int = 0
) -> np.ndarray:
    """Return [bins, bins] the state most frames of a bin are in, or of it and its neighbours; −1 for none."""
    if states is None:
        return np.full((bins, bins), -1, dtype=np.int16)
    states = np.asarray(states, dtype=int)
    n_states = max(n_labels, int(states.max()) + 1, 0) + 1
    counts = np.bincount(_bin_of(angles, bins) * n_states + states + 1, minlength=bins**2 * n_states)
    counts = counts.reshape(bins, bins, n_states)
    for axis in (0, 1):
        counts = np.sum([np.roll(counts, shift, axis) for shift in range(-around, around + 1)], axis=0)
    return (counts.argmax(axis=-1) - 1).astype(np.int16)


def _add_map(
    fig: Figure,
    energy: np.ndarray,
    where: np.ndarray,
    around: np.ndarray,
    labels: Sequence[str],
    names: tuple[str, str],
    unit: str,
    place: dict[str, Any],
) -> None:
    bins = len(energy)
    centres = (np.arange(bins) + 0.5) * 360 / bins - 180
    text = np.array(["", *(plain(label, 26) for label in labels), *[""] * (int(where.max()) + 1)], dtype=object)
    hover = f"{plain(names[0])} %{{x:.0f}}°, {plain(names[1])} %{{y:.0f}}°: %{{z:.3~g}} {unit}"
    # As numbers, because packed ones are four times as long where most bins have no state.
    more = {"text": text[where + 1].tolist(), "customdata": where.tolist()} if (where >= 0).any() else {}
    fig.add_heatmap(
        x=centres, y=centres, z=energy.astype(np.float32), coloraxis="coloraxis", meta={"states": True},
        hovertemplate=hover + ("<br>%{text}" if more else "") + "<extra></extra>", **more, **place,
    )  # fmt: skip
    x, y = _boundaries(around, np.isfinite(energy))
    for line in (RIM, LINE) if len(x) else ():
        fig.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **place)
    for state in np.unique(where[where >= 0]) if labels else ():
        _add_name(fig, centres, where == state, energy, plain(labels[state], 16), place)


def _boundaries(where: np.ndarray, visited: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, in degrees, lines between visited bins of different states."""
    bins = len(where)
    edge = lambda at: at * 360 / bins - 180  # noqa: E731
    row, column = np.nonzero((where[:, 1:] != where[:, :-1]) & visited[:, 1:] & visited[:, :-1])
    gaps = np.full(len(row), np.nan)
    upright = (np.stack([edge(column + 1), edge(column + 1), gaps]), np.stack([edge(row), edge(row + 1), gaps]))
    row, column = np.nonzero((where[1:] != where[:-1]) & visited[1:] & visited[:-1])
    gaps = np.full(len(row), np.nan)
    level = (np.stack([edge(column), edge(column + 1), gaps]), np.stack([edge(row + 1), edge(row + 1), gaps]))
    x, y = (np.concatenate([one.T.ravel(), other.T.ravel()]) for one, other in zip(upright, level, strict=True))
    return x.astype(np.float32), y.astype(np.float32)


def _add_name(
    fig: Figure, centres: np.ndarray, inside: np.ndarray, energy: np.ndarray, name: str, place: dict[str, Any]
) -> None:
    """Write a state's name at its deepest bin."""
    row, column = np.unravel_index(np.nanargmin(np.where(inside & np.isfinite(energy), energy, np.inf)), energy.shape)
    x, y = np.clip([centres[column], centres[row]], -160, 160)
    fig.add_annotation(
        x=x, y=y, text=name, showarrow=False, font={"size": 13, "color": "#111111"}, bgcolor="rgba(255,255,255,0.75)",
        borderpad=2, **place,
    )  # fmt: skip


def _highest(densities: Mapping[str, np.ndarray], kT: float, most: float) -> float:
    least = min(float(density[density > 0].min()) for density in densities.values())
    return kT * float(np.log(most / least)) or kT


def _in_words(densities: Mapping[str, np.ndarray], kT: float, unit: str, names: tuple[str, str], most: float) -> str:
    parts = []
    for name, density in densities.items():
        bins = len(density)
        row, column = np.unravel_index(density.argmax(), density.shape)
        phi, psi = ((at + 0.5) * 360 / bins - 180 for at in (column, row))
        deepest = -kT * np.log(density.max() / most) + 0.0
        parts.append(
            f"{name}: deepest near {names[0]} {phi:.0f}°, {names[1]} {psi:.0f}° ({number(deepest, unit)}), "
            f"{(density > 0).mean():.0%} of the map visited, {density[:, bins // 2 :].sum():.1%} at positive {names[0]}"
        )
    return f"Free energy of {names[0]} and {names[1]}, side by side. {'; '.join(parts)}."
