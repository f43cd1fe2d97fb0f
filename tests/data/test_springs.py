"""A molecule on springs against what mechanics says of it."""

from __future__ import annotations

import numpy as np
import pytest
from molecules_for_tests import at_rest

from asteroid_nb.data.geometry import angles
from asteroid_nb.data.springs import SPRINGS_EV_PER_ANG2, normal_modes, oscillator
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.metrics.conservation import angular_momentum, linear_momentum
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2


def test_two_atoms_vibrate_with_the_frequency_of_their_spring_and_reduced_mass():
    pair = Trajectory(np.array([[[0.0, 0, 0], [1.1, 0, 0]]]), np.array([6, 1]), 1.0, masses=np.array([12.0, 1.0]))
    frequencies, shapes = normal_modes(pair)
    expected = np.sqrt(SPRINGS_EV_PER_ANG2[0] / EV_PER_AMU_ANG2_PER_FS2 / (12.0 / 13.0))
    np.testing.assert_allclose(frequencies, [expected])
    assert np.abs(shapes[0, :, 1:]).max() < 1e-8


def test_one_mode_is_one_cosine_in_every_coordinate():
    dt_fs, frequencies = 0.7, normal_modes(at_rest())[0]
    moved = oscillator(at_rest(), n_frames=50, dt_fs=dt_fs, modes=[3])
    x = moved.positions - at_rest().positions[0]
    np.testing.assert_allclose(x[2:] + x[:-2], 2 * np.cos(frequencies[3] * dt_fs) * x[1:-1], atol=1e-12)


@pytest.mark.parametrize("modes", [None, [0, 5], [-1]])
def test_every_mode_has_the_energy_kT(modes):
    step_fs, temperature_K = 0.01, 20.0
    moved = oscillator(at_rest(), n_frames=200_000, dt_fs=step_fs, temperature_K=temperature_K, modes=modes)
    velocities = np.diff(moved.positions, axis=0) / step_fs
    kinetic = 0.5 * EV_PER_AMU_ANG2_PER_FS2 * (np.square(velocities).sum(-1) @ moved.masses).mean()
    n_modes = 21 if modes is None else len(modes)
    assert kinetic == pytest.approx(0.5 * n_modes * BOLTZMANN_EV_PER_K * temperature_K, rel=0.03)


def test_nothing_flies_off_or_turns():
    moved = oscillator(at_rest(), n_frames=500, dt_fs=0.1, temperature_K=0.01)
    velocities = np.gradient(moved.positions, 0.1, axis=0)[1:-1]
    size = np.abs(velocities).max() * moved.masses.max()
    assert np.abs(linear_momentum(velocities, moved.masses)).max() < 1e-6 * size
    assert np.abs(angular_momentum(moved.positions[1:-1], velocities, moved.masses)).max() < 1e-2 * size


def test_linear_molecules_have_one_mode_more():
    line = Trajectory(np.array([[[0.0, 0, 0], [1.1, 0, 0], [2.2, 0, 0]]]), np.array([6, 8, 8]), 1.0)
    assert angles(line.positions, np.array([[0, 1, 2]])) == pytest.approx(np.pi)
    assert len(normal_modes(line)[0]) == 2  # springs along a line do not resist bending


def test_seeds_differ_and_repeat():
    first, again, other = (oscillator(at_rest(), n_frames=5, seed=seed).positions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_an_unknown_mode_is_refused():
    with pytest.raises(InvalidTrajectory, match="has 21, counted from 0"):
        oscillator(at_rest(), modes=[21])
