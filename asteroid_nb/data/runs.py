"""The folder of a simulation: what it was begun with, and finished chunks, each written whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.errors import SettingsDiffer, UnreadableFile
from asteroid_nb.files import replacing

#: May grow when a run folder is used again: earlier frames stay what they were.
MAY_GROW = ("n_walkers", "n_frames")


@contextmanager
def opened(out: str | Path | None) -> Iterator[Path]:
    """Yield the run folder, or a temporary one where none was named."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="asteroid-simulate-") as name:
            yield Path(name)
    else:
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)


def agree(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a new run, or hold it against the one the folder was begun with.

    Raises:
        SettingsDiffer: they differ in more than the number of walkers or frames.
        UnreadableFile: the stored record is damaged.
    """
    path = folder / "settings.json"
    record = json.loads(json.dumps(record))
    if path.exists():
        _refuse_differences(folder, _stored(path), record)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1))
    return record


def _stored(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise UnreadableFile(f"{path} is damaged ({error}). Use another folder, or delete this one.") from error


def _refuse_differences(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    differences = []
    for part, new in now.items():
        old = before.get(part, {})
        for key in sorted({*old, *new} - set(MAY_GROW)):
            if old.get(key) != new.get(key):
                differences.append(f"{part}.{key}: {_short(old.get(key))} there, {_short(new.get(key))} now")
    if differences:
        raise SettingsDiffer(
            f"{folder} holds a run with other settings ({'; '.join(differences)}). "
            "Use the same settings to continue it, or another folder."
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."


def chunks(folder: Path, number: int, *, n_frames: int, chunk_frames: int) -> list[tuple[Path, int]]:
    """Return the chunk files of one walker and the frames each holds."""
    home = folder / f"walker-{number:03d}"
    starts = range(0, n_frames, chunk_frames)
    return [
        (home / f"chunk-{index:05d}.npz", min(chunk_frames, n_frames - start)) for index, start in enumerate(starts)
    ]


def read(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of a chunk or state, or None where there is no file.

    Raises:
        UnreadableFile: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        # NumPy would leave a damaged file open if it opened it itself.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except Exception as error:  # a damaged zip raises many things
        raise UnreadableFile(
            f"{path} is damaged ({error}). Delete this file and run again: it is made anew."
        ) from error


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a chunk or state whole."""
    with replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **arrays)  # type: ignore[arg-type]  # its stubs take the first array for allow_pickle


def core_seconds(folder: Path, number: int, *, n_frames: int, chunk_frames: int) -> float | None:
    """Return what a finished walker cost, its equilibration included; None where parts were written without a clock."""
    stored = [path for path, _ in chunks(folder, number, n_frames=n_frames, chunk_frames=chunk_frames)]
    parts = [read(path) for path in (stored[0].with_name("equilibration.npz"), *stored)]
    spent = sum(float(part.get("core_seconds", np.nan)) for part in parts if part is not None)
    return spent if np.isfinite(spent) else None


def gather(
    folder: Path, number: int, *, n_frames: int, chunk_frames: int, keys: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return the frames of one finished walker, chunks joined."""
    stored = [read(path) for path, _ in chunks(folder, number, n_frames=n_frames, chunk_frames=chunk_frames)]
    assert all(chunk is not None for chunk in stored)
    return {key: np.concatenate([chunk[key] for chunk in stored if chunk is not None])[:n_frames] for key in keys}


def kept_message(out: str | Path | None, *, n_walkers: int, n_frames: int, chunk_frames: int) -> str:
    """Return what an interrupted run says: what is kept and how to go on."""
    if out is None:
        return (
            "The simulation was stopped. Nothing is kept, as no folder was given: pass out=folder to be able to resume."
        )
    done = sum(
        n
        for number in range(n_walkers)
        for path, n in chunks(Path(out), number, n_frames=n_frames, chunk_frames=chunk_frames)
        if path.exists()
    )
    return (
        f"The simulation was stopped. {out} keeps {done} of {n_walkers * n_frames} frames, in whole chunks. "
        "The same call with the same folder continues there."
    )
