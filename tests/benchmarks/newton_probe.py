"""Newton's equations with a learned potential: errors by protocol, and chains of 5 ps; the numbers of ``NOTES.md``.

OMP_NUM_THREADS=1 python tests/benchmarks/newton_probe.py ethanol_sgdml_500K.npz --steps 6000
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from asteroid_nb.bench.forecasts.protocols import PROTOCOLS
from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.readers import load
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast.newton import LearnedNewton, velocities_of
from asteroid_nb.forecast.verlet import integrate
from asteroid_nb.metrics.structure import bond_lengths, distance_mae, stability_fs

#: Of the chains: starts, frames, and what is between them.
N_STARTS, N_FRAMES, SPACING_FS = 64, 1000, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="three walkers or more; the last judges, the one before it chooses")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--windows", type=int, default=500)
    options = parser.parse_args()
    walkers = list(load(options.data))
    parts = {name: protocol.parts(walkers) for name, protocol in PROTOCOLS.items()}
    began = time.perf_counter()
    newton = LearnedNewton.fit(parts["F1"].train, parts["F1"].validation, n_steps=options.steps, observers=())
    print(f"learnt in {time.perf_counter() - began:.0f} s")
    for name, protocol in PROTOCOLS.items():
        newton.horizon = protocol.horizon
        table = evaluate(newton, parts[name].test, most=options.windows)
        leads = table.lead_times_fs.tolist()
        errors = ", ".join(
            f"{table.rmse(newton.name)[leads.index(lead)]:.4f} at {lead:g} fs" for lead in protocol.leads_fs
        )
        print(f"{name}: RMSE {errors}; ADE {table.ade(newton.name):.4f}, FDE {table.fde(newton.name):.4f} Å")
    chains(newton, walkers[-1], parts["F1"].test)


def chains(newton: LearnedNewton, truth, windows) -> None:
    """Print how chained forecasts fare."""
    starts = windows.subset(most=N_STARTS)[:]
    began = time.perf_counter()
    speeds = velocities_of(newton.potential, starts.history, dt_fs=starts.dt_fs)
    now = starts.history[:, -1]
    paths = integrate(newton.potential, now, speeds, dt_fs=SPACING_FS, n=N_FRAMES).detach().numpy()
    rate = len(paths) * N_FRAMES * SPACING_FS / (time.perf_counter() - began)
    bonds, known = bonds_of(truth), np.asarray(truth.positions[::20], dtype=float)
    lengths = bond_lengths(known, bonds).mean(0)
    whole = sum(np.isinf(stability_fs(path.astype(float), bonds, lengths, SPACING_FS)) for path in paths)
    off = distance_mae(np.concatenate(list(paths[:, ::5])), known)
    said = f"{whole} of {len(paths)} chains whole over {N_FRAMES * SPACING_FS:g} fs"
    print(f"{said}, h(r) off by {off:.2f}, {rate:.0f} fs/s")


if __name__ == "__main__":
    main()
