"""`compare`: reference and forecasts side by side, one player, one camera."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from ipywidgets import HTML, HBox, Layout, Play, SelectionSlider, VBox, jslink

from asteroid_nb.data.readers import as_trajectory
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.views.camera import orientation
from asteroid_nb.views.colour_bar import colour_bar, round_up
from asteroid_nb.views.scene import MOST_BYTES, Style, scene
from asteroid_nb.views.style import PALETTE
from asteroid_nb.widgets.parts import close_tree, escaped, replace_former

#: Frames a slider of usual width can still tell apart.
MOST_FRAMES = 1000

MOST_PANES = 4
PLAY_INTERVAL_MS = 80

#: Where the colour bar ends at the latest, Å: an atom off by more than a bond is lost, however far it flew.
LOST_ANG = 2.0

FAINT = "color:var(--jp-ui-font-color2,#666)"

#: Of the slider's track after the present.
FORECAST_COLOUR = PALETTE[0]


def compare(
    reference: Any,
    *forecasts: Any,
    names: Sequence[str] | None = None,
    history: int | None = None,
    dt_fs: float | None = None,
    colour: Literal["element", "error"] = "element",
    error_max_ang: float | None = None,
    style: Style = "auto",
    width: str = "100%",
    height_px: int = 360,
    most_frames: int | None = None,
    stage: Mapping[str, Any] | None = None,
) -> Comparison:
    """Show trajectories side by side: one player moves them all, turning one turns all.

    Args:
        reference: `Trajectory`, MDTraj trajectory or ASE frames; bonds and camera come from it.
        forecasts: the same atoms over the same frames, or over the frames after the history only.
        names: a title for each pane, the reference first.
        history: leading frames that the forecaster was given; the last of them is the present, 0 fs.
        dt_fs: needed where an object carries no time of its own.
        colour: ``"error"`` colours each forecast's atoms by their distance from the reference at the same frame.
        error_max_ang: the upper end of the colour bar; else it holds nearly all errors, up to `LOST_ANG`.
        width: of the whole, as CSS.
        most_frames: longer trajectories are thinned, which a note under the player says.
        stage: see `asteroid_nb.views.scene.scene`.

    Raises:
        InvalidTrajectory: trajectories that differ in atoms, length or spacing, or more than four of them.
    """
    given = [_trajectory(thing, dt_fs) for thing in (reference, *forecasts)]
    panes = _aligned(given, history)
    panel = Comparison(
        panes,
        names=_names(panes, names),
        history=history,
        colour=colour,
        error_max_ang=error_max_ang,
        most_frames=most_frames,
        width=width,
        look={"style": style, "height_px": height_px, "stage": stage},
    )
    replace_former(panel)
    return panel


class Comparison(VBox):
    """The panel `compare` returns. ``frame`` is the index into ``times_fs``; ``views`` are the panes' viewers."""

    _links: Sequence[Any] = ()

    def __init__(
        self,
        panes: Sequence[Trajectory],
        *,
        names: Sequence[str],
        history: int | None,
        colour: str,
        error_max_ang: float | None,
        most_frames: int | None,
        width: str,
        look: Mapping[str, Any],
    ):
        if colour not in ("element", "error"):
            raise ValueError(f'colour was {colour!r}; choose "element" or "error".')
        present = (history or 1) - 1
        kept = _kept_frames(panes[0], present, most_frames)
        shown = [pane[kept] for pane in panes]
        self.times_fs = (np.arange(panes[0].n_frames)[kept] - present) * panes[0].dt_fs
        self.present = int(np.flatnonzero(self.times_fs == 0)[0])
        errors, highest = _errors(shown, error_max_ang) if colour == "error" else ([None] * len(shown), None)
        matrix = orientation(shown[0].positions)
        self.views = [
            scene(pane, structure=shown[0], title=name, errors=error, error_max_ang=highest, matrix=matrix, **look)
            for pane, name, error in zip(shown, names, errors, strict=True)
        ]
        self.play, self.slider = _player(self.times_fs, self.present, signed=history is not None)
        self._links = self._link()
        rows = [_panes(self.views, names), _controls(self.play, self.slider, self.present, marked=history is not None)]
        rows += [HTML(colour_bar(highest))] if highest else []
        rows += [HTML(_note(panes[0], kept))] if kept.step > 1 else []
        super().__init__(rows, layout=Layout(width=width))

    @property
    def frame(self) -> int:
        return self.slider.index

    @frame.setter
    def frame(self, frame: int) -> None:
        self.slider.index = int(frame)

    def close(self) -> None:
        """Free the viewers and all else, here and in the browser."""
        for link in self._links:
            close_tree(link)
        for child in self.children:
            close_tree(child)
        super().close()

    def _link(self) -> list[Any]:
        for view in self.views:
            view.frame = self.slider.index
            view.follow(self.views)
        followers = [jslink((self.slider, "index"), (view, "frame")) for view in self.views]
        return [jslink((self.play, "value"), (self.slider, "index")), *followers]


