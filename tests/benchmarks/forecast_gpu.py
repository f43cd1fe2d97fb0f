"""The STI-Transformer at size on a GPU: training steps against the roofline, training to the CPU result, forecasts.

    python tests/benchmarks/forecast_gpu.py --out results --device cuda

Needs torch, Lightning and NumPy alone; data are the bundled ethanol. Without a GPU, ``--device cpu --quick`` runs it
small, which is how it is tested. Operations counted are those of matrix products, bytes those into and out of every
operation as launched one by one; the roofline is what copies and large matrix products reach on the same machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asteroid_nb.bench.forecasts.roofline import measured, median_s, peaks
from asteroid_nb.captured import CapturedLoss, recorded
from asteroid_nb.data.catalogue import sample
from asteroid_nb.data.splits import Split, split
from asteroid_nb.evaluation import evaluate
from asteroid_nb.finding import plain
from asteroid_nb.fit_settings import FitSettings
from asteroid_nb.fitting import _Loop
from asteroid_nb.forecast.newton import LearnedNewton
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings, preset
from asteroid_nb.forecast.training import ForecastTask, train
from asteroid_nb.forecast.transformer import STITransformer

ABOUT = (
    "Operations counted are those of matrix products, bytes those into and out of every operation as launched one by "
    "one; the share is of what both peaks allow at that many operations a byte. 'Recorded' replays one CUDA graph, as "
    "training does. 'Whole step' is that of a training, with the optimiser and the average of the weights; 'waits' is "
    "how much shorter it is with one batch again and again, no less than 0."
)

#: What an epoch's step is measured with.
STEPS = {"notebook": (64, 512, 4096), "large": (64, 512, 2048)}

#: Windows forecast at once.
FORECAST = (64, 1024, 16384)


def steps_of_training(name: str, batch_size: int, parts: Split, device: torch.device) -> dict[str, Any]:
    """Return milliseconds of a step, launched and recorded, what it computes and moves, and of making a batch.

    On a GPU in bfloat16, its geometry in float32.
    """
    torch.manual_seed(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = STITransformer(preset(name, skip="ridge"), parts.train.molecule)
    model.fit_start(parts.train.subset(most=512), parts.validation)
    model = model.to(device).train()
    task = ForecastTask(model, parts.train, parts.validation, ObjectiveSettings(), batch_size)
    batches = itertools.chain.from_iterable(task.batches(seed=epoch, device=device) for epoch in itertools.count())
    batch = next(batches)
    kind = torch.bfloat16 if device.type == "cuda" else None

    def loss(window: Any) -> dict[str, torch.Tensor]:
        with torch.autocast(device.type, dtype=kind, enabled=kind is not None, cache_enabled=False):
            return task.loss(model, window, done=0.0)

    def launched() -> None:
        loss(batch)["loss"].backward()
        model.zero_grad(set_to_none=True)

    work = measured(launched, device=device, rounds=10)
    found = {"preset": name, "batch": batch_size, "launched_ms": 1e3 * work.seconds, "Gflop": work.flops / 1e9}
    found |= {"GB": work.moved_bytes / 1e9, "data_ms": 1e3 * median_s(lambda: next(batches), device=device, rounds=5)}
    if device.type == "cuda":
        recorded = CapturedLoss(model, batch, loss)
        seconds = median_s(lambda: recorded(batch)["loss"].backward(), device=device, rounds=20)
        found |= {"recorded_ms": 1e3 * seconds, "peak_GiB": torch.cuda.max_memory_allocated() / 2**30}
        del recorded  # its graph holds memory of its own
    return found | waits(task, device, n=max(2, min(40, int(0.4 / work.seconds))))


def waits(task: ForecastTask, device: torch.device, *, n: int, rounds: int = 5) -> dict[str, float]:
    """Return milliseconds of each of ``n`` whole steps of `fit` with new batches, and with one again and again.

    The optimiser and the average of the weights are part of both; medians over rounds taken in turn.
    """
    precision = "bf16-mixed" if device.type == "cuda" else "32-true"
    loop = _Loop(task, FitSettings(device=device.type, precision=precision, n_epochs=1000), None)
    news = itertools.chain.from_iterable(task.batches(seed=epoch, device=device) for epoch in itertools.count())
    batch = next(news)

    found: dict[str, list[float]] = {"fresh_ms": [], "same_ms": []}
    for number in range(rounds + 1):
        for key, batches in (("fresh_ms", news), ("same_ms", itertools.repeat(batch))):
            began = time.perf_counter()
            for one in itertools.islice(batches, n):
                loop._step(one)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first is where a step is recorded
                found[key].append(1e3 * (time.perf_counter() - began) / n)
    return {key: sorted(each)[len(each) // 2] for key, each in found.items()}


def training_to_the_result(
    settings: STISettings, device: str, epochs: int, batch_size: int, potential: dict[str, Any] | None
) -> dict[str, Any]:
    """Return seconds of the training, and the error on the test walker."""
    began = time.perf_counter()
    run = train(
        sample("ethanol"), settings=settings, n_epochs=epochs, device=device, batch_size=batch_size, observers=(),
        potential=potential,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if not run.finished or run.split is None:
        raise RuntimeError("the training was stopped")
    table = evaluate(run, run.split.test)
    told = {"start": settings.skip, "epochs": epochs, "batch": batch_size, "seconds": seconds}
    return {**told, "network_seconds": run.history[-1]["seconds"], "rmse_ang": table.rmse(run.name).mean()}


def forecasts(parts: Split, counts: tuple[int, ...], device: torch.device) -> list[dict[str, Any]]:
    """Return fs of trajectory forecast in a second, launched and recorded, of networks and of a potential.

    What they forecast does not matter for their cost: weights are as made.
    """
    molecule = parts.train.molecule
    found = []
    for name in ("notebook", "large", "potential"):
        if name == "potential":
            forecaster: Any = LearnedNewton(Potential(molecule).to(device), horizon=parts.test.shape.horizon)
        else:
            forecaster = STITransformer(preset(name, skip="none"), molecule).to(device).eval()
        for count in counts:
            window = parts.test.subset(most=count)[:]
            n = -(-count // len(window))
            window = window.replace(future=None, history=window.history.repeat(n, 1, 1, 1)[:count]).to(device)
            window = window.replace(origin=window.history[:, 0].mean(1))
            fs = count * parts.test.shape.horizon * window.dt_fs
            with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                rates = {"launched": fs / median_s(lambda: forecaster.forecast(window), device=device, rounds=5)}  # noqa: B023
                if device.type == "cuda":
                    replay = recorded(lambda: forecaster.forecast(window))  # noqa: B023
                    rates["recorded"] = fs / median_s(replay, device=device, rounds=20)
            found.append({"forecaster": name, "at_once": count, **rates})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", nargs="+", default=["steps", "forecasts", "training"])
    parser.add_argument("--page-of", type=Path, help="only write the page of a file of results")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    options = parser.parse_args()
    device, quick = torch.device(options.device), options.quick
    options.out.mkdir(parents=True, exist_ok=True)
    if options.page_of:
        told = page(json.loads(options.page_of.read_text(encoding="utf-8")))
        (options.out / "forecast_gpu.md").write_text(told, encoding="utf-8")
        return
    where = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    found: dict[str, Any] = {"hardware": where, "torch": torch.__version__}
    walkers = sample("ethanol")
    parts = split(walkers, preset("notebook").window_shape())
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    sides = {"side": 1024 if quick else 8192, "copied_bytes": 2**26 if quick else 2**32}
    found["peaks"] = {name: vars(peaks(device, dtype=kind, **sides)) for name, kind in kinds.items()}
    keep = lambda: (options.out / "forecast_gpu.json").write_text(json.dumps(plain(found), indent=1), encoding="utf-8")  # noqa: E731
    if "steps" in options.parts:
        asked = [("notebook", 16)] if quick else [(name, batch) for name, sizes in STEPS.items() for batch in sizes]
        found["steps"] = []
        for name, batch in asked:
            found["steps"].append(_tried(lambda: steps_of_training(name, batch, parts, device)))  # noqa: B023
            print(found["steps"][-1], flush=True)
            keep()
    if "forecasts" in options.parts:
        found["forecasts"] = _tried(lambda: forecasts(parts, (8,) if quick else FORECAST, device))
        print(*found["forecasts"], sep="\n", flush=True)
        keep()
    if "training" in options.parts:
        steps = {"n_steps": 20, "n_path_steps": 2} if quick else None
        asked = [("ridge", 4, 64, None), ("ridge", 12, 256, None), ("newton", 1, 256, steps)]
        found["training"] = []
        for skip, epochs, batch, potential in asked[-1:] if quick else asked:
            settings = preset("tiny" if quick else "notebook", skip=skip)
            told = (settings, options.device, epochs, batch, potential)
            found["training"].append(_tried(lambda: training_to_the_result(*told)))  # noqa: B023
            print(found["training"][-1], flush=True)
            keep()
    (options.out / "forecast_gpu.md").write_text(page(plain(found)), encoding="utf-8")


def page(found: dict[str, Any]) -> str:
    """Return tables of what was found."""
    limits = found["peaks"]["bfloat16"]
    lines = [f"# The STI-Transformer on a GPU ({found['hardware']}, torch {found['torch']})", ""]
    lines += [f"Made by `python tests/benchmarks/forecast_gpu.py`. {ABOUT}", ""]
    lines += [
        f"{found.get('note', '')} Peaks: {limits['flops'] / 1e12:.0f} TFlop/s in bfloat16, "
        f"{found['peaks']['float32']['flops'] / 1e12:.0f} in float32, "
        f"{limits['bytes_per_s'] / 1e12:.2f} TB/s of copies."
    ]
    if steps := [one for one in found.get("steps", []) if "failed" not in one]:
        lines += ["", "## One step of training, forward and backward, bf16-mixed", ""]
        lines += _table(
            (
                "preset",
                "windows",
                "launched, ms",
                "recorded, ms",
                "TFlop",
                "GB",
                "share of the roofline",
                "next batch, ms",
                "whole step, ms",
                "waits",
            ),
            [_step_row(one, limits) for one in steps],
        )
    if forecasts := found.get("forecasts"):
        lines += ["", "## fs of trajectory forecast in a second", ""]
        rows = [
            (
                one["forecaster"],
                f"{one['at_once']:,}",
                *(f"{one[key]:,.0f}" for key in ("launched", "recorded") if key in one),
            )
            for one in forecasts
        ]
        lines += _table(("forecaster", "windows at once", "launched", "recorded"), rows)
    if trainings := [one for one in found.get("training", []) if "failed" not in one]:
        lines += [
            "",
            "## Training to the CPU's result",
            "",
            "Bundled ethanol, F1, RMSE on the test walker, mean over the horizon; rivals are in `demo_ethanol.md`.",
            "",
        ]
        rows = [
            (
                one["start"],
                one["epochs"],
                one["batch"],
                f"{one['seconds']:.0f}",
                f"{one['network_seconds']:.0f}",
                f"{one['rmse_ang']:.4f}",
            )
            for one in trainings
        ]
        lines += _table(("start", "epochs", "batch", "seconds in all", "of the network", "RMSE / Å"), rows)
    return "\n".join(lines) + "\n"


def _step_row(one: dict[str, Any], limits: dict[str, float]) -> tuple[Any, ...]:
    ms = one.get("recorded_ms", one["launched_ms"])
    allowed = min(limits["flops"], limits["bytes_per_s"] * one["Gflop"] / one["GB"])
    share = 1e9 * one["Gflop"] / (1e-3 * ms) / allowed
    idle = max(0.0, 1 - one["same_ms"] / one["fresh_ms"])
    numbers = (
        f"{one['launched_ms']:.1f}",
        f"{ms:.1f}",
        f"{one['Gflop'] / 1e3:.3f}",
        f"{one['GB']:.1f}",
        f"{100 * share:.0f} %",
    )
    data = (f"{one['data_ms']:.1f}", f"{one['fresh_ms']:.1f}", f"{100 * idle:.1f} %")
    return (one["preset"], one["batch"], *numbers, *data)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    said = lambda row: f"| {' | '.join(map(str, row))} |"  # noqa: E731
    return [said(head), "|---" * len(head) + "|", *map(said, rows)]


def _tried(work: Callable[[], Any]) -> Any:
    """Return what was found, or what went wrong: one failure on rented hardware shall not cost the rest."""
    try:
        return work()
    except Exception as error:
        traceback.print_exc()
        return {"failed": repr(error)}


if __name__ == "__main__":
    main()
