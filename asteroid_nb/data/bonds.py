"""Who is bonded to whom, and what follows: hops, rotatable torsions, molecules made whole across the box."""

from __future__ import annotations

import numpy as np

from asteroid_nb.data.elements import COVALENT_RADII_ANG
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.shapes import Float, Int

#: Metals that stand alone as ions, however near their neighbours are.
IONS = (3, 11, 12, 19, 20, 37, 38, 55, 56)

#: Beyond the sum of both covalent radii, in Å: more than a bond is ever stretched.
FAR_ANG = 1.0


def find_bonds(
    positions: Float[np.ndarray, "atoms 3"],
    atomic_numbers: Int[np.ndarray, " atoms"],
    *,
    cell: Float[np.ndarray, "3 3"] | None = None,
    tolerance_ang: float = 0.3,
) -> Int[np.ndarray, "bonds 2"]:
    """Return pairs nearer than the sum of their covalent radii plus a tolerance, the lower index first.

    The tolerance lets bonds vibrate at some hundred kelvin and still leaves strong hydrogen bonds out.

    Reference:
        Cordero et al. (2008), doi:10.1039/b801115j, for the radii.
    """
    from scipy.spatial import KDTree

    positions = np.asarray(positions, dtype=float)
    radii = np.take(COVALENT_RADII_ANG, atomic_numbers)
    reach = 2 * radii.max() + tolerance_ang
    images, owners = (positions, np.arange(len(positions))) if cell is None else _images(positions, cell, reach)
    inside = positions if cell is None else images[: len(positions)]
    near = KDTree(inside).sparse_distance_matrix(KDTree(images), reach, output_type="ndarray")
    first, second = near["i"], owners[near["j"]]
    bonded = (first < second) & (near["v"] < radii[first] + radii[second] + tolerance_ang)
    return np.unique(np.stack([first[bonded], second[bonded]], axis=1), axis=0).astype(np.int64)


def _images(positions: np.ndarray, cell: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the atoms wrapped into the box, then their images within ``reach`` of it, and whose image each is."""
    inside = fractional(positions, cell) % 1.0
    margin = reach * np.linalg.norm(np.linalg.inv(cell), axis=0)
    nearest_first = sorted(range(-int(np.ceil(margin.max())), int(np.ceil(margin.max())) + 1), key=abs)
    shifts = np.stack(np.meshgrid(*[nearest_first] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    every = inside + shifts
    kept = ((every > -margin) & (every < 1 + margin)).all(axis=-1)
    return every[kept] @ cell, np.nonzero(kept)[1]


def bonds_of(trajectory: Trajectory) -> Int[np.ndarray, "bonds 2"]:
    """Return the bonds a trajectory brought along, else those found in its first frame."""
    return find_bonds_of(trajectory) if trajectory.bonds is None else trajectory.bonds


def find_bonds_of(trajectory: Trajectory) -> Int[np.ndarray, "bonds 2"]:
    """Return the bonds found in a trajectory's first frame."""
    cell = None if trajectory.cell is None else np.asarray(trajectory.cell[0], dtype=float)
    return find_bonds(np.asarray(trajectory.positions[0], dtype=float), trajectory.atomic_numbers, cell=cell)


def mended_bonds(named: Int[np.ndarray, "bonds 2"], trajectory: Trajectory) -> Int[np.ndarray, "mended 2"]:
    """Return bonds of residue templates, mended by the distances in the first frame.

    Templates miss atoms under other names (the methyl carbon of NME is CH3, C or CAT), which would fall off, and take
    some for others (the hydrogen of a carboxyl end for one of the nitrogen). An atom without a bond gets those of its
    distances; a bond `FAR_ANG` too long is dropped where an end has a nearer neighbour that no template names.
    """
    near, numbers = find_bonds_of(trajectory), trajectory.atomic_numbers
    known = {frozenset(pair) for pair in named.tolist()}
    unnamed = near[[frozenset(pair) not in known for pair in near.tolist()]]
    far = _lengths(named, trajectory) > np.take(COVALENT_RADII_ANG, numbers)[named].sum(1) + FAR_ANG
    named = named[~(far & np.isin(named, unnamed).any(axis=1))]
    bonded = np.isin(np.arange(trajectory.n_atoms), named) | np.isin(numbers, IONS)
    return named if bonded.all() else np.concatenate([named, near[~bonded[near].all(axis=1)]])


def _lengths(bonds: Int[np.ndarray, "bonds 2"], trajectory: Trajectory) -> Float[np.ndarray, " bonds"]:
    """Return the lengths in Å in the first frame, across the box where there is one."""
    frame = np.asarray(trajectory.positions[0], dtype=float)
    vectors = frame[bonds[:, 1]] - frame[bonds[:, 0]]
    if trajectory.cell is not None:
        vectors = minimum_image(vectors, np.asarray(trajectory.cell[0], dtype=float))
    return np.linalg.norm(vectors, axis=-1)


def bond_hops(bonds: Int[np.ndarray, "bonds 2"], n_atoms: int, *, most: int) -> Int[np.ndarray, "atoms atoms"]:
    """Return how many bonds lie between any two atoms, at most ``most``; unconnected atoms count as ``most``."""
    from scipy.sparse.csgraph import dijkstra

    hops = dijkstra(_graph(bonds, n_atoms), directed=False, unweighted=True, limit=most)
    return np.minimum(hops, most).astype(np.int64)


def find_torsions(
    bonds: Int[np.ndarray, "bonds 2"],
    atomic_numbers: Int[np.ndarray, " atoms"],
    *,
    every: bool = False,
) -> Int[np.ndarray, "torsions 4"]:
    """Return atom quadruples a–b–c–d along bonds.

    One per rotatable bond (neither in a ring nor at an end), its outer atoms the heaviest neighbours, the lower index
    among equals; or with ``every`` all of them, rings included.
    """
    bonds = np.asarray(bonds, dtype=int).reshape(-1, 2)
    neighbours: list[list[int]] = [[] for _ in atomic_numbers]
    for b, c in bonds.tolist():
        neighbours[b].append(c)
        neighbours[c].append(b)
    heavy_first = [sorted(found, key=lambda atom: (-int(atomic_numbers[atom]), atom)) for found in neighbours]
    chosen = bonds if every else bonds[~_in_ring(bonds, len(atomic_numbers))]
    quadruples = []
    for b, c in np.sort(chosen, axis=1).tolist():
        found = [(a, b, c, d) for a in heavy_first[b] if a != c for d in heavy_first[c] if d not in (a, b)]
        quadruples += found if every else found[:1]
    return np.array(quadruples, dtype=np.int64).reshape(-1, 4)


def _in_ring(bonds: np.ndarray, n_atoms: int) -> np.ndarray:
    """Return for each bond whether its ends stay connected without it."""
    from scipy.sparse.csgraph import connected_components

    n_molecules = connected_components(_graph(bonds, n_atoms), directed=False)[0]
    if len(bonds) == n_atoms - n_molecules:  # a forest has no rings: the common case, and long chains are quick
        return np.zeros(len(bonds), dtype=bool)
    without = (np.delete(bonds, index, axis=0) for index in range(len(bonds)))
    return np.array([connected_components(_graph(rest, n_atoms), directed=False)[0] == n_molecules for rest in without])


def _graph(bonds: np.ndarray, n_atoms: int):
    from scipy.sparse import csr_array

    bonds = np.asarray(bonds, dtype=int).reshape(-1, 2)
    return csr_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(n_atoms, n_atoms))


