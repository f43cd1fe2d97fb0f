"""NumPy archives: our own layout, which keeps everything, and those of MD17, MD22 and rMD17.

Each function takes or returns trajectories; `asteroid_nb.data.readers` chooses among them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb import units
from asteroid_nb.data.spacing import agreed_dt_fs
from asteroid_nb.data.trajectory import PER_FRAME, Trajectory
from asteroid_nb.errors import InvalidTrajectory, MissingSpacing, UnreadableFile

#: Energies in these units become eV; forces are in the same per Å.
ENERGY_UNITS = {
    "eV": 1.0,
    "kcal/mol": units.EV_PER_KCAL_PER_MOL,
    "kJ/mol": units.EV_PER_KJ_PER_MOL,
    "Hartree": units.EV_PER_HARTREE,
}

#: Our names → those in a file, for each layout we know; the first two must be there.
LAYOUTS = {
    "ours": {key: key for key in ("positions", "atomic_numbers", *PER_FRAME[1:])},
    "MD17": {"positions": "R", "atomic_numbers": "z", "velocities": "V", "forces": "F", "energies": "E"},
    "rMD17": {"positions": "coords", "atomic_numbers": "nuclear_charges", "forces": "forces", "energies": "energies"},
}


def read(path: Path, *, dt_fs: float | None, stride: int, energy_unit: str | None) -> Trajectory | list[Trajectory]:
    """Return what an archive holds; positions [walker, frame, atom, 3] give one trajectory per walker."""
    with _opened(path) as stored:
        layout = _layout(path, set(stored.files))
        arrays = {ours: _array(path, stored, key) for ours, key in LAYOUTS[layout].items() if key in stored.files}
        wanted = ("dt_fs", "masses", "bonds", "name", "names", "provenance", "old_indices", "e_unit")
        about = {key: _array(path, stored, key) for key in wanted if key in stored.files and _is_plain(stored, key)}
    arrays = {key: _widened(array) for key, array in arrays.items()}
    if layout != "ours":
        arrays = _in_ev(arrays, energy_unit or str(about.get("e_unit", "kcal/mol")))
    if layout == "rMD17":
        arrays = _in_time_order(path, arrays, about.get("old_indices"), dt_fs=dt_fs)
    in_file = float(about["dt_fs"]) if "dt_fs" in about else None
    dt_fs = agreed_dt_fs(
        in_file, dt_fs, path=path, why="its arrays carry none (MD17 was saved every 0.5 fs, MD22 every 1 fs)"
    )
    if np.ndim(arrays["positions"]) == 4:
        return [_one(_walker(arrays, i), about, dt_fs, stride, i, path) for i in range(len(arrays["positions"]))]
    return _one(arrays, about, dt_fs, stride, None, path)


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    with open(path, "rb") as handle:
        try:
            stored = np.load(handle, allow_pickle=False)
        except Exception as error:  # NumPy and zipfile raise many kinds
            raise UnreadableFile(f"{path} is no complete .npz archive ({error}). Copy or make it again.") from error
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise UnreadableFile(f"{path} holds one bare array, needed are named ones. Write it with np.savez.")
        with stored:
            yield stored


def _array(path: Path, stored: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        return stored[key]
    except Exception as error:  # a damaged member raises zlib, zipfile, EOF and value errors
        pickled = "pickle" in str(error) or "Object arrays" in str(error)
        reason = (
            "is a pickled object array, which could run code and is not read" if pickled else f"is damaged ({error})"
        )
        raise UnreadableFile(
            f"{path}: key {key!r} {reason}. Needed are plain numeric arrays: "
            + ("save it again from a source you trust." if pickled else "copy or make the file again.")
        ) from error


def _is_plain(stored: np.lib.npyio.NpzFile, key: str) -> bool:
    """Return whether a key we can do without is an array at all; old archives pickle their names."""
    with stored.zip.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return not read_header(member)[2].hasobject


def _layout(path: Path, keys: set[str]) -> str:
    for layout, names in LAYOUTS.items():
        if {names["positions"], names["atomic_numbers"]} <= keys:
            return layout
    needed = " or ".join(f"{n['positions']} and {n['atomic_numbers']} ({layout})" for layout, n in LAYOUTS.items())
    raise UnreadableFile(f"{path} holds the keys {sorted(keys)}; needed are {needed}. Rename or add the missing ones.")


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _in_ev(arrays: dict[str, np.ndarray], energy_unit: str) -> dict[str, np.ndarray]:
    known = {name.lower(): factor for name, factor in ENERGY_UNITS.items()}
    if energy_unit.lower() not in known:
        raise InvalidTrajectory(
            f"The energy unit was {energy_unit!r}; known are {', '.join(ENERGY_UNITS)}. Pass energy_unit=…."
        )
    factor = known[energy_unit.lower()]
    arrays = {key: array * factor if key in ("energies", "forces") else array for key, array in arrays.items()}
    if "energies" in arrays:
        frames = arrays["positions"].shape[:-2]
        if arrays["energies"].size == np.prod(frames):  # MD17 stores a column
            arrays["energies"] = arrays["energies"].reshape(frames)
    return arrays


def _in_time_order(path: Path, arrays: dict, old_indices: np.ndarray | None, *, dt_fs: float | None) -> dict:
    """Sort the rows of rMD17 by where they stood in MD17, whose frames are 0.5 fs apart."""
    if old_indices is None or old_indices.shape != arrays["positions"].shape[:1]:
        raise UnreadableFile(
            f"{path} looks like rMD17, whose rows are shuffled, and lacks 'old_indices' to sort them by. "
            "Take the original archive (figshare 12672038)."
        )
    order = np.argsort(old_indices, kind="stable")
    mean_fs = 0.5 * float(np.ptp(old_indices)) / max(1, len(order) - 1)
    if dt_fs is None:
        raise MissingSpacing(
            f"{path} is rMD17: frames drawn from MD17, {mean_fs:.3g} fs apart on average and never evenly. Use MD17 "
            f"for forecasts, or pass dt_fs={mean_fs:.3g} to treat them as even (for structures, not for dynamics)."
        )
    warnings.warn(
        f"{path.name} is rMD17: sorted by old_indices its frames are {mean_fs:.3g} fs apart on average, but unevenly. "
        "Velocities and forecasts from it mean little; use MD17 for those.",
        UserWarning,
        stacklevel=4,
    )
    return {key: array if key == "atomic_numbers" else array[order] for key, array in arrays.items()}


def _walker(arrays: Mapping[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    shared = {"atomic_numbers"} | ({"cell"} if "cell" in arrays and arrays["cell"].ndim == 2 else set())
    return {key: array if key in shared else array[index] for key, array in arrays.items()}


def _one(arrays: dict, about: dict, dt_fs: float, stride: int, index: int | None, path: Path) -> Trajectory:
    fixed = {key: about[key] for key in ("masses", "bonds") if key in about}
    cut = {
        key: array[::stride] if key in PER_FRAME and not (key == "cell" and array.ndim == 2) else array
        for key, array in arrays.items()
    }
    name = str(about.get("name", path.stem))
    if index is not None:
        name = str(about["names"][index]) if "names" in about else f"{name} walker {index}"
    provenance = _provenance(path, about, index)
    return Trajectory(**cut, **fixed, dt_fs=dt_fs * stride, name=name, provenance=provenance)


def _provenance(path: Path, about: dict, index: int | None) -> dict[str, Any]:
    if "provenance" not in about:
        return {"file": path.name}
    try:
        found = json.loads(str(about["provenance"]))
    except json.JSONDecodeError as error:
        raise UnreadableFile(f"{path}: the provenance is no JSON ({error}). Write it with json.dumps.") from error
    if isinstance(found, list):
        found = found[index or 0]
    return dict(found)


def write(trajectory: Trajectory, path: Path) -> None:
    """Write one trajectory with everything it holds."""
    arrays = {key: array for key in PER_FRAME if (array := getattr(trajectory, key)) is not None}
    _write(path, arrays, trajectory, name=np.array(trajectory.name), provenance=dict(trajectory.provenance))


def write_walkers(walkers: Sequence[Trajectory], path: Path) -> None:
    """Write trajectories of one molecule, one length and one spacing, stacked."""
    first = walkers[0]
    for walker in walkers[1:]:
        same = walker.same_atoms(first) and np.array_equal(walker.masses, first.masses)
        if not (same and walker.n_frames == first.n_frames and np.isclose(walker.dt_fs, first.dt_fs)):
            raise InvalidTrajectory(f"{walker} cannot be stacked on {first}. Save trajectories that differ one by one.")
    keys = [key for key in PER_FRAME if all(getattr(walker, key) is not None for walker in walkers)]
    arrays = {key: np.stack([getattr(walker, key) for walker in walkers]) for key in keys}
    names = np.array([walker.name for walker in walkers])
    _write(path, arrays, first, names=names, provenance=[dict(walker.provenance) for walker in walkers])


def _write(path: Path, arrays: dict, first: Trajectory, *, provenance: Any, **about: np.ndarray) -> None:
    arrays |= {"atomic_numbers": first.atomic_numbers, "masses": first.masses, "dt_fs": np.array(first.dt_fs), **about}
    if first.bonds is not None:
        arrays["bonds"] = first.bonds
    arrays["provenance"] = np.array(json.dumps(provenance))
    with open(path, "wb") as handle:
        np.savez_compressed(handle, **arrays)
