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
from asteroid_nb.bench.forecasts.speed import fast_enough, times_xtb, xtb_fs_per_s
from asteroid_nb.bench.sources import Source
from asteroid_nb.bench.timing import one_thread
from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.splits import Split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.evaluation import evaluate
from asteroid_nb.files import replacing
from asteroid_nb.finding import Finding, Rule, spread, write
from asteroid_nb.forecast.baselines import rivals
from asteroid_nb.forecast.newton import LearnedNewton, NewtonSkip
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.run import Run
from asteroid_nb.rolling import chains

#: One token for each atom, and one slot for all 20 frames ahead: the fastest make of the model that still attends.
FAST = {"skip": "ridge", "delay_frames": 10, "slot_frames": 20, "width": 64, "encoder_layers": 1, "decoder_layers": 1}

#: What the potential writes: chains, fs, kelvin.
N_CHAINS, LENGTH_FS, KELVIN = 64, 10_000.0, 500.0

#: Windows forecast together when timed, as in the bench of speed, and how often.
AT_ONCE, ROUNDS = 256, 5

HEAD = ("forecaster", "ADE, Å", "FDE, Å", "fs/s of one core", "beside GFN2-xTB")

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


def errors(forecaster: Any, parts: Split) -> dict[str, float]:
    table = evaluate({"it": forecaster}, parts.test, most=TEST_WINDOWS)
    return {"ade_ang": table.ade("it"), "fde_ang": table.fde("it")}


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """Return what a JSON file holds, made and written where there is none."""
    if not path.is_file():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def trained(parts: Split, folder: Path, seed: int, options: argparse.Namespace) -> Run:
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
    return run


def finding(source: Source, options: argparse.Namespace) -> Finding:
    if len(source.trajectories()) < 3:
        raise SystemExit(f"{source.name} is fewer than three trajectories: nothing would be kept from what learns.")
    folder = _folder(source, options)
    parts = PROTOCOLS["P3"].parts(source.trajectories())
    potential, written = taught(source, folder, options.potential)
    others = [*rivals(parts.train, parts.validation), LearnedNewton(potential, horizon=parts.test.shape.horizon)]
    others[-1].name = "the potential that wrote"
    off = {one.name: [kept(folder / f"{one.name}.json", lambda one=one: errors(one, parts))] for one in others}
    alike = {one.name: [one] for one in others}
    for arm, frames in zip(ARMS, ([], written), strict=True):
        learnt, places = learnt_from(parts, frames), [folder / f"{arm}-{seed}" for seed in range(options.seeds)]
        off[arm] = [
            kept(
                place.with_name(f"{place.name}.json"),
                lambda place=place, seed=seed, learnt=learnt: errors(trained(learnt, place, seed, options), parts),
            )
            for seed, place in enumerate(places)
        ]
        alike[arm] = [Run.load(place) for place in places]
    return table(source, off, *timed(alike, parts), options)


def _folder(source: Source, options: argparse.Namespace) -> Path:
    """Return where what is finished for these data and options is kept."""
    said = "".join(letter if letter.isalnum() else "-" for letter in source.name)
    chosen = (source.fingerprint, FAST, N_CHAINS, LENGTH_FS, KELVIN, NEWTON_STEPS, str(options.potential))
    chosen = (*chosen, options.epochs, options.windows, options.batch)
    folder = options.folder / f"{said}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def table(
    source: Source,
    off: dict[str, list[dict[str, float]]],
    rates: dict[str, float],
    xtb: float | None,
    options: argparse.Namespace,
) -> Finding:
    return Finding(
        key="D",
        title=f"{source.name}: 100 fs ahead in one step",
        head=HEAD,
        rows=[
            *(_row(name, off[name], each, xtb) for name, each in rates.items()),
            ("GFN2-xTB dynamics", "–", "–", f"{xtb:,.1f}" if xtb else "–", "1 ×"),
        ],
        rules=[rule for arm in ARMS for rule in (_below(arm, off), fast_enough(arm, rates[arm], xtb))],
        note=f"Protocol P3, {AT_ONCE} windows together on one core. "
        + "; ".join(f'"{name}" {words}' for name, words in ARMS.items())
        + f", {N_CHAINS} chains of {LENGTH_FS / 1000:g} ps at {KELVIN:g} K. {options.epochs} epochs of "
        f"{options.windows:,} windows, {options.seeds} seed(s), of which the first is timed. All are timed "
        f"{ROUNDS} times, one after the other, and each counts by its fastest, GFN2-xTB dynamics, too.",
    )


def timed(alike: dict[str, list[Any]], parts: Split) -> tuple[dict[str, float], float | None]:
    """Return fs of trajectory in a second, of forecasters by name and of GFN2-xTB dynamics, None if not installed.

    Each is timed in every round, because a shared machine is now faster and now slower, and counts by its fastest.
    """
    rounds, xtb = [], []
    for _ in range(ROUNDS):
        xtb.append(xtb_fs_per_s(parts.test.trajectories[-1]))
        rounds.append({name: fs_per_s(one, parts.test, at_once=AT_ONCE) for name, (one, *_) in alike.items()})
    fastest = {name: max(one[name] for one in rounds) for name in alike}
    return fastest, max((one for one in xtb if one is not None), default=None)


def _below(arm: str, off: dict[str, list[dict[str, float]]]) -> Rule:
    """Return whether every seed is nearer the truth than each ridge map, over the horizon and at its end."""
    keys = ("ade_ang", "fde_ang")
    ours = {key: max(one[key] for one in off[arm]) for key in keys}
    best = {key: min(one[key] for name, each in off.items() if "ridge" in name for one in each) for key in keys}
    return Rule(
        asked=f"{arm}: ADE and FDE below every ridge's, for every seed",
        measured=" / ".join(f"{ours[key]:.4f} against {best[key]:.4f}" for key in keys) + " Å",
        holds=all(ours[key] < best[key] for key in keys),
    )


def _row(name: str, off: list[dict[str, float]], rate: float, xtb: float | None) -> tuple[str, ...]:
    far = ([one[key] for one in off] for key in ("ade_ang", "fde_ang"))
    words = (spread(each, 4) if len(each) > 1 else f"{each[0]:.4f}" for each in far)
    return name, *words, f"{rate:,.0f}", times_xtb(rate, xtb)


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
