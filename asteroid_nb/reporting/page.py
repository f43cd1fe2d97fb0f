"""One HTML file of everything a page needs: scripts, figures and positions, packed and embedded; nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from asteroid_nb.views.front_ends import nglview_script
from asteroid_nb.views.molecule import program
from asteroid_nb.widgets.plot import packed_plotly

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$styles
</style>
</head>
<body>
<main class="anb-panel" role="main">
<h1>$title</h1>
<p class="anb-lead">$lead</p>
<noscript><p class="anb-alert">This page is drawn by its own scripts, and scripts are switched off here. Allow them;
nothing is fetched from a network.</p></noscript>
<div id="anb-complaints" role="alert"></div>
<div id="anb-window"></div>
<div id="anb-panes" class="anb-panes"></div>
<div id="anb-player"></div>
$colour_bar
<div id="anb-sections"></div>
$tables
<footer>$footer</footer>
</main>
$held
<script>
"use strict";
$program
</script>
</body>
</html>
""")


def page(
    *,
    title: str,
    lead: str,
    footer: str,
    colour_bar: str,
    tables: str,
    contents: Mapping[str, Any],
    windows: bytes,
) -> str:
    """Return the page.

    Args:
        title: plain text, as are ``lead`` and ``footer``; escaped here.
        colour_bar: HTML made by `asteroid_nb.views.colour_bar`.
        tables: HTML whose texts are escaped already.
        contents: what ``page.js`` draws, as JSON.
        windows: positions and errors, as ``page.js`` reads them.
    """
    held = {
        "anb-page": _packed(json.dumps(contents, separators=(",", ":"), allow_nan=False).encode()),
        "anb-windows": _packed(windows),
        "anb-plotly": base64.b64encode(packed_plotly()).decode(),
        "anb-nglview": _packed(nglview_script().read_bytes()),
    }
    return PAGE.substitute(
        title=html.escape(title),
        lead=html.escape(lead),
        footer=html.escape(footer),
        colour_bar=colour_bar,
        tables=tables,
        styles="\n".join(_text(*place) for place in STYLES),
        held="\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in held.items()),
        program=script(),
    )


STYLES = (("widgets", "player.css"), ("widgets", "plot.css"), ("reporting", "page.css"))


@cache
def script() -> str:
    """Return the page's program: the notebook's own player, plots and molecules, and what joins them here."""
    parts = [
        _as_value("Playing", _text("widgets", "player.js"), "webgl"),
        _as_value("Plotting", _text("widgets", "plot.js")),
        program("molecule.js"),
        _text("reporting", "page.js"),
    ]
    return "\n".join(parts)


def _as_value(name: str, module: str, *also: str) -> str:
    """Return an ES module as a value in a classic script: its default export, with some of its functions."""
    body = re.sub(r"^export (?=(async )?function)", "", module, flags=re.MULTILINE)
    extra = "".join(f", {one}" for one in also)
    body, n_found = re.subn(r"^export default \{(.*?)\};$", rf"return {{\1{extra} }};", body, flags=re.MULTILINE)
    assert n_found == 1, f"the module of {name} has {n_found} default exports"
    return f"const {name} = (() => {{\n{body}\n}})();"


def _text(folder: str, name: str) -> str:
    return files("asteroid_nb").joinpath(folder, name).read_text(encoding="utf-8")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
