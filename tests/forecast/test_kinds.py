"""Kinds of atoms: known names for known molecules, the same however atoms are listed, and what is unknown is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import molecule as built
from torch.testing import assert_close

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule
from asteroid_nb.errors import InvalidSettings, ModelMismatch
from asteroid_nb.forecast.kinds import Kinds, KindWeights, likeness, neighbourhoods
from asteroid_nb.forecast.settings import preset

TINY = preset("tiny", width=16, heads=2)


def known(name: str) -> Molecule:
    atoms = built(name)
    shaken = atoms.positions + np.random.default_rng(0).normal(scale=0.03, size=atoms.positions.shape)
    return Molecule.of([Trajectory(shaken[None], atoms.numbers, 1.0)])


def relisted(molecule: Molecule, order: np.ndarray) -> Molecule:
    """Return the molecule with its atoms listed in another order."""
    place = np.argsort(order)
    return Molecule(
        molecule.atomic_numbers[order], molecule.masses[order], place[molecule.bonds], molecule.reference[order]
    )


def test_methanol_by_heart():
    elements, bonded, further = neighbourhoods(known("CH3OH"))
    assert elements == ["C", "O", "H", "H", "H", "H"]
    assert sorted(set(bonded)) == ["C(H H H O)", "H(C)", "H(O)", "O(C H)"]
    assert set(further) == {
        "C(H(C) H(C) H(C) O(C H))", "O(C(H H H O) H(O))", "H(C(H H H O))", "H(O(C H))",
    }  # fmt: skip
    kinds = Kinds.of([known("CH3OH")])
    assert [len(level) for level in kinds.levels] == [3, 4, 4] and kinds.slots == 6


def test_the_order_in_which_atoms_are_listed_changes_nothing():
    ethanol, order = known("CH3CH2OH"), np.random.default_rng(1).permutation(9)
    other = relisted(ethanol, order)
    for one, again in zip(neighbourhoods(ethanol), neighbourhoods(other), strict=True):
        assert [one[atom] for atom in order] == again
    np.testing.assert_array_equal(likeness(ethanol)[order], likeness(other))
    assert Kinds.of([ethanol]) == Kinds.of([other])


def test_the_order_of_molecules_changes_nothing():
    both = [known("CH3OH"), known("CH3CH2OH")]
    assert Kinds.of(both) == Kinds.of(both[::-1])
    assert Kinds.of(both).slots == 9


def test_written_and_read_again_is_the_same():
    kinds = Kinds.of([known("CH3OH")])
    assert Kinds.read(kinds.written()) == kinds


def test_counted_weights_are_those_there_are():
    kinds = Kinds.of([known("CH3OH"), known("CH3CH2OH")])
    made = KindWeights(kinds, TINY)
    assert sum(weight.numel() for weight in made.parameters()) == kinds.n_weights(TINY)


def test_an_atom_unknown_by_its_bonds_has_what_its_element_knows():
    kinds, ether = Kinds.of([known("CH3CH2OH")]), known("CH3OCH3")
    group, places = kinds.groups(ether)
    oxygen = group[np.flatnonzero(ether.atomic_numbers == 8)[0]]
    assert places[:, oxygen].tolist() == [kinds.levels[0].index("O"), -1, -1]
    weights = KindWeights(kinds, TINY)
    with torch.no_grad():
        for level in (*weights.maps, *weights.names):
            level.normal_()
        maps, names = weights(torch.as_tensor(places), kinds.slots)
    assert_close(maps[oxygen], weights.maps[0][places[0, oxygen]].detach().flatten(0, 2))
    assert_close(names[oxygen], weights.names[0][places[0, oxygen]].detach())


def test_finer_levels_begin_at_nothing_and_the_first_slots_serve_a_smaller_molecule():
    kinds = Kinds.of([known("CH3OH"), known("CH3CH2OH")])
    weights, (_, places) = KindWeights(kinds, TINY), kinds.groups(known("CH3OH"))
    with torch.no_grad():
        fewer, _ = weights(torch.as_tensor(places), 6)
    assert fewer.shape == (4, TINY.seen_frames * 6 * 3, 16)
    assert_close(fewer.view(4, TINY.seen_frames, 6, 3, 16), weights.maps[0].detach()[places[0]][:, :, :6])


def test_an_element_never_seen_is_refused_by_name():
    with pytest.raises(ModelMismatch, match="has never seen S; it has learnt from C, H, O"):
        Kinds.of([known("CH3OH")]).groups(known("CH3SH"))


@pytest.mark.parametrize(
    ("levels", "slots"),
    [((("C", "H"), ("C(H)", "H(C)")), 2), ((("H", "C"), ("a",), ("b",)), 2), ((("C",), (), ("b",)), 2),
     ((("C",), ("a",), ("b",)), 0), ((("C",), ("a",), ("b",)), 33)],
)  # fmt: skip
def test_kinds_that_no_molecules_have_are_refused(levels, slots):
    with pytest.raises(InvalidSettings, match="Kinds need 3 levels"):
        Kinds(levels, slots)
