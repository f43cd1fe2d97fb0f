"""The dashboard in JupyterLab: a click anywhere moves everything, on a laptop screen and on a projector."""

from __future__ import annotations

import numpy as np
import pytest
from browser.lab import NotebookPage, run_notebook, write_notebook

pytestmark = pytest.mark.browser

CELLS = [
    "from small_run import small_run, small_table\nfrom asteroid_nb.dashboard import explore",
    "panel = explore(small_run(), errors=small_table())\npanel",
]


@pytest.fixture
def notebook(page, lab, tmp_path) -> NotebookPage:
    shown = run_notebook(page, lab, write_notebook(tmp_path / "explore.ipynb", CELLS))
    assert shown.cell_errors() == []
    shown.drawn(2)
    return shown


def frames(notebook: NotebookPage) -> list[int]:
    return notebook.ask("[view.frame for view in panel.comparison.views]")


def open_tab(notebook: NotebookPage, name: str) -> None:
    notebook.page.get_by_role("tab", name=name).click()
    notebook.page.wait_for_timeout(1500)


def click_in(notebook: NotebookPage, plot: int, across: float, down: float) -> None:
    """Click into the drawing area of one of the plots in sight."""
    area = notebook.page.locator(".anb-plot:visible").nth(plot).locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(300)
    box = area.bounding_box()
    x, y = box["x"] + across * box["width"], box["y"] + down * box["height"]
    notebook.page.mouse.move(x, y)
    notebook.page.wait_for_timeout(300)
    notebook.page.mouse.click(x, y)


def test_a_click_on_the_error_plot_shows_that_frame_in_every_pane_and_the_reverse(notebook):
    point = notebook.page.locator(".anb-plot:visible").first.locator(".scatterlayer .trace").last.locator(".point")
    target = point.nth(4)  # lead times of 1, 2, … fs
    before = notebook.pictures()
    target.scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(300)
    box = target.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    notebook.page.mouse.move(x, y)
    notebook.page.wait_for_timeout(300)
    notebook.page.mouse.click(x, y)
    present = notebook.ask("panel.comparison.present")
    notebook.settle(lambda: frames(notebook) == [present + 5] * 2)
    assert notebook.page.locator(".anb-readout").first.inner_text() == "+5 fs"
    assert all(not np.array_equal(old, new) for old, new in zip(before, notebook.pictures(), strict=True))
    slider = notebook.page.locator("input.anb-time").first
    slider.focus()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    marked = "document.querySelector('.anb-plot-canvas').layout.shapes.filter(s => s.line.dash === 'dot').at(-1).x0"
    notebook.settle(lambda: notebook.page.evaluate(f"() => {marked}") == 7)
    assert notebook.complaints == []


def test_a_click_on_a_window_loads_it_and_a_click_on_a_bar_chooses_the_atom(notebook):
    before, window = notebook.pictures(), notebook.ask("panel.window")
    click_in(notebook, 1, 0.9, 0.02 if window else 0.5)
    notebook.settle(lambda: notebook.ask("panel.window") != window)
    assert notebook.ask("panel.panels['errors'].window") == notebook.ask("panel.window")
    after = notebook.pictures()
    assert all(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    click_in(notebook, 2, 4.5 / 9, 0.95)
    notebook.settle(lambda: notebook.ask("[v.atom for v in panel.comparison.views]") == [4, 4])
    open_tab(notebook, "Delay matrix")
    notebook.settle(lambda: notebook.ask("panel.panels['delay matrix'].who.index") == 4)
    open_tab(notebook, "Attention")
    notebook.settle(lambda: len(notebook.ask("panel.comparison.views[0].anb_links")) > 0)
    assert notebook.complaints == []


def test_every_panel_opens_and_draws(notebook):
    for name in ("Attention", "Delay matrix", "Structure", "Training"):
        open_tab(notebook, name)
        notebook.settle(lambda: notebook.page.locator(".anb-plot:visible .main-svg").count() > 0)
        notebook.page.get_by_role("tab", name=name).scroll_into_view_if_needed()
        notebook.screenshot(f"explore-{name}")
    assert notebook.complaints == []


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_dashboard_fits_the_page_and_the_theme(notebook, width, theme):
    notebook.page.set_viewport_size({"width": width, "height": 1000})
    notebook.theme(f"JupyterLab {theme}")
    notebook.ask("setattr(panel.comparison, 'frame', panel.comparison.present + 6)")
    notebook.ask("setattr(panel.comparison, 'atom', 3)")
    notebook.page.locator(".anb-panel").first.scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(1500)
    notebook.screenshot(f"explore-{width}-{theme}")
    boxes = [notebook.page.locator(side).bounding_box() for side in (".anb-left", ".anb-right")]
    assert (boxes[0]["y"] == boxes[1]["y"]) == (width == 1920), "beside one another where there is room"
    assert all(box["x"] + box["width"] <= width for box in boxes)
