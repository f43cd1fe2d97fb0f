"""Which atoms see which, and the vectors between them: all pairs of a small molecule, a neighbour list of a large one.

An edge runs from a source to a target, its vector is target − source. Layers ask a `Graph` to bring atoms' values to
edges and to sum edges' values at their targets, and so need not know which of the two kinds it is.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.shapes import Float, Int

#: Atoms up to which all pairs are kept instead of a list.
MOST_DENSE = 64

#: Closer than any two nuclei come in a molecule at a temperature it survives.
CLOSEST_ANG = 0.3


@dataclass(frozen=True, eq=False)
class Graph:
    """Edges of a batch of molecules; entries of atoms that only fill up a batch have atomic number 0.

    Args:
        atomic_numbers: [molecules, atoms], 0 where a smaller molecule ends.
        vectors: [*edges, 3] Å, target − source; edges are [molecules, targets, sources] or [pairs].
        lengths: [*edges] Å; at least 1 where all pairs hold one that is no edge, so that nothing divides by zero.
        switch: [*edges], falls smoothly from 1 to 0 at the cutoff; 0 where there is no edge.
        source, target: [pairs] places among all atoms of the batch, None where all pairs are kept.
        cutoff_ang: beyond it atoms do not see each other.
    """

    atomic_numbers: Int[Tensor, "molecules atoms"]
    vectors: Float[Tensor, "*edges 3"]
    lengths: Float[Tensor, "*edges"]
    switch: Float[Tensor, "*edges"]
    cutoff_ang: float
    source: Int[Tensor, " pairs"] | None = None
    target: Int[Tensor, " pairs"] | None = None

    @property
    def directions(self) -> Float[Tensor, "*edges 3"]:
        """Return unit vectors, zero where there is no edge."""
        return self.vectors / self.lengths[..., None]

    @property
    def present(self) -> Float[Tensor, "molecules atoms 1 1"]:
        """Return 1 for atoms, 0 for what fills up the batch."""
        return (self.atomic_numbers > 0).to(self.vectors.dtype)[..., None, None]

    @property
    def n_atoms(self) -> Int[Tensor, " molecules"]:
        return (self.atomic_numbers > 0).sum(1)

    def from_sources(self, values: Tensor) -> Tensor:
        """Return [*edges, …] from [molecules, atoms, …]: what each edge's source holds."""
        return values[:, None] if self.source is None else values.flatten(0, 1)[self.source]

    def from_targets(self, values: Tensor) -> Tensor:
        """Return [*edges, …] from [molecules, atoms, …]: what each edge's target holds."""
        return values[:, :, None] if self.target is None else values.flatten(0, 1)[self.target]

    def at_targets(self, messages: Tensor) -> Tensor:
        """Return [molecules, atoms, …] from [*edges, …]: the sum of what arrives at each atom."""
        if self.target is None:
            return messages.sum(2)
        everywhere = messages.new_zeros(self.atomic_numbers.numel(), *messages.shape[1:])
        return everywhere.index_add(0, self.target, messages).unflatten(0, self.atomic_numbers.shape)

    def detach(self) -> Graph:
        """Return the same edges, cut off from the positions."""
        cut = {name: getattr(self, name).detach() for name in ("vectors", "lengths", "switch")}
        return dataclasses.replace(self, **cut)


def graph(
    positions: Float[Tensor, "molecules atoms 3"],
    atomic_numbers: Int[Tensor, "molecules atoms"],
    *,
    cutoff_ang: float,
    cell: Float[Tensor, "3 3"] | None = None,
    periodic: tuple[bool, bool, bool] = (True, True, True),
    dense: bool | None = None,
) -> Graph:
    """Return the graph of a batch; gradients flow from its vectors to ``positions``.

    Args:
        positions: Å.
        atomic_numbers: 0 pads.
        cell: rows are box vectors in Å, of all molecules of the batch; every image within the cutoff counts, also in
            a box smaller than twice the cutoff.
        periodic: along which box vectors.
        dense: all pairs or a neighbour list; None takes all pairs up to `MOST_DENSE` atoms outside a box.

    Raises:
        InvalidTrajectory: all pairs were asked for in a box.
    """
    if dense and cell is not None:
        raise InvalidTrajectory("All pairs hold no images, found a box. Leave dense out, or leave the box out.")
    if dense is None:
        dense = cell is None and positions.shape[1] <= MOST_DENSE
    return (
        _all_pairs(positions, atomic_numbers, cutoff_ang)
        if dense
        else _listed(positions, atomic_numbers, cutoff_ang, cell, periodic)
    )


