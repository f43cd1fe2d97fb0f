"""How long chained forecasts stay the molecule they began as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views.style import TEXT, finish, look, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BELOW = {"orientation": "h", "x": 0, "yref": "container", "y": 0.01, "yanchor": "bottom"}


def whole_over_time(
    stable_fs: Mapping[str, np.ndarray], *, length_fs: float, horizon_fs: float | None = None
) -> Figure:
    """Draw the share of chains in which no bond has broken yet against time; what the figure is about comes first.

    Args:
        stable_fs: by name [chains] when the first bond broke, infinite where none did.
        length_fs: how long they were chained.
        horizon_fs: of one forecast, marked: beyond it a forecaster reads its own frames.
    """
    from plotly.graph_objects import Figure

    fig = Figure()
    for index, (name, times) in reversed(list(enumerate(stable_fs.items()))):
        broken = np.sort(np.asarray(times, dtype=float)[np.isfinite(times)])
        x = np.concatenate([[0.0], broken, [length_fs]])
        y = np.concatenate([1 - np.arange(len(broken) + 1) / len(times), [1 - len(broken) / len(times)]])
        drawn = look(max(0, index - 1), main=index == 0)
        fig.add_scatter(
            x=x, y=y, mode="lines", name=plain(name, 26), line={**drawn.line, "shape": "hv"},
            hovertemplate="%{x:~g} fs: %{y:.0%} whole",
        )  # fmt: skip
    if horizon_fs is not None:
        _mark_horizon(fig, horizon_fs)
    fig.update_xaxes(title_text="time since the present (fs)", range=[0, length_fs])
    fig.update_yaxes(title_text="chains without a broken bond (share)", range=[-0.02, 1.05], tickformat=".0%")
    middle = {name: float(np.median(times)) for name, times in stable_fs.items()}
    told = {
        name: number(fs, "fs") if np.isfinite(fs) else f"not within {length_fs:g} fs" for name, fs in middle.items()
    }
    alt = (
        f"Share of chains that are whole over time. Half are broken: {'; '.join(f'{n} {t}' for n, t in told.items())}."
    )
    chains = len(next(iter(stable_fs.values())))
    return finish(
        fig, title="How long chains stay whole", subtitle=f"{chains} starts; a step down is a bond that broke", alt=alt,
        height=440, margin={"b": 110}, hovermode="closest", legend={"traceorder": "reversed", **BELOW},
    )  # fmt: skip


def _mark_horizon(fig: Figure, horizon_fs: float) -> None:
    line = {"color": TEXT, "dash": "dot", "width": 2}
    fig.add_vline(x=horizon_fs, line=line)  # type: ignore[arg-type]
    fig.add_annotation(
        x=horizon_fs, y=0.02, text="first horizon", showarrow=False, xanchor="right", xshift=-4, yanchor="bottom",
        font={"size": 12, "color": TEXT},
    )  # fmt: skip
