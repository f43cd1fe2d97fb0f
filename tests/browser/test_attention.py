"""The attention explorer in JupyterLab and Chromium: map, molecule and controls follow one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser.lab import NotebookPage, blank, run_notebook, write_notebook

pytestmark = pytest.mark.browser

RUN = """
import torch
torch.set_num_threads(1)
from contracts.small_models import small_model, walkers
from asteroid_nb.forecast.run import Run
from asteroid_nb.widgets.attention_door import explore_attention
run, molecule = Run(small_model(registers=2), 1.0), walkers()[0]
"""
EXPLORER = "explorer = explore_attention(run, molecule, start=11)\nexplorer"
BESIDE = """
from asteroid_nb.forecast.rollout import predict
from asteroid_nb.widgets.compare import compare
panel = compare(molecule[11:27], predict(run, molecule, starts=11), history=8, stage={'sampleLevel': -1})
panel
"""


def opened(page, lab, folder: Path, cells: list[str]) -> NotebookPage:
    notebook = run_notebook(page, lab, write_notebook(folder / "attention.ipynb", [RUN, *cells]))
    assert notebook.cell_errors() == []
    return notebook


@pytest.fixture
def notebook(page, lab, tmp_path) -> NotebookPage:
    page.set_viewport_size({"width": 1280, "height": 1400})
    shown = opened(page, lab, tmp_path, [EXPLORER])
    shown.drawn(1)
    shown.settle(lambda: heat(shown).locator(".heatmaplayer .hm").count() == 1)
    return shown


def heat(notebook: NotebookPage):
    return notebook.page.locator(".anb-plot").first


def title(notebook: NotebookPage) -> str:
    return " | ".join(heat(notebook).locator(".gtitle, .gtitle-subtitle").all_text_contents())


def click_cell(notebook: NotebookPage, row: int, column: int, *, shape: tuple[int, int]) -> None:
    """Point at a cell until plotly names it, which the panel's last change of size may delay, and click."""
    named = heat(notebook).locator(".hoverlayer .hovertext")

    def pointed() -> bool:
        box = heat(notebook).locator(".heatmaplayer .hm").bounding_box()
        assert box is not None
        place = box["width"] * (column + 0.5) / shape[1], box["height"] * (row + 0.5) / shape[0]
        notebook.page.mouse.move(2, 2)
        notebook.page.mouse.move(box["x"] + place[0], box["y"] + place[1])
        notebook.page.wait_for_timeout(300)
        return named.count() == 1

    notebook.settle(pointed)
    notebook.page.mouse.down()
    notebook.page.mouse.up()


def outlined_rows(notebook: NotebookPage) -> list[float]:
    """Return the rows that are outlined, wherever the outline comes from."""
    shapes = "() => document.querySelector('.anb-plot .js-plotly-plot, .anb-plot-canvas').layout.shapes"
    return [(shape["y0"] + shape["y1"]) / 2 for shape in notebook.page.evaluate(shapes) if shape["type"] == "rect"]


def control(notebook: NotebookPage, name: str):
    return notebook.page.get_by_label(name, exact=True)


def chosen_query(notebook: NotebookPage) -> str:
    shown = control(notebook, "query").evaluate("e => e.selectedOptions[0].text")
    return shown.replace("\N{NO-BREAK SPACE}", " ")


def look_at(notebook: NotebookPage, panel: str, atom: int) -> None:
    """Turn the camera so that an atom stands in the middle of the first pane."""
    place = f"run.settings.history + 10, {atom}"
    matrix = f"[4,0,0,0, 0,4,0,0, 0,0,4,0, *(-molecule.positions[{place}]), 1]"
    notebook.ask(f"{panel}.views[0].look([float(value) for value in {matrix}])")
    notebook.page.wait_for_timeout(500)


def click_the_middle(notebook: NotebookPage) -> None:
    pane = notebook.canvases.first
    pane.scroll_into_view_if_needed()
    box = pane.bounding_box()
    assert box is not None
    notebook.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_click_on_a_row_chooses_the_query_everywhere(notebook):
    before = notebook.pictures()[0]
    assert chosen_query(notebook) == "C1" and outlined_rows(notebook) == [0]
    click_cell(notebook, 2, 5, shape=(11, 11))
    notebook.settle(lambda: notebook.ask("explorer.atom") == 2)
    notebook.settle(lambda: chosen_query(notebook) == "O1")
    notebook.settle(lambda: outlined_rows(notebook) == [2])
    notebook.settle(lambda: {link[0] for link in notebook.ask("explorer.comparison.views[0].anb_links")} == {2})
    status = notebook.page.locator("[role=status]")
    notebook.settle(lambda: status.inner_text().startswith("O1 looks mostly at"))
    after = notebook.pictures()[0]
    assert not blank(after) and not np.array_equal(before, after)
    assert notebook.complaints == []


def test_sticks_are_drawn_from_the_chosen_atom(notebook):
    with_links = notebook.pictures()[0]
    notebook.ask("explorer.comparison.views[0].links([])")
    notebook.page.wait_for_timeout(300)
    assert (with_links != notebook.pictures()[0]).any(-1).sum() > 300


