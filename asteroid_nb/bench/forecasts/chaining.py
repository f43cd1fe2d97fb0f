"""How a page chains forecasts, from where, and what it judges them by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.bench.forecasts.arms import chosen_folder
from asteroid_nb.bench.forecasts.protocols import Protocol
from asteroid_nb.bench.forecasts.reference import EQUILIBRATION_FS, TIMESTEP_FS, reference_paths
from asteroid_nb.bench.sources import Source
from asteroid_nb.bench.timing import one_thread
from asteroid_nb.data import engines
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.forecast.thermostat import Thermostat
from asteroid_nb.rolling import JUDGED, RolloutQuality, chains, covered, judge

#: How long, from how many starts; at what a reference is equilibrated if nobody says.
LENGTH_FS, N_STARTS, REFERENCE_K = 5000.0, 64, 500.0

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chaining:
    """How forecasts are chained.

    Args:
        length_fs: how long.
        n_starts: from how many starts.
        temperature_K: what a thermostat holds them at, or of a reference, what its starts were equilibrated at.
        reference: method whose own dynamics chains start from and are judged by, instead of the test walker.

    Raises:
        InvalidSettings: a temperature that is none.
    """

    length_fs: float = LENGTH_FS
    n_starts: int = N_STARTS
    temperature_K: float | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        if self.temperature_K is not None:
            Thermostat(temperature_K=self.temperature_K)  # which knows what a temperature is

    @property
    def file(self) -> str:
        """Return the name of the record of one forecaster; what is judged otherwise has another name."""
        held = "" if self.temperature_K is None else f"-{self.temperature_K:g}K"
        by = "" if self.reference is None else f"-by-{self.reference}"
        return f"chains-{self.length_fs:g}fs-{self.n_starts}{held}{by}-{JUDGED}.json"

    @property
    def held_K(self) -> float | None:
        """Return what a thermostat holds chains at; those beside a reference keep their energy."""
        return None if self.reference is not None else self.temperature_K

    @property
    def reference_K(self) -> float:
        return REFERENCE_K if self.temperature_K is None else self.temperature_K

    def n_blocks(self, protocol: Protocol) -> int:
        """Return how many forecasts make a chain."""
        return max(1, round(self.length_fs / (protocol.horizon * protocol.spacing_fs)))

    @property
    def judge(self) -> str:
        """Return what chains are judged by, in words."""
        if self.reference is not None:
            return (
                f"dynamics of {self.reference} at constant energy, as long and as many, from starts that were "
                f"equilibrated one by one at {self.reference_K:g} K, of which chains see the first frames"
            )
        if self.held_K is None:
            return "the test walker"
        return (
            f"the test walker (but every temperature against {self.held_K:g} K: at equilibrium all elements are "
            "equally warm)"
        )

    def __str__(self) -> str:
        held = "" if self.held_K is None else f", held at {self.held_K:g} K"
        beside = "" if self.reference is None else f", beside {self.reference}"
        return f"{self.n_starts} chains of {self.length_fs / 1000:g} ps{held}{beside}"


@dataclass(frozen=True)
class Stage:
    """Where chains start, and what they are judged by.

    Args:
        starts: a window for each chain.
        truth: windows that cover the frames.
        name: of the truth, in tables.
    """

    starts: Windows
    truth: Windows
    name: str = "the test walker"


#: What gives a stage when it is first needed.
Staging = Callable[[], Stage]


def staged(folder: Path, protocol: Protocol, source: Source, chaining: Chaining, *, processes: int) -> Stage:
    """Return where chains start: in the test walker, or in paths of a reference, simulated where they are not kept."""
    test, method = protocol.parts(source.trajectories()).test, chaining.reference
    if method is None:
        return Stage(test.subset(most=chaining.n_starts), test)
    ahead, kelvin = chaining.n_blocks(protocol) * protocol.horizon, chaining.reference_K
    chosen = (chaining.n_starts, ahead, kelvin, TIMESTEP_FS, EQUILIBRATION_FS, engines.versions("tblite", "ase"))
    paths = reference_paths(
        chosen_folder(folder, source, protocol.name, method, repr(chosen)), test, method=method, temperature_K=kelvin,
        n_paths=chaining.n_starts, n_frames=protocol.history + ahead, processes=processes,
    )  # fmt: skip
    shape = WindowShape(history=protocol.history, horizon=protocol.horizon)
    first = np.stack([np.arange(len(paths)), np.zeros(len(paths), dtype=int)], axis=1)
    seen = Windows([path[protocol.history - 1 :] for path in paths], WindowShape(history=1, horizon=1))
    return Stage(Windows(paths, shape, starts=first), seen, method)


def chain(forecaster: Any, protocol: Protocol, chaining: Chaining, stage: Stage) -> Record:
    """Return what became of a forecaster's chains."""
    held = None if chaining.held_K is None else Thermostat(temperature_K=chaining.held_K)
    how = {"n_starts": chaining.n_starts, "n_blocks": chaining.n_blocks(protocol), "thermostat": held}
    with one_thread():
        began = time.perf_counter()
        paths = chains(forecaster, stage.starts, **how)
        seconds = time.perf_counter() - began
    quality = judge(paths, stage.truth, asked_K=chaining.held_K)
    return told(quality, len(paths) * (len(paths[0]) - 1) * stage.starts.dt_fs / seconds)


def halves(stage: Stage, chaining: Chaining) -> Record:
    """Return how one half of the truth is judged by the other: of its paths, or of the time of a single one."""
    truth = stage.truth
    half = len(truth) // 2
    early, late = truth.starts[:half], truth.starts[half + truth.shape.span_frames :]
    first, second = (Windows(truth.trajectories, truth.shape, starts=starts) for starts in (early, late))
    return told(judge(covered(first), second, asked_K=chaining.held_K), None)


def told(quality: RolloutQuality, fs_per_s: float | None) -> Record:
    names = ("length_fs", "stable_fs", "distance_mae", "temperatures_K", "torsion_js", "n_whole", "n_loose")
    names += ("temperature_off", "peaks_per_cm", "shown_twice", "furthest_peak_per_cm", "furthest_repeated_per_cm")
    return {name: getattr(quality, name) for name in names} | {"fs_per_s": fs_per_s}
