"""Temperature, momentum and drift against Maxwell, Boltzmann and Newton."""

import numpy as np
import pytest

from asteroid_nb.errors import TrajectoryTooShort
from asteroid_nb.metrics import conservation
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2

NUMBERS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
MASSES = np.array([12.011, 12.011, 15.999, *[1.008] * 6])
N_FRAMES = 4000


@pytest.fixture
def positions():
    return np.random.default_rng(5).normal(size=(N_FRAMES, 9, 3))


@pytest.fixture
def velocities():
    """Maxwell–Boltzmann at 500 K, momentum and rotation included."""
    scale = np.sqrt(BOLTZMANN_EV_PER_K * 500 / (MASSES * EV_PER_AMU_ANG2_PER_FS2))
    return scale[:, None] * np.random.default_rng(6).normal(size=(N_FRAMES, 9, 3))


def test_maxwell_and_boltzmann_read_500_K_with_and_without_rotation(velocities, positions):
    assert conservation.temperature_K(velocities, MASSES).mean() == pytest.approx(500, rel=0.01)
    assert conservation.temperature_K(velocities, MASSES, positions=positions).mean() == pytest.approx(500, rel=0.01)


@pytest.mark.parametrize("with_rotation", [False, True])
def test_every_element_is_equally_warm_after_momentum_is_off(velocities, positions, with_rotation):
    found = conservation.temperature_per_element_K(
        velocities, NUMBERS, MASSES, positions=positions if with_rotation else None
    )
    assert set(found) == {"H", "C", "O", "heavy"}
    for temperature in found.values():
        assert temperature.mean() == pytest.approx(500, rel=0.03)


@pytest.mark.parametrize("with_rotation", [False, True])
def test_how_many_frames_are_taken_together_changes_nothing(velocities, positions, with_rotation, monkeypatch):
    positions = positions if with_rotation else None
    whole = conservation.temperature_per_element_K(velocities, NUMBERS, MASSES, positions=positions)
    monkeypatch.setattr(conservation, "AT_ONCE", 37)
    for name, temperature in conservation.temperature_per_element_K(
        velocities, NUMBERS, MASSES, positions=positions
    ).items():
        assert temperature.shape == (N_FRAMES,)
        np.testing.assert_allclose(temperature, whole[name], rtol=1e-12)


def test_cold_hydrogen_is_seen(velocities):
    velocities[:, 3:] *= np.sqrt(0.5)
    found = conservation.temperature_per_element_K(velocities, NUMBERS, MASSES)
    assert found["H"].mean() == pytest.approx(250, rel=0.05) and found["heavy"].mean() == pytest.approx(500, rel=0.05)


def test_drift_and_rigid_rotation_are_not_heat(velocities, positions):
    warm = conservation.temperature_K(velocities, MASSES, positions=positions)
    moved = velocities + [0.3, -0.1, 0.2] + np.cross([0.01, 0.02, -0.03], positions)
    np.testing.assert_allclose(conservation.temperature_K(moved, MASSES, positions=positions), warm)
    drifted = velocities + [0.3, -0.1, 0.2]
    np.testing.assert_allclose(
        conservation.temperature_K(drifted, MASSES), conservation.temperature_K(velocities, MASSES)
    )


def test_a_diatomic_has_one_degree_of_freedom_left():
    positions = np.array([[[0.0, 0, 0], [0, 0, 1.1]]])
    velocities = np.array([[[0.0, 0, 0.01], [0, 0, -0.01]]])
    masses = np.array([2.0, 2.0])
    kinetic = conservation.kinetic_energy_ev(velocities, masses)
    np.testing.assert_allclose(kinetic, 0.5 * 4 * 1e-4 * EV_PER_AMU_ANG2_PER_FS2)
    found = conservation.temperature_K(velocities, masses, positions=positions)
    np.testing.assert_allclose(found, 2 * kinetic / BOLTZMANN_EV_PER_K)


def test_momenta_of_a_turning_pair():
    positions = np.array([[[1.0, 0, 0], [-1, 0, 0]]]) + 5
    velocities = np.array([[[0.0, 0.1, 0], [0, -0.1, 0]]])
    masses = np.array([3.0, 3.0])
    np.testing.assert_allclose(conservation.linear_momentum(velocities, masses), 0)
    np.testing.assert_allclose(conservation.angular_momentum(positions, velocities, masses), [[0, 0, 0.6]])
    np.testing.assert_allclose(conservation.linear_momentum(velocities + [1, 0, 0], masses), [[6, 0, 0]])
    np.testing.assert_allclose(conservation.angular_momentum(positions, velocities + 1, masses), [[0, 0, 0.6]])


def test_drift_of_a_straight_line():
    energies = -4000 + 0.009 * np.arange(2001) * 0.5 / 1000
    assert conservation.energy_drift(energies, 0.5, n_atoms=9) == pytest.approx(1.0)
    with pytest.raises(TrajectoryTooShort, match="found 2"):
        conservation.energy_drift(energies[:2], 0.5, n_atoms=9)