def _trajectory(thing: Any, dt_fs: float | None) -> Trajectory:
    return thing if isinstance(thing, Trajectory) else as_trajectory(thing, dt_fs=dt_fs)


def _aligned(given: Sequence[Trajectory], history: int | None) -> list[Trajectory]:
    """Return trajectories over the same frames, or say what differs."""
    reference = given[0]
    if len(given) > MOST_PANES:
        raise InvalidTrajectory(
            f"{len(given)} trajectories were given; {MOST_PANES} panes is what a browser can hold. Show them in turns."
        )
    if history is not None and not 1 <= history <= reference.n_frames:
        raise InvalidTrajectory(
            f"history was {history}; the reference has {reference.n_frames} frames, the history included. "
            f"Give a number from 1 to {reference.n_frames}, or a reference that begins with the history."
        )
    return [_like(reference, other, history) for other in given]


def _like(reference: Trajectory, other: Trajectory, history: int | None) -> Trajectory:
    _same_atoms(reference, other)
    if not math.isclose(other.dt_fs, reference.dt_fs, rel_tol=1e-6):
        raise InvalidTrajectory(
            f"{other.name!r} has a frame every {other.dt_fs:g} fs, the reference every {reference.dt_fs:g} fs. "
            "Thin the finer one: trajectory[::n]."
        )
    if other.n_frames == reference.n_frames:
        return other
    if history is not None and other.n_frames == reference.n_frames - history:
        seen = reference.positions[:history]
        joined = np.concatenate([seen, np.asarray(other.positions, dtype=seen.dtype)])
        return Trajectory(joined, other.atomic_numbers, other.dt_fs, name=other.name, check_distances=False)
    after = "" if history is None else f", or the {reference.n_frames - history} after the history"
    raise InvalidTrajectory(
        f"{other.name!r} has {other.n_frames} frames, the reference {reference.n_frames}. "
        f"Needed are the same frames{after}: cut one with trajectory[a:b]."
    )


def _same_atoms(reference: Trajectory, other: Trajectory) -> None:
    if reference.n_atoms != other.n_atoms:
        raise InvalidTrajectory(
            f"{other.name!r} has {other.n_atoms} atoms, the reference {reference.n_atoms}. "
            "Select the same atoms in both: trajectory.select(…)."
        )
    differ = np.flatnonzero(reference.atomic_numbers != other.atomic_numbers)
    if len(differ):
        first = int(differ[0])
        raise InvalidTrajectory(
            f"{other.name!r} differs in element from the reference at {len(differ)} atoms, first at index {first}, "
            f"{other.symbols[first]} for {reference.symbols[first]}. Bring both into one order: trajectory.select(…)."
        )


def _names(panes: Sequence[Trajectory], names: Sequence[str] | None) -> list[str]:
    if names is None:
        return [pane.name for pane in panes]
    if isinstance(names, str) or len(names) != len(panes):
        raise ValueError(f"names was {names!r}; needed is one for each of {len(panes)} panes, the reference first.")
    return [str(name) for name in names]


