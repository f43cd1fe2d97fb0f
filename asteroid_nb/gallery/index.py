"""The page that shows all pages of a gallery, a picture and a line each."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from asteroid_nb import __version__
from asteroid_nb.reporting.offline import text_of

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>asteroid_nb: what the notebooks show</title>
<style>
$styles
</style>
</head>
<body>
<main>
<h1>What the notebooks show</h1>
<p class="anb-lead">Every notebook of asteroid_nb as it was run, and the report of the demo. The pages open from disk
without kernel or network: turn and play the molecules, zoom into the figures. What asks the kernel stands still; for
that, open the notebook.</p>
<ul class="anb-cards">
$cards
</ul>
<footer>Made by asteroid_nb $version.</footer>
</main>
</body>
</html>
""")


@dataclass(frozen=True)
class Card:
    """One page in the index.

    Args:
        file: of the page, beside the index.
        title: what it asks or shows.
        told: a line below the title.
        picture: PNG; None where no browser could look at the page.
    """

    file: str
    title: str
    told: str
    picture: bytes | None = None


def index_page(cards: Sequence[Card]) -> str:
    return PAGE.substitute(
        styles="\n".join([text_of("reporting", "page.css"), text_of("gallery", "index.css")]),
        cards="\n".join(_card(card) for card in cards),
        version=__version__,
    )


def _card(card: Card) -> str:
    seen = '<span class="anb-no-picture">no picture: no Chromium was found</span>'
    if card.picture is not None:
        seen = f'<img alt="" src="data:image/png;base64,{base64.b64encode(card.picture).decode()}">'
    return (
        f'<li><a href="{html.escape(card.file)}">{seen}<h2>{html.escape(card.title)}</h2></a>'
        f'<p class="anb-told">{html.escape(card.told)}</p></li>'
    )