def test_a_click_on_an_atom_in_3d_moves_map_and_list(notebook):
    look_at(notebook, "explorer.comparison", 5)
    before = notebook.pictures()[0]
    click_the_middle(notebook)
    notebook.settle(lambda: notebook.ask("explorer.atom") == 5)
    notebook.settle(lambda: chosen_query(notebook) == "H3")
    notebook.settle(lambda: outlined_rows(notebook) == [5])
    assert not np.array_equal(before, notebook.pictures()[0])
    assert notebook.complaints == []


def test_a_register_is_chosen_by_its_row_and_has_no_place(notebook):
    click_cell(notebook, 9, 0, shape=(11, 11))  # blank: local attention keeps registers apart
    notebook.settle(lambda: chosen_query(notebook) == "register 1")
    notebook.settle(lambda: outlined_rows(notebook) == [9])
    notebook.settle(lambda: notebook.ask("[explorer.atom, explorer.comparison.views[0].anb_links]") == [-1, []])


def test_the_controls_show_what_they_say(notebook):
    assert "encoder local, layer 0" in title(notebook) and "mean over heads" in title(notebook)
    control(notebook, "head").select_option("2")
    notebook.settle(lambda: "head 2" in title(notebook))
    control(notebook, "kind").select_option("decoder global")
    notebook.settle(lambda: "decoder global" in title(notebook))
    control(notebook, "query").select_option("H6")
    notebook.settle(lambda: notebook.ask("explorer.comparison.player.atom") == 8)
    handle = notebook.page.locator(".widget-slider .noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    notebook.settle(lambda: notebook.ask("explorer.comparison.player.frame") == 11)
    notebook.settle(lambda: "+4 fs" in title(notebook))
    control(notebook, "kind").select_option("decoder transformation")
    notebook.settle(lambda: "decoder transformation" in title(notebook) and "H6" in title(notebook))
    assert notebook.complaints == [] == notebook.cell_errors()


def test_the_player_leads_the_time(notebook):
    control(notebook, "kind").select_option("decoder global")
    slider = notebook.page.locator("input.anb-time")
    slider.focus()
    slider.press("End")
    notebook.settle(lambda: "+4 fs" in title(notebook))
    assert notebook.ask("explorer.comparison.player.frame") == 15, "the player stays where the reader put it"


def test_beside_a_comparison_it_draws_into_its_first_pane(page, lab, tmp_path):
    page.set_viewport_size({"width": 1280, "height": 1800})
    explore = "explorer = explore_attention(run, molecule, start=11, comparison=panel)\nexplorer"
    notebook = opened(page, lab, tmp_path, [BESIDE, explore])
    notebook.drawn(2)
    left, right = notebook.pictures()
    click_cell(notebook, 1, 1, shape=(11, 11))
    notebook.settle(lambda: notebook.ask("[panel.atom, panel.views[1].atom]") == [1, 1])
    notebook.settle(lambda: len(notebook.ask("panel.views[0].anb_links")) > 2)
    linked = notebook.pictures()
    assert not np.array_equal(left, linked[0]) and not np.array_equal(right, linked[1])
    assert notebook.ask("panel.views[1].anb_links") == []
    look_at(notebook, "panel", 3)
    click_the_middle(notebook)
    notebook.settle(lambda: outlined_rows(notebook) == [3] and chosen_query(notebook) == "H1")
    notebook.screenshot("attention-beside-a-comparison")
    assert notebook.complaints == []


def test_another_window_is_shown_in_the_same_widgets(notebook):
    before = title(notebook)
    picture = notebook.pictures()[0]
    notebook.ask("explorer.show(run, molecule, 90)")
    notebook.settle(lambda: title(notebook) != before and "frame 90" in title(notebook))
    assert notebook.canvases.count() == 1 and not np.array_equal(picture, notebook.pictures()[0])
    notebook.ask("explorer.missing('This run has no <b>attention</b>.')")
    alert = notebook.page.locator("[role=alert]", has_text="This run has no <b>attention</b>.")
    notebook.settle(lambda: alert.is_visible() and notebook.canvases.count() == 0)
    notebook.ask("explorer.show(run, molecule, 11)")
    notebook.drawn(1)
    assert not alert.is_visible() and notebook.complaints == []


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_panel_fits_the_page_and_the_theme(notebook, width, theme):
    notebook.page.set_viewport_size({"width": width, "height": 1400})
    notebook.theme(f"JupyterLab {theme}")
    control(notebook, "kind").select_option("encoder global")
    notebook.settle(lambda: "encoder global" in title(notebook))
    notebook.pictures()
    notebook.screenshot(f"attention-{width}-{theme}")
    plots = [box for box in (plot.bounding_box() for plot in notebook.page.locator(".anb-plot").all()) if box]
    assert len(plots) == 3 and all(box["width"] > 380 for box in plots)
    assert max(box["x"] + box["width"] for box in plots) <= width
    assert notebook.complaints == []
