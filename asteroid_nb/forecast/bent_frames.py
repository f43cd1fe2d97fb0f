"""Forces from positions alone: the second differences of a path, at the frames that windows cover."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from asteroid_nb.data.windows import MOST_FITTED, Windows
from asteroid_nb.errors import InvalidTrajectory, TrajectoryTooShort
from asteroid_nb.shapes import Float, Int
from asteroid_nb.units import EV_PER_AMU_ANG2_PER_FS2

#: Between frames whose second difference is an acceleration: never more, and as many stored ones apart as make so much.
LONGEST_FS, STEP_FS = 1.5, 1.0


@dataclass(frozen=True, eq=False)
class BentFrames:
    """Structures, and the forces that bent the path there.

    Args:
        positions: [frames, atoms, 3] Å.
        forces: [frames, atoms, 3] eV/Å, mass times the second difference of neighbouring frames.
        momenta: [frames, atoms, 3], all of one frame together of length 1: along them a thermostat that scales
            velocities adds to the second difference what no potential knows, so that nothing is learnt along them.
        step_fs: between the frames of a difference. With these forces the Verlet recursion in such steps is exact where
            it is harmonic, and as good as with smaller ones elsewhere (`tests/benchmarks/NOTES.md`).
    """

    positions: Float[np.ndarray, "frames atoms 3"]
    forces: Float[np.ndarray, "frames atoms 3"]
    momenta: Float[np.ndarray, "frames atoms 3"]
    step_fs: float

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, windows: Windows) -> BentFrames:
        """Return the stored frames that windows cover together with both their neighbours, a step before and after.

        Raises:
            InvalidTrajectory: frames are stored more than `LONGEST_FS` apart.
            TrajectoryTooShort: fewer than two such frames.
        """
        step, dt_fs, masses = frames_a_step(windows), windows.trajectories[0].dt_fs, windows.molecule.masses[:, None]
        stretches, parts = _enough(covered(windows, 2 * step + 1), len(masses)), []
        for number in np.unique(windows.starts[:, 0]):
            inner = stretches[stretches[:, 0] == number, 1] + step
            parts.append(_bent(np.asarray(windows.trajectories[number].positions), inner, masses, step, dt_fs))
        arrays = (np.concatenate(of_all).astype(np.float32) for of_all in zip(*parts, strict=True))
        found = cls(*arrays, step_fs=step * dt_fs)
        if len(found) < 2:
            raise TrajectoryTooShort(
                f"Forces need frames with both neighbours, found {len(found)}; needed are two. Use a longer trajectory."
            )
        return found

    @property
    def fingerprint(self) -> str:
        """Return a word that differs where the structures do, and not where machines round otherwise."""
        digest = hashlib.sha256(np.round(self.positions, 4).tobytes())
        return digest.hexdigest()[:16]


def frames_a_step(windows: Windows) -> int:
    """Return how many stored frames make a step: the most that divide a window's stride and last at most `STEP_FS`.

    Raises:
        InvalidTrajectory: frames are stored more than `LONGEST_FS` apart.
    """
    dt_fs, stride = windows.trajectories[0].dt_fs, windows.shape.stride_frames
    if dt_fs > LONGEST_FS:
        raise InvalidTrajectory(
            f"Frames are stored every {dt_fs:g} fs; up to {LONGEST_FS:g} fs a second difference is an acceleration. "
            "Store frames more often."
        )
    return max(n for n in range(1, stride + 1) if stride % n == 0 and (n == 1 or n * dt_fs <= 1.001 * STEP_FS))


def covered(windows: Windows, span: int) -> Int[np.ndarray, "stretches 2"]:
    """Return (trajectory, first frame) of every stretch of so many stored frames that windows cover without a gap."""
    found = []
    for number in np.unique(windows.starts[:, 0]):
        starts = windows.starts[windows.starts[:, 0] == number, 1]
        edges = np.zeros(windows.trajectories[number].n_frames + 1, dtype=np.int64)
        np.add.at(edges, starts, 1)
        np.add.at(edges, starts + windows.shape.span_frames, -1)
        inside = np.cumsum(edges[:-1]) > 0
        so_far = np.concatenate([[0], np.cumsum(inside)])
        first = np.flatnonzero(so_far[span:] - so_far[:-span] == span)
        found.append(np.stack([np.full_like(first, number), first], axis=1))
    return np.concatenate(found)


def _enough(stretches: Int[np.ndarray, "stretches 2"], n_atoms: int) -> Int[np.ndarray, "stretches 2"]:
    """Return as many stretches, spread evenly, as a potential needs."""
    most = max(1024, MOST_FITTED // n_atoms)
    if len(stretches) <= most:
        return stretches
    return stretches[np.linspace(0, len(stretches) - 1, most).round().astype(int)]


def _bent(
    positions: np.ndarray, inner: np.ndarray, masses: np.ndarray, step: int, dt_fs: float
) -> tuple[Float[np.ndarray, "frames atoms 3"], ...]:
    """Return centred structures, forces, and momenta of length 1."""
    before, here, after = (np.asarray(positions[inner + shift], dtype=float) for shift in (-step, 0, step))
    forces = masses * EV_PER_AMU_ANG2_PER_FS2 / (step * dt_fs) ** 2 * (after - 2 * here + before)
    momenta = masses * (after - before)
    momenta /= np.linalg.norm(momenta, axis=(1, 2), keepdims=True).clip(1e-30)
    return here - here.mean(1, keepdims=True), forces, momenta


def across(forces: Tensor, momenta: Tensor) -> Tensor:
    """Return [frames, atoms, 3] without their part along momenta of length 1."""
    return forces - (forces * momenta).sum((1, 2), keepdim=True) * momenta