def _kept_frames(reference: Trajectory, present: int, most_frames: int | None) -> slice:
    """Return every n-th frame, the present among them."""
    if most_frames is None:
        fitting = MOST_BYTES // (12 * reference.n_atoms)
        most_frames = max(2, min(MOST_FRAMES, fitting))
    elif most_frames < 1:
        raise ValueError(f"most_frames was {most_frames}; at least one frame must be shown.")
    step = math.ceil(reference.n_frames / most_frames)
    return slice(present % step, None, step)


def _errors(shown: Sequence[Trajectory], error_max_ang: float | None) -> tuple[list[np.ndarray | None], float]:
    """Return [frames, atoms] Å for each pane, None for the reference, and the upper end of the colour bar."""
    reference = np.asarray(shown[0].positions, dtype=float)
    errors = [np.linalg.norm(pane.positions - reference, axis=-1) for pane in shown[1:]]
    highest = error_max_ang or min(LOST_ANG, round_up(float(np.quantile(errors, 0.98)) if errors else 0.0))
    return [None, *errors], highest


def _panes(views: Sequence[Any], names: Sequence[str]) -> HBox:
    boxes = []
    for index, (view, name) in enumerate(zip(views, names, strict=True)):
        role = "reference" if index == 0 and len(views) > 1 else ""
        title = HTML(
            f"<div style='font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis' "
            f"title='{escaped(name)}'>{escaped(name)} "
            f"<span style='font-weight:400;{FAINT}'>{role}</span></div>"
        )
        frame = VBox([view], layout=Layout(border="1px solid var(--jp-border-color2, #ccc)", overflow="hidden"))
        boxes.append(VBox([title, frame], layout=Layout(flex="1 1 0%", min_width="0", margin="0 6px 0 0")))
    return HBox(boxes, layout=Layout(width="100%"))


def _player(times_fs: np.ndarray, present: int, *, signed: bool) -> tuple[Play, SelectionSlider]:
    options = [(_time(time, signed), index) for index, time in enumerate(times_fs)]
    slider = SelectionSlider(options=options, index=present, layout=Layout(width="100%", margin="0"))
    play = Play(value=present, max=len(options) - 1, interval=PLAY_INTERVAL_MS, layout=Layout(flex="0 0 auto"))
    return play, slider


def _time(time_fs: float, signed: bool) -> str:
    text = f"{time_fs:+g}" if signed and time_fs else f"{time_fs:g}"
    return text.replace("-", "\N{MINUS SIGN}") + " fs"


def _controls(play: Play, slider: SelectionSlider, present: int, *, marked: bool) -> HBox:
    share = 100 * present / max(1, len(slider.options) - 1)
    slider.add_class("anb-time")
    rows: list[Any] = [slider]
    if marked:
        slider.add_class(f"anb-{slider.model_id[:8]}")
        rows.append(HTML(_boundary(f"anb-{slider.model_id[:8]}", share), layout=Layout(margin="0")))
    return HBox([play, VBox(rows, layout=Layout(flex="1 1 auto", min_width="0"))], layout=Layout(width="100%"))


def _boundary(css_class: str, share: float) -> str:
    """Return a style that parts the slider's track at the present, and the words below it."""
    track = f"linear-gradient(to right, var(--jp-border-color1, #999) {share:.3f}%, {FORECAST_COLOUR} {share:.3f}%)"
    words = "position:absolute;white-space:nowrap;line-height:14px"
    return (
        f"<style>.{css_class} .noUi-connects{{background:{track}}}</style>"
        f"<div style='position:relative;height:16px;margin:0 82px 0 6px;font-size:11px;{FAINT}' role='note'>"
        f"<span style='{words};left:0'>history</span><span style='{words};left:{share:.3f}%'>forecast</span></div>"
    )


def _note(reference: Trajectory, kept: slice) -> str:
    return (
        f"<div style='{FAINT}' role='note'>Thinned: one frame in {kept.step} of {reference.n_frames:,} is shown, "
        f"{kept.step * reference.dt_fs:g} fs apart. "
        f"most_frames={reference.n_frames} shows all.</div>"
    )
