"""Alanine dipeptide from nothing but internal coordinates, and its slow torsions by OpenMM: the smallest rare event.

Run as a module it makes the bundled sample: ``python -m asteroid_nb.data.dipeptide --out FOLDER``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.geometry import centre, torsions
from asteroid_nb.data.openmm_engine import OpenmmSettings, simulate_openmm
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import UnreadableFile, need
from asteroid_nb.files import replacing
from asteroid_nb.shapes import Float

if TYPE_CHECKING:
    from openmm.app import Topology

#: φ and ψ of the start in degrees: the hydrogen-bonded ring in which the free molecule rests.
START_PHI, START_PSI = -80.0, 75.0

#: Name, residue, then distance to, angle with and torsion about earlier atoms, counted from 0: Å and degrees.
ATOMS = (
    ("HH31", 0, ()),
    ("CH3", 0, (0, 1.09)),
    ("HH32", 0, (1, 1.09, 0, 109.5)),
    ("HH33", 0, (1, 1.09, 0, 109.5, 2, 120.0)),
    ("C", 0, (1, 1.52, 0, 109.5, 2, -120.0)),
    ("O", 0, (4, 1.23, 1, 120.5, 0, 0.0)),
    ("N", 1, (4, 1.335, 1, 116.5, 5, 180.0)),
    ("H", 1, (6, 1.01, 4, 119.0, 5, 180.0)),
    ("CA", 1, (6, 1.45, 4, 122.0, 5, 0.0)),
    ("HA", 1, (8, 1.09, 6, 109.0, 4, START_PHI + 120.0)),
    ("CB", 1, (8, 1.53, 6, 110.0, 4, START_PHI - 120.0)),
    ("HB1", 1, (10, 1.09, 8, 109.5, 6, 60.0)),
    ("HB2", 1, (10, 1.09, 8, 109.5, 6, 180.0)),
    ("HB3", 1, (10, 1.09, 8, 109.5, 6, -60.0)),
    ("C", 1, (8, 1.52, 6, 111.0, 4, START_PHI)),
    ("O", 1, (14, 1.23, 8, 120.5, 6, START_PSI + 180.0)),
    ("N", 2, (14, 1.335, 8, 116.5, 6, START_PSI)),
    ("H", 2, (16, 1.01, 14, 119.0, 8, 0.0)),
    ("C", 2, (16, 1.45, 14, 122.0, 8, 180.0)),
    ("H1", 2, (18, 1.09, 16, 109.5, 14, 0.0)),
    ("H2", 2, (18, 1.09, 16, 109.5, 14, 120.0)),
    ("H3", 2, (18, 1.09, 16, 109.5, 14, -120.0)),
)
RESIDUES = ("ACE", "ALA", "NME")

#: Atoms of each torsion, the order of MDTraj's and IUPAC's φ and ψ.
PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)


def alanine_dipeptide() -> tuple[Topology, Float[np.ndarray, "atoms 3"]]:
    """Return the topology of N-acetyl-L-alanine-N′-methylamide and [22, 3] Å, ready for `simulate_openmm`.

    Raises:
        MissingExtra: OpenMM is not installed.
    """
    from ase.io.zmatrix import parse_zmatrix

    app = need("openmm.app", extra="md")
    topology = app.Topology()
    chain = topology.addChain()
    residues = [topology.addResidue(name, chain) for name in RESIDUES]
    atoms, rows = [], []
    for name, residue, place in ATOMS:
        element = app.Element.getBySymbol(name[0])
        atoms.append(topology.addAtom(name, element, residues[residue]))
        # ASE counts from 1; indices stand before each distance, angle and torsion.
        words = [str(entry + 1) if at % 2 == 0 else f"{entry:.6f}" for at, entry in enumerate(place)]
        rows.append(" ".join([name[0], *words]))
        if place:
            topology.addBond(atoms[place[0]], atoms[-1])
    return topology, parse_zmatrix("\n".join(rows)).positions


#: 450 K, because at 300 K a flip of φ is too rare for a desk; hydrogens of 3 amu bear steps of 4 fs. The Reference
#: platform is the quickest there is for 22 atoms, and gives the same numbers every time.
SAMPLE = {
    "force_field": ("amber99sbildn.xml", "amber99_obc.xml"),
    "temperature_K": 450.0,
    "n_walkers": 10,
    "n_frames": 20_000,
    "dt_fs": 1000.0,
    "timestep_fs": 4.0,
    "hydrogen_mass_amu": 3.0,
    "equilibration_fs": 100_000.0,
    "platform": "Reference",
    "seed": 1,
    "chunk_frames": 2000,
}

#: Frames between the structures that are kept, and the steps in which numbers are stored: rad and Å.
STRUCTURE_EVERY = 50
TORSION_STEP, POSITION_STEP = np.pi / 32767, 1e-3

#: What the file holds, one array each.
KEPT = ("torsions", "structures", "structure_every", "atomic_numbers", "masses", "bonds", "dt_fs", "provenance")


def make_sample(out: str | Path, *, folder: str | Path, **changes: Any) -> Path:
    """Simulate the dipeptide and write φ, ψ and some structures as whole numbers of 16 bits.

    Args:
        out: the .npz file.
        folder: keeps what is finished; the same call goes on there.
        changes: to `SAMPLE`, by name.
    """
    topology, positions = alanine_dipeptide()
    walkers = simulate_openmm(
        topology, positions=positions, settings=OpenmmSettings(**{**SAMPLE, **changes}), out=folder
    )
    angles = [torsions(walker.positions, np.array([PHI, PSI])) for walker in walkers]
    some = [centre(walker[::STRUCTURE_EVERY]).positions for walker in walkers]
    first = walkers[0]
    about = {key: value for key, value in first.provenance.items() if key != "walker"}
    with replacing(Path(out)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            torsions=np.rint(np.array(angles) / TORSION_STEP).astype(np.int16),
            structures=np.rint(np.array(some) / POSITION_STEP).astype(np.int16),
            structure_every=STRUCTURE_EVERY,
            atomic_numbers=first.atomic_numbers,
            masses=first.masses,
            bonds=np.asarray(first.bonds),
            dt_fs=first.dt_fs,
            provenance=json.dumps(about | {"command": "python -m asteroid_nb.data.dipeptide"}),
        )
    return Path(out)


def read_sample(path: str | Path, *, about: Mapping[str, Any] | None = None) -> list[Coordinates]:
    """Return what `make_sample` wrote: φ and ψ of each walker, with structures of the whole molecule.

    Args:
        about: added to the provenance.

    Raises:
        UnreadableFile: no such file, or another.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            held = {key: stored[key] for key in KEPT}
            angles = held["torsions"] * TORSION_STEP
            places = (held["structures"] * POSITION_STEP).astype(np.float32)
            record = json.loads(str(held["provenance"]))
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise UnreadableFile(f"{path} holds no sample of the dipeptide ({error!r}). Copy or make it again.") from error
    return [
        _walker(number, *pair, held, {**record, **(about or {}), "walker": number})
        for number, pair in enumerate(zip(angles, places, strict=True))
    ]


