"""Every notebook of the project runs from top to bottom in a real JupyterLab: no error, no blank picture."""

from __future__ import annotations

import pytest
from browser.lab import ROOT, blank, pixels, run_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_shows_what_it_promises(path, page, lab):
    notebook = run_notebook(page, lab, path)
    page.wait_for_timeout(3000)  # the last widgets draw after their cells have ended
    notebook.keep_outputs(path.stem)
    assert notebook.cell_errors() == []
    assert notebook.complaints == []
    assert not [canvas for canvas in notebook.canvases.all() if blank(pixels(canvas))]
