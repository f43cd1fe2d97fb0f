"""Does a rollout still look like the molecule: bonds, all distances, torsions. Nothing here matches frame by frame."""

import numpy as np

from asteroid_nb.shapes import Bool, Float, Int

#: A bond so far off its mean length is broken, Å; Fu et al. (2022), arXiv:2210.07237.
BREAK_ANG = 0.5

#: Distances held at a time by the histogram, so that a long rollout of a large molecule fits in memory.
CHUNK_DISTANCES = 2**22


def bond_lengths(
    positions: Float[np.ndarray, "frames atoms 3"], bonds: Int[np.ndarray, "bonds 2"]
) -> Float[np.ndarray, "frames bonds"]:
    """Return the length in Å of each bond in each frame."""
    first, second = np.asarray(bonds).T
    return np.linalg.norm(np.asarray(positions, dtype=float)[:, first] - positions[:, second], axis=-1)


def broken_bonds(
    positions: Float[np.ndarray, "frames atoms 3"],
    bonds: Int[np.ndarray, "bonds 2"],
    reference_lengths: Float[np.ndarray, " bonds"],
    *,
    tolerance_ang: float | Float[np.ndarray, " bonds"] = BREAK_ANG,
) -> Bool[np.ndarray, "frames bonds"]:
    """Return where a bond is further from its mean length than the tolerance; a frame that is not finite is broken."""
    return ~(np.abs(bond_lengths(positions, bonds) - reference_lengths) <= tolerance_ang)


def stability_fs(
    positions: Float[np.ndarray, "frames atoms 3"],
    bonds: Int[np.ndarray, "bonds 2"],
    reference_lengths: Float[np.ndarray, " bonds"],
    dt_fs: float,
    *,
    tolerance_ang: float | Float[np.ndarray, " bonds"] = BREAK_ANG,
) -> float:
    """Return the time of the first frame in which any bond is broken, infinite if none is.

    Args:
        positions: of a rollout, Å; its first frame counts as time 0, as in `Trajectory.times_fs`.
        bonds: of the reference.
        reference_lengths: mean of each bond in the reference, Å.
        dt_fs: between frames.
        tolerance_ang: how far from the mean a bond may be, or each of them.

    Reference:
        Fu et al. (2022), arXiv:2210.07237.
    """
    broken = broken_bonds(positions, bonds, reference_lengths, tolerance_ang=tolerance_ang).any(axis=1)
    return float(broken.argmax() * dt_fs) if broken.any() else float("inf")


def distance_histogram(
    positions: Float[np.ndarray, "frames atoms 3"], *, longest_ang: float = 10.0, n_bins: int = 500
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Return bin centres in Å and h(r) in 1/Å: how all interatomic distances of all frames are distributed.

    Its integral is the share of distances below ``longest_ang``, so that a molecule that flies apart loses weight.

    Reference:
        Fu et al. (2022), arXiv:2210.07237.
    """
    positions = np.asarray(positions)
    first, second = np.triu_indices(positions.shape[1], k=1)
    edges = np.linspace(0, longest_ang, n_bins + 1)
    counts = np.zeros(n_bins)
    frames = max(1, CHUNK_DISTANCES // max(1, len(first)))
    for start in range(0, len(positions), frames):
        some = positions[start : start + frames]
        distances = np.linalg.norm(some[:, first] - some[:, second], axis=-1)
        counts += np.histogram(distances, bins=n_bins, range=(0, longest_ang))[0]
    return (edges[:-1] + edges[1:]) / 2, counts / (len(positions) * len(first) * (edges[1] - edges[0]))


def distance_mae(
    positions: Float[np.ndarray, "frames atoms 3"],
    reference: Float[np.ndarray, "others atoms 3"],
    *,
    longest_ang: float = 10.0,
    n_bins: int = 500,
) -> float:
    """Return ∫ |h(r) − h_reference(r)| dr, without unit: 0 for the same distances, 2 for none in common.

    Reference:
        Fu et al. (2022), arXiv:2210.07237.
    """
    own, theirs = (distance_histogram(each, longest_ang=longest_ang, n_bins=n_bins) for each in (positions, reference))
    return area_between(own, theirs)


def area_between(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the area between two histograms over the same bins, each bin centres and density."""
    return float(np.abs(one[1] - other[1]).sum() * (one[0][1] - one[0][0]))


def torsion_density(
    angles: Float[np.ndarray, "frames torsions"], *, n_bins: int = 100
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, "torsions bins"]]:
    """Return bin centres in rad, −π to π, and the density in 1/rad of each torsion; NaN counts nowhere."""
    width = 2 * np.pi / n_bins
    counts = np.zeros((np.shape(angles)[1], n_bins))
    for row, column in zip(counts, np.asarray(angles, dtype=float).T, strict=True):
        turned = (column[np.isfinite(column)] + np.pi) % (2 * np.pi)
        # An angle just below a full turn may round up to it.
        np.add.at(row, np.minimum((turned / width).astype(int), n_bins - 1), 1)
    return -np.pi + width * (np.arange(n_bins) + 0.5), counts / (len(angles) * width)


def torsion_js(
    angles: Float[np.ndarray, "frames torsions"], reference: Float[np.ndarray, "others torsions"], *, n_bins: int = 100
) -> Float[np.ndarray, " torsions"]:
    """Return the Jensen–Shannon distance of each torsion's distribution (logarithms to base 2): 0 the same, 1 disjoint.

    Finite samples of one distribution are not 0 apart; compare with two halves of the reference before judging.

    Reference:
        Lin (1991), doi:10.1109/18.61115; the distance is the square root of the divergence.
    """
    from scipy.spatial.distance import jensenshannon

    own, theirs = torsion_density(angles, n_bins=n_bins)[1], torsion_density(reference, n_bins=n_bins)[1]
    return np.asarray(jensenshannon(own, theirs, base=2, axis=1))  # pyright: ignore[reportCallIssue]  (stubs lag)


def bond_length_wasserstein(
    lengths: Float[np.ndarray, "frames bonds"], reference: Float[np.ndarray, "others bonds"]
) -> Float[np.ndarray, " bonds"]:
    """Return, in Å, how far each bond's lengths would have to be moved on average to match the reference's."""
    from scipy.stats import wasserstein_distance

    return np.array([wasserstein_distance(own, theirs) for own, theirs in zip(lengths.T, reference.T, strict=True)])
