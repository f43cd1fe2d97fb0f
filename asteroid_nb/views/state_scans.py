"""How a timescale depends on what was chosen: the dwell, the saving interval, the coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.state_frame import framed, hatched, log_axis
from asteroid_nb.views.state_times import EXACT
from asteroid_nb.views.structure import line_of
from asteroid_nb.views.style import MARKERS, PALETTE, TEXT, plain
from asteroid_nb.views.time_units import time_unit, time_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Error beyond which a timescale counts as wrecked.
WRECKED = 0.3

#: Per name or for one curve: where a band begins and ends.
Band = tuple[Any, Any]


def dwell_scan(
    dwell_fs: Sequence[float] | np.ndarray,
    timescales: Mapping[str, Any],
    *,
    exact: Mapping[str, float],
    core_set: Mapping[str, float] | None = None,
    title: str = "What a minimum dwell mends and wrecks",
    subtitle: str = "",
) -> Figure:
    """Draw timescales against the dwell asked for, one panel each, with the exact one and that of a core set as lines.

    Args:
        dwell_fs: [dwells].
        timescales: "t2", "t3", … [dwells] fs each; NaN where there is none.
        exact: per timescale, fs.
        core_set: per timescale, fs, with core sets in place of a dwell.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.subplots import make_subplots

    dwell = np.asarray(dwell_fs, dtype=float)
    across = time_unit(dwell)
    fig = make_subplots(1, len(timescales), horizontal_spacing=0.12)
    for column, (name, found) in enumerate(timescales.items(), start=1):
        levels = {"exact": exact[name], **({} if core_set is None else {"core set": core_set[name]})}
        _add_dwells(fig, dwell / across.fs, np.asarray(found, dtype=float), levels, across.name, column)
        up = time_unit([exact[name]]).name
        fig.update_xaxes(title_text=f"shortest dwell kept ({across.name})", rangemode="tozero", row=1, col=column)
        fig.update_yaxes(title_text=f"{plain(name)} ({up})", rangemode="tozero", row=1, col=column)
    alt = _dwells_in_words(dwell, timescales, exact, core_set)
    under = subtitle or f"shaded: within {WRECKED:.0%} of the exact timescale"
    return framed(fig, title=title, subtitle=under, alt=alt, height=460)


def _add_dwells(
    fig: Figure, dwell: np.ndarray, times: np.ndarray, levels: Mapping[str, float], across: str, column: int
) -> None:
    """Draw one timescale against the dwell, and the known ones as lines."""
    place: dict[str, Any] = {"row": 1, "col": column, "showlegend": column == 1}
    up = time_unit([levels["exact"]])
    fig.add_scatter(
        x=dwell, y=times / up.fs, mode="lines+markers", line=line_of(1), name="minimum dwell",
        marker={"symbol": "square", "size": 8}, hovertemplate=f"dwell %{{x:.4~g}} {across}: %{{y:.4~g}} {up.name}",
        **place,
    )  # fmt: skip
    lines = {"exact": EXACT, "core set": {"color": PALETTE[2], "width": 3, "dash": "dot"}}
    for what, time_fs in levels.items():
        y, said = [time_fs / up.fs] * 2, f"{what} {time_words(time_fs)}"
        ends = [dwell.min(), dwell.max()]
        fig.add_scatter(x=ends, y=y, mode="lines", line=lines[what], name=what, hovertemplate=said, **place)
    low, high = (share * levels["exact"] / up.fs for share in (1 - WRECKED, 1 + WRECKED))
    shade: dict[str, Any] = {"fillcolor": "rgba(128,128,128,0.16)", "line_width": 0, "layer": "below"}
    fig.add_hrect(y0=low, y1=high, row=1, col=column, **shade)  # type: ignore[arg-type]


def _dwells_in_words(
    dwell: np.ndarray,
    timescales: Mapping[str, Any],
    exact: Mapping[str, float],
    core_set: Mapping[str, float] | None,
) -> str:
    parts = []
    for name, found in timescales.items():
        times = np.asarray(found, dtype=float)
        if not np.isfinite(times).any():
            parts.append(f"{name}: no dwell leaves any")
            continue
        best = int(np.nanargmin(np.abs(times / exact[name] - 1)))
        worst = int(np.nanargmax(np.abs(times / exact[name] - 1)))
        cores = "" if core_set is None else f", core set {time_words(core_set[name])}"
        parts.append(
            f"{name}: exact {time_words(exact[name])}{cores}; nearest {time_words(times[best])} at a dwell of "
            f"{time_words(dwell[best])}, furthest {time_words(times[worst])} at {time_words(dwell[worst])}"
        )
    return f"Timescales against the shortest dwell that is kept. {'. '.join(parts)}."


