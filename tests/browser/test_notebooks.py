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


#: What a reader does next, by notebook.
THEN = {"05_rare_events": click_a_state_of_the_map}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_shows_what_it_promises(path, page, lab):
    notebook = run_notebook(page, lab, path)
    page.wait_for_timeout(3000)  # the last widgets draw after their cells have ended
    notebook.keep_outputs(path.stem)
    assert notebook.cell_errors() == []
    THEN.get(path.stem, lambda _: None)(notebook)
    assert notebook.complaints == []
    assert not [canvas for canvas in notebook.canvases.all() if blank(pixels(canvas))]
