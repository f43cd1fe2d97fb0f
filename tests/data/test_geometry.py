"""Laws of rigid motion, of boxes and of internal coordinates, then molecules known by heart."""

import mdtraj
import numpy as np
import pytest
from small_molecules import ETHANOL_ANG, ETHANOL_NUMBERS, ethanol, rotations

from asteroid_nb.data.geometry import (
    Rigid,
    angles,
    centre,
    distances,
    superpose,
    superposition,
    torsions,
    unwrap,
    velocities,
)
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, TrajectoryTooShort

MIRROR = np.array([1.0, 1.0, -1.0])

#: H–O–O–H with a torsion of +90°: seen along O–O, the far bond is turned clockwise from the near one.
PEROXIDE_PLUS_90 = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.4], [0.0, 1.0, 1.4]])

TRICLINIC = np.array([[10.0, 0.0, 0.0], [3.0, 11.0, 0.0], [-4.0, 2.0, 12.0]])

close = np.testing.assert_allclose


def rmsd(a, b):
    return np.sqrt(np.mean(np.sum((a - b) ** 2, axis=-1), axis=-1))


def moved(structure, n, *, seed=0):
    shift = np.random.default_rng(seed).normal(scale=5.0, size=(n, 1, 3))
    return structure @ rotations(n, seed=seed).swapaxes(1, 2) + shift


