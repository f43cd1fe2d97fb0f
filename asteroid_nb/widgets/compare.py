"""`compare`: reference and forecasts side by side or over one another, one player, one camera."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from ipywidgets import HTML, HBox, Layout, VBox

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.views.camera import orientation
from asteroid_nb.views.colour_bar import colour_bar, colours_end
from asteroid_nb.views.molecule import LAYER_COLOURS, MOST_BYTES, Style
from asteroid_nb.views.scene import Scene, scene
from asteroid_nb.widgets.aligning import Superposing, comparable, pane_names
from asteroid_nb.widgets.links import link_in_browser
from asteroid_nb.widgets.panel import Panel
from asteroid_nb.widgets.parts import FAINT, escaped, in_words, replace_former
from asteroid_nb.widgets.player import Player
from asteroid_nb.widgets.telling import told

#: Frames a slider of usual width can still tell apart.
MOST_FRAMES = 1000

Colour = Literal["element", "error"]


def compare(
    reference: Any,
    *forecasts: Any,
    names: Sequence[str] | None = None,
    history: int | None = None,
    dt_fs: float | None = None,
    colour: Colour = "element",
    error_max_ang: float | None = None,
    overlay: bool = False,
    superpose: Superposing = "none",
    style: Style = "auto",
    width: str = "100%",
    height_px: int = 360,
    most_frames: int | None = None,
    stage: Mapping[str, Any] | None = None,
) -> Comparison:
    """Show trajectories together: one player moves them all, turning one turns all, a click names an atom in all.

    Args:
        reference: `Trajectory`, MDTraj trajectory or ASE frames; bonds and camera come from it. In a box molecules must
            be whole, or a bond across its border is called broken: see `asteroid_nb.data.geometry.unwrap`.
        forecasts: the same atoms over the same frames, or over the frames after the history only.
        names: a title for each, the reference first.
        history: leading frames that the forecaster was given; the last of them is the present, 0 fs.
        dt_fs: needed where an object carries no time of its own.
        colour: ``"error"`` colours each forecast's atoms by their distance from the reference at the same frame; the
            player's menu switches.
        error_max_ang: the upper end of the colour bar; else it holds nearly all errors, up to 2 Å.
        overlay: all in one pane, the reference translucent.
        superpose: lay forecasts on the reference by their first frame or by every frame, which hides rotation.
        width: of the whole, as CSS.
        most_frames: longer trajectories are thinned, which a note under the player says.
        stage: see `asteroid_nb.views.scene.scene`.

    Raises:
        InvalidTrajectory: trajectories that differ in atoms, length or spacing, or more than four of them.
    """
    panes = comparable([reference, *forecasts], history=history, dt_fs=dt_fs, superpose=superpose)
    panel = Comparison(
        panes,
        names=pane_names(panes, names),
        history=history,
        colour=colour,
        error_max_ang=error_max_ang,
        overlay=overlay,
        most_frames=most_frames,
        width=width,
        look={"style": style, "height_px": height_px, "stage": stage},
    )
    replace_former(panel)
    return panel


class Comparison(Panel):
    """The panel `compare` returns. ``frame`` is the index into ``times_fs``; ``views`` are the panes' viewers."""

    def __init__(
        self,
        panes: Sequence[Trajectory],
        *,
        names: Sequence[str],
        history: int | None,
        colour: str,
        error_max_ang: float | None,
        overlay: bool,
        most_frames: int | None,
        width: str,
        look: Mapping[str, Any],
    ):
        if colour not in ("element", "error"):
            raise ValueError(f'colour was {colour!r}; choose "element" or "error".')
        present = (history or 1) - 1
        self.names, self.history, self.overlay = list(names), history, overlay
        self.n_atoms = panes[0].n_atoms
        self._kept = _kept_frames(panes[0], present, most_frames)
        shown = [pane[self._kept] for pane in panes]
        self.times_fs = (np.arange(panes[0].n_frames)[self._kept] - present) * panes[0].dt_fs
        self.present = int(np.flatnonzero(self.times_fs == 0)[0])
        errors = _errors(shown)
        highest = error_max_ang or colours_end(np.array([table for table in errors if table is not None]))
        self.views = self._viewers(shown, errors, highest, look)
        self.player = Player(self.times_fs, present=self.present, marked=history is not None)
        if len(shown) > 1:
            self.player.colours, self.player.colour = ["element", "error"], colour
        self._links = self._link()
        self.words = HTML(in_words(told(shown, names, self.times_fs)))
        self._titles = [HTML(text) for text in _titles(names, overlay=overlay)]
        rows: list[Any] = [_panes(self.views, self._titles), self.player]
        rows += [HTML(colour_bar(highest))] if len(shown) > 1 else []
        rows += [HTML(_note(panes[0], self._kept))] if self._kept.step > 1 else []
        super().__init__([*rows, self.words], layout=Layout(width=width))

    @property
    def frame(self) -> int:
        return self.player.frame

    @frame.setter
    def frame(self, frame: int) -> None:
        self.player.frame = int(frame)

    @property
    def atom(self) -> int:
        """Return the chosen atom's index, −1 for none."""
        return self.player.atom

    @atom.setter
    def atom(self, atom: int) -> None:
        self.player.atom = int(atom)

    def show(self, reference: Any, *forecasts: Any, names: Sequence[str] | None = None) -> None:
        """Put other trajectories of the same atoms and as many frames in place of those on show.

        Args:
            names: a title for each; those on show stay when not given.

        Raises:
            InvalidTrajectory: another number of trajectories, frames or atoms.
        """
        panes = comparable([reference, *forecasts], history=self.history)
        shown = [pane[self._kept] for pane in panes]
        expected = (len(self.names), len(self.times_fs), self.n_atoms)
        found = (len(shown), shown[0].n_frames, shown[0].n_atoms)
        if found != expected:
            raise InvalidTrajectory(
                f"The panel shows {expected[0]} trajectories of {expected[1]} frames and {expected[2]} atoms; given "
                f"were {found[0]} of {found[1]} frames and {found[2]} atoms. Make a new panel with compare(…)."
            )
        titles = self.names if names is None else pane_names(panes, names)
        errors = _errors(shown)
        if self.overlay:
            self.views[0].show(shown, errors)
        else:
            for view, pane, error in zip(self.views, shown, errors, strict=True):
                view.show([pane], [error])
        matrix = orientation(shown[0].positions)
        for view in self.views:
            view.look(matrix)
        self.names = titles
        for title, text in zip(self._titles, _titles(self.names, overlay=self.overlay), strict=True):
            title.value = text
        self.words.value = in_words(told(shown, self.names, self.times_fs))

    def _viewers(
        self, shown: Sequence[Trajectory], errors: Sequence[Any], highest: float, look: Mapping[str, Any]
    ) -> list[Scene]:
        common = {
            **look,
            "structure": shown[0],
            "error_max_ang": highest,
            "matrix": orientation(shown[0].positions),
        }
        if self.overlay:
            return [scene(*shown, names=self.names, title=", ".join(self.names), errors=errors, **common)]
        return [
            scene(pane, title=name, errors=[error], **common)
            for pane, name, error in zip(shown, self.names, errors, strict=True)
        ]

    def _link(self) -> list[Any]:
        for view in self.views:
            view.follow(self.views)
        return link_in_browser(self.player, *self.views, names=("frame", "atom", "colour"))


