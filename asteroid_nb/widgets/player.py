"""The player of a panel: everything it does happens in the browser; see ``player.js``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import anywidget
import numpy as np
from traitlets import Bool, Float, Int, List, TraitError, Unicode, validate

HERE = files("asteroid_nb.widgets")


class Player(anywidget.AnyWidget):
    """Play, pause, step, speed, loop and a slider in time, fs unless simulations are long; the hub of a panel.

    Link ``frame``, ``atom`` (the chosen one, −1 for none) and ``colour`` to whatever shall follow. ``colours`` are
    those a menu offers.

    Args:
        times_fs: of each frame.
        present: the frame that is shown first; with ``marked`` the last of the history, where the forecast begins.
        marked: part the slider into history and forecast, and write times with their sign.
    """

    _esm = HERE.joinpath("player.js").read_text(encoding="utf-8")
    _css = HERE.joinpath("player.css").read_text(encoding="utf-8")

    times_fs = List(Float()).tag(sync=True)
    frame = Int().tag(sync=True)
    atom = Int(-1).tag(sync=True)
    present = Int().tag(sync=True)
    marked = Bool().tag(sync=True)
    playing = Bool().tag(sync=True)
    speed = Float(1.0).tag(sync=True)

    loop = Bool().tag(sync=True)
    colour = Unicode("element").tag(sync=True)
    colours = List(Unicode()).tag(sync=True)

    def __init__(self, times_fs: Sequence[float] | np.ndarray, *, present: int = 0, marked: bool = False):
        times = [float(time) for time in times_fs]
        super().__init__(times_fs=times, frame=present, present=present, marked=marked)

    @validate("frame")
    def _within(self, proposal: dict) -> int:
        if not 0 <= proposal["value"] < max(1, len(self.times_fs)):
            raise TraitError(f"frame was {proposal['value']}; there are {len(self.times_fs)} frames, from 0.")
        return proposal["value"]
