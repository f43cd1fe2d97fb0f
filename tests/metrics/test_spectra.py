"""Spectra of oscillators whose wavenumbers are known."""

import numpy as np
import pytest

from asteroid_nb.errors import TrajectoryTooShort
from asteroid_nb.metrics import spectra

LIGHT_CM_PER_FS = 2.99792458e-5


def oscillator(*wavenumbers, n_frames=8000, dt_fs=0.5, amplitude_ang=0.1):
    """Return positions [frames, atoms, 3]: one atom per wavenumber, moving along x."""
    times = np.arange(n_frames)[:, None] * dt_fs
    positions = np.zeros((n_frames, len(wavenumbers), 3))
    positions[..., 0] = amplitude_ang * np.cos(2 * np.pi * LIGHT_CM_PER_FS * np.array(wavenumbers) * times)
    return positions


@pytest.mark.parametrize("wavenumber", [440.0, 1733.0, 3021.0])
def test_an_oscillator_peaks_at_its_wavenumber(wavenumber):
    velocities = spectra.finite_difference_velocities(oscillator(wavenumber), 0.5)
    axis, density = spectra.density_of_states(velocities, np.ones(1), 0.5)
    assert spectra.peaks_per_cm(axis, density) == pytest.approx([wavenumber], abs=1.0)


def test_several_modes_are_told_apart_and_the_area_is_one():
    velocities = spectra.finite_difference_velocities(oscillator(500, 1500, 3000), 0.5)
    axis, density = spectra.density_of_states(velocities, np.ones(3), 0.5)
    assert spectra.peaks_per_cm(axis, density, prominence=0.01) == pytest.approx([500, 1500, 3000], abs=2)
    assert np.trapezoid(density, axis) == pytest.approx(1)
    assert (density >= 0).all()


def test_mass_weights_the_motion():
    velocities = np.repeat(np.diff(oscillator(1000, 1000), axis=0), 1, axis=0)
    velocities[:, 1] = np.diff(oscillator(2000), axis=0)[:, 0] / 2
    axis, density = spectra.density_of_states(velocities, np.array([1.0, 12.0]), 0.5)
    height = [density[np.abs(axis - wavenumber).argmin()] for wavenumber in (1000, 2000)]
    assert height[1] / height[0] == pytest.approx(12, rel=0.05)


def test_the_spectrum_is_the_transform_of_the_autocorrelation():
    velocities = np.random.default_rng(0).normal(size=(4000, 2, 3))
    velocities[1:] += 0.8 * velocities[:-1]
    masses = np.array([1.0, 16.0])
    axis, density = spectra.density_of_states(velocities, masses, 1.0, segment_fs=64)
    lags = np.arange(20)
    correlation = spectra.velocity_autocorrelation(velocities, masses)
    from_spectrum = [np.trapezoid(density * np.cos(2 * np.pi * LIGHT_CM_PER_FS * axis * lag), axis) for lag in lags]
    assert correlation[0] == 1
    assert correlation[1] == pytest.approx(0.8 / 1.64, abs=0.03)
    np.testing.assert_allclose(from_spectrum, correlation[:20], atol=0.03)


def test_the_autocorrelation_equals_its_definition():
    velocities, masses = np.random.default_rng(1).normal(size=(9, 2, 3)), np.array([1.0, 3.0])
    direct = [
        np.mean([(masses[:, None] * velocities[t] * velocities[t + lag]).sum() for t in range(9 - lag)])
        for lag in range(9)
    ]
    np.testing.assert_allclose(spectra.velocity_autocorrelation(velocities, masses), np.array(direct) / direct[0])


def test_finite_differences_lie_half_way_between_frames():
    times = np.arange(5) * 2.0
    velocities = spectra.finite_difference_velocities((times**2)[:, None, None] * np.ones((1, 3)), 2.0)
    np.testing.assert_allclose(velocities[:, 0, 0], 2 * (times[:-1] + 1))


def test_too_little_to_look_at_is_said():
    with pytest.raises(TrajectoryTooShort, match="at least 2 frames, found 1"):
        spectra.finite_difference_velocities(np.zeros((1, 2, 3)), 1.0)
    with pytest.raises(TrajectoryTooShort, match="at least 8 frames, found 5"):
        spectra.density_of_states(np.zeros((5, 2, 3)), np.ones(2), 1.0)
