"""A line that says whether this browser can draw molecules: it tries WebGL where the reader sits."""

from __future__ import annotations

from importlib.resources import files

import anywidget
from traitlets import Int, Unicode

from asteroid_nb.widgets.parts import replace_former


class BrowserCheck(anywidget.AnyWidget):
    """Made by `browser_check`; answers once a browser has shown it.

    Args:
        webgl: the version of WebGL that works, 2 or 1; 0 where none does, None before the browser has answered.
        renderer: what draws it, as the browser tells.
        problem: what the browser says is in the way.
    """

    _esm = files("asteroid_nb.widgets").joinpath("browser_check.js").read_text(encoding="utf-8")

    webgl = Int(None, allow_none=True).tag(sync=True)
    renderer = Unicode("").tag(sync=True)
    problem = Unicode("").tag(sync=True)


def browser_check() -> BrowserCheck:
    """Return the line to show; the one that the same cell showed before is closed."""
    check = BrowserCheck()
    replace_former(check)
    return check
