"""Which frames a force field learns from: as many as asked for, as different as possible, whatever atoms are called."""

import numpy as np
import pytest
from small_molecules import ethanol

import asteroid_nb as anb
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.spread import chosen_frames, farthest, fingerprints
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory


def test_the_corners_of_a_square_come_before_what_lies_between():
    draw = np.random.default_rng(0)
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=float)
    points = np.concatenate([0.3 * draw.uniform(-1, 1, (200, 2)), corners])
    chosen = farthest(points, 5)
    assert set(chosen[1:]) == {200, 201, 202, 203}
    assert np.linalg.norm(points[chosen[0]]) < 0.1


def test_every_choice_is_as_far_as_any_from_those_before():
    points = np.random.default_rng(1).standard_normal((300, 4))
    chosen = farthest(points, 40)
    assert len(set(chosen)) == 40
    for n in (1, 10, 39):
        far = np.linalg.norm(points[:, None] - points[chosen[:n]], axis=-1).min(1)
        assert far[chosen[n]] == pytest.approx(far.max())


def test_no_point_is_chosen_twice_where_several_are_one():
    assert sorted(farthest(np.array([[0.0], [0], [1], [1], [2]]), 5)) == [0, 1, 2, 3, 4]


def test_neither_turning_nor_an_exchange_of_equal_atoms_is_another_structure():
    one = ethanol()
    turned = np.asarray(one.positions) @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]]) + 3.0
    order = [0, 1, 2, 4, 3, 5, 6, 7, 8]  # two hydrogens of one carbon
    np.testing.assert_allclose(fingerprints(one.replace(positions=turned)), fingerprints(one), atol=1e-5)
    np.testing.assert_allclose(fingerprints(one.select(order)), fingerprints(one), atol=1e-6)
    assert np.abs(fingerprints(one)[:1] - fingerprints(anb.sample("ethanol")[0][500])).max() > 1e-3


def nearest(walkers: list[Trajectory], choose: str) -> float:
    """Return how far the loneliest structure is from the nearest that was chosen."""
    rows = chosen_frames(walkers, 40, choose)
    known = np.concatenate([fingerprints(one)[some] for one, some in zip(walkers, rows, strict=True)])
    asked = np.concatenate([fingerprints(one, 5) for one in walkers])
    return float(np.linalg.norm(asked[:, None] - known, axis=-1).min(1).max())


def test_farthest_frames_leave_no_structure_as_far_away():
    walkers = anb.sample("ethanol")[:2]
    assert nearest(walkers, "farthest") < nearest(walkers, "evenly")


@pytest.mark.parametrize("choose", ["evenly", "farthest"])
def test_as_many_frames_as_asked_for_in_order_of_time(choose, monkeypatch):
    ethanols = anb.sample("ethanol")[:2]
    several = [ethanols[0][:700], anb.sample("malonaldehyde")[0][:300], ethanols[1][:500]]
    for most in (2**25, 36 * 400):  # the second looks at some frames only
        monkeypatch.setattr("asteroid_nb.equilibrium.spread.MOST_DISTANCES", most)
        rows = chosen_frames(several, 150, choose)
        assert sum(map(len, rows)) == 150
        for some, one in zip(rows, several, strict=True):
            assert (np.diff(some) > 0).all() and some.min() >= 0 and some.max() < one.n_frames
        assert len(rows[1]) == pytest.approx(30, abs=1)  # a fifth of all frames
    assert [len(some) for some in chosen_frames(several, None, choose)] == [700, 300, 500]
    assert sum(map(len, chosen_frames(several, 1500, choose))) == 1500


def test_what_cannot_be_chosen_is_told():
    with pytest.raises(InvalidSettings, match="'evenly' and 'farthest'"):
        chosen_frames([ethanol()], 1, "randomly")
    with pytest.raises(InvalidTrajectory, match="Ask for 1 to"):
        chosen_frames([ethanol()], 10**6, "farthest")
