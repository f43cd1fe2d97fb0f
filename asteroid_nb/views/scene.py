"""A molecule in motion: NGLView behind the small protocol `Viewer`, so that the 3D back end can be replaced.

NGLView asks the kernel for each frame and colours no atom by frame. A scene hands all frames and errors to the browser
once, in binary, and ``scene.js`` plays them there: scrubbing works while the kernel is busy and in an exported page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ipywidgets import HBox, Layout
from nglview import NGLWidget
from traitlets import Bytes, Dict, Int, List, Unicode

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.views.camera import orientation
from asteroid_nb.views.molecule import Style, description, packed, program, quantised

#: No clipping, and fog thin enough that the far side of a small molecule stays visible.
STAGE = {"clipNear": 0, "clipFar": 100, "clipDist": 0.1, "fogNear": 70, "fogFar": 160, "quality": "medium"}


@runtime_checkable
class Viewer(Protocol):
    """What the linked widgets ask of a 3D back end.

    ``frame``, ``atom`` (−1: none) and ``colour`` ("element" or "error") are synced traits: the browser links them.
    """

    frame: Any
    atom: Any
    colour: Any

    def show(self, layers: Sequence[Trajectory], errors: Sequence[np.ndarray | None] = ()) -> None:
        """Put other positions of the same atoms in place of those on show."""
        ...

    def links(self, triples: Sequence[tuple[int, int, float]]) -> None:
        """Draw sticks between atoms, each (atom, atom, strength from 0 to 1)."""
        ...

    def look(self, matrix: Sequence[float]) -> None:
        """Turn the camera; see `asteroid_nb.views.camera.orientation`."""
        ...

    def follow(self, others: Sequence[Any]) -> None:
        """Turn the cameras of ``others`` with this one when a hand turns it."""
        ...

    def close(self) -> None:
        """Free what it holds, here and in the browser."""
        ...


class _SendAtOnce(list):
    """NGLView's queue without its thread: one polling thread per view would outlive the view."""

    def __init__(self, view: NGLWidget):
        super().__init__()
        self.view = view

    def append(self, callback: Any) -> None:
        callback(self.view)


class _Outbox:
    def __init__(self, view: NGLWidget):
        self.q = _SendAtOnce(view)


class Scene(NGLWidget):
    """NGLView's widget with all frames in the browser. Made by `scene`."""

    anb_scene = Dict().tag(sync=True)
    anb_orientation = List().tag(sync=True)
    anb_positions = Bytes().tag(sync=True)
    anb_errors = Bytes().tag(sync=True)
    anb_links = List().tag(sync=True)
    atom = Int(-1).tag(sync=True)
    colour = Unicode("element").tag(sync=True)

    def show(self, layers: Sequence[Trajectory], errors: Sequence[np.ndarray | None] = ()) -> None:
        """Put other positions of the same atoms, and their errors, in place of those on show."""
        scale = self.anb_scene["error_max_ang"]
        self.anb_errors = b"".join(quantised(one, layers[0], scale) for one in errors if one is not None)
        self.anb_positions = packed(layers)

    def links(self, triples: Sequence[tuple[int, int, float]]) -> None:
        """Draw sticks between atoms, each (atom, atom, strength from 0 to 1); an atom with itself gets a ball."""
        self.anb_links = [[int(a), int(b), float(np.clip(strength, 0, 1))] for a, b, strength in triples]

    def look(self, matrix: Sequence[float]) -> None:
        self.anb_orientation = [float(value) for value in matrix]

    def follow(self, others: Sequence[Scene]) -> None:
        self._synced_model_ids = [other.model_id for other in others if other is not self]
        self._remote_call("setSyncCamera", args=[self._synced_model_ids], fire_once=True)

    def close(self) -> None:
        for part in (self._widget_image.layout, self._widget_image):
            part.close()
        super().close()

    def _initialize_threads(self) -> None:
        self._remote_call_thread = _Outbox(self)
        self.on_msg(self._handle_nglview_custom_msg)

    def _fire_callbacks(self, callbacks: Sequence[Any]) -> None:
        for callback in callbacks:
            callback(self)

    def _create_player(self) -> None:
        self._iplayer = HBox()  # the panel brings its own player; NGLView's would cover the molecule

    def _on_frame_changed(self, change: Any) -> None:
        """The browser holds every frame: there is nothing to send."""


def scene(
    *layers: Trajectory,
    structure: Trajectory | None = None,
    bonds: np.ndarray | None = None,
    title: str | None = None,
    names: Sequence[str] = (),
    style: Style = "auto",
    errors: Sequence[np.ndarray | None] = (),
    error_max_ang: float | None = None,
    matrix: Sequence[float] | None = None,
    background: str | None = None,
    height_px: int = 360,
    stage: Mapping[str, Any] | None = None,
) -> Scene:
    """Return a viewer of one trajectory, or of several over one another, the first of them translucent.

    Set its ``frame``; ``atom`` is the one a click chose, −1 for none.

    Args:
        layers: the same atoms over the same frames.
        structure: where bonds, their lengths and the camera come from, so that panes agree: a forecast's own first
            frame may be broken. Bonds `BREAK_ANG` off their mean length there are marked red, and named.
        bonds: [bonds, 2], else those of ``structure``.
        names: of the layers, for what is said about them; none when there is one.
        errors: per layer [frames, atoms] Å, or None; they colour its atoms once ``colour`` is set to "error".
        error_max_ang: the error that gets the last colour; larger ones look the same.
        matrix: camera, else the long axis of ``structure`` lies flat.
        background: a CSS colour, else that of the notebook's theme.
        stage: parameters of ``NGL.Stage``; ``{"sampleLevel": -1}`` makes screenshots repeatable.

    Raises:
        InvalidTrajectory: errors of another shape.
    """
    structure = layers[0] if structure is None else structure
    tables = [*errors, *[None] * (len(layers) - len(errors))]
    view = Scene(default=False, layout=Layout(width="100%"))
    view._view_width, view._view_height = "100%", f"{height_px}px"
    view.anb_scene = description(
        structure,
        bonds_of(structure) if bonds is None else np.asarray(bonds),
        names=[str(name) for name in names] or [""] * len(layers),
        style=style,
        coloured=[table is not None for table in tables],
        error_max_ang=error_max_ang or max([float(np.max(one)) for one in tables if one is not None], default=0) or 1.0,
        title=title or layers[0].name,
        background=background or "",
        stage={**STAGE, **(stage or {})},
    )
    view.show(layers, tables)
    view.look(orientation(structure.positions) if matrix is None else matrix)
    view._js(program(), fire_embed=True)
    return view
