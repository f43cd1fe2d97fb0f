"""The table of elements is ASE's."""

import ase.data
import numpy as np

from asteroid_nb.data import elements

# To regenerate the table, print these and paste them into elements.py:
#   tuple(ase.data.chemical_symbols)
#   tuple(float(f"{mass:.9g}") for mass in ase.data.atomic_masses)
#   tuple(round(float(radius), 2) for radius in ase.data.covalent_radii)


def test_symbols_are_ases():
    assert elements.SYMBOLS == tuple(ase.data.chemical_symbols)
    assert all(elements.SYMBOLS[number] == symbol for symbol, number in elements.ATOMIC_NUMBERS.items())


def test_masses_are_ases():
    np.testing.assert_allclose(elements.MASSES_AMU, ase.data.atomic_masses, rtol=1e-9)


def test_radii_are_ases():
    np.testing.assert_allclose(elements.COVALENT_RADII_ANG, ase.data.covalent_radii, rtol=0, atol=1e-8)


def test_a_few_everybody_knows():
    assert [elements.ATOMIC_NUMBERS[symbol] for symbol in ("H", "C", "N", "O", "S")] == [1, 6, 7, 8, 16]
    assert elements.MASSES_AMU[6] == 12.011
