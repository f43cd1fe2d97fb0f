"""`doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asteroid_nb.health import surroundings
from asteroid_nb.health.checks import Check, installed
from asteroid_nb.health.packages import front_ends, packages

if TYPE_CHECKING:
    from asteroid_nb.widgets.browser_check import BrowserCheck

WEBGL_HINT = (
    "Molecules are drawn with WebGL, which only the browser knows about: run anb.doctor() in a notebook, "
    "or open chrome://gpu (in Firefox about:support) and look for WebGL."
)

HEADINGS = ("state", "what", "needed", "found")

#: The state is said in words; the line before it only helps to find what is not well.
LINES = {"broken": "#D55E00", "warning": "#E69F00", "ok": "transparent"}


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `doctor` found. In a notebook the browser's answer appears below the table.

    Args:
        checks: one for each thing looked at.
        browser: asks the browser for WebGL once it is shown, and holds its answer; None outside a notebook.
    """

    checks: tuple[Check, ...]
    browser: BrowserCheck | None = field(default=None, compare=False)

    @property
    def healthy(self) -> bool:
        """Return whether nothing is broken; warnings are allowed."""
        return not any(check.state == "broken" for check in self.checks)

    @property
    def summary(self) -> str:
        counts = {state: sum(check.state == state for check in self.checks) for state in ("broken", "warning")}
        told = [f"{count} {word}" for word, count in _counted(counts) if count]
        return f"{'Healthy' if self.healthy else 'Not healthy'}: {', '.join(told) or 'all is in place'}."

    @property
    def notes(self) -> list[str]:
        """Return what is said below the table."""
        pip = f'The pip must be this Python\'s: in a notebook write %pip, in a terminal "{sys.executable}" -m pip.'
        mendable = any(check.remedy for check in self.checks)
        return [*([pip] if mendable else []), "The browser's own answer:" if self.browser else WEBGL_HINT]

    def __str__(self) -> str:
        rows = [HEADINGS, *((check.state, check.name, check.needed, check.found) for check in self.checks)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        widths[-1] = 0  # the last column may hold paths
        lines = [_aligned(rows[0], widths)]
        for check, row in zip(self.checks, rows[1:], strict=True):
            lines.append(_aligned(row, widths))
            lines += [f"{'':{widths[0]}}  -> {check.remedy}"] if check.remedy else []
        return "\n".join([self.summary, "", *lines, "", *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        mendable = any(check.remedy for check in self.checks)
        rows = "".join(_row(check, with_remedy=mendable) for check in self.checks)
        words = (*HEADINGS, "what to do") if mendable else HEADINGS
        heads = "".join(f"<th scope='col' style='text-align:left'>{word}</th>" for word in words)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = f"<caption style='text-align:left;font-weight:bold'>{html.escape(self.summary)}</caption>"
        return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def _ipython_display_(self) -> None:
        if self.browser is None:
            raise NotImplementedError  # IPython then takes the table alone
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)
        display(self.browser)


def doctor() -> Diagnosis:
    """Look whether all that is needed is there, and say what to do where it is not.

    Packages are not imported for it, except torch, which alone knows its devices.
    """
    server = surroundings.server_python()
    environment = surroundings.environment(server)
    checks = (
        *packages(),
        *_front_ends(server, apart=environment.state != "ok"),
        *([surroundings.devices()] if installed("torch") else []),
        environment,
        *surroundings.session(),
        *surroundings.folders(),
    )
    worst_first = sorted(checks, key=lambda check: list(LINES).index(check.state))
    return Diagnosis(tuple(worst_first), browser=_browser())


def _front_ends(server: Path | None, *, apart: bool) -> list[Check]:
    """Look where the kernel's own JupyterLab looks, which may run on another Python."""
    prefix = surroundings.prefix_of(server) if server and apart and surroundings.in_kernel() else None
    return front_ends(prefix, server) if prefix else front_ends()


def print_diagnosis(_: object = None) -> int:
    """Print what `doctor` found; the exit status of ``asteroid-nb doctor`` is 1 if something is broken."""
    diagnosis = doctor()
    print(diagnosis)
    return 0 if diagnosis.healthy else 1


def _browser() -> BrowserCheck | None:
    if not surroundings.in_kernel():
        return None
    try:
        from asteroid_nb.widgets.browser_check import browser_check
    except ImportError:  # the table says which package is missing
        return None
    return browser_check()


def _counted(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(f"{state}s" if state == "warning" and count > 1 else state, count) for state, count in counts.items()]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _row(check: Check, *, with_remedy: bool) -> str:
    left = "text-align:left;vertical-align:top"
    state = f"<td style='{left};border-left:4px solid {LINES[check.state]}'>{check.state}</td>"
    name = f"<th scope='row' style='{left}'>{html.escape(check.name)}</th>"
    rest = "".join(
        f"<td style='{left};white-space:normal;overflow-wrap:anywhere'>{html.escape(text)}</td>"
        for text in (check.needed, check.found, *([check.remedy] if with_remedy else []))
    )
    return f"<tr>{state}{name}{rest}</tr>"
