"""Uncertainty: does an ensemble know how wrong it is, and does it know where to simulate next?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.bench.forecasts import doubt, learning
from asteroid_nb.bench.forecasts.choosing import STRATEGIES, LoopSize
from asteroid_nb.bench.forecasts.doubt import DISTANCE, SPREAD, USUAL, WARMTH, DoubtSize
from asteroid_nb.data.catalogue import sample
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.finding import Finding, Rule, spread, write
from asteroid_nb.metrics.calibration import CalibrationCurve
from asteroid_nb.parallel import side_by_side
from asteroid_nb.views.calibration import calibration_curves

Record = dict[str, Any]

#: In the order of tables.
SAYERS = (SPREAD, DISTANCE, WARMTH, USUAL)

#: Seeds of a loop from which a rule is judged; with fewer its number is only reported.
FEWEST_SEEDS = 3

#: Lead times at which choosing by spread is held against chance: that at which a force's own error shows, and the last.
JUDGED_FS = (8, 32)

#: Loops that were seen before it was asked how they do at the first of these, or by which temperatures and pieces were
#: chosen: they do not judge it.
SEEN = {"ethanol": {*range(3), *range(20, 26)}}

#: Ranks that are asked of the ensemble's spread, for windows at the last lead time.
LEAST_RANK = 0.3


def run(
    *,
    folder: Path,
    name: str = "ethanol",
    seeds: int = 3,
    loops: int = 3,
    first_loop: int = 0,
    processes: int = 2,
    size: DoubtSize | None = None,
    loop: LoopSize | None = None,
    kelvin: tuple[float, float] | None = None,
    pieces: tuple[int, int] | None = None,
    strategies: Sequence[str] = STRATEGIES,
    page: str = "uncertainty",
    command: str = "asteroid-nb bench uncertainty",
) -> Path:
    """Learn, simulate and judge what is not there yet, write a page, and return it.

    Args:
        name: of a bundled sample.
        seeds, loops: of the ensembles that are judged, and of each loop; of none there are no tables.
        first_loop: the first seed of the loops, for others than those that were seen.
        kelvin, pieces: changes of the loop: between which temperatures; how many pieces, and of how many frames.
        strategies: that choose what is simulated next, of `STRATEGIES`.

    Raises:
        InvalidSettings: a strategy that does not exist.
        MissingExtra: tblite is not installed.
    """
    _must_exist(strategies)
    size, loop = size or DoubtSize(), loop or LoopSize()
    loop = loop if kelvin is None else dataclasses.replace(loop, kelvin=kelvin)
    loop = loop if pieces is None else dataclasses.replace(loop, n_chosen=pieces[0], piece_frames=pieces[1])
    folder.mkdir(parents=True, exist_ok=True)
    told = _judged(folder, name, seeds, size, processes=processes)
    found = [ranks(name, told, size, kind=kind) for kind in ("windows", "atoms")] if told else []
    found += [calibration(name, told, size)] if told else []
    drawn = range(first_loop, first_loop + loops)
    if loops:
        learnt = _looped(folder, name, drawn, loop, strategies=strategies, processes=processes)
        found += [errors_by_cost(name, learnt, loop, drawn=drawn), ranks_where_it_is_hot(name, learnt, loop)]
    path = write(folder, page, found, command=command, about=_about(size, loop, seeds, drawn))
    print(path.read_text(encoding="utf-8"))
    return path


def _judged(folder: Path, name: str, seeds: int, size: DoubtSize, *, processes: int) -> list[Record]:
    """Return what every seed's ensemble knows of its errors, learning what was not learnt."""
    jobs = [(folder, name, seed, size) for seed in range(seeds)]
    waiting = [job for job in jobs if not doubt.record_path(*job).is_file()]
    side_by_side(doubt.judge_seed, waiting, processes=processes, label="ensembles")
    return [doubt.judge_seed(*job) for job in jobs]


def _looped(
    folder: Path, name: str, drawn: range, loop: LoopSize, *, strategies: Sequence[str], processes: int
) -> dict[str, list[list[Record]]]:
    """Return the rounds of every loop by strategy, doing what was not done."""
    beginnings = [(folder, name, seed, loop, strategies) for seed in drawn]
    side_by_side(begin_to_learn, beginnings, processes=processes, label="beginnings")
    choosing = [(folder, name, strategy, seed, loop) for seed in drawn for strategy in strategies]
    side_by_side(choose_and_learn, choosing, processes=processes, label="loops", unit="loop")
    return {one: [choose_and_learn(folder, name, one, seed, loop) for seed in drawn] for one in strategies}


def _must_exist(strategies: Sequence[str]) -> None:
    if unknown := [one for one in strategies if one not in STRATEGIES]:
        raise InvalidSettings(f"No strategy is called {unknown[0]!r}; there are {', '.join(STRATEGIES)}.")


def begin_to_learn(folder: Path, name: str, seed: int, size: LoopSize, strategies: Sequence[str]) -> None:
    """Do what all loops of a seed begin with."""
    learning.begin(learning.loop_folder(folder, name, size), sample(name), seed, size, strategies=strategies)


