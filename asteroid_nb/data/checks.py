"""What an array must be before it may enter a `Trajectory`. Each check returns its value or says what it saw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.data.mapping import map_of
from asteroid_nb.errors import InvalidTrajectory, MissingSpacing, UnitMismatch

#: Nearest neighbours of a plausible molecule, Å: H–H is 0.74, a loose noble-gas dimer about 4.
NEAREST_ANG = (0.5, 5.0)

#: Frames whose distances are looked at, and atoms of which the nearest neighbour is sought there.
FRAMES_LOOKED_AT, ATOMS_LOOKED_AT = 5, 2000

#: Values tested for finiteness at a time, so that a memory map is never read whole.
CHUNK_VALUES = 2**24


def spacing_fs(dt_fs: Any) -> float:
    """Return a positive, finite spacing.

    Raises:
        MissingSpacing: it is None.
        InvalidTrajectory: it is not a positive number.
    """
    if dt_fs is None:
        raise MissingSpacing("No frame spacing was given. Pass dt_fs=… in fs; it cannot be guessed from positions.")
    try:
        value = float(dt_fs)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InvalidTrajectory(f"The frame spacing was {dt_fs!r}; it must be a positive number of fs.")
    return value


def atomic_numbers(numbers: Any) -> np.ndarray:
    """Return [atoms] int64.

    Raises:
        InvalidTrajectory: no atoms, or a number that no element has.
    """
    array = np.asarray(numbers)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InvalidTrajectory(
            f"Atomic numbers were {array.dtype} of shape {array.shape}; needed are whole numbers of shape [atoms]."
        )
    wrong = sorted({int(number) for number in array if not 1 <= number < len(SYMBOLS)})
    if wrong:
        raise InvalidTrajectory(
            f"Unknown element: atomic numbers {wrong} belong to no element (1 to {len(SYMBOLS) - 1}). "
            "Correct them, or drop virtual sites and dummy atoms."
        )
    return array.astype(np.int64)


def positions(array: np.ndarray, *, n_atoms: int) -> None:
    """Raise unless ``array`` is finite [frames, n_atoms, 3] with at least one frame."""
    if array.ndim != 3 or array.shape[2:] != (3,) or not np.issubdtype(array.dtype, np.floating):
        raise InvalidTrajectory(
            f"Positions were {array.dtype} of shape {array.shape}; needed are floats [frames, atoms, 3]."
        )
    if len(array) == 0:
        raise InvalidTrajectory("The trajectory has no frame. Is the file empty, or does the slice lie outside it?")
    if array.shape[1] != n_atoms:
        raise InvalidTrajectory(
            f"Positions hold {array.shape[1]} atoms, the topology names {n_atoms}. "
            "Use the topology the trajectory was written with, or select the same atoms in both."
        )
    finite("positions", array)


def finite(what: str, array: np.ndarray) -> None:
    """Raise unless every value is finite, naming the first frame that is not."""
    if map_of(array) is not None:  # looked at when it was written
        return
    rows = max(1, CHUNK_VALUES // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), rows):
        bad = ~np.isfinite(array[start : start + rows])
        if bad.any():
            frame = start + int(np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0])
            raise InvalidTrajectory(
                f"{what} hold NaN or infinity, first in frame {frame} of {len(array)}. "
                "Cut the trajectory before that frame, or repair the file."
            )


def per_frame(what: str, array: np.ndarray, *, n_frames: int, n_atoms: int) -> None:
    """Raise unless ``array`` has the shape its name asks for and is finite."""
    shapes = {"energies": (n_frames,), "cell": (n_frames, 3, 3)}
    needed = shapes.get(what, (n_frames, n_atoms, 3))
    if array.shape != needed:
        raise InvalidTrajectory(f"{what} have shape {array.shape}, the positions ask for {needed}.")
    finite(what, array)


def masses(array: Any, *, n_atoms: int) -> np.ndarray:
    """Return [atoms] amu or raise."""
    values = np.asarray(array, dtype=float)
    if values.shape != (n_atoms,) or not (np.isfinite(values).all() and (values > 0).all()):
        raise InvalidTrajectory(f"Masses of shape {values.shape} must be {n_atoms} positive numbers in amu.")
    return values


def bonds(array: Any, *, n_atoms: int) -> np.ndarray:
    """Return [bonds, 2] int64 or raise."""
    pairs = (
        np.asarray(array, dtype=np.int64).reshape(-1, 2) if np.size(array) == 0 else np.asarray(array, dtype=np.int64)
    )
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs < 0).any() or (pairs >= n_atoms).any():
        raise InvalidTrajectory(f"Bonds of shape {pairs.shape} must be [bonds, 2] indices of {n_atoms} atoms.")
    return pairs


def distances(positions: np.ndarray, *, cell: np.ndarray | None = None) -> None:
    """Raise `UnitMismatch` unless nearest neighbours are 0.5 to 5 Å apart.

    The median over atoms counts, so that one dissociated or one badly placed atom does not shut the door.
    """
    if positions.shape[1] < 2:
        return
    nearest = _median_nearest(positions, cell)
    if not math.isfinite(nearest):  # of a map alone: all else was looked at whole
        raise InvalidTrajectory(
            "Frames hold NaN or infinity: the file was damaged after it was written. Make it again."
        )
    low, high = NEAREST_ANG
    if low <= nearest <= high:
        return
    guess = "bohr or another unit: convert them to Å (nm × 10, bohr × 0.529177)"
    if low <= nearest * 10 <= high:
        guess = "nm: convert them to Å (nm × 10)"
    elif low <= nearest / 10 <= high:
        guess = "Å multiplied by 10 (were they Å already?): divide them by 10 (or, if they are bohr, × 0.529177)"
    raise UnitMismatch(
        f"Nearest neighbours are {nearest:.3g} apart (median); in Å they lie between {low:g} and {high:g}. "
        f"The lengths look like {guess}."
    )


def _median_nearest(positions: np.ndarray, cell: np.ndarray | None) -> float:
    """Return the median nearest-neighbour distance over a few frames and at most some thousand atoms."""
    chosen = np.unique(np.linspace(0, len(positions) - 1, FRAMES_LOOKED_AT).astype(int))
    found = []
    for index in chosen:
        frame = np.asarray(positions[index], dtype=float)
        some = frame[:: max(1, len(frame) // ATOMS_LOOKED_AT)]
        found.append(_nearest(some, frame, None if cell is None else np.asarray(cell[index], dtype=float)))
    return float(np.median(np.concatenate(found)))


def _nearest(some: np.ndarray, frame: np.ndarray, cell: np.ndarray | None) -> np.ndarray:
    nearest = np.empty(len(some))
    rows = max(1, CHUNK_VALUES // (3 * len(frame)))
    for start in range(0, len(some), rows):
        vectors = some[start : start + rows, None] - frame[None]
        if cell is not None and abs(np.linalg.det(cell)) > 0:
            fractional = vectors @ np.linalg.inv(cell)
            vectors = (fractional - np.round(fractional)) @ cell
        squared = np.einsum("ijk,ijk->ij", vectors, vectors)
        # The smallest is the atom itself (0); atoms on one spot leave 0 as the second smallest too, as they should.
        nearest[start : start + rows] = np.sqrt(np.partition(squared, 1, axis=1)[:, 1])
    return nearest


def states(array: Any, *, n_states: int) -> np.ndarray:
    """Return [frames] int64 within 0 … n_states − 1 or raise."""
    values = np.asarray(array)
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.integer):
        raise InvalidTrajectory(
            f"States were {values.dtype} of shape {values.shape}; needed are whole numbers [frames]."
        )
    if values.min() < 0 or values.max() >= n_states:
        raise InvalidTrajectory(
            f"States run from {values.min()} to {values.max()}; {n_states} states are numbered 0 to {n_states - 1}. "
            "Relabel them (negative labels often mark frames outside all cores: cut or assign those)."
        )
    return values.astype(np.int64)
