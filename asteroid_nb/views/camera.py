"""Where the camera stands, computed here and not in the browser, so that every pane gets exactly the same view."""

from __future__ import annotations

import numpy as np

#: Camera distance in radii of what is seen. NGL looks through 40 degrees: at 2.75 a ball of that radius fills it.
DISTANCE_IN_RADII = 2.6

#: Å added to the outermost nucleus: its ball.
MARGIN_ANG = 0.6


def orientation(positions: np.ndarray) -> list[float]:
    """Return NGL's column-major 4 × 4 matrix: rotation × camera distance, then minus the centre.

    The longest axis of the first frame lies flat, the shortest points at the eye; all frames fit into the picture.

    Args:
        positions: [frames, atoms, 3] Å.
    """
    positions = np.asarray(positions, dtype=float)
    centre = (positions.reshape(-1, 3).min(0) + positions.reshape(-1, 3).max(0)) / 2
    radius = np.linalg.norm(positions - centre, axis=-1).max() + MARGIN_ANG
    matrix = np.eye(4)
    matrix[:3, :3] = principal_axes(positions[0]) * radius * DISTANCE_IN_RADII
    matrix[:3, 3] = -centre
    return [float(value) for value in matrix.T.ravel()]


def principal_axes(frame: np.ndarray) -> np.ndarray:
    """Return [3, 3], rows are the long, middle and short axis of [atoms, 3]: a rotation, never a mirror."""
    centred = frame - frame.mean(0)
    _, _, axes = np.linalg.svd(np.vstack([centred, np.zeros((3, 3))]), full_matrices=False)
    skewness = ((centred @ axes.T) ** 3).sum(0)
    axes = axes * np.where(skewness < 0, -1.0, 1.0)[:, None]  # the same molecule always comes out the same way round
    return axes * np.array([[1.0], [1.0], [np.sign(np.linalg.det(axes))]])
