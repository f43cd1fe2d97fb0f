"""Training a force field on forces and energies, judged on frames it never learns from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.forces import evaluate, fixed_point
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.graph import MOST_DENSE, graph
from asteroid_nb.equilibrium.matching import Batch, Watch, matching_loss, spectral_radius
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import FORCE_FIT, ForceFieldSettings, ForceObjective
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch, NotConverged, TrainingDiverged
from asteroid_nb.fitting import FitSettings, fit
from asteroid_nb.processes import is_first
from asteroid_nb.progress import Bar, Observer
from asteroid_nb.units import MEV_PER_EV

#: Validation frames looked at after each epoch, and those whose spectral radius is.
MOST_VALIDATED, RADIUS_FRAMES = 128, 8

#: Of each trajectory, when no validation is given: its last part, held out, and what is left out before it, because
#: frames that follow at once are nearly those learnt from.
HELD_OUT_SHARE, GAP_SHARE = 0.1, 0.02

#: Of an epoch's frames: more whose solvers gave up end the training.
MOST_UNCONVERGED = 0.5


@dataclasses.dataclass
class ForceTask:
    """A force field as a `Task` of `asteroid_nb.fitting`.

    ``measured`` holds, after each epoch, evaluations per molecule in training (steps, adjoint_steps), the share of
    molecules whose solver gave up (unconverged), and on validation frames the energy MAE in meV, evaluations, and the
    spectral radius.
    """

    model: ForceField
    train: Frames
    validation: Frames
    objective: ForceObjective
    batch_size: int
    start: str = ""
    watch: Watch = dataclasses.field(default_factory=Watch)
    measured: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """Return what a resumed training must share with the interrupted one."""
        model, objective = dataclasses.asdict(self.model.settings), dataclasses.asdict(self.objective)
        return {"model": model, "objective": objective, "start": self.start, **self._frames}

    @property
    def _frames(self) -> dict[str, str]:
        return {"frames": self.train.fingerprint, "validation_frames": self.validation.fingerprint}

    @property
    def n_steps(self) -> int:
        return -(-len(self.train) // self.batch_size)

    @property
    def steps_alike(self) -> bool:
        """Return whether a GPU may replay a step: a solver decides as it goes how often it applies f."""
        settings, n_atoms = self.model.settings, self.train.positions.shape[1]
        return not settings.implicit and settings.layer == "vector" and n_atoms <= MOST_DENSE

    def batches(self, *, seed: int, device: torch.device) -> Iterator[Batch]:
        order = np.random.default_rng(seed).permutation(len(self.train))
        yield from self.train.batches(order, self.batch_size, device)

    def loss(self, model: nn.Module, batch: Batch, *, done: float) -> dict[str, Tensor]:
        try:
            return model(matching_loss, batch, self.objective, self.watch)
        except NotConverged as error:  # in training only what is no number raises
            raise TrainingDiverged(f"In training: {error} Lower the learning rate.") from error

    def validate(self, model: nn.Module, *, device: torch.device) -> float:
        """Return the mean absolute error of force components in meV/Å on the held-out frames."""
        rows = np.linspace(0, len(self.validation) - 1, min(MOST_VALIDATED, len(self.validation))).round().astype(int)
        asked: Any = model
        force, energy, steps, atoms = 0.0, 0.0, 0.0, 0
        for batch in self.validation.batches(rows, 64, device):
            try:
                answer = evaluate(asked, batch.positions, batch.atomic_numbers, solver=self.objective.validation)
            except NotConverged as error:
                raise TrainingDiverged(
                    f"In validation: {error} Raise contraction_weight of the objective, or lower the learning rate."
                ) from error
            force += float((answer.forces - batch.forces).abs().sum())
            energy += float((answer.energies - batch.energies).abs().sum())
            steps += 0.0 if answer.z is None else float(answer.z.n_steps.sum())
            atoms += int((batch.atomic_numbers > 0).sum())
        self.measured = {**self._watched(), "energy_mae_meV": MEV_PER_EV * energy / len(rows)}
        self.measured |= {"validation_steps": steps / len(rows), **self._radius(model, device)}
        return MEV_PER_EV * force / (3 * atoms)

    def _watched(self) -> dict[str, float]:
        """Return what the solvers of the epoch needed, unless most of them gave up: then gradients mean nothing."""
        told = self.watch.read()
        if told["unconverged"] > MOST_UNCONVERGED:
            raise TrainingDiverged(
                f"The solvers gave up for {told['unconverged']:.0%} of the frames of an epoch; {MOST_UNCONVERGED:.0%} "
                "may. Raise contraction_weight or max_steps of the objective's solvers, or lower the learning rate."
            )
        return told

    def _radius(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        if not self.model.settings.implicit:
            return {}
        rows = np.arange(min(RADIUS_FRAMES, len(self.validation)))
        asked: Any = model
        batch = next(self.validation.batches(rows, RADIUS_FRAMES, device))
        return {"spectral_radius": float(radius_of(asked, batch, self.objective).max())}


def radius_of(model: ForceField, batch: Batch, objective: ForceObjective) -> Tensor:
    """Return the spectral radius of ∂f/∂z at the fixed point of each molecule."""
    with torch.no_grad():
        edges = graph(batch.positions, batch.atomic_numbers, cutoff_ang=model.settings.cutoff_ang)
        prepared = model.prepare(edges)
        found = fixed_point(model, prepared, objective.validation, strict=False)
    return spectral_radius(model, prepared, found.z)


def train_force_field(
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    validation: Trajectory | Sequence[Trajectory] | None = None,
    settings: ForceFieldSettings | None = None,
    objective: ForceObjective | None = None,
    fit_settings: FitSettings | None = None,
    start: ForceFieldRun | None = None,
    n_frames: int | None = None,
    choose: str = "evenly",
    folder: str | Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] | None = None,
    **fitting: Any,
) -> ForceFieldRun:
    """Train a force field on trajectories that hold forces and energies, and return it.

    Args:
        trajectories: of one molecule or several.
        validation: held out to choose the epoch by; the last tenth of every trajectory when not given, with a gap
            before it that nobody sees.
        settings: of the model; the small equilibrium model when not given.
        objective: what is made small, and by which solvers.
        fit_settings: `FORCE_FIT` when not given.
        start: a trained force field to go on from, such as one with direct forces, whose steps cost less.
        n_frames: of the trajectories (what is not held out); all when not given.
        choose: which: "evenly" in time, or "farthest", structures as different as possible (no label is looked at).
        folder: where checkpoint, settings and weights go; nothing is written without.
        resume: go on from the folder's checkpoint.
        observers: who watches and may stop it; a progress bar when not given.
        fitting: changes to ``fit_settings`` by name, such as ``n_epochs``, ``device`` or ``seed``.

    Raises:
        InvalidTrajectory: no forces or energies, a box, too few frames, or frames both learnt and held out.
        ModelMismatch: validation has elements training has not, a checkpoint of another training, or a start with
            other parts than the settings ask for.
        InvalidSettings, TrainingDiverged.
    """
    settings, objective = settings or ForceFieldSettings(), objective or ForceObjective()
    fit_settings = dataclasses.replace(fit_settings or FORCE_FIT, **fitting)
    learnt, held_out = _parts(trajectories, validation)
    train, checked = Frames.of(learnt, n_frames, choose=choose), Frames.of(held_out)
    energies = train.atomic_energies()
    torch.manual_seed(fit_settings.seed)
    model = ForceField(settings, energy_scale_eV=train.force_rms)
    if start is not None:
        _take_over(start, model)
    run = ForceFieldRun(model, energies, objective.validation)
    run.must_know(np.unique(checked.atomic_numbers))
    _must_be_held_out(train, checked)
    task = ForceTask(
        *(model, train.without_atoms(energies), checked.without_atoms(energies), objective, fit_settings.batch_size),
        start="" if start is None else _fingerprint(start),
    )
    checkpoint = None if folder is None else Path(folder) / CHECKPOINT_FILE
    watching = [Bar()] if observers is None else observers
    result = fit(task, fit_settings, checkpoint=checkpoint, resume=resume, observers=watching)
    run.history, run.finished = result.history, result.finished
    run.trained_on = {
        "names": sorted({one.name for one in learnt}),
        "n_frames": len(train),
        "choose": choose,
        "n_validation_frames": len(checked),
        "objective": dataclasses.asdict(objective),
        "fit_settings": dataclasses.asdict(fit_settings),
        "force_rms_eV_per_ang": train.force_rms,
    }
    if folder is not None and is_first():
        run.save(folder)
    return run


def _must_be_held_out(train: Frames, checked: Frames) -> None:
    """Raise `InvalidTrajectory` where a frame that judges is also learnt from."""
    known = set(_rows(train))
    shared = sum(row in known for row in _rows(checked))
    if shared:
        raise InvalidTrajectory(
            f"{shared} of {len(checked)} validation frames are among the training frames. Hold out frames far from "
            "them: another trajectory, or the last part of this one."
        )


def _rows(frames: Frames) -> Iterator[bytes]:
    """Yield each frame's positions in single precision, as files keep them, without what fills it up."""
    for positions, numbers in zip(frames.positions, frames.atomic_numbers, strict=True):
        yield positions[numbers > 0].astype(np.float32).tobytes()


