"""Positions turned, made whole and measured: superposition, unwrapping, distances, angles, torsions, velocities.

Bonds and what follows from them live in `asteroid_nb.data.bonds`, and can be reached from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asteroid_nb.data.bonds import bond_hops, bonds_of, find_bonds, find_torsions, fractional, make_whole, minimum_image
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, TrajectoryTooShort
from asteroid_nb.shapes import Float, Int

__all__ = [
    "Rigid", "angles", "bond_hops", "bonds_of", "centre", "distances", "find_bonds", "find_torsions", "make_whole",
    "minimum_image", "superpose", "superposition", "torsions", "unwrap", "velocities",
]  # fmt: skip

#: Weight of "do not turn" against the structure: it decides only what a line, a point or a tie leaves open.
STAY_PUT = 1e-12


@dataclass(frozen=True)
class Rigid:
    """A rotation about one point that ends at another: x ↦ R (x − centre_from) + centre_to.

    Args:
        rotation: [..., 3, 3], proper.
        centre_from: [..., 3] Å.
        centre_to: [..., 3] Å.
    """

    rotation: Float[np.ndarray, "*batch 3 3"]
    centre_from: Float[np.ndarray, "*batch 3"]
    centre_to: Float[np.ndarray, "*batch 3"]

    def apply(self, positions: np.ndarray) -> np.ndarray:
        """Return positions moved; they may have frame axes between the batch axes and [atoms, 3].

        One transform then moves a whole window: superpose its first history frame, and apply to all of it.
        """
        positions = np.asarray(positions)
        moved = self._turn(positions - self._spread(self.centre_from, positions), self.rotation)
        return _like(moved + self._spread(self.centre_to, positions), positions)

    def invert(self, positions: np.ndarray) -> np.ndarray:
        """Return positions moved back: the inverse of `apply`."""
        positions = np.asarray(positions)
        back = np.swapaxes(self.rotation, -1, -2)
        moved = self._turn(positions - self._spread(self.centre_to, positions), back)
        return _like(moved + self._spread(self.centre_from, positions), positions)

    def rotate(self, vectors: np.ndarray) -> np.ndarray:
        """Return velocities, forces or box vectors turned, without the shift."""
        vectors = np.asarray(vectors)
        return _like(self._turn(vectors, self.rotation), vectors)

    def _spread(self, centre: np.ndarray, positions: np.ndarray) -> np.ndarray:
        return centre.reshape(centre.shape[:-1] + (1,) * (positions.ndim - centre.ndim) + (3,))

    def _turn(self, vectors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        extra = (1,) * (vectors.ndim - rotation.ndim)
        matrix = rotation.reshape(rotation.shape[:-2] + extra + (3, 3))
        return vectors @ np.swapaxes(matrix, -1, -2)


def _like(computed: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return float64 work in the precision it came in."""
    return computed.astype(given.dtype) if np.issubdtype(given.dtype, np.floating) else computed


def superposition(mobile: np.ndarray, reference: np.ndarray, *, weights: np.ndarray | None = None) -> Rigid:
    """Return the proper rigid motion that brings ``mobile`` closest to ``reference``, for each of a batch.

    Mirror images are never laid on each other. Where the structure leaves the rotation open (one atom, atoms on a
    line), the smallest turn is taken.

    Args:
        mobile: [..., atoms, 3] Å.
        reference: [atoms, 3] or [..., atoms, 3] Å.
        weights: [atoms], for example masses; equal when not given.

    Raises:
        InvalidTrajectory: shapes that do not match, or weights that are negative or all zero.

    Reference:
        Kabsch (1978), doi:10.1107/S0567739478001680.
    """
    mobile, reference = np.asarray(mobile, dtype=float), np.asarray(reference, dtype=float)
    share = _shares(mobile, reference, weights)
    centre_from = np.einsum("a,...ax->...x", share, mobile)
    centre_to = np.einsum("a,...ax->...x", share, reference)
    arms_from, arms_to = mobile - centre_from[..., None, :], reference - centre_to[..., None, :]
    spread = np.einsum("...ax,...ay->...yx", arms_from * share[:, None], arms_to)
    size = np.linalg.norm(spread, axis=(-2, -1))
    left, _, right = np.linalg.svd(spread + (STAY_PUT * size + (size == 0))[..., None, None] * np.eye(3))
    flip = np.ones(left.shape[:-1])
    flip[..., 2] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = (left * flip[..., None, :]) @ right
    return Rigid(rotation, centre_from, np.broadcast_to(centre_to, centre_from.shape))


