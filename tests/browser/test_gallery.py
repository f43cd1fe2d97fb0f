"""A page of the gallery, opened from disk with every request blocked: molecules play, figures zoom, menus say why."""

from __future__ import annotations

import numpy as np
import pytest
from browser.lab import ARTEFACTS, blank, pixels
from shown_notebook import shown_notebook

from asteroid_nb.gallery import browser as looking
from asteroid_nb.gallery.index import Card, index_page
from asteroid_nb.gallery.notebook import notebook_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("gallery") / "small.html"
    path.write_text(notebook_page(shown_notebook(), "small.ipynb").text, encoding="utf-8")
    return path


class Opened:
    """The page in a browser without a network; what it complains about and what it asks for."""

    def __init__(self, browser, path, **look):
        self.context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}, **look)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda said: self.said.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]", timeout=60_000)

    def _note(self, request) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            self.said.append(f"asked for {request.url}")

    def panes(self) -> list[np.ndarray]:
        self.page.locator(".anb-pane").first.scroll_into_view_if_needed()
        self.page.wait_for_selector(".anb-view[data-drawn]", timeout=60_000)
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(1200)  # NGL refines its picture in passes
        return [pixels(canvas) for canvas in self.page.locator(".anb-pane canvas").all()]

    def frame(self) -> int:
        return int(self.page.locator("input.anb-time").input_value())


@pytest.fixture
def opened(browser, written):
    page = Opened(browser, written)
    yield page
    assert page.said == []
    assert page.page.locator("#anb-complaints").inner_text() == ""
    page.context.close()


def test_molecules_are_drawn_and_play(opened):
    before = opened.panes()
    assert len(before) == 2 and not any(blank(picture) for picture in before)
    assert opened.frame() == 15
    opened.page.locator(".anb-panel").first.focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.frame() == 16
    opened.page.keyboard.press(" ")
    opened.page.wait_for_function("() => document.querySelector('input.anb-time').value === '39'", timeout=20_000)
    assert all(not np.array_equal(old, new) for old, new in zip(before, opened.panes(), strict=True))


def test_one_hand_turns_both_molecules(opened):
    before = opened.panes()
    box = opened.page.locator(".anb-pane canvas").first.bounding_box()
    opened.page.mouse.move(box["x"] + 100, box["y"] + 100)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 220, box["y"] + 150, steps=8)
    opened.page.mouse.up()
    assert all(not np.array_equal(old, new) for old, new in zip(before, opened.panes(), strict=True))


def test_a_figure_zooms(opened):
    canvas = opened.page.locator(".anb-view[data-figure] .anb-plot-canvas")
    area = canvas.locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    box, span = area.bounding_box(), "element => element.layout.xaxis.range[1] - element.layout.xaxis.range[0]"
    whole = canvas.evaluate(span)
    opened.page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"], steps=8)
    opened.page.mouse.up()
    opened.page.wait_for_timeout(500)
    assert canvas.evaluate(span) == pytest.approx(whole / 2, rel=0.05)


def test_what_the_browser_linked_lives_and_what_asks_the_kernel_says_so(opened):
    menu = opened.page.locator(".anb-control", has_text="asks")
    assert menu.locator("select").is_disabled() and menu.locator("select").input_value() == "1"
    assert "kernel" in menu.get_attribute("title")
    note = opened.page.locator(".anb-view", has=menu).locator(".anb-note")
    assert "lives in the notebook" in note.inner_text()
    assert opened.page.locator(".anb-note").count() == 1, "where nothing asks the kernel nothing is said"
    slider = opened.page.locator(".anb-control", has_text="linked").locator("input")
    slider.focus()
    slider.press("End")
    assert opened.frame() == 39
    assert opened.page.locator(".anb-note.anb-moved").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_screen_and_the_theme(browser, written, scheme):
    page = Opened(browser, written, color_scheme=scheme)
    corner = page.panes()[0][2, 2]
    assert (corner < 60).all() if scheme == "dark" else (corner > 240).all()
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    ARTEFACTS.mkdir(exist_ok=True)
    page.page.screenshot(path=ARTEFACTS / f"gallery-{scheme}.png", full_page=True)
    assert page.said == []
    page.context.close()


def test_without_webgl_the_page_says_so_and_its_figures_are_drawn(browser_without_3d, written):
    page = browser_without_3d.new_page()
    page.goto(written.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    page.locator(".anb-plot").first.scroll_into_view_if_needed()
    assert "WebGL" in page.locator(".anb-panel .anb-alert").inner_text()
    assert page.locator(".anb-plot .main-svg").count() >= 1


def test_its_picture_shows_the_molecules_and_stands_in_the_index(browser, written, tmp_path):
    import io

    from PIL import Image

    shot = looking.picture(browser, written)
    seen = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
    assert not blank(seen) and seen.shape[0] <= looking.WINDOW[1]
    card = Card("small.html", "Small", "told", looking.thumbnail(shot, 320))
    (tmp_path / "index.html").write_text(index_page([card]), encoding="utf-8")
    whole = np.asarray(Image.open(io.BytesIO(looking.whole_picture(browser, tmp_path / "index.html"))).convert("RGB"))
    assert not blank(whole.astype(int)) and whole.shape[1] == looking.WINDOW[0]
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    assert page.evaluate("() => document.querySelector('.anb-cards img').naturalWidth") == 320
    context.close()
