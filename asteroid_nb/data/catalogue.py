"""Named data sets: the bundled samples, and the public ones with their addresses, units, spacings and citations."""

from __future__ import annotations

import collections
import difflib
import shutil
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from asteroid_nb.data import dipeptide, downloads, mdshare, readers
from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.data_sets import CATALOGUE, DIPEPTIDE, DT_MD17_FS, DataSet
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import UnknownName, UnreadableFile
from asteroid_nb.files import replacing

SAMPLES = Path(__file__).parent / "samples"


def names() -> list[str]:
    """Return every name that `load_named` knows."""
    return [one.name for one in CATALOGUE.values()]


def find(name: str) -> DataSet:
    """Return the data set of that name, upper or lower case.

    Raises:
        UnknownName: with the names nearest to it.
    """
    if (found := CATALOGUE.get(name.lower())) is not None:
        return found
    near = difflib.get_close_matches(name.lower(), list(CATALOGUE), n=4, cutoff=0.4)
    hint = f"Did you mean {', '.join(CATALOGUE[key].name for key in near)}? " if near else ""
    raise UnknownName(
        f"There is no data set {name!r}. {hint}asteroid_nb.data.catalogue.names() lists all {len(CATALOGUE)}."
    )


def describe(name: str) -> str:
    """Return a few lines on a data set: what it is, its spacing, where it comes from, how to cite it."""
    one = find(name)
    spacing = "unevenly spaced" if one.dt_fs is None else f"every {one.dt_fs:g} fs"
    atoms = one.holds or one.formula or f"{one.n_atoms} atoms"
    source = "bundled" if not one.urls else one.urls[0]
    return (
        f"{one.name} ({one.family}): {atoms}, {spacing}. {one.note}.\n"
        f"Source: {source}\nCite: {one.citation}\nLicence: {one.licence}"
    )


def load_named(name: str, **options: Any) -> list[Trajectory] | Trajectory | list[Coordinates]:
    """Return a bundled sample, or download a data set; options go to `download`."""
    return sample(name) if find(name).family == "bundled" else download(name, **options)


@overload
def sample(name: Literal["alanine-dipeptide"]) -> list[Coordinates]: ...


@overload
def sample(name: str = "ethanol") -> list[Trajectory]: ...


def sample(name: str = "ethanol") -> list[Trajectory] | list[Coordinates]:
    """Return the walkers of a bundled sample.

    "ethanol" and "malonaldehyde" give one `Trajectory` each; "alanine-dipeptide" gives one `Coordinates` each, φ and ψ
    in rad with some structures, from which states are made.

    Raises:
        UnknownName: no sample is bundled under that name.
    """
    one = find(name)
    if one.family != "bundled":
        raise UnknownName(f"{one.name} is not bundled. Use download({one.name!r}), or sample('ethanol').")
    if one.name == DIPEPTIDE:
        return dipeptide.read_sample(SAMPLES / one.file, about={"citation": one.citation, "licence": one.licence})
    walkers = readers.load(SAMPLES / one.file)
    assert isinstance(walkers, list)
    return walkers


def download(
    name: str,
    *,
    cache: str | Path | None = None,
    base_url: str | None = None,
    progress: bool = True,
    timeouts_s: tuple[float, float] = downloads.TIMEOUTS_S,
) -> list[Trajectory] | Trajectory | list[Coordinates]:
    """Return a public data set, fetched once into the cache.

    MD17, rMD17 and MD22 are one `Trajectory`; "ala2-positions" is one per run; "ala2-dihedrals" is one `Coordinates`
    per run, φ and ψ in rad.

    Args:
        base_url: a mirror that holds the same file name.
        timeouts_s: for a connection, and for the next bytes.

    Raises:
        UnknownName: no such data set, or one that is bundled.
        DownloadFailed: no network, an error page, or a file that is not the data set; says where to put it by hand.
        Interrupted: stopped; what came is continued next time.
        UnreadableFile: the file in the cache is damaged.
    """
    one = find(name)
    if one.family == "bundled":
        raise UnknownName(f"{one.name} is bundled with the package: use sample({one.name!r}).")
    folder = downloads.cache_folder(cache)
    if one.member and (folder / one.member).exists():
        return _read(one, folder / one.member)
    urls = one.urls if base_url is None else (f"{base_url.rstrip('/')}/{one.file}",)
    path = downloads.fetch(
        urls,
        folder / one.file,
        check=partial(_check, one),
        known_hash=one.known_hash,
        progress=progress,
        timeouts_s=timeouts_s,
    )
    return _read(one, _extracted(path, one.member) if one.member else path)


