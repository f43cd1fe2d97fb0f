"""Every notebook of the project runs from top to bottom in a real JupyterLab: no error, no blank picture."""

from __future__ import annotations

import pytest
from browser.lab import ROOT, blank, pixels, run_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

#: Where a point of the state explorer's figure is on the page, scrolled to; torsions in degrees.
PLACE = """([phi, psi]) => {
  const figure = document.querySelector('.anb-panel .anb-plot-canvas');
  figure.scrollIntoView({ block: 'center' });
  const { xaxis, yaxis } = figure._fullLayout;
  const box = figure.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(phi), box.top + yaxis._offset + yaxis.d2p(psi)];
}"""

TITLE = "() => document.querySelector('.anb-panel .anb-plot-canvas')._fullLayout.title.text"


def click_a_state_of_the_map(notebook):
    """Open the Ramachandran maps of the rare-event notebook, click αL, and see a molecule turn up."""
    page = notebook.page
    page.locator(".anb-panel select").first.select_option(label="Ramachandran maps")
    notebook.settle(lambda: page.evaluate(TITLE) == "Ramachandran maps")
    page.wait_for_timeout(500)
    left, top = page.evaluate(PLACE, [56, 20])
    page.mouse.move(left - 3, top)
    page.mouse.move(left, top)
    page.wait_for_timeout(300)
    page.mouse.click(left, top)
    notebook.settle(lambda: notebook.ask("explorer.state.label") == "αL")
    notebook.drawn(1)
    notebook.screenshot("05_rare_events-clicked")
    assert page.locator(".anb-readout").inner_text().endswith(" ns")
    assert notebook.ask("explorer.errors.value") == ""


#: Where a point of the solver explorer's dial is on the page, scrolled to: the middle of the panels is evaluations.
POINT_OF_THE_DIAL = """([tolerance, evaluations]) => {
  const figure = document.querySelectorAll('.anb-panel .anb-plot-canvas')[1];
  figure.scrollIntoView({ block: 'center' });
  const { xaxis3, yaxis3 } = figure._fullLayout;
  const box = figure.getBoundingClientRect();
  return [box.left + xaxis3._offset + xaxis3.d2p(tolerance), box.top + yaxis3._offset + yaxis3.d2p(evaluations)];
}"""


def click_a_point_of_the_dial(notebook):
    """Choose the cold start at a loose tolerance by its point in the dial, and see every panel follow."""
    page = notebook.page
    tolerance, policy = 1e-2, "cold"
    assert notebook.ask("solver.tolerance.value") != tolerance
    at = f"solver.study.per_tolerance('evaluations')['{policy}'][solver.study.tolerances.index({tolerance})]"
    point = [tolerance, notebook.ask(f"float({at})")]
    page.evaluate(POINT_OF_THE_DIAL, point)
    page.wait_for_timeout(500)
    left, top = page.evaluate(POINT_OF_THE_DIAL, point)
    page.mouse.move(left - 3, top)
    page.mouse.move(left, top)
    page.wait_for_timeout(300)
    page.mouse.click(left, top)
    notebook.settle(lambda: notebook.ask("[solver.policy.value, solver.tolerance.value]") == [policy, tolerance])
    notebook.screenshot("06_equilibrium-clicked")
    assert notebook.ask("solver.errors.value") == ""


#: What a reader does next, by notebook.
THEN = {"05_rare_events": click_a_state_of_the_map, "06_equilibrium": click_a_point_of_the_dial}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_shows_what_it_promises(path, page, lab):
    notebook = run_notebook(page, lab, path)
    page.wait_for_timeout(3000)  # the last widgets draw after their cells have ended
    notebook.keep_outputs(path.stem)
    assert notebook.cell_errors() == []
    THEN.get(path.stem, lambda _: None)(notebook)
    assert notebook.complaints == []
    assert not [canvas for canvas in notebook.canvases.all() if blank(pixels(canvas))]
