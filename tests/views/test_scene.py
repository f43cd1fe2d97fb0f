"""A scene holds every frame in the browser's own traits, and moves without sending anything."""

from __future__ import annotations

import json
import re
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose
from vibrating import vibrating_ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.metrics.structure import BREAK_ANG
from asteroid_nb.views.camera import DISTANCE_IN_RADII, orientation
from asteroid_nb.views.colour_bar import colour_bar, round_up
from asteroid_nb.views.molecule import ERROR_COLOURS, mol2
from asteroid_nb.views.scene import Viewer, scene


@pytest.fixture
def ethanol() -> Trajectory:
    return vibrating_ethanol()


def sent_by(view) -> list[str]:
    """Record every message and every trait that leaves the kernel from now on."""
    sent: list[str] = []
    view.send = lambda content, buffers=None: sent.append(str(content))
    view.send_state = lambda key=None: sent.append(f"state {key}")
    return sent


def test_a_scene_is_a_viewer(ethanol):
    assert isinstance(scene(ethanol), Viewer)


def test_the_browser_gets_the_positions_in_ang(ethanol):
    held = np.frombuffer(scene(ethanol).anb_positions, "<f4").reshape(ethanol.positions.shape)
    assert_allclose(held, ethanol.positions, atol=1e-6)


def test_moving_through_frames_sends_the_frame_number_only(ethanol):
    view = scene(ethanol, errors=[np.zeros((48, 9))])
    archive, sent = list(view._ngl_msg_archive), sent_by(view)
    for frame in [*range(1, 48)] * 5:
        view.frame = frame
    assert view._ngl_msg_archive == archive
    assert set(sent) <= {"state frame"}


def test_a_scene_starts_no_thread(ethanol):
    before = threading.active_count()
    scene(ethanol)
    assert threading.active_count() == before


def test_what_is_drawn_is_sent_once_when_the_browser_is_there(ethanol):
    view = scene(ethanol)
    sent = sent_by(view)
    view._handle_nglview_custom_msg(view, {"type": "request_loaded", "data": True}, [])
    assert sum("executeCode" in message for message in sent) == 1


def test_a_second_view_of_the_widget_draws_itself_from_the_archive(ethanol):
    archived = [message for message in scene(ethanol)._ngl_msg_archive if message.get("fire_embed")]
    assert [message["methodName"] for message in archived] == ["executeCode"]


def test_nglviews_own_player_is_gone(ethanol):
    view = scene(ethanol)
    assert view.max_frame == 0 and view._iplayer.children == ()


def test_the_state_of_a_usual_window_stays_below_one_megabyte():
    long = vibrating_ethanol(2000)
    view = scene(long, errors=[np.ones((2000, 9))])
    state = view.get_state()
    size = sum(len(value) if isinstance(value, bytes) else len(json.dumps(value)) for value in state.values())
    assert 9 * 2000 * 13 <= size <= 1e6


def test_bonds_are_the_structures_even_where_a_forecast_is_broken(ethanol):
    broken = ethanol.replace(positions=ethanol.positions * 3)
    assert scene(broken, structure=ethanol).anb_scene["mol2"] == scene(ethanol).anb_scene["mol2"]


def test_mol2_names_each_atom_and_each_bond_once(ethanol):
    lines = mol2(ethanol, np.array([[0, 1], [1, 2]])).splitlines()
    atoms = [line.split() for line in lines[lines.index("@<TRIPOS>ATOM") + 1 : lines.index("@<TRIPOS>BOND")]]
    assert [atom[1] for atom in atoms] == list(ethanol.labels)
    assert [atom[5] for atom in atoms] == list(ethanol.symbols)
    assert_allclose([[float(x) for x in atom[2:5]] for atom in atoms], ethanol.positions[0], atol=1e-4)
    assert lines[lines.index("@<TRIPOS>BOND") + 1 :] == ["1 1 2 1", "2 2 3 1"]


def test_errors_cost_one_byte_per_frame_and_atom_and_end_at_the_scales_end(ethanol):
    errors = np.zeros((48, 9))
    errors[3, 5], errors[4, 5], errors[5, 5] = 0.2, 0.1, 9.0
    table = np.frombuffer(scene(ethanol, errors=[errors], error_max_ang=0.2).anb_errors, np.uint8).reshape(48, 9)
    assert table[3, 5] == 255 and table[4, 5] == 128 and table[5, 5] == 255
    assert table.sum() == 255 + 128 + 255


def test_low_errors_get_the_first_colour_and_high_ones_the_last(ethanol):
    colours = scene(ethanol, errors=[np.zeros((48, 9))]).anb_scene["layers"][0]["representations"][0]["byError"]
    assert colours["colorScheme"] == "bfactor" and colours["colorDomain"] == [0, 255]
    assert colours["colorScale"] == list(ERROR_COLOURS) and "colorReverse" not in colours
    assert colours["colorMode"] == "rgb", "NGL mixes hues otherwise, and shows pink where the bar shows sand"


def test_without_errors_atoms_keep_the_colours_of_their_elements(ethanol):
    drawn = scene(ethanol).anb_scene["layers"][0]["representations"][0]
    assert drawn["byError"] is None and drawn["plain"]["colorScheme"] == "element"


