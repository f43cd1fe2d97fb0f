"""Time and peak memory of one forecast or one step of training, measured in a process of its own.

python -m asteroid_nb.bench.forecasts.footprint '{"n_copies": 100, "pairs": "listed", "work": "forecast", ...}'
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asteroid_nb.bench.forecasts.boxes import box_of_ethanol
from asteroid_nb.data.windows import Window
from asteroid_nb.forecast.losses import loss_terms, loss_weights
from asteroid_nb.forecast.settings import ObjectiveSettings, preset
from asteroid_nb.forecast.transformer import STITransformer

#: Learned registers where pairs are listed: all that atoms far from each other have in common.
REGISTERS = 16

#: Of each timing after one call that is not counted: at most so many, and not more than this many seconds of them.
ROUNDS, MOST_S = 5, 60.0

KIB, GIB = 2**10, 2**30


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is measured.

    Args:
        n_copies: of ethanol.
        pairs: "all" or "listed".
        work: "forecast" or "training", which is forward and backward.
        device: "cpu", with one thread, or "cuda".
        preset: the make of the model.
    """

    n_copies: int
    pairs: str
    work: str
    device: str = "cpu"
    preset: str = "notebook"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What it took; seconds are sorted, and empty where memory did not suffice."""

    n_atoms: int
    seconds: list[float]
    peak_bytes: int

    @property
    def median_s(self) -> float:
        return self.seconds[len(self.seconds) // 2]


def apart(wanted: Wanted) -> Found | None:
    """Return what a process of its own measured, or None where it ran out of memory."""
    context = multiprocessing.get_context("forkserver")  # imports torch once, and holds no GPU
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measured, wanted).result()
        except (BrokenProcessPool, torch.OutOfMemoryError, MemoryError):
            return None
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
            return None


def measured(wanted: Wanted) -> Found:
    """Measure in this process, whose memory should hold nothing else."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    changes: dict[str, Any] = {"atom_identity": False, "pairs": wanted.pairs, "skip": "ridge"}
    changes |= {"registers": REGISTERS} if wanted.pairs == "listed" else {}
    settings = preset(wanted.preset).replace(**changes)
    molecule, window = box_of_ethanol(
        wanted.n_copies, settings.history + settings.horizon, n_seen=settings.history, seed=0
    )
    device = torch.device(wanted.device)
    model, window = STITransformer(settings, molecule).to(device), window.to(device)
    work = _training(model, window) if wanted.work == "training" else _forecast(model, window)
    before = _resting_bytes(device)
    work()
    peak = peak_bytes(device) - before
    taken: list[float] = []
    while len(taken) < ROUNDS and sum(taken) < MOST_S:
        began = time.perf_counter()
        work()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return Found(n_atoms=molecule.n_atoms, seconds=sorted(taken), peak_bytes=peak)


def _forecast(model: STITransformer, window: Window) -> Callable[[], Any]:
    model.eval()
    return torch.no_grad()(lambda: model.forecast(window))


def _training(model: STITransformer, window: Window) -> Callable[[], Any]:
    weights, placed = loss_weights(ObjectiveSettings()), model.train().prepare(window)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        terms = loss_terms(model, model(placed), placed, forced=False)
        torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()

    return step


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _resting_bytes(device: torch.device) -> int:
    """Return what is held now, and forget any higher peak before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return peak_bytes(device)


def peak_bytes(device: torch.device | str = "cpu") -> int:
    """Return the peak since the last reset: of the GPU's allocator, or of the memory this process has resident."""
    if torch.device(device).type == "cuda":
        _wait(torch.device(device))
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * KIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB
