"""The table behind `catalogue`: addresses, spacings, elements, citations and licences of the data sets it knows."""

from __future__ import annotations

from dataclasses import dataclass

from asteroid_nb import units
from asteroid_nb.data import mdshare

GDML = ("http://www.quantum-machine.org/gdml/data/npz/", "http://www.quantum-machine.org/gdml/repo/datasets/")
FIGSHARE_RMD17 = "https://figshare.com/ndownloader/files/23950376"
MDSHARE = "http://ftp.imp.fu-berlin.de/pub/cmb-data/"

DT_MD17_FS = 0.5

MD17 = {
    "aspirin": "C9H8O4", "benzene2017": "C6H6", "ethanol": "C2H6O", "malonaldehyde": "C3H4O2", "naphthalene": "C10H8",
    "salicylic": "C7H6O3", "toluene": "C7H8", "uracil": "C4H4N2O2",
}  # fmt: skip
RMD17 = {key: value for key, value in MD17.items() if key != "benzene2017"} | {
    "benzene": "C6H6", "azobenzene": "C12H10N2", "paracetamol": "C8H9NO2",
}  # fmt: skip
MD22_ATOMS = {
    "Ac-Ala3-NHMe": 42, "DHA": 56, "stachyose": 87, "AT-AT": 60, "AT-AT-CG-CG": 118, "buckyball-catcher": 148,
    "double-walled_nanotube": 370,
}  # fmt: skip

CITATIONS = {
    "bundled": "made by this package with GFN2-xTB (Bannwarth, Ehlert & Grimme 2019, doi:10.1021/acs.jctc.8b01176)",
    "MD17": "Chmiela et al. 2017, doi:10.1126/sciadv.1603015",
    "rMD17": "Christensen & von Lilienfeld 2020, doi:10.1088/2632-2153/abba6f; figshare 12672038",
    "MD22": "Chmiela et al. 2023, doi:10.1126/sciadv.adf0873",
    "mdshare": "Nüske et al. 2017, doi:10.1063/1.4976518; Wehmeyer & Noé 2018, doi:10.1063/1.5011399",
}
#: φ and ψ of a bundled simulation; `asteroid_nb.data.dipeptide` makes and reads it.
DIPEPTIDE = "alanine-dipeptide"
DIPEPTIDE_CITATION = (
    "made by this package with OpenMM (Eastman et al. 2024, doi:10.1021/acs.jpcb.3c06662), AMBER ff99SB-ILDN "
    "(Lindorff-Larsen et al. 2010, doi:10.1002/prot.22711) and OBC2 (Onufriev, Bashford & Case 2004, "
    "doi:10.1002/prot.20033)"
)
LICENCES = {
    "bundled": "MIT",
    "MD17": "no formal licence; cite the paper",
    "rMD17": "as stated at figshare item 12672038; cite the paper",
    "MD22": "no formal licence; cite the paper",
    "mdshare": "CC BY 4.0",
}


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One named data set and what must be true of it.

    Args:
        urls: tried in turn; none for a bundled one.
        dt_fs: between rows, None where rows are unevenly spaced.
        formula: its elements, or ``n_atoms`` where only their number is checked.
        member: the file inside an archive.
        known_hash: as Pooch writes it, where one is published.
        holds: what a row is, where it is no molecule of ``formula`` or ``n_atoms``.
        cites: instead of the citation of its family.
    """

    name: str
    family: str
    file: str
    dt_fs: float | None
    urls: tuple[str, ...] = ()
    formula: str = ""
    n_atoms: int = 0
    member: str = ""
    known_hash: str | None = None
    note: str = ""
    holds: str = ""
    cites: str = ""

    @property
    def citation(self) -> str:
        return self.cites or CITATIONS[self.family]

    @property
    def licence(self) -> str:
        return LICENCES[self.family]


def _all() -> dict[str, DataSet]:
    bundled = [
        DataSet(
            name=name,
            family="bundled",
            file=f"{name}.npz",
            dt_fs=1.0,
            formula=MD17[name],
            note="GFN2-xTB, 500 K, 6 walkers",
        )
        for name in ("ethanol", "malonaldehyde")
    ]
    bundled.append(
        DataSet(
            name=DIPEPTIDE, family="bundled", file=f"{DIPEPTIDE}.npz", dt_fs=units.FS_PER_PS,
            holds="φ and ψ, structures of 22 atoms every 50 ps", cites=DIPEPTIDE_CITATION,
            note="AMBER ff99SB-ILDN with OBC2, 450 K, 10 walkers of 20 ns",
        )
    )  # fmt: skip
    md17 = [
        DataSet(
            name=f"md17-{name}", family="MD17", file=f"md17_{name}.npz", dt_fs=DT_MD17_FS, formula=formula,
            urls=tuple(base + f"md17_{name}.npz" for base in GDML), note="PBE+vdW-TS, 500 K, one long run",
        )
        for name, formula in MD17.items()
    ]  # fmt: skip
    rmd17 = [
        DataSet(
            name=f"rmd17-{name}", family="rMD17", file="rmd17.tar.bz2", dt_fs=None, formula=formula,
            urls=(FIGSHARE_RMD17,), member=f"rmd17_{name}.npz",
            note="PBE/def2-SVP, 100,000 frames drawn from MD17 and shuffled",
        )
        for name, formula in RMD17.items()
    ]  # fmt: skip
    md22 = [
        DataSet(
            name=f"md22-{name}", family="MD22", file=f"md22_{name}.npz", dt_fs=1.0, n_atoms=n_atoms,
            urls=tuple(base + f"md22_{name}.npz" for base in GDML), note="PBE+MBD, 400 to 500 K",
        )
        for name, n_atoms in MD22_ATOMS.items()
    ]  # fmt: skip
    return {one.name.lower(): one for one in (*bundled, *md17, *rmd17, *md22, *_mdshare())}


def _mdshare() -> list[DataSet]:
    stem = "alanine-dipeptide-3x250ns-"
    note = "AMBER ff99SB-ILDN in TIP3P water, 300 K, 3 runs of 250 ns"
    kinds = {
        "positions": ("heavy-atom-positions", "md5:55bd66fe4ee49849dead7faf6bf8b71e", 10),
        "dihedrals": ("backbone-dihedrals", "md5:3fa7c72ba512213a3860f9691602cdc7", 0),
    }
    return [
        DataSet(
            name=f"ala2-{kind}", family="mdshare", file=f"{stem}{what}.npz", dt_fs=mdshare.DT_FS, n_atoms=n_atoms,
            urls=(f"{MDSHARE}{stem}{what}.npz",), known_hash=known, note=note, holds="" if n_atoms else "φ and ψ",
        )
        for kind, (what, known, n_atoms) in kinds.items()
    ]  # fmt: skip


CATALOGUE = _all()
