"""What training leaves on disk: a checkpoint to resume from, and a model folder that runs no code when it is loaded.

A model folder holds ``settings.json`` (kind, frozen settings, spacing, species, masses, versions) and
``weights.safetensors``.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.errors import AsteroidError, CorruptModel, InvalidSettings, ModelMismatch
from asteroid_nb.files import replacing

SETTINGS_FILE, WEIGHTS_FILE, CHECKPOINT_FILE = "settings.json", "weights.safetensors", "checkpoint.pt"

#: What torch.load raises for files that are cut off, no checkpoint of ours, or would run code.
FOREIGN = (pickle.UnpicklingError, zipfile.BadZipFile, struct.error, AssertionError, EOFError, OSError, RuntimeError)
FOREIGN += (AttributeError, LookupError, TypeError, ValueError)

#: Of models made of several: two can disagree, and no folder may ask for more than so many.
FEWEST_MEMBERS, MOST_MEMBERS = 2, 100

#: Changed whenever an older folder could no longer be understood.
FORMAT = 1


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training; a reader sees the old one or the whole new one."""
    in_memory = io.BytesIO()  # written to disk by torch itself, a full disk would be an error without that name
    torch.save(dict(state), in_memory)
    with replacing(path) as temporary:
        temporary.write_bytes(in_memory.getbuffer())


