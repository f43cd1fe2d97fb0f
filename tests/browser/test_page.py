"""The exported page, opened from disk with every request blocked: it plays, and all its panels follow one another."""

from __future__ import annotations

import numpy as np
import pytest
from browser.lab import ARTEFACTS, blank, pixels
from small_run import small_run, small_table

from asteroid_nb.reporting.report import report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "page.html"
    return report(small_run(), path, errors=small_table(), title="<script>alert(1)</script>")


class Opened:
    """The page in a browser without a network; what it complains about and what it asks for."""

    def __init__(self, browser, path, **look):
        self.context = browser.new_context(offline=True, **look)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda said: self.said.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]", timeout=60_000)
        self.url = path.as_uri()

    def _note(self, request) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            self.said.append(f"asked for {request.url}")

    def hub(self, name: str):
        return self.page.evaluate(f"() => anbHub.get('{name}')")

    def set(self, name: str, value) -> None:
        self.page.evaluate(f"([value]) => anbHub.set('{name}', value)", [value])
        self.page.wait_for_timeout(300)

    def panes(self) -> list[np.ndarray]:
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(1200)  # NGL refines its picture in passes
        return [pixels(canvas) for canvas in self.page.locator("#anb-panes canvas").all()]

    def section(self, number: int):
        return self.page.locator(".anb-section").nth(number)

    def click_in_plot(self, number: int, across: float, down: float) -> None:
        area = self.section(number).locator(".nsewdrag").first
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        self.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        self.page.wait_for_timeout(300)
        self.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
        self.page.wait_for_timeout(500)


@pytest.fixture
def opened(browser, written):
    page = Opened(browser, written, viewport={"width": 1280, "height": 900})
    yield page
    assert page.said == []
    page.context.close()


def test_both_molecules_are_drawn_and_the_title_is_text(opened):
    assert all(not blank(picture) for picture in opened.panes())
    assert opened.page.locator("h1").inner_text() == "<script>alert(1)</script>"
    assert opened.page.locator(".anb-plot").count() == 6


def test_it_plays_by_key(opened):
    before = opened.panes()
    opened.page.locator("main").focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.hub("frame") == small_run().settings.history
    opened.page.keyboard.press(" ")
    opened.page.wait_for_function("() => !anbHub.get('playing')", timeout=20_000)
    assert opened.hub("frame") == len(opened.hub("times_fs")) - 1
    assert any(not np.array_equal(old, new) for old, new in zip(before, opened.panes(), strict=True))


def test_a_click_on_a_curve_shows_that_time_and_the_slider_moves_the_mark(opened):
    point = opened.section(0).locator(".scatterlayer .trace").last.locator(".point").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.page.wait_for_timeout(300)
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.page.wait_for_timeout(300)
    frame, times = opened.hub("frame"), opened.hub("times_fs")
    assert times[frame] == small_table().lead_times_fs[-1]
    assert opened.page.locator(".anb-readout").inner_text() == f"+{times[frame]:g} fs"
    opened.set("frame", small_run().settings.history + 2)
    marked = opened.page.evaluate("() => document.querySelector('.anb-plot-canvas').layout.shapes.at(-1).x0")
    assert marked == 3.0


def test_a_click_on_a_cell_loads_its_window(opened):
    assert opened.hub("window") == 0
    told = opened.page.locator("#anb-window .anb-told").inner_text()
    opened.click_in_plot(1, 0.97, 0.6)
    window = opened.hub("window")
    assert window > 0
    assert opened.page.locator("#anb-window .anb-told").inner_text() != told
    assert opened.page.locator("#anb-window select").input_value() == str(window)


def test_another_window_shows_other_positions(opened):
    before = opened.panes()
    opened.page.locator("#anb-window select").select_option("3")
    assert all(not np.array_equal(old, new) for old, new in zip(before, opened.panes(), strict=True))


