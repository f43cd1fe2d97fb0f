"""All arms of the figures on the four wells, trained side by side; finished ones are kept, so a grid may be stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asteroid_nb.parallel import side_by_side
from asteroid_nb.rare_events import four_wells
from asteroid_nb.rare_events.arms import MODELS, Arm, Prepared, run_arm
from asteroid_nb.rare_events.four_wells import CELLS, CORE_SET, INTERVAL, N_FRAMES, NEAREST, X_ONLY, arm

#: Saving intervals of figure F, each of the same physical time.
INTERVALS = (0.02, 0.1, 0.5, 2.0)

#: Frames of all replicas in the size that the prototype of the design had, for figure C.
SMALL = 120_000

#: Frames of figure G, whose coordinates are many.
N_FRAMES_G = 240_000

CLEANED = tuple(name for name in four_wells.CHOICES if name.startswith("nearest, short visits"))
FINE, COARSE = "200 k-means states", "PCCA+ cores of 200 k-means states"


def arms_of(figure: str, seeds: Sequence[int], *, n_frames: int = N_FRAMES) -> list[Arm]:
    """Return the arms a figure asks for; figures A and B train nothing."""
    size = {} if n_frames == N_FRAMES else {"n_frames": n_frames}
    every = lambda names, models, **options: [  # noqa: E731
        arm(name, model, seed, **size, **options) for seed in seeds for name in names for model in models
    ]
    if figure in "DE":
        return every([CORE_SET], MODELS)
    if figure == "C":
        return every([CORE_SET, NEAREST, X_ONLY, CELLS], MODELS)
    if figure == "C small":
        return [arm(name, model, s, n_frames=SMALL) for s in seeds for name in (CORE_SET, NEAREST) for model in MODELS]
    if figure == "F":
        return [one for interval in INTERVALS for one in _saved(interval, seeds, n_frames)]
    if figure == "G":
        frames = {"n_frames": min(n_frames, N_FRAMES_G)}
        names = [(name, dimension) for dimension in four_wells.DIMENSIONS for name in (FINE, COARSE)]
        return [arm(name, "LSTM", seed, dimension=at, **frames) for seed in seeds for name, at in names]
    return every([NEAREST, CORE_SET, *CLEANED], ["LSTM"]) if figure == "H" else []


def _saved(interval: float, seeds: Sequence[int], n_frames: int) -> list[Arm]:
    frames = round(n_frames * INTERVAL / interval)
    told: dict[str, Any] = {} if interval == INTERVAL else {"interval": interval}
    if frames != N_FRAMES:
        told["n_frames"] = frames
    return [arm(name, "LSTM", seed, **told) for seed in seeds for name in (CORE_SET, NEAREST)]


def train_all(
    folder: Path, arms: Sequence[Arm], *, processes: int, prepare: Callable[[Arm], Prepared] = four_wells.prepare
) -> list[dict[str, Any]]:
    """Train what is not there yet and return all records, in order."""
    waiting = [one for one in dict.fromkeys(arms) if not one.path(folder).is_file()]
    if waiting:
        side_by_side(run_arm, [(folder, one, prepare) for one in waiting], processes=processes, label="states")
    return [json.loads(one.path(folder).read_text(encoding="utf-8")) for one in arms]
