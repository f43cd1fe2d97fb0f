"""What a simulation and a forecast cost here, in seconds of one core or of one GPU."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from asteroid_nb.bench.forecasts.roofline import median_s
from asteroid_nb.captured import CapturedLoss, recorded
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import ForecastTask
from asteroid_nb.memory import giving_back
from asteroid_nb.metrics.price import Price

#: Windows forecast together.
AT_ONCE = (1, 4, 16, 64, 256)

#: Windows in a step of training.
BATCHES = (8, 32, 128)

#: Of each timing.
ROUNDS = 5


def simulated_fs(walkers: Sequence[Trajectory]) -> float:
    """Return how much walkers of `anb.simulate` moved, what brought them into equilibrium included."""
    settings = [_record(walker)["settings"] for walker in walkers]
    return sum(one["n_frames"] * one["dt_fs"] + one["equilibration_fs"] for one in settings)


def of_simulation(walkers: Sequence[Trajectory]) -> Price | None:
    """Return what simulating took on one core; None where their records do not tell, as those of bundled samples.

    Raises:
        InvalidTrajectory: nothing says how they were simulated.
    """
    spent = [one for one in (_record(walker).get("core_seconds") for walker in walkers) if one is not None]
    if not spent or len(spent) < len(walkers):
        return None
    return Price(per_fs_s=sum(spent) / simulated_fs(walkers))


def _record(walker: Trajectory) -> Mapping[str, Any]:
    if "settings" not in walker.provenance:
        raise InvalidTrajectory(
            f"{walker.name!r} does not say how it was simulated. Use what anb.simulate(…) returned, or a sample."
        )
    return walker.provenance


def of_forecasts(forecaster: Any, windows: Windows, *, at_once: int = 64, once_s: float = 0.0) -> Price:
    """Return what forecasting takes where so many windows are asked for together."""
    return Price(once_s=once_s, per_fs_s=1 / fs_per_s(forecaster, windows, at_once=at_once))


@giving_back()
def rates(
    forecasters: Sequence[Any], windows: Windows, *, at_once: Sequence[int] = AT_ONCE
) -> dict[str, dict[int, float]]:
    """Return by name, and by how many windows are forecast together, the fs of trajectory forecast in a second.

    On a GPU also as one CUDA graph, by a name that ends in ", recorded".
    """
    found = {one.name: {n: fs_per_s(one, windows, at_once=n) for n in at_once} for one in forecasters}
    for one in forecasters:
        if _device(one).type == "cuda":
            found[f"{one.name}, recorded"] = {n: fs_per_s(one, windows, at_once=n, replayed=True) for n in at_once}
    return found


def fs_per_s(
    forecaster: Any,
    windows: Windows,
    *,
    at_once: int = 1,
    device: torch.device | None = None,
    replayed: bool = False,
) -> float:
    """Return the fs of trajectory forecast in a second, the median of some rounds.

    Args:
        windows: some of which are forecast, and again where there are too few.
        at_once: windows forecast together.
        device: the forecaster's own when not given; of one without, the CPU.
        replayed: as one CUDA graph, which needs a GPU.
    """
    device = device or _device(forecaster)
    window = repeated(windows, at_once).to(device)
    span_fs = windows.shape.horizon * window.dt_fs
    with torch.no_grad():
        work = (lambda: forecaster.forecast(window)) if not replayed else recorded(lambda: forecaster.forecast(window))
        return at_once * span_fs / median_s(work, device=device, rounds=ROUNDS)


@giving_back()
def training_rates(run: Run, *, batches: Sequence[int] = BATCHES) -> dict[str, dict[int, float]]:
    """Return by name and windows in a step how many windows a second of training sees, forward and backward.

    In the precision that "auto" stands for; on a GPU also as one CUDA graph, by a name that ends in ", recorded". The
    run stays as it is.

    Raises:
        ModelMismatch: a run that was loaded has no windows to train on.
    """
    if run.split is None:
        raise ModelMismatch("This run was loaded and has no windows to train on. Use one that anb.train returned.")
    device, model = run.device, copy.deepcopy(run.model).train()
    kind = torch.bfloat16 if device.type == "cuda" else None
    found: dict[str, dict[int, float]] = {run.name: {}}
    for size in batches:
        task = ForecastTask(model, run.split.train, run.split.validation, ObjectiveSettings(), size)
        batch = model.prepare(repeated(run.split.train, size, future=True).to(device))

        def loss(window: Window, task: ForecastTask = task) -> dict[str, torch.Tensor]:
            with torch.autocast(device.type, dtype=kind, enabled=kind is not None, cache_enabled=False):
                return task.loss(model, window, done=0.0)

        ways: dict[str, Callable[[Window], dict[str, torch.Tensor]]] = {run.name: loss}
        if device.type == "cuda":
            ways[f"{run.name}, recorded"] = CapturedLoss(model, batch, loss)
        for name, way in ways.items():
            step = functools.partial(_step, way, batch, model)
            found.setdefault(name, {})[size] = size / median_s(step, device=device, rounds=ROUNDS)
    return found


def _step(loss: Callable[[Window], dict[str, torch.Tensor]], batch: Window, model: torch.nn.Module) -> None:
    loss(batch)["loss"].backward()
    model.zero_grad(set_to_none=True)


def repeated(windows: Windows, count: int, *, future: bool = False) -> Window:
    """Return so many windows, some of them several times where there are fewer, with their futures if asked for."""
    window = windows.subset(most=count)[:]
    window = window if future else window.replace(future=None)
    rows = torch.arange(count) % len(window)
    held = {name: value[rows] for name, value in vars(window).items() if isinstance(value, torch.Tensor)}
    return dataclasses.replace(window, **held)


def _device(forecaster: Any) -> torch.device:
    return getattr(forecaster, "device", torch.device("cpu"))
