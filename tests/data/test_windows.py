"""Laws of windows: slices of the data, moved as a whole, never copied ahead of use, shared by no two parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_molecules import ethanol, rotations
from torch.testing import assert_close

from asteroid_nb.data.splits import split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window, Windows, WindowShape
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch, TrajectoryTooShort

SHAPES = [WindowShape(history=4, horizon=3), WindowShape(history=3, horizon=5, stride_frames=4)]
P3 = WindowShape(history=10, horizon=20, stride_frames=10)
F1 = WindowShape(history=16, horizon=32)


def walkers(*n_frames: int, **options) -> list[Trajectory]:
    return [ethanol(count, seed=seed, full=False, **options) for seed, count in enumerate(n_frames)]


def frames_of(windows: Windows) -> set[tuple[str, int]]:
    """Return every stored frame from the first to the last of each window, by its trajectory's data."""
    return {
        (id(windows.trajectories[walker]), frame)
        for walker, start in windows.starts.tolist()
        for frame in range(start, start + windows.shape.span_frames)
    }


# Gathering.


@pytest.mark.parametrize("shape", SHAPES, ids=["dense", "strided"])
def test_a_window_is_a_slice_of_its_trajectory(shape):
    paths = walkers(40, 50)
    windows = Windows(paths, shape)
    assert len(windows) == sum(path.n_frames - shape.span_frames + 1 for path in paths)
    gathered = windows[:]
    every = torch.cat([gathered.history, gathered.truth], dim=1)
    number = 0
    for path in paths:
        for start in range(path.n_frames - shape.span_frames + 1):
            naive = path.positions[start :: shape.stride_frames][: shape.history + shape.horizon]
            assert_close(every[number], torch.as_tensor(naive - naive[0].mean(0)).float(), rtol=0, atol=1e-6)
            placed = gathered.place(every)[number]
            assert_close(placed, torch.as_tensor(naive), rtol=0, atol=1e-6)
            number += 1
    assert number == len(windows)


def test_any_index_gives_the_same_windows():
    windows = Windows(walkers(30, 30), SHAPES[0])
    every = windows[:]
    for index in (7, [7], np.array([3, 40]), torch.tensor([3, 40]), slice(2, 9, 3), -1):
        chosen = np.arange(len(windows))[np.asarray(index) if not isinstance(index, slice) else index]
        expected = every.history[np.atleast_1d(chosen)]
        assert_close(windows[index].history, expected, rtol=0, atol=0)


def test_walkers_of_different_precision_mix():
    first, second = walkers(20, 20)
    windows = Windows([first, second.replace(positions=second.positions.astype(np.float32))], SHAPES[0])
    assert windows[[0, len(windows) - 1]].history.dtype == torch.float32


def test_spacing_grows_with_the_stride():
    assert Windows(walkers(80), SHAPES[1])[0].dt_fs == pytest.approx(4 * 0.5)


@pytest.mark.parametrize(("shape", "dt_fs"), [(P3, 5.0), (F1, 0.5)], ids=["P3", "F1"])
def test_the_protocols_shapes(shape, dt_fs):
    windows = Windows(walkers(400), shape)
    window = windows[:5]
    assert window.history.shape == (5, shape.history, 9, 3)
    assert window.truth.shape == (5, shape.horizon, 9, 3)
    assert window.dt_fs == pytest.approx(dt_fs)
    assert shape.span_frames == {P3: 291, F1: 48}[shape]


def test_centring_moves_a_window_as_a_whole_and_by_its_first_frame_alone():
    bare = torch.randn(6, 8, 9, 3, dtype=torch.float64) + 100.0
    window = Window.of(bare[:, :5], future=bare[:, 5:], dt_fs=1.0)
    assert_close(window.history[:, 0].mean(1), torch.zeros(6, 3), rtol=0, atol=1e-5)
    assert_close(window.place(window.truth), bare[:, 5:], rtol=0, atol=1e-5)
    bare[:, 1:] += 1.0
    assert_close(Window.of(bare[:, :5], dt_fs=1.0).origin, window.origin, rtol=0, atol=0)


def test_turning_takes_history_and_future_along():
    windows = Windows(walkers(30), SHAPES[0])
    rotation = torch.as_tensor(rotations(4)).float()
    window, turned = windows[:4], windows[:4].rotated(rotation)
    for before, after in ((window.history, turned.history), (window.truth, turned.truth)):
        assert_close(torch.einsum("wba,wtnb->wtna", rotation, after), before, rtol=0, atol=1e-5)


def test_a_window_at_the_end_of_the_data_has_no_truth():
    window = Windows(walkers(30), SHAPES[0])[0].replace(future=None)
    with pytest.raises(InvalidTrajectory, match="no future to compare with"):
        _ = window.truth


# Memory.


def test_positions_are_shared_and_a_memory_map_stays_one(tmp_path):
    np.save(tmp_path / "positions.npy", walkers(400)[0].positions)
    mapped = np.load(tmp_path / "positions.npy", mmap_mode="r")
    windows = Windows([Trajectory(mapped, ethanol(1).atomic_numbers, 0.5)], F1)
    held = [tensor.numpy() for tensor in windows._positions]
    assert np.shares_memory(held[0], mapped)
    assert sum(array.nbytes for array in held) + windows.starts.nbytes < 1.1 * mapped.nbytes
    for part in (windows.subset(most=10), windows.thinned(3), *vars(split(windows.trajectories, SHAPES[0])).values()):
        assert np.shares_memory(part._positions[0].numpy(), mapped)


