"""TICA: the slow direction is found, scaled as deeptime scales it, and kept with what depends on it."""

from __future__ import annotations

import numpy as np
import pytest

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrajectoryTooShort, UnreadableFile
from asteroid_nb.states.cells import Partition
from asteroid_nb.states.discretise import cores, kmeans, nearest
from asteroid_nb.states.projection import Projection, tica

TIMES_FS = np.array([3000.0, 400.0, 60.0])
MIXED = np.array([[1.0, 0.5, 0.2], [0.3, -1.0, 0.4], [0.2, 0.1, 1.0]])
NAMES = ("a", "b", "c")


def relaxing(seed: int, n_frames: int = 20_000) -> np.ndarray:
    """Return three independent processes that forget exponentially, at the times above, with variance 1."""
    keep = np.exp(-10.0 / TIMES_FS)
    random = np.random.default_rng(seed)
    kicks = random.standard_normal((n_frames, 3)) * np.sqrt(1 - keep**2)
    states = np.empty((n_frames, 3))
    states[0] = random.standard_normal(3)
    for frame in range(1, n_frames):
        states[frame] = keep * states[frame - 1] + kicks[frame]
    return states


def mixed(seed: int = 0) -> Coordinates:
    return Coordinates(values=relaxing(seed) @ MIXED, dt_fs=10.0, names=NAMES, name=f"walker {seed}")


def angles(seed: int = 0) -> Coordinates:
    values = 0.8 * np.arctan(relaxing(seed)) - 2.9
    return Coordinates(
        values=(values + np.pi) % (2 * np.pi) - np.pi, dt_fs=10.0, names=NAMES, periodic=True, name=f"walker {seed}"
    )


def test_slow_processes_are_found_in_order_with_their_times():
    data = [mixed(seed) for seed in range(4)]
    projection = tica(data, lag_fs=200.0, n_dimensions=2)
    np.testing.assert_allclose(projection.timescales_fs, TIMES_FS[:2], rtol=0.25)
    for one, seed in zip(data, range(4), strict=True):
        found = projection.apply(one)
        assert found.names == ("TIC 1", "TIC 2") and not found.periodic and found.dt_fs == 10.0
        same = np.corrcoef(found.values.T, relaxing(seed)[:, :2].T)[:2, 2:]
        assert (np.abs(np.diag(same)) > 0.98).all()


@pytest.mark.parametrize("make", [mixed, angles])
def test_it_is_what_deeptime_makes_of_the_same_vectors(make):
    from deeptime.decomposition import TICA

    data = [make(seed) for seed in range(2)]
    projection = tica(data, lag_frames=20, n_dimensions=3)
    vectors = [np.asarray(one.vectors(), dtype=float) for one in data]
    model = TICA(lagtime=20, dim=3, scaling="kinetic_map").fit(vectors).fetch_model()
    np.testing.assert_allclose(projection.timescales_fs, model.timescales()[:3] * 10.0)
    expected, found = model.transform(vectors[1]), projection.apply(data[1]).values
    sign = np.sign((expected * found).sum(axis=0))  # the sign of a component has no meaning
    np.testing.assert_allclose(found, expected * sign, atol=1e-9)


def test_components_are_scaled_to_kinetic_distance():
    projection = tica([mixed(0)], lag_fs=200.0, n_dimensions=3)
    spread = projection.apply(mixed(0)).values.std(axis=0)
    np.testing.assert_allclose(spread, np.exp(-200.0 / projection.timescales_fs), rtol=0.05)


def test_a_lag_in_fs_is_that_in_frames_and_structures_are_kept():
    by_frames, by_time = tica(mixed(), lag_frames=20, n_dimensions=1), tica(mixed(), lag_fs=200.0, n_dimensions=1)
    assert by_frames.fingerprint == by_time.fingerprint and by_frames.lag_fs == 200.0
    positions = np.zeros((200, 2, 3)) + [[0, 0, 0], [0, 0, 1.1]]
    molecule = Trajectory(positions=positions, atomic_numbers=np.array([6, 8]), dt_fs=1000.0)
    shown = Coordinates(values=mixed().values, dt_fs=10.0, names=NAMES, structures=molecule, structure_every=100)
    assert by_time.apply(shown).structures is molecule and by_time.apply(shown).structure_every == 100


