"""Make the bundled samples: ``python -m asteroid_nb.data.samples ethanol malonaldehyde [--work FOLDER]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from asteroid_nb.data import readers
from asteroid_nb.data.simulate import simulate
from asteroid_nb.data.trajectory import Trajectory

HOME = Path(__file__).parent
LARGEST_BYTES = 5_000_000

SETTINGS = {
    "method": "GFN2-xTB",
    "temperature_K": 500.0,
    "n_walkers": 6,
    "n_frames": 5300,
    "dt_fs": 1.0,
    "timestep_fs": 0.5,
    "equilibration_fs": 5000.0,
    "friction_per_fs": 0.02,
    "ensemble": "nve",
}
SEEDS = {"ethanol": 1, "malonaldehyde": 2}

NOTES = {
    "ethanol": "hydroxyl and methyl turn on this time scale; every walker keeps its own energy (NVE)",
    "malonaldehyde": "the enol proton sometimes hops to the other oxygen, so the listed O-H bond is not always it; "
    "every walker keeps its own energy (NVE)",
}


def make(name: str, *, work: Path | None, processes: int) -> Path:
    """Simulate one sample and write it beside this file."""
    walkers = simulate(name, **SETTINGS, seed=SEEDS[name], processes=processes, out=work and work / name)
    path = HOME / f"{name}.npz"
    _write(path, name, walkers)
    print(f"{path}: {path.stat().st_size} bytes, {len(walkers)} walkers × {walkers[0].n_frames} frames")
    return path


def _write(path: Path, name: str, walkers: list[Trajectory]) -> None:
    about = {
        "rounding": "positions float32 Å, forces float16 eV/Å (to 5e-4 of the value), energies float64 eV",
        "command": f"python -m asteroid_nb.data.samples {name}",
        "licence": "MIT, as this repository",
        "citation": "GFN2-xTB: Bannwarth, Ehlert & Grimme 2019, doi:10.1021/acs.jctc.8b01176",
        "note": NOTES[name],
    }
    rounded = [
        walker.replace(
            forces=np.asarray(walker.forces).astype(np.float16),
            velocities=None,
            provenance={**walker.provenance, **about},
        )
        for walker in walkers
    ]
    readers.save_walkers(rounded, path)
    assert path.stat().st_size <= LARGEST_BYTES, f"{path.stat().st_size} bytes; lower n_frames"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(SEEDS))
    parser.add_argument("--work", type=Path, help="folder that keeps finished chunks, so that a stopped run continues")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.names:
        make(name, work=arguments.work, processes=arguments.processes)


if __name__ == "__main__":
    main()