def test_gathering_leaves_the_trajectory_alone():
    path = walkers(30)[0]
    before = path.positions.copy()
    window = Windows([path], SHAPES[0])[:]
    window.history += 1.0
    window.truth.mul_(2.0)
    np.testing.assert_array_equal(path.positions, before)


# Wrong input.


def test_too_short_a_trajectory_says_so():
    with pytest.raises(TrajectoryTooShort, match="spans 291 frames"):
        Windows(walkers(290), P3)
    assert len(Windows(walkers(291), P3)) == 1


def test_no_trajectory_and_no_frames_say_so():
    with pytest.raises(InvalidTrajectory, match="at least one"):
        Windows([], F1)
    with pytest.raises(InvalidTrajectory, match="at least 1"):
        WindowShape(history=0)


def test_other_species_masses_or_spacing_are_refused():
    first, second = walkers(60, 60)
    relisted = second.select([1, 0, 2, 8, 7, 6, 5, 4, 3])
    assert len(Windows([first, relisted], SHAPES[0])) == 2 * 54  # the same species in the same order: C C O, then H
    with pytest.raises(ModelMismatch, match="species"):
        Windows([first, second.select([2, 0, 1, 3, 4, 5, 6, 7, 8])], SHAPES[0])
    with pytest.raises(ModelMismatch, match="species"):
        Windows([first, second.select(range(8))], SHAPES[0])
    with pytest.raises(ModelMismatch, match="mass 3.000 amu for atom 3"):
        heavy = np.where(second.atomic_numbers == 1, 3.0, second.masses)
        Windows([first, second.replace(masses=heavy)], SHAPES[0])
    with pytest.raises(ModelMismatch, match="every 1 fs"):
        Windows([first, second.replace(dt_fs=1.0)], SHAPES[0])


# Choosing and batching.


def test_subset_and_thinned_choose_evenly():
    windows = Windows(walkers(60, 60), SHAPES[0])
    assert len(windows.subset(most=7)) == 7
    assert windows.subset(most=7).starts[[0, -1]].tolist() == windows.starts[[0, -1]].tolist()
    assert len(windows.subset(most=10**6)) == len(windows)
    assert windows.thinned(5).starts.tolist() == windows.starts[::5].tolist()
    assert len(windows.subset(most=1)) == 1


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_batches_visit_each_window_once(seed):
    windows = Windows(walkers(40, 40), SHAPES[0])
    batches = list(windows.batches(16, shuffle_seed=seed))
    assert [len(batch) for batch in batches[:-1]] == [16] * (len(batches) - 1)
    visited = torch.cat([batch.place(batch.history)[:, 0].flatten(1) for batch in batches])
    every = windows[:].place(windows[:].history)[:, 0].flatten(1)
    assert_close(visited.sort(0).values, every.sort(0).values, rtol=0, atol=1e-6)
    assert bool(torch.isclose(visited, every, atol=1e-6).all()) == (seed is None)


def test_the_order_depends_on_the_seed_alone():
    windows = Windows(walkers(40, 40), SHAPES[0])
    first, again, other = (next(windows.batches(16, shuffle_seed=seed)).history for seed in (3, 3, 4))
    assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


# Splitting: no frame belongs to two parts.


@pytest.mark.parametrize("shape", [*SHAPES, P3, F1], ids=["dense", "strided", "P3", "F1"])
@pytest.mark.parametrize("n_walkers", [1, 2, 3, 5])
def test_parts_share_no_frame(shape, n_walkers):
    parts = split(walkers(*[4500] * n_walkers), shape)
    train, validation, test = (frames_of(part) for part in (parts.train, parts.validation, parts.test))
    assert train and validation and test
    assert not (train & validation or train & test or validation & test)


def test_three_walkers_are_split_whole():
    paths = walkers(60, 61, 62, 63)
    parts = split(paths, SHAPES[0])
    assert parts.train.trajectories == paths[:2]
    assert (parts.validation.trajectories, parts.test.trajectories) == (paths[2:3], paths[3:])


@pytest.mark.parametrize("n_walkers", [1, 2])
def test_blocks_come_in_the_order_of_time_one_window_apart(n_walkers):
    parts = split(walkers(*[1000] * n_walkers), SHAPES[1])
    span = SHAPES[1].span_frames
    for walker in range(n_walkers):
        spans = []
        for part in (parts.train, parts.validation, parts.test):
            starts = part.starts[part.starts[:, 0] == walker, 1]
            assert (np.diff(starts) == 1).all()
            spans.append((starts[0], starts[-1] + span))
        assert spans[0][0] == 0 and spans[2][1] == 1000
        assert spans[1][0] - spans[0][1] == span == spans[2][0] - spans[1][1]


def test_one_trajectory_may_be_given_bare():
    path = walkers(400)[0]
    assert split(path, SHAPES[0]).train.starts.tolist() == split([path], SHAPES[0]).train.starts.tolist()


def test_too_short_to_split_names_the_part():
    with pytest.raises(TrajectoryTooShort, match="no window in part 2 of 3"):
        split(walkers(100), F1)
