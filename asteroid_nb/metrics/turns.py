"""How far torsions turn in each window: whether forecasts fail where a molecule changes its shape."""

from __future__ import annotations

import numpy as np

from asteroid_nb.data.bonds import find_torsions
from asteroid_nb.data.geometry import torsions
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.shapes import Float


def torsion_turns_deg(table: ErrorTable, windows: Windows) -> dict[str, Float[np.ndarray, " windows"]]:
    """Return, by the names of its four atoms, how far each rotatable torsion is from the present at most, in degrees.

    Counted over the horizon along the path, so that more than half a turn is more than 180.

    Args:
        table: whose windows are asked about, in its order.
        windows: those it was measured on, or more of them.

    Raises:
        InvalidTrajectory: the molecule has no rotatable bond.
    """
    quadruples = find_torsions(windows.molecule.bonds, windows.molecule.atomic_numbers)
    if not len(quadruples):
        raise InvalidTrajectory(f"{windows.trajectories[0].name!r} has no bond that can turn. Ask another question.")
    starts = np.stack([table.walkers, table.starts], axis=1)
    chosen = Windows(windows.trajectories, windows.shape, starts=starts)
    parts = []
    for window in chosen.batches(1024):
        ahead = np.concatenate([window.history[:, -1:].numpy(), window.truth.numpy()], axis=1)
        angle = np.unwrap(torsions(ahead, quadruples), axis=1)
        parts.append(np.degrees(np.abs(angle - angle[:, :1]).max(axis=1)))
    labels = windows.trajectories[0].labels
    names = ["–".join(labels[atom] for atom in four) for four in quadruples.tolist()]
    return dict(zip(names, np.concatenate(parts).T, strict=True))
