"""What trajectory costs: against how much of it is wanted, and against how far ahead it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.metrics.price import Price
from asteroid_nb.metrics.resampling import Interval
from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.style import TEXT, look, number, plain
from asteroid_nb.views.time_units import time_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Points of a curve, the shortest trajectory drawn, and how far beyond the last crossing the axis goes, as a factor.
N_POINTS, SHORTEST_FS, BEYOND = 121, 100.0, 100.0

#: How many decades of seconds are drawn: what is cheaper still, such as a copy, leaves the figure below.
DECADES = 8

#: The line that others are held against.
RIVAL = {"color": TEXT, "width": 4}

#: Of names, which say how they are meant.
LONGEST_NAME = 60


def price_over_time(prices: Mapping[str, Price], *, rival: str, subtitle: str = "") -> Figure:
    """Draw seconds of computing against the trajectory made with them, both logarithmic, and where each has paid.

    Args:
        prices: by name; what the figure is about comes first.
        rival: the name against which the others are held, such as the simulation's; where it is not among them, because
            nothing is known of it, no crossing is marked.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    others = {name: one for name, one in prices.items() if name != rival and one.once_s > 0 and rival in prices}
    paid = {name: one.earned_back_fs(prices[rival]) for name, one in others.items()}
    crossed = [length for length in paid.values() if 0 < length < np.inf]
    decades = np.ceil(np.log10(BEYOND * max([*crossed, 1e4])))
    lengths = np.logspace(np.log10(SHORTEST_FS), decades, N_POINTS)
    fig, drawn = Figure(), []
    for index, (name, one) in enumerate(prices.items()):
        seconds = np.array([one.seconds(length) for length in lengths])
        if not np.isfinite(seconds).all():
            continue
        drawn.append(seconds)
        line = RIVAL if name == rival else look(max(0, index - 1), main=index == 0).line
        label = plain(name, LONGEST_NAME) + (f": {when_paid(paid[name])}" if name in paid else "")
        hover = [f"{time_words(length)}: {number(s, 's')}" for length, s in zip(lengths, seconds, strict=True)]
        fig.add_scatter(
            x=lengths, y=seconds, mode="lines", name=label, line=line, text=hover, hovertemplate="%{text}",
        )  # fmt: skip
    _mark_crossings(fig, prices, paid)
    ticks = 10.0 ** np.arange(int(np.log10(SHORTEST_FS)), int(decades) + 1)
    fig.update_xaxes(
        title_text="trajectory in all (fs, ps, ns, µs)", type="log", range=[np.log10(SHORTEST_FS), decades],
        tickvals=ticks, ticktext=[time_words(one) for one in ticks],
    )  # fmt: skip
    seconds = np.concatenate(drawn)
    axis = log_axis(seconds[seconds >= 10.0**-DECADES * seconds.max()])
    fig.update_yaxes(title_text="computing (s)", **_powers(axis))
    alt = f"Seconds of computing against the trajectory made. {_told(prices)} {_paid_words(paid, rival)}"
    return framed(fig, title="What trajectory costs", subtitle=subtitle, alt=alt.strip(), height=540)


def _mark_crossings(fig: Figure, prices: Mapping[str, Price], paid: Mapping[str, float]) -> None:
    crossed = {name: length for name, length in paid.items() if 0 < length < np.inf}
    if crossed:
        fig.add_scatter(
            x=list(crossed.values()), y=[prices[name].seconds(length) for name, length in crossed.items()],
            mode="markers", marker={"symbol": "star", "size": 15, "color": TEXT}, name="earned back",
            text=[f"{plain(name, LONGEST_NAME)}: {when_paid(length)}" for name, length in crossed.items()],
            hovertemplate="%{text}",
        )  # fmt: skip