def _all_pairs(positions: Tensor, atomic_numbers: Tensor, cutoff_ang: float) -> Graph:
    vectors = positions[:, :, None] - positions[:, None]
    itself = torch.eye(positions.shape[1], dtype=positions.dtype, device=positions.device)
    atoms = (atomic_numbers > 0).to(positions.dtype)
    there = atoms[:, :, None] * atoms[:, None] * (1 - itself)
    lengths = (vectors.square().sum(-1) + (1 - there)).sqrt()  # what fills up a batch lies in one place
    return Graph(atomic_numbers, vectors, lengths, switch(lengths / cutoff_ang) * there, cutoff_ang)


def _listed(
    positions: Tensor,
    atomic_numbers: Tensor,
    cutoff_ang: float,
    cell: Tensor | None,
    periodic: tuple[bool, bool, bool],
) -> Graph:
    numbers = atomic_numbers.cpu().numpy()
    frames = positions.detach().cpu().double().numpy()
    box = None if cell is None else cell.detach().cpu().double().numpy()
    lists = [
        _neighbours(frame, number > 0, cutoff_ang, box, periodic) for frame, number in zip(frames, numbers, strict=True)
    ]
    put = lambda part: np.concatenate([one[part] for one in lists])  # noqa: E731
    first = np.concatenate([np.full(len(one[0]), row * numbers.shape[1]) for row, one in enumerate(lists)])
    source, target = (torch.from_numpy(put(part) + first).to(positions.device) for part in (0, 1))
    flat = positions.flatten(0, 1)
    vectors = flat[target] - flat[source]
    if cell is not None:
        vectors = vectors + torch.from_numpy(put(2)).to(positions) @ cell.to(positions)
    lengths = vectors.square().sum(-1).sqrt()
    return Graph(atomic_numbers, vectors, lengths, switch(lengths / cutoff_ang), cutoff_ang, source, target)


def _neighbours(
    frame: np.ndarray,
    atoms: np.ndarray,
    cutoff_ang: float,
    cell: np.ndarray | None,
    periodic: tuple[bool, bool, bool],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sources, targets, and the boxes between them, of one molecule; its atoms come first."""
    frame = frame[atoms]
    if cell is None:
        from scipy.spatial import KDTree

        pairs = KDTree(frame).query_pairs(cutoff_ang, output_type="ndarray").astype(np.int64)
        both = np.concatenate([pairs, pairs[:, ::-1]])
        return both[:, 0], both[:, 1], np.zeros((len(both), 3))
    from ase.neighborlist import primitive_neighbor_list

    source, target, boxes = primitive_neighbor_list("ijS", periodic, cell, frame, cutoff_ang)
    return source.astype(np.int64), target.astype(np.int64), boxes.astype(float)


def must_be_apart(graph: Graph) -> None:
    """Raise `InvalidTrajectory` where two atoms, or an atom and an image, are closer than `CLOSEST_ANG`."""
    if not graph.lengths.numel():
        return
    length, edge = graph.lengths.detach().flatten().min(0)
    if not float(length) < CLOSEST_ANG:
        return
    n_atoms = graph.atomic_numbers.shape[1]
    if graph.source is None or graph.target is None:
        molecule, pair = divmod(int(edge), n_atoms**2)
        first, second = divmod(pair, n_atoms)
    else:
        molecule, first = divmod(int(graph.target[edge]), n_atoms)
        second = int(graph.source[edge]) % n_atoms
    raise InvalidTrajectory(
        f"Atoms {min(first, second)} and {max(first, second)} of molecule {molecule} are {float(length):.2g} Å apart; "
        f"they must be at least {CLOSEST_ANG:g} Å. Look at the geometry, its unit and its box, or at the step before: "
        "the time step may be too long."
    )


def switch(share: Tensor) -> Tensor:
    """Return 1 at length 0 and 0 from the cutoff on, with two continuous derivatives there.

    Reference:
        Gasteiger, Groß & Günnemann (2020), arXiv:2003.03123, equation 8, with p = 6.
    """
    share = share.clamp(max=1.0)
    return 1 - 28 * share**6 + 48 * share**7 - 21 * share**8


def radial_basis(graph: Graph, n_radial: int) -> Float[Tensor, "*edges radial"]:
    """Return Bessel functions of the lengths, smoothly switched off at the cutoff.

    Reference:
        Gasteiger, Groß & Günnemann (2020), arXiv:2003.03123, equation 7.
    """
    orders = torch.arange(1, n_radial + 1, device=graph.lengths.device, dtype=graph.lengths.dtype)
    waves = torch.sin(graph.lengths[..., None] * (orders * math.pi / graph.cutoff_ang))
    return waves * (math.sqrt(2 / graph.cutoff_ang) * graph.switch / graph.lengths)[..., None]
