"""A comparison in words, for those who cannot see it or want numbers beside the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.metrics.structure import bond_lengths, broken_bonds
from asteroid_nb.views.style import number


def told(shown: Sequence[Trajectory], names: Sequence[str], times_fs: np.ndarray) -> str:
    """Return what a comparison shows: atoms, times, how far each forecast is off at the end, and which bonds break.

    Args:
        shown: over the same frames, the reference first.
        names: of each.
        times_fs: of the frames.
    """
    reference = shown[0]
    span = f"{times_fs[0]:g} to {times_fs[-1]:g} fs" if len(times_fs) > 1 else "one frame"
    parts = [f"{reference.n_atoms} atoms, {reference.n_frames} frames, {span}. Reference: {names[0]}."]
    for forecast, name in zip(shown[1:], names[1:], strict=True):
        off = np.linalg.norm(forecast.positions[-1] - np.asarray(reference.positions[-1], dtype=float), axis=-1)
        worst = int(off.argmax())
        parts.append(
            f"At {times_fs[-1]:g} fs {name} is {number(float(off.mean()), 'Å')} off on average, most at "
            f"{reference.labels[worst]} ({number(float(off[worst]), 'Å')}); {_broken(reference, forecast, times_fs)}."
        )
    return " ".join(parts)


def _broken(reference: Trajectory, forecast: Trajectory, times_fs: np.ndarray) -> str:
    bonds = bonds_of(reference)
    if not len(bonds):
        return "there are no bonds"
    lost = broken_bonds(forecast.positions, bonds, bond_lengths(reference.positions, bonds).mean(0))
    if not lost.any():
        return "no bond breaks"
    first = int(lost.any(1).argmax())
    a, b = bonds[int(lost[first].argmax())]
    return (
        f"the first bond to break is {reference.labels[a]}–{reference.labels[b]} at {times_fs[first]:g} fs, "
        f"{int(lost.any(0).sum())} of {len(bonds)} break in all"
    )