def when_paid(earned_back_fs: float) -> str:
    """Return in words what `Price.earned_back_fs` says.

    >>> when_paid(58_000.0)
    'cheaper from 58 ps on'
    """
    words = {np.inf: "never cheaper", 0.0: "cheaper from the start"}
    return words.get(earned_back_fs, f"cheaper from {time_words(earned_back_fs)} on")


def _told(prices: Mapping[str, Price]) -> str:
    told = [
        f"{name}: {number(one.once_s, 's')} once, then {number(one.per_fs_s, 's')} a fs" for name, one in prices.items()
    ]
    return "; ".join(told) + "."


def _paid_words(paid: Mapping[str, float], rival: str) -> str:
    told = [f"{name} is {when_paid(length)}" for name, length in paid.items()]
    return f"Beside {rival}: {'; '.join(told)}." if told else ""


def right_against_price(
    right_for_fs: Mapping[str, Interval],
    prices: Mapping[str, Price],
    *,
    tolerated_ang: float,
    horizon_fs: float,
    simulation: Price | None = None,
    subtitle: str = "",
) -> Figure:
    """Draw how far ahead each forecaster is right against what a fs of its forecasts takes; the main one comes first.

    Args:
        right_for_fs: by name, as `ErrorTable.right_for_fs` gives it.
        prices: of the same names.
        tolerated_ang: RMSE per coordinate up to which a forecast is called right.
        horizon_fs: the longest lead time looked at, marked.
        simulation: what it takes to make the truth, marked where it is known.
        subtitle: of the figure.
    """
    from plotly.graph_objects import Figure

    fig = Figure()
    for index, (name, lead) in enumerate(right_for_fs.items()):
        drawn = look(max(0, index - 1), main=index == 0)
        colour, seconds = drawn.line["color"], prices[name].per_fs_s
        bars: dict[str, Any] = {"array": [lead.high - lead.value], "arrayminus": [lead.value - lead.low]}
        fig.add_scatter(
            x=[seconds], y=[lead.value], mode="markers", name=plain(name),
            marker={"symbol": drawn.marker["symbol"], "size": 17 if index == 0 else 12, "color": colour},
            error_y={**bars, "symmetric": False, "color": colour, "thickness": 1.5},
            hovertemplate="right for %{y:~g} fs at %{x:.2~g} s a fs",
        )  # fmt: skip
    costs = [prices[name].per_fs_s for name in right_for_fs]
    if simulation is not None:
        costs.append(simulation.per_fs_s)
        fig.add_vline(x=simulation.per_fs_s, line={"color": TEXT, "dash": "dot", "width": 2})
        fig.add_annotation(
            x=np.log10(simulation.per_fs_s), y=1, yref="paper", yanchor="top", xanchor="right", xshift=-4,
            text="the simulation itself", showarrow=False, font={"size": 12, "color": TEXT},
        )  # fmt: skip
    fig.add_hline(y=horizon_fs, line={"color": TEXT, "dash": "dash", "width": 1})
    fig.update_xaxes(title_text="computing for a fs of forecast (s)", **_powers(log_axis(np.array(costs), margin=2.0)))
    fig.update_yaxes(
        title_text=f"lead time with RMSE below {tolerated_ang:g} Å (fs)", range=[-0.03 * horizon_fs, 1.12 * horizon_fs]
    )
    told = [
        f"{name}: {one.value:g} fs at {number(prices[name].per_fs_s, 's')} a fs" for name, one in right_for_fs.items()
    ]
    beside = "" if simulation is None else f" Simulating takes {number(simulation.per_fs_s, 's')} a fs."
    alt = f"How far ahead forecasts err by less than {tolerated_ang:g} Å, and their price. {'; '.join(told)}.{beside}"
    return framed(fig, title="Fast, and right for how long", subtitle=subtitle, alt=alt, height=520)


def _powers(axis: dict[str, Any]) -> dict[str, Any]:
    """Return a logarithmic axis of powers of ten where many are on it."""
    return {**axis, "tickformat": None, "exponentformat": "power"} if axis.get("dtick") == 1 else axis