def test_saved_and_loaded_it_projects_the_same(tmp_path):
    projection = tica([angles(0)], lag_frames=20, n_dimensions=2, dimensions=("a", "c"))
    again = Projection.load(projection.save(tmp_path / "projection.json"))
    np.testing.assert_array_equal(again.apply(angles(1)).values, projection.apply(angles(1)).values)
    assert (
        again.fingerprint == projection.fingerprint and again.dimensions == ("a", "c") and again.made == projection.made
    )
    for content in ("", "{}", '{"format": "asteroid_nb projection 1"}'):
        (tmp_path / "projection.json").write_text(content)
        with pytest.raises(UnreadableFile, match="holds no projection"):
            Projection.load(tmp_path / "projection.json")


def test_a_partition_of_components_refuses_those_of_another_projection(tmp_path):
    first, second = (tica([mixed(seed)], lag_frames=20, n_dimensions=2) for seed in (0, 1))
    partition = kmeans(first.apply(mixed(0)), 5)
    partition = Partition.load(partition.save(tmp_path / "partition.json"))
    assert partition.projection == first.fingerprint
    assert partition.assign(first.apply(mixed(3))).n_states == 5
    with pytest.raises(ModelMismatch, match=f"from projection {second.fingerprint}.*Apply the same projection first"):
        partition.assign(second.apply(mixed(3)))
    named = {"dimensions": ("TIC 1",), "projection": first.fingerprint}
    for by_hand in (nearest([[-1.0], [1.0]], **named), cores([[-1.0], [1.0]], radius=0.5, **named)):
        assert set(by_hand.visited(first.apply(mixed(3)))) <= {-1, 0, 1}
        with pytest.raises(ModelMismatch, match="from projection none"):
            by_hand.visited(Coordinates(values=np.zeros((5, 1)), dt_fs=10.0, names=("TIC 1",)))


def test_what_has_no_slow_components():
    with pytest.raises(InvalidTrajectory, match="No trajectory was given"):
        tica([], lag_frames=1, n_dimensions=1)
    with pytest.raises(InvalidTrajectory, match="a, b, c are constant"):
        tica(Coordinates(values=np.ones((50, 3)), dt_fs=1.0, names=NAMES), lag_frames=1, n_dimensions=1)
    with pytest.raises(TrajectoryTooShort, match="'walker 0' has 20 frames, the lag is 20"):
        tica([mixed()[:20], mixed(1)], lag_frames=20, n_dimensions=1)
    for lag in ({}, {"lag_frames": 2, "lag_fs": 20.0}):
        with pytest.raises(InvalidSettings, match="one of the two"):
            tica(mixed(), n_dimensions=1, **lag)
    for lag in ({"lag_frames": 0}, {"lag_fs": 15.0}, {"lag_fs": -10.0}, {"lag_frames": np.nan}):
        with pytest.raises(InvalidSettings, match="it must be a whole number, at least 1"):
            tica(mixed(), n_dimensions=1, **lag)
    for wrong in (0, 4):
        with pytest.raises(InvalidSettings, match="1 to 3 components"):
            tica(mixed(), lag_frames=1, n_dimensions=wrong)
    projection = tica(mixed(), lag_frames=1, n_dimensions=1)
    with pytest.raises(ModelMismatch, match="holds a, b; the projection takes a, b, c"):
        projection.apply(mixed().select(("a", "b")))
    with pytest.raises(ModelMismatch):
        projection.apply(angles())
    with pytest.raises(InvalidSettings, match="components of a projection already"):
        tica(projection.apply(mixed()), lag_frames=1, n_dimensions=1)
