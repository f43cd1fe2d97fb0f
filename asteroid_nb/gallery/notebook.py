"""An executed notebook as one HTML file that opens from disk: text, code and outputs, molecules that play, figures."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from string import Template
from typing import Any

from asteroid_nb import __version__
from asteroid_nb.gallery.executing import cost_in_words
from asteroid_nb.gallery.views import Views
from asteroid_nb.reporting.offline import held, nglview, packed, plotly, script, text_of

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$styles
</style>
</head>
<body class="anb-notebook">
<nav><a href="index.html">all notebooks</a></nav>
<main>
<noscript><p class="anb-alert">Molecules and figures are drawn by this page's own scripts, and scripts are switched
off here. Allow them; nothing is fetched from a network.</p></noscript>
<div id="anb-complaints" role="alert"></div>
$body
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

#: The browser itself refuses whatever is not in the file: a page that worked once works everywhere.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src blob: data:; worker-src blob:; font-src data:"
)

STYLES = (
    ("reporting", "page.css"),
    ("widgets", "player.css"),
    ("widgets", "plot.css"),
    ("gallery", "notebook.css"),
)


@dataclass(frozen=True)
class NotebookPage:
    """A page, and what is said of it elsewhere."""

    title: str
    text: str
    n_molecules: int
    n_figures: int


def notebook_page(notebook: Any, name: str, *, beside: Collection[str] = ()) -> NotebookPage:
    """Return the page of an executed notebook.

    Args:
        name: of its file, said in the footer.
        beside: file names of notebooks whose pages lie in the same folder: links to them lead there.

    Raises:
        MissingExtra: the 3D viewer's script is not installed.
    """
    views = Views.of(notebook)
    body = _linked(_body(_stilled(notebook, views)), beside)
    title = title_of(notebook) or name
    contained = {"anb-views": packed(json.dumps(views.contents(), separators=(",", ":")).encode())}
    contained |= {"anb-plotly": plotly()} if views.n_figures else {}
    contained |= {"anb-nglview": nglview()} if views.n_molecules else {}
    text = PAGE.substitute(
        policy=POLICY,
        title=html.escape(title),
        styles="\n".join([*(text_of(*place) for place in STYLES), _code_colours()]),
        body=body,
        footer=html.escape(_footer(notebook, name)),
        held=held(contained),
        program=script() + "\n" + text_of("gallery", "views.js"),
    )
    return NotebookPage(title, text, views.n_molecules, views.n_figures)


def title_of(notebook: Any) -> str:
    """Return the first heading."""
    headings = (re.search(r"^# (.+)$", cell.source, re.M) for cell in notebook.cells if cell.cell_type == "markdown")
    return next((found[1].strip() for found in headings if found), "")


def _stilled(notebook: Any, views: Views) -> Any:
    """Return a copy whose outputs are text, pictures and places for views."""
    still = copy.deepcopy(notebook)
    still.metadata.pop("widgets", None)
    for cell in still.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if _to_still(one, views)]
    return still


def _to_still(output: Any, views: Views) -> bool:
    """Change an output in place; return whether anything is left to show."""
    if "data" not in output:
        return True
    data = views.still(output.data)
    output.data = data or {}
    return bool(data)


def _body(notebook: Any) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    return body


def _linked(body: str, beside: Collection[str]) -> str:
    """Let links to notebooks lead to their pages."""

    def led(found: re.Match[str]) -> str:
        return f'href="{found[1]}.html{found[2]}"' if f"{found[1]}.ipynb" in beside else found[0]

    return re.sub(r'href="([^"/:]+)\.ipynb(#[^"]*)?"', lambda found: led(found).replace("None", ""), body)


def _code_colours() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark"))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _footer(notebook: Any, name: str) -> str:
    run = f", {words}" if (words := cost_in_words(notebook)) else ""
    return f"Made by asteroid_nb {__version__} from {name}{run}. The page fetches nothing and needs no kernel."