def _fingerprint(run: ForceFieldRun) -> str:
    digest = hashlib.sha256()
    for weight in run.model.state_dict().values():
        digest.update(weight.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _take_over(start: ForceFieldRun, model: ForceField) -> None:
    """Give a model the weights of another, which may differ in where its forces come from."""
    theirs, mine = (dataclasses.asdict(one.replace(direct=False)) for one in (start.settings, model.settings))
    differing = [f"{name} {theirs[name]} there, {value} now" for name, value in mine.items() if theirs[name] != value]
    if differing:
        raise ModelMismatch(f"The start is another model ({'; '.join(differing)}). Give its settings.")
    scale = model.energy_scale.clone()
    model.load_state_dict(start.model.state_dict())
    model.energy_scale.copy_(scale)


def _parts(
    trajectories: Trajectory | Sequence[Trajectory], validation: Trajectory | Sequence[Trajectory] | None
) -> tuple[list[Trajectory], list[Trajectory]]:
    """Return what is learnt from and what is held out: given, or the last part of each trajectory."""
    learnt = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if not learnt:
        raise InvalidTrajectory("No trajectory was given. Pass one or more that hold forces and energies.")
    if validation is not None:
        held_out = [validation] if isinstance(validation, Trajectory) else list(validation)
        if not held_out:
            raise InvalidTrajectory("validation holds no trajectory. Pass one or more, or leave it out.")
        return learnt, held_out
    shortest = min(one.n_frames for one in learnt)
    if shortest < 10:
        raise InvalidTrajectory(
            f"A trajectory of {shortest} frames leaves no last tenth to hold out. Use longer ones, or give validation."
        )
    cuts = [one.n_frames - max(1, round(HELD_OUT_SHARE * one.n_frames)) for one in learnt]
    gaps = [max(1, round(GAP_SHARE * one.n_frames)) for one in learnt]
    train = [one[: cut - gap] for one, cut, gap in zip(learnt, cuts, gaps, strict=True)]
    return train, [one[cut:] for one, cut in zip(learnt, cuts, strict=True)]


def train_in_two_steps(
    trajectories: Sequence[Trajectory],
    validation: Trajectory,
    folder: Path,
    *,
    direct_epochs: int,
    n_epochs: int,
    settings: ForceFieldSettings | None = None,
    **options: Any,
) -> ForceFieldRun:
    """Return a conservative force field that began as one with direct forces; goes on where it was stopped.

    Args:
        folder: of the second step; the first lies beside it, with "-direct" at its name's end.
        options: of `train_force_field`, for both.

    Reference:
        Bigi, Langer & Ceriotti (2025), arXiv:2412.11569.
    """
    settings = settings or ForceFieldSettings()
    first = folder.with_name(folder.name + "-direct")
    steps = ((first, True, direct_epochs), (folder, False, n_epochs))
    run: ForceFieldRun | None = None
    for where, direct, epochs in steps:
        run = train_force_field(
            trajectories, validation=validation, settings=settings.replace(direct=direct), start=run, folder=where,
            resume=(where / CHECKPOINT_FILE).is_file(), n_epochs=epochs, **options,
        )  # fmt: skip
        if not run.finished:
            break
    assert run is not None
    return run
