"""Delay matrices and structure in JupyterLab and Chromium: cells, curves and lists lead to frames and figures."""

from __future__ import annotations

from typing import Any

import pytest
from browser.lab import NotebookPage, run_notebook, write_notebook

pytestmark = pytest.mark.browser

#: The history is 8 frames long, and rows of the delay matrix start at frames 3, 5 and 7: −4, −2 and 0 fs.
PREPARE = """
from trained import TINY, shaken_ethanol, tiny_run
from asteroid_nb.forecast.rollout import predict
from asteroid_nb.widgets.compare import compare
from asteroid_nb.widgets.delay import explore_delay
from asteroid_nb.widgets.structure import explore_structure
run, source = tiny_run(), shaken_ethanol()
forecast = predict(run, source, starts=30, n_blocks=8)
truth = source[30 : 30 + len(forecast)]
"""

ALONE = [
    PREPARE,
    "delays = explore_delay(run, source, start=30)\ndelays",
    "shapes = explore_structure(truth, forecast, history=8)\nshapes",
]

LINKED = [
    PREPARE + "panel = compare(truth, forecast, history=8, height_px=180)",
    "panel",
    "delays = explore_delay(run, source, start=30, comparison=panel)\ndelays",
    "shapes = explore_structure(truth, forecast, history=8)\nshapes.follow(panel)\nshapes",
]

DELAYS, SHAPES = 0, 1

#: Where a point of a panel is on the page.
PLACE = """([index, number, x, y]) => {
  const figure = document.querySelectorAll('.anb-plot-canvas')[index];
  const [xaxis, yaxis] = ['xaxis', 'yaxis'].map((name) => figure._fullLayout[name + number]);
  const box = figure.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
}"""

SHAPES_OF = "(index) => document.querySelectorAll('.anb-plot-canvas')[index]._fullLayout.shapes.map((s) => s._input)"

TITLE = "(index) => document.querySelectorAll('.anb-plot-canvas')[index]._fullLayout.title.text"


def shown(page, lab, folder, cells: list[str]) -> NotebookPage:
    page.set_viewport_size({"width": 1280, "height": 2600})
    notebook = run_notebook(page, lab, write_notebook(folder / "structure.ipynb", cells))
    assert notebook.cell_errors() == []
    notebook.settle(lambda: page.locator(".anb-plot .main-svg").count() >= 4)
    return notebook


@pytest.fixture
def linked(page, lab, tmp_path) -> NotebookPage:
    return shown(page, lab, tmp_path, LINKED)


@pytest.fixture
def alone(page, lab, tmp_path) -> NotebookPage:
    return shown(page, lab, tmp_path, ALONE)


def click(notebook: NotebookPage, figure: int, panel: str, x: float, y: float) -> None:
    """Click a point of a panel by its numbers; ``panel`` is "" for the first, then "2" and so on."""
    page = notebook.page
    left, top = page.evaluate(PLACE, [figure, panel, x, y])
    page.mouse.move(left - 3, top)
    page.mouse.move(left, top)
    page.wait_for_timeout(200)
    page.mouse.click(left, top)


def struck(notebook: NotebookPage) -> set[tuple[str, float, float]]:
    """Return axis, delay and row of the cells that a line goes through."""
    drawn: list[dict[str, Any]] = notebook.page.evaluate(SHAPES_OF, DELAYS)
    lines = [shape for shape in drawn if shape["line"]["color"] == "#000000"]
    return {(line["xref"], line["x0"], (line["y0"] + line["y1"]) / 2) for line in lines}


def marks(notebook: NotebookPage, figure: int) -> list[float]:
    """Return the times at which the moment's line stands, which the present's grey one is not."""
    drawn = notebook.page.evaluate(SHAPES_OF, figure)
    return [shape["x0"] for shape in drawn if shape["type"] == "line" and shape["line"]["color"] == "#D55E00"]


def choose(notebook: NotebookPage, figure: int, which: int, label: str) -> None:
    panel = notebook.page.locator(".anb-panel").filter(has=notebook.page.locator(".anb-plot")).nth(figure)
    panel.locator("select").nth(which).select_option(label=label)


def test_a_cell_of_a_matrix_leads_every_panel_to_its_frame(linked):
    for row, delay, frame in ((0, 6, 9), (2, 3, 10), (1, 8, 13)):
        click(linked, DELAYS, "", delay, row)
        linked.settle(lambda frame=frame: linked.ask("[delays.frame, panel.frame, shapes.frame]") == [frame] * 3)
        time = frame - 7
        linked.settle(lambda time=time: marks(linked, DELAYS) == [time])
        cells = {(number, time + 4 - 2 * number) for number in range(3) if 0 <= time + 4 - 2 * number <= 8}
        assert struck(linked) == {(axis, lag, number) for axis in ("x", "x2", "x3") for number, lag in cells}
    linked.page.wait_for_timeout(300)
    linked.screenshot("delay-cell-clicked")
    assert linked.complaints == []