def _shares(mobile: np.ndarray, reference: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    fits = mobile.shape[-2:] == reference.shape[-2:] and reference.shape in (mobile.shape, mobile.shape[-2:])
    if not (fits and mobile.ndim >= 2 and mobile.shape[-1] == 3 and mobile.shape[-2] > 0):
        raise InvalidTrajectory(
            f"Cannot superpose {mobile.shape} on {reference.shape}; needed is [..., atoms, 3] for both. "
            "Select the same atoms in both."
        )
    share = np.ones(mobile.shape[-2]) if weights is None else np.asarray(weights, dtype=float)
    if share.shape != mobile.shape[-2:-1] or (share < 0).any() or not 0 < share.sum() < np.inf:
        raise InvalidTrajectory(
            f"Weights of shape {share.shape} must be {mobile.shape[-2]} numbers, none negative, not all zero."
        )
    return share / share.sum()


def centre(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory with each frame's centre of mass, and its motion, taken away."""
    share = trajectory.masses / trajectory.masses.sum()
    changes = {}
    for key in ("positions", "velocities"):
        if (array := getattr(trajectory, key)) is not None:
            changes[key] = _like(array - np.einsum("a,fax->fx", share, array, dtype=float)[:, None], array)
    return trajectory.replace(**changes)


def superpose(
    trajectory: Trajectory, reference: Trajectory | np.ndarray | None = None, *, weights: np.ndarray | None = None
) -> Trajectory:
    """Return the trajectory with every frame laid on ``reference``, the first frame when not given.

    Velocities, forces and box vectors turn with their frame. For looking and for measuring shapes only: frame by frame
    this deletes rotation, so never do it to what a model shall forecast; superpose the first history frame there.

    Raises:
        InvalidTrajectory: the reference has other atoms.
    """
    if isinstance(reference, Trajectory):
        if not reference.same_atoms(trajectory):
            raise InvalidTrajectory(
                f"{reference.name!r} holds other atoms than {trajectory.name!r}. Select the same, in the same order."
            )
    laid_on = trajectory if reference is None else reference
    structure = laid_on.positions[0] if isinstance(laid_on, Trajectory) else laid_on
    rigid = superposition(trajectory.positions, structure, weights=weights)
    changes = {"positions": rigid.apply(trajectory.positions)}
    for key in ("velocities", "forces", "cell"):
        if (array := getattr(trajectory, key)) is not None:
            changes[key] = rigid.rotate(array)
    return trajectory.replace(**changes)


def unwrap(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory with jumps across the box taken out and molecules whole in every frame.

    A step is a jump when it is longer than half the box, so frames must be close enough that no atom really moves that
    far. Steps are counted in box vectors of their own frame, which serves constant volume; under constant pressure do
    not read diffusion from it (von Bülow, Bullerjahn & Hummer 2020, doi:10.1063/5.0008316).

    Raises:
        InvalidTrajectory: there is no box, or it is flat.
    """
    if trajectory.cell is None:
        raise InvalidTrajectory(
            f"{trajectory.name!r} has no box, and unwrapping needs one. Load it with its box or set replace(cell=…)."
        )
    cell = np.asarray(trajectory.cell, dtype=float)
    steps = np.diff(fractional(trajectory.positions, cell), axis=0)
    boxes = np.zeros(trajectory.positions.shape)
    boxes[1:] = -np.cumsum(np.round(steps), axis=0)
    first = trajectory.positions[0]
    boxes += make_whole(first, bonds_of(trajectory), cell[0])
    return trajectory.replace(positions=_like(trajectory.positions + boxes @ cell, trajectory.positions))


def distances(
    positions: Float[np.ndarray, "*frames atoms 3"], pairs: Int[np.ndarray, "pairs 2"]
) -> Float[np.ndarray, "*frames pairs"]:
    """Return distances in the unit of the positions."""
    ends = _chosen(positions, pairs, 2)
    return np.linalg.norm(ends[..., 1, :] - ends[..., 0, :], axis=-1)


def angles(
    positions: Float[np.ndarray, "*frames atoms 3"], triples: Int[np.ndarray, "triples 3"]
) -> Float[np.ndarray, "*frames triples"]:
    """Return angles at the middle atoms in radians, 0 to π."""
    ends = _chosen(positions, triples, 3)
    first, second = ends[..., 0, :] - ends[..., 1, :], ends[..., 2, :] - ends[..., 1, :]
    # arctan2 keeps its precision near 0 and π, where arccos loses half of it.
    return np.arctan2(np.linalg.norm(np.cross(first, second), axis=-1), np.sum(first * second, axis=-1))


def torsions(
    positions: Float[np.ndarray, "*frames atoms 3"], quadruples: Int[np.ndarray, "torsions 4"]
) -> Float[np.ndarray, "*frames torsions"]:
    """Return torsions in radians in (−π, π], 0 for cis, positive when the far bond is turned clockwise (IUPAC).

    Reference:
        Blondel & Karplus (1996), doi:10.1002/(SICI)1096-987X(19960715)17:9<1132::AID-JCC5>3.0.CO;2-T.
    """
    ends = _chosen(positions, quadruples, 4)
    first, axis, last = np.moveaxis(np.diff(ends, axis=-2), -2, 0)
    near, far = np.cross(first, axis), np.cross(axis, last)
    sine = np.linalg.norm(axis, axis=-1) * np.sum(first * far, axis=-1)
    turned = np.arctan2(sine, np.sum(near * far, axis=-1))
    return np.where(turned == -np.pi, np.pi, turned)


def _chosen(positions: np.ndarray, tuples: np.ndarray, size: int) -> np.ndarray:
    """Return [..., tuples, size, 3] float64."""
    positions, tuples = np.asarray(positions), np.asarray(tuples, dtype=int).reshape(-1, size)
    if tuples.size and not (0 <= tuples.min() and tuples.max() < positions.shape[-2]):
        raise InvalidTrajectory(
            f"Atom indices run from {tuples.min()} to {tuples.max()}, the positions hold {positions.shape[-2]} atoms. "
            "Count from 0, and use the bonds of the same atoms."
        )
    return positions[..., tuples, :].astype(float)


def velocities(positions: Float[np.ndarray, "*batch frames atoms 3"], *, dt_fs: float) -> np.ndarray:
    """Return velocities in Å/fs by differences: central, one-sided at both ends.

    They are means over 2 dt, so fast bonds look slower than they are: at 1 fs an O–H stretch loses 7 %.

    Raises:
        TrajectoryTooShort: fewer than two frames.
    """
    positions = np.asarray(positions)
    if positions.ndim < 3 or positions.shape[-3] < 2:
        raise TrajectoryTooShort(
            f"Velocities need [frames, atoms, 3] with two frames or more; the positions have shape {positions.shape}. "
            "Use a longer trajectory."
        )
    return np.gradient(positions, dt_fs, axis=-3)
