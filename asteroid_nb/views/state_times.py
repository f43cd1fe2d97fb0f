"""Implied timescales against lag, and whether a Markov model predicts its own future. The reference comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.structure import line_of
from asteroid_nb.views.style import MARKERS, PALETTE, TEXT, plain, translucent
from asteroid_nb.views.time_units import TimeUnit, time_unit, time_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: What is known exactly is a line of its own kind in every figure.
EXACT = {"color": PALETTE[0], "width": 3, "dash": "longdash"}

#: How far beyond all curves an axis goes for the sake of a band, as a factor.
BEYOND = 3.0

#: How far the axis goes below the lowest curve, as a factor: a few percent between curves shall not look like a lot.
ROOM = 2.0


def timescales_against_lag(
    curves: Mapping[str, Any],
    *,
    exact_fs: Sequence[float] = (),
    mode: int = 0,
    plateau_fs: float | None = None,
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw one implied timescale against lag, both logarithmic; below the diagonal nothing can be resolved.

    Args:
        curves: per name ``lags_fs`` [lags], ``timescales_fs`` [lags, modes] with NaN where there is none, and ``low``
            and ``high`` [lags, modes] or None, as `asteroid_nb.states.kinetics.Timescales` has them; the MD first.
        exact_fs: t2, t3, … where they are known.
        mode: 0 for t2, the slowest, 1 for t3, …
        plateau_fs: the lag at which the reference is read.
        title: of the figure; names the timescale when not given.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    lags = np.concatenate([np.asarray(curve.lags_fs, dtype=float) for curve in curves.values()])
    drawn = {name: _column(curve.timescales_fs, mode) for name, curve in curves.items()}
    exact = [float(exact_fs[mode])] if len(exact_fs) > mode else []
    times = np.concatenate([*drawn.values(), exact])
    across, up = time_unit(lags), time_unit(times)
    x_axis = log_axis(lags / across.fs)
    known = times[np.isfinite(times)]
    y_axis = log_axis(np.concatenate([known, _near(curves, times, mode), known / ROOM]) / up.fs, margin=1.2)
    fig = Figure()
    _shade_unresolved(fig, x_axis["range"], y_axis["range"], across, up)
    for index, (name, curve) in enumerate(curves.items()):
        _add_band(fig, curve, mode, index, across, up)
        _add_curve(fig, name, np.asarray(curve.lags_fs), drawn[name], index, across, up)
    for time_fs in exact:
        _add_level(fig, 10 ** np.array(x_axis["range"]), time_fs / up.fs, f"exact, {time_words(time_fs)}")
    _mark_plateau(fig, plateau_fs, across)
    fig.update_xaxes(title_text=f"lag time ({across.name})", **x_axis)
    fig.update_yaxes(title_text=f"t{mode + 2} ({up.name})", **y_axis)
    alt = _describe(curves, drawn, exact, mode, plateau_fs)
    heading = title or f"Implied timescale t{mode + 2} against lag"
    return framed(fig, title=heading, subtitle=subtitle, alt=alt, height=520)


def chapman_kolmogorov_figure(
    times_fs: Sequence[float] | np.ndarray,
    predicted: np.ndarray,
    estimated: np.ndarray,
    *,
    labels: Sequence[str],
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    title: str = "Chapman–Kolmogorov test",
    subtitle: str = "",
) -> Figure:
    """Draw the probability to be in each set again after a time, predicted by the model and counted in the data.

    Args:
        times_fs: [times].
        predicted: [times, sets] powers of the model at its own lag.
        estimated: [times, sets] counted at each time itself; NaN where it could not be.
        labels: one per set.
        low: [times, sets] band of what was counted.
        high: see ``low``.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.subplots import make_subplots

    times, predicted, estimated = (np.asarray(one, dtype=float) for one in (times_fs, predicted, estimated))
    unit, n_sets = time_unit(times), len(labels)
    columns = min(n_sets, 4)
    rows = -(-n_sets // columns)
    names = [plain(label, 26) for label in labels]
    fig = make_subplots(
        rows, columns, shared_yaxes=True, subplot_titles=names, horizontal_spacing=0.03, vertical_spacing=0.3 / rows
    )
    for at in range(n_sets):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        if low is not None and high is not None:
            _add_area(fig, times / unit.fs, np.asarray(low)[:, at], np.asarray(high)[:, at], TEXT, **place)
        _add_set(fig, times, predicted[:, at], estimated[:, at], unit, place)
    off = np.abs(predicted - estimated)
    facts = ", ".join(f"{label} {_largest(off[:, at])}" for at, label in enumerate(labels))
    alt = f"Chapman–Kolmogorov test. Largest difference between predicted and counted probability: {facts}."
    fig.update_annotations(font={"size": 14, "color": TEXT})
    place = {"height": 150 + 230 * rows, "margin": {"t": 100, "b": 40}}
    return framed(fig, title=title, subtitle=subtitle, alt=alt, **place)


def _add_set(
    fig: Figure,
    times: np.ndarray,
    predicted: np.ndarray,
    estimated: np.ndarray,
    unit: TimeUnit,
    place: dict[str, Any],
) -> None:
    first = place["row"] == place["col"] == 1
    shared: dict[str, Any] = {"x": times / unit.fs, "showlegend": first, **place}
    shared["hovertemplate"] = f"%{{x:.3~g}} {unit.name}: %{{y:.3f}}"
    marker = {"symbol": "circle", "size": 8, "color": TEXT}
    fig.add_scatter(y=estimated, name="counted", mode="markers", legendgroup="counted", marker=marker, **shared)
    fig.add_scatter(y=predicted, name="predicted", mode="lines", legendgroup="predicted", line=line_of(1), **shared)
    fig.update_xaxes(title_text=f"time ({unit.name})", rangemode="tozero", **place)
    title = "stays (probability)" if place["col"] == 1 else None
    fig.update_yaxes(range=[0, 1.05], tickformat="~g", title_text=title, **place)


def _largest(off: np.ndarray) -> str:
    return f"{np.nanmax(off):.3f}" if np.isfinite(off).any() else "unknown"


def _column(values: np.ndarray, mode: int) -> np.ndarray:
    """Return one timescale, NaN where there is none."""
    values = np.asarray(values, dtype=float)
    return values[:, mode] if mode < values.shape[1] else np.full(len(values), np.nan)


def _shade_unresolved(
    fig: Figure, x_range: Sequence[float], y_range: Sequence[float], across: TimeUnit, up: TimeUnit
) -> None:
    """Shade where a timescale is shorter than the lag it was read at; ranges are powers of ten."""
    lags = 10 ** np.array(x_range)
    diagonal, floor = lags * across.fs / up.fs, 10 ** y_range[0]
    if floor >= diagonal[1]:
        return
    fig.add_scatter(
        x=lags[[0, 1, 1, 0]], y=[*diagonal, floor, min(floor, diagonal[0])], mode="lines", fill="toself",
        line={"width": 1, "color": TEXT, "dash": "dot"}, fillcolor="rgba(128,128,128,0.22)", hoverinfo="skip",
        name="shorter than the lag: not resolved", legendrank=2000,
    )  # fmt: skip


def _near(curves: Mapping[str, Any], times: np.ndarray, mode: int) -> np.ndarray:
    """Return where bands begin and end, as far as an axis made for the curves should go for them."""
    ends = [_column(end, mode) for curve in curves.values() for end in (curve.low, curve.high) if end is not None]
    known = times[np.isfinite(times)]
    if not ends or not known.size:
        return np.array([])
    return np.clip(np.concatenate(ends), known.min() / BEYOND, known.max() * BEYOND)


def _add_band(fig: Figure, curve: Any, mode: int, index: int, across: TimeUnit, up: TimeUnit) -> None:
    if curve.low is None or curve.high is None:
        return
    low, high = _column(curve.low, mode) / up.fs, _column(curve.high, mode) / up.fs
    _add_area(fig, np.asarray(curve.lags_fs) / across.fs, low, high, line_of(index)["color"], legendgroup=str(index))


def _add_area(fig: Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, **more: Any) -> None:
    known = np.isfinite(low) & np.isfinite(high)
    x, low, high = x[known], low[known], high[known]
    fig.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), mode="lines", line={"width": 0},
        fill="toself", fillcolor=translucent(colour, 0.25), hoverinfo="skip", showlegend=False, **more,
    )  # fmt: skip


