"""The equilibrium force field at size: speed, memory and accuracy beside its twins, on a GPU where there is one.

    python tests/benchmarks/equilibrium_gpu.py --data ethanol.npz --epochs 1000 --seeds 3 --out results

Needs torch, Lightning, NumPy and e3nn alone. Without a GPU it measures the CPU, which is how it is tested. Data are an
MD17-like archive with walkers [walker, frame, atom, 3] (kcal/mol) or our own; the last walker is the test.
``--epochs 0`` trains nothing: steps of MD are then timed with the bundled equilibrium model and with explicit twins of
weights at random, whose cost does not depend on them. Steps of training are always those of models at their start.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_nb.data.formats_npz import read
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import WarmForces
from asteroid_nb.equilibrium.force_field import ForceField, n_parameters
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.matching import Watch, matching_loss
from asteroid_nb.equilibrium.pretrained import pretrained
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import FORCE_FIT, PRESETS, ForceFieldSettings, ForceObjective
from asteroid_nb.equilibrium.training import train_force_field
from asteroid_nb.finding import plain

DEPTHS = {"DEQ": 0, "K = 1": 1, "K = 2": 2, "K = 4": 4, "K = 8": 8}


def training_cost(settings: ForceFieldSettings, frames: Frames, batch_size: int, device: str) -> dict[str, float]:
    """Return milliseconds and peak MiB of a training step."""
    torch.manual_seed(0)
    model = ForceField(settings, energy_scale_eV=frames.force_rms).to(device)
    rows = np.resize(np.arange(len(frames)), batch_size)
    batch, watch = next(frames.batches(rows, batch_size, device)), Watch()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        matching_loss(model, batch, ForceObjective(), watch)["loss"].backward()
        model.zero_grad(set_to_none=True)

    ms = milliseconds(step, device)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else float("nan")
    return {"batch": batch_size, "ms": ms, "ms_per_frame": ms / batch_size, "peak_MiB": peak, **watch.read()}


def milliseconds(work: Callable[[], Any], device: str, n: int = 10) -> float:
    """Return the median over calls, each waited for."""
    seconds = []
    for call in range(n + 3):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if call >= 3:
            seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))


def step_cost(run: Any, frames: Trajectory, n_walkers: int, n_steps: int, **options: Any) -> dict[str, Any]:
    """Return milliseconds and evaluations of forces along consecutive frames, ``n_walkers`` stretches at a time."""
    forces = WarmForces(run, **options)
    offsets = np.linspace(0, frames.n_frames - n_steps - 1, n_walkers).astype(int)
    numbers = np.tile(frames.atomic_numbers, (n_walkers, 1))
    for step in range(n_steps):
        forces(np.asarray(frames.positions[offsets + step], dtype=float), numbers)
    calls = forces.history[n_steps // 4 :]
    return {
        "walkers": n_walkers,
        **options,
        "ms": 1000 * float(np.median([call.seconds for call in calls])),
        "steps": float(np.mean([call.steps for call in calls])),
        "adjoint_steps": float(np.mean([call.adjoint_steps for call in calls])),
    }


def untrained(name: str, settings: ForceFieldSettings, frames: Frames) -> ForceFieldRun | None:
    """Return a model to time; None of an equilibrium model that nobody trained, whose steps would mean nothing."""
    if name == "DEQ":
        return pretrained() if settings == PRESETS["small"] else None
    torch.manual_seed(0)
    model = ForceField(settings, energy_scale_eV=frames.force_rms)
    return ForceFieldRun(model, frames.atomic_energies(), ForceObjective().validation)


def accuracy(settings: ForceFieldSettings, walkers: list[Trajectory], options: argparse.Namespace, seed: int) -> Any:
    """Train, and return the run with its errors on the last walker."""
    began = time.perf_counter()
    run = train_force_field(
        walkers[:-2], validation=walkers[-2], n_frames=options.frames, settings=settings, observers=(),
        n_epochs=options.epochs, batch_size=options.batch_size, seed=seed,
    )  # fmt: skip
    test = walkers[-1][:: max(1, walkers[-1].n_frames // 1000)]
    told = {"seconds": time.perf_counter() - began, "seed": seed, "n_parameters": n_parameters(settings)}
    return run, told | run.errors(test, device=options.device)._asdict() | {"history": run.history[-1]}


def main() -> None:
    options = arguments()
    device = options.device
    walkers = read(options.data, dt_fs=None, stride=1, energy_unit=None)
    assert isinstance(walkers, list), "needed are several walkers"
    frames = Frames.of([walkers[0]], min(options.batch_sizes[-1], walkers[0].n_frames))
    frames = frames.without_atoms(frames.atomic_energies())
    hardware = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    told: dict[str, Any] = {"hardware": hardware, "torch": torch.__version__, "options": vars(options)}
    base = PRESETS[options.preset]
    told["training"] = {
        name: [training_cost(replace(base, depth=depth), frames, size, device) for size in options.batch_sizes]
        for name, depth in DEPTHS.items()
        if name in options.models
    }
    keep(options.out, told)
    told["accuracy"], told["steps"] = {}, {}
    for name in options.models:
        settings = replace(base, depth=DEPTHS[name])
        if options.epochs:
            found = [accuracy(settings, walkers, options, seed) for seed in range(options.seeds)]
            told["accuracy"][name] = [record for _, record in found]
            run = found[0][0]
        elif (run := untrained(name, settings, frames)) is None:
            continue
        policies = ("cold", "previous", "linear+recycle", "xl+recycle") if name == "DEQ" else ("cold",)
        timed = [(policy, n, {}) for n in options.walkers for policy in policies]
        if options.compiled and name == "DEQ":
            timed.append(("linear+recycle", 1, {"compiled": True}))
        told["steps"][name] = []
        for policy, n, more in timed:
            cost = step_cost(run, walkers[-1], n, options.timed_steps, policy=policy, device=device, **more)
            told["steps"][name].append(cost)
        keep(options.out, told)


def tables(told: dict[str, Any]) -> str:
    """Return what was measured as Markdown."""
    lines = [f"Measured on {told['hardware']}, torch {told['torch']}, preset {told['options']['preset']}.", ""]
    sizes = told["options"]["batch_sizes"]
    lines += ["| training step, ms (peak MiB) | " + " | ".join(f"batch {size}" for size in sizes) + " |"]
    lines += ["|" + "---|" * (1 + len(sizes))]
    for name, found in told["training"].items():
        cells = [f"{one['ms']:.1f} ({one['peak_MiB']:.0f})" for one in found]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    columns = ("model", "warm start", "maps", "molecules at a time", "ms", "evaluations of f and of its adjoint")
    lines += ["", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for name, found in told.get("steps", {}).items():
        for one in found:
            work = f"{one['steps']:.1f} + {one['adjoint_steps']:.1f}" if name == "DEQ" else "–"
            maps = "compiled" if one.get("compiled") else "as written"
            policy = one["policy"] if name == "DEQ" else "–"
            lines.append(f"| {name} | {policy} | {maps} | {one['walkers']} | {one['ms']:.1f} | {work} |")
    return "\n".join(lines) + "\n"


def keep(folder: Path, told: dict[str, Any]) -> None:
    """Write what is known so far: a lease may end at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "equilibrium_gpu.md").write_text(tables(told), encoding="utf-8")
    path = folder / "equilibrium_gpu.json"
    path.write_text(json.dumps(plain(told), indent=1, default=str), encoding="utf-8")
    print(f"{path}: {', '.join(told)}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--models", nargs="+", choices=DEPTHS, default=list(DEPTHS))
    parser.add_argument("--frames", type=int, default=950)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=FORCE_FIT.batch_size)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--walkers", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--timed-steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--compiled", action="store_true", help="time compiled maps, too: a minute or two of compiling")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