def _kept_frames(reference: Trajectory, present: int, most_frames: int | None) -> slice:
    """Return every n-th frame, the present among them."""
    if most_frames is None:
        fitting = MOST_BYTES // (12 * reference.n_atoms)
        most_frames = max(2, min(MOST_FRAMES, fitting))
    elif most_frames < 1:
        raise ValueError(f"most_frames was {most_frames}; at least one frame must be shown.")
    step = math.ceil(reference.n_frames / most_frames)
    return slice(present % step, None, step)


def _errors(shown: Sequence[Trajectory]) -> list[np.ndarray | None]:
    """Return [frames, atoms] Å for each trajectory, None for the reference."""
    reference = np.asarray(shown[0].positions, dtype=float)
    return [None, *(np.linalg.norm(pane.positions - reference, axis=-1) for pane in shown[1:])]


def _panes(views: Sequence[Any], titles: Sequence[HTML]) -> HBox:
    boxes = []
    for view, title in zip(views, titles, strict=True):
        frame = VBox([view], layout=Layout(border="1px solid var(--jp-border-color2, #ccc)", overflow="hidden"))
        boxes.append(VBox([title, frame], layout=Layout(flex="1 1 0%", min_width="0", margin="0 6px 0 0")))
    row = HBox(boxes, layout=Layout(width="100%"))
    row.add_class("anb-panes")
    return row


def _titles(names: Sequence[str], *, overlay: bool) -> list[str]:
    """Return what stands above each pane."""
    return [_legend(names)] if overlay and len(names) > 1 else [_title(names, index) for index in range(len(names))]


def _title(names: Sequence[str], index: int) -> str:
    role = "reference" if index == 0 and len(names) > 1 else ""
    name = escaped(names[index])
    return (
        "<div style='font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis' "
        f"title='{name}'>{name} <span style='font-weight:400;{FAINT}'>{role}</span></div>"
    )


def _legend(names: Sequence[str]) -> str:
    """Return who is who in one pane: the colour is that of carbon atoms."""
    entries = []
    for index, name in enumerate(names):
        role = "translucent, reference" if index == 0 else "carbon in this colour"
        colour = LAYER_COLOURS[index % len(LAYER_COLOURS)]
        dot = f"<span aria-hidden='true' style='color:{colour}'>\N{BLACK CIRCLE}</span>"
        entries.append(f"{dot} <b>{escaped(name)}</b> <span style='{FAINT}'>{role}</span>")
    return f"<div style='line-height:1.4'>{' &nbsp; '.join(entries)}</div>"


def _note(reference: Trajectory, kept: slice) -> str:
    return (
        f"<div style='{FAINT}' role='note'>Thinned: one frame in {kept.step} of {reference.n_frames:,} is shown, "
        f"{kept.step * reference.dt_fs:g} fs apart. "
        f"most_frames={reference.n_frames} shows all.</div>"
    )
