"""Windows written for a foreign forecaster, and its forecasts read back as if it were one of ours."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.bench.forecasts.protocols import Protocol
from asteroid_nb.data.splits import Split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import ModelMismatch, TrajectoryTooShort, UnreadableFile
from asteroid_nb.shapes import Float

TASK, REPORT, FORECAST = "task.json", "report.json", "forecast.npz"

#: Weights of x(t), x(t - h), …, over h: a velocity at t that needs no frame after it, exact for cubic paths.
BACKWARD = (11 / 6, -3.0, 3 / 2, -1 / 3)


def speeds_of(trajectory: Trajectory) -> tuple[Float[np.ndarray, "frames atoms 3"], str]:
    """Return velocities in Å/fs at every stored frame, and where they are from: the file, or differences.

    A difference looks back only, so that no window with three frames of history or more after its first is told of its
    future; the first three frames of a trajectory share one.

    Raises:
        TrajectoryTooShort: fewer frames than a difference needs.
    """
    if trajectory.velocities is not None:
        return np.asarray(trajectory.velocities, dtype=np.float32), "stored"
    if trajectory.n_frames < len(BACKWARD):
        raise TrajectoryTooShort(
            f"{trajectory.name!r} has no velocities and {trajectory.n_frames} frames; a difference needs "
            f"{len(BACKWARD)}. Use a longer trajectory, or one with velocities."
        )
    positions, last = np.asarray(trajectory.positions, dtype=float), trajectory.n_frames
    first = len(BACKWARD) - 1
    shifted = np.stack([positions[first - k : last - k] for k in range(len(BACKWARD))])
    known = np.tensordot(BACKWARD, shifted, axes=1) / trajectory.dt_fs
    return np.concatenate([np.repeat(known[:1], first, axis=0), known]).astype(np.float32), "differences"


def export(folder: Path, parts: Split, protocol: Protocol, *, seconds: float, seed: int, most: tuple[int, int]) -> str:
    """Write what a peer learns from, chooses by, and is asked; return where velocities are from.

    Of the test only the history is written: a forecast cannot see what it is judged by.

    Args:
        parts: of one source.
        seconds: of processor time that training may take.
        most: windows to choose by, and to be judged on, spread evenly; those to learn from are all written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (REPORT, FORECAST):
        (folder / stale).unlink(missing_ok=True)
    asked = {
        "train": (parts.train, True),
        "validation": (parts.validation.subset(most=most[0]), True),
        "test": (parts.test.subset(most=most[1]), False),
    }
    origins = set()
    for name, (windows, with_future) in asked.items():
        *arrays, origin = _arrays(windows, with_future=with_future)
        origins.add(origin)
        np.savez(folder / f"{name}.npz", positions=arrays[0], velocities=arrays[1])
    molecule = parts.train.molecule
    task = {
        "protocol": protocol.name, "dt_fs": parts.train.dt_fs, "history": protocol.history,
        "horizon": protocol.horizon, "seconds": seconds, "seed": seed, "velocities": " and ".join(sorted(origins)),
        "atomic_numbers": molecule.atomic_numbers.tolist(), "masses_amu": molecule.masses.tolist(),
    }  # fmt: skip
    (folder / TASK).write_text(json.dumps(task, indent=1), encoding="utf-8")
    return task["velocities"]


def _arrays(windows: Windows, *, with_future: bool) -> tuple[np.ndarray, np.ndarray, str]:
    """Return [windows, frames, atoms, 3] centred positions in Å, velocities in Å/fs, and where these are from."""
    window, shape = windows[:], windows.shape
    n_frames = shape.history + shape.horizon if with_future else shape.history
    positions = torch.cat([window.history, window.truth], dim=1)[:, :n_frames]
    speeds, origins = zip(*(speeds_of(one) for one in windows.trajectories), strict=True)
    frames = windows.starts[:, 1:] + np.arange(n_frames) * shape.stride_frames
    velocities = np.empty(positions.shape, dtype=np.float32)
    for walker, known in enumerate(speeds):
        mine = windows.starts[:, 0] == walker
        velocities[mine] = known[frames[mine]]
    return positions.numpy(), velocities, " and ".join(sorted(set(origins)))


class ReadBack:
    """The forecasts a peer wrote, found by the history they were asked for.

    Args:
        name: shown in tables.
        folder: the exchange.

    Raises:
        UnreadableFile: no forecasts, or a damaged file.
        ModelMismatch: another number of windows, frames or atoms than was asked for.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        task = json.loads((folder / TASK).read_text(encoding="utf-8"))
        histories = _read(folder / "test.npz")
        positions = _read(folder / FORECAST)
        n_windows, _, *rest = histories.shape
        needed = (n_windows, task["horizon"], *rest)
        if positions.shape != needed:
            raise ModelMismatch(
                f"{name} forecast {list(positions.shape)}; asked for were [windows, horizon, atoms, 3] = "
                f"{list(needed)}. Mend its script."
            )
        self._found = {one.tobytes(): found for one, found in zip(histories, positions, strict=True)}

    def forecast(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return what was forecast for these histories.

        Raises:
            ModelMismatch: a history that was not among those the peer was asked for.
        """
        keys = [one.tobytes() for one in window.history.cpu().numpy()]
        if unknown := [number for number, key in enumerate(keys) if key not in self._found]:
            raise ModelMismatch(
                f"{self.name} was not asked for {len(unknown)} of {len(keys)} windows. Export the windows it is "
                "judged on, and run it again."
            )
        return torch.from_numpy(np.stack([self._found[key] for key in keys]))


def _read(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            return np.ascontiguousarray(file["positions"], dtype=np.float32)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableFile(f"{path.name} holds no positions ({error}). Run the peer again.") from error


def report_of(folder: Path) -> dict[str, Any]:
    """Return what a peer says about its training: ``n_parameters``, ``core_seconds``, ``versions``, ``about``.

    Raises:
        UnreadableFile: it said nothing, or something else.
    """
    try:
        found = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        counts = {"n_parameters": int(found["n_parameters"]), "core_seconds": float(found["core_seconds"])}
        return counts | {"versions": dict(found["versions"]), "about": str(found["about"])}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(f"{REPORT} says not what was trained ({error!r}). Mend the peer's script.") from error