def test_a_click_on_a_bar_chooses_the_atom_everywhere(opened):
    before = opened.panes()
    opened.click_in_plot(2, 5.5 / 9, 0.97)
    assert opened.hub("atom") == 5
    assert opened.section(4).locator(".anb-menu", has_text="atom").locator("select").input_value() == "5"
    assert "H3 looks mostly at" in opened.section(3).inner_text()
    assert opened.hub("links")
    assert all(not np.array_equal(old, new) for old, new in zip(before, opened.panes(), strict=True))


def test_attention_and_delay_matrix_follow_their_menus(opened):
    attention, delay = opened.section(3), opened.section(4)
    title = attention.locator(".gtitle")
    before = title.text_content()
    attention.locator(".anb-menu", has_text="layer").locator("select").select_option(index=1)
    opened.page.wait_for_timeout(300)
    assert title.text_content() != before
    attention.locator(".anb-menu", has_text="mean over heads").locator("select").select_option(index=1)
    opened.page.wait_for_timeout(300)
    assert "head 1" in (title.text_content() or "")
    delay.locator(".anb-menu", has_text="axis").locator("select").select_option("2")
    opened.page.wait_for_timeout(300)
    assert ", z" in (delay.locator(".gtitle").text_content() or "")


def test_every_atom_can_be_chosen_by_keyboard_and_unchosen(opened):
    looking = opened.section(3).locator(".anb-menu", has_text="looking").locator("select")
    assert looking.input_value() == "0" and opened.hub("atom") == -1
    for atom in (0, -1):
        looking.select_option(index=atom + 1)
        assert opened.hub("atom") == atom
    opened.set("atom", 4)
    assert looking.input_value() == "5"


def test_sticks_belong_to_the_window_on_show(opened):
    opened.set("atom", 0)
    assert opened.hub("links")
    opened.set("window", 1)  # kept without its attention
    assert opened.hub("links") == [] and "for the windows of this menu" in opened.section(3).inner_text()
    opened.set("window", 0)
    assert opened.hub("links")


def test_turning_one_pane_turns_the_other(opened):
    def turned() -> list:
        canvases = opened.page.locator("#anb-panes canvas")
        box = canvases.first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        opened.page.mouse.move(x, y)
        opened.page.mouse.down()
        opened.page.mouse.move(x + 80, y + 30, steps=6)
        opened.page.mouse.up()
        return opened.panes()

    opened.set("frame", 0)
    opened.set("colour", "element")
    before, after = opened.panes(), turned()
    assert all(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    # In the history both are the same molecule, to a thousandth of an Å.
    assert (np.abs(after[0] - after[1]).max(-1) > 40).mean() < 2e-3


def test_a_very_long_name_does_not_widen_the_page(opened):
    fits = "() => document.documentElement.scrollWidth <= innerWidth"
    lengthen = "one => one.prepend('x'.repeat(3000))"
    opened.page.evaluate(f"() => document.querySelectorAll('h1, .anb-lead, .anb-told').forEach({lengthen})")
    assert opened.page.evaluate(fits)


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_screen_and_the_theme(browser, written, width, scheme):
    page = Opened(browser, written, viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page.set("frame", len(page.hub("times_fs")) - 1)
    page.set("atom", 2)
    page.page.wait_for_timeout(1000)
    ARTEFACTS.mkdir(exist_ok=True)
    page.page.screenshot(path=ARTEFACTS / f"page-{width}-{scheme}.png", full_page=True)
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    corner = page.panes()[0][2, 2]
    assert (corner < 60).all() if scheme == "dark" else (corner > 240).all()
    assert page.said == []
    page.context.close()


def test_without_webgl_the_page_says_so_and_its_plots_work(browser_without_3d, written):
    page = browser_without_3d.new_page()
    page.goto(written.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    assert "WebGL" in page.locator("#anb-player .anb-alert").inner_text()
    assert page.locator(".anb-plot .main-svg").count() >= 6
    assert not page.locator("#anb-panes").is_visible()
