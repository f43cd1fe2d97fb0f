"""Forecasting: one horizon for many windows, blocks chained as often as wanted; attention weights, delay matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import InvalidSettings, ModelMismatch, TrajectoryTooShort
from asteroid_nb.forecast import sti
from asteroid_nb.forecast.attention import recording
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.thermostat import Rescaling, Thermostat
from asteroid_nb.shapes import Float

#: No molecule gets so far from where it was.
RUN_AWAY_ANG = 1e6


@overload
def predict(
    run: Run, trajectory: Trajectory, *, starts: int = 0, n_blocks: int = 1, thermostat: Thermostat | None = None
) -> Trajectory: ...
@overload
def predict(
    run: Run, trajectory: Trajectory, *, starts: Sequence[int], n_blocks: int = 1, thermostat: Thermostat | None = None
) -> list[Trajectory]: ...
def predict(
    run: Run,
    trajectory: Trajectory,
    *,
    starts: int | Sequence[int] = 0,
    n_blocks: int = 1,
    thermostat: Thermostat | None = None,
):
    """Return the forecast after the history that begins at each start, the history included.

    Frame ``history − 1`` of the result is the present; what follows is predicted, ``n_blocks`` horizons of it, each fed
    back as the history of the next. All starts are predicted together.

    Args:
        run: the trained model.
        trajectory: of the model's molecule, at its spacing or a whole fraction of it.
        starts: stored frames at which histories begin.
        thermostat: holds chained forecasts at a temperature, from the second horizon on; without one they keep the
            energy as well as they can.

    Raises:
        ModelMismatch: other species, masses or spacing.
        TrajectoryTooShort: a history would reach beyond the end.
        InvalidSettings: ``n_blocks`` below 1; a thermostat for one horizon, frames too far apart or a periodic box.
    """
    stride, history = run.stride_for(trajectory), run.settings.history
    if n_blocks < 1:
        raise InvalidSettings(f"n_blocks was {n_blocks}; at least one horizon is predicted.")
    if thermostat is not None and n_blocks == 1:
        raise InvalidSettings("A thermostat acts between two horizons, and n_blocks was 1. Ask for 2 or more.")
    if not np.size(starts):
        return []
    chosen = np.atleast_1d(starts).astype(np.int64, casting="same_kind")
    for start in chosen:
        _must_hold(trajectory, start, (history - 1) * stride + 1, f"A history of {history} frames, every {stride}")
    frames = chosen[:, None] + np.arange(history) * stride
    seen = torch.from_numpy(np.asarray(trajectory.positions)[frames])
    held = None if thermostat is None else held_at(thermostat, trajectory, run.dt_fs)
    path = torch.cat([seen, chained(run, seen, dt_fs=run.dt_fs, n_blocks=n_blocks, held=held)], dim=1)
    warm = {} if thermostat is None else {"thermostat": dataclasses.asdict(thermostat)}
    made = [_as_trajectory(run, trajectory, one, int(start), warm) for one, start in zip(path, chosen, strict=True)]
    return made[0] if np.ndim(starts) == 0 else made


def _must_hold(trajectory: Trajectory, start: int, span_frames: int, what: str) -> None:
    last = trajectory.n_frames - span_frames
    if not 0 <= start <= last:
        room = f"Choose a start between 0 and {last}." if last >= 0 else "Use a longer trajectory."
        raise TrajectoryTooShort(
            f"{what}, spans {span_frames}; from frame {start} it does not fit into {trajectory.n_frames}. {room}"
        )


def rollout(
    run: Run, history: Float[Tensor, "windows history atoms 3"], *, n_blocks: int
) -> Float[Tensor, "windows frames atoms 3"]:
    """Return ``n_blocks`` horizons in Å after bare histories, each predicted from the end of what came before."""
    return chained(run, history, dt_fs=run.dt_fs, n_blocks=n_blocks)


@torch.no_grad()
def chained(
    forecaster: Any,
    history: Float[Tensor, "windows history atoms 3"],
    *,
    dt_fs: float,
    n_blocks: int,
    held: Rescaling | None = None,
) -> Float[Tensor, "windows frames atoms 3"]:
    """Return what `rollout` does, of anything with ``forecast(window)``; ``held`` comes between two forecasts.

    A chain that has run away stays where it got to, and its start is forecast in its place, so that others can go on.
    """
    length, seen = history.shape[1], history.double()  # far from the origin single precision would round every block
    blocks: list[Tensor] = []
    begun, lost = seen, torch.zeros(len(seen), 1, 1, 1, dtype=torch.bool, device=seen.device)
    for _ in range(n_blocks):
        if held is not None and blocks:
            seen = held(seen, blocks[-1].shape[1] * dt_fs)
        window = Window.of(seen, dt_fs=dt_fs)
        ahead = window.place(forecaster.forecast(window))
        if blocks:
            ahead = blocks[-1][:, -1:].to(ahead.dtype).where(lost, ahead)
        far = (ahead - begun[:, :1]).abs().amax((1, 2, 3), keepdim=True)
        lost = lost | ~(far < RUN_AWAY_ANG)  # true of what is no number, too
        blocks.append(ahead.to(history.dtype))
        seen = begun.where(lost, torch.cat([seen, ahead], dim=1)[:, -length:])
    return torch.cat(blocks, dim=1)


def held_at(thermostat: Thermostat, trajectory: Trajectory, dt_fs: float) -> Rescaling:
    """Return what holds forecasts of a trajectory's molecule at a temperature.

    Raises:
        InvalidSettings: the molecule is in a periodic box, or frames are too far apart.
    """
    if trajectory.cell is not None:
        raise InvalidSettings(
            f"{trajectory.name!r} is in a periodic box; the thermostat is for molecules in vacuum. Chain without it."
        )
    return Rescaling(thermostat, trajectory.masses, dt_fs)


def _as_trajectory(run: Run, source: Trajectory, path: Tensor, start: int, warm: dict[str, Any]) -> Trajectory:
    provenance = {
        "forecaster": run.name,
        "source": source.name,
        "start_frame": start,
        "history_frames": run.settings.history,
        **warm,
    }
    return Trajectory(
        path.numpy(),
        source.atomic_numbers,
        run.dt_fs,
        masses=source.masses,
        bonds=run.model.molecule.bonds,
        name=f"{run.name} forecast",
        provenance=provenance,
        check_distances=False,
    )


def attention(run: Run, window: Window) -> dict[str, np.ndarray]:
    """Return the attention weights of every layer as the forecast of one window used them.

    Each is [each, heads, queries, keys] by the layer's name. Over atoms ("local", "global") ``each`` is a time, queries
    and keys are atoms, then registers; over time ("temporal") and in the decoder's reading of the encoder
    ("transformation") ``each`` is an atom or register, queries are the times of the stack the layer is in. Keys of the
    transformation are the encoder's times of the same atom, then all atoms at the present. What was masked is zero.

    Where pairs are listed, "local" still is a table of all nodes, zero where nothing is listed (of at most
    `near.MOST_RECORDED` nodes); "global.gather" has registers as queries and all nodes as keys, "global.read" atoms as
    queries and registers as keys; the transformation's last keys are the registers at the present.

    There is no attention of the STI equation among them: the delay matrix is read from the encoder's tokens by a linear
    head, and its conjugate Ψ, which does attend, runs in training alone.
    """
    first = Window.of(window.history[:1], dt_fs=window.dt_fs)
    return {name: weights[0].numpy() for name, weights in _recorded(run, first).items()}


def mean_attention(run: Run, windows: Windows, *, batch_size: int = 32) -> dict[str, np.ndarray]:
    """Return the mean over windows of what `attention` returns for one."""
    total: dict[str, Tensor] = {}
    for window in windows.batches(batch_size):
        for name, weights in _recorded(run, window).items():
            total[name] = total.get(name, torch.zeros(())) + weights.double().sum(0)
    return {name: (weights / len(windows)).float().numpy() for name, weights in total.items()}


@torch.no_grad()
def _recorded(run: Run, window: Window) -> dict[str, Tensor]:
    """Return [windows, each, heads, queries, keys] of every layer that the forecast ran."""
    with recording(run.model.eval()) as record:
        run.model.predict(window.to(run.device), cached=False)
    return {_short(name): weights.float().cpu() for name, weights in record.items()}


def _short(name: str) -> str:
    """Return the name people use: ``encoder.0.spatial.wide`` is ``encoder.0.global``."""
    return name.replace("spatial.", "").replace("wide", "global")


def window_at(run: Run, trajectory: Trajectory, start: int) -> Window:
    """Return the one window of a trajectory that begins at a stored frame, its future included.

    Raises:
        ModelMismatch, TrajectoryTooShort: as in `predict`.
    """
    shape = run.shape_for(trajectory)
    _must_hold(trajectory, start, shape.span_frames, f"{shape}")
    return Windows([trajectory], shape, starts=np.array([[0, start]]))[:]


@dataclass(frozen=True, kw_only=True, eq=False)
class DelayMatrices:
    """The delay matrices of one forecast beside the true ones, where the trajectory lies.

    Entry (i, j) stands for frame ``rows[i] + j`` of the window; it is known where that is at most ``history − 1``.

    Args:
        predicted: [rows, columns, atoms, 3] Å.
        truth: the same shape; None where the trajectory ends before the horizon.
        forecast: [horizon, atoms, 3] Å, what the decoder made of them.
        rows: history frames at which the rows start, the last of them the present.
        history: frames seen.
        dt_fs: between frames.
        labels: of the atoms.
        name: of the forecaster.
        start: stored frame at which the history begins.
    """

    predicted: Float[np.ndarray, "rows columns atoms 3"]
    truth: Float[np.ndarray, "rows columns atoms 3"] | None
    forecast: Float[np.ndarray, "horizon atoms 3"]
    rows: tuple[int, ...]
    history: int
    dt_fs: float
    labels: tuple[str, ...]
    name: str = "forecast"
    start: int = 0

    @property
    def times_fs(self) -> np.ndarray:
        """Return the time of every frame of the window, the present at 0."""
        return (np.arange(self.history + len(self.forecast)) - (self.history - 1)) * self.dt_fs


@torch.no_grad()
def delay_matrices(run: Run, trajectory: Trajectory, start: int = 0) -> DelayMatrices:
    """Return the delay matrices behind the forecast after the history that begins at a stored frame.

    Raises:
        ModelMismatch: the model has no delay matrices; other species, masses or spacing.
        TrajectoryTooShort: the history would reach beyond the end.
    """
    settings = run.settings
    if not settings.sti:
        raise ModelMismatch(
            f"This {run.name} was made with sti=False and predicts no delay matrices. "
            "Train one with them: anb.train(…, settings=run.settings.replace(sti=True))."
        )
    stride, frames = run.stride_for(trajectory), settings.history + settings.horizon
    _must_hold(trajectory, start, (settings.history - 1) * stride + 1, f"A history of {settings.history} frames")
    path = torch.from_numpy(np.array(trajectory.positions[start::stride][:frames], dtype=float))[None]
    window = Window.of(path[:, : settings.history], dt_fs=run.dt_fs)
    prediction = run.model.eval().predict(window.to(run.device))
    assert prediction.matrix is not None, "a model with STI predicts matrices"
    n_rows, rows = len(settings.rows), torch.tensor(settings.rows)
    placed = window.place(prediction.matrix[0].flatten(0, 1)[None].cpu())[0].unflatten(0, (n_rows, -1))
    return DelayMatrices(
        predicted=placed.numpy(),
        truth=sti.delay_matrix(path, rows, settings.horizon)[0].numpy() if path.shape[1] == frames else None,
        forecast=window.place(prediction.forecast.cpu())[0].numpy(),
        rows=settings.rows,
        history=settings.history,
        dt_fs=run.dt_fs,
        labels=trajectory.labels,
        name=run.name,
        start=start,
    )


def windows_along(run: Run, trajectory: Trajectory, *, start: int = 0, n_windows: int) -> Windows:
    """Return windows that begin at ``start`` and at stored frames spread evenly from there to the end.

    Raises:
        ModelMismatch, TrajectoryTooShort: as in `predict`.
        InvalidSettings: ``n_windows`` below 1.
    """
    if n_windows < 1:
        raise InvalidSettings(f"n_windows was {n_windows}; at least one window is looked at.")
    shape = run.shape_for(trajectory)
    _must_hold(trajectory, start, shape.span_frames, f"{shape}")
    frames = np.unique(np.linspace(start, trajectory.n_frames - shape.span_frames, n_windows).astype(np.int64))
    return Windows([trajectory], shape, starts=np.stack([np.zeros_like(frames), frames], axis=1))
