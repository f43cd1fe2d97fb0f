"""Vibrational density of states: how much motion there is at which wavenumber."""

import numpy as np

from asteroid_nb.errors import TrajectoryTooShort
from asteroid_nb.shapes import Float
from asteroid_nb.units import CM_PER_FS_LIGHT

#: Spectra are interpolated this finely between independent wavenumbers, which puts peaks within a tenth of a bin.
PADDING = 4


def finite_difference_velocities(
    positions: Float[np.ndarray, "frames atoms 3"], dt_fs: float
) -> Float[np.ndarray, "steps atoms 3"]:
    """Return velocities in Å/fs half-way between frames, one fewer than frames.

    A vibration of angular frequency ω keeps sin(ω dt/2)/(ω dt/2) of its amplitude: a C–H stretch 0.99 at 1 fs, 0.70 at
    5 fs.
    """
    if len(positions) < 2:
        raise TrajectoryTooShort(f"Velocities need at least 2 frames, found {len(positions)}. Use a longer trajectory.")
    return np.diff(np.asarray(positions, dtype=float), axis=0) / dt_fs


def velocity_autocorrelation(
    velocities: Float[np.ndarray, "frames atoms 3"], masses: Float[np.ndarray, " atoms"]
) -> Float[np.ndarray, " frames"]:
    """Return Σ m ⟨v(0)·v(t)⟩ by lag, 1 at lag 0; lags near the length rest on few pairs and are noise."""
    weighted = np.asarray(velocities, dtype=float) * np.sqrt(masses)[:, None]
    n_frames = len(weighted)
    power = np.square(np.abs(np.fft.rfft(weighted, n=2 * n_frames, axis=0))).sum(axis=(1, 2))
    correlation = np.fft.irfft(power)[:n_frames] / np.arange(n_frames, 0, -1)
    return correlation / correlation[0]


def density_of_states(
    velocities: Float[np.ndarray, "frames atoms 3"],
    masses: Float[np.ndarray, " atoms"],
    dt_fs: float,
    *,
    segment_fs: float = 2000.0,
) -> tuple[Float[np.ndarray, " wavenumbers"], Float[np.ndarray, " wavenumbers"]]:
    """Return wavenumbers in 1/cm and the density of states in cm, of unit area.

    The mass-weighted power spectrum of the velocities, which is the transform of their autocorrelation
    (Wiener–Khinchin), averaged over half-overlapping Hann segments (Welch 1967, doi:10.1109/TAU.1967.1161901).

    Args:
        velocities: Å/fs, as simulated or from `finite_difference_velocities`.
        masses: amu, as simulated.
        dt_fs: between frames; nothing above 1/(2 dt) can be seen, and what vibrates faster appears folded below it.
        segment_fs: longer ones resolve closer peaks (16.7 1/cm at 2 ps) and average less noise; cut to the trajectory.

    Raises:
        TrajectoryTooShort: fewer than 8 frames.
    """
    from scipy.signal import welch

    if len(velocities) < 8:
        raise TrajectoryTooShort(
            f"A spectrum needs at least 8 frames, found {len(velocities)}. Use a longer trajectory."
        )
    weighted = (np.asarray(velocities, dtype=float) * np.sqrt(masses)[:, None]).reshape(len(velocities), -1)
    n_segment = int(np.clip(round(segment_fs / dt_fs), 8, len(weighted)))
    frequencies, power = welch(weighted, fs=1 / dt_fs, nperseg=n_segment, nfft=PADDING * n_segment, axis=0)
    wavenumbers, total = frequencies / CM_PER_FS_LIGHT, power.sum(axis=1)
    return wavenumbers, total / np.trapezoid(total, wavenumbers)


def peaks_per_cm(
    wavenumbers: Float[np.ndarray, " wavenumbers"],
    density: Float[np.ndarray, " wavenumbers"],
    *,
    prominence: float = 0.05,
) -> Float[np.ndarray, " peaks"]:
    """Return the wavenumbers of the peaks in 1/cm, rising, each at the top of a parabola through its three points.

    Args:
        wavenumbers: evenly spaced.
        density: as `density_of_states` gives it.
        prominence: least height above the surroundings, as a share of the highest peak.
    """
    from scipy.signal import find_peaks

    top, _ = find_peaks(density, prominence=prominence * density.max())
    left, middle, right = density[top - 1], density[top], density[top + 1]
    curvature = left - 2 * middle + right
    shift = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, -1), 0.0)
    return wavenumbers[top] + shift * (wavenumbers[1] - wavenumbers[0])
