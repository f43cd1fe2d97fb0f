"""Everything ``asteroid-nb states`` does: the grid, the figures, their rules, one page with all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.finding import Finding, write
from asteroid_nb.rare_events import comparison, exact, factors, figures, torsions
from asteroid_nb.rare_events.arms import MODELS, Arm
from asteroid_nb.rare_events.finding import about, reasons
from asteroid_nb.rare_events.four_wells import N_FRAMES
from asteroid_nb.rare_events.grid import SMALL, arms_of, train_all
from asteroid_nb.rare_events.torsions import BUNDLED, System

EXACT = {"A": exact.figure_a, "B": exact.figure_b}
TRAINED: dict[str, Callable[[Sequence[dict[str, Any]]], Finding]] = {
    **{"C": figures.figure_c, "D": comparison.figure_d, "E": comparison.figure_e},
    **{"F": factors.figure_f, "G": factors.figure_g, "H": factors.figure_h},
}
ALL = (*EXACT, *TRAINED, "I")

#: Seeds of the comparison of models, which rests on the mean over them, at least.
SEEDS_DE = 5


def run(
    *,
    folder: Path,
    names: Sequence[str] = ALL,
    n_seeds: int = 3,
    n_frames: int = N_FRAMES,
    systems: Sequence[System] = (BUNDLED,),
    processes: int = 2,
    command: str = "asteroid-nb states",
) -> Path:
    """Train what the figures need, write ``states.md`` with tables and rules, and return it.

    Finished arms are kept in the folder: the same call goes on where it was stopped.

    Raises:
        InvalidSettings: a name that is no figure, or no seed.
    """
    if unknown := [name for name in names if name not in ALL]:
        raise InvalidSettings(f"No figure is called {unknown[0]!r}; there are {', '.join(ALL)}.")
    if n_seeds < 1:
        raise InvalidSettings(f"Found {n_seeds} seeds; needed is one at least, and three for the rules.")
    for system in systems if "I" in names else ():
        system.load()  # a file that cannot be read is told of before hours of training
    wanted = {name: _arms(name, n_seeds, n_frames) for name in names if name in TRAINED}
    records = dict(_trained(folder, [one for arms in wanted.values() for one in arms], processes))
    found = []
    for name in names:
        if name in EXACT:
            found.append(EXACT[name]())
        elif name in TRAINED:
            some = [records[one] for one in dict.fromkeys(wanted[name])]
            finding = TRAINED[name](some)
            found.append(dataclasses.replace(finding, rules=[*finding.rules, *reasons(some)]))
        else:
            found.append(_on_torsions(folder, systems, n_seeds, processes))
    path = write(folder, "states", found, command=command, about=about())
    print(path.read_text(encoding="utf-8"))
    return path


def _arms(name: str, n_seeds: int, n_frames: int) -> list[Arm]:
    seeds = range(max(n_seeds, SEEDS_DE) if name in "DE" and n_seeds >= 3 else n_seeds)
    arms = arms_of(name, seeds, n_frames=n_frames)
    return [*arms, *arms_of("C small", seeds)] if name == "C" and n_frames > SMALL else arms


def _trained(folder: Path, arms: Sequence[Arm], processes: int) -> zip:
    unique = list(dict.fromkeys(arms))
    return zip(unique, train_all(folder, unique, processes=processes), strict=True)


def _on_torsions(folder: Path, systems: Sequence[System], n_seeds: int, processes: int) -> Finding:
    arms = [system.arm(model, seed) for system in systems for seed in range(n_seeds) for model in MODELS]
    records = train_all(folder, arms, processes=processes, prepare=torsions.prepare)
    finding = torsions.figure_i(records, {system.name: torsions.reference(folder, system) for system in systems})
    return dataclasses.replace(finding, rules=[*finding.rules, *reasons(records)])
