"""Where to simulate next: an ensemble begins with cold ethanol and asks for hot pieces, as do its rivals at equal cost.

Each round learns an ensemble from all that is known, judges it on hot walkers that nobody learns from, lets its members
run hot from known structures, chooses some of the structures they come to, and simulates a piece from each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_nb import __version__
from asteroid_nb.bench.forecasts.arms import RECORD, keep
from asteroid_nb.bench.forecasts.choosing import (
    BETWEEN_FRAMES,
    KICK_FRAMES,
    LEARNT,
    MOST_UNSURE,
    STRATEGIES,
    LoopSize,
    candidates,
    learnt_frames,
    ordered,
)
from asteroid_nb.bench.forecasts.novelty import Known, temperatures_K
from asteroid_nb.data.readers import load, save_walkers
from asteroid_nb.data.simulate import simulate
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.errors import InvalidTrajectory, SimulationFailed
from asteroid_nb.forecast import potential_fit
from asteroid_nb.forecast.ensemble import Ensemble
from asteroid_nb.metrics.calibration import rank_correlation

#: Of a seed's folder: dynamics that go straight on.
WALKERS = "walkers"

#: What is otherwise than in `POTENTIAL_FIT`: few frames and steps, of which a long average would remember the first.
FITTING: dict[str, Any] = {"batch_size": 64, "ema_decay": 0.98}

#: Steps of 1 fs of which paths are learnt, fewer in short pieces.
MOST_AHEAD = 8


def loop_folder(folder: Path, name: str, size: LoopSize) -> Path:
    """Return where the rounds on one molecule are kept; other choices have another name."""
    choices = (LEARNT, FITTING, MOST_AHEAD, MOST_UNSURE, KICK_FRAMES, BETWEEN_FRAMES, potential_fit.CHOICES)
    chosen = (name, size, choices, __version__)
    return folder / "learning" / f"{name}-{hashlib.sha256(repr(chosen).encode()).hexdigest()[:8]}"


def learnt_loop(folder: Path, walkers: Sequence[Trajectory], strategy: str, seed: int, size: LoopSize) -> list[Any]:
    """Return the record of each round, doing what was not done yet.

    Args:
        folder: that `loop_folder` named.

    Raises:
        SimulationFailed: no chosen structure could be simulated.
    """
    begin(folder, walkers, seed, size, strategies=[strategy])
    cold, hot = divided(walkers, size, seed)
    known, records, walking = [cold], [], folder / f"seed{seed}" / WALKERS
    for number in range(size.n_rounds + 1):
        record, pieces = _files(folder, seed, strategy, number)
        last = number == size.n_rounds
        if not record.is_file() or not (last or pieces.is_file()):
            ensemble = _learnt(known, seed=100 * seed, size=size)
            _keep_verdict(record, ensemble, known, hot, size)
            if not last:
                found = _more(ensemble, known, strategy, seed=seed, number=number, size=size, out=walking)
                save_walkers(found, pieces)
        records.append(json.loads(record.read_text(encoding="utf-8")))
        if not last:
            known += _pieces(pieces)
    return records


def begin(
    folder: Path,
    walkers: Sequence[Trajectory],
    seed: int,
    size: LoopSize,
    *,
    strategies: Sequence[str] = STRATEGIES,
) -> None:
    """Learn from the cold stretch once, and simulate what each strategy asks for first."""
    cold, hot = divided(walkers, size, seed)
    walking = folder / f"seed{seed}" / WALKERS
    wanted = {one: _files(folder, seed, one, 0) for one in strategies}
    if all(path.is_file() for pair in wanted.values() for path in pair):
        return
    ensemble = _learnt([cold], seed=100 * seed, size=size)
    for strategy, (record, pieces) in wanted.items():
        _keep_verdict(record, ensemble, [cold], hot, size)
        if not pieces.is_file():
            found = _more(ensemble, [cold], strategy, seed=seed, number=0, size=size, out=walking)
            save_walkers(found, pieces)


def _files(folder: Path, seed: int, strategy: str, number: int) -> tuple[Path, Path]:
    """Return where a round's record and the pieces that it asks for are kept; all strategies begin with one record."""
    name = strategy.replace(" ", "-")
    if number == 0:
        return folder / f"seed{seed}" / "begun" / RECORD, folder / f"seed{seed}" / "begun" / f"pieces-{name}.npz"
    where = folder / f"seed{seed}" / name / f"round{number}"
    return where / RECORD, where / "pieces.npz"


def _keep_verdict(
    record: Path, ensemble: Ensemble, known: Sequence[Trajectory], hot: Sequence[Trajectory], size: LoopSize
) -> None:
    if not record.is_file():
        fs = sum(one.n_frames for one in known) * known[0].dt_fs
        keep(record, {"simulated_fs": fs, **judged(ensemble, known, hot, size)})


def divided(walkers: Sequence[Trajectory], size: LoopSize, seed: int) -> tuple[Trajectory, list[Trajectory]]:
    """Return a stretch of the coldest walker, another for every seed, and the two hottest.

    Raises:
        InvalidTrajectory: fewer than three walkers.
    """
    if len(walkers) < 3:
        raise InvalidTrajectory(f"One cold and two hot walkers are needed, found {len(walkers)}. Give more.")
    by_warmth = sorted(walkers, key=warmth_K)
    cold, room = by_warmth[0], by_warmth[0].n_frames - size.first_frames
    first = int(np.random.default_rng(seed).integers(0, room + 1))
    return cold[first : first + size.first_frames], by_warmth[-2:]