def saving_interval(
    intervals_fs: Sequence[float] | np.ndarray,
    timescales: Mapping[str, Any],
    *,
    exact_fs: float | None = None,
    bands: Mapping[str, Band] | None = None,
    what: str = "t2",
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw a timescale against the saving interval for each partition, both logarithmic, with the exact one as a line.

    Args:
        intervals_fs: [intervals].
        timescales: per partition [intervals] fs; NaN where there is none.
        exact_fs: the exact timescale, where it is known.
        bands: of some partitions, [intervals] fs each, where they begin and end; drawn as bars.
        what: the timescale.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    intervals = np.asarray(intervals_fs, dtype=float)
    found = {name: np.asarray(times, dtype=float) for name, times in timescales.items()}
    everything = np.concatenate([*found.values(), [] if exact_fs is None else [exact_fs]])
    across, up = time_unit(intervals), time_unit(everything)
    fig = Figure()
    for index, (name, times) in enumerate(found.items()):
        fig.add_scatter(
            x=intervals / across.fs, y=times / up.fs, mode="lines+markers", name=plain(name, 26),
            line=line_of(index + 2), marker={"symbol": MARKERS[index % len(MARKERS)], "size": 9},
            error_y=_bars((bands or {}).get(name), times, up.fs),
            hovertemplate=f"interval %{{x:.4~g}} {across.name}: %{{y:.4~g}} {up.name}",
        )  # fmt: skip
    if exact_fs is not None:
        ends = np.array([intervals.min(), intervals.max()]) / across.fs
        name = f"exact, {time_words(exact_fs)}"
        fig.add_scatter(x=ends, y=[exact_fs / up.fs] * 2, mode="lines", line=EXACT, name=name, hovertemplate=name)
    fig.update_xaxes(title_text=f"saving interval ({across.name})", **log_axis(intervals / across.fs))
    fig.update_yaxes(title_text=f"{plain(what)} ({up.name})", **log_axis(everything / up.fs))
    ends_in_words = [
        f"{name} {time_words(times[0])} at {time_words(intervals[0])} and {time_words(times[-1])} at "
        f"{time_words(intervals[-1])}"
        for name, times in found.items()
    ]
    known = "" if exact_fs is None else f" Exact: {time_words(exact_fs)}."
    alt = f"{what} against the saving interval. {'; '.join(ends_in_words)}.{known}"
    heading = title or f"{what} against the saving interval"
    return framed(fig, title=heading, subtitle=subtitle, alt=alt, height=500)


def dimension_bars(
    timescales: Mapping[str, Mapping[str, float]],
    *,
    exact_fs: float | None = None,
    bands: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    what: str = "t2",
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Draw a timescale for each choice of coordinates, a bar for each partition, with the exact one as a line.

    Args:
        timescales: per partition and, in it, per choice of coordinates, fs; choices that a partition lacks stay empty.
        exact_fs: the exact timescale, where it is known.
        bands: as ``timescales``, where a band begins and ends.
        what: the timescale.
        title: of the figure.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    choices = list(dict.fromkeys(choice for found in timescales.values() for choice in found))
    everything = [time for found in timescales.values() for time in found.values()]
    up = time_unit([*everything, *([] if exact_fs is None else [exact_fs])])
    fig, places = Figure(), np.arange(len(choices))
    for index, (name, found) in enumerate(timescales.items()):
        times = np.array([found.get(choice, np.nan) for choice in choices], dtype=float)
        ends = (bands or {}).get(name)
        known = None if ends is None else np.array([ends.get(one, (np.nan, np.nan)) for one in choices])
        pair = None if known is None else (known[:, 0], known[:, 1])
        colour = PALETTE[index % len(PALETTE)]
        fig.add_bar(
            x=places, y=times / up.fs, name=plain(name, 26), marker=hatched(index, colour),
            error_y=_bars(pair, times, up.fs) | {"color": TEXT},
            text=[time_words(time) if np.isfinite(time) and pair is None else "" for time in times],
            textposition="outside",
            hovertemplate=f"%{{y:.4~g}} {up.name}",
        )  # fmt: skip
    if exact_fs is not None:
        words, ends = f"exact, {time_words(exact_fs)}", [-0.5, len(choices) - 0.5]
        fig.add_scatter(x=ends, y=[exact_fs / up.fs] * 2, mode="lines", line=EXACT, name=words, hovertemplate=words)
    fig.update_xaxes(
        title_text="coordinates", tickvals=places, ticktext=[plain(choice, 30) for choice in choices], showgrid=False,
        range=[-0.5, len(choices) - 0.5],
    )  # fmt: skip
    fig.update_yaxes(title_text=f"{plain(what)} ({up.name})", rangemode="tozero", tickformat="~g")
    facts = [
        f"{name}: {', '.join(f'{choice} {time_words(time)}' for choice, time in found.items())}"
        for name, found in timescales.items()
    ]
    exact = "" if exact_fs is None else f" Exact: {time_words(exact_fs)}."
    alt = f"{what} by choice of coordinates. {'; '.join(facts)}.{exact}"
    heading = title or f"{what} by choice of coordinates"
    return framed(fig, title=heading, subtitle=subtitle, alt=alt, height=480)


def _bars(band: Band | None, times: np.ndarray, fs: float) -> dict[str, Any]:
    """Return error bars around times, none where there is no band."""
    if band is None:
        return {}
    low, high = (np.asarray(one, dtype=float) for one in band)
    return {"type": "data", "symmetric": False, "array": (high - times) / fs, "arrayminus": (times - low) / fs}