def _walker(
    number: int, angles: np.ndarray, places: np.ndarray, held: Mapping[str, np.ndarray], provenance: dict[str, Any]
) -> Coordinates:
    name, dt_fs, every = f"alanine dipeptide {number}", float(held["dt_fs"]), int(held["structure_every"])
    molecule: dict[str, Any] = {key: held[key] for key in ("atomic_numbers", "masses", "bonds")}
    structures = Trajectory(positions=places, dt_fs=dt_fs * every, name=name, provenance=provenance, **molecule)
    return Coordinates(
        values=angles,
        dt_fs=dt_fs,
        names=("φ", "ψ"),
        periodic=True,
        name=name,
        provenance=provenance,
        structures=structures,
        structure_every=every,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Simulate alanine dipeptide as for the bundled sample, resumable.")
    parser.add_argument("--out", type=Path, default=Path("runs/alanine-dipeptide"), help="keeps what is finished")
    parser.add_argument("--walkers", type=int, default=SAMPLE["n_walkers"])
    parser.add_argument("--frames", type=int, default=SAMPLE["n_frames"], help="per walker, 1 ps apart")
    options = parser.parse_args(arguments)
    path = options.out / "alanine-dipeptide.npz"
    print(make_sample(path, folder=options.out, n_walkers=options.walkers, n_frames=options.frames))


if __name__ == "__main__":
    main()
