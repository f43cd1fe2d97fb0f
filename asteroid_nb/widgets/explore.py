"""The easy door to the attention explorer: a run and a moment in, labelled maps out."""

from __future__ import annotations

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.forecast.rollout import attention, window_at
from asteroid_nb.forecast.run import Run
from asteroid_nb.widgets.attention import AttentionExplorer, AttentionLabels, attention_explorer


def explore_attention(run: Run, trajectory: Trajectory, *, start: int = 0) -> AttentionExplorer:
    """Show who looked at whom while the window beginning at a stored frame was forecast.

    Raises:
        ModelMismatch: the trajectory does not fit the model.
    """
    records = attention(run, window_at(run, trajectory, start))
    return attention_explorer(records, {name: attention_labels(run, trajectory, name) for name in records})


def attention_labels(run: Run, trajectory: Trajectory, name: str) -> AttentionLabels:
    """Return the names along the axes of the record of one layer, such as "decoder.0.transformation"."""
    settings = run.settings
    nodes = [*trajectory.labels, *(f"register {number + 1}" for number in range(settings.registers))]
    present = settings.history - 1
    rows = [_when(run, row - present) for row in settings.rows]
    slots = [_when(run, start - present) for start in settings.context_starts + settings.slot_starts]
    times = rows if name.startswith("encoder") else slots
    if name.endswith("temporal") or (name.endswith("local") and settings.local == "variable"):
        return AttentionLabels(queries=times, keys=times, each=nodes, each_name="atom")
    if name.endswith("transformation"):
        keys = [f"itself at {row}" for row in rows] + [f"{node} now" for node in nodes]
        return AttentionLabels(queries=slots, keys=keys, each=nodes, each_name="atom")
    return AttentionLabels(queries=nodes, keys=nodes, each=times, each_name="time")


def _when(run: Run, frames: int) -> str:
    return f"{frames * run.dt_fs:+g} fs" if frames else "now"
