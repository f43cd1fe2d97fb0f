"""What all linked explorers are: boxes that hear keys as one, and that end without leaving anything behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipywidgets import VBox, Widget

from asteroid_nb.widgets.parts import close_tree


class Panel(VBox):
    """A box of linked widgets; takes what a VBox takes."""

    #: Links and whatever else must end first. There from the start: a widget that could not be made is closed too.
    _links: Sequence[Any] = ()

    #: Widgets of its own that are not among the children, or not always.
    _aside: Sequence[Widget] = ()

    def __init__(self, children: Sequence[Widget], **more: Any):
        super().__init__(children, **more)
        self.add_class("anb-panel")

    def close(self) -> None:
        """Free all it holds, here and in the browser; what it was linked with stays."""
        if self.comm is not None:  # else it was closed before, or refused what it was given
            self._free_links()
            for part in (*self.children, *self._aside, self.layout):
                close_tree(part)
        super().close()

    def _free_links(self) -> None:
        for link in self._links:
            link.close()
        self._links = ()
