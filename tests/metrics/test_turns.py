"""How far torsions turn, on a molecule that is turned by hand."""

from __future__ import annotations

import numpy as np
import pytest
from small_molecules import ETHANOL_BONDS, ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.metrics.turns import torsion_turns_deg


def turning(degrees_per_frame: float, n_frames: int = 80) -> Trajectory:
    """Return ethanol whose hydroxyl hydrogen goes round the C–O bond."""
    still = ethanol(1, full=False).positions[0]
    oxygen, axis = still[2], still[2] - still[1]
    axis, arm = axis / np.linalg.norm(axis), still[3] - oxygen
    angle = np.radians(degrees_per_frame * np.arange(n_frames))[:, None]
    along = axis * (arm @ axis)
    turned = along + np.cos(angle) * (arm - along) + np.sin(angle) * np.cross(axis, arm)
    positions = np.tile(still, (n_frames, 1, 1))
    positions[:, 3] = oxygen + turned
    return Trajectory(positions, ethanol(1).atomic_numbers, 1.0, bonds=ETHANOL_BONDS)


def table_of(windows: Windows) -> ErrorTable:
    truth = windows[:].truth.numpy()
    return ErrorTable.of({"x": truth}, truth, dt_fs=1.0, starts=windows.starts[:, 1], walkers=windows.starts[:, 0])


@pytest.mark.parametrize("degrees_per_frame, horizon", [(3.0, 20), (-7.0, 10), (12.0, 30)])
def test_a_steady_turn_is_counted_over_the_horizon_also_beyond_half_a_turn(degrees_per_frame, horizon):
    windows = Windows([turning(degrees_per_frame)], WindowShape(history=4, horizon=horizon)).subset(most=7)
    found = torsion_turns_deg(table_of(windows), windows)
    assert list(found) == ["O1–C2–C1–H4", "C1–C2–O1–H1"] or len(found) == 2
    hydroxyl = next(values for name, values in found.items() if name.endswith("H1"))
    others = next(values for name, values in found.items() if not name.endswith("H1"))
    np.testing.assert_allclose(hydroxyl, abs(degrees_per_frame) * horizon, atol=1e-3)
    np.testing.assert_allclose(others, 0, atol=1e-3)


def test_windows_keep_the_order_of_the_table():
    walkers = [turning(speed) for speed in (1.0, 4.0)]
    windows = Windows(walkers, WindowShape(history=4, horizon=10)).subset(most=9)
    [hydroxyl] = [v for name, v in torsion_turns_deg(table_of(windows), windows).items() if name.endswith("H1")]
    np.testing.assert_allclose(hydroxyl, np.where(windows.starts[:, 0] == 0, 10.0, 40.0), atol=1e-3)


def test_a_rigid_molecule_is_refused():
    water = Trajectory(np.array([[[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]] * 20), np.array([8, 1, 1]), 1.0)
    windows = Windows([water], WindowShape(history=2, horizon=3))
    with pytest.raises(InvalidTrajectory, match="no bond that can turn"):
        torsion_turns_deg(table_of(windows), windows)
