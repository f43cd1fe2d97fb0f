"""The error explorer in JupyterLab and Chromium: every click does what its control does, and is seen in the kernel."""

from __future__ import annotations

import itertools

import pytest
from browser.lab import ARTEFACTS, NotebookPage, run_notebook, write_notebook
from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

#: Names as long as those of real rivals, because legends must hold them.
TABLE = """
from error_tables import error_table
from asteroid_nb.widgets.error_explorer import explore_errors, ErrorExplorer
names = ("STI-Transformer", "mean of history", "copy", "constant velocity", "AR(9)", "ridge, superposed",
         "ridge, equivariant", "ridge, local frames", "LSTM", "plain Transformer")
labels = tuple(f"{'CHO'[atom % 3]}{atom + 1}" for atom in range(21))
table = error_table(60, 32, labels, names)
told = []
"""

ALONE = [TABLE, "explorer = ErrorExplorer(table, on_window=told.append)\nexplorer"]

BESIDE = [
    TABLE + "from vibrating import vibrating_ethanol\n"
    "from asteroid_nb.widgets.compare import compare\n"
    "film = lambda seed: vibrating_ethanol(24, seed=seed, dt_fs=2.0)\n"
    "def load(window):\n"
    "    told.append(window)\n"
    "    return film(window), film(window + 100)\n"
    "table = error_table(20, 16, tuple(film(0).labels), names)\n"
    "panel = compare(film(0), film(1), history=8, height_px=200)",
    "panel",
    "explorer = explore_errors(table, comparison=panel, load=load)\nexplorer",
]

CURVES, MAP, BARS = range(3)

#: Where a point of a figure is on the page.
PLACE = """([index, x, y]) => {
  const figure = document.querySelectorAll('.anb-plot-canvas')[index];
  const { xaxis, yaxis } = figure._fullLayout;
  const box = figure.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
}"""

MARK = """(index) => document.querySelectorAll('.anb-plot-canvas')[index]._fullLayout.shapes
  .filter(({ line }) => line.dash === 'dot').map(({ x0 }) => x0)"""


def shown(page, lab, folder, cells: list[str]) -> NotebookPage:
    notebook = run_notebook(page, lab, write_notebook(folder / "errors.ipynb", cells))
    assert notebook.cell_errors() == []
    notebook.settle(lambda: page.locator(".anb-plot .main-svg").count() >= 6)
    return notebook


@pytest.fixture
def notebook(page, lab, tmp_path) -> NotebookPage:
    page.set_viewport_size({"width": 1280, "height": 1800})
    return shown(page, lab, tmp_path, ALONE)


def click(notebook: NotebookPage, figure: int, x: float, y: float) -> None:
    notebook.page.locator(".anb-plot-canvas").nth(figure).scroll_into_view_if_needed()
    place = notebook.page.evaluate(PLACE, [figure, x, y])
    notebook.page.mouse.move(*place)
    notebook.page.wait_for_timeout(150)
    notebook.page.mouse.click(*place)


def mark(notebook: NotebookPage, figure: int) -> list[float]:
    return notebook.page.evaluate(MARK, figure)


def title(notebook: NotebookPage, figure: int) -> str:
    return notebook.page.locator(".anb-plot").nth(figure).locator(".gtitle").text_content() or ""


def control(notebook: NotebookPage, description: str) -> Locator:
    return notebook.page.locator(f".anb-panel .widget-inline-hbox:has(label:text-is('{description}'))")


def test_a_click_on_the_curve_sets_the_frame_and_setting_the_frame_moves_the_marks(notebook):
    lead = 11
    height = notebook.ask(f"float(table.by_lead('STI-Transformer')[{lead}])")
    click(notebook, CURVES, 24.0, height)
    notebook.settle(lambda: notebook.ask("explorer.frame") == lead)
    notebook.settle(lambda: mark(notebook, CURVES) == [24.0] == mark(notebook, MAP))
    notebook.settle(lambda: "24 fs ahead" in title(notebook, BARS))
    notebook.settle(lambda: "At 24 fs" in (notebook.page.locator(".anb-panel").text_content() or ""))
    notebook.ask("setattr(explorer, 'frame', 4)")
    notebook.settle(lambda: mark(notebook, CURVES) == [10.0] == mark(notebook, MAP))
    notebook.settle(lambda: "10 fs ahead" in title(notebook, BARS))
    notebook.settle(lambda: notebook.ask("[explorer.map.frame, explorer.controls.time.index]") == [4, 4])
    assert notebook.complaints == []


@pytest.mark.parametrize("order", ["start", "worst"])
def test_a_click_on_a_cell_chooses_its_window_and_its_moment(notebook, order):
    notebook.ask(f"setattr(explorer.controls.rows, 'value', '{order}')")
    row, lead = 23, 20
    expected = notebook.ask(f"int(explorer._draw_map().data[0].customdata[{row}, 0, 0])")
    heading = "walker and start" if order == "start" else "worst first"
    notebook.settle(lambda: heading in (notebook.page.locator(".ytitle").nth(MAP).text_content() or ""))
    click(notebook, MAP, 2.0 * (lead + 1), row)
    notebook.settle(lambda: notebook.ask("[told, explorer.window, explorer.frame]") == [[expected], expected, lead])
    notebook.settle(lambda: mark(notebook, CURVES) == [42.0])
    legend = notebook.page.locator(".anb-plot").nth(CURVES).locator(".legend")
    notebook.settle(lambda: f"window {expected}" in (legend.text_content() or ""))
    notebook.settle(lambda: f"Window {expected}:" in (notebook.page.locator(".anb-panel").text_content() or ""))
    assert notebook.complaints == []


