"""The state explorer in JupyterLab and Chromium: every view is drawn, a click on a state shows its structures in 3D."""

from __future__ import annotations

import pytest
from browser.lab import NotebookPage, blank, run_notebook, write_notebook

pytestmark = pytest.mark.browser

CELLS = [
    """
from functools import partial
import numpy as np
from turning_dipeptide import hopping, simulated
from asteroid_nb.states.recrossing import minimum_dwell, remove_recrossings
from asteroid_nb.widgets.state_explorer import explore_states
paths, coordinates = simulated()
faster = np.array([[0.97, 0.029, 0.001], [0.03, 0.969, 0.001], [0.005, 0.005, 0.99]])
models = [hopping(3000, 10 + number, stay=faster, name="LSTM") for number in range(3)]
""",
    """
states = explore_states(
    {"MD": paths, "LSTM": models}, coordinates=coordinates, temperature_K=450,
    clean=partial(remove_recrossings, rule=minimum_dwell, min_frames=5),
)
states
""",
]

KINDS = {
    "timescales against lag": "Implied timescale t2",
    "passage times": "Passage times",
    "state network": "States of",
    "Ramachandran maps": "Ramachandran maps",
    "paths": "Path of",
    "populations": "Populations",
    "Chapman–Kolmogorov test": "Chapman–Kolmogorov test of",
}

TITLE = "() => document.querySelector('.anb-plot-canvas')._fullLayout.title.text"

#: Where a point of the plot is on the page.
PLACE = """([axis, x, y]) => {
  const figure = document.querySelector('.anb-plot-canvas');
  const [across, up] = ['xaxis', 'yaxis'].map((name) => figure._fullLayout[name + axis]);
  const box = figure.getBoundingClientRect();
  return [box.left + across._offset + across.d2p(x), box.top + up._offset + up.d2p(y)];
}"""


@pytest.fixture
def notebook(page, lab, tmp_path) -> NotebookPage:
    page.set_viewport_size({"width": 1280, "height": 1500})
    shown = run_notebook(page, lab, write_notebook(tmp_path / "states.ipynb", CELLS))
    assert shown.cell_errors() == []
    shown.settle(lambda: page.locator(".anb-plot .main-svg").count() >= 1)
    return shown


def choose(notebook: NotebookPage, which: int, label: str) -> None:
    notebook.page.locator(".anb-panel select:not(.anb-speed)").nth(which).select_option(label=label)


def show(notebook: NotebookPage, kind: str) -> None:
    choose(notebook, 0, kind)
    notebook.settle(lambda: KINDS[kind] in notebook.page.evaluate(TITLE))


def click(notebook: NotebookPage, x: float, y: float, axis: str = "") -> None:
    left, top = notebook.page.evaluate(PLACE, [axis, x, y])
    notebook.page.mouse.move(left - 3, top)
    notebook.page.mouse.move(left, top)
    notebook.page.wait_for_timeout(300)
    notebook.page.mouse.click(left, top)


def shown_state(notebook: NotebookPage) -> str:
    return notebook.ask("states.state.label")


def test_every_view_is_drawn_and_a_click_on_a_state_shows_its_structures(notebook):
    for kind in KINDS:
        show(notebook, kind)
        notebook.page.wait_for_timeout(500)
        notebook.screenshot(f"states-{kind}")
    show(notebook, "state network")
    x, y = notebook.ask("[float(states._drawn().figure.data[0][axis][2]) for axis in 'xy']")
    click(notebook, x, y)
    notebook.settle(lambda: shown_state(notebook) == "αL")
    notebook.drawn(1)
    notebook.page.wait_for_timeout(500)
    notebook.screenshot("states-network-clicked")
    assert notebook.complaints == [] and notebook.ask("states.errors.value") == ""


def test_maps_bars_and_paths_lead_to_structures_too_and_the_player_steps_through_them(notebook):
    show(notebook, "Ramachandran maps")
    click(notebook, 55, 45)
    notebook.settle(lambda: shown_state(notebook) == "αL")
    notebook.drawn(1)
    (left_handed,) = notebook.pictures()
    notebook.screenshot("states-map-clicked")
    show(notebook, "populations")
    click(notebook, 0.8, 0.02)
    notebook.settle(lambda: shown_state(notebook) == "αR")
    notebook.settle(lambda: "structures of αR" in notebook.page.locator(".anb-panel").first.inner_text())
    (helix,) = notebook.pictures()
    assert (helix != left_handed).any() and not blank(helix)
    show(notebook, "paths")
    time = notebook.ask("float(states._drawn().figure.data[1].x[0])")
    click(notebook, time, 0)
    notebook.settle(lambda: shown_state(notebook) == "C5")
    (first,) = notebook.pictures()
    slider = notebook.page.locator(".anb-panel input[type=range]").first
    slider.focus()
    notebook.page.keyboard.press("ArrowRight")
    notebook.settle(lambda: notebook.ask("states.structures.view.frame") == 1)
    (second,) = notebook.pictures()
    assert (first != second).any()
    choose(notebook, 2, "none")
    notebook.settle(lambda: notebook.canvases.count() == 0)
    assert notebook.complaints == [] and notebook.ask("states.errors.value") == ""


def test_it_is_drawn_on_a_dark_theme(notebook):
    notebook.theme("JupyterLab Dark")
    for kind in ("state network", "Ramachandran maps", "paths"):
        show(notebook, kind)
        notebook.page.wait_for_timeout(500)
        notebook.screenshot(f"states-dark-{kind}")
    assert notebook.complaints == []
