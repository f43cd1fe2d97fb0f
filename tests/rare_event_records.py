"""Records of arms made by hand: what a training would have left, with timescales that are known."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from asteroid_nb.rare_events.four_wells import CORE_SET, INTERVAL
from asteroid_nb.states.landscapes import FS_PER_UNIT, four_well_partitions, four_wells
from asteroid_nb.states.one_step import label_passage_times

LAGS = (1, 2, 5, 10, 20, 50, 100)

#: t2 and t3 of the four wells.
T2, T3 = 71.0, 9.95

#: At one lag, or at each.
Times = float | Mapping[int, float]


@functools.cache
def exact_passages() -> np.ndarray:
    """Return [from, to] fs between the cores of the four wells."""
    chain = four_wells()
    visited = four_well_partitions(chain.centres)["core set"]
    return label_passage_times(chain, visited, interval=INTERVAL) * FS_PER_UNIT


def kinetics(
    t2: Times, *, passage_fs: Any = None, noise: float = 0.05, t3: float = T3, share_used: float = 1.0
) -> dict[str, Any]:
    """Return kinetics of a record: t2 in units of the wells, its band as wide as the noise of ln t2 makes it."""
    at = [t2.get(lag) if isinstance(t2, Mapping) else t2 for lag in LAGS]
    times = np.array([[np.nan if one is None else one, T3] for one in at]) * FS_PER_UNIT
    plain = lambda array: [[None if np.isnan(one) else one for one in row] for row in array.tolist()]  # noqa: E731
    return {
        "lags_frames": list(LAGS),
        "timescales_fs": plain(times),
        "low_fs": plain(times / 1.1),
        "high_fs": plain(times * 1.1),
        "share_used": [share_used] * len(LAGS),
        "passage_fs": None if passage_fs is None else np.asarray(passage_fs).tolist(),
        "censored": None if passage_fs is None else np.full((4, 4), 0.1).tolist(),
    }


def record(
    states: str = CORE_SET,
    model: str = "LSTM",
    seed: int = 0,
    *,
    learnt: Times = T2,
    data: Times = T2,
    chain: Times = T2,
    passage_fs: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """Return one record as JSON has it."""
    return {
        "states": states,
        "model": model,
        "seed": seed,
        "lags_frames": list(LAGS),
        "options": [list(pair) for pair in sorted(options.items())],
        "n_states": 4,
        "n_parameters": {"LSTM": 83_588, "Transformer": 83_012}[model],
        "n_training_frames": options.get("n_frames", 600_000) * 5 // 6,
        "dt_fs": options.get("interval", INTERVAL) * FS_PER_UNIT,
        "model_kinetics": kinetics(learnt, passage_fs=passage_fs),
        "data_kinetics": kinetics(data, passage_fs=passage_fs),
        "chain_kinetics": kinetics(chain, passage_fs=passage_fs),
    }


def unmade(states: str = CORE_SET, model: str = "LSTM", seed: int = 0, **options: Any) -> dict[str, Any]:
    """Return the record of an arm whose states could not be made."""
    return {
        "states": states,
        "model": model,
        "seed": seed,
        "lags_frames": list(LAGS),
        "options": [list(pair) for pair in sorted(options.items())],
        "failed": "No set has a certain member.",
    }


def frozen(one: dict[str, Any], of: str = "model") -> dict[str, Any]:
    """Return the record of an arm whose model, or data, never change their state."""
    return {**one, f"{of}_kinetics": {"failed": "None of the 256 trajectories ever changes its state."}}


def grid(
    states: Sequence[str],
    seeds: Sequence[int] = (0, 1, 2),
    models: Sequence[str] = ("LSTM", "Transformer"),
    **given: Any,
) -> list[dict[str, Any]]:
    """Return a record for every state, model and seed; what is given may be a function of the three."""
    known: Callable[..., Any] = lambda value, *arm: value(*arm) if callable(value) else value  # noqa: E731
    return [
        record(name, model, seed, **{key: known(value, name, model, seed) for key, value in given.items()})
        for name in states
        for model in models
        for seed in seeds
    ]


def verdicts(finding: Any, *words: str) -> list[bool | None]:
    """Return what came of the rules that hold all these words."""
    found = [rule.holds for rule in finding.rules if all(word in rule.asked for word in words)]
    assert found, f"no rule of {[rule.asked for rule in finding.rules]} holds {words}"
    return found
