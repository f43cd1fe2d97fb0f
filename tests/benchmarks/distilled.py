"""A small, fast network taught by a learned potential: what it forecasts, how fast, and what it learns without.

    OMP_NUM_THREADS=1 python tests/benchmarks/distilled.py --data 'ethanol, sGDML surrogate=ethanol_sgdml_500K.npz'

Add --potential RUN to take the potential of a run of protocol F1 on the same data instead of learning one.

The potential is learnt from the training walkers alone. Chained from their frames, a thermostat on, it writes more
trajectory than they hold, and a network that starts from a ridge map learns from both. The last walker judges, the one
before it chooses. What is finished is kept by data and options, and not made again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import asteroid_nb as anb
from asteroid_nb.bench.forecasts.arms import NEWTON_STEPS, TEST_WINDOWS
from asteroid_nb.bench.forecasts.narrow import kept_potential
from asteroid_nb.bench.forecasts.price import fs_per_s
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS
from asteroid_nb.bench.sources import Source
from asteroid_nb.bench.timing import one_thread
from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.splits import Split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.evaluation import evaluate
from asteroid_nb.files import replacing
from asteroid_nb.finding import Finding, spread, write
from asteroid_nb.forecast.baselines import rivals
from asteroid_nb.forecast.newton import LearnedNewton, NewtonSkip
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.run import Run
from asteroid_nb.rolling import chains

#: One token for each atom, and one slot for all 20 frames ahead: the fastest make of the model that still attends.
FAST = {"skip": "ridge", "delay_frames": 10, "slot_frames": 20, "width": 64, "encoder_layers": 1, "decoder_layers": 1}

#: What the potential writes: chains, fs, kelvin.
N_CHAINS, LENGTH_FS, KELVIN = 64, 10_000.0, 500.0

#: Windows forecast together when timed, as in the bench of speed.
AT_ONCE = 256

HEAD = ("forecaster", "ADE, Å", "FDE, Å", "fs/s of one core")

ARMS = {
    "fast, real walkers": "learns from the training walkers",
    "fast, taught": "learns from these and from what the potential wrote",
}


def taught(source: Source, folder: Path, run: Path | None) -> tuple[Potential, list[Trajectory]]:
    """Return a potential learnt from frames 1 fs apart, and what it writes from frames of the training walkers."""
    parts = PROTOCOLS["F1"].parts(source.trajectories())
    potential, like, path = learnt_potential(parts, folder, run), parts.train, folder / "written.npy"
    if not path.is_file():
        newton = LearnedNewton(potential, horizon=like.shape.horizon)
        n_blocks = round(LENGTH_FS / (like.shape.horizon * like.dt_fs))
        held = anb.Thermostat(temperature_K=KELVIN)
        paths = chains(newton, like, n_starts=N_CHAINS, n_blocks=n_blocks, thermostat=held)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.save(file, np.stack(paths).astype(np.float32))
    make = functools.partial(Trajectory, name="written by the potential", check_distances=False)
    one = like.trajectories[0]
    return potential, [
        make(path, one.atomic_numbers, like.dt_fs, masses=one.masses, bonds=one.bonds)
        for path in np.load(path, mmap_mode="r")
    ]


def learnt_potential(parts: Split, folder: Path, run: Path | None) -> Potential:
    if run is not None:
        skip = Run.load(run).model.skip
        if not isinstance(skip, NewtonSkip):
            raise SystemExit(f"{run} does not start from a learned potential. Name another run, or none.")
        return skip.potential
    return kept_potential(folder, parts)


def learnt_from(parts: Split, written: list[Trajectory]) -> Split:
    """Return the parts with what was written among what is learnt from, all of it a frame of the protocol apart."""
    stride = parts.train.shape.stride_frames
    real = [parts.train.trajectories[number] for number in np.unique(parts.train.starts[:, 0])]
    learnt = [walker[first::stride] for walker in real for first in range(stride)]
    if written:
        every = round(parts.train.dt_fs / written[0].dt_fs)
        learnt += [one[::every] for one in written]
    shape = WindowShape(history=parts.train.shape.history, horizon=parts.train.shape.horizon)
    return Split(Windows(learnt, shape), parts.validation, parts.test)


def measured(forecaster: Any, parts: Split) -> dict[str, float]:
    table = evaluate({"it": forecaster}, parts.test, most=TEST_WINDOWS)
    speed = fs_per_s(forecaster, parts.test, at_once=AT_ONCE)
    return {"ade_ang": table.ade("it"), "fde_ang": table.fde("it"), "fs_per_s": speed}


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """Return what a JSON file holds, made and written where there is none."""
    if not path.is_file():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def trained(parts: Split, folder: Path, seed: int, options: argparse.Namespace) -> dict[str, float]:
    fitting = {"seed": seed, "n_epochs": options.epochs, "batch_size": options.batch, "device": "cpu"}
    run = anb.train(
        [],
        settings=PROTOCOLS["P3"].settings(**FAST),
        parts=parts,
        windows_per_epoch=options.windows,
        folder=folder,
        resume=(folder / CHECKPOINT_FILE).is_file(),
        **fitting,
    )
    if not run.finished:
        raise SystemExit("Stopped. The same command goes on.")
    return measured(run, parts) | {"n_parameters": float(sum(one.numel() for one in run.model.parameters()))}


def finding(source: Source, options: argparse.Namespace) -> Finding:
    if len(source.trajectories()) < 3:
        raise SystemExit(f"{source.name} is fewer than three trajectories: nothing would be kept from what learns.")
    said = "".join(letter if letter.isalnum() else "-" for letter in source.name)
    chosen = (source.fingerprint, FAST, N_CHAINS, LENGTH_FS, KELVIN, NEWTON_STEPS, str(options.potential))
    chosen = (*chosen, options.epochs, options.windows, options.batch)
    folder = options.folder / f"{said}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = PROTOCOLS["P3"].parts(source.trajectories())
    potential, written = taught(source, folder, options.potential)
    others = [*rivals(parts.train, parts.validation), LearnedNewton(potential, horizon=parts.test.shape.horizon)]
    others[-1].name = "the potential that wrote"
    rows = {one.name: [kept(folder / f"{one.name}.json", lambda one=one: measured(one, parts))] for one in others}
    for arm, frames in {"fast, real walkers": [], "fast, taught": written}.items():
        learnt = learnt_from(parts, frames)
        rows[arm] = [
            kept(
                folder / f"{arm}-{seed}.json",
                lambda seed=seed, arm=arm, learnt=learnt: trained(learnt, folder / f"{arm}-{seed}", seed, options),
            )
            for seed in range(options.seeds)
        ]
    return Finding(
        key="D", title=f"{source.name}: 100 fs ahead in one step", head=HEAD,
        rows=[_row(name, found) for name, found in rows.items()], rules=[],
        note=f"Protocol P3, {AT_ONCE} windows together on one core. "
        + "; ".join(f'"{name}" {words}' for name, words in ARMS.items())
        + f", {len(written)} chains of {LENGTH_FS / 1000:g} ps at {KELVIN:g} K. {options.epochs} epochs of "
        f"{options.windows:,} windows, {options.seeds} seed(s).",
    )  # fmt: skip


def _row(name: str, found: list[dict[str, float]]) -> tuple[str, ...]:
    def listed(key: str, digits: int) -> str:
        values = [one[key] for one in found]
        return spread(values, digits) if len(values) > 1 else f"{values[0]:.{digits}f}"

    return name, listed("ade_ang", 4), listed("fde_ang", 4), listed("fs_per_s", 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", nargs="+", required=True, help="NAME=FILE, as asteroid-nb bench accuracy takes it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--windows", type=int, default=32_768, help="in an epoch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--potential", type=Path, help="run folder of protocol F1, whose potential is taken")
    parser.add_argument("--folder", type=Path, default=Path("runs/distilled"), help="of what is finished")
    parser.add_argument("--out", type=Path, default=Path("tests/benchmarks/results"))
    options = parser.parse_args()
    try:
        with one_thread():
            found = [finding(Source.named(one), options) for one in options.data]
    except KeyboardInterrupt:
        raise SystemExit("Stopped. The same command goes on.") from None
    told = " ".join(shlex.quote(one) for one in options.data)
    told += f" --seeds {options.seeds} --epochs {options.epochs} --windows {options.windows} --batch {options.batch}"
    told += "" if options.potential is None else " --potential RUN"
    command = f"OMP_NUM_THREADS=1 python tests/benchmarks/distilled.py --data {told}"
    print(write(options.out, "distilled", found, command=command))


if __name__ == "__main__":
    main()
