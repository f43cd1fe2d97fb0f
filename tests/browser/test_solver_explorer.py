"""The solver explorer in JupyterLab and Chromium: drawn, clicked, its dial turned by keys, its player followed."""

from __future__ import annotations

import pytest
from browser.lab import NotebookPage, run_notebook, write_notebook

pytestmark = pytest.mark.browser

CELLS = [
    """
from solver_studies import made_up_study
from asteroid_nb.widgets.solver_explorer import explore_study
study = made_up_study(24, tolerances=(1e-1, 1e-2, 1e-3, 1e-4))
""",
    "solver = explore_study(study)\nsolver",
]

RESIDUALS, DIAL, STEPS = range(3)

#: Where a point of a figure is on the page.
PLACE = """([index, number, x, y]) => {
  const figure = document.querySelectorAll('.anb-plot-canvas')[index];
  const [across, up] = ['xaxis', 'yaxis'].map((name) => figure._fullLayout[name + number]);
  const box = figure.getBoundingClientRect();
  return [box.left + across._offset + across.d2p(x), box.top + up._offset + up.d2p(y)];
}"""

TITLE = "(index) => document.querySelectorAll('.anb-plot-canvas')[index]._fullLayout.title.text"

SHAPES = "(index) => document.querySelectorAll('.anb-plot-canvas')[index]._fullLayout.shapes.map((s) => s._input.x0)"

ANNOTATIONS = "() => document.querySelectorAll('.anb-plot-canvas')[1]._fullLayout.annotations.map((a) => a.text)"


@pytest.fixture
def notebook(page, lab, tmp_path) -> NotebookPage:
    page.set_viewport_size({"width": 1280, "height": 1700})
    shown = run_notebook(page, lab, write_notebook(tmp_path / "solver.ipynb", CELLS))
    assert shown.cell_errors() == []
    shown.settle(lambda: page.locator(".anb-plot .main-svg").count() >= 6)
    shown.drawn(1)
    return shown


def click(notebook: NotebookPage, figure: int, axis: str, x: float, y: float) -> None:
    left, top = notebook.page.evaluate(PLACE, [figure, axis, x, y])
    notebook.page.mouse.move(left - 3, top)
    notebook.page.mouse.move(left, top)
    notebook.page.wait_for_timeout(300)
    notebook.page.mouse.click(left, top)


def title(notebook: NotebookPage, figure: int) -> str:
    return notebook.page.evaluate(TITLE, figure)


def test_clicks_keys_and_the_slider_move_every_panel(notebook):
    page = notebook.page
    assert page.evaluate(ANNOTATIONS) == ["chosen 1e-3"]
    notebook.screenshot("solver-first")
    (first,) = notebook.pictures()

    steps = notebook.ask("float(study.replays['linear+recycle', 1e-3].evaluations[7])")
    click(notebook, STEPS, "", 3.5, steps)
    notebook.settle(lambda: notebook.ask("solver.frame") == 7)
    notebook.settle(lambda: title(notebook, RESIDUALS) == "Residual at 3.5 fs")
    notebook.settle(lambda: 3.5 in page.evaluate(SHAPES, STEPS))
    (second,) = notebook.pictures()
    assert (first != second).any()

    x, y = notebook.ask("[1e-2, float(study.per_tolerance('evaluations')['cold'][1])]")
    click(notebook, DIAL, "3", x, y)
    notebook.settle(lambda: notebook.ask("[solver.policy.value, solver.tolerance.value]") == ["cold", 1e-2])
    notebook.settle(lambda: page.evaluate(ANNOTATIONS) == ["chosen 1e-2"])
    notebook.settle(lambda: "tolerance 1e-2" in title(notebook, STEPS))
    notebook.screenshot("solver-clicked")

    handle = page.locator(".anb-panel .noUi-handle").first
    handle.focus()
    page.keyboard.press("ArrowRight")
    notebook.settle(lambda: page.evaluate(ANNOTATIONS) == ["chosen 1e-3"])
    assert notebook.ask("[solver.tolerance.value, solver.frame]") == [1e-3, 7]

    slider = page.locator(".anb-panel input.anb-time").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    notebook.settle(lambda: title(notebook, RESIDUALS) == "Residual at 4 fs")
    notebook.settle(lambda: 4 in page.evaluate(SHAPES, STEPS))
    assert notebook.complaints == [] and notebook.ask("solver.errors.value") == ""


def test_it_fits_and_is_drawn_on_a_dark_theme(notebook):
    notebook.theme("JupyterLab Dark")
    choice = notebook.page.locator(".anb-panel select:not(.anb-speed)").nth(1)
    (shares,) = notebook.pictures()
    choice.select_option(label="force error")
    notebook.settle(lambda: "force error against the labels" in notebook.page.locator(".anb-panel").first.inner_text())
    notebook.settle(lambda: bool((notebook.pictures()[0] != shares).any()))
    panel = notebook.page.locator(".anb-panel").first.bounding_box()
    output = notebook.page.locator(
        ".jp-OutputArea-output", has=notebook.page.locator(".anb-panel")
    ).first.bounding_box()
    assert panel and output and panel["width"] <= output["width"] + 1
    notebook.screenshot("solver-dark")
    assert notebook.complaints == []
