"""φ and ψ of a peptide, found from elements and bonds alone, because a `Trajectory` carries no names of atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.geometry import torsions
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.shapes import Int

CARBON, NITROGEN, OXYGEN = 6, 7, 8


@dataclass(frozen=True, kw_only=True)
class Residue:
    """One amino acid in the chain: its N–CA–C, the carbonyl carbon before it and the nitrogen after it."""

    before: int | None
    nitrogen: int
    alpha: int
    carbonyl: int
    after: int | None

    @property
    def phi(self) -> tuple[int, ...] | None:
        return None if self.before is None else (self.before, self.nitrogen, self.alpha, self.carbonyl)

    @property
    def psi(self) -> tuple[int, ...] | None:
        return None if self.after is None else (self.nitrogen, self.alpha, self.carbonyl, self.after)


def backbone_torsions(trajectory: Trajectory) -> Coordinates:
    """Return φ and ψ of every residue in rad, the trajectory itself as their structures.

    One residue gives "φ" and "ψ"; several give "φ1", "ψ1", "φ2", … along the chain. A residue at a free end lacks one
    of the two, and still counts.

    Raises:
        InvalidTrajectory: the molecule has no residue with a peptide bond.
    """
    names, quadruples = find_backbone(trajectory)
    return Coordinates(
        values=torsions(trajectory.positions, quadruples),
        dt_fs=trajectory.dt_fs,
        names=names,
        periodic=True,
        name=trajectory.name,
        provenance=trajectory.provenance,
        structures=trajectory,
    )


def find_backbone(trajectory: Trajectory) -> tuple[tuple[str, ...], Int[np.ndarray, "torsions 4"]]:
    """Return names and atoms of φ (C–N–CA–C) and ψ (N–CA–C–N) of each residue, along the chain.

    Hydrogens may be missing. Side chains do not fool it: a residue's CA is bonded both to its N and to a carbonyl
    carbon, which no carbon of the twenty amino acids' side chains is.

    Raises:
        InvalidTrajectory: as for `backbone_torsions`.
    """
    residues = _residues(_Graph(trajectory))
    if not residues:
        raise InvalidTrajectory(
            f"{trajectory.name!r} ({trajectory.n_atoms} atoms) has no peptide bond beside a CA, so no φ or ψ. Give a "
            "peptide with the right bonds, or measure torsions of your own with asteroid_nb.data.geometry.torsions."
        )
    number = (lambda index: "") if len(residues) == 1 else (lambda index: str(index + 1))
    found = {
        f"{letter}{number(index)}": atoms
        for index, residue in enumerate(residues)
        for letter, atoms in (("φ", residue.phi), ("ψ", residue.psi))
        if atoms is not None
    }
    return tuple(found), np.array(list(found.values()), dtype=np.int64)


class _Graph:
    """Who is bonded to whom, and what each atom is for a backbone."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.elements = trajectory.atomic_numbers.tolist()
        self.neighbours: list[list[int]] = [[] for _ in self.elements]
        for first, second in bonds_of(trajectory).tolist():
            self.neighbours[first].append(second)
            self.neighbours[second].append(first)

    def near(self, atom: int, element: int) -> list[int]:
        """Return the neighbours of an element, in order."""
        return sorted(other for other in self.neighbours[atom] if self.elements[other] == element)

    def is_carbonyl(self, atom: int) -> bool:
        """Return whether this is the carbon of an amide, an acid or an ester: C, =O, and one more O or N.

        An O bonded to nothing else may have lost its hydrogen, as in threonine's CB: hence the third neighbour.
        """
        oxygens, nitrogens = self.near(atom, OXYGEN), self.near(atom, NITROGEN)
        ends = any(len(self.neighbours[oxygen]) == 1 for oxygen in oxygens)
        return (
            self.elements[atom] == CARBON and len(self.neighbours[atom]) == 3 and ends and len(oxygens + nitrogens) == 2
        )

    def amide(self, carbonyl: int) -> int | None:
        """Return the nitrogen on a carbonyl carbon, None where there is none."""
        return next(iter(self.near(carbonyl, NITROGEN)), None)


def _residues(graph: _Graph) -> list[Residue]:
    """Return the residues with φ or ψ, along each chain, the chain with the lowest index first."""
    carbonyls = [atom for atom in range(len(graph.elements)) if graph.is_carbonyl(atom)]
    found = {}
    for carbonyl in carbonyls:
        for alpha in graph.near(carbonyl, CARBON):
            for nitrogen in graph.near(alpha, NITROGEN):
                before = next((atom for atom in graph.near(nitrogen, CARBON) if atom in carbonyls), None)
                after = graph.amide(carbonyl)
                if before is not None or after is not None:
                    found[nitrogen] = Residue(
                        before=before, nitrogen=nitrogen, alpha=alpha, carbonyl=carbonyl, after=after
                    )
    return _along_the_chain(found)


def _along_the_chain(by_nitrogen: dict[int, Residue]) -> list[Residue]:
    """Return residues in order: each is followed by the one whose nitrogen closes its peptide bond."""
    followers = {residue.after for residue in by_nitrogen.values()}
    starts = sorted(by_nitrogen, key=lambda nitrogen: (nitrogen in followers, nitrogen))  # a ring starts anywhere
    order: dict[int, Residue] = {}
    for start in starts:
        nitrogen: int | None = start
        while nitrogen in by_nitrogen and nitrogen not in order:
            order[nitrogen] = by_nitrogen[nitrogen]
            nitrogen = by_nitrogen[nitrogen].after
    return list(order.values())