def choose_and_learn(folder: Path, name: str, strategy: str, seed: int, size: LoopSize) -> list[Record]:
    """Return the record of each round of one loop on a bundled sample, doing what was not done."""
    return learning.learnt_loop(learning.loop_folder(folder, name, size), sample(name), strategy, seed, size)


def _about(size: DoubtSize, loop: LoopSize, seeds: int, drawn: range) -> str:
    judged = (
        f"{seeds} seeds of {size.n_members} members with {size.n_steps} + {size.n_path_steps} steps of training for "
        "the first three tables"
    )
    looped = (
        f"loops of seeds {drawn.start} to {drawn.stop - 1}, of {loop.n_members} members with "
        f"{loop.n_steps} + {loop.n_path_steps}, {loop.width} wide"
    )
    told = "; ".join([*([judged] if seeds else []), *([looped] if drawn else [])])
    return f"Ensembles of learned potentials, integrated by velocity Verlet: {told}."


def ranks(name: str, told: Sequence[Record], size: DoubtSize, *, kind: str) -> Finding:
    """Return how well each ranks the errors of windows, or of atoms."""
    leads = [f"{lead:g}" for lead in size.leads_fs]
    of = lambda sayer, lead: _all(told, sayer, lead, kind, "rank")  # noqa: E731
    rows = [(sayer, *(_said(of(sayer, lead), 2) for lead in leads)) for sayer in SAYERS]
    own, rivals = of(SPREAD, leads[-1]).mean(), {one: of(one, leads[-1]).mean() for one in (DISTANCE, WARMTH, USUAL)}
    best = max((one for one in rivals if np.isfinite(rivals[one])), key=lambda one: rivals[one])
    rules = [
        Rule(
            asked=f"the spread ranks {kind} at {leads[-1]} fs better than any rival",
            measured=f"{own:.2f}, {best} {rivals[best]:.2f}",
            holds=bool(own > rivals[best]),
        )
    ]
    if kind == "windows":
        asked = f"its rank correlation there is at least {LEAST_RANK:g}"
        rules.append(Rule(asked=asked, measured=f"{own:.2f}", holds=bool(own >= LEAST_RANK)))
    return Finding(
        key="W" if kind == "windows" else "A",
        title=f"{name}: rank correlation of what is said with the error of {kind}, by lead time",
        head=("who says it", *(f"{lead} fs" for lead in leads)),
        rows=rows,
        rules=rules,
        note=f"Spearman's, 1 for perfect, 0 for chance; of {size.n_windows} windows of a walker that nobody learnt "
        f"from, mean ± standard deviation over seeds. {USUAL.capitalize()} is that of the atom on validation windows: "
        "it cannot rank windows.",
    )


def calibration(name: str, told: Sequence[Record], size: DoubtSize) -> Finding:
    """Return how far what is said is off once one factor, fitted on validation windows, made it as large as errors."""
    leads = [f"{lead:g}" for lead in size.leads_fs]
    last = leads[-1]
    rows = []
    for sayer in SAYERS:
        off = (_said(100 * _all(told, sayer, lead, "atoms", "off"), 0) for lead in leads)
        inside = (_said(100 * _all(told, sayer, last, "atoms", f"inside_{n}"), 0) for n in (1, 2))
        rows.append((sayer, *off, *inside, _said(_all(told, sayer, last, "atoms", "factor"), 4)))
    own, usual = (np.mean([_all(told, one, lead, "atoms", "off").mean() for lead in leads]) for one in (SPREAD, USUAL))
    curves = {sayer: _curve(told[0][sayer][last]["atoms"]) for sayer in SAYERS}
    drawn = calibration_curves(curves, title=f"{name}, {last} fs ahead: does it know how wrong it is?")
    return Finding(
        key="C",
        title=f"{name}: calibration for atoms of windows",
        head=(
            "who says it", *(f"off by, {lead} fs (%)" for lead in leads), f"inside 1 σ, {last} fs (%)",
            f"inside 2 σ, {last} fs (%)", f"factor, {last} fs",
        ),
        rows=rows,
        rules=[
            Rule(
                asked="the spread is off by less than the usual error of each atom, mean over lead times",
                measured=f"{100 * own:.0f} % of itself, the usual error {100 * usual:.0f} %",
                holds=bool(own < usual),
            )
        ],
        drawings={"uncertainty-calibration": drawn},
        note=f"Off by: expected normalised calibration error over {size.n_bins} bins of equal counts. Inside: shares "
        "of errors along x, y and z; a normal distribution has 68 and 95 %. The factor of each lead time is that of "
        "the validation walker, which is not as warm as the test's, so that errors may be larger than said.",
    )  # fmt: skip