def _add_curve(
    fig: Figure, name: str, lags: np.ndarray, times: np.ndarray, index: int, across: TimeUnit, up: TimeUnit
) -> None:
    hover = f"lag %{{x:.4~g}} {across.name}: %{{y:.4~g}} {up.name}"
    symbol = "circle" if index == 0 else MARKERS[index % len(MARKERS)]
    fig.add_scatter(
        x=lags / across.fs, y=times / up.fs, name=plain(name, 26), mode="lines+markers", line=line_of(index),
        marker={"symbol": symbol, "size": 8}, legendgroup=str(index), hovertemplate=hover,
    )  # fmt: skip


def _add_level(fig: Figure, x: np.ndarray, y: float, name: str, **more: Any) -> None:
    """Draw what is known exactly."""
    fig.add_scatter(x=x, y=[y, y], mode="lines", line=EXACT, name=name, hovertemplate=name, **more)


def _mark_plateau(fig: Figure, plateau_fs: float | None, across: TimeUnit) -> None:
    if plateau_fs is None:
        return
    fig.add_vline(x=plateau_fs / across.fs, line={"color": TEXT, "width": 1.5, "dash": "dot"})  # type: ignore[arg-type]
    words = {"text": f"read at {time_words(plateau_fs)}", "font": {"size": 12, "color": TEXT}, "showarrow": False}
    place = {"y": 1, "yref": "paper", "yanchor": "bottom"}
    fig.add_annotation(x=np.log10(plateau_fs / across.fs), **words, **place)


def _describe(
    curves: Mapping[str, Any],
    drawn: Mapping[str, np.ndarray],
    exact: Sequence[float],
    mode: int,
    plateau_fs: float | None,
) -> str:
    parts = []
    for name, curve in curves.items():
        ends = [(curve.lags_fs[at], drawn[name][at]) for at in sorted({0, len(drawn[name]) // 2, len(drawn[name]) - 1})]
        facts = ", ".join(f"{time_words(time)} at lag {time_words(lag)}" for lag, time in ends)
        parts.append(f"{name}: {facts}")
    known = "".join(f" Exact: {time_words(time)}." for time in exact)
    read = "" if plateau_fs is None else f" The reference is read at lag {time_words(plateau_fs)}."
    return f"Implied timescale t{mode + 2} against lag time. {'; '.join(parts)}.{known}{read}"
