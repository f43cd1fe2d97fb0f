"""What pages that play from disk are made of: the notebook's own scripts and styles as text, libraries packed."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from asteroid_nb.views.front_ends import nglview_script
from asteroid_nb.views.molecule import program
from asteroid_nb.widgets.plot import packed_plotly


@cache
def script() -> str:
    """Return the notebook's own player, plots and molecules, and what they stand on where there is no kernel."""
    parts = [
        _as_value("Playing", text_of("widgets", "player.js"), "webgl"),
        _as_value("Plotting", text_of("widgets", "plot.js")),
        program("molecule.js"),
        text_of("reporting", "offline.js"),
    ]
    return "\n".join(parts)


@cache
def plotly() -> str:
    """Return plotly for a page that draws figures."""
    return base64.b64encode(packed_plotly()).decode()


@cache
def nglview() -> str:
    """Return the 3D viewer for a page that draws molecules.

    Raises:
        MissingExtra: its script is not installed.
    """
    return packed(nglview_script().read_bytes())


def held(texts: Mapping[str, str]) -> str:
    """Return the elements a page holds its packed contents in, by id."""
    return "\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in texts.items())


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def text_of(folder: str, name: str) -> str:
    return files("asteroid_nb").joinpath(folder, name).read_text(encoding="utf-8")


def _as_value(name: str, module: str, *also: str) -> str:
    """Return an ES module as a value in a classic script: its default export, with some of its functions."""
    body = re.sub(r"^export (?=(async )?function)", "", module, flags=re.MULTILINE)
    extra = "".join(f", {one}" for one in also)
    body, n_found = re.subn(r"^export default \{(.*?)\};$", rf"return {{\1{extra} }};", body, flags=re.MULTILINE)
    assert n_found == 1, f"the module of {name} has {n_found} default exports"
    return f"const {name} = (() => {{\n{body}\n}})();"
