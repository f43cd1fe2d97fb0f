"""What `simulate` moves and what pushes it: molecules by name, calculators by method, in ASE's own objects."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.data import readers
from asteroid_nb.data.bonds import find_bonds
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import AsteroidError, InvalidTrajectory, UnreadableFile, need

if TYPE_CHECKING:
    import ase
    from ase.calculators.calculator import BaseCalculator

#: Methods that tblite knows.
XTB_METHODS = ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB")

ALIASES = {"ethanol": "CH3CH2OH", "water": "H2O", "methane": "CH4", "benzene": "C6H6"}

#: Enol form with the intramolecular hydrogen bond, elements ordered as in MD17, Å, relaxed with GFN2-xTB.
MALONALDEHYDE = (
    ("C", (-0.0585, 1.1268, 0.0)),
    ("C", (-1.2082, 0.4057, 0.0)),
    ("C", (1.2061, 0.4494, 0.0)),
    ("O", (-1.2596, -0.9040, 0.0)),
    ("O", (1.3357, -0.7691, 0.0)),
    ("H", (-0.0831, 2.2015, 0.0)),
    ("H", (-2.1835, 0.8816, 0.0)),
    ("H", (2.0980, 1.0968, 0.0)),
    ("H", (-0.3181, -1.2393, 0.0)),
)


def molecule(what: Any) -> ase.Atoms:
    """Return fresh ``ase.Atoms`` from Atoms, a `Trajectory` (its first frame), a file, or a name.

    Names are "malonaldehyde" and those of ``ase.build.molecule``, such as "ethanol" or "CH3CH2OH".

    Raises:
        UnreadableFile: neither a file that can be read nor a known name.
        InvalidTrajectory: an object of another kind.
    """
    ase = need("ase", extra="md")
    if isinstance(what, Trajectory):
        return _first_frame(what)
    if isinstance(what, ase.Atoms):
        atoms = what.copy()
    elif isinstance(what, (str, Path)):
        atoms = _named(str(what)) or _from_file(Path(what))
    else:
        raise InvalidTrajectory(
            f"A molecule was given as {type(what).__name__}; pass ase.Atoms, a Trajectory, a file or a name."
        )
    if not len(atoms):
        raise InvalidTrajectory("The molecule has no atoms.")
    return atoms


def _first_frame(trajectory: Trajectory) -> ase.Atoms:
    from ase import Atoms

    cell = None if trajectory.cell is None else trajectory.cell[0]
    return Atoms(
        trajectory.symbols,
        trajectory.positions[0].astype(float),
        masses=trajectory.masses,
        cell=cell,
        pbc=cell is not None,
    )


def _named(name: str) -> ase.Atoms | None:
    from ase import Atoms
    from ase.build import molecule as built

    if name.lower() == "malonaldehyde":
        return Atoms([symbol for symbol, _ in MALONALDEHYDE], [position for _, position in MALONALDEHYDE])
    try:
        return built(ALIASES.get(name.lower(), name))
    except KeyError:
        return None


def _from_file(path: Path) -> ase.Atoms:
    from ase.io import read

    if not path.exists():
        raise UnreadableFile(
            f"{str(path)!r} is neither a file nor a known molecule. Pass an existing file (xyz, pdb, …), "
            "'ethanol', 'malonaldehyde', or a name of ase.build.molecule such as 'C6H6'."
        )
    if path.suffix == ".npz":
        found = readers.load(path)
        return _first_frame(found[0] if isinstance(found, list) else found)
    try:
        atoms = read(path, index=0)
    except Exception as error:  # ASE's readers raise whatever they stumble over
        raise UnreadableFile(
            f"{path} could not be read as a molecule ({error}). Pass a file that ase.io.read knows."
        ) from error
    assert not isinstance(atoms, list)
    return atoms


def still(atoms: ase.Atoms) -> None:
    """Remove momentum and, outside a box, angular momentum; vibrations keep their energy."""
    from ase.md.velocitydistribution import Stationary, ZeroRotation

    Stationary(atoms, preserve_temperature=False)
    if not atoms.pbc.any():
        # ASE divides by the vanishing moment of a linear molecule, then drops the result.
        with np.errstate(divide="ignore", invalid="ignore"):
            ZeroRotation(atoms, preserve_temperature=False)


class Xtb:
    """Makes one fresh tblite calculator per call; picklable, so that worker processes can make theirs."""

    packages = ("tblite", "ase")

    def __init__(self, method: str) -> None:
        if method not in XTB_METHODS:
            raise AsteroidError(
                f"The method {method!r} is not one of {', '.join(XTB_METHODS)}. "
                "For another engine pass calculator=factory."
            )
        self.method = method

    def __call__(self) -> BaseCalculator:
        return need("tblite.ase", extra="md").TBLite(method=self.method, verbosity=0)


def factory(method: str, calculator: Callable[[], BaseCalculator] | None) -> Callable[[], BaseCalculator]:
    """Return what makes a fresh calculator.

    Raises:
        MissingExtra: tblite is not installed.
        AsteroidError: an unknown method, or a calculator where a factory is needed.
    """
    need("ase", extra="md")
    if calculator is None:
        made = Xtb(method)
        need("tblite.ase", extra="md")
        return made
    if not callable(calculator):
        raise AsteroidError(
            f"calculator= was a {type(calculator).__name__}; needed is a factory that makes a fresh one per walker, "
            "such as ase.calculators.emt.EMT itself or functools.partial(LennardJones, sigma=3.4)."
        )
    return calculator


def label(make: Callable[[], BaseCalculator]) -> str:
    """Return what a factory is called in records: the method, or the calculator with its arguments."""
    if isinstance(make, Xtb):
        return make.method
    name = getattr(make, "__qualname__", None)
    return f"{make.__module__}.{name}" if name else repr(make).split(" at 0x")[0]


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of those packages that are installed."""
    found = {}
    for package in ("numpy", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(atoms: ase.Atoms) -> dict[str, Any]:
    """Return the start geometry as JSON-able values, so that another molecule in the same folder is noticed."""
    return {
        "atomic_numbers": atoms.numbers.tolist(),
        "positions_ang": np.round(atoms.positions, 9).tolist(),
        "masses_amu": atoms.get_masses().tolist(),
        "cell_ang": atoms.cell.array.tolist(),
        "periodic": [bool(flag) for flag in atoms.pbc],
    }


def bonds(atoms: ase.Atoms) -> np.ndarray:
    """Return [bonds, 2] of the start geometry."""
    cell = atoms.cell.array if atoms.pbc.all() else None
    return find_bonds(atoms.positions, atoms.numbers.astype(np.int64), cell=cell)