def errors_by_cost(
    name: str, learnt: Mapping[str, Sequence[Sequence[Record]]], size: LoopSize, *, drawn: range
) -> Finding:
    """Return the error on hot walkers by what was simulated, for each strategy; ``drawn`` are the loops' seeds."""
    asked = [(rival, lead) for rival in learnt if rival != "spread" for lead in _leads(size)]
    seen = set(SEEN.get(name, ())) & set(drawn)
    rows = []
    for strategy, loops in learnt.items():
        for number in range(size.n_rounds + 1):
            of = [loop[number] for loop in loops]
            rows.append(
                (
                    strategy, f"{of[0]['simulated_fs']:g}", *(_at(of, lead, size) for lead in (8, 16, size.horizon)),
                    _said([one["median_ang"][-1] for one in of], 4), sum(one["n_lost"] for one in of),
                )
            )  # fmt: skip
    return Finding(
        key="L",
        title=f"{name}: error on hot walkers after so much simulation, by who chose it",
        head=(
            "chosen by", "simulated (fs)", *(f"RMSE, {lead} fs (Å)" for lead in (8, 16, size.horizon)),
            f"median window, {size.horizon} fs (Å)", "windows lost",
        ),
        rows=rows,
        rules=[
            _against(learnt, rival, lead_fs=lead, clean=lead == size.horizon or not seen) for rival, lead in asked
        ] if "spread" in learnt else [],
        note=f"All begin with {size.first_frames} fs of the coldest walker, another stretch for every seed, and are "
        f"judged on {size.n_windows} windows of the two hottest, which nobody learns from or chooses by. In each of "
        f"{size.n_rounds} rounds {size.n_chosen} pieces of {size.piece_frames} fs are simulated with GFN2-xTB at "
        f"{size.told_K}, from structures that the ensemble's own members come to when they are run at the same; "
        "straight on: the last cold structure is heated to the middle and simulated on, without any choice. Mean ± "
        "standard deviation over seeds. Lost: windows without finite numbers, which are left out. A simulation that "
        "fails is replaced by that of the next structure and not counted.",
    )  # fmt: skip


def _at(records: Sequence[Record], lead_fs: int, size: LoopSize) -> str:
    return _said([one["rmse_ang"][min(lead_fs, size.horizon) - 1] for one in records], 4)


def _leads(size: LoopSize) -> list[int]:
    return sorted({min(lead, size.horizon) for lead in JUDGED_FS})


def _against(learnt: Mapping[str, Sequence[Sequence[Record]]], rival: str, *, lead_fs: int, clean: bool) -> Rule:
    """Return whether choosing by spread beats a rival at equal cost, over all rounds of choosing and all seeds.

    Args:
        clean: nobody saw these loops at this lead time before it was asked.
    """
    at = lambda loops: np.array([[one["rmse_ang"][lead_fs - 1] for one in loop[1:]] for loop in loops])  # noqa: E731
    own, other = at(learnt["spread"]), at(learnt[rival])
    ratios = (own / other).mean(axis=1)
    wins = f"better in {(own < other).sum()} of {own.size} rounds of {len(ratios)} seeds"
    lost = any(one["n_lost"] for name in ("spread", rival) for loop in learnt[name] for one in loop)
    judged = clean and rival == "random" and len(ratios) >= FEWEST_SEEDS and not lost
    return Rule(
        asked=f"RMSE at {lead_fs} fs below that of {rival} at equal cost by more than the standard error of the "
        "mean over seeds",
        measured=f"{_said(ratios, 3)} × it, {wins}",
        holds=bool(ratios.mean() + ratios.std(ddof=1) / np.sqrt(len(ratios)) < 1) if judged else None,
    )


def ranks_where_it_is_hot(name: str, learnt: Mapping[str, Sequence[Sequence[Record]]], size: LoopSize) -> Finding:
    """Return how well the spread ranks windows far from what was learnt."""
    rows = []
    for strategy, loops in learnt.items():
        for number in range(size.n_rounds + 1):
            of = [loop[number] for loop in loops]
            keys = ("rank_of_spread", "rank_of_distance")
            said = [_said(_numbers([one[key][-1] for one in of]), 2) for key in keys]
            rows.append((strategy, f"{of[0]['simulated_fs']:g}", *said))
    return Finding(
        key="H",
        title=f"{name}: rank correlation on hot walkers, of ensembles that began with a cold one",
        head=("chosen by", "simulated (fs)", f"{SPREAD}, {size.horizon} fs", f"{DISTANCE}, {size.horizon} fs"),
        rows=rows,
        rules=[],
        note=f"Spearman's, of {size.n_windows} windows, mean ± standard deviation over seeds.",
    )


def _said(values: Sequence[float] | np.ndarray, digits: int) -> str:
    """Return mean and standard deviation over seeds, of one seed the number alone."""
    return spread(values, digits).split(" ± ")[0] if len(values) == 1 else spread(values, digits)


def _all(told: Sequence[Record], sayer: str, lead: str, kind: str, key: str) -> np.ndarray:
    return _numbers([one[sayer][lead][kind][key] for one in told])


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    """Return what JSON kept, NaN where it was no number."""
    return np.array(values, dtype=float)


def _curve(verdict: Record) -> CalibrationCurve:
    said, found = (_numbers(verdict[key]) for key in ("said", "found"))
    return CalibrationCurve(said, found, np.array(verdict["counts"]))