def warmth_K(walker: Trajectory) -> float:
    """Return the mean kinetic temperature."""
    pairs = np.stack([walker.positions[:-1:7], walker.positions[1::7][: len(walker.positions[:-1:7])]], axis=1)
    return float(temperatures_K(pairs, walker.masses, walker.dt_fs).mean())


def _learnt(known: Sequence[Trajectory], *, seed: int, size: LoopSize) -> Ensemble:
    """Return an ensemble that learnt from the beginning of every piece, and whose epochs the ends chose."""
    cuts = [int(LEARNT * one.n_frames) for one in known]
    ends = [(cut, one.n_frames) for cut, one in zip(cuts, known, strict=True)]
    shape = WindowShape(history=2, horizon=min(MOST_AHEAD, *(end - cut - 2 for cut, end in ends)))
    parts = [_stretch(known, borders, shape) for borders in ([(0, cut) for cut in cuts], ends)]
    ensemble = Ensemble.fit(
        *parts, n_members=size.n_members, seed=seed, n_steps=size.n_steps, n_path_steps=size.n_path_steps,
        width=size.width, observers=(), **FITTING,
    )  # fmt: skip
    for member in ensemble.members:
        member.horizon = size.horizon
    return ensemble


def _stretch(known: Sequence[Trajectory], borders: Sequence[tuple[int, int]], shape: WindowShape) -> Windows:
    frames = [np.arange(first, end - shape.span_frames + 1) for first, end in borders]
    starts = [np.stack([np.full_like(each, number), each], axis=1) for number, each in enumerate(frames)]
    return Windows(known, shape, starts=np.concatenate(starts))


def judged(ensemble: Ensemble, known: Sequence[Trajectory], hot: Sequence[Trajectory], size: LoopSize) -> dict:
    """Return errors in Å by lead time on the hot walkers, and how well the spread ranks them."""
    windows = Windows(hot, WindowShape(history=2, horizon=size.horizon)).subset(most=size.n_windows)
    window = windows[:]
    mean, spread = ensemble.forecast_and_spread(window)
    squared = (mean - window.truth).double().square().mean((2, 3))
    usable = squared.isfinite().all(1) & spread.isfinite().all((1, 2))
    own = spread.double().square().mean(2).sqrt()
    familiar = Known(windows.molecule, learnt_frames(known)).distances(window.history[:, -1].numpy())
    errors, ranks = squared.sqrt()[usable].numpy(), range(size.horizon)
    return {
        "rmse_ang": squared[usable].mean(0).sqrt().numpy(),
        "median_ang": squared.nan_to_num(nan=torch.inf).sqrt().median(0).values.numpy(),
        "n_lost": int((~usable).sum()),
        "rank_of_spread": [rank_correlation(own[usable, lead].numpy(), errors[:, lead]) for lead in ranks],
        "rank_of_distance": [rank_correlation(familiar[usable.numpy()], errors[:, lead]) for lead in ranks],
    }


def _more(
    ensemble: Ensemble,
    known: Sequence[Trajectory],
    strategy: str,
    *,
    seed: int,
    number: int,
    size: LoopSize,
    out: Path,
) -> list[Trajectory]:
    """Return the pieces that a strategy asks for."""
    if strategy == "straight on":
        return _straight_on(known[0], seed=seed, number=number, size=size, out=out)
    histories, temperatures = candidates(ensemble, known, seed=1000 * seed + number, size=size)
    order = ordered(strategy, ensemble, known, histories, seed=seed, n=3 * size.n_chosen)
    pieces = []
    for place, chosen in enumerate(order):
        start = known[0][:1].replace(positions=histories[chosen, -1].numpy()[None], forces=None, energies=None)
        try:
            pieces += _simulated(
                start, float(temperatures[chosen]), seed=10_000 * seed + 100 * number + place, size=size
            )
        except SimulationFailed:
            continue  # the next in order is simulated instead
        if len(pieces) == size.n_chosen:
            return pieces
    raise SimulationFailed(f"Of {len(order)} structures chosen by {strategy}, {len(pieces)} could be simulated.")


def _simulated(start: Trajectory, temperature_K: float, *, seed: int, size: LoopSize, **changes: Any) -> Any:
    how: dict[str, Any] = {"n_frames": size.piece_frames, "chunk_frames": size.piece_frames, "seed": seed, **changes}
    return simulate(
        start, temperature_K=temperature_K, dt_fs=start.dt_fs, timestep_fs=start.dt_fs / 2, equilibration_fs=0.0,
        relax=False, processes=0, progress=False, **how,
    )  # fmt: skip


def _straight_on(cold: Trajectory, *, seed: int, number: int, size: LoopSize, out: Path) -> list[Trajectory]:
    """Return the next piece of walkers from the last cold structure; half of their warmth goes into its bonds."""
    start = cold[-1:].replace(forces=None, energies=None)
    warmth, length = 2 * size.middle_K - warmth_K(cold), (number + 1) * size.piece_frames
    walkers = _simulated(start, warmth, seed=seed, size=size, n_walkers=size.n_chosen, n_frames=length, out=out)
    return [walker[-size.piece_frames :] for walker in walkers]


def _pieces(path: Path) -> list[Trajectory]:
    found = load(path)
    return [found] if isinstance(found, Trajectory) else list(found)
