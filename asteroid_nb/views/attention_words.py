"""What an attention map says, in sentences: read aloud, searched for, and understood without colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asteroid_nb.metrics.attention import entropy_share, even, local_shares, reach_ang, row_shares
from asteroid_nb.views.style import number


def looks_at(who: str, row: np.ndarray, labels: Sequence[str], *, own: int | None = None, most: int = 3) -> str:
    """Return "C1 looks mostly at O1 (0.34), H4 (0.12) and itself (0.10)."

    Args:
        row: [keys] weights.
        own: the key that is the query itself.
    """
    row = np.nan_to_num(np.asarray(row, dtype=float))
    top = [int(key) for key in np.argsort(-row, kind="stable")[:most] if row[key] > 0]
    if not top:
        return f"{who} looks at nothing."
    named = [f"{'itself' if key == own else labels[key]} ({row[key]:.2f})" for key in top]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"{who} looks {'mostly ' if len(top) < np.count_nonzero(row) else ''}at {listed}."


def spread(weights: np.ndarray, allowed: np.ndarray) -> str:
    """Return how even the rows [queries, keys] are, in words."""
    shares = entropy_share(weights, allowed)
    known = shares[np.isfinite(shares)]
    if not known.size:
        return "Only one key was open to it: there was no choice."
    return f"Entropy {number(float(known.mean()))} of the most possible (1: everywhere alike, 0: one key alone)."


def nearness(weights: np.ndarray, allowed: np.ndarray, near: np.ndarray, *, hops: int) -> str:
    """Return how much of the rows lies on near atoms and on registers, and how much would by looking evenly."""
    found = local_shares(weights, near)
    alike = local_shares(even(allowed), near)
    within = f"within {hops} bond{'s' * (hops > 1)} ({_percent(alike.local)} if even)"
    said = f"{_percent(found.local)} of the weight lies {within}"
    return said + (f", {_percent(found.registers)} on registers." if weights.shape[-1] > near.shape[-1] else ".")


def reach(weights: np.ndarray, allowed: np.ndarray, distances: np.ndarray) -> str:
    """Return how far the rows look."""
    far, alike = reach_ang(weights, distances), reach_ang(even(allowed), distances)
    if not np.isfinite(far).any():
        return "No weight lies on atoms."
    mean, even_mean = float(np.nanmean(far)), float(np.nanmean(alike))
    return f"Mean distance looked at: {number(mean, 'Å')} ({number(even_mean, 'Å')} if even)."


def own_past(row: np.ndarray, first_atom_key: int) -> str:
    """Return how a row of the transformation is shared between the atom's own history and everybody at the present."""
    share = row_shares(row[None])[0, :first_atom_key].sum()
    alike = f"{_percent(first_atom_key / len(row))} if even"
    return f"{_percent(share)} of the weight lies on its own history ({alike}), the rest on all nodes now."


def sums(weights: np.ndarray) -> str:
    """Return what rows sum to where that is not one, else nothing."""
    totals = np.nansum(weights, axis=-1)
    if np.allclose(totals, 1, atol=1e-3):
        return ""
    low, high = number(float(totals.min())), number(float(totals.max()))
    found = low if low == high else f"{low} to {high}"
    return f"Weights of continuous attention need not sum to one; here they sum to {found}, and shares are of that."


def _percent(share: np.ndarray | float) -> str:
    share = np.asarray(share, dtype=float)
    return f"{100 * np.nanmean(share):.0f} %" if np.isfinite(share).any() else "nothing"
