"""`Coordinates` and the files they come from: laws of slicing, then what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.torsion_files import load_torsions
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory, MissingSpacing, UnreadableFile


def coordinates(n_frames: int = 60, every: int = 6) -> Coordinates:
    """Return angles whose frame can be read from the first value, and from a structure's position."""
    values = np.stack([np.linspace(-3, 3, n_frames), np.full(n_frames, 0.5)], axis=1)
    frames = np.arange(0, n_frames, every)
    positions = np.zeros((len(frames), 2, 3)) + frames[:, None, None]
    positions[:, 1, 0] += 1.1
    structures = Trajectory(positions=positions, atomic_numbers=np.array([6, 8]), dt_fs=100.0 * every)
    return Coordinates(
        values=values, dt_fs=100.0, names=("φ", "ψ"), periodic=True, structures=structures, structure_every=every
    )


@pytest.mark.parametrize("every", [1, 4, 6])
@pytest.mark.parametrize("frames", [slice(None), slice(12, None), slice(12, 47, 3), slice(0, 60, 12), slice(24, 59, 5),
                                    slice(None, None, 7), slice(-36, -1, 4)])  # fmt: skip
def test_structures_stay_with_their_frames(every, frames):
    whole = coordinates(every=every)
    cut = whole[frames]
    kept = np.arange(whole.n_frames)[frames]
    np.testing.assert_array_equal(cut.values, whole.values[frames])
    assert cut.dt_fs == 100.0 * (frames.step or 1)
    assert cut.structures is not None
    shown = kept[:: cut.structure_every]
    np.testing.assert_array_equal(cut.structures.positions[:, 0, 0], shown)
    assert cut.structures.dt_fs == cut.dt_fs * cut.structure_every


def test_without_a_structure_of_the_first_frame_none_are_kept():
    assert coordinates()[3:].structures is None and coordinates()[3:].structure_every == 1


def test_angles_as_vectors_know_no_end_and_other_values_stay():
    ends = Coordinates(values=np.array([[np.pi, 0.0], [-np.pi, 0.0], [0.0, 0.0]]), dt_fs=1.0, periodic=True)
    vectors = ends.vectors()
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-12)
    assert np.linalg.norm(vectors[0] - vectors[2]) == pytest.approx(2)
    np.testing.assert_allclose(vectors[2], [1, 0, 1, 0])
    plain = Coordinates(values=np.array([[1.0, 70.0]]), dt_fs=1.0)
    np.testing.assert_array_equal(plain.vectors(), plain.values)
    assert plain.names == ("x1", "x2")


def test_dimensions_are_chosen_by_name_or_number():
    whole = coordinates()
    for chosen in (("ψ",), "ψ", [1], np.array([1])):
        alone = whole.select(chosen)
        assert alone.names == ("ψ",) and alone.structures is whole.structures and alone.periodic
        np.testing.assert_array_equal(alone.values, whole.values[:, 1:])
    assert whole.select(("ψ", "φ")).names == ("ψ", "φ")
    for wrong in (("χ",), (), (2,)):
        with pytest.raises(InvalidTrajectory, match="there are φ, ψ. Choose one of them"):
            whole.select(wrong)
    with pytest.raises(InvalidTrajectory, match="all different"):
        whole.select(("φ", "φ"))


def test_values_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        coordinates().values[0] = 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.empty((0, 2))}, "needed are floats"),
        ({"values": np.zeros(60)}, "needed are floats"),
        ({"values": np.zeros((60, 2), dtype=int)}, "Coordinates were int64"),
        ({"values": np.full((60, 2), np.nan)}, "hold NaN or infinity, first in frame 0"),
        ({"values": np.full((60, 2), 90.0)}, "Angles run up to 90.*Convert degrees"),
        ({"names": ("φ",)}, "Give one each"),
        ({"names": ("φ", "φ")}, "all different"),
        ({"dt_fs": 0.0}, "positive number of fs"),
        ({"structure_every": 7}, "Found 10 structures for 60 frames, one every 7: needed are 9"),
        ({"structure_every": 0}, "1 or more"),
        ({"structure_every": 2.5}, "1 or more"),
    ],
)
def test_what_cannot_be_coordinates(changes, message):
    settings = {"values": coordinates().values, "dt_fs": 100.0, "names": ("φ", "ψ"), "periodic": True}
    settings |= {"structures": coordinates().structures, "structure_every": 6}
    with pytest.raises(InvalidTrajectory, match=message):
        Coordinates(**settings | changes)


def test_slices_that_leave_nothing():
    for frames in (slice(60, None), slice(None, None, -1)):
        with pytest.raises(InvalidTrajectory, match="leaves no frame of 60, or runs backwards"):
            coordinates()[frames]
    with pytest.raises(InvalidTrajectory, match="cut by a slice, found int"):
        coordinates()[3]


# files


def test_arrays_come_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "angles.npz"
    np.savez(path, **{f"job{number}": np.full((number + 1, 2), 0.1 * number) for number in (10, 2, 1, 20)})
    found = load_torsions(path, dt_fs=1000.0, names=("φ", "ψ"))
    assert [one.name for one in found] == [f"angles job{number}" for number in (1, 2, 10, 20)]
    assert [one.n_frames for one in found] == [2, 3, 11, 21]
    assert all(one.periodic and one.dt_fs == 1000.0 and one.names == ("φ", "ψ") for one in found)
    assert found[2].provenance == {"array": "job10"}


def test_files_that_hold_no_torsions(tmp_path):
    path, options = tmp_path / "angles.npz", {"dt_fs": 1.0, "names": ("φ", "ψ")}
    with pytest.raises(UnreadableFile, match="no complete .npz"):
        load_torsions(path, **options)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(UnreadableFile, match="no complete .npz"):
        load_torsions(path, **options)
    np.savez(path)
    with pytest.raises(UnreadableFile, match=r"shapes \[\]; needed are \[frames, 2\]"):
        load_torsions(path, **options)
    np.savez(path, run=np.zeros((5, 3)))
    with pytest.raises(UnreadableFile, match=r"shapes \[\(5, 3\)\]"):
        load_torsions(path, **options)
    np.savez(path, run=np.array([{}, {}], dtype=object))
    with pytest.raises(UnreadableFile, match="no complete .npz"):
        load_torsions(path, **options)
    np.savez(path, good=np.zeros((5, 2)), wrong=np.full((5, 2), 60.0))
    with pytest.raises(InvalidTrajectory, match="angles.npz, array wrong: Angles run up to 60"):
        load_torsions(path, **options)
    np.savez(path, good=np.zeros((5, 2)))
    with pytest.raises(MissingSpacing):
        load_torsions(path, dt_fs=None, names=("φ", "ψ"))
