"""Every factor against the two tables it could have been copied from."""

import ase.units
import pytest
import scipy.constants as si

from asteroid_nb import units

AVOGADRO, CHARGE = si.N_A, si.e

BY_SCIPY = {
    "ANG_PER_NM": 10.0,
    "ANG_PER_BOHR": si.value("Bohr radius") / si.angstrom,
    "FS_PER_PS": si.pico / si.femto,
    "FS_PER_NS": si.nano / si.femto,
    "MEV_PER_EV": 1 / si.milli,
    "EV_PER_HARTREE": si.value("Hartree energy in eV"),
    "EV_PER_KCAL_PER_MOL": 1000 * si.calorie / AVOGADRO / CHARGE,
    "EV_PER_KJ_PER_MOL": 1000 / AVOGADRO / CHARGE,
    "BOLTZMANN_EV_PER_K": si.k / CHARGE,
    "EV_PER_AMU_ANG2_PER_FS2": si.atomic_mass * (si.angstrom / si.femto) ** 2 / CHARGE,
    "FS_PER_ASE_TIME": si.angstrom * (si.atomic_mass / CHARGE) ** 0.5 / si.femto,
    "CM_PER_FS_LIGHT": si.c * 100 * si.femto,
}

BY_ASE = {
    "ANG_PER_NM": ase.units.nm,
    "ANG_PER_BOHR": ase.units.Bohr,
    "EV_PER_HARTREE": ase.units.Hartree,
    "EV_PER_KCAL_PER_MOL": ase.units.kcal / ase.units.mol,
    "EV_PER_KJ_PER_MOL": ase.units.kJ / ase.units.mol,
    "BOLTZMANN_EV_PER_K": ase.units.kB,
    "EV_PER_AMU_ANG2_PER_FS2": 1 / ase.units.fs**2,
    "FS_PER_ASE_TIME": 1 / ase.units.fs,
}


def test_no_factor_goes_unchecked():
    assert {name for name in vars(units) if name.isupper()} == set(BY_SCIPY)


@pytest.mark.parametrize("name", BY_SCIPY)
def test_factors_are_scipys(name):
    assert getattr(units, name) == pytest.approx(BY_SCIPY[name], rel=1e-6)


@pytest.mark.parametrize("name", BY_ASE)
def test_factors_are_ases(name):
    assert getattr(units, name) == pytest.approx(BY_ASE[name], rel=1e-6)
