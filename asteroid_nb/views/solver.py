"""What one solve does, and what solving takes step after step of a simulation. The cold start comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.shapes import Float
from asteroid_nb.views.solver_looks import policy_looks, tolerance_words
from asteroid_nb.views.state_frame import framed, log_axis
from asteroid_nb.views.style import TEXT, number, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Points of a curve over time: of more, means are drawn.
MOST_POINTS = 300

TOLERANCE = {"color": TEXT, "width": 2, "dash": "longdash"}


def residual_curves(
    curves: Mapping[str, Any],
    *,
    tolerance: float | None = None,
    title: str = "Residual of one solve",
    subtitle: str = "‖f(z) − z‖ / ‖f(z)‖",
    height: int = 420,
) -> Figure:
    """Draw how the residual falls from evaluation to evaluation, the tolerance as a line.

    Args:
        curves: per policy [evaluations] residuals ‖f(z) − z‖ / ‖f(z)‖, or [evaluations, molecules], of which the
            largest counts as it does for the solver; what is not finite or not positive leaves a gap.
        tolerance: at which the solver stopped.
        title: of the figure.
        subtitle: of the figure.
        height: in pixels.
    """
    from plotly.graph_objects import Figure

    drawn = {name: _largest(values) for name, values in curves.items()}
    longest = max([len(values) for values in drawn.values()], default=1) or 1
    fig, looks = Figure(), policy_looks(drawn)
    for name, values in drawn.items():
        fig.add_scatter(
            x=np.arange(1, len(values) + 1), y=values, name=plain(name), mode="lines+markers", line=looks[name].line,
            marker=looks[name].marker, hovertemplate="evaluation %{x}: %{y:.2~e}",
        )  # fmt: skip
    levels = [] if tolerance is None else [tolerance]
    for level in levels:
        words = f"tolerance {tolerance_words(level)}"
        fig.add_scatter(
            x=[0.5, longest + 0.5], y=[level] * 2, mode="lines", line=TOLERANCE, name=words, hoverinfo="skip"
        )
    ticks: dict[str, Any] = {"tick0": 1, "dtick": max(1, -(-longest // 12))}
    fig.update_xaxes(title_text="evaluations of f", range=[0.5, longest + 0.5], **ticks)
    axis = log_axis(np.concatenate([*drawn.values(), levels]), margin=1.5)
    fig.update_yaxes(title_text="residual (no unit)", **axis | _decades(axis["range"]))
    alt = f"Residual against evaluations. {'; '.join(_fall(*pair) for pair in drawn.items()) or 'No solve'}."
    goal = "" if tolerance is None else f" Tolerance {tolerance_words(tolerance)}."
    return framed(fig, title=title, subtitle=subtitle, alt=alt + goal, height=height)


def steps_over_time(
    steps: Mapping[str, Any],
    *,
    timestep_fs: float,
    what: str = "evaluations per MD step",
    title: str = "",
    subtitle: str = "",
    height: int = 400,
) -> Figure:
    """Draw what each MD step takes, and at the right the mean of each policy; many steps are drawn as means of some.

    Args:
        steps: per policy [MD steps] evaluations; a step without an answer is NaN and leaves a gap.
        timestep_fs: between the steps.
        what: is counted.
        title: of the figure.
        subtitle: of the figure; says when means are drawn if not given.
        height: in pixels.
    """
    from plotly.graph_objects import Figure

    counts = {name: np.asarray(values, dtype=float) for name, values in steps.items()}
    longest = max([len(values) for values in counts.values()], default=1)
    size = max(1, -(-longest // MOST_POINTS))
    last_fs, fig, looks = max(longest - 1, 1) * timestep_fs, Figure(), policy_looks(counts)
    for name, values in counts.items():
        times, means = block_means(values, timestep_fs, size)
        common = {"legendgroup": name, "name": plain(f"{name}, mean {_count(values)}")}
        line = looks[name].line | {"width": 1.3}
        fig.add_scatter(
            x=times, y=means, mode="lines", line=line, showlegend=False, hovertemplate="%{x:.5~g} fs: %{y:.3~g}",
            **common,
        )  # fmt: skip
        fig.add_scatter(
            x=[1.03 * last_fs], y=[finite_mean(values)], mode="lines+markers", line=line,
            marker=looks[name].marker | {"size": 12}, hovertemplate="mean %{y:.3g}", **common,
        )  # fmt: skip
    fig.update_xaxes(title_text="time (fs)", range=[-0.01 * last_fs, 1.055 * last_fs])
    fig.update_yaxes(title_text=plain(what), rangemode="tozero", tickformat="~g")
    said = f"each point the mean over {size} steps; " if size > 1 else ""
    alt = f"{what} over {number(last_fs, 'fs')}. {'; '.join(_spread(*pair) for pair in counts.items()) or 'No steps'}."
    under = subtitle or f"{said}markers at the right: means over all"
    heading = title or f"{what[:1].upper()}{what[1:]}"
    fig = framed(fig, title=heading, subtitle=under, alt=alt, height=height)
    return fig.update_layout(meta={"alt": alt, "time_axes": ["x"]})


def block_means(
    values: Float[np.ndarray, " frames"], spacing_fs: float, size: int
) -> tuple[Float[np.ndarray, " blocks"], Float[np.ndarray, " blocks"]]:
    """Return the middle time of every ``size`` frames and the mean of what is finite in them."""
    starts = np.arange(0, len(values), size)
    ends = np.minimum(starts + size, len(values))
    means = np.array([finite_mean(values[start:end]) for start, end in zip(starts, ends, strict=True)])
    return 0.5 * (starts + ends - 1) * spacing_fs, means


def finite_mean(values: Any) -> float:
    """Return the mean of what is finite, NaN if nothing is."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")


def _decades(powers: Sequence[float]) -> dict[str, Any]:
    """Return ticks at powers of ten, written as tolerances are; none of its own where there are too few."""
    inside = np.arange(np.ceil(powers[0]), np.floor(powers[1]) + 1)
    if len(inside) < 2:
        return {"tickformat": ".0e"}
    shown = inside[:: -(-len(inside) // 8)]
    return {"tickvals": 10.0**shown, "ticktext": [tolerance_words(10.0**power) for power in shown]}


def _largest(values: Any) -> np.ndarray:
    """Return [evaluations] of which those that a logarithmic axis cannot hold are NaN."""
    residuals = np.asarray(values, dtype=float)
    residuals = residuals.max(axis=1) if residuals.ndim == 2 else residuals
    return np.where(np.isfinite(residuals) & (residuals > 0), residuals, np.nan)


def _fall(name: str, values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return f"{name}: no residual"
    return f"{name}: from {number(float(known[0]))} to {number(float(known[-1]))} in {len(values)} evaluations"


def _count(values: np.ndarray) -> str:
    mean = finite_mean(values)
    return number(mean) if np.isfinite(mean) else "unknown"


def _spread(name: str, values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return f"{name}: none of {len(values)} steps has an answer"
    lost = len(values) - len(known)
    without = f", {lost} without an answer" if lost else ""
    return f"{name}: mean {_count(values)}, {known.min():g} to {known.max():g}, over {len(values)} steps{without}"