def load_checkpoint(path: Path | None, *, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's state, loaded without running code.

    Raises:
        CorruptModel: missing, damaged or not a checkpoint of ours.
        ModelMismatch: it was written with other settings.
    """
    if path is None or not path.is_file():
        raise CorruptModel(f"There is no checkpoint at {path}. Train without resume first, or name the run's folder.")
    try:
        if not zipfile.is_zipfile(path):  # torch would read older formats too, with fewer safeguards
            raise EOFError("no whole archive")
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = dict(state["settings"])
    except FOREIGN as error:
        raise CorruptModel(
            f"{path} is not a checkpoint of ours or is damaged ({_first_line(error)}). Train again without resume."
        ) from error
    differing = sorted(key for key in settings if saved.get(key) != settings[key])
    if differing:
        named = ", ".join(f"{key}: {saved.get(key)!r} there, {settings[key]!r} now" for key in differing)
        raise ModelMismatch(f"{path} was written with other settings ({named}). Resume with those, or start a new run.")
    return state


def save_model(folder: str | Path, *, kind: str, record: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Path:
    """Write a model folder and return it.

    Args:
        kind: which class reads it.
        record: settings, dt_fs, stride_frames, atomic_numbers, masses, bonds, reference, as JSON-able values.
        weights: the state dict.
    """
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save({name: value.detach().cpu().contiguous() for name, value in weights.items()})
    with replacing(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(data)
    text = json.dumps({"format": FORMAT, "kind": kind, "versions": _versions(), **record}, indent=1, default=_plain)
    with replacing(folder / SETTINGS_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder


def load_record(folder: str | Path, *, kind: str) -> dict[str, Any]:
    """Return what ``settings.json`` holds.

    Raises:
        CorruptModel: no such folder or file, not JSON, another kind or a newer format.
    """
    path = Path(folder) / SETTINGS_FILE
    if not path.is_file():
        raise CorruptModel(
            f"{folder} is not a model folder: it has no {SETTINGS_FILE}. Name the folder that training wrote."
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found, form = record["kind"], record["format"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CorruptModel(f"{path} cannot be read ({error!r}). Copy the folder again or train again.") from error
    if found != kind or form != FORMAT:
        raise CorruptModel(
            f"{path} holds a {found!r} of format {form!r}; this version reads a {kind!r} of format {FORMAT}. "
            "Name the folder of another run, or read it with the asteroid-nb that wrote it."
        )
    return record


def member_folder(folder: str | Path, number: int) -> Path:
    """Return where a member of a model made of several is kept."""
    return Path(folder) / f"member-{number:02d}"


def save_members(folder: str | Path, members: Sequence[Any], *, kind: str, record: Mapping[str, Any]) -> Path:
    """Write the folder of each member below one that counts them."""
    for number, member in enumerate(members):
        member.save(member_folder(folder, number))
    return save_model(folder, kind=kind, record={"n_members": len(members), **record}, weights={})


def member_folders(folder: str | Path, record: Mapping[str, Any]) -> list[Path]:
    """Return where the members are that a record of `load_record` counts.

    Raises:
        CorruptModel: the count is none.
    """
    count = record.get("n_members")
    if type(count) is not int or not FEWEST_MEMBERS <= count <= MOST_MEMBERS:
        raise CorruptModel(f"{folder} has {count!r} members. Copy the folder or train again.")
    return [member_folder(folder, number) for number in range(count)]


@contextmanager
def making_a_model(folder: str | Path) -> Iterator[None]:
    """Call a record corrupt from which no model can be made, whatever the reason.

    Raises:
        CorruptModel: what is done within failed.
    """
    try:
        yield
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AsteroidError) as error:
        raise CorruptModel(
            f"{folder} holds settings that make no model ({error!r}). Copy the folder again or train again."
        ) from error


def load_weights(folder: str | Path, model: torch.nn.Module) -> None:
    """Fill the model with the folder's weights.

    Raises:
        CorruptModel: missing, truncated, of other names or shapes, or not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS_FILE
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        wrong = _first_line(error)
    else:
        wrong = differing_tensor(model, weights) or _impossible_tensor(weights)
    if wrong:
        raise CorruptModel(f"{path} is missing, damaged or of another model: {wrong}. Copy the folder or train again.")
    model.load_state_dict(weights)


def load_run(
    cls: Callable[..., Any],
    folder: str | Path,
    *,
    kind: str,
    make: Callable[[dict[str, Any], int], torch.nn.Module],
    describe: Callable[[dict[str, Any]], dict[str, Any]],
) -> Any:
    """Return what a model folder holds, running no code from it.

    Args:
        cls: takes the model first, then ``folder`` and what ``describe`` returns by name; it has ``model``.
        make: the untrained model from a record and the bytes its weights take.
        describe: what the record says beside the model.

    Raises:
        CorruptModel: something in the folder is missing, damaged or contradicts the rest.
    """
    record = load_record(folder, kind=kind)
    with making_a_model(folder):
        run = cls(make(record, weights_bytes(folder)), folder=Path(folder), **describe(record))
    load_weights(folder, run.model)
    return run


def must_fit(n_weights: int, n_bytes: int) -> None:
    """Raise `InvalidSettings` for a model whose weights the file of weights could not hold."""
    if 4 * n_weights > n_bytes:
        raise InvalidSettings(f"{n_weights} weights do not fit into {n_bytes} bytes")


def differing_tensor(model: torch.nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Return in words the first tensor that is missing, foreign, or of another shape or type; "" if none is."""
    needed = model.state_dict()
    for name in sorted({*needed, *weights}):
        if name not in weights:
            return f"{name} is missing"
        if name not in needed:
            return f"{name} belongs to no part of the model"
        found, wanted = ((list(one[name].shape), one[name].dtype) for one in (weights, needed))
        if found != wanted:
            return f"{name} is {found[0]} {found[1]}, needed is {wanted[0]} {wanted[1]}"
    return ""


def _impossible_tensor(weights: Mapping[str, Tensor]) -> str:
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    return f"{broken[0]} holds NaN or infinity" if broken else ""


def weights_bytes(folder: str | Path) -> int:
    """Return how large the weights are, 0 where there are none: what settings ask for can be held against it."""
    path = Path(folder) / WEIGHTS_FILE
    return path.stat().st_size if path.is_file() else 0


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _versions() -> dict[str, str]:
    from asteroid_nb import __version__

    return {"asteroid_nb": __version__, "torch": str(torch.__version__), "numpy": np.__version__}


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to {SETTINGS_FILE}")
