"""How much trajectory a second of computing forecasts, beside the simulation that it stands for, and what limits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_nb.bench.forecasts.arms import TEST_WINDOWS, USUAL_RIDGES, compared, record_of
from asteroid_nb.bench.forecasts.narrow import narrow_newtons
from asteroid_nb.bench.forecasts.price import fs_per_s
from asteroid_nb.bench.forecasts.protocols import Protocol
from asteroid_nb.bench.forecasts.roofline import Peaks, Work, measured, median_s, peaks
from asteroid_nb.bench.sources import Source
from asteroid_nb.bench.timing import one_thread
from asteroid_nb.data.engines import Xtb
from asteroid_nb.data.formats_ase import to_ase
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidSettings, MissingExtra
from asteroid_nb.evaluation import evaluate
from asteroid_nb.finding import Finding, Rule, spread, write
from asteroid_nb.forecast.baselines import rivals
from asteroid_nb.forecast.newton import LearnedNewton, NewtonSkip
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import ForecastTask

#: Windows forecast together.
BATCHES = (1, 16, 64, 256)

#: Of GFN2-xTB dynamics: fs a step, and how many are timed.
XTB_STEP_FS, XTB_STEPS = 0.5, 60

#: Of that dynamics.
WARM_K = 500.0

#: Potentials of fewer weights that are learnt, each from another seed; the first is timed.
NARROW_SEEDS = 3

#: Ridge maps that are timed: one that published tables would show, and the best.
RIDGES = (USUAL_RIDGES[0], "ridge, local frames")

#: Times as fast as GFN2-xTB that forecasts shall be.
FACTOR = 1000.0


def run(
    *,
    folder: Path,
    sources: Sequence[Source],
    protocols: Sequence[str] = ("F1", "P3"),
    n_epochs: int = 3,
    device: str = "cpu",
    processes: int = 1,
    page: str = "speed",
    command: str = "asteroid-nb bench speed",
) -> Path:
    """Train where that was not done, time everything in turn, write a page, and return it.

    Raises:
        InvalidSettings: a name that is no protocol, or a device that is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidSettings("--device was cuda, but torch finds no GPU here. Leave it out to use the CPU.")
    asked = compared(folder, sources, protocols, n_epochs=n_epochs, processes=processes)
    narrow = [
        narrow_newtons(folder, source, protocol, seeds=NARROW_SEEDS, processes=processes)
        for protocol, source, _ in asked
    ]
    simulated: dict[str, list[float]] = {source.name: [] for source in sources}
    with one_thread():
        limits, works = peaks(torch.device(device)), []
        _simulate(sources, simulated)
        for (protocol, source, (arm,)), newtons in zip(asked, narrow, strict=True):
            if "failed" not in record_of(folder, arm):
                works.append(timed(arm.load(folder), protocol, source, narrow=newtons, device=torch.device(device)))
                _simulate(sources, simulated)
    found = [speed(work, max(simulated[work.source.name], default=None), limits) for work in works]
    told = f"{limits.flops / 1e9:.0f} GFlop/s of large matrices, {limits.bytes_per_s / 1e9:.1f} GB/s of copies"
    path = write(folder, page, found, command=command, about=f"Peaks measured on {device}: {told}.")
    print(path.read_text(encoding="utf-8"))
    return path


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What one protocol on one source took.

    Args:
        rates: fs of trajectory in a second by name, in the order of `BATCHES`.
        off: mean distance over the horizon and at its end by name, in words.
        works: of the network, by what it does.
        judged: names that are held against `FACTOR`.
        about: what errors are of.
    """

    protocol: Protocol
    source: Source
    rates: Mapping[str, Sequence[float]]
    off: Mapping[str, Sequence[str]]
    works: Mapping[str, Work]
    judged: Sequence[str]
    about: str


def timed(
    run: Run, protocol: Protocol, source: Source, *, narrow: Sequence[LearnedNewton], device: torch.device
) -> Timed:
    """Return what everything takes and how far off it is; ``narrow`` ones differ in their seeds alone."""
    parts = protocol.parts(source.trajectories())
    skip = run.model.skip
    newton = [LearnedNewton(skip.potential, horizon=protocol.horizon)] if isinstance(skip, NewtonSkip) else []
    maps = [one for one in rivals(parts.train, parts.validation) if one.name in RIDGES] if device.type == "cpu" else []
    groups = [[one] for one in (run, *newton)] + ([list(narrow)] if narrow else []) + [[one] for one in maps]
    off = {one.name: _off([one, *others], parts.test) for one, *others in groups}
    for module in (run.model, *(one.potential for one in narrow)):
        module.to(device)
    rates = {one.name: [fs_per_s(one, parts.test, at_once=n, device=device) for n in BATCHES] for one, *_ in groups}
    works = {"one forecast of 64 windows": _forecasting(run, parts.test, device), **_training(run, parts, device)}
    about = f"{min(TEST_WINDOWS, len(parts.test)):,} windows of the test"
    about += f", and of {len(narrow)} seeds of the narrow potential" if narrow else ""
    judged = [run.name, *(one.name for one in narrow[:1])]
    return Timed(protocol=protocol, source=source, rates=rates, off=off, works=works, judged=judged, about=about)


def speed(work: Timed, xtb: float | None, limits: Peaks) -> Finding:
    """Return the table of one protocol on one source, beside ``xtb`` fs of simulation in a second."""
    rows = [
        (name, *(f"{rate:,.0f}" for rate in each), times_xtb(max(each), xtb), *work.off[name])
        for name, each in work.rates.items()
    ]
    return Finding(
        key=work.protocol.name,
        title=f"{work.source.name}: fs of trajectory forecast in a second, {work.protocol.about}",
        head=("forecaster", *(f"{n} at once" for n in BATCHES), "best, beside GFN2-xTB", "ADE, Å", "FDE, Å"),
        rows=[
            *rows,
            ("GFN2-xTB dynamics", f"{xtb:,.1f}" if xtb else "–", *["–"] * (len(BATCHES) - 1), "1 ×", "–", "–"),
        ],
        rules=[
            *(fast_enough(name, max(work.rates[name]), xtb) for name in work.judged),
            *(_roofline(name, one, limits) for name, one in work.works.items()),
        ],
        note="One core, one thread. Whole forecasts, velocities and network included. GFN2-xTB dynamics is timed "
        "before, between and after all others; its fastest time counts. Operations are those of matrix products, "
        "bytes those into and out of every operation. ADE and FDE are the mean distance per atom over the horizon "
        f"and at its end, of {work.about}.",
    )


def _simulate(sources: Sequence[Source], simulated: dict[str, list[float]]) -> None:
    """Time the simulation of every source once more, where it is installed."""
    for source in sources:
        if (rate := xtb_fs_per_s(source.trajectories()[-1])) is not None:
            simulated[source.name].append(rate)


def fast_enough(name: str, rate: float, xtb: float | None) -> Rule:
    """Return whether ``rate``, fs of trajectory in a second, is `FACTOR` times that of the simulation, ``xtb``."""
    return Rule(
        asked=f"{name}: at least {FACTOR:,.0f} times as fast as GFN2-xTB dynamics in steps of {XTB_STEP_FS:g} fs",
        measured=times_xtb(rate, xtb),
        holds=None if xtb is None else rate >= FACTOR * xtb,
    )


def _off(alike: Sequence[Any], windows: Windows) -> tuple[str, ...]:
    """Return the mean distance over the horizon and at its end in Å, mean and deviation of forecasters alike."""
    tables = [evaluate({"it": one}, windows, most=TEST_WINDOWS) for one in alike]
    each = [table.ade("it") for table in tables], [table.fde("it") for table in tables]
    return tuple(spread(values, 4) if len(values) > 1 else f"{values[0]:.4f}" for values in each)


def times_xtb(rate: float, xtb: float | None) -> str:
    """Return in words how many times as fast as the simulation, ``xtb``, a forecaster is."""
    return "not known: tblite is not installed" if xtb is None else f"{rate / xtb:,.0f} ×"


def xtb_fs_per_s(trajectory: Trajectory) -> float | None:
    """Return how much trajectory a second of the simulation yields on this core, None where it is not installed."""
    from ase import units
    from ase.md.verlet import VelocityVerlet

    (atoms,) = to_ase(trajectory[:1])
    try:
        atoms.calc = Xtb("GFN2-xTB")()
    except MissingExtra:
        return None
    momenta = np.random.default_rng(0).standard_normal((len(atoms), 3))
    atoms.set_momenta(momenta * np.sqrt(atoms.get_masses() * units.kB * WARM_K)[:, None])
    moving = VelocityVerlet(atoms, timestep=XTB_STEP_FS * units.fs)
    return XTB_STEP_FS / median_s(lambda: moving.run(1), device=torch.device("cpu"), rounds=XTB_STEPS)


def _forecasting(run: Run, windows: Windows, device: torch.device) -> Work:
    window = windows.subset(most=64)[:].replace(future=None)
    return measured(lambda: run.forecast(window), device=device)


def _training(run: Run, parts: Any, device: torch.device) -> dict[str, Work]:
    """Return one step of training by its name."""
    task = ForecastTask(run.model.train(), parts.train, parts.validation, ObjectiveSettings(), 32)
    batch = next(iter(task.batches(seed=0, device=device)))

    def step() -> None:
        run.model.zero_grad()
        task.loss(run.model, batch, done=0.0)["loss"].backward()

    found = measured(step, device=device)
    run.model.zero_grad()
    run.model.eval()
    return {f"one step of training on {len(batch)} windows": found}


def _roofline(name: str, work: Work, limits: Peaks) -> Rule:
    measured = (
        f"{work.flops / 1e9:.2f} GFlop and {work.moved_bytes / 1e9:.2f} GB in {1000 * work.seconds:.0f} ms: "
        f"{work.flops / work.seconds / 1e9:.1f} GFlop/s, {100 * work.share_of(limits):.0f} % of what both peaks allow"
    )
    return Rule(asked=name, measured=measured, holds=None)
