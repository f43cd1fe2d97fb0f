"""What every explorer needs: text that is safe to show, an error line under the widget, and an end without leaks."""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable, Iterator
from typing import Any

from ipywidgets import HTML, Widget

log = logging.getLogger(__name__)

#: What a cell showed when it ran last: its run, and the widgets.
_SHOWN: dict[str, tuple[int, list[Widget]]] = {}


FAINT = "color:var(--jp-ui-font-color2,#666)"


def escaped(text: object) -> str:
    return html.escape(str(text), quote=True)


def in_words(text: str) -> str:
    """Return the text alternative of a view as HTML, folded away until asked for."""
    return (
        f"<details style='font-size:12px;{FAINT}'><summary style='cursor:pointer'>In words</summary>"
        f"<div style='line-height:1.4;max-width:110ch'>{escaped(text)}</div></details>"
    )


class ErrorLine(HTML):
    """A line under a widget that stays empty until one of its callbacks fails, and until that one succeeds again."""

    _failed: tuple[Callable[..., Any], Exception] | None = None

    def guard(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``callback``, whose errors are shown here and raised on: nothing is swallowed.

        The success of another callback leaves the error where it is: one click may call several.
        """

        @functools.wraps(callback)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                outcome = callback(*args, **kwargs)
            except Exception as error:
                if self._failed is None or self._failed[1] is not error:
                    self._failed = (callback, error)
                    self.show(error)
                raise
            if self._failed is not None and self._failed[0] == callback:
                self.value, self._failed = "", None
            return outcome

        return guarded

    def show(self, error: Exception) -> None:
        log.error("a widget's callback failed", exc_info=error)
        self.value = (
            "<div role='alert' style='color:var(--jp-error-color1,#b3261e);line-height:1.4;padding:4px 0'>"
            f"<b>{escaped(type(error).__name__)}</b> {escaped(error)}</div>"
        )


def hear_while_busy(widget: Widget) -> None:
    """Let a widget's callbacks run while a cell runs, as far as browser and kernel can.

    JupyterLab sends events to a thread beside the running cell. ipykernel 7.4 brings them back to the shell that wrote
    to the widget last, where they wait for the cell's end: a Stop button would never stop anything.
    """
    comm: Any = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, addressed_to: addressed_to


def close_tree(widget: Widget) -> None:
    """Close a widget with all that hangs on it alone; ipywidgets alone closes only the outermost."""
    for part in list(_parts(widget, seen=set())):
        part.close()


def _parts(widget: Widget, *, seen: set[int]) -> Iterator[Widget]:
    if id(widget) in seen or getattr(widget, "shared", False):
        return
    seen.add(id(widget))
    for name in widget.keys:
        held = getattr(widget, name)
        for part in held if isinstance(held, (list, tuple)) else [held]:
            if isinstance(part, Widget):
                yield from _parts(part, seen=seen)
    yield widget


def replace_former(widget: Widget) -> None:
    """Close what the same notebook cell showed when it ran before: a browser holds about 16 3D views in all."""
    here = _cell()
    if here is None:
        return
    cell, run = here
    former_run, former = _SHOWN.get(cell, (run, []))
    if former_run != run:
        for old in former:
            old.close()
        former = []
    _SHOWN[cell] = (run, [*former, widget])


def _cell() -> tuple[str, int] | None:
    """Return the running cell's id and execution count, or None outside a notebook."""
    from IPython import get_ipython

    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    cell = kernel.get_parent("shell").get("metadata", {}).get("cellId")
    return None if cell is None else (str(cell), int(shell.execution_count))
