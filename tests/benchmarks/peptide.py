"""A peptide of 94 atoms from files to forecasts: what is forecastable 100 ps ahead, and what is not.

OMP_NUM_THREADS=1 python tests/benchmarks/peptide.py job*-protein.xtc --top init-ww-penta.pdb
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import asteroid_nb as anb
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.finding import Finding, Rule, write
from asteroid_nb.forecast.settings import preset
from asteroid_nb.rare_events.cores import purest_cores
from asteroid_nb.states import discretise
from asteroid_nb.states.discretise import Partition
from asteroid_nb.states.projection import tica
from asteroid_nb.states.timescales import bayesian_band, implied_timescales, plateau_lag

#: In frames.
LAGS = (1, 2, 5, 10, 20, 50, 100)

#: Frames seen and forecast: beyond some frames nothing is left to see.
HISTORY, HORIZON = 8, 8

NS_FS = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", type=Path, help="one run each; the last is for testing")
    parser.add_argument("--top", required=True, type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--windows-per-epoch", type=int, default=2048)
    parser.add_argument("--seeds", type=int, default=3, help="of the language model")
    parser.add_argument("--out", type=Path, default=Path("tests/benchmarks/results"))
    options = parser.parse_args()
    runs = [one for one in anb.load(sorted(options.files), top=options.top) if isinstance(one, anb.Trajectory)]
    first = runs[0]
    print(anb.check(first))
    findings = [states(runs, options.seeds), coordinates(runs, options.epochs, options.windows_per_epoch)]
    about = (
        f"{len(runs)} runs of {first.n_frames:,} frames, {first.n_atoms} atoms, every {first.dt_fs / 1e3:g} ps "
        "(pentapeptide WLALL, Scherer et al. 2015, doi:10.1021/acs.jctc.5b00743)."
    )
    told = f"*.xtc --top {options.top.name} --epochs {options.epochs}"
    told += f" --windows-per-epoch {options.windows_per_epoch} --seeds {options.seeds}"
    print(write(options.out, "peptide", findings, command=f"python tests/benchmarks/peptide.py {told}", about=about))


def coordinates(runs: Sequence[anb.Trajectory], n_epochs: int, windows_per_epoch: int) -> Finding:
    """Can coordinates be forecast? Not where frames are as far apart as these."""
    began = time.perf_counter()
    settings = preset("notebook", history=HISTORY, horizon=HORIZON, row_stride=1, slot_frames=HORIZON)
    told = {"n_epochs": n_epochs, "windows_per_epoch": windows_per_epoch}
    run = anb.train(runs, settings=settings, **told, device="cpu", observers=())
    seconds = time.perf_counter() - began
    assert run.split is not None
    rivals = anb.rivals(run.split.train.thinned(4), run.split.validation)
    table = anb.evaluate([run, *rivals], run.split.test, most=500)
    usual = table.rmse("mean of history")
    head = ("forecaster", *(f"{lead / 1e3:g} ps" for lead in table.lead_times_fs[[0, 1, 3, -1]]), "of the mean's error")
    rows = [
        (
            name,
            *(f"{value:.2f}" for value in table.rmse(name)[[0, 1, 3, -1]]),
            f"{(table.rmse(name) / usual).mean():.2f}",
        )
        for name in table.names
    ]
    gain = 1 - float((table.rmse(run.name) / usual).mean())
    low = min(float((table.rmse(name) / usual).mean()) for name in table.names)
    rules = [
        Rule(asked="how much better than the mean of what was seen", measured=f"{gain:.0%}", holds=None),
        Rule(asked="the best of all", measured=f"{1 - low:.0%} better than that mean", holds=None),
        Rule(asked="training, seconds", measured=f"{seconds:.0f}", holds=None),
    ]
    return Finding(
        key="B", title="Can its coordinates be forecast?", head=head, rows=rows, rules=rules,
        note="RMSE per coordinate in Å, on a run that was never learnt from. Vibrations last 10 to 100 fs: at this "
        "spacing nothing of them is left, and a forecast of coordinates can only tell the mean shape.",
    )  # fmt: skip


def states(runs: Sequence[anb.Trajectory], n_seeds: int) -> Finding:
    """Can its states be forecast? They last for nanoseconds."""
    torsions = [anb.backbone_torsions(run) for run in runs]
    projection = tica(torsions[:-1], lag_frames=5, n_dimensions=4)
    looked_at = [projection.apply(one) for one in torsions]
    fine = discretise.kmeans(looked_at[:-1], 100)
    assigned = [fine.assign(one) for one in looked_at]
    lag = plateau_lag(implied_timescales(assigned, lags_frames=LAGS, n_modes=2), tolerance=0.25)
    mean, low, high = bayesian_band(assigned, lag_frames=lag)
    paths, sets_lag = _core_paths(fine, looked_at)
    slowest = lambda several: float(implied_timescales(several, lags_frames=[lag], n_modes=1).timescales_fs[0, 0])  # noqa: E731
    rows = [("MD, core states", f"{slowest(paths) / NS_FS:.1f}")]
    found = []
    for seed in range(n_seeds):
        model = anb.train_language(paths[:-2], validation=paths[-2], seed=seed, device="cpu", observers=())
        found.append(slowest(model.trajectories(paths[0].n_frames, seed=seed)) / NS_FS)
        rows.append((f"LSTM, seed {seed}", f"{found[-1]:.1f}"))
    mean, low, high, middle = (value / NS_FS for value in (mean, low, high, NS_FS * float(np.mean(found))))
    band = f"{mean:.1f} ({low:.1f} to {high:.1f}) ns at a lag of {lag * runs[0].dt_fs / NS_FS:g} ns"
    rule = Rule(asked="the slowest timescale inside the Bayesian 90 % band, or within 25 % of its mean",
                measured=f"{middle:.1f} ns (mean of {n_seeds} seeds), reference {band}",
                holds=low <= middle <= high or abs(middle / mean - 1) <= 0.25)  # fmt: skip
    return Finding(
        key="A", title="Can its states be forecast?", head=("who", "slowest timescale, ns"), rows=rows, rules=[rule],
        note="φ and ψ from the same coordinates, four TICA components, 100 k-means states, core sets of the three "
        f"metastable ones at a lag of {sets_lag} frames, the shortest at which each has one; the last two runs are not "
        "learnt from.",
    )  # fmt: skip


def _core_paths(fine: Partition, looked_at: Sequence[Any]) -> tuple[list[anb.StateTrajectory], int]:
    """Return core states, and the shortest lag at which every set has a core that every run enters."""
    for lag in LAGS:
        try:
            return discretise.core_states(purest_cores(fine, looked_at[:-1], lag_frames=lag, n_sets=3), looked_at), lag
        except InvalidTrajectory as error:
            print(f"no cores at a lag of {lag} frames: {error}")
    raise SystemExit("No lag gives three core sets.")


if __name__ == "__main__":
    main()
