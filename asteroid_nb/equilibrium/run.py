"""A `ForceFieldRun`: a trained force field with what it needs to refuse atoms it never saw, kept as a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from asteroid_nb.checkpoints import load_run, must_fit, save_model
from asteroid_nb.data.elements import SYMBOLS
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import ForceField, n_parameters
from asteroid_nb.equilibrium.forces import evaluate
from asteroid_nb.equilibrium.frames import Frames, own_energies
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, NotConverged
from asteroid_nb.memory import giving_back
from asteroid_nb.shapes import Float
from asteroid_nb.units import MEV_PER_EV

KIND = "equilibrium-force-field"


class Predicted(NamedTuple):
    """Energies and forces of frames, and what they took.

    Args:
        energies: [frames] eV.
        forces: [frames, atoms, 3] eV/Å.
        n_steps: [frames] evaluations of f, 0 of an explicit twin.
        adjoint_steps: [frames] vector–Jacobian products.
    """

    energies: Float[np.ndarray, " frames"]
    forces: Float[np.ndarray, "frames atoms 3"]
    n_steps: np.ndarray
    adjoint_steps: np.ndarray


class ForceErrors(NamedTuple):
    """Mean absolute errors: of a force's component in meV/Å, of a frame's energy in meV."""

    force_meV_per_ang: float
    energy_meV: float
    force_rmse_meV_per_ang: float


@dataclass(eq=False, repr=False)
class ForceFieldRun:
    """A trained force field.

    Args:
        model: in single precision, on the CPU.
        atomic_energies_eV: by atomic number; other elements are refused.
        solver: by which it is asked unless told otherwise.
        history: of the training, one record per epoch; validation_loss is the force MAE in meV/Å.
        trained_on: what it has learnt from, in words and numbers.
        finished: False when training was stopped before its end.
        folder: where it is kept.
    """

    model: ForceField
    atomic_energies_eV: dict[int, float]
    solver: Solver = field(default_factory=lambda: Solver(tolerance=1e-4, max_steps=100))
    history: list[dict[str, float]] = field(default_factory=list)
    trained_on: dict[str, Any] = field(default_factory=dict)
    finished: bool = True
    folder: Path | None = None

    def __repr__(self) -> str:
        kind = "equilibrium" if self.settings.implicit else f"{self.settings.depth} blocks"
        best = min((record["validation_loss"] for record in self.history), default=float("nan"))
        said = f"{len(self.history)} epochs, force MAE {best:.1f} meV/Å" if self.history else "untrained"
        return f"<ForceFieldRun ({kind}, {n_parameters(self.settings):,} weights) of {self.elements}: {said}>"

    @property
    def settings(self) -> ForceFieldSettings:
        return self.model.settings

    @property
    def elements(self) -> str:
        return ", ".join(SYMBOLS[number] for number in sorted(self.atomic_energies_eV))

    def must_know(self, atomic_numbers: Iterable[int]) -> None:
        """Raise `ModelMismatch` for an element it has not learnt from."""
        unseen = sorted({int(number) for number in atomic_numbers} - {0, *self.atomic_energies_eV})
        if unseen:
            names = ", ".join(SYMBOLS[number] if number < len(SYMBOLS) else str(number) for number in unseen)
            raise ModelMismatch(
                f"The force field has never seen {names}; it has learnt from {self.elements}. "
                "Train it on molecules with these elements."
            )

    def predict(
        self,
        trajectory: Trajectory,
        *,
        solver: Solver | None = None,
        batch_size: int = 32,
        device: str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> Predicted:
        """Return energies and forces of every frame, each solved from a cold start.

        Raises:
            ModelMismatch: an element it has not learnt from.
            NotConverged: a fixed point was not reached.
        """
        self.must_know(trajectory.atomic_numbers)
        model = self.copy_of_model(device, precision)
        numbers = torch.as_tensor(np.array(trajectory.atomic_numbers), dtype=torch.int64, device=device)
        put = lambda array: torch.as_tensor(np.array(array, dtype=float), dtype=precision, device=device)  # noqa: E731
        size = batch_size if trajectory.cell is None else 1  # a batch has one box, frames may each have their own
        energies, forces, steps = [], [], []
        for first in range(0, trajectory.n_frames, size):
            some = put(trajectory.positions[first : first + size])
            box = None if trajectory.cell is None else put(trajectory.cell[first])
            answer = evaluate(model, some, numbers.expand(len(some), -1), solver=solver or self.solver, cell=box)
            energies.append(answer.energies.double().cpu().numpy())
            forces.append(answer.forces.double().cpu().numpy())
            none = torch.zeros(len(some), dtype=torch.int64)
            steps.append([none if one is None else one.n_steps.cpu() for one in (answer.z, answer.adjoint)])
        own = own_energies(self.atomic_energies_eV, trajectory.atomic_numbers)
        counted = (torch.cat(part).numpy() for part in zip(*steps, strict=True))
        return Predicted(np.concatenate(energies) + own, np.concatenate(forces), *counted)

    def predict_known(self, trajectory: Trajectory, *, batch_size: int = 32, **options: Any) -> Predicted:
        """Return what `predict` does, NaN where a frame has no answer; its batch is then asked one by one."""
        parts = []
        for first in range(0, trajectory.n_frames, batch_size):
            some = trajectory[first : first + batch_size]
            try:
                parts.append(self.predict(some, batch_size=batch_size, **options))
            except (NotConverged, InvalidTrajectory):
                alone = some.n_frames == 1
                parts.append(_unknown(some) if alone else self.predict_known(some, batch_size=1, **options))
        return Predicted(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    @giving_back()
    def errors(self, trajectory: Trajectory, **options: Any) -> ForceErrors:
        """Return how far forces and energies are off; the options are those of `predict`."""
        return errors_of(self.predict(trajectory, **options), trajectory)

    def copy_of_model(self, device: str = "cpu", precision: torch.dtype = torch.float32) -> ForceField:
        """Return the model on a device and in a precision, without moving the run's own."""
        import copy

        return copy.deepcopy(self.model).to(device=device, dtype=precision).eval().requires_grad_(False)

    def save(self, folder: str | Path) -> Path:
        """Write ``settings.json`` and ``weights.safetensors``."""
        record = {
            "settings": dataclasses.asdict(self.settings),
            "solver": dataclasses.asdict(self.solver),
            "atomic_energies_eV": {str(number): energy for number, energy in self.atomic_energies_eV.items()},
            **{name: getattr(self, name) for name in ("history", "trained_on", "finished")},
        }
        self.folder = save_model(folder, kind=KIND, record=record, weights=self.model.state_dict())
        return self.folder

    @classmethod
    def load(cls, folder: str | Path) -> ForceFieldRun:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: something in it is missing, damaged or contradicts the rest.
        """
        return load_run(cls, folder, kind=KIND, make=_model, describe=_description)


def errors_of(found: Any, trajectory: Trajectory) -> ForceErrors:
    """Return how far the ``energies`` and ``forces`` that were found for a trajectory's frames are from its own."""
    reference = Frames.of([trajectory])
    off = MEV_PER_EV * (found.forces - reference.forces)
    energy = MEV_PER_EV * np.abs(found.energies - reference.energies).mean()
    return ForceErrors(float(np.abs(off).mean()), float(energy), float(np.sqrt(np.square(off).mean())))


def _unknown(frame: Trajectory) -> Predicted:
    lost = np.full(1, np.nan)
    return Predicted(lost, np.full(frame.positions.shape, np.nan), lost, lost)


def _model(record: dict[str, Any], n_bytes: int) -> ForceField:
    """Return the untrained model of a record, unless the file of weights could not hold its weights."""
    settings = ForceFieldSettings(**record["settings"])
    must_fit(n_parameters(settings), n_bytes)
    return ForceField(settings).eval()


def _description(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says beside the model, each held to the rules of a fresh one."""
    energies = {int(number): float(energy) for number, energy in dict(record["atomic_energies_eV"]).items()}
    if not energies or not all(0 < number < len(SYMBOLS) for number in energies):
        raise InvalidSettings(f"{sorted(energies)} are not atomic numbers")
    if not np.isfinite(list(energies.values())).all():
        raise InvalidSettings("an atomic energy is not finite")
    return {
        "atomic_energies_eV": energies,
        "solver": Solver(**record["solver"]),
        "history": [{**entry, "validation_loss": float(entry["validation_loss"])} for entry in record["history"]],
        "trained_on": dict(record["trained_on"]),
        "finished": bool(record["finished"]),
    }