def _check(one: DataSet, path: Path) -> None:
    """Raise unless the file is what the catalogue says."""
    if one.member:
        _check_archive(path)
    else:
        _read(one, path)


def _check_archive(path: Path) -> None:
    with open(path, "rb") as file:
        start = file.read(3)
    if start != b"BZh":
        raise UnreadableFile(f"{path.name} is no bzip2 archive.")


def _extracted(archive: Path, member: str) -> Path:
    """Return one file of an archive, copied out beside it.

    Raises:
        UnreadableFile: the archive is damaged or lacks the file.
    """
    path = archive.parent / member
    try:
        with tarfile.open(archive) as tar:
            for entry in tar:
                source = tar.extractfile(entry) if Path(entry.name).name == member else None
                if source is not None:
                    with replacing(path) as temporary, open(temporary, "wb") as target:
                        shutil.copyfileobj(source, target)
                    return path
    except (tarfile.TarError, EOFError) as error:
        raise UnreadableFile(f"{archive} is damaged ({error}). Delete it and run again to fetch it anew.") from error
    raise UnreadableFile(f"{archive} holds no {member}. Delete it and run again to fetch it anew.")


def _read(one: DataSet, path: Path) -> list[Trajectory] | Trajectory | list[Coordinates]:
    """Return what a file holds, units and elements checked against the catalogue."""
    about = {
        "data_set": one.name,
        "source": one.urls[0],
        "citation": one.citation,
        "licence": one.licence,
        "note": one.note,
    }
    if one.name == "ala2-dihedrals":
        return mdshare.torsions(path, name=one.name, provenance=about)
    if one.name == "ala2-positions":
        return mdshare.positions(path, name=one.name, provenance=about)
    _whole_archive(path)
    dt_fs = one.dt_fs or _mean_spacing_fs(path)
    found = readers.load(path, dt_fs=dt_fs, name=one.name)
    if isinstance(found, list) or found.forces is None or found.energies is None:
        raise UnreadableFile(f"{path.name} is not one trajectory with forces and energies. Fetch it again.")
    _expect_atoms(one, found, path)
    return found.replace(provenance={**found.provenance, **about})


def _whole_archive(path: Path) -> None:
    """Raise unless the table at the end of the zip is there; NumPy leaves the file open when it is not."""
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise UnreadableFile(f"{path} is no complete .npz archive. Delete it and run again to fetch it anew.")


def _mean_spacing_fs(path: Path) -> float:
    """Return how far apart the frames that rMD17 chose from MD17 are on average."""
    with np.load(path, allow_pickle=False) as stored:
        old_indices = stored["old_indices"] if "old_indices" in stored.files else np.arange(2)
    return DT_MD17_FS * float(np.ptp(old_indices)) / max(1, len(old_indices) - 1)


def _expect_atoms(one: DataSet, trajectory: Trajectory, path: Path) -> None:
    symbols = collections.Counter(trajectory.symbols)
    formula = "".join(f"{key}{count if count > 1 else ''}" for key, count in sorted(symbols.items()))
    if (one.formula and formula != one.formula) or (one.n_atoms and trajectory.n_atoms != one.n_atoms):
        raise UnreadableFile(
            f"{path.name} holds {formula} ({trajectory.n_atoms} atoms), "
            f"{one.name} is {one.formula or f'{one.n_atoms} atoms'}."
        )