def test_layers_lie_over_one_another_the_first_translucent_and_each_with_its_own_errors(ethanol):
    moved = ethanol.replace(positions=ethanol.positions + [0.1, 0, 0])
    view = scene(ethanol, moved, names=["truth", "model"], errors=[None, np.full((48, 9), 0.1)], error_max_ang=0.2)
    held = np.frombuffer(view.anb_positions, "<f4").reshape(2, 48, 9, 3)
    assert_allclose(held[1], moved.positions, atol=1e-6)
    assert set(view.anb_errors) == {128} and len(view.anb_errors) == 48 * 9
    first, second = (layer["representations"][0] for layer in view.anb_scene["layers"])
    assert first["params"]["opacity"] < 1 and "opacity" not in second["params"]
    assert first["plain"]["colorValue"] != second["plain"]["colorValue"]
    assert view.anb_scene["names"] == ["truth", "model"]


def test_bonds_carry_their_mean_length_so_that_the_browser_can_see_them_break(ethanol):
    held = scene(ethanol).anb_scene
    a, b, length = held["bonds"][0]
    means = np.linalg.norm(ethanol.positions[:, a] - ethanol.positions[:, b], axis=-1).mean()
    assert length == pytest.approx(means, rel=1e-6) and held["break_ang"] == BREAK_ANG


def test_showing_other_positions_sends_them_and_no_new_description(ethanol):
    view = scene(ethanol, errors=[np.zeros((48, 9))], error_max_ang=0.2)
    sent = sent_by(view)
    view.show([ethanol.replace(positions=ethanol.positions + 1.0)], [np.full((48, 9), 0.2)])
    assert set(sent) == {"state anb_positions", "state anb_errors"} and set(view.anb_errors) == {255}


def test_links_are_plain_numbers_with_strengths_between_zero_and_one(ethanol):
    view = scene(ethanol)
    view.links([(np.int64(0), np.int64(2), np.float32(0.25)), (1, 1, 7.0)])
    assert view.anb_links == [[0, 2, 0.25], [1, 1, 1.0]]
    json.dumps(view.get_state("anb_links"))


def test_the_error_colours_darken_all_the_way():
    levels = [[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in ERROR_COLOURS]
    luminance = np.array(levels) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) < -0.05).all()


def test_errors_of_another_shape_are_refused(ethanol):
    with pytest.raises(InvalidTrajectory, match=r"\(48, 8\).*\(48, 9\)"):
        scene(ethanol, errors=[np.zeros((48, 8))])


@pytest.mark.parametrize(("n_atoms", "drawn"), [(3, "ball+stick"), (300, "licorice"), (3000, "line")])
def test_larger_molecules_are_drawn_more_simply(n_atoms, drawn):
    chain = np.zeros((1, n_atoms, 3))
    chain[0, :, 0] = 1.5 * np.arange(n_atoms)
    view = scene(Trajectory(chain, np.full(n_atoms, 6), 1.0))
    assert view.anb_scene["layers"][0]["representations"][0]["type"] == drawn


def test_the_camera_is_a_rotation_times_a_distance_that_holds_every_frame(ethanol):
    matrix = np.array(orientation(ethanol.positions)).reshape(4, 4).T
    distance = np.linalg.det(matrix[:3, :3]) ** (1 / 3)
    assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, distance**2 * np.eye(3), atol=1e-9)
    radius = np.linalg.norm(ethanol.positions + matrix[:3, 3], axis=-1).max()
    assert distance > DISTANCE_IN_RADII * radius


def test_the_longest_axis_lies_flat_and_the_shortest_points_at_the_eye(ethanol):
    matrix = np.array(orientation(ethanol.positions)).reshape(4, 4).T
    spread = ((ethanol.positions[0] + matrix[:3, 3]) @ matrix[:3, :3].T).std(0)
    assert spread[0] > spread[1] > spread[2]


def test_a_turned_molecule_is_seen_the_same_way():
    still = vibrating_ethanol(1, amplitude_ang=0).positions
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))

    def seen(positions):
        matrix = np.array(orientation(positions)).reshape(4, 4).T
        picture = (positions[0] - positions[0].mean(0)) @ matrix[:3, :3].T
        return picture / np.linalg.det(matrix[:3, :3]) ** (1 / 3)

    assert_allclose(seen(still @ turn.T)[:, :2], seen(still)[:, :2], atol=1e-6)


@pytest.mark.parametrize("n_atoms", [1, 2, 3])
def test_atoms_on_a_line_have_a_camera_too(n_atoms):
    line = np.zeros((1, n_atoms, 3))
    line[0, :, 2] = np.arange(n_atoms)
    assert np.isfinite(orientation(line)).all()


@pytest.mark.parametrize(("highest", "end"), [(0.0, 0.1), (0.03, 0.05), (0.2, 0.2), (1.01, 2.0), (7.0, 10.0)])
def test_a_scale_ends_at_a_round_number(highest, end):
    assert round_up(highest) == end


def test_the_colour_bar_names_its_unit_and_its_ends():
    words = re.sub("<[^>]*>", " ", colour_bar(0.2)).split()
    assert words[-7:] == ["0", "0.05", "0.1", "0.15", "≥", "0.2", "Å"]
    assert "aria-label" in colour_bar(0.2)
