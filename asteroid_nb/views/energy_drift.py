"""Is energy kept: total energy over time, with room for runs that explode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from asteroid_nb.units import FS_PER_PS
from asteroid_nb.views.colour_bar import round_up
from asteroid_nb.views.densities import Curve
from asteroid_nb.views.solver_looks import policy_looks
from asteroid_nb.views.state_frame import framed
from asteroid_nb.views.structure import MOST_POINTS
from asteroid_nb.views.style import number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Scale = Literal["auto", "linear", "symlog", "clip"]

#: How many times farther than the calmest run another may go before one linear axis would flatten it.
FLATTENED = 20.0

#: Energies beyond this, in meV per atom, mean that nothing is left of the molecule.
LOST_MEV = 1e5


class _Run(NamedTuple):
    """One curve: ps, meV per atom off its start, its drift in meV/atom/ps, and when it exploded, if it did."""

    times: np.ndarray
    off: np.ndarray
    drift: float
    gone_ps: float | None


def energy_drift(
    energies: Mapping[str, Curve],
    *,
    drifts: Mapping[str, float] | None = None,
    scale: Scale = "auto",
    clip_meV: float | None = None,
    title: str = "Is the energy kept?",
    subtitle: str = "",
    height: int = 480,
) -> Figure:
    """Draw the change of the total energy since the start, and give the drift of each run in the legend.

    Args:
        energies: per policy times in fs and total energies in meV per atom; where they are no longer finite, or beyond
            any molecule's, the run has exploded.
        drifts: per policy in meV/atom/ps; the slope of a straight line through all that is finite when not given.
        scale: "symlog" is linear about zero and logarithmic beyond; "clip" ends at ``clip_meV``; "auto" is linear
            unless one run would flatten another.
        clip_meV: where a clipped axis ends; else three times what the calmest run needs.
        title: of the figure.
        subtitle: of the figure; says how the axis is scaled when not given.
        height: in pixels.

    Raises:
        ValueError: an unknown scale.
    """
    from plotly.graph_objects import Figure

    if scale not in ("auto", "linear", "symlog", "clip"):
        raise ValueError(f'scale was {scale!r}; choose "auto", "linear", "symlog" or "clip".')
    runs = {name: _run(pair, None if drifts is None else drifts.get(name)) for name, pair in energies.items()}
    sizes = [size for run in runs.values() if (size := _size(run.off)) > 0] or [1.0]
    if scale == "auto":
        scale = "symlog" if max(sizes) > FLATTENED * min(sizes) else "linear"
    linear_meV = round_up(min(sizes) / 3) if scale == "symlog" else None
    limit = (clip_meV or round_up(3 * min(sizes))) if scale == "clip" else None
    fig, looks = Figure(), policy_looks(runs)
    for name, run in runs.items():
        _add_run(fig, name, run, looks[name], linear_meV, limit)
    last_ps = max([float(run.times[-1]) for run in runs.values() if len(run.times)], default=1.0)
    fig.update_xaxes(title_text="time (ps)", range=[-0.01 * last_ps, 1.03 * last_ps])
    fig.update_yaxes(title_text="change of total energy (meV/atom)", **_axis(max(sizes), linear_meV, limit))
    facts = "; ".join(f"{name} {_drift_words(run)}" for name, run in runs.items())
    alt = f"Total energy per atom over {number(last_ps, 'ps')}. Drift in meV/atom/ps: {facts or 'none'}."
    under = subtitle or _scaled(linear_meV, limit)
    place: dict[str, Any] = {"legend_title": {"text": "drift (meV/atom/ps)", "side": "top", "font": {"size": 12}}}
    fig = framed(fig, title=title, subtitle=under, alt=alt, height=height)
    return fig.update_layout(**place)


def _run(pair: Curve, drift: float | None) -> _Run:
    """Return a curve up to where it explodes."""
    times, values = (np.asarray(one, dtype=float) for one in pair)
    off = values - (values[0] if len(values) else 0.0)
    lost = ~(np.abs(off) <= LOST_MEV)
    end = int(lost.argmax()) if lost.any() else len(off)
    kept_ps, kept = times[:end] / FS_PER_PS, off[:end]
    if drift is None:
        drift = float(np.polyfit(kept_ps, kept, 1)[0]) if len(kept) >= 3 else float("nan")
    gone = float(times[end] / FS_PER_PS) if end < len(off) else None
    return _Run(kept_ps, kept, float(drift), gone)


def _size(off: np.ndarray) -> float:
    return float(np.abs(off).max()) if len(off) else 0.0


def _add_run(fig: Figure, name: str, run: _Run, look: Any, linear_meV: float | None, limit: float | None) -> None:
    step = max(1, -(-len(run.times) // MOST_POINTS))
    keep = np.arange(0, len(run.times), step)
    if len(keep) and keep[-1] != len(run.times) - 1:
        keep = np.append(keep, len(run.times) - 1)
    times, off = run.times[keep], run.off[keep]
    drawn = _bent(off, linear_meV)
    common: dict[str, Any] = {"legendgroup": name, "name": plain(f"{name}, {_drift_words(run)}")}
    hover = f"{plain(name)}, %{{x:.4~g}} ps: %{{customdata:.4~g}} meV/atom<extra></extra>"
    line = look.line | {"width": min(look.line["width"], 2)}
    fig.add_scatter(x=[None], y=[None], mode="lines+markers", line=line, marker=look.marker, **common)
    common["showlegend"] = False
    fig.add_scatter(x=times, y=drawn, customdata=off, mode="lines", line=line, hovertemplate=hover, **common)
    if len(times):
        _add_end(fig, run, (times, off, drawn), look, limit, common)


def _add_end(
    fig: Figure, run: _Run, drawn: tuple[np.ndarray, ...], look: Any, limit: float | None, common: dict[str, Any]
) -> None:
    """Mark how a curve ends: with its own marker, where it leaves the figure, or where it explodes."""
    times, off, y_drawn = drawn
    outside = np.flatnonzero(np.abs(off) > limit) if limit is not None else np.array([], dtype=int)
    if outside.size:
        at, y = times[outside[0]], np.sign(off[outside[0]]) * limit  # type: ignore[operator]
        said, symbol = f"leaves the figure at {number(float(at), 'ps')}", "triangle-up" if y > 0 else "triangle-down"
    elif run.gone_ps is not None:
        at, y, said, symbol = times[-1], y_drawn[-1], f"explodes at {number(run.gone_ps, 'ps')}", "x"
    else:
        at, y, said, symbol = times[-1], y_drawn[-1], "end", look.marker["symbol"]
    marker = look.marker | {"symbol": symbol, "size": 12, "color": look.line["color"]}
    fig.add_scatter(x=[at], y=[y], mode="markers", marker=marker, hovertemplate=said, **common)


def _bent(off: np.ndarray, linear_meV: float | None) -> np.ndarray:
    """Return values as a symmetric logarithmic axis places them: decades far from zero, a straight line near it."""
    return off if linear_meV is None else np.sign(off) * np.log10(1 + np.abs(off) / linear_meV)


def _axis(highest: float, linear_meV: float | None, limit: float | None) -> dict[str, Any]:
    if limit is not None:
        return {"range": [-1.05 * limit, 1.05 * limit], "tickformat": "~g"}
    if linear_meV is None:
        return {"tickformat": "~g"}
    n_decades = int(np.ceil(np.log10(max(1.0, highest / linear_meV)))) + 1
    every = -(-n_decades // 5)
    ends = linear_meV * 10.0 ** np.arange(0, n_decades, every)
    values = np.concatenate([-ends[::-1], [0.0], ends])
    return {"tickvals": _bent(values, linear_meV), "ticktext": [_signed(value) for value in values]}


def _scaled(linear_meV: float | None, limit: float | None) -> str:
    if limit is not None:
        return f"cut off at ± {number(limit, 'meV/atom')}: triangles mark where a run leaves"
    return "" if linear_meV is None else f"logarithmic beyond ± {number(linear_meV, 'meV/atom')}"


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _drift_words(run: _Run) -> str:
    if run.gone_ps is not None:
        return f"explodes at {number(run.gone_ps, 'ps')}"
    return f"{run.drift:+.3g}".replace("-", "−") if np.isfinite(run.drift) else "too short for a drift"
