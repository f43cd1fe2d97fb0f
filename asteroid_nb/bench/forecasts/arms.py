"""One training of a comparison of forecasters: kept with its record, gone on with where it was interrupted."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asteroid_nb import __version__
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.sources import Source
from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.splits import Split
from asteroid_nb.errors import InvalidSettings, TrainingDiverged
from asteroid_nb.evaluation import evaluate
from asteroid_nb.files import replacing
from asteroid_nb.finding import plain
from asteroid_nb.fit_settings import FitSettings
from asteroid_nb.forecast import newton, potential_fit
from asteroid_nb.forecast.baselines import RIDGE_FRAMES, Baseline, rivals
from asteroid_nb.forecast.bent_frames import LONGEST_FS, STEP_FS
from asteroid_nb.forecast.newton import LearnedNewton, can_be_learnt
from asteroid_nb.forecast.potential import MOST_ATOMS
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings, STISettings
from asteroid_nb.forecast.start import POTENTIAL_FILE
from asteroid_nb.forecast.training import train
from asteroid_nb.metrics.horizon import ErrorTable
from asteroid_nb.parallel import side_by_side

#: Windows a forecaster is judged on, spread evenly over the test.
TEST_WINDOWS = 2000

RECORD = "record.json"

#: The rivals that are called "ridge" in a target.
USUAL_RIDGES = ("ridge, equivariant", "ridge, superposed")

#: Of the rival that integrates a learned potential.
NEWTON_STEPS = {"n_steps": potential_fit.N_STEPS, "n_path_steps": potential_fit.N_PATH_STEPS}

#: What trains every arm unless told otherwise.
FIT = FitSettings(n_epochs=3)

#: Windows a network learns from in an epoch, spread evenly: those a femtosecond apart are nearly the same.
MOST_WINDOWS = 8000


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is trained on what.

    Args:
        source: of the trajectories.
        protocol: by name.
        seed: of weights, order and augmentation.
        n_epochs: over all windows to learn from.
        model, objective, fitting: changes of the protocol's settings, of `ObjectiveSettings`, and of `FIT`.
        label: tells folders of variants apart for people.
    """

    source: Source = Source()
    protocol: str = "F1"
    seed: int = 0
    n_epochs: int = 3
    model: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    fitting: dict[str, Any] = field(default_factory=dict)
    label: str = "STI-Transformer"

    @property
    def asked(self) -> Protocol:
        return PROTOCOLS[self.protocol]

    @functools.cached_property  # asked for often, and it looks at the data
    def settings(self) -> STISettings:
        """Return the protocol's model; it starts from Newton's equations where a potential can be learnt."""
        start = "newton" if can_be_learnt(self.source.trajectories()[0]) else "ridge"
        return self.asked.settings(**({"skip": start} | self.model))

    @property
    def fit_settings(self) -> FitSettings:
        return dataclasses.replace(FIT, n_epochs=self.n_epochs, seed=self.seed, **self.fitting)

    def folder(self, folder: Path) -> Path:
        """Return where run and record are kept; other settings, or other frames, have another name."""
        chosen = (self.settings, ObjectiveSettings(**self.objective), self.fit_settings, _choices())
        return _folder(folder, self.source, self.protocol, f"{self.label}-seed{self.seed}", repr(chosen))

    def load(self, folder: Path) -> Run:
        return Run.load(self.folder(folder))


def _choices() -> tuple[Any, ...]:
    """Return all that potentials, what is integrated with them, and ridge maps depend on."""
    return (NEWTON_STEPS, potential_fit.CHOICES, LONGEST_FS, STEP_FS, MOST_ATOMS, newton.CHOICES, RIDGE_FRAMES)


def _folder(folder: Path, source: Source, protocol: str, name: str, chosen: str) -> Path:
    said = "".join(letter if letter.isalnum() else "-" for letter in f"{protocol}-{source.name}-{name}")
    sizes = (MOST_WINDOWS, TEST_WINDOWS)
    told = repr((source.fingerprint, source.dt_fs, PROTOCOLS[protocol], chosen, sizes, __version__))
    return folder / "arms" / f"{said}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def chosen_folder(folder: Path, source: Source, protocol: str, name: str, chosen: str) -> Path:
    """Return where something else is kept that depends on potentials and ridge maps, and on what was chosen."""
    return _folder(folder, source, protocol, name, repr((chosen, _choices())))


def train_arm(folder: Path, arm: Arm) -> None:
    """Train, judge on the test, keep run and record.

    Raises:
        KeyboardInterrupt: the training was stopped.
    """
    where, trajectories = arm.folder(folder), arm.source.trajectories()
    parts = arm.asked.parts(trajectories)
    parts = dataclasses.replace(parts, train=parts.train.thinned(math.ceil(len(parts.train) / MOST_WINDOWS)))
    start = NEWTON_STEPS if arm.settings.skip == "newton" else None
    record: dict[str, Any] = {**dataclasses.asdict(arm), "n_windows": len(parts.train)}
    try:
        run = train(
            trajectories, settings=arm.settings, objective=ObjectiveSettings(**arm.objective),
            fit_settings=arm.fit_settings, parts=parts, folder=where, resume=_begun(where), potential=start,
            observers=(),
        )  # fmt: skip
        if not run.finished:
            raise KeyboardInterrupt  # Ctrl-C ends a training softly; what it leaves goes on another time
        for name, windows in (("test", parts.test), ("validation", parts.validation)):
            record[name] = errors_of(evaluate(run, windows, most=TEST_WINDOWS))[run.name]
        record |= {"n_parameters": sum(one.numel() for one in run.model.parameters()), "last": run.history[-1]}
        record["seconds"] = run.history[-1]["seconds"]
    except TrainingDiverged as error:
        record["failed"] = str(error)
    keep(where / RECORD, record)


