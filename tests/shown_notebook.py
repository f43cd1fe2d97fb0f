"""A small notebook with every kind of output, run once for all tests of the gallery."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from asteroid_nb.gallery.executing import executed

STORY = "# Does it <move>?\n\nSee [00](00_contents.ipynb), [other](other.ipynb#part) and $x^2$."

CELLS = (
    "import ipywidgets\nimport numpy as np\nimport asteroid_nb as anb\nimport plotly.graph_objects as go\n"
    "print('1 < 2 & <b>text</b>')",
    "walkers = [walker[:40] for walker in anb.sample('ethanol')[:2]]\n"
    "np.save('written-here.npy', walkers[0].positions)\n"
    "shown = anb.compare(*walkers, names=['one', 'two'], history=16, colour='error')\nshown",
    "go.Figure().add_scatter(x=[0, 1, 2], y=[0.0, 1.0, 4.0])",
    "menu = ipywidgets.Dropdown(options=['a', 'b', 'c'], value='b', description='asks')\n"
    "linked = ipywidgets.IntSlider(value=16, max=39, description='linked')\n"
    "link = ipywidgets.jslink((shown.player, 'frame'), (linked, 'value'))\nipywidgets.VBox([menu, linked])",
    "gone = ipywidgets.IntSlider(value=1)\n"
    "lost = ipywidgets.jslink((linked, 'value'), (gone, 'value'))\nlost.close()\ndisplay(gone)\ngone.close()",
    "from tqdm.auto import tqdm\nfor _ in tqdm(range(3), desc='counted'):\n    pass",
)


def written(folder: Path, name: str = "small.ipynb", cells: tuple[str, ...] = CELLS, story: str = STORY) -> Path:
    """Return the file of a notebook that was not run."""
    v4 = nbformat.v4
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(story), *map(v4.new_code_cell, cells)])
    nbformat.write(notebook, folder / name)
    return folder / name


@functools.cache
def shown_notebook() -> Any:
    """Return the small notebook, executed."""
    with tempfile.TemporaryDirectory() as folder:
        return executed(written(Path(folder)))
