"""What physics cannot tell apart: equal nuclei exchanged, mirror images, time run backwards.

A molecule's dynamics stay valid when equivalent atoms swap names or everything is mirrored, so each trajectory holds
more windows than it seems to. Only those combinations are used that leave the handedness of every labelled tetrahedral
centre as it was, because the others are never met in a simulation: for ethanol the methyl hydrogens in cyclic order,
and mirror images with the two CH₂ hydrogens exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from asteroid_nb.data.windows import Molecule, Window
from asteroid_nb.shapes import Bool, Int

#: Exchanges kept at most: a peptide's methyl groups alone would give thousands.
MOST_EXCHANGES = 48

#: Atoms of what is searched as one graph: the search recurses atom by atom.
MOST_MATCHED = 500


@dataclass(frozen=True)
class Symmetries:
    """Exchanges of equivalent atoms, each with or without a mirror; the identity is the first.

    Args:
        exchanges: [symmetries, atoms]: which atom takes each place.
        mirrored: [symmetries].
    """

    exchanges: Int[np.ndarray, "symmetries atoms"]
    mirrored: Bool[np.ndarray, " symmetries"]

    def __len__(self) -> int:
        return len(self.mirrored)

    @classmethod
    def of(cls, molecule: Molecule) -> Symmetries:
        """Find them from the bonds, and the handedness from the reference structure."""
        exchanges = _automorphisms(molecule)
        found = [
            (exchange, mirror)
            for exchange in exchanges
            for mirror in (False, True)
            if _keeps_hands(molecule, exchange, mirror)
        ]
        return cls(np.array([exchange for exchange, _ in found]), np.array([mirror for _, mirror in found]))

    def applied(self, window: Window, chosen: Int[np.ndarray, " windows"]) -> Window:
        """Return each window under the symmetry chosen for it."""
        device = window.history.device
        exchange = torch.as_tensor(self.exchanges[chosen], device=device)[:, None, :, None]
        sign = 1.0 - 2.0 * torch.as_tensor(self.mirrored[chosen], device=device).to(window.history.dtype)
        flip = torch.stack([sign, torch.ones_like(sign), torch.ones_like(sign)], dim=-1)[:, None, None]
        turn = lambda x: torch.take_along_dim(x, exchange, dim=2) * flip  # noqa: E731
        return window.replace(history=turn(window.history), future=turn(window.truth))


def reversed_in_time(window: Window, chosen: Bool[np.ndarray, " windows"]) -> Window:
    """Return the windows, the chosen ones run backwards: what was future becomes history."""
    path = torch.cat([window.history, window.truth], dim=1)
    path = torch.where(torch.as_tensor(chosen, device=path.device)[:, None, None, None], path.flip(1), path)
    n_seen = window.history.shape[1]
    return Window.of(path[:, :n_seen], future=path[:, n_seen:], dt_fs=window.dt_fs)


def _automorphisms(molecule: Molecule) -> list[Int[np.ndarray, " atoms"]]:
    """Return the exchanges of atoms that keep elements, masses and bonds, the identity first.

    Of more than `MOST_MATCHED` atoms those within separate molecules alone, made at once in all that are listed alike,
    and none within a molecule that is as large itself.
    """
    if molecule.n_atoms <= MOST_MATCHED:
        return _matched(molecule)
    whole = np.arange(molecule.n_atoms)
    exchanges = [whole]
    for copies in _alike(molecule):
        if copies.shape[1] > MOST_MATCHED:
            continue
        within = _matched(_part(molecule, copies[0]))
        exchanges = exchanges + [exchanges[0]] * (len(within) - len(exchanges))
        for number in range(1, len(exchanges)):
            changed = exchanges[number].copy()
            changed[copies] = copies[:, within[number % len(within)]]
            exchanges[number] = changed
    return exchanges


def _alike(molecule: Molecule) -> list[Int[np.ndarray, "copies atoms"]]:
    """Return the atoms of the separate molecules, those in one table whose atoms are listed and bonded alike."""
    first, bonds = _first_atoms(molecule), molecule.bonds
    tables: dict[tuple[Any, ...], list[np.ndarray]] = {}
    order = np.argsort(first, kind="stable")
    bonds = bonds[np.argsort(first[bonds[:, 0]], kind="stable")]
    ends = np.searchsorted(first[bonds[:, 0]], np.arange(molecule.n_atoms + 1))
    place = np.empty(molecule.n_atoms, dtype=int)
    for atoms in np.split(order, np.flatnonzero(np.diff(first[order])) + 1):
        place[atoms] = np.arange(len(atoms))
        own = np.sort(place[bonds[ends[atoms[0]] : ends[atoms[0] + 1]]], axis=1)
        own = own[np.lexsort(own.T)]
        kinds = molecule.atomic_numbers[atoms].tobytes(), molecule.masses[atoms].round(2).tobytes()
        tables.setdefault((*kinds, own.tobytes()), []).append(atoms)
    return [np.stack(copies) for copies in tables.values()]


def _first_atoms(molecule: Molecule) -> Int[np.ndarray, " atoms"]:
    """Return the lowest atom of the molecule that each atom belongs to."""
    lowest = np.arange(molecule.n_atoms)
    while True:
        before = lowest.copy()
        for one, other in (molecule.bonds.T, molecule.bonds.T[::-1]):
            np.minimum.at(lowest, one, lowest[other])
        lowest = lowest[lowest]
        if np.array_equal(lowest, before):
            return lowest


def _part(molecule: Molecule, atoms: np.ndarray) -> Molecule:
    place = np.full(molecule.n_atoms, -1)
    place[atoms] = np.arange(len(atoms))
    bonds = place[molecule.bonds]
    return Molecule(
        molecule.atomic_numbers[atoms], molecule.masses[atoms], bonds[(bonds >= 0).all(1)], molecule.reference[atoms]
    )


def _matched(molecule: Molecule) -> list[Int[np.ndarray, " atoms"]]:
    """Return the exchanges that a search through the whole graph of bonds finds, the identity first."""
    import networkx as nx

    graph = nx.Graph()
    kinds = zip(molecule.atomic_numbers.tolist(), molecule.masses.round(2).tolist(), strict=True)
    graph.add_nodes_from((atom, {"kind": kind}) for atom, kind in enumerate(kinds))
    graph.add_edges_from(molecule.bonds.tolist())
    same_kind = nx.algorithms.isomorphism.categorical_node_match("kind", 0)
    matcher = nx.algorithms.isomorphism.GraphMatcher(graph, graph, node_match=same_kind)
    identity = np.arange(molecule.n_atoms)
    found = [
        np.array([mapping[atom] for atom in identity])
        for mapping in islice(matcher.isomorphisms_iter(), MOST_EXCHANGES)
    ]
    return [identity] + [exchange for exchange in found if not np.array_equal(exchange, identity)]


def _keeps_hands(molecule: Molecule, exchange: np.ndarray, mirror: bool) -> bool:
    """Return whether every tetrahedral centre is as left- or right-handed after the exchange (and mirror) as before."""
    ends = np.concatenate([molecule.bonds, molecule.bonds[:, ::-1]])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    first = np.searchsorted(ends[:, 0], np.arange(molecule.n_atoms + 1))
    for centre in np.flatnonzero(np.diff(first) == 4):
        around = ends[first[centre] : first[centre + 1], 1]
        before, after = (_volume(molecule.reference[atoms]) for atoms in (around, exchange[around]))
        if before * after * (-1.0 if mirror else 1.0) < 0:
            return False
    return True


def _volume(corners: np.ndarray) -> float:
    return float(np.linalg.det(corners[:3] - corners[3]))