def fit_rivals(folder: Path, source: Source, protocol: str) -> dict[str, Any]:
    """Return the errors of every rival on the test by name, fitting them where that was not done.

    Of one that trains a network also the processor time that took, and its number of weights.

    Raises:
        KeyboardInterrupt: the training of one was stopped.
    """
    path = _folder(folder, source, protocol, "rivals", repr(_choices())) / RECORD
    if not path.is_file():
        parts = PROTOCOLS[protocol].parts(source.trajectories())
        fitted: list[Any] = [*rivals(parts.train, parts.validation)]
        begun = time.process_time()
        newton = _newton(parts)
        seconds = time.process_time() - begun
        found = errors_of(evaluate([*fitted, *newton], parts.test, most=TEST_WINDOWS))
        for one in newton:
            weights = sum(each.numel() for each in one.potential.parameters())
            found[one.name] |= {"core_seconds": seconds, "n_parameters": weights}
        keep(path, found)
    return json.loads(path.read_text(encoding="utf-8"))


def _newton(parts: Split) -> list[LearnedNewton]:
    """Return the rival that integrates a learned potential, where frames are close enough and atoms few enough.

    None where its training failed: its absence from the page says so.
    """
    if not can_be_learnt(parts.train.trajectories[0]):
        return []
    try:
        found = LearnedNewton.fit(parts.train, parts.validation, observers=(), **NEWTON_STEPS)
    except TrainingDiverged:
        return []
    if not found.potential.finished:
        raise KeyboardInterrupt  # Ctrl-C ends a training softly; what it leaves would be a weak rival
    return [found]


def _begun(where: Path) -> bool:
    return any((where / name).is_file() for name in (CHECKPOINT_FILE, POTENTIAL_FILE))


def errors_of(table: ErrorTable) -> dict[str, dict[str, Any]]:
    """Return, of each forecaster, RMSE per coordinate and mean distance by lead time, and its usual summaries, in Å."""
    return {
        name: {
            "lead_times_fs": table.lead_times_fs, "rmse_ang": table.rmse(name), "ade_ang": table.ade(name),
            "fde_ang": table.fde(name), "distance_ang": table.by_lead(name, "ade"), "n_windows": table.n_windows,
        }
        for name in table.names
    }  # fmt: skip


def keep(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write a record and return it as it will be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain(record), indent=1), encoding="utf-8")
    return plain(record)


def record_of(folder: Path, arm: Arm, name: str = RECORD) -> dict[str, Any]:
    """Return what is kept of an arm that was trained."""
    return json.loads((arm.folder(folder) / name).read_text(encoding="utf-8"))


def usual_ridges(parts: Split) -> list[Baseline]:
    """Return the ridge maps that published tables would show."""
    return [one for one in rivals(parts.train, parts.validation) if one.name in USUAL_RIDGES]


def compared(
    folder: Path,
    sources: Sequence[Source],
    protocols: Sequence[str],
    *,
    n_epochs: int,
    processes: int,
    seeds: int = 1,
) -> list[tuple[Protocol, Source, list[Arm]]]:
    """Train, of every protocol on every source, the arms that are not there yet, and return them all.

    Raises:
        InvalidSettings: a name that is no protocol.
    """
    if unknown := [name for name in protocols if name not in PROTOCOLS]:
        raise InvalidSettings(f"No protocol is called {unknown[0]!r}; there are {', '.join(PROTOCOLS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    asked = [
        (
            PROTOCOLS[name],
            source,
            [Arm(source=source, protocol=name, seed=seed, n_epochs=n_epochs) for seed in range(seeds)],
        )
        for source in sources
        for name in protocols
    ]
    for protocol, source, _ in asked:
        protocol.parts(source.trajectories())  # what does not fit is told of before hours of training
    train_all(folder, [arm for _, _, arms in asked for arm in arms], processes=processes)
    return asked


def train_all(folder: Path, arms: Sequence[Arm], *, processes: int) -> list[dict[str, Any]]:
    """Train what is not there yet and return all records, in order."""
    path = lambda arm: arm.folder(folder) / RECORD  # noqa: E731
    waiting = {path(one): one for one in arms if not path(one).is_file()}
    if waiting:
        jobs = [(folder, one) for one in waiting.values()]
        side_by_side(train_arm, jobs, processes=processes, label="forecasters")
    return [json.loads(path(one).read_text(encoding="utf-8")) for one in arms]
