"""Links between widgets that the browser keeps by itself: they hold while the kernel is busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipywidgets import Widget, jslink

SHARED = ("frame", "atom")


def link_in_browser(leader: Widget, *followers: Widget, names: Sequence[str] = SHARED) -> list[Any]:
    """Link the traits that leader and follower both have, starting from the leader's values; return the links.

    Whoever closes the widgets closes the links too, with `asteroid_nb.widgets.parts.close_tree`.
    """
    links = []
    for follower in followers:
        for name in names:
            if leader.has_trait(name) and follower.has_trait(name):
                setattr(follower, name, getattr(leader, name))
                links.append(jslink((leader, name), (follower, name)))
    return links