class TestSuperposition:
    def test_a_moved_structure_comes_back_exactly(self):
        close(
            superposition(moved(ETHANOL_ANG, 20), ETHANOL_ANG).apply(moved(ETHANOL_ANG, 20)) - ETHANOL_ANG, 0, atol=1e-9
        )

    def test_rotations_are_proper_and_rigid(self):
        mobile = np.random.default_rng(1).normal(size=(50, 6, 3))
        rotation = superposition(mobile, mobile[0]).rotation
        close(np.linalg.det(rotation), 1)
        close(rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-12)

    def test_no_other_rotation_comes_closer(self):
        mobile, reference = np.random.default_rng(2).normal(size=(2, 9, 3))
        best = rmsd(superposition(mobile, reference).apply(mobile), reference)
        arms = mobile - mobile.mean(0)
        others = rmsd(arms @ rotations(2000).swapaxes(1, 2) + reference.mean(0), reference)
        assert best < others.min()

    def test_a_mirror_image_is_not_superposed(self):
        # The molecule bent out of its mirror plane, so that it is chiral.
        hand = ETHANOL_ANG + np.array([0, 0, 0.8]) * (ETHANOL_NUMBERS == 8)[:, None] - np.eye(9)[3][:, None] * 0.9
        laid = superposition(hand * MIRROR, hand)
        close(np.linalg.det(laid.rotation), 1)
        assert rmsd(laid.apply(hand * MIRROR), hand) > 0.1

    def test_doing_it_twice_is_doing_it_once(self):
        mobile = np.random.default_rng(3).normal(size=(10, 9, 3))
        once = superposition(mobile, ETHANOL_ANG).apply(mobile)
        again = superposition(once, ETHANOL_ANG)
        close(again.rotation, np.broadcast_to(np.eye(3), (10, 3, 3)), atol=1e-9)

    def test_agrees_with_mdtraj(self):
        trajectory = ethanol(20)
        theirs = trajectory.to_mdtraj().superpose(trajectory.to_mdtraj(), 0).xyz * 10
        ours = superpose(trajectory).positions
        close(rmsd(ours, ours[0]), rmsd(theirs, theirs[0]), atol=1e-5)

    @pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
    def test_invert_undoes_apply_for_any_batch(self, batch):
        rng = np.random.default_rng(4)
        mobile = rng.normal(size=(*batch, 5, 3))
        rigid = superposition(mobile, rng.normal(size=(5, 3)))
        for positions in (mobile, rng.normal(size=(*batch, 7, 5, 3)), rng.normal(size=(*batch, 7, 2, 5, 3))):
            close(rigid.invert(rigid.apply(positions)), positions, atol=1e-12)
            assert rigid.apply(positions).shape == positions.shape

    def test_one_transform_moves_a_whole_window(self):
        windows = np.random.default_rng(5).normal(size=(3, 8, 5, 3))
        rigid = superposition(windows[:, 0], windows[0, 0])
        whole = rigid.apply(windows)
        for window in range(3):
            alone = superposition(windows[window, 0], windows[0, 0])
            close(whole[window], alone.apply(windows[window]), atol=1e-12)

    def test_the_future_cannot_change_the_transform(self):
        windows = np.random.default_rng(6).normal(size=(3, 8, 5, 3))
        spoiled = windows.copy()
        spoiled[:, 1:] += 1.0
        first, second = (superposition(x[:, 0], windows[0, 0]).rotation for x in (windows, spoiled))
        np.testing.assert_array_equal(first, second)

    def test_each_may_have_its_own_reference(self):
        mobile, reference = np.random.default_rng(7).normal(size=(2, 4, 6, 3))
        together = superposition(mobile, reference).apply(mobile)
        close(together[2], superposition(mobile[2], reference[2]).apply(mobile[2]), atol=1e-12)

    def test_atoms_without_weight_do_not_count(self):
        mobile = moved(ETHANOL_ANG, 1)[0]
        mobile[3] += 3.0
        laid = superposition(mobile, ETHANOL_ANG, weights=np.arange(9) != 3).apply(mobile)
        close(np.delete(laid, 3, axis=0), np.delete(ETHANOL_ANG, 3, axis=0), atol=1e-9)

    @pytest.mark.parametrize("n_atoms", [1, 2, 3])
    @pytest.mark.parametrize("turn", [*rotations(3), np.diag([-1.0, -1.0, 1.0]), np.diag([1.0, -1.0, -1.0])])
    def test_points_and_lines_are_superposed_too(self, n_atoms, turn):
        line = np.arange(n_atoms)[:, None] * np.array([1.0, 0.5, -0.2])
        laid = superposition(line @ turn.T + 3.0, line)
        close(laid.apply(line @ turn.T + 3.0), line, atol=1e-9)
        close(np.linalg.det(laid.rotation), 1)

    def test_atoms_on_one_spot_stay_unturned(self):
        close(superposition(np.ones((4, 3)), ETHANOL_ANG[:4]).rotation, np.eye(3), atol=1e-9)

    def test_a_line_is_turned_as_little_as_can_be(self):
        ends = np.random.default_rng(8).normal(size=(2, 50, 3))
        ends /= np.linalg.norm(ends, axis=-1, keepdims=True)
        one, other = np.arange(3)[:, None] * ends[:, :, None]
        turned = np.arccos((np.trace(superposition(one, other).rotation, axis1=1, axis2=2) - 1) / 2)
        close(turned, np.arccos(np.sum(ends[0] * ends[1], axis=-1)), atol=1e-6)

    def test_a_flat_molecule_keeps_its_face(self):
        flat = ETHANOL_ANG * [1, 1, 0]
        close(superposition(moved(flat, 8), flat).apply(moved(flat, 8)) - flat, 0, atol=1e-9)

    def test_single_precision_comes_back_in_single_precision(self):
        mobile = moved(ETHANOL_ANG, 4).astype(np.float32)
        rigid = superposition(mobile, ETHANOL_ANG)
        assert rigid.rotation.dtype == np.float64
        assert rigid.apply(mobile).dtype == np.float32

    @pytest.mark.parametrize(
        ("mobile", "reference", "weights"),
        [((4, 3), (5, 3), None), ((4, 2), (4, 2), None), ((0, 3), (0, 3), None), ((2, 4, 3), (3, 4, 3), None)]
        + [((4, 3), (4, 3), w) for w in ([1, 1, 1], [0, 0, 0, 0], [1, 1, 1, -1], [1, 1, 1, np.nan])],
    )
    def test_what_does_not_match_is_refused(self, mobile, reference, weights):
        with pytest.raises(InvalidTrajectory):
            superposition(np.ones(mobile), np.ones(reference), weights=weights)


class TestTrajectories:
    def test_centring_takes_place_and_motion_of_the_centre_of_mass(self):
        done = centre(ethanol())
        for array in (done.positions, done.velocities):
            close(np.einsum("a,fax->fx", done.masses, array), 0, atol=1e-12)
        close(np.diff(done.positions, axis=1), np.diff(ethanol().positions, axis=1), atol=1e-12)

    def test_superposing_turns_velocities_forces_and_box_with_the_molecule(self):
        still = ethanol(6, box=True)
        turn = rotations(6)
        turned = still.replace(
            **{key: getattr(still, key) @ turn.swapaxes(1, 2) for key in ("positions", "velocities", "forces", "cell")}
        )
        back = [superpose(one, ETHANOL_ANG) for one in (still, turned)]
        for key in ("positions", "velocities", "forces", "cell"):
            close(getattr(back[1], key), getattr(back[0], key), atol=1e-9)

    def test_internal_distances_do_not_change(self):
        pairs = np.array(np.triu_indices(9, 1)).T
        trajectory = ethanol(6)
        close(distances(superpose(trajectory).positions, pairs), distances(trajectory.positions, pairs), atol=1e-9)

    def test_the_reference_may_be_a_trajectory_of_the_same_atoms(self):
        trajectory, other = ethanol(3), ethanol(3, seed=1)
        close(superpose(trajectory, other).positions, superpose(trajectory, other.positions[0]).positions)
        with pytest.raises(InvalidTrajectory, match="other atoms"):
            superpose(trajectory, other.select([0, 1, 2]))


