"""`Runs`: one trained network and the molecules it forecasts, each of which is a `Run`; kept as one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from asteroid_nb.checkpoints import load_record, load_weights, making_a_model, save_model, weights_bytes
from asteroid_nb.data.splits import Split, split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, ModelMismatch
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.together import Together, share
from asteroid_nb.forecast.transformer import STITransformer

KIND = "sti-transformer of several molecules"

#: No folder may ask for more molecules.
MOST = 10_000


class Runs(Mapping[str, Run]):
    """A network that learnt several molecules: by name, what forecasts each.

    Args:
        model: of all of them.
        runs: each with its own model within ``model``.
        history: of the training, one record per epoch; validation_loss is the molecules' mean.
        finished: False when training was stopped before its end.
        folder: where it is kept.
    """

    def __init__(
        self,
        model: Together,
        runs: Mapping[str, Run],
        *,
        history: Sequence[dict[str, float]] = (),
        finished: bool = True,
        folder: Path | None = None,
    ) -> None:
        self.model, self.history, self.finished, self.folder = model, list(history), finished, folder
        self._runs = dict(runs)

    @classmethod
    def of(
        cls, model: Together, parts: Mapping[str, Split], *, history: Sequence[dict[str, float]], finished: bool
    ) -> Runs:
        """Return what training left; the start of a molecule stands where the kept weights forecast no better."""
        runs = {}
        kept = min(history, key=lambda record: record["validation_loss"], default={})
        for name, part in parts.items():
            member, loss = model[name], kept.get(loss_of(name))
            if finished and loss is not None:
                _let_the_better_stand(member, loss)
            own = [_own_record(record, name) for record in history]
            runs[name] = Run(
                member.eval(), part.train.dt_fs, history=own, split=part, finished=finished, kept_loss=loss
            )
        return cls(model, runs, history=history, finished=finished)

    def __getitem__(self, name: str) -> Run:
        return self._runs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        lines = "".join(f"\n  {name}: {run!r}" for name, run in self.items())
        return f"<Runs of one network for {len(self)} molecules{lines}>"

    def of_molecule(self, trajectory: Trajectory) -> Run:
        """Return the run of a trajectory's molecule.

        Raises:
            ModelMismatch: species or masses that none of them has.
        """
        for run in self.values():
            try:
                run.model.molecule.must_equal(trajectory)
            except ModelMismatch:
                continue
            return run
        raise ModelMismatch(
            f"{trajectory.name!r} is none of the molecules {', '.join(map(repr, self))}, by species and masses in "
            "their order. Use adapt(trajectories), which fits a start to a molecule the network has never seen."
        )

    def adapt(
        self,
        trajectories: Trajectory | Sequence[Trajectory],
        *,
        stride_frames: int = 1,
        skip: str | None = None,
        objective: ObjectiveSettings | None = None,
        **potential: Any,
    ) -> Run:
        """Return what forecasts a molecule never learnt from: its start fitted to its frames, the network as it is.

        Where the network makes its start no better, the start stands, as after a training.

        Args:
            trajectories: of that molecule; the test windows are left out of the fit, as in `train`.
            stride_frames: every n-th stored frame is read.
            skip: what it starts from; as the first of the known molecules when not given.
            objective: whose symmetries a ridge map is fitted under.
            potential: options of `learn_potential`, where it starts from Newton's equations.

        Raises:
            ModelMismatch: an element the network has never seen, or another spacing.
            TrajectoryTooShort: no window is left for a part.
            InvalidSettings: a start that does not exist.
        """
        from asteroid_nb.forecast.training import ForecastTask

        first = next(iter(self.values()))
        settings = first.settings.replace(skip=skip or first.settings.skip)
        parts = split(trajectories, settings.window_shape(stride_frames))
        if abs(parts.train.dt_fs - first.dt_fs) > 1e-4 * first.dt_fs:
            raise ModelMismatch(
                f"The trajectories have a frame every {parts.train.dt_fs:g} fs as read, the network reads one every "
                f"{first.dt_fs:g} fs. Give a stride_frames that makes them agree."
            )
        if settings.skip != "newton" and potential:
            raise InvalidSettings(f"{sorted(potential)} are for skip='newton'; skip is {settings.skip!r}.")
        model = share(STITransformer(settings, parts.train.molecule, first.model.kinds), first.model)
        task = ForecastTask(model, parts.train, parts.validation, objective or ObjectiveSettings(), 1)
        model.fit_start(parts.train, parts.validation, task.variants, **potential)
        with torch.no_grad():
            loss = task.validate(model.eval(), device=first.device)
        _let_the_better_stand(model, loss)
        return Run(model, first.dt_fs, split=parts, kept_loss=loss)

    def save(self, folder: str | Path) -> Path:
        """Write ``settings.json`` and ``weights.safetensors``, in which each shared weight is once."""
        record = {
            "molecules": {name: run.record for name, run in self.items()},
            "history": self.history,
            "finished": self.finished,
        }
        self.folder = save_model(folder, kind=KIND, record=record, weights=self.model.state_dict())
        return self.folder

    @classmethod
    def load(cls, folder: str | Path) -> Runs:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: something in it is missing, damaged or contradicts the rest.
        """
        record, n_bytes = load_record(folder, kind=KIND), weights_bytes(folder)
        with making_a_model(folder):
            records = dict(record["molecules"])
            if not 0 < len(records) <= MOST:
                raise InvalidSettings(f"{len(records)} molecules; there are 1 to {MOST}")
            runs = {str(name): Run.described(one, n_bytes) for name, one in records.items()}
            _must_agree(runs)
            model = Together({name: run.model for name, run in runs.items()})
            history = [dict(entry) for entry in record["history"]]
            found = cls(model, runs, history=history, finished=bool(record["finished"]), folder=Path(folder))
        load_weights(folder, model)
        for run in runs.values():
            run.must_be_sound()
        return found


def loss_of(name: str) -> str:
    """Return under which name an epoch's record holds the validation loss of a molecule."""
    return f"validation_loss of {name}"


def _own_record(record: Mapping[str, float], name: str) -> dict[str, float]:
    """Return an epoch's record as a molecule's own training would have it."""
    common = {key: value for key, value in record.items() if not key.startswith(loss_of(""))}
    return {**common, "validation_loss": record[loss_of(name)]}


def _let_the_better_stand(model: STITransformer, loss: float) -> None:
    """Let a molecule's start stand, without touching what others share, where the network makes it no better."""
    if model.settings.decode == "parallel" and loss >= 1.0:
        for scale in (model.row_scale, model.slot_scale):
            scale.zero_()


def _must_agree(runs: Mapping[str, Run]) -> None:
    """Refuse records that no one network can have."""
    shared = {(run.settings.replace(skip="none"), run.model.kinds, run.dt_fs) for run in runs.values()}
    if len(shared) > 1 or any(run.model.kinds is None for run in runs.values()):
        raise InvalidSettings("its molecules have different networks")
