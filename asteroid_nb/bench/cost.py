"""Figures C1 to C3: seconds of an MD step, memory of a training step, and weights, beside the explicit twins."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.bench.accuracy import as_accurate, forces_of
from asteroid_nb.bench.arms import DEQ, EXPLICIT, MATCHED
from asteroid_nb.bench.runs import Log, kept, log_path, weights_digest
from asteroid_nb.bench.setting import Setting
from asteroid_nb.bench.timing import in_words, one_thread
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE, calculator
from asteroid_nb.equilibrium.force_field import ForceField, n_parameters
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.graph import graph
from asteroid_nb.equilibrium.matching import matching_loss
from asteroid_nb.equilibrium.md import run_md
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import ForceObjective
from asteroid_nb.finding import Finding, Rule

#: MD steps a model takes before the next one has its turn, and steps that are not timed at first.
TURN, WARM_UP = 50, 10

#: Frames in the batch whose memory is measured.
MEMORY_BATCH = 16

#: Name of the equilibrium model by warm start.
WARM, COLD = f"{DEQ}, {DEFAULT_POLICY}, {DEFAULT_TOLERANCE:g}", f"{DEQ}, cold, {DEFAULT_TOLERANCE:g}"


def figure_c1(setting: Setting) -> Finding:
    """Return the median milliseconds of an MD step, all models in turn in one process, and where they go."""
    trained = {name: setting.run(name) for name in (DEQ, *EXPLICIT, MATCHED)}
    weights = [weights_digest(one) for one in trained.values()]
    path = log_path(setting, "speed", trained[DEQ], TURN, WARM, COLD, weights, setting.size.timed_steps)
    told = kept(path, lambda: _timed(setting, trained))
    ms = {name: found["median"] for name, found in told["ms"].items()}
    parts = ", ".join(f"{name} {value:.2f}" for name, value in told["parts"].items())
    faster = [name for name in (*EXPLICIT, MATCHED) if ms[name] > ms[WARM]]
    return Finding(
        key="C1",
        title="What does an MD step take, beside the explicit twins?",
        head=("model", "median ms", "middle half", "time of the warm DEQ / this"),
        rows=[
            (name, f"{found['median']:.2f}", f"{found['low']:.2f} to {found['high']:.2f}", f"{ms[WARM] / ms[name]:.2f}")
            for name, found in told["ms"].items()
        ],
        rules=[
            _against_as_accurate(ms, forces_of(setting), strict=setting.size.strict),
            Rule(asked="models the warm DEQ is faster than", measured=", ".join(faster) or "none of them", holds=None),
            Rule(asked="where a warm step goes, ms", measured=parts, holds=None),
        ],
        note=(
            f"Constant-energy steps of one molecule in double precision, {TURN} at a time by each model in turn, "
            f"solver and stop tests included. Timed on {in_words(told['machine'])}. Which twin is as accurate is in C4."
        ),
    )


def _against_as_accurate(ms: Mapping[str, float], means: Mapping[str, float] | None, *, strict: bool) -> Rule:
    """Return the verdict against the fewest blocks that are as accurate; small models are too few to judge by."""
    asked = "faster than the accuracy-matched K, or plainly not"
    if means is None:
        return Rule(asked=asked, measured="not known which is; figure C4 tells", holds=None)
    twin = as_accurate(means)
    if twin is None:
        return Rule(asked=asked, measured="none of them is as accurate", holds=None)
    slower = False if strict else None
    return Rule(
        asked=asked,
        measured=f"{ms[WARM]:.2f} ms against {ms[twin]:.2f} of {twin}",
        holds=True if ms[WARM] < ms[twin] else slower,
    )


def _timed(setting: Setting, trained: Mapping[str, ForceFieldRun]) -> Log:
    with one_thread() as machine:
        return {"ms": _in_turn(setting, trained), "parts": _parts(setting), "machine": machine}


def _in_turn(setting: Setting, trained: Mapping[str, ForceFieldRun]) -> dict[str, dict[str, float]]:
    """Return quartiles of the milliseconds per step of each model."""
    start = setting.parts.test[0]
    options = {WARM: {}, COLD: {"policy": "cold"}, **{name: {} for name in (*EXPLICIT, MATCHED)}}
    movers = {}
    for name, chosen in options.items():
        run = trained[DEQ if name in (WARM, COLD) else name]
        movers[name] = (run, calculator(run, **chosen), start, chosen)
    for turn in range(-1, -(-setting.size.timed_steps // TURN)):
        for name, (run, asked, at, chosen) in movers.items():
            temperature = 500.0 if turn < 0 else None
            n_steps = WARM_UP if turn < 0 else TURN
            asked.solves.history = asked.solves.history if turn > 0 else []
            moved: Any = run_md(
                run, at, n_frames=n_steps + 1, temperature_K=temperature, calculator=asked, progress=False
            )
            movers[name] = (run, asked, moved, chosen)
    quartiles = {}
    for name, (_, asked, _, _) in movers.items():
        ms = 1000 * np.array([one.seconds for one in asked.history if not one.cold or name != WARM])
        low, middle, high = np.quantile(ms, (0.25, 0.5, 0.75))
        quartiles[name] = {"median": middle, "low": low, "high": high}
    return quartiles


def _parts(setting: Setting) -> dict[str, float]:
    """Return milliseconds of the pieces of one warm step: preparation, evaluations, and what is left for the solver."""
    run, test = setting.run(DEQ), setting.parts.test
    asked = calculator(run)
    moved: Any = run_md(run, test[0], n_frames=60, temperature_K=500.0, calculator=asked, progress=False)
    calls = asked.history[20:]
    model = run.copy_of_model(precision=torch.float64)
    places = torch.as_tensor(np.array(moved.positions[-1:]), dtype=torch.float64)
    numbers = torch.as_tensor(test.atomic_numbers.astype(np.int64))[None]
    places.requires_grad_()  # forces pull back through the preparation, which costs it something
    make = lambda: model.prepare(graph(places, numbers, cutoff_ang=model.settings.cutoff_ang))  # noqa: E731
    prepared = make().detach()
    z, once = model.start(prepared), {"preparation": _ms(make)}
    with torch.no_grad():
        once["one evaluation of f"] = _ms(lambda: model.f(z, prepared))
    state = z.clone().requires_grad_()
    image, weights = model.f(state, prepared), torch.ones_like(z)
    once["one vector–Jacobian product"] = _ms(lambda: torch.autograd.grad(image, state, weights, retain_graph=True))
    steps, adjoint = (float(np.mean([getattr(c, name) for c in calls])) for name in ("steps", "adjoint_steps"))
    whole = 1000 * float(np.median([one.seconds for one in calls]))
    spent = steps * once["one evaluation of f"] + adjoint * once["one vector–Jacobian product"]
    rest = {"all evaluations": spent, "stop tests, mixing, forces and the rest": whole - spent - once["preparation"]}
    return {"whole step": whole, **once, **rest}


def _ms(work: Any, n: int = 100) -> float:
    for _ in range(5):
        work()
    seconds = []
    for _ in range(n):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds))


def figure_c2(setting: Setting) -> Finding:
    """Return what one training step keeps in memory for its backward pass, for equal batches."""
    test = setting.parts.test
    frames = Frames.of([test], min(MEMORY_BATCH, test.n_frames))
    small = setting.arm(DEQ).settings
    mib = {}
    for name, depth in ((DEQ, 0), *((twin, int(twin.split()[-1])) for twin in EXPLICIT)):
        torch.manual_seed(0)
        mib[name] = saved_mib(ForceField(small.replace(depth=depth), energy_scale_eV=frames.force_rms), frames)
    shares = {name: mib[DEQ] / value for name, value in mib.items()}
    return Finding(
        key="C2",
        title="What does a training step keep in memory?",
        head=("model", "saved tensors, MiB", "DEQ / this"),
        rows=[(name, f"{value:.1f}", f"{shares[name]:.2f}") for name, value in mib.items()],
        rules=[
            Rule(asked="at most 0.6 × K = 4", measured=f"{shares['K = 4']:.2f}", holds=shares["K = 4"] <= 0.6),
            Rule(
                asked="at most 0.35 × K = 8",
                measured=f"{shares['K = 8']:.2f}",
                holds=shares["K = 8"] <= 0.35 if setting.size.strict else None,
            ),
        ],
        note=f"Peak of what autograd keeps, conservative forces, batch of {len(frames)}, each stored number once.",
    )


def saved_mib(model: ForceField, frames: Frames) -> float:
    """Return the peak MiB that autograd keeps for the backward pass of one conservative training step."""
    batch = next(frames.batches(np.arange(len(frames)), len(frames)))
    kept: dict[int, list[int]] = {}
    sizes = {"now": 0, "peak": 0}
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}

    def drop(place: int) -> None:
        kept[place][0] -= 1
        if not kept[place][0]:
            sizes["now"] -= kept.pop(place)[1]

    class Kept:
        """A saved tensor that says when it is let go."""

        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor
            storage = tensor.untyped_storage()
            place = storage.data_ptr()
            if place in own:
                return
            kept.setdefault(place, [0, storage.nbytes()])
            kept[place][0] += 1
            if kept[place][0] == 1:
                sizes["now"] += storage.nbytes()
                sizes["peak"] = max(sizes["peak"], sizes["now"])
            weakref.finalize(self, drop, place)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda one: one.tensor):
        matching_loss(model, batch, ForceObjective())["loss"].backward()
    return sizes["peak"] / 2**20


def figure_c3(setting: Setting) -> Finding:
    """Return the weights of the equilibrium model and its twins."""
    counts = {name: n_parameters(setting.arm(name).settings) for name in (DEQ, *EXPLICIT, MATCHED)}
    share = lambda name: counts[name] / counts[DEQ]  # noqa: E731
    return Finding(
        key="C3",
        title="How many weights?",
        head=("model", "weights", "this / DEQ"),
        rows=[(name, f"{count:,}", f"{share(name):.2f}") for name, count in counts.items()],
        rules=[
            Rule(
                asked="K = 4 has at least 2.5 × as many", measured=f"{share('K = 4'):.2f}", holds=share("K = 4") >= 2.5
            ),
            Rule(
                asked="K = 8 has at least 5 × as many",
                measured=f"{share('K = 8'):.2f}",
                holds=share("K = 8") >= 5 if setting.size.strict else None,
            ),
        ],
        note="Embeddings are the same for all and counted.",
    )
