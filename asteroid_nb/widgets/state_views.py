"""What the state explorer shows: from `StateSources` to figures, with the numbers that matter in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.states.kinetics import PassageTimes
from asteroid_nb.views.ramachandran import ramachandran
from asteroid_nb.views.state_network import MOST_STATES, population_bars, state_network
from asteroid_nb.views.state_parity import passage_parity
from asteroid_nb.views.state_path import state_path
from asteroid_nb.views.state_times import chapman_kolmogorov_figure, timescales_against_lag
from asteroid_nb.views.time_units import time_words
from asteroid_nb.widgets.state_sources import StateSources
from asteroid_nb.widgets.structure_figures import Drawn

TIMESCALES, PASSAGES, NETWORK = "timescales against lag", "passage times", "state network"
MAPS, PATHS, POPULATIONS, TEST = "Ramachandran maps", "paths", "populations", "Chapman–Kolmogorov test"

#: States up to which a test has a panel each, and chains of one name that can be chosen.
MOST_SETS, MOST_CHAINS = 12, 30


def kinds(sources: StateSources) -> list[str]:
    """Return what can be shown of these trajectories."""
    few, several = sources.n_states <= MOST_STATES, bool(sources.models) or sources.exact_passage_fs is not None
    maps = bool(_pairs(sources))
    offered = {
        TIMESCALES: sources.n_states > 1,
        PASSAGES: few and several and sources.n_states > 1,
        NETWORK: few,
        MAPS: maps,
        PATHS: True,
        POPULATIONS: True,
        TEST: 1 < sources.n_states <= MOST_SETS,
    }
    return [kind for kind, there in offered.items() if there]


def members(sources: StateSources, kind: str) -> list[tuple[str, Callable[[StateSources], Drawn]]]:
    """Return what there is of a kind to choose from, and what draws each."""
    if kind == TIMESCALES:
        return [(f"t{mode + 2}", partial(timescales, mode=mode)) for mode in range(min(3, sources.n_states - 1))]
    if kind == PASSAGES:
        known = sources.exact_passage_fs is not None
        compared = sources.names if known else sources.models
        single = [(name, partial(passages, names=(name,))) for name in compared]
        return [("all", partial(passages, names=compared)), *single] if len(single) > 1 else single
    if kind == MAPS:
        return [(f"{x}, {y}", partial(maps, dimensions=(x, y))) for x, y in _pairs(sources)]
    if kind == PATHS:
        return [
            (_one_of(name, number, len(paths)), partial(path, name=name, number=number))
            for name, paths in sources.paths.items()
            for number in range(min(len(paths), MOST_CHAINS))
        ]
    if kind == POPULATIONS:
        return [("all", populations)]
    draw = network if kind == NETWORK else predictions
    return [(name, partial(draw, name=name)) for name in sources.names]


def timescales(sources: StateSources, mode: int) -> Drawn:
    curves = {name: sources.timescales(name) for name in sources.names}
    plateau = sources.plateau_frames
    at = sources.read_at_frames
    figure = timescales_against_lag(
        curves,
        exact_fs=sources.exact_timescales_fs,
        mode=mode,
        plateau_fs=None if plateau is None else plateau * sources.dt_fs,
        subtitle=f"band: {curves[sources.reference].band} of {sources.reference}",
    )
    facts = []
    for name, curve in curves.items():
        index = list(curve.lags_frames).index(at)
        low, high = (None if one is None else one[index, mode] for one in (curve.low, curve.high))
        band = "" if low is None or high is None else f" ({time_words(low)} to {time_words(high)})"
        facts.append(f"{name} {time_words(curve.timescales_fs[index, mode])}{band}")
    if len(sources.exact_timescales_fs) > mode:
        facts.append(f"exact {time_words(sources.exact_timescales_fs[mode])}")
    where = f"At a lag of {time_words(at * sources.dt_fs)}"
    why = f", from which t2 of {sources.reference} stays within 10%" if plateau else ""
    none = "" if plateau else f" t2 of {sources.reference} reaches no plateau among these lags."
    notes = dict.fromkeys(note for curve in curves.values() for note in curve.notes[:2])
    return Drawn(figure, " ".join([f"{where}{why}: t{mode + 2} of {', '.join(facts)}.{none}", *notes]))


def passages(sources: StateSources, names: tuple[str, ...]) -> Drawn:
    known = sources.exact_passage_fs is not None
    reference_name = "exact" if known else sources.reference
    reference = sources.exact_passage_fs if known else sources.passages(sources.reference).times_fs
    found = {name: sources.passages(name) for name in names}
    figure = passage_parity(
        np.asarray(reference), {name: one.times_fs for name, one in found.items()}, sources.labels,
        reference_name=reference_name,
    )  # fmt: skip
    known_too = {} if known else {sources.reference: sources.passages(sources.reference)}
    facts = [_seldomest(one) for one in {**known_too, **found}.values()]
    return Drawn(figure, f"Each point is a pair of states. Fewest passages seen: {', '.join(facts)}.")


def _seldomest(times: PassageTimes) -> str:
    """Say which passage was seen least often, and how many waits for it the end of a trajectory cut off."""
    if times.events is None or times.censored is None:
        return f"{times.name} counted none"
    apart = np.where(np.eye(len(times.labels), dtype=bool), np.inf, times.events)
    a, b = np.unravel_index(apart.argmin(), apart.shape)
    cut = f", {times.censored[a, b]:.0%} of waits cut off" if times.censored[a, b] > 0 else ""
    return f"{times.name} {times.events[a, b]} ({times.labels[a]} → {times.labels[b]}{cut})"


def network(sources: StateSources, name: str) -> Drawn:
    found, shares = sources.passages(name), sources.populations(name)
    figure = state_network(
        shares, found.times_fs, sources.labels, kind="passage times", centres=sources.centres,
        title=f"States of {name}", subtitle="area: time spent there; thick: fast",
    )  # fmt: skip
    never = [label for label, share in zip(sources.labels, shares, strict=True) if share == 0]
    said = f"{name} never visits {', '.join(never)}. " if never else ""
    return Drawn(figure, f"{said}Passage times are means from any moment in a state until first in the other.")


def maps(sources: StateSources, dimensions: tuple[str, str]) -> Drawn:
    panels, states, notes = {}, {}, []
    names = sources.coordinates[sources.reference][0].names
    columns = [names.index(one) for one in dimensions]
    for name in sources.names:
        values, labels, note = sources.drawn_frames(name)
        title = f"{name}, frames of {sources.reference}" if note else name
        panels[title], states[title] = values[:, columns], labels
        notes += [note] if note else []
    figure = ramachandran(
        panels, temperature_K=sources.temperature_K, states=states, labels=sources.labels, names=dimensions,
    )  # fmt: skip
    return Drawn(figure, " ".join(notes))


def path(sources: StateSources, name: str, number: int) -> Drawn:
    chosen = sources.paths[name][number]
    cleaned, why = sources.cleaned(name, number)
    which = _one_of(name, number, len(sources.paths[name]))
    figure = state_path(
        chosen.times_fs, chosen.states, cleaned, labels=sources.labels, title=f"Path of {which}",
    )  # fmt: skip
    rest = len(sources.paths[name]) - MOST_CHAINS
    more = f" {rest} more of {name} cannot be chosen here." if rest > 0 else ""
    return Drawn(figure, f"{why}{more}".strip())


def populations(sources: StateSources) -> Drawn:
    found = {name: sources.populations(name) for name in sources.names}
    reference = found[sources.reference]
    facts = [f"{name} {np.abs(found[name] - reference).sum() / 2:.1%}" for name in sources.models]
    said = f"Share of the time spent elsewhere than {sources.reference}: {', '.join(facts)}." if facts else ""
    return Drawn(population_bars(found, sources.labels), said)


def predictions(sources: StateSources, name: str) -> Drawn:
    found = sources.chapman_kolmogorov(name)
    stays = lambda table: None if table is None else np.diagonal(table, axis1=1, axis2=2)  # noqa: E731
    lag = time_words(sources.read_at_frames * sources.dt_fs)
    predicted, estimated = stays(found.predicted), stays(found.estimated)
    if predicted is None or estimated is None:
        raise InvalidTrajectory(f"There is no test of {name}. Choose another.")
    figure = chapman_kolmogorov_figure(
        found.lags_fs, predicted, estimated, labels=found.labels, low=stays(found.estimated_low),
        high=stays(found.estimated_high), title=f"Chapman–Kolmogorov test of {name}", subtitle=f"model at {lag}",
    )  # fmt: skip
    return Drawn(figure, f"Predictions of {name} from a lag of {lag} are off by up to {found.largest_difference:.3f}.")


def _one_of(name: str, number: int, several: int) -> str:
    return f"{name}, {number + 1} of {several}" if several > 1 else name


def _pairs(sources: StateSources) -> list[tuple[str, str]]:
    """Return which torsions make a map: φ and ψ of one residue, of other names those beside each other."""
    found = sources.coordinates.get(sources.reference)
    if not found or not found[0].periodic:
        return []
    names = found[0].names
    residues = [(name, f"ψ{name[1:]}") for name in names if name.startswith("φ") and f"ψ{name[1:]}" in names]
    return residues or list(zip(names[::2], names[1::2], strict=False))
