"""One arm of a comparison of force fields: train one model on one source, judge it on frames far from them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asteroid_nb import __version__
from asteroid_nb.bench.sources import Parts, Source
from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.force_field import n_parameters
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import FORCE_FIT, ForceFieldSettings, ForceObjective
from asteroid_nb.equilibrium.training import train_force_field
from asteroid_nb.errors import NotConverged, TrainingDiverged
from asteroid_nb.files import replacing
from asteroid_nb.finding import plain
from asteroid_nb.parallel import side_by_side

#: The equilibrium model, and everything it is held against.
DEQ, MATCHED = "DEQ", "K = 4, same parameters"
EXPLICIT = ("K = 1", "K = 2", "K = 4", "K = 8")
MODELS = (DEQ, *EXPLICIT, MATCHED)

#: Test frames a model is judged on, spread evenly.
TEST_FRAMES = 1000

RECORD = "arm.json"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is trained on what.

    Args:
        model: one of `MODELS`.
        source: of the frames.
        seed: of weights and order; the frames are the same for all.
        n_frames: to learn from.
        n_epochs: the same for all that are compared.
        width: of the equilibrium model and the twins of its width.
        direct: forces from a head of their own.
        layer, l_max: of every model.
        choose: which frames are learnt from, see `train_force_field`.
    """

    model: str
    source: Source = Source()
    seed: int = 0
    n_frames: int = 950
    n_epochs: int = 200
    width: int = 64
    direct: bool = False
    layer: str = "vector"
    l_max: int = 1
    choose: str = "evenly"

    @property
    def settings(self) -> ForceFieldSettings:
        small = ForceFieldSettings(width=self.width, direct=self.direct, layer=self.layer, l_max=self.l_max)
        if self.model == MATCHED:
            return small.replace(depth=4, width=matched_width(small))
        return small if self.model == DEQ else small.replace(depth=int(self.model.split()[-1]))

    def folder(self, folder: Path) -> Path:
        """Return where the run and its record are kept; other settings, or other frames, have another name."""
        content = self.source.fingerprint or None
        *told, layer, l_max, choose = dataclasses.astuple(
            dataclasses.replace(self, source=dataclasses.replace(self.source, path=content))
        )
        if (layer, l_max) != ("vector", 1):
            told += [layer, l_max]
        if choose != "evenly":
            told += [choose]
        said = repr(tuple(told)) + repr(FORCE_FIT) + repr(ForceObjective()) + __version__
        plain_name = "".join(letter if letter.isalnum() else "-" for letter in f"{self.source.name}-{self.model}")
        return folder / "arms" / f"{plain_name}-seed{self.seed}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"

    def load(self, folder: Path) -> ForceFieldRun:
        return ForceFieldRun.load(self.folder(folder))


@functools.cache
def matched_width(small: ForceFieldSettings) -> int:
    """Return the width at which four blocks have as many parameters as the equilibrium model."""
    wanted = n_parameters(small)
    step = small.heads if small.layer == "attention" else 1
    return min(
        range(step, small.width + 1, step), key=lambda w: abs(n_parameters(small.replace(depth=4, width=w)) - wanted)
    )


def train_arm(folder: Path, arm: Arm) -> None:
    """Train, judge, keep run and record; go on with a training that was interrupted.

    Raises:
        KeyboardInterrupt: the training was stopped.
    """
    where = arm.folder(folder)
    parts = arm.source.parts()
    record: dict[str, Any] = dataclasses.asdict(arm) | {"n_parameters": n_parameters(arm.settings)}
    try:
        run = train_force_field(
            parts.train, validation=parts.validation, n_frames=arm.n_frames, choose=arm.choose, folder=where,
            resume=(where / CHECKPOINT_FILE).is_file(), settings=arm.settings, observers=(), n_epochs=arm.n_epochs,
            seed=arm.seed,
        )  # fmt: skip
        if not run.finished:
            raise KeyboardInterrupt  # Ctrl-C ends a training softly; what it leaves goes on another time
        test = judging(parts)
        record |= {"test": run.errors(test)._asdict(), "validation": min(h["validation_loss"] for h in run.history)}
        record |= {"last": run.history[-1], "best_epoch": _best(run.history), "n_test_frames": test.n_frames}
        record |= {"late_gain": _late_gain(run.history), "seconds": run.history[-1]["seconds"]}
    except (TrainingDiverged, NotConverged) as error:
        record["failed"] = str(error)
    with replacing(where / RECORD) as temporary:
        temporary.write_text(json.dumps(plain(record), indent=1), encoding="utf-8")


def judging(parts: Parts) -> Trajectory:
    """Return the test frames that every model is judged on."""
    return parts.test[:: max(1, parts.test.n_frames // TEST_FRAMES)]


def _best(history: Sequence[dict[str, float]]) -> int:
    return 1 + min(range(len(history)), key=lambda epoch: history[epoch]["validation_loss"])


def _late_gain(history: Sequence[dict[str, float]]) -> float:
    """Return by which share the validation error still fell over the last tenth of the epochs."""
    losses = [one["validation_loss"] for one in history]
    before = min(losses[: -max(1, len(losses) // 10)], default=losses[-1])
    return 1 - min(losses) / before


def train_all(folder: Path, arms: Sequence[Arm], *, processes: int) -> list[dict[str, Any]]:
    """Train what is not there yet and return all records, in order."""
    path = lambda arm: arm.folder(folder) / RECORD  # noqa: E731
    waiting = [one for one in dict.fromkeys(arms) if not path(one).is_file()]
    if waiting:
        side_by_side(train_arm, [(folder, one) for one in waiting], processes=processes, label="force fields")
    return [json.loads(path(one).read_text(encoding="utf-8")) for one in arms]


def known(folder: Path, arms: Sequence[Arm]) -> list[dict[str, Any]] | None:
    """Return the records of all arms, in order, training nothing; None where one is missing."""
    paths = [one.folder(folder) / RECORD for one in arms]
    if not all(path.is_file() for path in paths):
        return None
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]