def straight_lines(cell, n_frames=60, *, speed=0.35):
    """Return two diatomics on straight lines that leave the box several times."""
    start = np.array([[1.0, 1.0, 1.0], [2.1, 1.0, 1.0], [5.0, 6.0, 7.0], [5.0, 7.1, 7.0]])
    step = speed * np.array([[1.0, 0.7, -0.5]] * 2 + [[-0.8, 0.4, 0.9]] * 2)
    return start + np.arange(n_frames)[:, None, None] * step


def wrapped(positions, cell):
    return (positions @ np.linalg.inv(cell) % 1.0) @ cell


class TestUnwrap:
    @pytest.mark.parametrize("cell", [np.diag([10.0, 11.0, 12.0]), TRICLINIC], ids=["orthorhombic", "triclinic"])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_a_straight_line_is_recovered(self, cell, dtype):
        truth = straight_lines(cell)
        broken = wrapped(truth, cell).astype(dtype)
        assert np.abs(np.diff(broken, axis=0)).max() > 5.0
        whole = unwrap(Trajectory(broken, [7, 7, 7, 7], 1.0, cell=cell, bonds=[[0, 1], [2, 3]]))
        close(
            whole.positions - truth,
            np.broadcast_to((whole.positions - truth)[:1, [0, 0, 2, 2]], truth.shape),
            atol=1e-4,
        )
        assert whole.positions.dtype == dtype

    def test_frames_far_from_the_box_are_left_alone(self):
        truth = straight_lines(TRICLINIC)
        trajectory = Trajectory(truth, [7, 7, 7, 7], 1.0, cell=TRICLINIC, bonds=[[0, 1], [2, 3]])
        close(unwrap(trajectory).positions, truth, atol=1e-12)

    @pytest.mark.parametrize("known", [True, False], ids=["bonds given", "bonds found"])
    def test_molecules_broken_by_the_box_are_made_whole(self, known):
        chain = np.array([[0.5, 5.0, 5.0]]) + np.arange(20)[:, None] * [1.2, 0.3, 0.1]
        broken = wrapped(np.stack([chain] * 3), TRICLINIC)
        bonds = np.stack([np.arange(19), np.arange(1, 20)], axis=1)
        order = np.random.default_rng(0).permutation(20)
        bonds = np.argsort(order)[bonds] if known else None
        whole = unwrap(Trajectory(broken[:, order], [6] * 20, 1.0, cell=TRICLINIC, bonds=bonds)).positions
        close(whole - whole[:, :1], np.broadcast_to((chain - chain[order[0]])[order], whole.shape), atol=1e-9)

    def test_a_breathing_box_is_followed(self):
        sizes = 10.0 + 0.1 * np.sin(np.arange(60))
        cell = sizes[:, None, None] * np.eye(3)
        inside = np.array([0.05, 0.5, 0.5]) - np.arange(60)[:, None, None] * [0.02, 0.0, 0.0]
        whole = unwrap(Trajectory((inside % 1.0) @ cell, [7], 1.0, cell=cell, bonds=[]))
        close(whole.positions, inside @ cell, atol=1e-9)

    def test_without_a_box_there_is_nothing_to_unwrap(self):
        with pytest.raises(InvalidTrajectory, match=r"no box.*replace\(cell="):
            unwrap(ethanol())

    def test_a_flat_box_is_refused(self):
        with pytest.raises(InvalidTrajectory, match="no volume"):
            unwrap(ethanol().replace(cell=np.diag([10.0, 10.0, 0.0])))


