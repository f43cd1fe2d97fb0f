"""`report`: a run as one page for people without the notebook."""

from __future__ import annotations

import html
import re
from pathlib import Path

from asteroid_nb import __version__
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.exhibit import Exhibit
from asteroid_nb.files import replacing
from asteroid_nb.forecast.run import Run
from asteroid_nb.memory import giving_back
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.reporting.contents import chosen_windows, contents, packed_windows
from asteroid_nb.reporting.page import page
from asteroid_nb.views.colour_bar import colour_bar


@giving_back()
def report(
    run: Run, path: str | Path, *, errors: ErrorTable | None = None, most_windows: int = 200, title: str | None = None
) -> Path:
    """Write one HTML file that shows the run and plays, opened from disk, without kernel or network.

    It holds the molecules side by side, the error over the horizon with every rival, the windows, the atoms, attention
    and delay matrices of some windows, and the numbers as a table.

    Args:
        run: with its ``split``; tested on windows it has not seen.
        path: of the file; an existing one is replaced once the new one is whole.
        errors: of the run and its rivals on ``run.split.test``; measured here, with closed-form rivals, if not given.
        most_windows: kept to be played; fewer where they would make the page heavy.
        title: of the page.

    Raises:
        ModelMismatch: the run does not know its test windows, or the errors belong to others.
        InvalidSettings: ``path`` is a folder.
        MissingExtra: the 3D viewer's script is not installed.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidSettings(f"{path} is a folder; needed is the name of the page, such as {path / 'page.html'}.")
    exhibit = Exhibit.of(run, errors=errors)
    kept, detailed = chosen_windows(exhibit, most_windows)
    pairs = exhibit.pairs(kept)
    packed, centres, step_ang = packed_windows(pairs, exhibit.error_max_ang)
    text = page(
        title=title or f"{run.name} on {exhibit.trajectories[0].name}",
        lead=_lead(exhibit, len(kept)),
        footer=f"Made by asteroid_nb {__version__}. The page fetches nothing.",
        colour_bar=colour_bar(exhibit.error_max_ang),
        tables=_table(exhibit),
        contents=contents(exhibit, kept, detailed, pairs, centres, step_ang, exhibit.error_max_ang),
        windows=packed,
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _lead(exhibit: Exhibit, n_kept: int) -> str:
    settings, dt_fs = exhibit.run.settings, exhibit.run.dt_fs
    source = exhibit.trajectories[0]
    method = source.provenance.get("method")
    made = f" ({method})" if method else ""
    return (
        f"{settings.history} frames of {source.name}{made}, {dt_fs:g} fs apart, are given; the next {settings.horizon} "
        f"are predicted. Errors are over {exhibit.table.n_windows} windows that training has not seen, beside every "
        f"rival; {n_kept} of them can be played here. Space plays, arrow keys step, a click on a curve, a cell, a bar "
        "or an atom moves all panels."
    )


def _table(exhibit: Exhibit) -> str:
    """Return the error table as HTML, every text escaped."""
    lines = exhibit.table.to_markdown().splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in (lines[0], *lines[2:])]  # names may hold \|
    rows = [[html.escape(cell.strip().replace(r"\|", "|")) for cell in line] for line in cells]
    head = "".join(f'<th scope="col">{cell}</th>' for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[1:])
    return (
        '<section class="anb-section"><h2>All errors as numbers</h2><div class="anb-scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )
