"""What physics keeps and a forecast may lose: temperature of every element, momentum, energy."""

import numpy as np

from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.errors import TrajectoryTooShort
from asteroid_nb.shapes import Float, Int
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2, FS_PER_PS, MEV_PER_EV

#: Frames whose rigid motions are taken off together: some kB each.
AT_ONCE = 512


def kinetic_energy_ev(
    velocities: Float[np.ndarray, "frames atoms 3"], masses: Float[np.ndarray, " atoms"]
) -> Float[np.ndarray, " frames"]:
    """Return ½ Σ m v² in eV."""
    squared = np.square(np.asarray(velocities, dtype=float)).sum(axis=-1)
    return 0.5 * EV_PER_AMU_ANG2_PER_FS2 * squared @ np.asarray(masses, dtype=float)


def temperature_K(
    velocities: Float[np.ndarray, "frames atoms 3"],
    masses: Float[np.ndarray, " atoms"],
    *,
    positions: Float[np.ndarray, "frames atoms 3"] | None = None,
) -> Float[np.ndarray, " frames"]:
    """Return the temperature of the internal motion: 2 E_kin / (k f).

    The centre-of-mass velocity is taken off and f = 3 · atoms − 3; given ``positions``, the rigid rotation is taken off
    too and f = 3 · atoms − 6 (−5 if linear). The integrator's constraints are not known here: scale by
    f / (f − constraints).
    """
    everyone = np.ones(len(masses), dtype=bool)
    return _temperature(*_internal(velocities, masses, positions), everyone)


def temperature_per_element_K(
    velocities: Float[np.ndarray, "frames atoms 3"],
    atomic_numbers: Int[np.ndarray, " atoms"],
    masses: Float[np.ndarray, " atoms"],
    *,
    positions: Float[np.ndarray, "frames atoms 3"] | None = None,
) -> dict[str, Float[np.ndarray, " frames"]]:
    """Return the temperature of each element by symbol, and of all but hydrogen as "heavy" where there is hydrogen.

    At equilibrium all agree; a forecast that damps the fast motion cools hydrogen first. Each atom loses as many
    degrees of freedom as its share in the rigid motions (3 m/M when only translation is off), so that light and heavy
    atoms can be compared in a small molecule.
    Give ``positions`` wherever the simulation stops rotation (molecules in vacuum), else heavy atoms look cold.
    """
    motion, freedom = _internal(velocities, masses, positions)
    numbers = np.asarray(atomic_numbers)
    groups = {SYMBOLS[number]: numbers == number for number in np.unique(numbers)}
    if "H" in groups and len(groups) > 1:
        groups["heavy"] = numbers != 1
    return {name: _temperature(motion, freedom, chosen) for name, chosen in groups.items()}


def linear_momentum(
    velocities: Float[np.ndarray, "frames atoms 3"], masses: Float[np.ndarray, " atoms"]
) -> Float[np.ndarray, "frames 3"]:
    """Return Σ m v in amu Å/fs."""
    return np.einsum("fai,a->fi", np.asarray(velocities, dtype=float), masses)


def angular_momentum(
    positions: Float[np.ndarray, "frames atoms 3"],
    velocities: Float[np.ndarray, "frames atoms 3"],
    masses: Float[np.ndarray, " atoms"],
) -> Float[np.ndarray, "frames 3"]:
    """Return Σ m (r − R) × v about the centre of mass R, in amu Å²/fs."""
    return np.einsum("fai,a->fi", np.cross(_centred(positions, masses), velocities), masses)


def energy_drift(total_energies: Float[np.ndarray, " frames"], dt_fs: float, *, n_atoms: int) -> float:
    """Return the slope of a straight line through the total energy (potential + kinetic, eV), in meV per atom and ps.

    Raises:
        TrajectoryTooShort: fewer than 3 frames.
    """
    if len(total_energies) < 3:
        raise TrajectoryTooShort(
            f"A drift needs at least 3 frames, found {len(total_energies)}. Use a longer trajectory."
        )
    times_ps = np.arange(len(total_energies)) * dt_fs / FS_PER_PS
    slope = np.polyfit(times_ps, np.asarray(total_energies, dtype=float) - total_energies[0], 1)[0]
    return float(slope * MEV_PER_EV / n_atoms)


def _centred(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    positions = np.asarray(positions, dtype=float)
    return positions - np.einsum("fai,a->fi", positions, masses)[:, None] / np.sum(masses)


def _internal(
    velocities: np.ndarray, masses: np.ndarray, positions: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mass-weighted velocities less rigid motion [frames, atoms, 3] and degrees of freedom [frames, atoms]."""
    root = np.sqrt(np.asarray(masses, dtype=float))
    parts = []
    for first in range(0, max(len(velocities), 1), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        centred = None if positions is None else _centred(positions[some], masses)
        parts.append(_without_rigid(np.asarray(velocities[some], dtype=float) * root[:, None], root, centred))
    motions, freedoms = zip(*parts, strict=True)
    return np.concatenate(motions), np.concatenate(freedoms)


def _without_rigid(weighted: np.ndarray, root: np.ndarray, centred: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    n_frames, n_atoms, _ = weighted.shape
    rigid = np.broadcast_to(np.eye(3), (n_frames, n_atoms, 3, 3))
    if centred is not None:
        turns = np.cross(np.eye(3), centred[:, :, None])
        rigid = np.concatenate([rigid, np.swapaxes(turns, -1, -2)], axis=-1)
    rigid = (rigid * root[:, None, None]).reshape(n_frames, 3 * n_atoms, -1)
    modes, sizes, _ = np.linalg.svd(rigid, full_matrices=False)
    # A linear molecule has no third rotation, a single atom none: their modes have size zero and take nothing.
    modes = modes * (sizes > 1e-6 * sizes.max(axis=1, keepdims=True))[:, None]
    motion = weighted.reshape(n_frames, -1, 1)
    motion = motion - modes @ (np.swapaxes(modes, 1, 2) @ motion)
    taken = np.square(modes).sum(axis=-1).reshape(n_frames, n_atoms, 3).sum(axis=-1)
    return motion.reshape(n_frames, n_atoms, 3), 3 - taken


def _temperature(motion: np.ndarray, freedom: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    twice_kinetic = EV_PER_AMU_ANG2_PER_FS2 * np.square(motion[:, chosen]).sum(axis=(1, 2))
    return twice_kinetic / (BOLTZMANN_EV_PER_K * freedom[:, chosen].sum(axis=1))
