"""Forecasts chained for picoseconds: do molecules stay whole, and do they move as the simulation does?"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from asteroid_nb.bench.forecasts.accuracy import failures
from asteroid_nb.bench.forecasts.arms import Arm, compared, keep, record_of, usual_ridges
from asteroid_nb.bench.forecasts.chaining import Chaining, Record, Staging, chain, halves, staged
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.forecasts.reference import must_have_made
from asteroid_nb.bench.sources import Source
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.finding import Finding, Rule, spread, write
from asteroid_nb.forecast.newton import LearnedNewton, NewtonSkip
from asteroid_nb.forecast.thermostat import FURTHEST_FS
from asteroid_nb.metrics.structure import BREAK_ANG
from asteroid_nb.rolling import SAME_PER_CM
from asteroid_nb.units import CM_PER_FS_LIGHT

#: What is asked: by which share temperatures may be off. Peaks may be off by `SAME_PER_CM`.
WARM_SHARE = 0.05

#: No vibration of a molecule is faster.
FASTEST_PER_CM = 4400.0

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
    if chaining.held_K is not None and far:
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
    stage = functools.cache(lambda: staged(folder, protocol, source, chaining, processes=processes))
    rivals = _of_rivals(folder, [*sound, *arms][0], chaining, stage)
    own = [_of_arm(folder, arm, chaining, stage) for arm in sound]
    integrated = [record for arm in sound if (record := _of_potential(folder, arm, chaining, stage))]
    several = {LearnedNewton.name: integrated, "STI-Transformer": own}
    rows = [*((name, [record]) for name, record in rivals.items()), *several.items()]
    return Finding(
        key=protocol.name,
        title=f"{source.name}: {chaining}, a forecast every {protocol.horizon * protocol.spacing_fs:g} fs",
        head=("forecaster", "whole", "median time to break, fs", "h(r) off, of 2", "median peak off, 1/cm",
              "worst peak off, 1/cm", "worst peak shown twice, off, 1/cm", "worst temperature off, %",
              "torsions off, of 1", "fs/s of one core"),
        rows=[_row(name, found) for name, found in rows if found],
        rules=[*_rules(own, len(arms), protocol.spacing_fs, chaining.held_K), *failures(records)],
        note=f"Whole: no bond {BREAK_ANG:g} Å off its mean; of bonds that the truth itself breaks, none that much "
        "further off than there. The rest while whole: distances, peaks of the density of states (each of the truth's "
        "with the nearest of the chains', which may be another), mean temperature of the worst element, torsions, each "
        f"against {chaining.judge}. Half against half: of the truth's paths, or of the time of a single one; the other "
        "half is another stretch, so that it tells what sampling does. Shown twice: peaks that both halves of "
        f"the time show within {SAME_PER_CM:g} 1/cm. Mean ± standard deviation over seeds.",
    )  # fmt: skip


def _of_arm(folder: Path, arm: Arm, chaining: Chaining, stage: Staging) -> Record:
    path = arm.folder(folder) / chaining.file
    if path.is_file():
        return record_of(folder, arm, path.name)
    return keep(path, chain(arm.load(folder), arm.asked, chaining, stage()))


def _of_potential(folder: Path, arm: Arm, chaining: Chaining, stage: Staging) -> Record | None:
    """Return what became of chains by the potential alone that an arm starts from, if it does from one."""
    path = arm.folder(folder) / f"newton-{chaining.file}"
    if path.is_file():
        return record_of(folder, arm, path.name)
    skip = arm.load(folder).model.skip
    if not isinstance(skip, NewtonSkip):
        return None
    newton = LearnedNewton(skip.potential, horizon=arm.asked.horizon)
    return keep(path, chain(newton, arm.asked, chaining, stage()))


def _of_rivals(folder: Path, arm: Arm, chaining: Chaining, stage: Staging) -> dict[str, Record]:
    """Return rollouts of the ridge maps and of the truth itself."""
    path = arm.folder(folder) / f"rivals-{chaining.file}"
    if path.is_file():
        return record_of(folder, arm, path.name)
    ridges = usual_ridges(arm.asked.parts(arm.source.trajectories()))
    found = {one.name: chain(one, arm.asked, chaining, stage()) for one in ridges}
    return keep(path, found | {f"{stage().name}, half against half": halves(stage(), chaining)})


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


def _but_for(records: Sequence[Record]) -> str:
    n_loose = max((one["n_loose"] for one in records), default=0)
    return f", but for {n_loose} that the truth itself breaks: by no more than that beyond it" if n_loose else ""


def _rules(records: Sequence[Record], n_seeds: int, spacing_fs: float, asked_K: float | None = None) -> list[Rule]:
    complete = len(records) == n_seeds and n_seeds > 0
    whole = [one["n_whole"] == len(one["stable_fs"]) for one in records]
    of = lambda key: np.array([one[key] for one in records], dtype=float)  # noqa: E731
    warm = 100 * of("temperature_off")
    rules = [
        Rule(
            asked=f"no bond off by more than {BREAK_ANG:g} Å in any chain of any seed{_but_for(records)}",
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
    which = {
        "furthest_peak_per_cm": "peaks",
        "furthest_repeated_per_cm": "peaks that both halves of the truth's time show",
    }
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
