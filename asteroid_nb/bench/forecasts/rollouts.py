"""Forecasts chained for picoseconds: do molecules stay whole, and do they move as the simulation does?"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.bench.forecasts.accuracy import failures
from asteroid_nb.bench.forecasts.arms import Arm, chosen_folder, compared, keep, record_of, usual_ridges
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.forecasts.run_on import must_have_made, run_on
from asteroid_nb.bench.sources import Source
from asteroid_nb.bench.timing import one_thread
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.finding import Finding, Rule, spread, write
from asteroid_nb.forecast.newton import LearnedNewton, NewtonSkip
from asteroid_nb.forecast.thermostat import FURTHEST_FS, Thermostat
from asteroid_nb.metrics.structure import BREAK_ANG
from asteroid_nb.rolling import SAME_PER_CM, RolloutQuality, chains, covered, judge
from asteroid_nb.units import CM_PER_FS_LIGHT

#: How long, from how many starts.
LENGTH_FS, N_STARTS = 5000.0, 64

#: What is asked: by which share temperatures may be off. Peaks may be off by `SAME_PER_CM`.
WARM_SHARE = 0.05

#: No vibration of a molecule is faster.
FASTEST_PER_CM = 4400.0

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chaining:
    """How forecasts are chained.

    Args:
        length_fs: how long.
        n_starts: from how many starts.
        temperature_K: what a thermostat holds them at; none without.
        reference: method that is run on from the same starts and judged by, instead of the test walker.

    Raises:
        InvalidSettings: a temperature that is none, or one for chains that are judged by dynamics without a thermostat.
    """

    length_fs: float = LENGTH_FS
    n_starts: int = N_STARTS
    temperature_K: float | None = None
    reference: str | None = None

    def __post_init__(self) -> None:
        _ = self.thermostat  # which knows what a temperature is
        if self.temperature_K is not None and self.reference is not None:
            raise InvalidSettings("A reference keeps its energy: ask for it, or for a temperature, not for both.")

    @property
    def file(self) -> str:
        held = "" if self.temperature_K is None else f"-{self.temperature_K:g}K"
        by = "" if self.reference is None else f"-by-{self.reference}"
        return f"chains-{self.length_fs:g}fs-{self.n_starts}{held}{by}.json"

    @property
    def thermostat(self) -> Thermostat | None:
        return None if self.temperature_K is None else Thermostat(temperature_K=self.temperature_K)

    def n_blocks(self, horizon: int, dt_fs: float) -> int:
        """Return how many forecasts make a chain."""
        return max(1, round(self.length_fs / (horizon * dt_fs)))

    def __str__(self) -> str:
        held = "" if self.temperature_K is None else f", held at {self.temperature_K:g} K"
        return f"{self.n_starts} chains of {self.length_fs / 1000:g} ps{held}"


FREE = Chaining()


def run(
    *,
    folder: Path,
    sources: Sequence[Source],
    protocols: Sequence[str] = ("F1",),
    seeds: int = 3,
    n_epochs: int = 3,
    chaining: Chaining = FREE,
    processes: int = 2,
    page: str = "rollouts",
    command: str = "asteroid-nb bench rollout",
) -> Path:
    """Train what is not there yet, chain its forecasts and the rivals', write a page, and return it.

    Raises:
        InvalidSettings: a name that is no protocol; a temperature for a protocol of frames too far apart; a reference
            that did not make the data.
    """
    _must_show_velocities(protocols, chaining)
    _must_be_of_the_reference(sources, protocols, chaining)
    found = [
        rollouts(folder, *one, chaining, processes=processes)
        for one in compared(folder, sources, protocols, seeds=seeds, n_epochs=n_epochs, processes=processes)
    ]
    about = f"{n_epochs} epochs, {seeds} seeds; starts on the walker that nothing was learnt or chosen by."
    path = write(folder, page, found, command=command, about=about)
    print(path.read_text(encoding="utf-8"))
    return path


def _must_show_velocities(protocols: Sequence[str], chaining: Chaining) -> None:
    """Raise before hours of training what a thermostat would raise after them."""
    far = [name for name in protocols if name in PROTOCOLS and PROTOCOLS[name].spacing_fs > FURTHEST_FS]
    if chaining.temperature_K is not None and far:
        raise InvalidSettings(
            f"A temperature was asked for, and {', '.join(far)} looks at frames more than {FURTHEST_FS:g} fs apart, "
            "which do not show velocities. Ask for F1, or for no temperature."
        )


def _must_be_of_the_reference(sources: Sequence[Source], protocols: Sequence[str], chaining: Chaining) -> None:
    if chaining.reference is not None:
        for name, source in product(PROTOCOLS.keys() & protocols, sources):
            must_have_made(chaining.reference, PROTOCOLS[name].parts(source.trajectories()).test)


def rollouts(
    folder: Path, protocol: Protocol, source: Source, arms: Sequence[Arm], chaining: Chaining, *, processes: int = 2
) -> Finding:
    """Return the table of one protocol on one source."""
    records = [record_of(folder, arm) for arm in arms]
    sound = [arm for arm, record in zip(arms, records, strict=True) if "failed" not in record]
    truth = functools.cache(lambda: _truth(folder, protocol, source, chaining, processes=processes))
    own = [_of_arm(folder, arm, chaining, truth) for arm in sound]
    rivals = _of_rivals(folder, protocol, source, [*sound, *arms][0], chaining, truth, newton=bool(sound))
    rows = [_row(name, [record]) for name, record in rivals.items()]
    if own:
        rows.append(_row("STI-Transformer", own))
    return Finding(
        key=protocol.name,
        title=f"{source.name}: {chaining}, a forecast every {protocol.horizon * protocol.spacing_fs:g} fs",
        head=("forecaster", "whole", "median time to break, fs", "h(r) off, of 2", "median peak off, 1/cm",
              "worst peak off, 1/cm", "worst peak shown twice, off, 1/cm", "worst temperature off, %",
              "torsions off, of 1", "fs/s of one core"),
        rows=rows,
        rules=[*_rules(own, len(arms), protocol.spacing_fs, chaining.temperature_K), *failures(records)],
        note=f"Whole: no bond {BREAK_ANG:g} Å off its mean, of those that the truth keeps. The rest while whole: "
        "distances, peaks of the density of states, mean temperature of the worst element, torsions, each against "
        f"{_judge_said(chaining)}. One half of it against the other shows what sampling alone does. Shown twice: peaks "
        f"that both its halves have within {SAME_PER_CM:g} 1/cm. Mean ± standard deviation over seeds.",
    )  # fmt: skip


def _truth(folder: Path, protocol: Protocol, source: Source, chaining: Chaining, *, processes: int) -> Windows:
    """Return windows over what chains are judged by: the test walker, or the reference run on from where they start."""
    test, method = protocol.parts(source.trajectories()).test, chaining.reference
    if method is None:
        return test
    n_frames = chaining.n_blocks(protocol.horizon, test.dt_fs) * protocol.horizon
    where = chosen_folder(folder, source, protocol.name, method, repr((chaining.n_starts, n_frames)))
    return run_on(where, test, method=method, n_starts=chaining.n_starts, n_frames=n_frames, processes=processes)


def _judge_said(chaining: Chaining) -> str:
    if chaining.reference is not None:
        return f"{chaining.reference} run on at constant energy from the same starts, as long"
    if chaining.temperature_K is None:
        return "the test walker"
    return (
        f"the test walker (but every temperature against {chaining.temperature_K:g} K: at equilibrium all elements are "
        "equally warm)"
    )


def _of_arm(folder: Path, arm: Arm, chaining: Chaining, truth: Callable[[], Windows]) -> Record:
    path = arm.folder(folder) / chaining.file
    if path.is_file():
        return record_of(folder, arm, path.name)
    return keep(path, _chain(arm.load(folder), arm, chaining, truth()))


def _of_rivals(
    folder: Path,
    protocol: Protocol,
    source: Source,
    arm: Arm,
    chaining: Chaining,
    truth: Callable[[], Windows],
    *,
    newton: bool,
) -> dict[str, Record]:
    """Return rollouts of the ridge maps, of the potential that an arm starts from, and of the truth itself."""
    path = arm.folder(folder) / f"rivals-{chaining.file}"
    if path.is_file():
        return record_of(folder, arm, path.name)
    parts = protocol.parts(source.trajectories())
    skip = arm.load(folder).model.skip if newton else None
    integrating = [LearnedNewton(skip.potential, horizon=protocol.horizon)] if isinstance(skip, NewtonSkip) else []
    found = {one.name: _chain(one, arm, chaining, truth()) for one in [*usual_ridges(parts), *integrating]}
    halves = _halves(truth(), chaining.temperature_K)
    true = "the test walker" if chaining.reference is None else chaining.reference
    return keep(path, found | {f"{true}, half against half": _told(halves, None)})


def _halves(test: Windows, asked_K: float | None) -> RolloutQuality:
    """Return how the first half of what the windows cover is judged by the second, which shares no frame with it."""
    half = len(test) // 2
    early, late = test.starts[:half], test.starts[half + test.shape.span_frames :]
    first, second = (Windows(test.trajectories, test.shape, starts=starts) for starts in (early, late))
    return judge(covered(first), second, asked_K=asked_K)


def _chain(forecaster: Any, arm: Arm, chaining: Chaining, truth: Windows) -> Record:
    windows = arm.asked.parts(arm.source.trajectories()).test
    n_blocks = chaining.n_blocks(arm.asked.horizon, windows.dt_fs)
    how = {"n_starts": chaining.n_starts, "n_blocks": n_blocks, "thermostat": chaining.thermostat}
    with one_thread():
        began = time.perf_counter()
        paths = chains(forecaster, windows, **how)
        seconds = time.perf_counter() - began
    quality = judge(paths, truth, asked_K=chaining.temperature_K)
    return _told(quality, len(paths) * (len(paths[0]) - 1) * windows.dt_fs / seconds)


def _told(quality: RolloutQuality, fs_per_s: float | None) -> Record:
    return {
        **{name: getattr(quality, name) for name in ("length_fs", "stable_fs", "distance_mae", "temperatures_K")},
        **{name: getattr(quality, name) for name in ("n_whole", "furthest_peak_per_cm", "temperature_off")},
        **{name: getattr(quality, name) for name in ("peaks_per_cm", "shown_twice", "furthest_repeated_per_cm")},
        "torsion_js": quality.torsion_js,
        "fs_per_s": fs_per_s,
    }


def _row(name: str, records: Sequence[Record]) -> tuple[str, ...]:
    def listed(values: Sequence[float], digits: int) -> str:
        if len(values) > 1:
            return spread(values, digits)
        return f"{values[0]:.{digits}f}" if np.isfinite(values[0]) else "–"

    of = lambda key, scale=1.0: [np.nan if one[key] is None else scale * float(one[key]) for one in records]  # noqa: E731
    broken = [np.median([np.inf if fs is None else fs for fs in one["stable_fs"]]) for one in records]
    peaks = [np.array(one["peaks_per_cm"]).reshape(-1, 2) for one in records]
    usual = [float(np.median(np.abs(np.diff(each)))) if len(each) else np.nan for each in peaks]
    turned = [float(np.mean(one["torsion_js"])) if len(one["torsion_js"]) else np.nan for one in records]
    return (
        name, f"{', '.join(str(one['n_whole']) for one in records)} of {len(records[0]['stable_fs'])}",
        ", ".join(f"{fs:.0f}" if np.isfinite(fs) else "–" for fs in broken), listed(of("distance_mae"), 2),
        listed(usual, 0), listed(of("furthest_peak_per_cm"), 0), listed(of("furthest_repeated_per_cm"), 0),
        listed(of("temperature_off", 100.0), 1), listed(turned, 2), listed(of("fs_per_s"), 0),
    )  # fmt: skip


def _rules(records: Sequence[Record], n_seeds: int, spacing_fs: float, asked_K: float | None = None) -> list[Rule]:
    complete = len(records) == n_seeds and n_seeds > 0
    whole = [one["n_whole"] == len(one["stable_fs"]) for one in records]
    of = lambda key: np.array([one[key] for one in records], dtype=float)  # noqa: E731
    warm = 100 * of("temperature_off")
    rules = [
        Rule(
            asked=f"no bond off by more than {BREAK_ANG:g} Å in any chain of any seed",
            measured=", ".join(f"{one['n_whole']} of {len(one['stable_fs'])}" for one in records) or "no result",
            holds=complete and all(whole),
        ),
        Rule(
            asked=f"temperature of each element within {100 * WARM_SHARE:g} %, mean of seeds",
            measured=f"{spread(warm, 1)} %, the worst element",
            holds=complete and bool(warm.mean() <= 100 * WARM_SHARE),
        ),
    ]
    if asked_K is not None:  # vibrations depend on how warm a molecule is, and the walker is not held at this
        return rules
    folded = 1 / (2 * spacing_fs * CM_PER_FS_LIGHT) < FASTEST_PER_CM
    seen = f", folded: frames {spacing_fs:g} fs apart are too far for the fastest vibrations" if folded else ""
    which = {"furthest_peak_per_cm": "peaks", "furthest_repeated_per_cm": "peaks that both halves of the truth show"}
    return [
        *rules,
        *(
            Rule(
                asked=f"{of_which}, of the density of states, within {SAME_PER_CM:g} 1/cm, mean of seeds",
                measured=f"{spread(of(key), 1)} 1/cm, the worst peak{seen}",
                holds=None if folded else complete and bool(of(key).mean() <= SAME_PER_CM),
            )
            for key, of_which in which.items()
        ),
    ]
