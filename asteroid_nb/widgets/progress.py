"""A training to watch: the live loss curve, the time left, and a Stop button."""

from __future__ import annotations

import math
import time
from typing import Any

import plotly.graph_objects as go
from ipywidgets import HTML, Button, HBox, Layout, VBox

from asteroid_nb.views.style import finish
from asteroid_nb.views.training import LOOKS
from asteroid_nb.widgets.parts import ErrorLine, escaped, hear_while_busy
from asteroid_nb.widgets.plot import Plot

#: Between two drawings: more often the browser falls behind and the training waits for it.
DRAW_EVERY_S = 0.5

#: Points of the curve within epochs, over the whole training: each drawing sends all of them to the browser.
MOST_POINTS = 400


class TrainingView(VBox):
    """An observer for `asteroid_nb.fitting.fit`. Works without a browser too: then ``stopped`` is its only effect.

    Args:
        title: of the curve.
        shown: display it at the start, in a notebook.
        losses: title of the axis, for trainings whose losses have a unit.
    """

    def __init__(self, title: str = "Training", *, shown: bool = True, losses: str = "loss (no unit)"):
        self.shown = shown
        self.stopped = False
        self.curves: dict[str, list[tuple[float, float | None]]] = {key: [] for key in LOOKS}
        self._drawn_at = -math.inf
        self._total_epochs, self._n_steps = 0, 1
        self.figure = _figure(title, losses)
        self.plot = Plot(self.figure)
        self.status = HTML("Not started.", layout=Layout(flex="1 1 auto"))
        self.stop_button = Button(description="Stop", icon="stop", tooltip="End after this step, keep what is learnt")
        self.errors = ErrorLine()
        hear_while_busy(self.stop_button)
        self.stop_button.on_click(self.errors.guard(self._stop))
        super().__init__([HBox([self.stop_button, self.status]), self.plot, self.errors])

    def start(self, *, total_epochs: int, n_steps: int = 1) -> None:
        self._total_epochs, self._n_steps = total_epochs, n_steps
        self.stopped, self.stop_button.disabled = False, False
        self.status.value = f"Epoch 0 of {total_epochs}"
        self.figure.update_xaxes(range=[0, max(1, total_epochs)])
        self._draw_safely()
        if self.shown and _in_notebook():
            from IPython.display import display

            display(self)

    def step(self, epoch: int, index: int, *, loss: float, seconds_left: float) -> None:
        """Say how far it is, and let the training loss of the epoch so far move the curve."""
        if not self._due():
            return
        done = epoch + (index + 1) / self._n_steps
        curve = self.curves["train_loss"]
        if not curve or not 0 <= done - curve[-1][0] < self._total_epochs / MOST_POINTS:
            self._add("train_loss", done, loss)
        self._draw_safely()
        self._say(done, {"train_loss": loss, "seconds_left": seconds_left})

    def update(self, record: dict[str, Any]) -> None:
        """Take in one epoch; drawn now or, if the last drawing was just now, with the next one."""
        for key in self.curves:
            self._add(key, record["epoch"], record.get(key))
        if self._due():
            self._draw_safely()
            self._say(record["epoch"], record)

    def finish(self, message: str) -> None:
        self._draw_safely()
        self.stop_button.disabled = True
        self.status.value = escaped(message)

    def _stop(self, _: Button) -> None:
        self.stopped = True
        self.stop_button.disabled = True
        self.status.value = "Stopping after this step …"

    def _add(self, key: str, epoch: float, loss: float | None) -> None:
        """Append a point; those not before it go, of the same moment or of a training begun anew or resumed."""
        curve = self.curves[key]
        while curve and curve[-1][0] >= epoch:
            curve.pop()
        curve.append((epoch, _finite(loss)))

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._drawn_at < DRAW_EVERY_S:
            return False
        self._drawn_at = now
        return True

    def _draw_safely(self) -> None:
        """Draw; a failure is shown and logged, because a picture must not end a training."""
        try:
            self._draw()
        except Exception as error:
            self.errors.show(error)

    def _draw(self) -> None:
        traces: Any = self.figure.data
        for trace, curve in zip(traces, self.curves.values(), strict=True):
            trace.x, trace.y = [epoch for epoch, _ in curve], [loss for _, loss in curve]
        self.plot.show(self.figure)

    def _say(self, epoch: float, record: dict[str, Any]) -> None:
        if self.stopped:
            return
        parts = [f"Epoch {epoch:.3g} of {self._total_epochs}"]
        for key, (name, *_) in LOOKS.items():
            if (value := _finite(record.get(key))) is not None:
                parts.append(f"{name} {value:.3g}")
        if (left := _finite(record.get("seconds_left"))) is not None:
            parts.append(f"{_duration(left)} left")
        self.status.value = " · ".join(parts)


def _figure(title: str, losses: str) -> go.Figure:
    figure = go.Figure()
    for name, line, symbol in LOOKS.values():
        marker = {"symbol": symbol, "size": 6, "maxdisplayed": 60}
        figure.add_scatter(name=name, mode="lines+markers", line=line, marker=marker, x=[], y=[])
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(title_text=losses, type="log", tickformat="~g", nticks=6)
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    alt = "Line chart of training and validation loss by epoch; the latest values are in the text above it."
    return finish(figure, title=title, alt=alt, height=340, legend=legend, showlegend=True)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _in_notebook() -> bool:
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
