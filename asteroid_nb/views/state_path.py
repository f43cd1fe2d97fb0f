"""A path through states over time, with what the removal of recrossings took out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.views.state_frame import framed
from asteroid_nb.views.style import MAIN_COLOUR, PALETTE, plain
from asteroid_nb.views.time_units import time_unit, time_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Corners of a line and marks: more cannot be told apart on a screen.
MOST_POINTS = 1500

#: More labels would overlap.
MOST_LABELS = 20


def state_path(
    times_fs: Sequence[float] | np.ndarray,
    states: Sequence[int] | np.ndarray,
    cleaned: Sequence[int] | np.ndarray | None = None,
    *,
    labels: Sequence[str],
    title: str = "Path through the states",
    subtitle: str = "",
) -> Figure:
    """Draw a path as steps, and mark the frames whose state the removal of recrossings changed.

    Each mark and corner carries its state as ``customdata``, so that a click can be answered.

    Args:
        times_fs: [frames], evenly spaced.
        states: [frames].
        cleaned: [frames] with recrossings removed, −1 where that says nothing; None where nothing was removed.
        labels: one per state.
        title: of the figure.
        subtitle: of the figure; what was thinned is added.

    Raises:
        ValueError: arrays of different length, or states without a label.
    """
    from plotly.graph_objects import Figure

    times, states = np.asarray(times_fs, dtype=float), np.asarray(states, dtype=int)
    clean = states if cleaned is None else np.asarray(cleaned, dtype=int)
    if (
        not times.shape == states.shape == clean.shape
        or not len(states)
        or max(states.max(), clean.max()) >= len(labels)
    ):
        raise ValueError(
            f"Found {times.shape} times, {states.shape} states and {clean.shape} cleaned ones, up to state "
            f"{max(states.max(initial=-1), clean.max(initial=-1))}, for {len(labels)} labels. Give one per frame, and "
            "a label per state."
        )
    unit, fig, notes = time_unit(times), Figure(), [subtitle] if subtitle else []
    if cleaned is not None:
        raw = {"color": "rgba(128,128,128,0.55)", "width": 1}
        notes += _add_steps(fig, times / unit.fs, states, labels, "as it was", raw, unit.name)
    bold = {"color": PALETTE[0], "width": 3}
    name = "path" if cleaned is None else "recrossings removed"
    notes += _add_steps(fig, times / unit.fs, clean, labels, name, bold, unit.name)
    changed = np.flatnonzero((clean != states) & (clean >= 0))
    notes += _add_recrossings(fig, times / unit.fs, states, changed, labels, unit.name)
    step = -(-len(labels) // MOST_LABELS)
    ticks = list(range(0, len(labels), step))
    fig.update_xaxes(title_text=f"time ({unit.name})", tickformat="~g")
    fig.update_yaxes(
        title_text="state", tickvals=ticks, ticktext=[plain(labels[at], 16) for at in ticks],
        range=[-0.5, len(labels) - 0.5],
    )  # fmt: skip
    alt = _in_words(times, states, clean, changed, cleaned is not None)
    height = int(np.clip(190 + 44 * len(labels), 320, 560))
    return framed(fig, title=title, subtitle="; ".join(notes), alt=alt, height=height)


def _add_steps(
    fig: Figure, times: np.ndarray, states: np.ndarray, labels: Sequence[str], name: str, line: Any, unit: str
) -> list[str]:
    """Draw the corners of a path, thinned evenly if there are too many; return what has to be noted."""
    corners = np.flatnonzero(np.diff(states, prepend=states[0] - 1))
    corners = np.union1d(corners, [len(states) - 1])
    notes = []
    if len(corners) > MOST_POINTS:
        step = -(-len(states) // MOST_POINTS)
        corners = np.arange(0, len(states), step)
        notes = [f"{name}: one frame in {step} drawn"]
    here = states[corners]
    fig.add_scatter(
        x=times[corners], y=np.where(here >= 0, here, np.nan), mode="lines", name=name, line={"shape": "hv", **line},
        customdata=here, meta={"states": True}, text=_names(here, labels),
        hovertemplate=f"%{{x:.5~g}} {unit}: %{{text}}",
    )  # fmt: skip
    return notes


def _add_recrossings(
    fig: Figure, times: np.ndarray, states: np.ndarray, changed: np.ndarray, labels: Sequence[str], unit: str
) -> list[str]:
    if not len(changed):
        return []
    step = -(-len(changed) // MOST_POINTS)
    shown = changed[::step]
    fig.add_scatter(
        x=times[shown], y=states[shown], mode="markers", name="recrossing, removed", customdata=states[shown],
        marker={"symbol": "x", "size": 7, "color": MAIN_COLOUR}, meta={"states": True},
        text=_names(states[shown], labels), hovertemplate=f"%{{x:.5~g}} {unit}: %{{text}}, removed",
    )  # fmt: skip
    return [f"one recrossing in {step} marked"] if step > 1 else []


def _names(states: np.ndarray, labels: Sequence[str]) -> list[str]:
    return [plain(labels[state], 26) if state >= 0 else "no state" for state in states]


def _in_words(times: np.ndarray, states: np.ndarray, clean: np.ndarray, changed: np.ndarray, was_cleaned: bool) -> str:
    n_raw, n_clean = (int((np.diff(one) != 0).sum()) for one in (states, clean))
    span = time_words(times[-1] - times[0]) if len(times) > 1 else "one frame"
    text = f"Path through {len(np.unique(states))} states over {span} ({len(states)} frames), {n_raw} changes of state."
    if was_cleaned:
        text += f" Once recrossings are removed {n_clean} are left; {len(changed)} frames got another state."
    return text