def test_a_click_on_a_bar_chooses_its_atom(notebook):
    click(notebook, BARS, 5, 0.001)
    notebook.settle(lambda: notebook.ask("[explorer.atom, explorer.controls.atom.value]") == [5, 5])
    notebook.settle(lambda: control(notebook, "atom").locator("select").input_value() == "O6")
    assert notebook.complaints == []


def test_the_keyboard_does_what_clicks_do(notebook):
    control(notebook, "window").locator("select").select_option("best")
    notebook.settle(lambda: notebook.ask("told == [explorer._picked('best')]"))
    control(notebook, "atom").locator("select").select_option("H2")
    notebook.settle(lambda: notebook.ask("explorer.bars.atom") == 1)
    handle = control(notebook, "lead time").locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowLeft")
    notebook.settle(lambda: notebook.ask("explorer.frame") == 30 and mark(notebook, CURVES) == [62.0])
    handle = control(notebook, "place").locator(".noUi-handle")
    before = notebook.ask("explorer.controls.place.value")
    handle.focus()
    handle.press("ArrowRight" if before < 59 else "ArrowLeft")
    notebook.settle(lambda: notebook.ask("len(told)") == 2)
    assert notebook.complaints == []


def test_an_error_of_the_callback_is_seen_under_the_widget(page, lab, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 1800})
    failing = "explorer = ErrorExplorer(table, on_window=lambda window: 1 / 0)\nexplorer"
    notebook = shown(page, lab, tmp_path, [TABLE, failing])
    click(notebook, MAP, 20.0, 30)
    alert = page.locator(".anb-panel [role=alert]")
    alert.wait_for(timeout=10_000)
    assert "ZeroDivisionError division by zero" in (alert.text_content() or "") and alert.is_visible()
    notebook.settle(lambda: notebook.ask("explorer.frame") == 9 and "20 fs ahead" in title(notebook, BARS))
    assert alert.is_visible(), "what succeeds afterwards does not hide it"
    page.locator(".anb-panel").screenshot(path=ARTEFACTS / "errors-callback.png")


def test_beside_a_comparison_both_lead(page, lab, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 2200})
    notebook = shown(page, lab, tmp_path, BESIDE)
    notebook.drawn(2)
    frames = "[panel.frame, *(view.frame for view in panel.views), explorer.frame]"
    height = notebook.ask("float(table.by_lead('STI-Transformer')[10])")
    click(notebook, CURVES, 22.0, height)
    notebook.settle(lambda: notebook.ask(frames) == [18] * 4)
    notebook.ask("setattr(panel, 'frame', 3)")
    notebook.settle(lambda: notebook.ask(frames) == [3] * 4)
    notebook.settle(lambda: "history" in (page.locator(".anb-panel").last.text_content() or ""))
    notebook.settle(lambda: mark(notebook, CURVES) == [-8.0])
    click(notebook, BARS, 4, 0.001)
    notebook.settle(lambda: notebook.ask("[panel.atom, *(view.atom for view in panel.views)]") == [4, 4, 4])
    notebook.ask("setattr(panel, 'atom', 2)")
    notebook.settle(lambda: notebook.ask("explorer.atom") == 2)
    click(notebook, MAP, 10.0, 6)
    notebook.settle(lambda: notebook.ask("told[1:] == [explorer.window]") and notebook.ask(frames) == [12] * 4)
    page.screenshot(path=ARTEFACTS / "errors-beside.png")
    assert notebook.complaints == []


def test_the_figures_keep_up_with_a_film_and_end_with_it(page, lab, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 2200})
    notebook = shown(page, lab, tmp_path, BESIDE)
    notebook.drawn(2)
    notebook.ask("[setattr(panel, 'frame', 0), setattr(panel.player, 'playing', True)]")
    notebook.settle(lambda: not notebook.ask("panel.player.playing"))
    notebook.settle(lambda: "32 fs ahead" in title(notebook, BARS), 3)
    notebook.settle(lambda: notebook.ask("[panel.frame, explorer.frame]") == [23, 23] and mark(notebook, MAP) == [32.0])
    assert notebook.ask("explorer.errors.value") == "" and notebook.complaints == []


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_fits_the_screen_in_both_themes(page, lab, tmp_path, width, theme):
    page.set_viewport_size({"width": width, "height": 1800})
    notebook = shown(page, lab, tmp_path, ALONE)
    notebook.theme(f"JupyterLab {theme}")
    notebook.ask("[setattr(explorer, 'frame', 15), setattr(explorer, 'atom', 3)]")
    notebook.settle(lambda: "32 fs ahead" in title(notebook, BARS))
    panel = page.locator(".anb-panel")
    box = panel.bounding_box()
    assert box is not None and box["x"] + box["width"] <= width
    for figure in (CURVES, MAP, BARS):
        area = page.locator(".anb-plot-canvas").nth(figure).bounding_box()
        assert area is not None and area["width"] >= (560, 410, 410)[figure]
    # Title, memory, curves, axis title and legend stand below one another.
    parts = (".gtitle-subtitle", ".annotation-text-g", ".scatterlayer", ".g-xtitle", ".legend")
    found = [page.locator(".anb-plot").nth(CURVES).locator(part).first.bounding_box(timeout=5000) for part in parts]
    boxes = [box for box in found if box is not None]
    assert len(boxes) == len(parts)
    for upper, lower in itertools.pairwise(boxes):
        assert upper["y"] + upper["height"] <= lower["y"] + 2
    panel.screenshot(path=ARTEFACTS / f"errors-{theme}-{width}.png")
    assert notebook.complaints == []
