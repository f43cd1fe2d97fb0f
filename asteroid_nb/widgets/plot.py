"""A plotly figure that is linked in the browser: it marks time and atom, and a click moves both.

plotly's own `FigureWidget` carries all of plotly, 5 MB, in the state of every figure. Here one widget per kernel holds
it, and ``plot.js`` draws all figures with it: a panel of many figures stays small, and a page needs no kernel.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
from ipywidgets import Widget, widget_serialization
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs
from traitlets import Bytes, Dict, Float, Instance, Int, List, Unicode

from asteroid_nb.views.style import alt_text
from asteroid_nb.widgets.parts import hear_while_busy

HERE = files("asteroid_nb.widgets")


@cache
def packed_plotly() -> bytes:
    """Return plotly's program, compressed."""
    return gzip.compress(get_plotlyjs().encode(), mtime=0)


class PlotlyLibrary(Widget):
    """Holds plotly for all plots of a kernel; it outlives each of them."""

    shared = True
    code = Bytes().tag(sync=True)


_library: list[PlotlyLibrary] = []


def library() -> PlotlyLibrary:
    """Return the one library of this kernel, made anew if somebody closed it."""
    if not _library or _library[0].comm is None:
        _library[:] = [PlotlyLibrary(code=packed_plotly())]
    return _library[0]


class Plot(anywidget.AnyWidget):
    """A figure to look at and to click on.

    ``frame`` and ``atom`` may be linked to other widgets with ``jslink``. A click on a point at x sets ``frame`` to the
    one whose time is nearest, if there are times, and ``atom``, if an axis counts atoms.

    Args:
        figure: made by `asteroid_nb.views`.
        times_fs: x of every frame of the panel; none for figures that have no time axis.
        atom_axis: "x" or "y" where that axis counts atoms from 0.
        n_atoms: entries of that axis which are atoms; registers may follow.
    """

    _esm = HERE.joinpath("plot.js").read_text(encoding="utf-8")
    _css = HERE.joinpath("plot.css").read_text(encoding="utf-8")

    library = Instance(PlotlyLibrary).tag(sync=True, **widget_serialization)
    figure = Unicode().tag(sync=True)
    frame = Int(-1).tag(sync=True)
    times_fs = List(Float()).tag(sync=True)
    atom = Int(-1).tag(sync=True)
    atom_axis = Unicode().tag(sync=True)
    n_atoms = Int().tag(sync=True)
    clicked = Dict().tag(sync=True)

    def __init__(self, figure: Figure, *, times_fs: Sequence[float] = (), atom_axis: str = "", n_atoms: int = 0):
        super().__init__(
            library=library(),
            figure=str(figure.to_json()),
            times_fs=[float(time) for time in times_fs],
            atom_axis=atom_axis,
            n_atoms=n_atoms,
        )
        self.alt = alt_text(figure)
        hear_while_busy(self)

    def show(self, figure: Figure) -> None:
        """Draw another figure in its place."""
        self.alt = alt_text(figure)
        self.figure = str(figure.to_json())

    def on_click(self, callback: Callable[[dict[str, Any]], Any]) -> None:
        """Call ``callback`` with x, y, z, customdata, curve, meta and axis of each clicked point."""
        self.observe(lambda change: callback(change["new"]), "clicked")
