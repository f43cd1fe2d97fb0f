"""What training leaves on disk: a checkpoint to resume from, and a model folder that runs no code when it is loaded.

A model folder holds ``settings.json`` (kind, frozen settings, spacing, species, masses, versions) and ``weights.safetensors``.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.errors import CorruptModel, ModelMismatch
from asteroid_nb.files import replacing

SETTINGS_FILE, WEIGHTS_FILE = "settings.json", "weights.safetensors"

#: Changed whenever an older folder could no longer be understood.
FORMAT = 1


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a training; a reader sees the old one or the whole new one."""
    with replacing(path) as temporary:
        torch.save(dict(state), temporary)


def load_checkpoint(path: Path | None, *, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's state, loaded without running code.

    Raises:
        CorruptModel: missing, damaged or not a checkpoint of ours.
        ModelMismatch: it was written with other settings.
    """
    if path is None or not path.is_file():
        raise CorruptModel(f"There is no checkpoint at {path}. Train without resume first, or name the run's folder.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["settings"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptModel(
            f"{path} is not a checkpoint of ours or is damaged ({first_line}). Train again without resume."
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
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, temporary)
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
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CorruptModel(f"{path} cannot be read ({error!r}). Copy the folder again or train again.") from error
    if found != kind or form != FORMAT:
        raise CorruptModel(f"{path} holds a {found!r} of format {form}; needed is a {kind!r} of format {FORMAT}.")
    return record


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
        model.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptModel(
            f"{path} is missing, damaged or of another model ({reason}). Copy the folder again or train again."
        ) from error
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CorruptModel(f"{path} holds NaN or infinity in {broken[0]}. Copy the folder again or train again.")


def _versions() -> dict[str, str]:
    from asteroid_nb import __version__

    return {"asteroid_nb": __version__, "torch": str(torch.__version__), "numpy": np.__version__}


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to {SETTINGS_FILE}")
