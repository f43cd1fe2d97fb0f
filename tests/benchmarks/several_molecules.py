"""Several molecules in one network, beside each alone: errors, steps, and what padding would cost.

    OMP_NUM_THREADS=1 python tests/benchmarks/several_molecules.py --data ethanol=FILE malonaldehyde=FILE --out results

Every arm but one sees each molecule's windows equally often, so that one network for two takes the steps of two for one
each; that one takes as many for each.
"Mixed steps" halves every step between the molecules instead of giving each step to one: what a padded batch of both
would learn from, as a padded atom adds nothing. What is in the folder's JSON already is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import asteroid_nb as anb
from asteroid_nb.bench.sources import Source
from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.evaluation import evaluate
from asteroid_nb.forecast import several
from asteroid_nb.forecast.baselines import Copy, FrameRidge
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings, preset
from asteroid_nb.forecast.several import OfMolecule, SeveralTask
from asteroid_nb.forecast.together import share
from asteroid_nb.forecast.training import ForecastTask
from asteroid_nb.forecast.transformer import STITransformer

RIDGE, START = "ridge, local frames", "the start: that ridge under symmetries"

#: Test windows, lead times shown, steps timed, and windows a start is fitted on for that.
MOST_TESTED, LEADS_FS, TIMED, FITTED = 1000, (1.0, 4.0, 8.0, 16.0, 32.0), 15, 512

ABOUT = {
    "alone": "one network for each molecule, weights for each atom: `train(walkers)`",
    "alone, by kinds": "one network for each molecule, weights by kinds of atoms: `train({name: walkers})`",
    "alone, by kinds, twice as long": "the same in twice the epochs: as many steps of one network as when together",
    "together": "one network for all, each step of one molecule: `train({name: walkers, …})`",
    "together, mixed steps": "the same, each step half of one molecule and half of the other",
}


class MixedTask(SeveralTask):
    """Two molecules as halves of every step."""

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Any]:
        each = [task.batches(seed=seed, device=device) for task in self.tasks]
        for one, other in zip(*each, strict=True):
            for half in range(2):
                pair = ((number, window) for number, window in enumerate((one, other)))
                yield tuple(OfMolecule(**vars(_half(window, half)), molecule=number) for number, window in pair)

    def loss(self, model: Any, batch: Any, *, done: float) -> dict[str, torch.Tensor]:
        return {"loss": torch.stack([SeveralTask.loss(self, model, one, done=done)["loss"] for one in batch]).mean()}


def _half(window: Any, half: int) -> Any:
    rows = slice(half * len(window) // 2, (half + 1) * len(window) // 2)
    return window.replace(history=window.history[rows], future=window.truth[rows], origin=window.origin[rows])


def trained(arm: str, parts: dict[str, Split], settings: STISettings, **options: Any) -> dict[str, Any]:
    """Return a run for every molecule."""
    nothing: list[Trajectory] = []
    if arm == "alone":
        return {name: anb.train(nothing, settings=settings, parts=part, **options) for name, part in parts.items()}
    if arm.startswith("alone, by kinds"):
        return {
            name: anb.train({}, settings=settings, parts={name: part}, **options)[name] for name, part in parts.items()
        }
    several.SeveralTask = MixedTask if "mixed" in arm else SeveralTask  # type: ignore[misc]
    try:
        return dict(anb.train({}, settings=settings, parts=parts, **options))
    finally:
        several.SeveralTask = SeveralTask  # type: ignore[misc]


def errors(forecaster: Any, part: Split) -> dict[str, Any]:
    """Return the RMSE in Å of one forecaster on the test windows: at lead times, and their mean over the horizon."""
    table = evaluate({"it": forecaster}, part.test, most=MOST_TESTED)
    leads = {f"{lead:g}": float(table.rmse("it")[table.nearest_lead(lead)]) for lead in LEADS_FS}
    return {"rmse_ang": leads, "mean_ang": float(table.rmse("it").mean())}


def rows_of(arm: str, seed: int, parts: dict[str, Split], settings: STISettings, options: Any) -> list[dict[str, Any]]:
    began = time.process_time()
    n_epochs = options.epochs * (2 if "twice" in arm else 1)
    fitting = {"seed": seed, "n_epochs": n_epochs, "batch_size": options.batch, "device": "cpu", "observers": ()}
    runs = trained(arm, parts, settings, **fitting)
    spent = time.process_time() - began
    rows = []
    for name, run in runs.items():
        row = {"arm": arm, "seed": seed, "molecule": name, "validation": _kept(run), "seconds": spent}
        rows.append(row | {"steps": run.history[-1]["step"]} | errors(run, parts[name]))
    if arm == "alone, by kinds":
        pairs = itertools.permutations(parts, 2)
        rows += [_unseen(runs[learnt], learnt, name, parts[name], seed) for learnt, name in pairs]
    return rows


def _kept(run: Any) -> float:
    own = min(record["validation_loss"] for record in run.history)
    return own if run.kept_loss is None else run.kept_loss


def _unseen(run: Any, learnt: str, name: str, part: Split, seed: int) -> dict[str, Any]:
    """Return how a network that learnt one molecule does on another, whose start alone is fitted."""
    model, task = started(share(STITransformer(run.settings, part.train.molecule, run.model.kinds), run.model), part)
    with torch.no_grad():
        loss = task.validate(model, device=torch.device("cpu"))
    row = {"arm": f"learnt {learnt} alone", "seed": seed, "molecule": name, "validation": loss}
    return row | errors(model, part)


def started(model: STITransformer, part: Split) -> tuple[STITransformer, ForecastTask]:
    """Return a model with its start, as training fits it, and the task that did."""
    task = ForecastTask(model, part.train, part.validation, ObjectiveSettings(), 1)
    model.fit_start(part.train, part.validation, task.variants)
    return model.eval(), task


def seconds_of_a_step(part: Split, settings: STISettings, batch_size: int) -> float:
    """Return the median processor seconds of a loss and its gradients."""
    torch.manual_seed(0)
    model = STITransformer(settings, part.train.molecule)
    model.fit_start(part.train.subset(most=FITTED), part.validation.subset(most=FITTED))
    task = ForecastTask(model.train(), part.train, part.validation, ObjectiveSettings(), batch_size)
    spent = []
    for batch in itertools.islice(task.batches(seed=0, device=torch.device("cpu")), TIMED):
        began = time.process_time()
        task.loss(model, batch, done=0.0)["loss"].backward()
        spent.append(time.process_time() - began)
        model.zero_grad()
    return statistics.median(spent)


def page(found: dict[str, Any], command: str) -> str:
    """Return the results page."""
    rows, molecules = found["rows"], found["molecules"]
    lines = ["# Several molecules in one STI-Transformer", "", f"`{command}`; {found['machine']}.", ""]
    lines += [found["about"], "", *(f"- {arm}: {words}." for arm, words in ABOUT.items()), ""]
    for name in molecules:
        mine = [row for row in rows if row["molecule"] == name]
        start = next(row for row in mine if row["arm"] == START)
        head = ["RMSE / Å", *(f"{lead:g} fs" for lead in LEADS_FS), "mean", "of the start", "validation", "steps"]
        lines += [f"## {name}", "", f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
        for arm in dict.fromkeys(row["arm"] for row in mine):
            same = [row for row in mine if row["arm"] == arm]
            cells = [_spread([row["rmse_ang"][f"{lead:g}"] for row in same], 4) for lead in LEADS_FS]
            cells += [_spread([row["mean_ang"] for row in same], 4)]
            cells += [_spread([row["mean_ang"] / start["mean_ang"] for row in same], 3)]
            cells += [_spread([row["validation"] for row in same], 3) if "validation" in same[0] else "–"]
            lines += [f"| {arm} | {' | '.join([*cells, str(same[0].get('steps', '–'))])} |"]
        lines += [""]
    return "\n".join(lines + _padding(found))


def _padding(found: dict[str, Any]) -> list[str]:
    lines = ["## What padding would cost", ""]
    lines += ["Processor milliseconds of a loss and its gradients, one thread, weights for each atom:", ""]
    lines += ["| molecule | atoms | a whole batch | half a batch |", "| --- | ---: | ---: | ---: |"]
    timed = found["timed"]
    for name, (n_atoms, whole, half) in timed.items():
        lines += [f"| {name} | {n_atoms} | {1e3 * whole:.0f} | {1e3 * half:.0f} |"]
    lines += [""]
    for one, other in itertools.combinations(timed, 2):
        padded = max(timed[one], timed[other])[1]
        alone, halves = (timed[one][1] + timed[other][1]) / 2, timed[one][2] + timed[other][2]
        lines += [
            f"- {one} and {other}: a step of one molecule takes {1e3 * alone:.0f} ms in the mean; padded to the larger "
            f"one {1e3 * padded:.0f} ms ({padded / alone:.2f} ×), two halves {1e3 * halves:.0f} ms "
            f"({halves / alone:.2f} ×)."
        ]
    return [*lines, ""]


def _spread(values: list[float], digits: int) -> str:
    middle = f"{statistics.fmean(values):.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", nargs="+", required=True, help="NAME=FILE of each molecule, walkers in each")
    parser.add_argument("--timed", nargs="*", default=[], help="NAME=FILE of molecules whose steps are timed alone")
    parser.add_argument("--preset", default="notebook")
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--every", type=int, default=2, help="train on every n-th window")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", default=list(ABOUT), choices=list(ABOUT))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = preset(options.preset, skip="ridge")
    parts = {}
    for source in map(Source.named, options.data + options.timed):
        whole = split(source.trajectories(), settings.window_shape(options.stride))
        parts[source.name] = Split(whole.train.thinned(options.every), whole.validation, whole.test)
    learnt = {name: parts[name] for name in list(parts)[: len(options.data)]}
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "several_molecules.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {"rows": []}
    asked = {name: getattr(options, name) for name in ("epochs", "every", "batch", "preset", "stride")}
    if found.setdefault("options", asked) != asked:
        raise SystemExit(f"{kept} was made with {found['options']}, asked for is {asked}: give another --out.")
    found |= {"molecules": list(learnt), "about": _about(learnt, options)}
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    found["machine"] = f"one thread of a shared {platform.machine()} machine, no GPU; {versions}"

    def keep() -> None:
        kept.write_text(json.dumps(found, indent=1))

    if not found["rows"]:
        for name, part in learnt.items():
            horizon = part.train.shape.horizon
            for arm, rival in (("copy", Copy(horizon)), (RIDGE, FrameRidge(horizon, frame="local"))):
                rival.fit(part.train, part.validation)
                found["rows"].append({"arm": arm, "molecule": name} | errors(rival, part))
            start = started(STITransformer(settings, part.train.molecule), part)[0]
            found["rows"].append({"arm": START, "molecule": name} | errors(start, part))
    sizes = (options.batch, options.batch // 2)
    found.setdefault(
        "timed",
        {
            name: [part.train.molecule.n_atoms, *(seconds_of_a_step(part, settings, size) for size in sizes)]
            for name, part in parts.items()
        },
    )
    keep()
    for seed, arm in itertools.product(options.seeds, options.arms):
        if not any(row["arm"] == arm and row.get("seed") == seed for row in found["rows"]):
            found["rows"] += rows_of(arm, seed, learnt, settings, options)
            keep()
    named = lambda given: " ".join(f"{one.partition('=')[0]}={Path(one.partition('=')[2]).name}" for one in given)  # noqa: E731
    command = f"OMP_NUM_THREADS=1 python tests/benchmarks/several_molecules.py --data {named(options.data)} "
    command += f"--timed {named(options.timed)} --epochs {options.epochs} --every {options.every} "
    command += f"--seeds {' '.join(map(str, options.seeds))} --out …"
    (options.out / "several_molecules.md").write_text(page(found, command))


def _about(parts: dict[str, Split], options: Any) -> str:
    counts = ", ".join(f"{len(part.train)} windows of {name}" for name, part in parts.items())
    return (
        f"Preset {options.preset!r}, from the ridge start; {counts} to learn from, seen {options.epochs} times by "
        f"every arm but one in batches of {options.batch}; RMSE per coordinate on {MOST_TESTED} windows of each one's "
        "last walker, which nothing was fitted on or chosen by. Of several seeds: mean (smallest–largest). "
        "Validation is relative to the start. The files are sGDML surrogates, not MD17."
    )


if __name__ == "__main__":
    main()
