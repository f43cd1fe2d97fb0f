"""What an attention explorer shows: checked records, the names along their axes, and where the atoms were."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from asteroid_nb.data.bonds import bond_hops, bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.forecast.rollout import attention, mean_attention, windows_along
from asteroid_nb.forecast.run import Run

#: Bonds within which an atom is near, as in the local attention of `STISettings`.
NEAR_HOPS = 2

#: Queries and keys of the largest map: a browser draws it at ease, and it stays below 8 MB.
MOST_NODES = 300


@dataclass(frozen=True, kw_only=True)
class AttentionLabels:
    """Names along the axes of one record [each, heads, queries, keys]; empty ones are counted from 1.

    Args:
        queries: who looks.
        keys: whom they look at.
        each: one map per entry: times for attention between atoms, atoms for attention in time.
        each_name: what ``each`` counts, "time" or "atom".
        n_atoms: how many leading entries of the axis that counts atoms are atoms; 0 where that is not known.
        first_atom_key: the key at which the atoms begin; None where keys are no atoms.
        times_fs: of the axis that counts times, the present being 0.
    """

    queries: Sequence[str] = ()
    keys: Sequence[str] = ()
    each: Sequence[str] = ()
    each_name: str = "time"
    n_atoms: int = 0
    first_atom_key: int | None = None
    times_fs: Sequence[float] = ()

    @property
    def between_atoms(self) -> bool:
        """Return whether queries are atoms; else they are times of one atom."""
        return self.each_name != "atom"

    @property
    def nodes(self) -> Sequence[str]:
        """Return the atoms, then the registers."""
        return self.queries if self.between_atoms else self.each

    @property
    def times(self) -> Sequence[str]:
        return self.each if self.between_atoms else self.queries


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The attention of one window, or the mean over several.

    Args:
        records: [each, heads, queries, keys] by a name with a layer number in it: "encoder.0.local"; zero or NaN where
            masked.
        labels: by a record's name, or by a part of it ("local").
        trajectory: the window's frames, its future included.
        history: leading frames of it that were seen.
        positions: [windows, frames, atoms, 3] Å of all windows; the trajectory's when not given.
        what: which windows, in short, for the titles.
        note: a sentence on them.

    Raises:
        InvalidTrajectory: no record, another shape, infinity, or labels that do not fit.
    """

    records: Mapping[str, np.ndarray]
    labels: Mapping[str, AttentionLabels] = field(default_factory=dict)
    trajectory: Trajectory | None = None
    history: int = 1
    positions: np.ndarray | None = None
    what: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.records:
            raise InvalidTrajectory("No attention was recorded. Run the forecast again with recording switched on.")
        fill = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731  (the class is frozen)
        fill("records", {name: _checked(name, weights) for name, weights in self.records.items()})
        fill("labels", {name: _labels(name, weights, self.labels) for name, weights in self.records.items()})
        if self.positions is None and self.trajectory is not None:
            fill("positions", np.asarray(self.trajectory.positions)[None])

    @cached_property
    def names(self) -> dict[str, dict[int, str]]:
        """Return the records' names by kind and layer."""
        return _by_kind_and_layer(self.records)

    @cached_property
    def times_fs(self) -> np.ndarray:
        """Return [frames] fs of the window, the present being 0."""
        return np.array([]) if self.trajectory is None else self.trajectory.times_fs - self._present_fs

    def heads(self, name: str, each: int | None) -> np.ndarray:
        """Return [heads, queries, keys] of one entry, or of the mean over atoms."""
        weights = self.records[name]
        return weights[: self.labels[name].n_atoms or None].mean(0) if each is None else weights[each]

    def allowed(self, name: str, each: int | None) -> np.ndarray:
        """Return [queries, keys], True where any head looked: what no head saw was masked."""
        return np.nan_to_num(self.heads(name, each)).max(0) > 0

    def distances(self, time_fs: float) -> np.ndarray:
        """Return [atoms, atoms] Å at the nearest frame, the mean over the windows."""
        assert self.positions is not None
        at = self.positions[:, nearest(self.times_fs, time_fs)].astype(float)
        return np.linalg.norm(at[:, :, None] - at[:, None], axis=-1).mean(0)

    @cached_property
    def hops(self) -> np.ndarray | None:
        """Return [atoms, atoms] bonds apart, counted a little beyond what is near."""
        if self.trajectory is None:
            return None
        return bond_hops(bonds_of(self.trajectory), self.trajectory.n_atoms, most=NEAR_HOPS + 2)

    @property
    def _present_fs(self) -> float:
        return 0.0 if self.trajectory is None else (self.history - 1) * self.trajectory.dt_fs


