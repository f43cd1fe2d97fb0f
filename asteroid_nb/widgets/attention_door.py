"""The easy door to the attention explorer: a run and a moment in, labelled maps out."""

from __future__ import annotations

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.forecast.run import Run
from asteroid_nb.widgets.attention import AttentionExplorer
from asteroid_nb.widgets.attention_records import record
from asteroid_nb.widgets.compare import Comparison
from asteroid_nb.widgets.parts import replace_former


def explore_attention(
    run: Run, trajectory: Trajectory, *, start: int = 0, comparison: Comparison | None = None, n_windows: int = 1
) -> AttentionExplorer:
    """Show who looked at whom while the window beginning at a stored frame was forecast.

    Args:
        comparison: a panel of the same atoms that follows and is followed, and whose first pane gets the links; without
            it the explorer has a pane of its own.
        n_windows: more than one shows the mean over windows spread evenly from ``start`` to the trajectory's end.

    Raises:
        ModelMismatch, TrajectoryTooShort: the trajectory does not fit the model.
        InvalidSettings: the model has no layer that attends in a forecast.
        InvalidTrajectory: the panel shows other atoms.
    """
    recorded = record(run, trajectory, start=start, n_windows=n_windows)
    explorer = AttentionExplorer(recorded, comparison=comparison)
    replace_former(explorer)
    return explorer
