"""Å, fs, amu, eV and K inside; every factor that leads into them, once.

The values are CODATA 2018 as in SciPy and within 1e-6 of ``ase.units`` (a test holds them to it); they are
written out because training must run where ASE is not installed.
"""

from typing import Final

ANG_PER_NM: Final = 10.0
ANG_PER_BOHR: Final = 0.529177210903
FS_PER_PS: Final = 1000.0
FS_PER_NS: Final = 1.0e6

MEV_PER_EV: Final = 1000.0
EV_PER_HARTREE: Final = 27.211386245988
EV_PER_KCAL_PER_MOL: Final = 0.0433641042
EV_PER_KJ_PER_MOL: Final = 0.0103642697

BOLTZMANN_EV_PER_K: Final = 8.617333262e-5

#: 1 amu Å²/fs² in eV: kinetic energies.
EV_PER_AMU_ANG2_PER_FS2: Final = 103.642697

#: ASE's unit of time, Å√(amu/eV), in fs: ASE velocities divided by it are Å/fs.
FS_PER_ASE_TIME: Final = EV_PER_AMU_ANG2_PER_FS2**0.5

#: Speed of light in cm/fs: a frequency in 1/fs divided by it is a wavenumber in 1/cm.
CM_PER_FS_LIGHT: Final = 2.99792458e-5