def record(run: Run, trajectory: Trajectory, *, start: int = 0, n_windows: int = 1) -> Recorded:
    """Return the attention of a run on the window at a stored frame, or its mean over windows spread from there on.

    Raises:
        ModelMismatch, TrajectoryTooShort: the trajectory does not fit the model.
        InvalidSettings: the model has no layer that attends in a forecast.
        InvalidTrajectory: too many atoms for a map.
    """
    _must_be_drawable(run.name, run.model.molecule.n_atoms, run.model.molecule.n_atoms)
    windows = windows_along(run, trajectory, start=start, n_windows=n_windows)
    records = attention(run, windows[:1]) if len(windows) == 1 else mean_attention(run, windows)
    if not records:
        settings = run.settings
        raise InvalidSettings(
            f"A forecast of this model uses no attention: it has {settings.encoder_layers} encoder layers and "
            f"{settings.decoder_layers} decoder layers, and decode={settings.decode!r}. Train one with a layer."
        )
    shape, window = windows.shape, windows[:]
    frames = slice(start, start + shape.span_frames, shape.stride_frames)
    several = f"{len(windows)} windows that begin at frames {start} to {windows.starts[-1, 1]}"
    return Recorded(
        records=records,
        labels={name: attention_labels(run, trajectory, name) for name in records},
        trajectory=trajectory[frames],
        history=run.settings.history,
        positions=torch.cat([window.history, window.truth], dim=1).numpy(),
        what=f"window at frame {start}" if len(windows) == 1 else f"mean of {len(windows)} windows",
        note="" if len(windows) == 1 else f"Weights and distances are means over {several}; 3D shows the first.",
    )


def attention_labels(run: Run, trajectory: Trajectory, name: str) -> AttentionLabels:
    """Return the names along the axes of the record of one layer, such as "decoder.0.transformation"."""
    settings, present = run.settings, run.settings.history - 1
    nodes = [*trajectory.labels, *(f"register {number + 1}" for number in range(settings.registers))]
    rows = np.subtract(settings.rows, present) * run.dt_fs
    slots = np.subtract(settings.context_starts + settings.slot_starts, present) * run.dt_fs
    times_fs = rows if name.startswith("encoder") else slots
    times = [_when(time) for time in times_fs]
    known = AttentionLabels(n_atoms=trajectory.n_atoms, times_fs=times_fs.tolist())
    if name.endswith("temporal") or (name.endswith("local") and settings.local == "variable"):
        return replace(known, queries=times, keys=times, each=nodes, each_name="atom")
    if name.endswith("transformation"):
        if settings.pairs == "listed":
            keys = [f"itself at {_when(row)}" for row in rows] + [f"{node} now" for node in nodes[trajectory.n_atoms :]]
            return replace(known, queries=times, keys=keys, each=nodes, each_name="atom")
        keys = [f"itself at {_when(row)}" for row in rows] + [f"{node} now" for node in nodes]
        return replace(known, queries=times, keys=keys, each=nodes, each_name="atom", first_atom_key=len(rows))
    atoms, registers = nodes[: trajectory.n_atoms], nodes[trajectory.n_atoms :]
    if name.endswith("gather"):
        return replace(known, queries=registers, keys=nodes, each=times, first_atom_key=0)
    if name.endswith("read"):
        return replace(known, queries=atoms, keys=registers, each=times)
    return replace(known, queries=nodes, keys=nodes, each=times, first_atom_key=0)


def nearest(times_fs: Sequence[float] | np.ndarray, time_fs: float) -> int:
    """Return the index of the time nearest to another, the earlier of two."""
    return int(np.abs(np.asarray(times_fs) - time_fs).argmin())


def _when(time_fs: float) -> str:
    return f"{time_fs:+g} fs".replace("-", "\N{MINUS SIGN}") if time_fs else "now"


def _checked(name: str, weights: np.ndarray) -> np.ndarray:
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim != 4 or 0 in weights.shape:
        raise InvalidTrajectory(f"Attention {name!r} has shape {weights.shape}, not [each, heads, queries, keys].")
    if np.isinf(weights).any() or np.isnan(weights).all():
        raise InvalidTrajectory(f"Attention {name!r} holds infinity, or nothing but NaN: did the training diverge?")
    _must_be_drawable(name, *weights.shape[2:])
    return weights


def _must_be_drawable(name: str, n_queries: int, n_keys: int) -> None:
    if max(n_queries, n_keys) > MOST_NODES:
        raise InvalidTrajectory(
            f"Attention of {name!r} has {n_queries} × {n_keys} weights per map; a browser draws at most "
            f"{MOST_NODES} × {MOST_NODES}. Read them with anb.attention(run, window)."
        )


def _labels(name: str, weights: np.ndarray, labels: Mapping[str, AttentionLabels]) -> AttentionLabels:
    parts = [name, *reversed(re.split(r"[. ]", name))]
    given = next((labels[part] for part in parts if part in labels), AttentionLabels())
    counts = {"each": weights.shape[0], "queries": weights.shape[2], "keys": weights.shape[3]}
    filled = {}
    for axis, count in counts.items():
        words = [str(word) for word in getattr(given, axis)] or [str(i + 1) for i in range(count)]
        if len(words) != count:
            raise InvalidTrajectory(f"Attention {name!r} has {count} {axis}, but {len(words)} labels. Give one each.")
        filled[axis] = words
    return replace(given, **filled)


def _by_kind_and_layer(names: Mapping[str, np.ndarray]) -> dict[str, dict[int, str]]:
    """Sort "encoder.0.local" under kind "encoder local", layer 0; a name without a number is layer 0."""
    sorted_names: dict[str, dict[int, str]] = {}
    for name in names:
        parts = name.split(".")
        numbers = [int(part) for part in parts if part.isdigit()]
        kind = " ".join(part for part in parts if not part.isdigit())
        sorted_names.setdefault(kind, {})[numbers[0] if numbers else 0] = name
    return sorted_names
