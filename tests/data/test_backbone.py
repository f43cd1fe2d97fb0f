"""φ and ψ from bonds and elements alone, beside MDTraj, which has the names of the atoms."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest

from asteroid_nb.data.backbone import backbone_torsions, find_backbone
from asteroid_nb.data.elements import ATOMIC_NUMBERS
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory

#: Heavy atoms of Thr-Asn-Asp with free ends: residue, name, and the atom each is bonded to, which stands before it.
TRIPEPTIDE = (
    *((0, "N", None), (0, "CA", "N"), (0, "C", "CA"), (0, "O", "C")),
    *((0, "CB", "CA"), (0, "OG1", "CB"), (0, "CG2", "CB")),
    *((1, "N", "C"), (1, "CA", "N"), (1, "C", "CA"), (1, "O", "C")),
    *((1, "CB", "CA"), (1, "CG", "CB"), (1, "OD1", "CG"), (1, "ND2", "CG")),
    *((2, "N", "C"), (2, "CA", "N"), (2, "C", "CA"), (2, "O", "C"), (2, "OXT", "C")),
    *((2, "CB", "CA"), (2, "CG", "CB"), (2, "OD1", "CG"), (2, "OD2", "CG")),
)


def bonds_of_tripeptide() -> np.ndarray:
    index = {(residue, name): at for at, (residue, name, _) in enumerate(TRIPEPTIDE)}
    owner = lambda residue, name, other: residue - (name == "N" and other == "C")  # noqa: E731
    return np.array(
        [(index[owner(r, name, other), other], at) for at, (r, name, other) in enumerate(TRIPEPTIDE) if other]
    )


def tripeptide(n_frames: int = 5, seed: int = 0) -> Trajectory:
    """Return frames that share bonds alone: each atom stands 1.4 Å from the one before, in a random direction."""
    random = np.random.default_rng(seed)
    positions = np.zeros((n_frames, len(TRIPEPTIDE), 3))
    for first, second in bonds_of_tripeptide():
        step = random.standard_normal((n_frames, 3))
        positions[:, second] = positions[:, first] + 1.4 * step / np.linalg.norm(step, axis=1, keepdims=True)
    return Trajectory(
        positions=positions,
        atomic_numbers=np.array([ATOMIC_NUMBERS[name[0]] for _, name, _ in TRIPEPTIDE]),
        dt_fs=10.0,
        bonds=bonds_of_tripeptide(),
        check_distances=False,
    )


def in_mdtraj(trajectory: Trajectory) -> mdtraj.Trajectory:
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    residues = [topology.add_residue(name, chain) for name in ("THR", "ASN", "ASP")]
    for residue, name, _ in TRIPEPTIDE:
        topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residues[residue])
    return mdtraj.Trajectory(trajectory.positions / 10, topology)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(np.angle(np.exp(1j * (one - other)))).max())


def test_a_tripeptide_whose_side_chains_look_like_backbone():
    trajectory = tripeptide()
    found, reference = backbone_torsions(trajectory), in_mdtraj(trajectory)
    assert found.names == ("ψ1", "φ2", "ψ2", "φ3")
    assert found.structures is trajectory and found.structure_every == 1 and found.dt_fs == 10.0 and found.periodic
    assert apart(found.select(("φ2", "φ3")).values, mdtraj.compute_phi(reference)[1]) < 1e-4
    assert apart(found.select(("ψ1", "ψ2")).values, mdtraj.compute_psi(reference)[1]) < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_atoms_does_not_matter(seed):
    trajectory = tripeptide()
    order = np.random.default_rng(seed).permutation(trajectory.n_atoms)
    found, expected = backbone_torsions(trajectory.select(order)), backbone_torsions(trajectory)
    assert found.names == expected.names
    np.testing.assert_allclose(found.values, expected.values)


def test_the_dipeptide_with_and_without_hydrogens_and_bonds_looked_for():
    pytest.importorskip("openmm")
    from asteroid_nb.data.dipeptide import PHI, PSI, alanine_dipeptide

    topology, positions = alanine_dipeptide()
    numbers = np.array([atom.element.atomic_number for atom in topology.atoms()])
    molecule = Trajectory(positions=positions[None], atomic_numbers=numbers, dt_fs=1.0)
    names, atoms = find_backbone(molecule)
    assert names == ("φ", "ψ")
    np.testing.assert_array_equal(atoms, [PHI, PSI])
    reference = mdtraj.Trajectory(positions[None] / 10, mdtraj.Topology.from_openmm(topology))
    angles = [float(compute(reference)[1][0, 0]) for compute in (mdtraj.compute_phi, mdtraj.compute_psi)]
    assert apart(backbone_torsions(molecule).values, np.array([angles])) < 1e-4
    heavy = molecule.select(numbers > 1)
    np.testing.assert_array_equal(backbone_torsions(heavy).values, backbone_torsions(molecule).values)


def glycines(n_residues: int, *, ring: bool) -> Trajectory:
    """Return N–CA–C(=O) units, closed to a ring or open."""
    n_atoms = 4 * n_residues
    bonds = [(4 * r + a, 4 * r + b) for r in range(n_residues) for a, b in ((0, 1), (1, 2), (2, 3))]
    bonds += [(4 * r + 2, 4 * ((r + 1) % n_residues)) for r in range(n_residues - (not ring))]
    positions = np.random.default_rng(0).uniform(0, 9, size=(1, n_atoms, 3))
    numbers = np.array([7, 6, 6, 8] * n_residues)
    return Trajectory(
        positions=positions, atomic_numbers=numbers, dt_fs=1.0, bonds=np.array(bonds), check_distances=False
    )


def test_a_ring_has_both_of_every_residue_in_order():
    names, atoms = find_backbone(glycines(4, ring=True))
    assert names == tuple(f"{letter}{number}" for number in (1, 2, 3, 4) for letter in "φψ")
    np.testing.assert_array_equal(atoms[:2], [(14, 0, 1, 2), (0, 1, 2, 4)])


@pytest.mark.parametrize(
    ("elements", "bonds"),
    [
        ("CCO", [(0, 1), (1, 2)]),
        ("CONC", [(0, 1), (0, 2), (2, 3)]),  # N-methylformamide without hydrogens: a peptide bond and no residue
        ("NCCO", [(0, 1), (1, 2), (2, 3)]),
        ("O", []),
    ],
)
def test_a_molecule_without_residues(elements, bonds):
    numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in elements])
    positions = 1.4 * np.arange(len(numbers))[None, :, None] * np.ones(3)
    molecule = Trajectory(positions=positions, atomic_numbers=numbers, dt_fs=1.0, bonds=np.array(bonds), name="small")
    with pytest.raises(InvalidTrajectory, match=r"'small' \(\d atoms\) has no peptide bond.*geometry.torsions"):
        backbone_torsions(molecule)