class TestInternalCoordinates:
    def test_known_values(self):
        water = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.8, 0.6, 0.0]])
        close(distances(water, np.array([[0, 1], [0, 2]])), [1.0, np.hypot(0.8, 0.4)])
        close(angles(water, np.array([[0, 1, 2]])), np.arccos(0.6))

    def test_the_sign_of_a_torsion_is_iupacs(self):
        near = np.array([[0, 1, 2, 3]])
        close(torsions(PEROXIDE_PLUS_90, near), np.pi / 2)
        close(torsions(PEROXIDE_PLUS_90 * MIRROR, near), -np.pi / 2)

    def test_looking_along_the_axis_clockwise_is_positive(self):
        # We look down −z with y up and x to the right, as at a clock on the table: from 12 towards 2 is clockwise.
        turn = np.radians(60)
        gauche = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [np.sin(turn), np.cos(turn), -1.0]])
        close(torsions(gauche, np.array([[0, 1, 2, 3]])), turn)

    def test_read_from_either_end_a_torsion_is_the_same(self):
        positions = np.random.default_rng(0).normal(size=(50, 4, 3))
        close(torsions(positions, np.array([[0, 1, 2, 3]])), torsions(positions, np.array([[3, 2, 1, 0]])))

    def test_trans_is_plus_pi_and_cis_is_zero(self):
        zigzag = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-1.0, -0.0, 1.0]])
        for hair in (0.0, 1e-17, -1e-17):
            assert (
                torsions(zigzag + hair * np.eye(3)[1] * np.eye(4)[3][:, None], np.array([[0, 1, 2, 3]])).item() == np.pi
            )
        close(torsions(np.abs(zigzag), np.array([[0, 1, 2, 3]])), 0, atol=1e-12)

    def test_all_agree_with_mdtraj(self):
        trajectory = ethanol(30, full=False)
        theirs = trajectory.to_mdtraj()
        pairs, triples, quadruples = np.array([[0, 2]]), np.array([[0, 1, 2]]), np.array([[0, 1, 2, 3], [6, 0, 1, 2]])
        close(distances(trajectory.positions, pairs), mdtraj.compute_distances(theirs, pairs) * 10, atol=1e-5)
        close(angles(trajectory.positions, triples), mdtraj.compute_angles(theirs, triples), atol=1e-5)
        apart = torsions(trajectory.positions, quadruples) - mdtraj.compute_dihedrals(theirs, quadruples)
        close(np.angle(np.exp(1j * apart)), 0, atol=1e-5)

    def test_small_angles_keep_their_precision(self):
        bend = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1e-9, 0.0]])
        close(angles(bend, np.array([[0, 1, 2]])), 1e-9, rtol=1e-6)

    def test_any_leading_axes_and_no_tuples(self):
        positions = np.random.default_rng(0).normal(size=(2, 3, 5, 3))
        assert torsions(positions, np.array([[0, 1, 2, 3], [1, 2, 3, 4]])).shape == (2, 3, 2)
        assert torsions(positions, np.empty((0, 4), dtype=int)).shape == (2, 3, 0)

    @pytest.mark.parametrize("pair", [[0, 9], [-1, 0]])
    def test_atoms_that_do_not_exist_are_refused(self, pair):
        with pytest.raises(InvalidTrajectory, match="9 atoms"):
            distances(ETHANOL_ANG, np.array([pair]))


class TestVelocities:
    def test_a_straight_line_has_one_velocity(self):
        line = np.arange(6)[:, None, None] * np.ones((4, 3)) * 0.3
        close(velocities(line, dt_fs=0.5), 0.6)

    def test_a_parabola_is_exact_inside(self):
        times = np.arange(7) * 0.5
        parabola = (times**2)[:, None, None] * np.ones((1, 3))
        close(velocities(parabola, dt_fs=0.5)[1:-1, 0, 0], 2 * times[1:-1])

    def test_windows_in_front_change_nothing(self):
        windows = np.random.default_rng(0).normal(size=(3, 5, 2, 3))
        close(velocities(windows, dt_fs=2.0)[1], velocities(windows[1], dt_fs=2.0))

    @pytest.mark.parametrize("shape", [(1, 4, 3), (2, 1, 4, 3)])
    def test_one_frame_has_no_velocity(self, shape):
        with pytest.raises(TrajectoryTooShort, match="two frames"):
            velocities(np.zeros(shape), dt_fs=1.0)


def test_a_rigid_motion_keeps_what_it_was_given():
    rigid = Rigid(rotations(1)[0], np.ones(3), np.zeros(3))
    close(rigid.apply(np.ones((1, 3))), 0, atol=1e-12)
    close(rigid.rotate(np.ones((4, 3))), np.ones((4, 3)) @ rigid.rotation.T)
