"""What a reader sees of `compare` in JupyterLab and Chromium."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from browser.lab import NotebookPage, blank, run_notebook, write_notebook

pytestmark = pytest.mark.browser

#: One refinement pass less, and screenshots are the same bit by bit.
SAME_EVERY_TIME = "stage={'sampleLevel': -1}"

SIDE_BY_SIDE = [
    "import numpy as np\n"
    "from vibrating import vibrating_ethanol\n"
    "from asteroid_nb.widgets.compare import compare\n"
    "reference = vibrating_ethanol(amplitude_ang=0.15, name='reference <script>alert(1)</script>')\n"
    "panel_reference = reference\n"
    "drift = np.maximum(0, np.arange(48) - 15)[:, None, None] * [0.02, 0.0, 0.0] * np.eye(9)[4][:, None]\n"
    "forecast = reference.replace(positions=reference.positions + drift, name='forecast')",
    f"panel = compare(reference, forecast, history=16, colour='error', {SAME_EVERY_TIME})\npanel",
]

#: Index of the oxygen-free hydrogen that drifts away in the forecast.
DRIFTING = 4


def opened(page, lab, folder: Path, cells: list[str]) -> NotebookPage:
    notebook = run_notebook(page, lab, write_notebook(folder / "shown.ipynb", cells))
    assert notebook.cell_errors() == []
    return notebook


@pytest.fixture
def notebook(page, lab, tmp_path) -> NotebookPage:
    shown = opened(page, lab, tmp_path, SIDE_BY_SIDE)
    shown.drawn(2)
    return shown


def frames(notebook: NotebookPage) -> list[int]:
    return notebook.ask("[view.frame for view in panel.views]")


def move_to(notebook: NotebookPage, frame: int) -> None:
    notebook.ask(f"setattr(panel, 'frame', {frame})")
    notebook.settle(lambda: frames(notebook) == [frame, frame])


def press_right(notebook: NotebookPage, times: int) -> None:
    slider = notebook.page.locator("input.anb-time")
    slider.focus()
    for _ in range(times):
        slider.press("ArrowRight")


def red(picture: np.ndarray) -> int:
    """Return how many pixels are as red as a broken bond."""
    rgb = [picture[..., channel] for channel in range(3)]
    return int(((rgb[0] > 110) & (rgb[0] > 3 * rgb[1]) & (rgb[0] > 3 * rgb[2])).sum())


def test_both_panes_are_drawn_in_a_software_renderer(notebook):
    renderer = notebook.page.evaluate(
        "() => { const gl = document.createElement('canvas').getContext('webgl2');"
        " return gl.getParameter(gl.getExtension('WEBGL_debug_renderer_info').UNMASKED_RENDERER_WEBGL); }"
    )
    assert "SwiftShader" in renderer
    assert notebook.ask("[view.n_components for view in panel.views]") == [1, 1]
    assert not any(blank(picture) for picture in notebook.pictures())
    assert notebook.complaints == []


def test_during_the_history_all_panes_look_alike_but_for_their_colours(page, lab, tmp_path):
    cells = [SIDE_BY_SIDE[0], f"panel = compare(reference, forecast, history=16, {SAME_EVERY_TIME})\npanel"]
    notebook = opened(page, lab, tmp_path, cells)
    notebook.drawn(2)
    left, right = notebook.pictures()
    assert not blank(left) and np.array_equal(left, right)
    move_to(notebook, 47)
    left, right = notebook.pictures()
    assert not np.array_equal(left, right)


def test_the_slider_moves_every_pane(notebook):
    before = notebook.pictures()
    press_right(notebook, 10)
    notebook.settle(lambda: frames(notebook) == [25, 25])
    assert notebook.page.locator(".anb-readout").inner_text() == "+5 fs"
    for old, new in zip(before, notebook.pictures(), strict=True):
        assert not blank(new) and not np.array_equal(old, new)


def test_the_slider_moves_the_panes_while_the_kernel_is_frozen(notebook):
    before, kernel = notebook.pictures(), notebook.ask("__import__('os').getpid()")
    os.kill(kernel, signal.SIGSTOP)
    try:
        press_right(notebook, 10)
        after = notebook.pictures()
    finally:
        os.kill(kernel, signal.SIGCONT)
    assert all(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_play_plays_and_stops_at_the_end(notebook):
    notebook.page.get_by_label("speed").select_option("4")
    notebook.page.get_by_label("play (space)").click()
    notebook.settle(lambda: frames(notebook)[0] > 18)
    notebook.settle(lambda: frames(notebook) == [47, 47])
    notebook.settle(lambda: not notebook.ask("panel.player.playing"))


def test_a_loop_begins_again(notebook):
    notebook.page.get_by_label("loop").check()
    move_to(notebook, 46)
    notebook.page.get_by_label("play (space)").click()
    notebook.settle(lambda: frames(notebook)[0] < 40)
    notebook.page.get_by_label("pause (space)").click()


def test_keys_step_and_play_wherever_in_the_panel_the_reader_is(notebook):
    notebook.canvases.first.click(position={"x": 5, "y": 5})
    keyboard = notebook.page.keyboard
    for key, frame in (("ArrowRight", 16), ("ArrowRight", 17), ("ArrowLeft", 16), ("End", 47), ("Home", 0)):
        keyboard.press(key)
        notebook.settle(lambda frame=frame: frames(notebook) == [frame, frame])
    keyboard.press(" ")
    notebook.settle(lambda: frames(notebook)[0] > 3)
    keyboard.press(" ")
    notebook.settle(lambda: not notebook.ask("panel.player.playing"))
    assert notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == 1


def test_a_slider_that_has_the_keyboard_plays_with_space_and_steps_once(notebook):
    slider = notebook.page.locator("input.anb-time")
    slider.focus()
    slider.press("ArrowRight")
    notebook.settle(lambda: frames(notebook) == [16, 16])
    slider.press(" ")
    notebook.settle(lambda: notebook.ask("panel.player.playing"))
    slider.press(" ")


def test_a_click_on_an_atom_chooses_it_in_every_pane(notebook):
    before = notebook.pictures()
    notebook.ask("panel.views[0].look([4,0,0,0, 0,4,0,0, 0,0,4,0, *(-panel_reference.positions[15, 2]), 1])")
    notebook.page.wait_for_timeout(500)
    box = notebook.canvases.first.bounding_box()
    notebook.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    notebook.settle(lambda: notebook.ask("[panel.atom, panel.views[1].atom]") == [2, 2])
    assert not np.array_equal(before[1], notebook.pictures()[1])


def test_a_broken_bond_is_red_and_named(page, lab, tmp_path):
    cells = [
        SIDE_BY_SIDE[0].replace("0.02", "0.04"),
        f"panel = compare(reference, forecast, history=16, {SAME_EVERY_TIME})\npanel",
    ]
    notebook = opened(page, lab, tmp_path, cells)
    notebook.drawn(2)
    caption = notebook.page.locator(".anb-caption").nth(1)
    assert not caption.is_visible()
    oxygen = red(notebook.pictures()[1])
    move_to(notebook, 47)
    left, right = notebook.pictures()
    assert caption.inner_text() == "broken: C2–H2"
    assert red(right) > red(left) + 500 and abs(red(left) - oxygen) < 2000


def test_an_overlay_shows_both_in_one_pane(page, lab, tmp_path):
    cells = [
        SIDE_BY_SIDE[0],
        f"panel = compare(reference, forecast, history=16, overlay=True, {SAME_EVERY_TIME})\npanel",
    ]
    notebook = opened(page, lab, tmp_path, cells)
    notebook.drawn(1)
    together = notebook.pictures()[0]
    notebook.ask("setattr(panel, 'frame', 47)")
    apart = notebook.pictures()[0]
    drawn = [int((np.abs(picture - picture[2, 2]).max(-1) > 24).sum()) for picture in (together, apart)]
    assert drawn[1] > drawn[0]
    notebook.screenshot("compare-overlay")
    assert notebook.complaints == []


def test_colours_follow_the_menu(notebook):
    coloured = notebook.pictures()[1]
    notebook.page.get_by_label("colours").select_option("element")
    notebook.settle(lambda: notebook.ask("panel.views[1].colour") == "element")
    assert not np.array_equal(coloured, notebook.pictures()[1])


LONG = [
    "import numpy as np\n"
    "from asteroid_nb.data.trajectory import Trajectory\n"
    "from asteroid_nb.widgets.compare import compare\n"
    "rng = np.random.default_rng(0)\n"
    "chain = np.stack([1.3 * np.arange(22), 0.5 * (np.arange(22) % 2), np.zeros(22)], -1)\n"
    "paths = [Trajectory(chain + 0.05 * rng.normal(size=(10_000, 22, 3)), np.full(22, 6), 1.0) for _ in range(2)]",
    "panel = compare(*paths, colour='error')\npanel",
]


def test_ten_thousand_frames_of_22_atoms_are_painted_within_two_seconds(page, lab, tmp_path):
    """On a busy machine, where ten frames take longer than that, too, in hardly more time than those."""
    short = "few = compare(*(path[:10] for path in paths), colour='error')\nfew"
    notebook = opened(page, lab, tmp_path, [*LONG, short])
    notebook.drawn(4)
    waited: dict[int, list[float]] = {1: [], 2: []}
    for cell in (1, 2) * 3:
        notebook.run_cell(cell)  # returns at the cell's end
        waited[cell].append(notebook.seconds_until_drawn(4))
    assert min(waited[1]) < min(8, max(2, 1.5 * min(waited[2]))), waited
    size = "[len(view.anb_errors) for view in panel.views]"
    assert notebook.ask(size) == [0, 1000 * 22], "one byte per atom and frame on show"
    size_of = "sum(len(v) if isinstance(v, bytes) else len(str(v)) for v in view.get_state().values())"
    state = f"max({size_of} for view in panel.views)"
    assert notebook.ask(state) < 8e6


def test_five_thousand_atoms_are_drawn(page, lab, tmp_path):
    many = LONG[0].replace("22", "5000").replace("10_000", "3")
    notebook = opened(page, lab, tmp_path, [many, LONG[1]])
    notebook.drawn(2)
    assert notebook.complaints == []


def test_turning_one_pane_turns_the_other(page, lab, tmp_path):
    cells = [SIDE_BY_SIDE[0], f"panel = compare(reference, reference, {SAME_EVERY_TIME})\npanel"]
    notebook = opened(page, lab, tmp_path, cells)
    notebook.drawn(2)
    before = notebook.pictures()
    assert np.array_equal(*before)
    for pane, wheel in ((0, 0), (1, 240)):
        notebook.drag(pane, 90, 40, wheel=wheel)
        after = notebook.pictures()
        assert not np.array_equal(before[0], after[0])
        assert np.array_equal(*after), f"{(after[0] != after[1]).any(-1).sum()} pixels differ"
        before = after


def test_the_atom_that_drifts_away_gets_the_last_colour(notebook):
    def reddish(picture: np.ndarray) -> int:
        red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
        return int(((red > 90) & (red > 2 * green) & (red > 1.3 * blue)).sum())

    assert reddish(notebook.pictures()[1]) == 0
    move_to(notebook, 47)
    assert reddish(notebook.pictures()[1]) > 100
    errors = f"[panel.views[1].anb_errors[47 * 9 + atom] for atom in ({DRIFTING}, 0)]"
    assert notebook.ask(errors) == [255, 0]


def test_moving_leaves_the_archive_alone(notebook):
    archive = notebook.ask("[len(view._ngl_msg_archive) for view in panel.views]")
    for _ in range(5):
        press_right(notebook, 20)
        notebook.page.keyboard.press("Home")
        press_right(notebook, 20)
    notebook.settle(lambda: frames(notebook) == [20, 20])
    assert notebook.ask("[len(view._ngl_msg_archive) for view in panel.views]") == archive


def test_names_are_text(notebook):
    shown = notebook.page.locator(".widget-html-content").all_inner_texts()
    assert any("<script>alert(1)</script>" in text for text in shown)


def test_a_second_view_of_the_panel_draws_itself(notebook):
    notebook.add_cell_and_run("panel")
    notebook.drawn(4)
    assert not any(blank(picture) for picture in notebook.pictures())
    assert notebook.complaints == []


def test_running_the_cell_again_and_again_loses_no_picture(notebook):
    for _ in range(20):
        notebook.run_cell(1)
    notebook.drawn(2)
    assert not any(blank(picture) for picture in notebook.pictures())
    assert notebook.complaints == []
    living = "__import__('ipywidgets').widgets.widget._instances.values()"
    assert notebook.ask(f"sum(type(widget).__name__ == 'Scene' for widget in {living})") == 2


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_panel_fits_the_page_and_the_theme(notebook, width, theme):
    notebook.page.set_viewport_size({"width": width, "height": 900})
    notebook.theme(f"JupyterLab {theme}")
    move_to(notebook, 40)
    notebook.screenshot(f"compare-{width}-{theme}")
    left, right = notebook.pictures()
    assert left.shape == right.shape and left.shape[1] > width / 5
    assert (left[2, 2] < 60).all() if theme == "Dark" else (left[2, 2] > 240).all()


def test_without_webgl_there_are_words_in_place_of_the_views(browser_without_3d, lab, tmp_path):
    page = browser_without_3d.new_page(viewport={"width": 1280, "height": 900})
    notebook = run_notebook(page, lab, write_notebook(tmp_path / "flat.ipynb", SIDE_BY_SIDE))
    message = page.locator(".jp-OutputArea-output .anb-alert")
    message.wait_for()
    assert "WebGL" in message.inner_text() and "hardware acceleration" in message.inner_text()
    notebook.screenshot("compare-without-webgl")
    assert not page.locator(".anb-panes").is_visible()
    press_right(notebook, 3)
    notebook.settle(lambda: notebook.ask("panel.frame") == 18)
