"""A `Run`: a trained model with what it needs to refuse data it was not made for, kept as a folder."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.checkpoints import load_record, load_weights, making_a_model, save_model, weights_bytes
from asteroid_nb.data.splits import Split
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule, Window, Windows, WindowShape
from asteroid_nb.errors import CorruptModel, InvalidSettings, ModelMismatch
from asteroid_nb.forecast.environment import MOST_NEIGHBOURS
from asteroid_nb.forecast.fitted import Stretch, stretches
from asteroid_nb.forecast.kinds import Kinds
from asteroid_nb.forecast.newton import NewtonSkip
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.transformer import STITransformer

KIND = "sti-transformer"

#: No setting of a model, and no system of atoms, is larger: what a forged folder may not ask for.
LARGEST, MOST_ATOMS = 10_000, 1_000_000


@dataclass(repr=False)
class Run:
    """A trained STI-Transformer.

    Args:
        model: ready to forecast.
        dt_fs: between frames as the model reads them.
        history: of the training, one record per epoch.
        split: the windows it was trained, validated and is to be tested on; absent when loaded from a folder.
        folder: where it is kept.
        finished: False when training was stopped before its end.
        stride_frames: every how many stored frames of the training data it read.
        fitted: the stretches of trajectories that training and validation used.
        kept_loss: its validation loss with the weights that were kept, where others than its own decided which.
    """

    model: STITransformer
    dt_fs: float
    history: list[dict[str, float]] = field(default_factory=list)
    split: Split | None = None
    folder: Path | None = None
    finished: bool = True
    stride_frames: int = 1
    fitted: list[Stretch] = field(default_factory=list)
    kept_loss: float | None = None

    def __post_init__(self) -> None:
        if self.split is not None:
            self.stride_frames = self.split.train.shape.stride_frames
            self.fitted = stretches(self.split.train) + stretches(self.split.validation)

    def must_not_have_seen(self, windows: Windows) -> None:
        """Raise `ModelMismatch` if training or validation used frames of these windows."""
        for stretch in stretches(windows):
            if any(stretch.overlaps(known) for known in self.fitted):
                raise ModelMismatch(
                    f"Frames {stretch.first} to {stretch.last} of a test trajectory were used in training or "
                    "validation: an error measured there says nothing. Test on another trajectory, or give the files "
                    "in the order they were trained in."
                )

    def __repr__(self) -> str:
        epochs = f"{len(self.history)} epochs" if self.history else "untrained"
        best = min((record["validation_loss"] for record in self.history), default=float("nan"))
        best = best if self.kept_loss is None else self.kept_loss
        said = f", validation {best:.2f} × the error of {self.start_name}" if math.isfinite(best) else ""
        said += ", which therefore stands" if self.finished and self.settings.decode == "parallel" and best >= 1 else ""
        return f"<Run of the {self.name}: {epochs}{said}>"

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def settings(self) -> STISettings:
        return self.model.settings

    @property
    def start_name(self) -> str:
        """Return what errors of the training are relative to."""
        return "learned Newton" if self.settings.skip == "newton" else "the linear forecast"

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def forecast(self, window: Window) -> Tensor:
        """Return [windows, horizon, atoms, 3] Å, computed where the model is.

        Raises:
            ModelMismatch: windows of another history, molecule size or spacing.
        """
        n_frames, n_atoms = window.history.shape[1:3]
        found = {"history": n_frames, "atoms": n_atoms, "dt_fs": window.dt_fs}
        needed = {"history": self.settings.history, "atoms": self.model.molecule.n_atoms, "dt_fs": self.dt_fs}
        for name, value in found.items():
            if not math.isclose(value, needed[name], rel_tol=1e-4):
                raise ModelMismatch(
                    f"The window has {name} {value:g}, the model {needed[name]:g}. Make windows with run.shape_for(…)."
                )
        with torch.no_grad():
            return self.model.eval().forecast(window.to(self.device)).to(window.history.device)

    def stride_for(self, trajectory: Trajectory) -> int:
        """Return every how many frames of a trajectory the model reads.

        Raises:
            ModelMismatch: other species, masses, or a spacing that no whole stride turns into the model's.
        """
        self.model.molecule.must_equal(trajectory)
        stride = round(self.dt_fs / trajectory.dt_fs)
        if stride < 1 or not np.isclose(stride * trajectory.dt_fs, self.dt_fs, rtol=1e-4):
            raise ModelMismatch(
                f"{trajectory.name!r} has a frame every {trajectory.dt_fs:g} fs, the model every {self.dt_fs:g} fs. "
                "Store frames at that spacing or a whole fraction of it, or train on this trajectory."
            )
        return stride

    def shape_for(self, trajectory: Trajectory) -> WindowShape:
        """Return the model's window on a trajectory it fits."""
        return self.settings.window_shape(self.stride_for(trajectory))

    @property
    def record(self) -> dict[str, Any]:
        """Return all that a folder says beside the weights."""
        molecule, kinds = self.model.molecule, self.model.kinds
        shared = {} if kinds is None else {"kinds": kinds.written()}
        return {
            "settings": dataclasses.asdict(self.settings),
            "dt_fs": self.dt_fs,
            "stride_frames": self.stride_frames,
            **{key: getattr(molecule, key) for key in ("atomic_numbers", "masses", "bonds", "reference")},
            **shared,
            "history": self.history,
            **({} if self.kept_loss is None else {"kept_loss": self.kept_loss}),
            "finished": self.finished,
            "fitted": [list(stretch) for stretch in self.fitted],
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``settings.json`` and ``weights.safetensors``."""
        self.folder = save_model(folder, kind=KIND, record=self.record, weights=self.model.state_dict())
        return self.folder

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: something in it is missing, damaged or contradicts the rest.
        """
        record = load_record(folder, kind=KIND)
        with making_a_model(folder):
            run = cls.described(record, weights_bytes(folder))
        run.folder = Path(folder)
        load_weights(folder, run.model)
        run.must_be_sound()
        return run

    @classmethod
    def described(cls, record: dict[str, Any], n_bytes: int) -> Run:
        """Return the run of a record, its weights still to be loaded from a file of so many bytes."""
        settings, molecule = _settings(record), _molecule(record)
        kinds = Kinds.read(record["kinds"]) if "kinds" in record else None
        _must_be_affordable(settings, molecule, kinds, n_bytes)
        return cls(
            STITransformer(settings, molecule, kinds).eval(),
            float(record["dt_fs"]),
            history=[dict(entry) for entry in record["history"]],
            finished=bool(record["finished"]),
            stride_frames=int(record["stride_frames"]),
            fitted=[Stretch.of(kept) for kept in record["fitted"]],
            kept_loss=float(record["kept_loss"]) if "kept_loss" in record else None,
        )

    def must_be_sound(self) -> None:
        """Refuse weights that were loaded and contradict the rest."""
        _must_point_at_atoms(self.model, self.folder)
        if isinstance(self.model.skip, NewtonSkip) and not self.model.skip.steps_fit(self.dt_fs, self.stride_frames):
            raise CorruptModel(
                f"{self.folder} holds weights whose steps do not fit frames every {self.dt_fs:g} fs. "
                "Copy the folder or train again."
            )


def _settings(record: dict[str, Any]) -> STISettings:
    """Return the settings of a record, each of the type and a size that real ones have."""
    given = dict(record["settings"])
    for name, usual in vars(STISettings()).items():
        value = given.get(name, usual)
        right_type = type(value) is type(usual) or (type(usual) is float and type(value) is int)
        if not right_type or (isinstance(value, int | float) and not abs(value) <= LARGEST):
            raise InvalidSettings(f"{name} is {value!r}, the usual {usual!r}, the largest {LARGEST}")
    return STISettings(**given)


def _must_be_affordable(settings: STISettings, molecule: Molecule, kinds: Kinds | None, n_bytes: int) -> None:
    """Refuse settings whose weights would not fit into the file of weights, before memory is asked for."""
    n_atoms = molecule.n_atoms
    groups = n_atoms if settings.atom_identity else len(np.unique(molecule.atomic_numbers))
    features = settings.seen_frames * min(n_atoms, MOST_NEIGHBOURS) * 3
    targets = settings.horizon * 3
    layers = settings.encoder_layers + settings.decoder_layers
    own = settings.width * groups * features if kinds is None else kinds.n_weights(settings)
    values = own + settings.width * (targets + settings.registers + layers * settings.width)
    values += groups * features * targets * (settings.skip in ("auto", "ridge")) + settings.horizon * n_atoms
    most = MOST_ATOMS if settings.pairs == "listed" else LARGEST  # a table of all pairs grows as their square
    if n_atoms > most or 4 * values > n_bytes:
        raise InvalidSettings(f"{n_atoms} atoms need at least {values} weights, which {n_bytes} bytes cannot hold")


def _must_point_at_atoms(model: STITransformer, folder: str | Path | None) -> None:
    """Refuse weights whose tables name atoms, or groups of atoms, that are not there."""
    n_groups = len(model.environment.mean)
    for name, table in model.state_dict().items():
        limit = n_groups if name.endswith("group") else model.molecule.n_atoms
        if table.dtype == torch.int64 and not ((table >= 0) & (table < limit)).all():
            raise CorruptModel(f"{folder} holds weights whose {name} names no atom. Copy the folder or train again.")


def _molecule(record: dict[str, Any]) -> Molecule:
    """Return the molecule of a record, held to the same rules as a trajectory's."""
    reference = np.asarray(record["reference"], dtype=float)
    bonds = np.asarray(record["bonds"], dtype=np.int64).reshape(-1, 2)
    masses = np.asarray(record["masses"])
    checked = Trajectory(
        reference[None], np.asarray(record["atomic_numbers"]), float(record["dt_fs"]), masses=masses, bonds=bonds
    )
    return Molecule(checked.atomic_numbers, checked.masses, bonds, reference)
