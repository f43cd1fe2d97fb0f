"""Look at a page in a real Chromium, without a network, and keep pictures of what it shows."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: System names under which a Chromium is looked for, before the one Playwright may have downloaded.
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: WebGL by the processor, also in Chrome builds that hide it behind flags.
FLAGS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox")

#: The window in which pictures are taken.
WINDOW = (1280, 800)

#: Colours kept of a picture.
N_COLOURS = 128

#: A busy machine draws slowly.
DRAWN_S, REST_MS = 240, 2500

#: Around the view in its picture.
MARGIN_PX = 8

#: The outermost view that holds most: molecules count for more than figures.
RICHEST = """() => {
  const views = [...document.querySelectorAll('.anb-view')];
  const worth = (view) => 3 * view.querySelectorAll('.anb-pane').length + view.querySelectorAll('.anb-plot').length;
  const best = views.reduce((most, view, at) => (worth(view) > worth(views[most]) ? at : most), 0);
  return views.length && worth(views[best]) ? best : -1;
}"""

#: The end of a path tells more than its beginning, but words and figures that ask the kernel would not follow there.
AT_ITS_END = """(view) => {
  const time = view.querySelector('input.anb-time');
  if (!time || !view.anbRoot || view.anbRoot.still) return;
  time.value = time.max;
  time.dispatchEvent(new Event('input'));
}"""


@functools.cache
def chromium_path() -> str | None:
    """Return a Chromium that starts, the system's before Playwright's, or None."""
    found = [shutil.which(name) for name in CHROMIUM_NAMES]
    return next((path for path in [*found, _playwright_chromium()] if path and _starts(path)), None)


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a Chromium, or None where there is none or no Playwright to drive it."""
    path = chromium_path()
    if path is None or not _has_playwright():
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield started
        finally:
            started.close()


def picture(chromium: Any, page: Path) -> bytes:
    """Return a PNG, a window high, from the view on that holds most, or of the top where a page has none."""
    with _opened(chromium, page) as opened:
        opened.wait_for_selector("body[data-ready]")
        at = opened.evaluate(RICHEST)
        box = _prepared(opened, at) if at >= 0 else {"x": 0, "y": 0, "width": WINDOW[0], "height": WINDOW[1]}
        opened.mouse.move(2, 2)
        opened.wait_for_timeout(REST_MS)
        shot = opened.screenshot(full_page=True, clip={**box, "height": WINDOW[1]})
    return _few_colours(shot)


def whole_picture(chromium: Any, page: Path) -> bytes:
    """Return a PNG of all of a page that draws nothing by itself."""
    with _opened(chromium, page) as opened:
        return _few_colours(opened.screenshot(full_page=True))


@contextmanager
def _opened(chromium: Any, page: Path) -> Iterator[Any]:
    """Yield the page in a window without a network."""
    width, height = WINDOW
    context = chromium.new_context(offline=True, viewport={"width": width, "height": height}, color_scheme="light")
    context.set_default_timeout(DRAWN_S * 1000)
    try:
        opened = context.new_page()
        opened.goto(page.resolve().as_uri())
        yield opened
    finally:
        context.close()


def _prepared(opened: Any, at: int) -> dict[str, float]:
    """Return where the view is on the page, drawn and at the end of its path."""
    view = opened.locator(".anb-view").nth(at)
    view.scroll_into_view_if_needed()
    if view.locator(".anb-pane").count():
        opened.wait_for_function("view => view.dataset.drawn", arg=view.element_handle())
    view.evaluate(AT_ITS_END)
    opened.evaluate("() => scrollTo(0, 0)")
    box = view.bounding_box()
    return {
        "x": max(0, box["x"] - MARGIN_PX),
        "y": max(0, box["y"] - MARGIN_PX),
        "width": box["width"] + 2 * MARGIN_PX,
        "height": box["height"] + 2 * MARGIN_PX,
    }


def _few_colours(shot: bytes) -> bytes:
    from PIL import Image

    kept = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(N_COLOURS).save(kept, "PNG", optimize=True)
    return kept.getvalue()


def thumbnail(content: bytes, width: int) -> bytes:
    """Return a PNG of this width with the same proportions."""
    from PIL import Image

    whole = Image.open(io.BytesIO(content)).convert("RGB")
    kept = io.BytesIO()
    small = whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)
    small.quantize(N_COLOURS).save(kept, "PNG", optimize=True)
    return kept.getvalue()


def _has_playwright() -> bool:
    from importlib.util import find_spec

    return find_spec("playwright") is not None


def _playwright_chromium() -> str | None:
    if not _has_playwright():
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def _starts(path: str) -> bool:
    if not Path(path).exists():
        return False
    return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
