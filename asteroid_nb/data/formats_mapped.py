"""Trajectories larger than memory: a safetensors file, written in pieces and mapped when it is read.

Reference:
    The format: https://huggingface.co/docs/safetensors (eight bytes, a JSON header, bare arrays one after the other).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from asteroid_nb.data.mapping import mapped, release
from asteroid_nb.data.spacing import agreed_dt_fs
from asteroid_nb.data.trajectory import PER_FRAME, Trajectory
from asteroid_nb.errors import InvalidTrajectory, UnreadableFile

ENDING = ".safetensors"

#: Says in the file's header that it is a trajectory of ours, with every value finite.
KIND = "asteroid_nb trajectory 1"

#: Bytes left for the header, which is known last.
HEADER_BYTES = 2**16

#: safetensors' names of what a trajectory holds.
DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}

#: Arrays that are there once, whatever the number of frames.
FIXED = ("atomic_numbers", "masses", "bonds")

#: Bytes of positions that are handled at a time.
PIECE_BYTES = 2**26


def read(path: Path, *, dt_fs: float | None, stride: int) -> Trajectory:
    """Return a trajectory whose frames stay on disk.

    Raises:
        UnreadableFile: cut short, damaged, or no trajectory of ours.
    """
    about, arrays = _opened(path)
    try:
        fields: dict[str, Any] = {key: np.array(arrays[key]) for key in FIXED if key in arrays}
        fields |= {key: arrays[key][::stride] for key in PER_FRAME if key in arrays}
        fields |= {"name": about["name"], "provenance": json.loads(about["provenance"])}
        in_file = float(about["dt_fs"])
        needed = [key for key in ("positions", "atomic_numbers") if key not in fields]
        if needed:
            raise KeyError(needed[0])
    except (KeyError, ValueError, TypeError) as error:
        raise UnreadableFile(f"{path} lacks or garbles what a trajectory needs ({error!r}). Convert again.") from error
    return Trajectory(**fields, dt_fs=agreed_dt_fs(in_file, dt_fs, path=path, why="") * stride)


def _opened(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as whole:  # looks at the header, and whether the file has the length it says
            about = whole.metadata() or {}
        if about.get("kind") != KIND:
            raise UnreadableFile(f"{path} holds no trajectory of ours (a model's weights?). Make one with anb.convert.")
        with open(path, "rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            header = json.loads(handle.read(length))
        arrays = {name: _mapped(path, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(f"{path} is cut short or damaged ({error}). Copy it again, or convert again.") from error
    return about, arrays


def _mapped(path: Path, entry: dict[str, Any], begin: int) -> np.ndarray:
    shape = tuple(entry["shape"])
    if 0 in shape:  # no byte can be mapped
        return np.zeros(shape, DTYPES[entry["dtype"]])
    return mapped(path, dtype=DTYPES[entry["dtype"]], offset=begin + entry["data_offsets"][0], shape=shape)


def write(trajectory: Trajectory, path: Path) -> None:
    """Write a trajectory with everything it holds, a piece at a time."""
    write_pieces(pieces(trajectory), path)


def pieces(trajectory: Trajectory) -> Iterator[Trajectory]:
    """Yield a trajectory in parts of about `PIECE_BYTES`, in order."""
    rows = max(1, PIECE_BYTES // (trajectory.n_atoms * 3 * trajectory.positions.itemsize))
    for first in range(0, trajectory.n_frames, rows):
        yield trajectory[first : first + rows]
        release(trajectory.positions)


def write_pieces(parts: Iterable[Trajectory], path: Path) -> None:
    """Write pieces of one trajectory, in order, as they come: only one is ever in memory.

    Raises:
        InvalidTrajectory: pieces of different atoms or spacing, or none.
    """
    first: Trajectory | None = None
    with open(path, "wb") as out, contextlib.ExitStack() as spools:
        out.write(bytes(HEADER_BYTES))
        files: dict[str, BinaryIO] = {"positions": out}
        n_frames = 0
        for part in parts:
            if first is None:
                first = _must_be_a_trajectory(part)
                _header(
                    first, 0, ["positions", *_also(first)]
                )  # what cannot be said is told before anything is written
                for key in _also(first):
                    files[key] = spools.enter_context(tempfile.TemporaryFile(dir=path.parent))
            _must_follow(part, first)
            for key, file in files.items():
                file.write(_bytes(key, getattr(part, key)))
            n_frames += part.n_frames
        if first is None:
            raise InvalidTrajectory(f"{path.name}: there is no frame to write. Is the file or the stream empty?")
        header = _header(first, n_frames, list(files))
        for key in list(files)[1:]:
            files[key].seek(0)
            shutil.copyfileobj(files[key], out, PIECE_BYTES)
        for key in FIXED:
            if getattr(first, key) is not None:
                out.write(_bytes(key, getattr(first, key)))
        out.seek(0)
        out.write(header)


def _also(first: Trajectory) -> list[str]:
    return [key for key in PER_FRAME[1:] if getattr(first, key) is not None]


def _must_be_a_trajectory(part: Any) -> Trajectory:
    if not isinstance(part, Trajectory):
        raise InvalidTrajectory(
            f"Found {type(part).__name__}, needed is a file, a Trajectory or pieces of one. Convert several files one "
            "by one; make a Trajectory of MDTraj's and ASE's objects first (asteroid_nb.data.readers.as_trajectory)."
        )
    return part


def _must_follow(part: Trajectory, first: Trajectory) -> None:
    _must_be_a_trajectory(part)
    same = part.same_atoms(first) and np.array_equal(part.masses, first.masses) and _also(part) == _also(first)
    if not (same and (part.n_frames == 1 or np.isclose(part.dt_fs, first.dt_fs, rtol=1e-3))):
        raise InvalidTrajectory(f"{part} cannot follow {first}: other atoms, masses, spacing or arrays.")


def _stored(key: str) -> str:
    """Return safetensors' name of how an array is kept: frames in single precision, but for energies."""
    if key in ("atomic_numbers", "bonds"):
        return "I64"
    return "F64" if key in ("energies", "masses") else "F32"


def _bytes(key: str, array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, dtype=DTYPES[_stored(key)]).tobytes()


def _header(first: Trajectory, n_frames: int, keys: list[str]) -> bytes:
    """Return the eight bytes and the header, filled up with blanks to the place that was left for it."""
    shapes = {key: (n_frames, *getattr(first, key).shape[1:]) for key in keys}
    shapes |= {key: getattr(first, key).shape for key in FIXED if getattr(first, key) is not None}
    about = {"kind": KIND, "dt_fs": repr(first.dt_fs), "name": first.name}
    entries: dict[str, Any] = {"__metadata__": about | {"provenance": _plain(first)}}
    at = 0
    for key, shape in shapes.items():
        kind = _stored(key)
        end = at + int(np.prod(shape)) * DTYPES[kind].itemsize
        entries[key] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries).encode()
    room = HEADER_BYTES - 8
    if len(text) > room:
        raise InvalidTrajectory(f"What is said of {first.name!r} needs {len(text)} bytes; {room} are kept for it.")
    return room.to_bytes(8, "little") + text.ljust(room)


def _plain(first: Trajectory) -> str:
    try:
        return json.dumps(dict(first.provenance))
    except TypeError as error:
        raise InvalidTrajectory(f"The provenance of {first.name!r} is no JSON ({error}). Use plain values.") from error
