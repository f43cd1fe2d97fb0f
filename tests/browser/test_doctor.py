"""The doctor's line about WebGL, in a browser that has it and in one that has not."""

from __future__ import annotations

import pytest
from browser.lab import FLAGS, run_notebook, write_notebook

pytestmark = pytest.mark.browser

CELL = "from asteroid_nb.health.diagnosis import doctor\ndiagnosis = doctor()\ndiagnosis"

#: Let the kernel have an nglview whose views stay empty.
OTHER_NGLVIEW = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: "4.0.1" if name == "nglview" else real(name)
"""


def asked(page, lab, folder, before: str = ""):
    notebook = run_notebook(page, lab, write_notebook(folder / "doctor.ipynb", [before, CELL]))
    notebook.settle(lambda: page.locator(".anb-webgl").inner_text() != "")
    notebook.settle(lambda: notebook.ask("diagnosis.browser.webgl") is not None)
    return notebook


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_browser_says_what_draws(page, lab, tmp_path, theme):
    notebook = asked(page, lab, tmp_path)
    notebook.theme(f"JupyterLab {theme}")
    line = page.get_by_role("status").filter(has_text="WebGL 2 works")
    assert "SwiftShader" in line.inner_text() and "No graphics card" in line.inner_text()
    assert notebook.ask("[diagnosis.browser.webgl, 'SwiftShader' in diagnosis.browser.renderer]") == [2, True]
    table = page.locator(".jp-OutputArea-output table")
    assert table.locator("th[scope=row]", has_text="ipykernel").count() == 1
    assert table.bounding_box()["y"] < line.bounding_box()["y"]
    states = notebook.ask("{check.name: check.state for check in diagnosis.checks}")
    assert states["JupyterLab's environment"] == states["nglview in JupyterLab"] == "ok"
    line.scroll_into_view_if_needed()
    notebook.screenshot(f"doctor-{theme}")
    assert notebook.complaints == [] == notebook.cell_errors()


def test_a_browser_without_webgl_is_told_what_to_do(browser, chromium, lab, tmp_path):
    without = browser.browser_type.launch(executable_path=chromium, args=[*FLAGS, "--disable-3d-apis"])
    try:
        page = without.new_page(viewport={"width": 1280, "height": 900})
        notebook = asked(page, lab, tmp_path, OTHER_NGLVIEW)
        said = page.locator(".anb-webgl[role=alert]").inner_text()
        for word in ("broken", "no molecule can be drawn", "disabled by", "chrome://gpu", "webgl.disabled", "Remote"):
            assert word in said
        assert notebook.ask("[diagnosis.browser.webgl, diagnosis.browser.renderer]") == [0, ""]
        first = page.locator(".jp-OutputArea-output table tbody tr").first.inner_text()
        assert first.startswith("broken") and 'pip install "nglview==4.0"' in first
        notebook.screenshot("doctor-broken")
        page.locator(".anb-webgl").scroll_into_view_if_needed()
        notebook.screenshot("doctor-without-webgl")
        assert notebook.complaints == [] == notebook.cell_errors()
        page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    finally:
        without.close()
