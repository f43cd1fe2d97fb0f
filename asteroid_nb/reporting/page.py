"""One HTML file of everything a page needs: scripts, figures and positions, packed and embedded; nothing is fetched."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from string import Template
from typing import Any

from asteroid_nb.reporting.offline import held, nglview, packed, plotly, script, text_of

STYLES = (("widgets", "player.css"), ("widgets", "plot.css"), ("reporting", "page.css"))

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
    contained = {
        "anb-page": packed(json.dumps(contents, separators=(",", ":"), allow_nan=False).encode()),
        "anb-windows": packed(windows),
        "anb-plotly": plotly(),
        "anb-nglview": nglview(),
    }
    return PAGE.substitute(
        title=html.escape(title),
        lead=html.escape(lead),
        footer=html.escape(footer),
        colour_bar=colour_bar,
        tables=tables,
        styles="\n".join(text_of(*place) for place in STYLES),
        held=held(contained),
        program=script() + "\n" + text_of("reporting", "page.js"),
    )
