"""How large a bench is, and the trained models it works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asteroid_nb.bench.arms import DEQ, MODELS, Arm, known, train_all
from asteroid_nb.bench.sources import Parts, Source
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import TrainingDiverged


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done.

    Args:
        width, n_frames, n_epochs, layer, l_max, choose: of every arm.
        models, seeds: of the comparison C4; figures of one model take its first seed.
        long_epochs: of one equilibrium model more in C4, which no twin is trained as long as; 0 for none.
        replayed: consecutive frames of figures B.
        md_ps: length of each constant-energy run.
        md_walkers: of each, with velocities of their own.
        langevin_ps, langevin_walkers: of figure D4.
        timed_steps: MD steps of each model in figure C1.
        strict: hold figures to the rules of the full size, not to those of the small one.
    """

    width: int = 64
    n_frames: int = 950
    n_epochs: int = 200
    models: tuple[str, ...] = MODELS
    seeds: int = 3
    long_epochs: int = 0
    replayed: int = 1000
    md_ps: float = 10.0
    md_walkers: int = 5
    langevin_ps: float = 10.0
    langevin_walkers: int = 8
    timed_steps: int = 1000
    strict: bool = True
    layer: str = "vector"
    l_max: int = 1
    choose: str = "evenly"


FULL = Size()

#: What a laptop does in minutes, with the small rules.
SMALL = Size(
    width=32, n_frames=300, n_epochs=60, seeds=1, replayed=150, md_ps=1.0, md_walkers=2,
    langevin_ps=2.0, langevin_walkers=4, timed_steps=100, strict=False,
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One bench: where finished work lies, on what, and how large.

    Args:
        folder: of arms and logs.
        source: of frames.
        size: `FULL` or `SMALL`, or changes of them.
        processes: trainings at a time.
        compiled: solve in long runs of dynamics by ``torch.compile``: the same but for rounding, and faster.
    """

    folder: Path
    source: Source = Source()
    size: Size = FULL
    processes: int = 2
    compiled: bool = False

    @cached_property
    def parts(self) -> Parts:
        return self.source.parts()

    def arm(self, model: str = DEQ, seed: int = 0, **changes: Any) -> Arm:
        size = self.size
        made: dict[str, Any] = {"n_frames": min(size.n_frames, sum(one.n_frames for one in self.parts.train))}
        made |= {"width": size.width, "n_epochs": size.n_epochs, "layer": size.layer, "l_max": size.l_max}
        made |= {"choose": size.choose}
        return Arm(model=model, seed=seed, source=self.source, **(made | changes))

    def records(self, models: tuple[str, ...], *, seeds: int | None = None, **changes: Any) -> list[dict[str, Any]]:
        """Return the records of all arms, training what is not there."""
        return train_all(self.folder, self._arms(models, seeds, changes), processes=self.processes)

    def known_records(self, models: tuple[str, ...], **changes: Any) -> list[dict[str, Any]] | None:
        """Return the records of all arms, training nothing; None where one is missing."""
        return known(self.folder, self._arms(models, None, changes))

    def _arms(self, models: tuple[str, ...], seeds: int | None, changes: dict[str, Any]) -> list[Arm]:
        return [self.arm(model, seed, **changes) for seed in range(seeds or self.size.seeds) for model in models]

    def run(self, model: str = DEQ, seed: int = 0, **changes: Any) -> ForceFieldRun:
        """Return a trained model, training it where it is not there.

        Raises:
            TrainingDiverged: its training failed.
        """
        (record,) = train_all(self.folder, [self.arm(model, seed, **changes)], processes=0)
        if "failed" in record:
            raise TrainingDiverged(f"{model}, seed {seed}: {record['failed']}")
        return self.arm(model, seed, **changes).load(self.folder)
