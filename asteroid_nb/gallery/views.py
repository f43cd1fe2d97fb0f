"""What stands in a page for a widget or a figure: the one place that decides how a notebook's views are shown.

A notebook's outputs name widgets; their state, as the run left it, lies in its metadata. Whatever an output shows, with
the links that the browser keeps by itself, goes into the page as JSON, and ``views.js`` draws it with the notebook's
own scripts. What asks the kernel stands there in its last state and says so.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

STATE = "application/vnd.jupyter.widget-state+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
FIGURE = "application/vnd.plotly.v1+json"
REFERENCE = "IPY_MODEL_"

#: What NGLView's script says to the kernel, or keeps for it, has no use here.
SCENE = ("anb_scene", "anb_orientation", "anb_positions", "anb_errors", "anb_links", "frame", "atom", "colour")
SCENE += ("layout", "_synced_model_ids", "_view_height", "_dom_classes")

#: Held once for the whole page, or of no use in it.
LEFT_OUT = {"library", "_model_module", "_model_module_version", "_view_module", "_view_module_version", "_view_count"}
LEFT_OUT |= {"_view_name", "_anywidget_id"}

#: Shows nothing in a notebook either: NGLView displays it for its side effect.
UNSEEN = ("ColormakerRegistryModel",)

LINKS = ("LinkModel", "DirectionalLinkModel")


@dataclass
class Views:
    """All that the outputs of one notebook show; ``contents`` is what the page holds.

    Args:
        state: of the widgets, as nbclient stores it: by id, ``model_name``, ``state`` and ``buffers``.
    """

    state: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, notebook: Any) -> Views:
        return cls(notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {}))

    def still(self, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an output's data as HTML without a kernel; None for a widget that is not to be seen."""
        if WIDGET in data:
            root = data[WIDGET]["model_id"]
            if root not in self.state or self.state[root]["model_name"] in UNSEEN:
                return None
            self._take(root)
            return {"text/html": f'<div class="anb-view" data-model="{html.escape(root)}"></div>'}
        if FIGURE in data:
            self.figures.append(json.dumps({key: data[FIGURE][key] for key in ("data", "layout")}))
            return {"text/html": f'<div class="anb-view" data-figure="{len(self.figures) - 1}"></div>'}
        return {kind: value for kind, value in data.items() if kind != "application/javascript"}

    @property
    def n_molecules(self) -> int:
        return sum("anb_scene" in model["state"] for model in self.models.values())

    @property
    def n_figures(self) -> int:
        return len(self.figures) + sum("figure" in model["state"] for model in self.models.values())

    def contents(self) -> dict[str, Any]:
        return {
            "models": self.models,
            "links": list(self._links()),
            "programs": self.programs,
            "figures": self.figures,
        }

    def _take(self, name: str) -> None:
        """Keep a model with all it refers to."""
        if name in self.models or name not in self.state:
            return
        stored = self.state[name]
        buffers = {one["path"][0]: one["data"] for one in stored.get("buffers", []) if len(one["path"]) == 1}
        kept = {key: value for key, value in stored["state"].items() if _used(stored["model_name"], key, value)}
        buffers = {key: data for key, data in buffers.items() if _used(stored["model_name"], key, data)}
        for key in ("_esm", "_css"):
            if kept.get(key):
                kept[key] = self._program(kept[key])
        self.models[name] = {"kind": stored["model_name"], "state": kept, "buffers": buffers}
        for reference in _references(kept):
            self._take(reference)

    def _program(self, text: str) -> str:
        """Return the name of a script or style that many widgets share."""
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.programs[name] = text
        return name

    def _links(self) -> Iterator[dict[str, Any]]:
        for stored in self.state.values():
            if stored["model_name"] not in LINKS:
                continue
            ends = [stored["state"].get(end) for end in ("source", "target")]
            named = [[end[0].removeprefix(REFERENCE), end[1]] for end in ends if end]
            if len(named) == 2 and all(name in self.models for name, _ in named):
                yield {"ends": named, "both": stored["model_name"] == "LinkModel"}


def _used(kind: str, key: str, value: Any) -> bool:
    if kind == "NGLModel":
        return key in SCENE
    return key not in LEFT_OUT and not (kind == "LayoutModel" and value is None)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(REFERENCE):
        yield value.removeprefix(REFERENCE)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _references(part)
