"""Make the README's picture: run the first notebook in a real JupyterLab and keep what it shows (``make picture``)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from browser.lab import ARTEFACTS, FLAGS, ROOT, run_notebook, running_lab  # noqa: E402
from conftest import chromium_path  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

OUT = ROOT / "notebooks" / "picture.png"

#: Which outputs of the notebook make the picture, by words that stand in them.
SHOWN = ("STI-Transformer forecast", "Error over the horizon")


def main() -> None:
    path = chromium_path()  # asked for before Playwright runs, because it may ask Playwright
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder)) as lab, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = chromium.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
        ARTEFACTS.mkdir(exist_ok=True)
        notebook = run_notebook(page, lab, ROOT / "notebooks" / "01_forecast.ipynb")
        assert not notebook.cell_errors(), notebook.cell_errors()
        notebook.theme("JupyterLab Light")
        join([output_with(page, words, folder=ARTEFACTS) for words in SHOWN], OUT)
        chromium.close()
    print(OUT.relative_to(ROOT), f"{OUT.stat().st_size // 1000} kB")


def output_with(page: Page, words: str, *, folder: Path) -> Path:
    """Keep a screenshot of the output that holds these words, its slider three quarters along."""
    output = page.locator(".jp-Cell-outputWrapper", has_text=words).last
    output.scroll_into_view_if_needed()
    for track in output.locator(".noUi-base").all():
        box = track.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.move(2, 2)
    page.wait_for_timeout(1500)
    path = folder / f"picture-{words.split()[0]}.png"
    output.screenshot(path=path)
    return path


def join(parts: list[Path], out: Path) -> None:
    """Stack pictures."""
    pictures = [Image.open(part).convert("RGB") for part in parts]
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    whole.save(out, optimize=True)


if __name__ == "__main__":
    main()
