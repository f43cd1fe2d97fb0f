"""What a warm start saves at which time step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.views.solver_looks import policy_looks
from asteroid_nb.views.state_frame import framed
from asteroid_nb.views.style import number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def against_time_step(
    timesteps_fs: Sequence[float],
    evaluations: Mapping[str, Sequence[float]],
    *,
    title: str = "Work against time step",
    subtitle: str = "",
    height: int = 440,
) -> Figure:
    """Draw evaluations in an MD step against the time step, a line for each policy; what is not known is left out.

    Args:
        timesteps_fs: of the integrator.
        evaluations: per policy [time steps].
        title: of the figure.
        subtitle: of the figure.
        height: in pixels.
    """
    from plotly.graph_objects import Figure

    fig, looks = Figure(), policy_looks(evaluations)
    for name, values in evaluations.items():
        fig.add_scatter(
            x=list(timesteps_fs), y=np.asarray(values, dtype=float), name=plain(name), mode="lines+markers",
            line=looks[name].line, marker=looks[name].marker,
            hovertemplate=f"{plain(name)}, %{{x:g}} fs: %{{y:.1f}} evaluations<extra></extra>",
        )  # fmt: skip
    ticks = {"tickvals": list(timesteps_fs), "ticktext": [f"{one:g}" for one in timesteps_fs]}
    fig.update_xaxes(title_text="time step (fs)", type="log", **ticks)
    fig.update_yaxes(title_text="evaluations per MD step", rangemode="tozero")
    facts = "; ".join(
        f"{name} " + ", ".join(_said(step, value) for step, value in zip(timesteps_fs, values, strict=True))
        for name, values in evaluations.items()
    )
    alt = f"Evaluations in an MD step against the time step. {facts or 'Nothing measured'}."
    return framed(fig, title=title, subtitle=subtitle, alt=alt, height=height)


def _said(step: float, value: float) -> str:
    return f"{number(float(value)) if np.isfinite(value) else 'unknown'} at {step:g} fs"
