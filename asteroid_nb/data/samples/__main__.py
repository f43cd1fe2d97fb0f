"""Make the bundled samples: ``python -m asteroid_nb.data.samples ethanol malonaldehyde [--work FOLDER]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from asteroid_nb.data.simulate import simulate
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.files import replacing

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


def make(name: str, *, work: Path | None, processes: int) -> Path:
    """Simulate one sample and write it beside this file."""
    walkers = simulate(name, **SETTINGS, seed=SEEDS[name], processes=processes, out=work and work / name)
    path = HOME / f"{name}.npz"
    _write(path, name, walkers)
    print(f"{path}: {path.stat().st_size} bytes, {len(walkers)} walkers × {walkers[0].n_frames} frames")
    return path


def _write(path: Path, name: str, walkers: list[Trajectory]) -> None:
    first = walkers[0]
    arrays = {
        "positions": np.stack([walker.positions for walker in walkers]).astype(np.float32),
        "forces": np.stack([np.asarray(walker.forces) for walker in walkers]).astype(np.float16),
        "energies": np.stack([np.asarray(walker.energies) for walker in walkers]),
        "atomic_numbers": first.atomic_numbers,
        "masses": first.masses,
        "dt_fs": np.array(first.dt_fs),
        "bonds": first.bonds,
        "name": np.array(name),
        "provenance": np.array(json.dumps(_provenance(name, walkers))),
    }
    with replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, **arrays)
        assert handle.tell() <= LARGEST_BYTES, f"{handle.tell()} bytes; lower n_frames"


def _provenance(name: str, walkers: list[Trajectory]) -> dict:
    """Return what all walkers share, and one list per quantity in which they differ."""
    first = dict(walkers[0].provenance)
    own = ("walker", "mean_temperature_K", "total_energy_spread_meV", "total_energy_drift_meV")
    lists = {key: [walker.provenance[key] for walker in walkers] for key in own}
    shared = {key: value for key, value in first.items() if key not in own}
    return (
        shared
        | lists
        | {
            "seeds": [[SEEDS[name], number] for number in range(len(walkers))],
            "rounding": "positions float32 Å, forces float16 eV/Å (relative 5e-4), energies float64 eV",
            "command": f"python -m asteroid_nb.data.samples {name}",
            "licence": "MIT, as this repository",
        }
    )


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