def test_a_moment_of_the_comparison_moves_the_marks_and_so_does_a_click_on_a_curve(linked):
    linked.ask("setattr(panel, 'frame', 11)")
    linked.settle(lambda: marks(linked, DELAYS) == [4.0])
    click(linked, DELAYS, "4", 6.0, 0.0)
    linked.settle(lambda: linked.ask("panel.frame") == 13)
    choose(linked, SHAPES, 0, "torsion")
    linked.settle(lambda: "Torsion H4–C1–C2–O1" in linked.page.evaluate(TITLE, SHAPES))
    linked.settle(lambda: marks(linked, SHAPES) == [6.0])
    curve = linked.ask("dict(zip(*[shapes._drawn().figure.data[0][axis].tolist() for axis in 'xy']))[20.0]")
    click(linked, SHAPES, "", 20.0, curve)
    linked.settle(lambda: linked.ask("[panel.frame, delays.frame]") == [27, 27])
    linked.settle(lambda: marks(linked, DELAYS) == [20.0] and not struck(linked))
    assert linked.complaints == []


def test_lists_choose_atom_coordinate_and_what_is_drawn(linked):
    choose(linked, DELAYS, 0, "O1")
    linked.settle(lambda: "O1, x" in linked.page.evaluate(TITLE, DELAYS))
    choose(linked, DELAYS, 1, "distance from now")
    linked.settle(lambda: "O1, distance from now" in linked.page.evaluate(TITLE, DELAYS))
    assert linked.ask("[delays.atom, panel.atom]") == [2, 2]
    choose(linked, SHAPES, 0, "torsion")
    linked.settle(lambda: linked.ask("list(shapes.which.options)[-1][0]") == "C1–C2–O1–H1")
    choose(linked, SHAPES, 1, "C1–C2–O1–H1")
    linked.settle(lambda: "Torsion C1–C2–O1–H1" in linked.page.evaluate(TITLE, SHAPES))
    for kind, title in (("density of states", "Vibrational density"), ("temperature", "Temperature per element")):
        choose(linked, SHAPES, 0, kind)
        linked.settle(lambda title=title: title in linked.page.evaluate(TITLE, SHAPES))
    assert linked.complaints == [] and linked.ask("shapes.errors.value + delays.errors.value") == ""


def test_alone_its_own_player_moves_the_marks(alone):
    assert marks(alone, DELAYS) == [0.0] and len(struck(alone)) == 9
    slider = alone.page.locator(".anb-panel input[type=range]").first
    slider.focus()
    for _ in range(3):
        alone.page.keyboard.press("ArrowRight")
    alone.settle(lambda: marks(alone, DELAYS) == [3.0])
    alone.settle(lambda: alone.ask("delays.frame") == 10)  # the browser moves first, its kernel hears of it
    assert alone.complaints == []


def test_a_spectrum_that_cannot_be_is_refused_in_words_and_the_next_figure_is_drawn(alone):
    alone.ask("shapes.show(truth[:30], forecast[:30])")
    choose(alone, SHAPES, 0, "density of states")
    words = alone.page.locator(".anb-plot").nth(SHAPES)
    alone.settle(lambda: "cannot tell bending" in "".join(words.locator(".annotation").all_text_contents()))
    alone.screenshot("structure-refused")
    choose(alone, SHAPES, 0, "bond lengths")
    alone.settle(lambda: words.locator(".scatterlayer .trace").count() == 2)
    assert alone.complaints == []


@pytest.mark.parametrize("width", [1280, 1920])
def test_both_look_right_on_either_theme(alone, width):
    page = alone.page
    page.set_viewport_size({"width": width, "height": 1000})
    for theme in ("Light", "Dark"):
        alone.theme(f"JupyterLab {theme}")
        for index, kind in enumerate(("torsion", "bond lengths", "all distances", "temperature", "density of states")):
            choose(alone, SHAPES, 0, kind)
            if index == 0:
                page.locator(".anb-plot").nth(DELAYS).scroll_into_view_if_needed()
                page.wait_for_timeout(600)
                alone.screenshot(f"delay-{theme}-{width}")
            page.locator(".anb-panel").nth(1).scroll_into_view_if_needed()
            page.wait_for_timeout(600)
            alone.screenshot(f"structure-{kind}-{theme}-{width}")
        wide = page.locator(".anb-plot-canvas").nth(DELAYS).bounding_box()
        assert wide and wide["width"] > 0.6 * (width - 400)
    assert alone.complaints == []
