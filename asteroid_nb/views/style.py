"""One look for all figures: legible on white, black and projectors; nothing told by colour alone; text escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Okabe & Ito (2008), https://jfly.uni-koeln.de/color/, without black and yellow, which vanish on one theme each.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon")

#: What a figure is about: bold, solid, vermillion, with round markers.
MAIN_COLOUR = "#D55E00"
TEXT, GRID = "#7A7A7A", "rgba(128,128,128,0.25)"
SEQUENTIAL, DIVERGING = "Cividis", "RdBu"
LONGEST_NAME = 40


class Look(NamedTuple):
    """How one curve is drawn."""

    line: dict[str, Any]
    marker: dict[str, Any]


def plain(text: object, longest: int = LONGEST_NAME) -> str:
    """Return text that plotly draws letter by letter: it reads a subset of HTML in titles, labels and names.

    Quotes stay, because they mean nothing outside tags and plotly would show their entities.
    """
    words = " ".join(str(text).split())
    return html.escape(words if len(words) <= longest else f"{words[: longest - 1]}…", quote=False)


def look(index: int, *, main: bool = False) -> Look:
    """Return the look of a curve: no two of the first thirty-five share colour and dash."""
    if main:
        colour = (MAIN_COLOUR, *PALETTE)[index % (len(PALETTE) + 1)]
        symbol = "circle" if index == 0 else MARKERS[index % len(MARKERS)]
        return Look({"color": colour, "width": 4}, {"symbol": symbol, "size": 8, "maxdisplayed": 12})
    colours = tuple(colour for colour in PALETTE if colour != MAIN_COLOUR)
    line = {"color": colours[index % len(colours)], "width": 1.8, "dash": DASHES[index % len(DASHES)]}
    return Look(line, {"symbol": MARKERS[index % len(MARKERS)], "size": 7, "maxdisplayed": 8})


def translucent(colour: str, opacity: float) -> str:
    """Return ``#RRGGBB`` as rgba."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def finish(fig: Figure, *, title: str, alt: str, height: int = 480, subtitle: str = "", **layout: Any) -> Figure:
    """Give a figure its title, its text alternative and the common look.

    Args:
        title: escaped here.
        alt: plain text, for screen readers, made from the figure's numbers; read it back with `alt_text`.
        height: in pixels; the width follows the page.
        subtitle: escaped here too, smaller and below the title.
        **layout: any further plotly layout.
    """
    fig.update_layout(
        template="none",
        title={
            "text": plain(title, 110),
            "font": {"size": 18},
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "subtitle": {"text": plain(subtitle, 110), "font": {"size": 13, "color": TEXT}},
        },  # fmt: skip
        meta={"alt": alt},
        height=height,
        font={"size": 14, "color": TEXT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 70, "r": 20, "t": 70, "b": 60},
        hoverlabel={"namelength": -1},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": TEXT, "activecolor": MAIN_COLOUR},
    )
    fig.update_xaxes(automargin=True, gridcolor=GRID, linecolor=TEXT, showline=True, ticks="outside", zeroline=False)
    fig.update_yaxes(automargin=True, gridcolor=GRID, linecolor=TEXT, showline=True, ticks="outside", zeroline=False)
    fig.update_layout(**layout)
    return fig


def alt_text(fig: Figure) -> str:
    """Return the text alternative `finish` stored."""
    return str(fig["layout"]["meta"]["alt"])


def number(value: float, unit: str = "") -> str:
    """Return three significant digits and the unit, for alternative texts and annotations."""
    return f"{value:.3g} {unit}".strip()


def scale_buttons(*, log: bool, axis: str = "yaxis") -> dict[str, Any]:
    """Return the menu that switches an axis between linear and logarithmic, placed above the plot's right end."""
    buttons = [
        {"label": label, "method": "relayout", "args": [{f"{axis}.type": kind, f"{axis}.autorange": True}]}
        for label, kind in (("linear", "linear"), ("log", "log"))
    ]
    place = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "direction": "right", "pad": {"t": 0, "b": 0}}
    look = {"bgcolor": "rgba(128,128,128,0.12)", "bordercolor": GRID, "font": {"size": 12, "color": TEXT}}
    return {"type": "buttons", "buttons": buttons, "active": int(log), "showactive": True, **place, **look}
