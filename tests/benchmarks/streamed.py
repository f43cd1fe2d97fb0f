"""A trajectory larger than memory, from a stream to a trained model: seconds, and the most memory each step held.

OMP_NUM_THREADS=1 python tests/benchmarks/streamed.py --gigabytes 20
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import asteroid_nb as anb
from asteroid_nb.bench.forecasts.boxes import VOLUME_ANG3, rotations
from asteroid_nb.bench.forecasts.footprint import GIB, peak_bytes
from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.formats_mapped import PIECE_BYTES
from asteroid_nb.finding import Finding, Rule, write

#: Resident, of every step.
MOST_BYTES = 2e9

ABOUT = (
    "Copies of the bundled ethanol on a lattice, each turned at random and going to and fro along a bundled walker: "
    "real motion within a molecule, none between them, made as it is written. Only cost is measured here. Each step "
    "runs in a process of its own; memory is the most it had resident (VmHWM), libraries included."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="of positions")
    parser.add_argument("--copies", type=int, default=111, help="of ethanol in the box")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--windows-per-epoch", type=int, default=256)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/streamed"), help="folder of the large file, removed after"
    )
    parser.add_argument("--out", type=Path, default=Path("tests/benchmarks/results"))
    options = parser.parse_args()
    path, folder = options.work / "box.safetensors", options.work / "run"
    n_frames = int(options.gigabytes * 1e9 / (options.copies * 9 * 12))
    steps = {
        "convert (made as it is written)": (converted, path, options.copies, n_frames),
        "load and check": (checked, path),
        "train": (trained, path, folder, options.epochs, options.windows_per_epoch),
        "forecast and compare": (compared, path, folder),
    }
    rows, worst = [], 0.0
    for name, (work, *arguments) in steps.items():
        seconds, peak, said = _apart(work, *arguments)
        print(f"{name}: {seconds:.0f} s, {peak / 1e9:.2f} GB, {said}", flush=True)
        rows.append((name, f"{seconds:.0f}", f"{peak / 1e9:.2f}", said))
        worst = max(worst, peak)
    size = path.stat().st_size
    path.unlink()
    rule = Rule(asked="a 20 GB trajectory, at most 2 GB resident", holds=worst <= MOST_BYTES and size >= 20e9,
                measured=f"{size / 1e9:.1f} GB, {worst / 1e9:.2f} GB")  # fmt: skip
    head = ("step", "seconds", "most memory, GB", "what came out")
    finding = Finding(key="M", title="Does a trajectory larger than memory train?", head=head, rows=rows, rules=[rule],
                      note=f"{options.copies * 9} atoms, {n_frames:,} frames of 1 fs. {ABOUT}")  # fmt: skip
    told = f"--gigabytes {options.gigabytes:g} --copies {options.copies} --epochs {options.epochs}"
    told += f" --windows-per-epoch {options.windows_per_epoch}"
    command = f"OMP_NUM_THREADS=1 python tests/benchmarks/streamed.py {told}"
    print(write(options.out, "streamed", [finding], command=command))


def _apart(work: Callable[..., str], *arguments: Any) -> tuple[float, float, str]:
    """Return seconds, bytes and what was said, by a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, *arguments).result()


def _measured(work: Callable[..., str], *arguments: Any) -> tuple[float, float, str]:
    began = time.perf_counter()
    said = work(*arguments)
    return time.perf_counter() - began, peak_bytes(), said


def converted(path: Path, n_copies: int, n_frames: int) -> str:
    anb.convert(moving_box(n_copies, n_frames), path)
    return f"{path.stat().st_size / GIB:.1f} GiB"


def moving_box(n_copies: int, n_frames: int) -> Iterator[anb.Trajectory]:
    """Yield a box of ethanol in pieces: each copy goes to and fro along a bundled walker, from a place of its own."""
    walkers, draw = anb.sample("ethanol"), np.random.default_rng(0)
    one = walkers[0]
    side = int(np.ceil(n_copies ** (1 / 3)))
    sites = np.stack(np.unravel_index(np.arange(n_copies), (side,) * 3), axis=-1) * VOLUME_ANG3 ** (1 / 3)
    turned, which = rotations(n_copies, draw), draw.integers(len(walkers), size=n_copies)
    paths = np.stack([np.asarray(walker.positions, dtype=float) for walker in walkers])
    paths = paths - paths.mean(2, keepdims=True)
    last = paths.shape[1] - 1
    phases = draw.integers(2 * last, size=n_copies)
    bonds = (bonds_of(one)[None] + one.n_atoms * np.arange(n_copies)[:, None, None]).reshape(-1, 2)
    numbers, masses = (np.tile(each, n_copies) for each in (one.atomic_numbers, one.masses))
    times = np.arange(2 * last)[:, None] + phases  # after which everything begins again
    period = np.empty((2 * last, n_copies * one.n_atoms, 3), dtype=np.float32)
    for first in range(0, 2 * last, 500):
        places = last - np.abs(times[first : first + 500] % (2 * last) - last)
        moved = np.einsum("tcni,cji->tcnj", paths[which, places], turned) + sites[:, None]
        period[first : first + 500] = moved.reshape(len(places), -1, 3)
    rows = max(1, PIECE_BYTES // period[0].nbytes)
    for first in range(0, n_frames, rows):
        positions = period[np.arange(first, min(n_frames, first + rows)) % len(period)]
        yield anb.Trajectory(positions, numbers, one.dt_fs, masses=masses, bonds=bonds, name="box of ethanol")


def _loaded(path: Path) -> anb.Trajectory:
    found = anb.load(path)
    assert isinstance(found, anb.Trajectory)
    return found


def checked(path: Path) -> str:
    trajectory = _loaded(path)
    return f"{trajectory.n_frames:,} frames, {len(anb.check(trajectory[:200]).odd)} things to look into"


def trained(path: Path, folder: Path, n_epochs: int, windows_per_epoch: int) -> str:
    from asteroid_nb.forecast.settings import ObjectiveSettings, preset

    settings = preset("tiny", atom_identity=False, pairs="listed", registers=16, skip="ridge")
    run = anb.train(
        _loaded(path), settings=settings, folder=folder, n_epochs=n_epochs, batch_size=4, device="cpu",
        windows_per_epoch=windows_per_epoch, objective=ObjectiveSettings(exchange=False, reverse=False), observers=(),
    )  # fmt: skip
    return str(run)


def compared(path: Path, folder: Path) -> str:
    from asteroid_nb.forecast.baselines import ConstantVelocity, Copy

    run = anb.Run.load(folder)
    parts = anb.split(_loaded(path), run.settings.window_shape())
    simple = [make(run.settings.horizon).fit(parts.train, parts.validation) for make in (Copy, ConstantVelocity)]
    table = anb.evaluate([run, *simple], parts.test, most=32)
    return ", ".join(f"{name} {table.rmse(name).mean():.4f} Å" for name in table.names)


if __name__ == "__main__":
    main()
