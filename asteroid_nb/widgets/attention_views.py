"""What the controls of an attention explorer chose, as figures, sticks in 3D and words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from asteroid_nb.metrics.attention import entropy_share, even, local_shares, near_pairs, row_shares
from asteroid_nb.views import attention_words as words
from asteroid_nb.views.attention import attention_by_distance, attention_map
from asteroid_nb.views.attention_heads import head_bars
from asteroid_nb.widgets.attention_controls import ALL, MEAN, AttentionControls
from asteroid_nb.widgets.attention_records import NEAR_HOPS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Weaker sticks would be thinner than a pixel; more of them would hide the molecule.
WEAKEST_LINK, MOST_LINKS = 0.03, 60


class Shown:
    """One map out of `Recorded`, chosen by the controls; everything else follows from it."""

    def __init__(self, controls: AttentionControls):
        self.recorded, self.record = controls.recorded, controls.record
        self.labels, self.node, self.row = controls.labels, controls.node, controls.row
        self.time_fs, self.head = controls.time_fs, int(controls.head.index or 0)
        self.kind, self.layer = str(controls.kind.value), controls.layer.value
        self.heads = self.recorded.heads(self.record, controls.each)
        self.allowed = self.recorded.allowed(self.record, controls.each)
        self.when = self.labels.times[int(controls.time.index or 0)]

    @cached_property
    def weights(self) -> np.ndarray:
        """Return [queries, keys] of the chosen head or of the mean over heads."""
        return self.heads[self.head - 1] if self.head else self.heads.mean(0)

    @cached_property
    def largest(self) -> float:
        """Return the largest weight of queries that had a choice: a register may look at itself alone."""
        had_choice = self.allowed.sum(-1) > 1
        seen = np.nan_to_num(self.weights[had_choice] if had_choice.any() else self.weights)
        return float(seen.max()) or 1.0

    @property
    def n_atoms(self) -> int:
        return self.labels.n_atoms

    @property
    def query_is_atom(self) -> bool:
        return 0 <= self.node < self.n_atoms

    @property
    def has_places(self) -> bool:
        """Return whether queries and keys are atoms whose positions are known."""
        return self.labels.between_atoms and self.recorded.positions is not None and self.n_atoms > 0

    @property
    def head_name(self) -> str:
        return f"head {self.head}" if self.head else MEAN

    @cached_property
    def distances(self) -> np.ndarray:
        return self.recorded.distances(self.time_fs or 0.0)

    def map(self) -> Figure:
        outlined = None if self.labels.between_atoms and self.query_is_atom else self.row
        return attention_map(
            np.where(self.allowed, self.weights, np.nan),
            self.labels.queries,
            self.labels.keys,
            title=f"Attention: {self.kind}, layer {self.layer}",
            subtitle=f"{self.head_name}, {self._which()}",
            kind=self.kind.split()[-1],
            chosen=outlined,
            largest=self.largest,
        )

    def by_distance(self) -> Figure:
        n_atoms = self.n_atoms
        open_ones = self.allowed[:n_atoms, :n_atoms]
        return attention_by_distance(
            np.where(open_ones, self.weights[:n_atoms, :n_atoms], np.nan),
            self.distances,
            labels=self.labels.nodes[:n_atoms],
            chosen=self.node if self.query_is_atom else None,
            even=float(even(self.allowed)[:n_atoms, :n_atoms][open_ones].mean()),
            subtitle=f"{self.head_name}, atoms as simulated at {self.when}",
        )

    def per_head(self) -> Figure:
        """Return entropy and shares of the mean over heads, then of each head, averaged over the queries."""
        maps = np.concatenate([self.heads.mean(0, keepdims=True), self.heads])
        shares = self._shares(maps)
        known = {name: share for name, share in self._shares(even(self.allowed)[None]).items() if name != "entropy"}
        return head_bars(
            shares,
            even={name: float(share[0]) for name, share in known.items()},
            heads=["mean", *(f"head {head + 1}" for head in range(len(self.heads)))],
            chosen=self.head,
            subtitle=f"mean over {'atoms' if self.labels.between_atoms else 'times'}, {self._which()}",
        )

    def links(self) -> list[tuple[int, int, float]]:
        """Return (query, key, strength) of the chosen atom; 1 is the weight with the map's last colour."""
        first = self.labels.first_atom_key
        if not self.query_is_atom or first is None or self.row is None:
            return []
        weights = np.nan_to_num(self.weights[self.row, first : first + self.n_atoms])
        strengths = np.minimum(1.0, weights / self.largest)
        strongest = np.argsort(-strengths)[:MOST_LINKS].tolist()
        return [(self.node, key, float(strengths[key])) for key in strongest if strengths[key] >= WEAKEST_LINK]

    def told(self) -> str:
        """Return what is to be seen, in sentences."""
        sentences = self._between_atoms() if self.labels.between_atoms else self._over_time()
        return " ".join(sentence for sentence in [*sentences, self.recorded.note] if sentence)

    def _which(self) -> str:
        atom = "" if self.labels.between_atoms else f", {self._who()}"
        return f"{self.when}{atom}" + (f"; {self.recorded.what}" if self.recorded.what else "")

    def _who(self) -> str:
        return f"mean over {'atoms' if self.n_atoms else 'all'}" if self.node == ALL else self.labels.nodes[self.node]

    def _rows(self) -> slice | list[int]:
        """Return the queries that sentences are about: the chosen one, else all atoms."""
        return slice(self.n_atoms or None) if self.row is None else [self.row]

    @cached_property
    def _near(self) -> np.ndarray | None:
        return None if self.recorded.hops is None else near_pairs(self.recorded.hops, most_hops=NEAR_HOPS)

    def _shares(self, maps: np.ndarray) -> dict[str, np.ndarray]:
        """Return shares by name, [heads] each, of maps [heads, queries, keys]."""
        first = self.labels.first_atom_key
        rows = slice(self.n_atoms or None) if self.labels.between_atoms else slice(None)
        chosen = maps[:, rows]
        found = {"entropy": _mean(entropy_share(chosen, self.allowed[rows]))}
        if self.labels.between_atoms and self._near is not None:
            shares = local_shares(chosen, self._near)
            found[f"within {NEAR_HOPS} bonds"] = _mean(shares.local)
            if maps.shape[-1] > self.n_atoms:
                found["on registers"] = _mean(shares.registers)
        elif first:
            found["on its own history"] = _mean(row_shares(chosen)[..., :first].sum(-1))
        return found

    def _between_atoms(self) -> Sequence[str]:
        rows, own = self._rows(), self.labels.first_atom_key
        weights, allowed = self.weights[rows], self.allowed[rows]
        found = []
        if self.row is not None:
            found.append(
                words.looks_at(self._who(), weights[0], self.labels.keys, own=None if own is None else self.row)
            )
        if self.row is None or self.query_is_atom:
            if self._near is not None:
                found.append(words.nearness(weights, allowed, self._near[rows], hops=NEAR_HOPS))
            if self.has_places:
                found.append(words.reach(weights, allowed, self.distances[rows]))
        found += [words.spread(weights, allowed), words.sums(weights)]
        if self.row is None:
            return ["On average over all atoms:", *found, "Choose a query to see whom it looks at."]
        lost = self.has_places and not self.query_is_atom
        return [*found, "A register has no place: nothing is drawn in 3D." if lost else ""]

    def _over_time(self) -> Sequence[str]:
        assert self.row is not None
        row, allowed, first = self.weights[[self.row]], self.allowed[[self.row]], self.labels.first_atom_key
        found = [
            words.looks_at(f"{self._who()[:1].upper()}{self._who()[1:]}, at {self.when},", row[0], self.labels.keys)
        ]
        found += [words.own_past(row[0], first) if first else "", words.spread(row, allowed), words.sums(row)]
        if first is None:
            found.append("It looks at its own times, not at other atoms: there is nothing to draw in 3D.")
        elif not self.query_is_atom:
            found.append("Choose an atom to see in 3D whom it looks at.")
        return found


def _mean(shares: np.ndarray) -> np.ndarray:
    """Return [heads], the mean over queries that have a share; NaN where none has."""
    known = np.isfinite(shares)
    total = np.where(known, shares, 0.0).sum(-1)
    return np.divide(total, known.sum(-1), out=np.full(len(shares), np.nan), where=known.any(-1))