def fractional(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return [..., atoms, 3] in units of the box vectors [..., 3, 3].

    Raises:
        InvalidTrajectory: the box is flat.
    """
    cell = np.asarray(cell, dtype=float)
    if (np.abs(np.linalg.det(cell)) < 1e-6).any():
        raise InvalidTrajectory(
            "The box has no volume in some frame: a box vector is missing or lies in the plane of the others. "
            "Give three independent box vectors in Å; along an open direction a long one serves."
        )
    return positions @ np.linalg.inv(cell)


def minimum_image(
    vectors: Float[np.ndarray, "*frames vectors 3"], cell: Float[np.ndarray, "*frames 3 3"]
) -> np.ndarray:
    """Return vectors to the nearest image; in skewed boxes exact up to half the smallest box height."""
    parts = fractional(vectors, cell)
    return (parts - np.round(parts)) @ np.asarray(cell, dtype=float)


def make_whole(
    positions: Float[np.ndarray, "atoms 3"], bonds: Int[np.ndarray, "bonds 2"], cell: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "atoms 3"]:
    """Return how many box vectors to add to each atom so that no bond crosses the box; each molecule's first stays."""
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    n_atoms = len(positions)
    molecule = connected_components(_graph(bonds, n_atoms), directed=False)[1]
    firsts = np.unique(molecule, return_index=True)[1]
    # One root above all molecules, so that a single search reaches every atom.
    rooted = np.concatenate([np.asarray(bonds, dtype=int), np.stack([np.full(len(firsts), n_atoms), firsts], axis=1)])
    parent = breadth_first_order(_graph(rooted, n_atoms + 1), n_atoms, directed=False)[1]
    parent[n_atoms] = n_atoms
    boxes = np.zeros((n_atoms + 1, 3))
    inner = np.flatnonzero(parent[:n_atoms] != n_atoms)
    boxes[inner] = -np.round(fractional(positions[inner] - positions[parent[inner]], cell))
    while (parent != n_atoms).any():  # each pass doubles how far up the tree an atom has looked
        boxes, parent = boxes + boxes[parent], parent[parent]
    return boxes[:n_atoms]
