"""How fast models of states sample: ``OMP_NUM_THREADS=1 python tests/benchmarks/state_sampling.py``.

Prints and writes ``results/state_sampling.md`` and ``.json``. Untrained models of the default size are as fast as
trained ones. Seconds are those of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_nb.finding import processor
from asteroid_nb.states.language import build, n_parameters
from asteroid_nb.states.markov import MarkovChain
from asteroid_nb.states.run import LanguageRun
from asteroid_nb.states.sampling import StateModel
from asteroid_nb.states.settings import LSTMSettings, TransformerSettings

RESULTS = Path(__file__).parent / "results"
SETTINGS = {"LSTM": LSTMSettings(), "Transformer": TransformerSettings()}
N_CHAINS, N_STATES = (1, 256, 4096), (4, 245)
DEEPTIME = "MSM simulated by deeptime"
SECONDS_EACH, REPEATS = 2.0, 5

#: Tokens per second and core asked for, in a batch of 256 chains over four states.
TARGETS = {"LSTM": 20_000, "Transformer": 10_000}


def model(name: str, n_states: int) -> StateModel:
    frequencies = np.full(n_states, 1 / n_states)
    labels = tuple(str(state) for state in range(n_states))
    if name == "order-1 chain":
        matrix = np.random.default_rng(0).dirichlet(np.ones(n_states), size=n_states)
        return MarkovChain(matrix, 1.0, labels, frequencies)
    return LanguageRun(build(SETTINGS[name], n_states).eval(), 1.0, labels, frequencies)


def simulated(n_states: int, n_chains: int, n_frames: int, *, seed: int) -> None:
    """Make chains with deeptime's own simulation, one after the other: it knows no batches."""
    from deeptime.markov.msm import MarkovStateModel

    matrix = np.random.default_rng(0).dirichlet(np.ones(n_states), size=n_states)
    rival = MarkovStateModel(matrix)
    starts = np.random.default_rng(seed).integers(n_states, size=n_chains)
    for number, start in enumerate(starts):
        rival.simulate(n_frames, start=int(start), seed=1 + seed * n_chains + number)


def tokens_per_second(sample: Callable[..., Any], n_chains: int) -> list[float]:
    """Return the speed of each repeat, every one about as long and past the Transformer's whole window."""
    n_frames, taken = 200, 0.0
    rates = []
    for repeat in range(REPEATS + 1):
        started = time.process_time()
        sample(n_frames=n_frames, n_chains=n_chains, seed=repeat)
        taken = time.process_time() - started
        rates.append(n_chains * (n_frames - 1) / taken)
        n_frames = max(200, round(n_frames * SECONDS_EACH / taken))
    return rates[1:]  # the first one warms up


def measured(name: str, n_states: int, n_chains: int) -> dict[str, Any]:
    sample = partial(simulated, n_states) if name == DEEPTIME else model(name, n_states).sample
    rates = tokens_per_second(sample, n_chains)
    size = n_parameters(SETTINGS[name], n_states) if name in SETTINGS else n_states * (n_states - 1)
    return {
        "model": name,
        "n_states": n_states,
        "n_chains": n_chains,
        "n_parameters": size,
        "tokens_per_second": round(statistics.median(rates)),
        "slowest": round(min(rates)),
        "fastest": round(max(rates)),
    }


def report(records: list[dict[str, Any]], hardware: str) -> str:
    head = ["model", "parameters", "states", "chains", "tokens per second and core (slowest to fastest)", "target"]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in records:
        asked = TARGETS.get(one["model"]) if (one["n_states"], one["n_chains"]) == (4, 256) else None
        met = "" if asked is None else f"{asked:,} {'met' if one['tokens_per_second'] >= asked else 'MISSED'}"
        speed = f"{one['tokens_per_second']:,} ({one['slowest']:,} to {one['fastest']:,})"
        rows.append(
            f"| {one['model']} | {one['n_parameters']:,} | {one['n_states']} | {one['n_chains']:,} | {speed} | {met} |"
        )
    said = (
        f"Sampling of state sequences, one thread, median of {REPEATS} runs of about {SECONDS_EACH:g} processor "
        "seconds after one that warms up. Made by `OMP_NUM_THREADS=1 python tests/benchmarks/state_sampling.py` "
        f"on {hardware}."
    )
    return "\n".join([said, "", *rows]) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    records = [
        measured(name, n_states, n_chains)
        for name in (*SETTINGS, "order-1 chain", DEEPTIME)
        for n_states in N_STATES
        for n_chains in N_CHAINS
    ]
    hardware = f"{processor()} ({platform.machine()}, {os.cpu_count()} cores), torch {torch.__version__}"
    text = report(records, hardware)
    (RESULTS / "state_sampling.md").write_text(text, encoding="utf-8")
    stored = {"hardware": hardware, "records": records}
    (RESULTS / "state_sampling.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
