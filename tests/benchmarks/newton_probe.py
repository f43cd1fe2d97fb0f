"""Newton's equations with a learned potential: errors by protocol, and chains of 5 ps; the numbers of ``NOTES.md``.

OMP_NUM_THREADS=1 python tests/benchmarks/newton_probe.py ethanol=ethanol_sgdml_500K.npz
"""

from __future__ import annotations

import argparse
import time

import torch

from asteroid_nb.bench.forecasts.arms import USUAL_RIDGES
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS
from asteroid_nb.bench.sources import Source
from asteroid_nb.data.windows import Windows
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast import bent_frames, potential_fit
from asteroid_nb.forecast.baselines import rivals
from asteroid_nb.forecast.newton import LearnedNewton, velocities_of
from asteroid_nb.forecast.verlet import integrate
from asteroid_nb.rolling import judge

#: Of the chains.
N_STARTS, LENGTH_FS = 64, 5000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", help="NAME=FILE, with @DT_FS after it where the file carries no time")
    parser.add_argument("--protocols", nargs="+", default=list(PROTOCOLS))
    parser.add_argument("--steps", type=int, default=potential_fit.N_STEPS, help="on forces")
    parser.add_argument("--path-steps", type=int, default=potential_fit.N_PATH_STEPS, help="on paths")
    parser.add_argument("--step-fs", type=float, default=bent_frames.STEP_FS, help="of differences and of Verlet")
    parser.add_argument("--windows", type=int, default=500)
    options = parser.parse_args()
    bent_frames.STEP_FS = options.step_fs
    walkers = Source.named(options.data).trajectories()
    parts = {name: PROTOCOLS[name].parts(walkers) for name in options.protocols}
    first = parts[options.protocols[0]]
    began = time.perf_counter()
    lengths = {"n_steps": options.steps, "n_path_steps": options.path_steps}
    newton = LearnedNewton.fit(first.train, first.validation, observers=(), **lengths)
    print(f"learnt in {time.perf_counter() - began:.0f} s, in steps of {float(newton.potential.step_fs):g} fs")
    for name, windows in parts.items():
        newton.horizon = PROTOCOLS[name].horizon
        others = [one for one in rivals(windows.train, windows.validation) if one.name in ("copy", *USUAL_RIDGES)]
        table = evaluate([newton, *others], windows.test, most=options.windows)
        leads = table.lead_times_fs.tolist()
        for each in table.names:
            errors = (f"{table.rmse(each)[leads.index(lead)]:.4f} at {lead:g}" for lead in PROTOCOLS[name].leads_fs)
            print(
                f"{name}, {each}: RMSE {', '.join(errors)} fs; ADE {table.ade(each):.4f}, FDE {table.fde(each):.4f} Å"
            )
    chains(newton, first.test)


@torch.no_grad()
def chains(newton: LearnedNewton, windows: Windows) -> None:
    """Print how paths of `LENGTH_FS` fare, each one integration from one velocity."""
    starts = windows.subset(most=N_STARTS)[:]
    began, now, dt_fs = time.perf_counter(), starts.history[:, -1], starts.dt_fs
    speeds = velocities_of(newton.potential, starts.history, dt_fs=dt_fs)
    ahead = integrate(newton.potential, now, speeds, dt_fs=dt_fs, n=round(LENGTH_FS / dt_fs))
    rate = ahead.shape[1] * len(ahead) * dt_fs / (time.perf_counter() - began)
    quality = judge(list(torch.cat([now[:, None], ahead], dim=1).double().numpy()), windows)
    peaks = ", ".join(f"{own:.0f} ({true:.0f})" for true, own in quality.peaks_per_cm)
    print(f"{quality} Peaks (truth) {peaks} 1/cm. {rate:,.0f} fs/s.")


if __name__ == "__main__":
    main()
