"""The command ``gallery``: run notebooks and demo, write a page of each, look at them, and write the index."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.files import replacing
from asteroid_nb.gallery import browser
from asteroid_nb.gallery.executing import NotebookFailed, cost_in_words, executed
from asteroid_nb.gallery.index import Card, index_page
from asteroid_nb.gallery.notebook import notebook_page

#: Width of the index's pictures, twice what they usually take on a screen's width.
THUMBNAIL_PX = 720

REPORT = "report.html"


def gallery(options: argparse.Namespace) -> int:
    """Do what the command line asks; the exit status is 1 if a notebook failed."""
    began = time.perf_counter()
    notebooks = options.notebooks or sorted(Path("notebooks").glob("*.ipynb"))
    cards, failed = build(
        notebooks,
        options.out,
        report=None if options.no_demo else (options.demo or _demo(options.out / "demo", options.resume)) / REPORT,
        resume=options.resume,
        picture=options.picture,
    )
    n_bytes = sum((options.out / file).stat().st_size for file in ["index.html", *(card.file for card in cards)])
    print(f"\n{len(cards)} pages, {n_bytes / 1e6:.0f} MB, in {time.perf_counter() - began:.0f} s.", end=" ")
    print(f"Open {options.out / 'index.html'} in any browser; it needs no network.")
    for one in failed:
        print(f"\n{one}", file=sys.stderr)
    return 1 if failed else 0


def _demo(folder: Path, resume: bool) -> Path:
    """Return the folder of a demo, run now unless one is there and may be kept."""
    if not (resume and (folder / REPORT).is_file()):
        command = [sys.executable, "-m", "asteroid_nb.cli", "demo", "--out", str(folder)]
        subprocess.run(command + (["--resume"] if resume and folder.is_dir() else []), check=True)
    return folder


def build(
    notebooks: Sequence[Path],
    out: Path,
    *,
    report: Path | None = None,
    resume: bool = False,
    picture: Path | None = None,
) -> tuple[list[Card], list[str]]:
    """Write the gallery; return its cards and what went wrong. A notebook that fails is left out, the others go on.

    Args:
        notebooks: files; each becomes a page of its name.
        out: folder for the pages, ``index.html``, and ``executed`` with the notebooks as they were run.
        report: a run's page, to be shown with them.
        resume: take notebooks that were executed before and have not changed.
        picture: where a picture of the index is written, if there is a browser.

    Raises:
        InvalidSettings: no notebook, two of one name, or a report that is not there.
    """
    names = [path.name for path in notebooks]
    if not names or len(set(names)) < len(names):
        raise InvalidSettings(f"The notebooks are {', '.join(names) or 'none'}. Name at least one, each once.")
    if report is not None and not report.is_file():
        raise InvalidSettings(f"There is no {report}. Write it with: asteroid-nb report {report.parent}")
    cards, failed = [], []
    for path in notebooks:
        print(f"{path.name}: ", end="", flush=True)
        try:
            cards.append(_page(path, out, names, resume=resume))
        except NotebookFailed as error:
            failed.append(str(error))
            print("failed", flush=True)
        else:
            print(cards[-1].told, flush=True)
    if report is not None:
        cards.append(_report(report, out))
    _look(cards, out, picture)
    return cards, failed


def _page(path: Path, out: Path, names: Sequence[str], *, resume: bool) -> Card:
    notebook = executed(path, kept=out / "executed" / path.name, resume=resume)
    page = notebook_page(notebook, path.name, beside=names)
    file = f"{path.stem}.html"
    n_bytes = _write(out / file, page.text)
    told = [_counted(page.n_molecules, "3D view"), _counted(page.n_figures, "figure")]
    words = ", ".join(filter(None, [path.stem, *told, cost_in_words(notebook), f"a page of {n_bytes / 1e6:.1f} MB"]))
    return Card(file, page.title, words)


def _report(report: Path, out: Path) -> Card:
    with replacing(out / REPORT) as temporary:
        shutil.copyfile(report, temporary)
    size = f"{report.stat().st_size / 1e6:.1f} MB"
    return Card(REPORT, "The demo's report", f"one run as one page, by asteroid-nb demo, {size}")


def _look(cards: Sequence[Card], out: Path, picture: Path | None) -> None:
    """Write the index, with a picture of each page where a browser can look at them."""
    index = out / "index.html"
    with browser.browser() as chromium:
        if chromium is None:
            print("No pictures, for want of Playwright or Chromium: pip install playwright, apt-get install chromium")
            _write(index, index_page(cards))
            return
        shots = [browser.picture(chromium, out / card.file) for card in cards]
        seen = [
            replace(card, picture=browser.thumbnail(shot, THUMBNAIL_PX))
            for card, shot in zip(cards, shots, strict=True)
        ]
        _write(index, index_page(seen))
        if picture is not None:
            with replacing(picture) as temporary:
                temporary.write_bytes(browser.whole_picture(chromium, index))
            print(f"{picture} ({picture.stat().st_size // 1000} kB)")


def _write(path: Path, text: str) -> int:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path.stat().st_size


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}" if count else ""
