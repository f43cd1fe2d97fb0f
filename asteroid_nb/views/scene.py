"""A molecule in motion: NGLView behind the small protocol `Viewer`, so that the 3D back end can be replaced.

NGLView asks the kernel for each frame and colours no atom by frame. A scene hands all frames and errors to the browser
once, in binary, and ``scene.js`` plays them there: scrubbing works while the kernel is busy and in an exported page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from ipywidgets import HBox, Layout
from nglview import NGLWidget
from traitlets import Bytes, Dict, List

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.views.camera import orientation

Style = Literal["auto", "ball+stick", "licorice", "line", "spacefill"]

#: From no error to much, lightness falling all the way: it reads without colour, and on white and dark paper alike.
ERROR_COLOURS = ("#c9ced6", "#f2b134", "#e0561b", "#9b1748")

#: Positions one pane may hold in the browser; longer trajectories are thinned by `compare`.
MOST_BYTES = 4 * 2**20

#: Atoms up to which balls and sticks are readable, and beyond which only lines stay smooth.
FEW_ATOMS, MANY_ATOMS = 200, 2000

#: No clipping, and fog thin enough that the far side of a small molecule stays visible.
STAGE = {"clipNear": 0, "clipFar": 100, "clipDist": 0.1, "fogNear": 70, "fogFar": 160, "quality": "medium"}


@runtime_checkable
class Viewer(Protocol):
    """What the linked widgets ask of a 3D back end. ``frame`` is a synced trait, so that the browser can link it."""

    frame: int

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

    def look(self, matrix: Sequence[float]) -> None:
        self.anb_orientation = [float(value) for value in matrix]

    def follow(self, others: Sequence[Scene]) -> None:
        self._synced_model_ids = [other.model_id for other in others if other is not self]
        self._remote_call("setSyncCamera", args=[self._synced_model_ids], fire_once=True)

    def close(self) -> None:
        self._widget_image.close()
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
    trajectory: Trajectory,
    *,
    structure: Trajectory | None = None,
    bonds: np.ndarray | None = None,
    title: str | None = None,
    style: Style = "auto",
    errors: np.ndarray | None = None,
    error_max_ang: float | None = None,
    matrix: Sequence[float] | None = None,
    background: str | None = None,
    height_px: int = 360,
    stage: Mapping[str, Any] | None = None,
) -> Scene:
    """Return a viewer of ``trajectory``; set its ``frame``.

    Args:
        structure: where bonds and camera come from, so that panes agree: a forecast's own first frame may be broken.
        bonds: [bonds, 2], else those of ``structure``.
        errors: [frames, atoms] Å colours the atoms, from `error_colours`' first colour to its last.
        error_max_ang: the error that gets the last colour; larger ones look the same.
        matrix: camera, else the long axis of ``structure`` lies flat.
        background: a CSS colour, else that of the notebook's theme.
        stage: parameters of ``NGL.Stage``; ``{"sampleLevel": -1}`` makes screenshots repeatable.

    Raises:
        InvalidTrajectory: errors of another shape, or frames that hold more than a browser should be given.
    """
    structure = trajectory if structure is None else structure
    bonds = bonds_of(structure) if bonds is None else np.asarray(bonds)
    view = Scene(default=False, layout=Layout(width="100%"))
    view._view_width, view._view_height = "100%", f"{height_px}px"
    view.anb_positions = np.ascontiguousarray(trajectory.positions, "<f4").tobytes()
    view.anb_errors = b"" if errors is None else _quantised(errors, trajectory, error_max_ang)
    view.anb_scene = {
        "title": title or trajectory.name,
        "mol2": mol2(structure, bonds),
        "representations": _representations(structure.n_atoms, style, by_error=errors is not None),
        "background": background or "",
        "stage": {**STAGE, **(stage or {})},
    }
    view.look(orientation(structure.positions) if matrix is None else matrix)
    view._js(_program(), fire_embed=True)
    return view


def mol2(trajectory: Trajectory, bonds: np.ndarray) -> str:
    """Return the first frame as MOL2, which NGL takes at any size and with exactly these bonds."""
    atoms = (
        f"{i} {label} {x:.4f} {y:.4f} {z:.4f} {symbol} 1 MOL 0.0"
        for i, (label, symbol, (x, y, z)) in enumerate(
            zip(trajectory.labels, trajectory.symbols, trajectory.positions[0], strict=True), start=1
        )
    )
    links = (f"{i} {a + 1} {b + 1} 1" for i, (a, b) in enumerate(bonds.tolist(), start=1))
    head = ["@<TRIPOS>MOLECULE", "molecule", f"{trajectory.n_atoms} {len(bonds)} 1", "SMALL", "NO_CHARGES", ""]
    return "\n".join([*head, "@<TRIPOS>ATOM", *atoms, "@<TRIPOS>BOND", *links, ""])


def _representations(n_atoms: int, style: Style, *, by_error: bool) -> list[dict[str, Any]]:
    chosen = style
    if style == "auto":
        chosen = "ball+stick" if n_atoms <= FEW_ATOMS else "licorice" if n_atoms <= MANY_ATOMS else "line"
    colours = {"colorScheme": "element", "colorValue": "#7d8794"}
    if by_error:
        colours = {"colorScheme": "bfactor", "colorScale": list(ERROR_COLOURS), "colorDomain": [0, 255]}
        colours["colorMode"] = "rgb"  # as the colour bar mixes them; NGL's own mixing passes through pink
    sizes = {"ball+stick": {"radiusSize": 0.12, "aspectRatio": 2.2}, "licorice": {"radiusSize": 0.18}}.get(chosen, {})
    return [{"type": chosen, "params": {"sele": "all", "multipleBond": "off", **colours, **sizes}}]


def _quantised(errors: np.ndarray, trajectory: Trajectory, error_max_ang: float | None) -> bytes:
    """Return one byte per frame and atom, 255 at ``error_max_ang`` and beyond."""
    errors = np.asarray(errors, dtype=float)
    if errors.shape != trajectory.positions.shape[:2]:
        raise InvalidTrajectory(
            f"Errors have shape {errors.shape}, the trajectory asks for {trajectory.positions.shape[:2]}: "
            "give one per frame and atom, in Å."
        )
    highest = error_max_ang or float(errors.max()) or 1.0
    return np.clip(np.round(errors * (255 / highest)), 0, 255).astype(np.uint8).tobytes()


@cache
def _program() -> str:
    return files("asteroid_nb.views").joinpath("scene.js").read_text(encoding="utf-8")
