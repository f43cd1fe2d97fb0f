"""Make the README's picture: run the first notebook in a real JupyterLab and keep what it shows (``make picture``)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from browser.lab import ARTEFACTS, FLAGS, ROOT, NotebookPage, run_notebook, running_lab  # noqa: E402
from conftest import chromium_path  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

OUT = ROOT / "notebooks" / "picture.png"

#: Which output of the notebook makes the picture, by words that stand in it.
SHOWN = "the best rival"

#: What of it fits into the window; the rest of a higher output comes out grey.
SEEN_PX = 965


def main() -> None:
    path = chromium_path()  # asked for before Playwright runs, because it may ask Playwright
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder)) as lab, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = chromium.new_page(viewport={"width": 1800, "height": 1100}, color_scheme="light")
        ARTEFACTS.mkdir(exist_ok=True)
        notebook = run_notebook(page, lab, ROOT / "notebooks" / "01_forecast.ipynb")
        assert not notebook.cell_errors(), notebook.cell_errors()
        notebook.theme("JupyterLab Light")
        picture_of(notebook, SHOWN, OUT)
        chromium.close()
    print(OUT.relative_to(ROOT), f"{OUT.stat().st_size // 1000} kB")


def picture_of(notebook: NotebookPage, words: str, out: Path) -> None:
    """Keep a picture of the output that holds these words, at the end of the forecast, with an atom chosen."""
    page = notebook.page
    output = page.locator(".jp-Cell-outputWrapper", has_text=words).last
    output.scroll_into_view_if_needed()
    slider = output.locator("input.anb-time").first
    slider.focus()
    slider.press("End")
    menu = output.locator(".widget-dropdown:visible").filter(has=page.locator("label", has_text="atom"))
    menu.locator("select").select_option(index=5)
    page.mouse.move(2, 2)
    page.wait_for_timeout(2500)
    output.screenshot(path=out)
    picture = Image.open(out).convert("RGB")
    picture.crop((0, 0, picture.width, min(picture.height, SEEN_PX))).quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    main()
