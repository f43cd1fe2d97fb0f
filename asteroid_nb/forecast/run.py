"""A `Run`: a trained model with what it needs to refuse data it was not made for, kept as a folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.checkpoints import load_record, load_weights, save_model
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule, Split, Window, WindowShape
from asteroid_nb.errors import AsteroidError, CorruptModel, ModelMismatch
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.transformer import STITransformer

KIND = "sti-transformer"
CHECKPOINT_FILE = "checkpoint.pt"


@dataclass
class Run:
    """A trained STI-Transformer.

    Args:
        model: ready to forecast.
        dt_fs: between frames as the model reads them.
        history: of the training, one record per epoch.
        split: the windows it was trained, validated and is to be tested on; absent when loaded from a folder.
        folder: where it is kept.
    """

    model: STITransformer
    dt_fs: float
    history: list[dict[str, float]] = field(default_factory=list)
    split: Split | None = None
    folder: Path | None = None
    finished: bool = True

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def settings(self) -> STISettings:
        return self.model.settings

    def forecast(self, window: Window) -> Tensor:
        """Return [windows, horizon, atoms, 3] Å."""
        with torch.no_grad():
            return self.model.eval().forecast(window)

    def stride_for(self, trajectory: Trajectory) -> int:
        """Return every how many frames of a trajectory the model reads.

        Raises:
            ModelMismatch: other species, masses, or a spacing that no whole stride turns into the model's.
        """
        self.model.molecule.must_equal(trajectory)
        stride = round(self.dt_fs / trajectory.dt_fs)
        if stride < 1 or not np.isclose(stride * trajectory.dt_fs, self.dt_fs, rtol=1e-4):
            raise ModelMismatch(
                f"{trajectory.name!r} has a frame every {trajectory.dt_fs:g} fs; the model was trained on {self.dt_fs:g} fs. "
                "Store frames at that spacing or a whole fraction of it, or train on this trajectory."
            )
        return stride

    def shape_for(self, trajectory: Trajectory) -> WindowShape:
        """Return the model's window on a trajectory it fits."""
        return self.settings.window_shape(self.stride_for(trajectory))

    def save(self, folder: str | Path) -> Path:
        """Write ``settings.json`` and ``weights.safetensors``."""
        molecule = self.model.molecule
        record = {
            "settings": dataclasses.asdict(self.settings),
            "dt_fs": self.dt_fs,
            "stride_frames": self.split.train.shape.stride_frames if self.split else 1,
            **{key: getattr(molecule, key) for key in ("atomic_numbers", "masses", "bonds", "reference")},
            "history": self.history,
        }
        self.folder = save_model(folder, kind=KIND, record=record, weights=self.model.state_dict())
        return self.folder

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: something in it is missing, damaged or contradicts the rest.
        """
        record = load_record(folder, kind=KIND)
        try:
            settings, molecule = STISettings(**record["settings"]), _molecule(record)
            dt_fs = float(record["dt_fs"])
            model = STITransformer(settings, molecule)
        except (KeyError, TypeError, ValueError, IndexError, AsteroidError) as error:
            raise CorruptModel(
                f"{folder} holds settings that make no model ({error}). Copy the folder again or train again."
            ) from error
        load_weights(folder, model)
        return cls(model.eval(), dt_fs, history=record.get("history", []), folder=Path(folder))


def _molecule(record: dict[str, Any]) -> Molecule:
    """Return the molecule of a record, held to the same rules as a trajectory's."""
    reference = np.asarray(record["reference"], dtype=float)
    checked = Trajectory(
        reference[None],
        np.asarray(record["atomic_numbers"]),
        float(record["dt_fs"]),
        masses=np.asarray(record["masses"]),
        bonds=np.asarray(record["bonds"], dtype=np.int64).reshape(-1, 2),
    )
    return Molecule(checked.atomic_numbers, checked.masses, checked.bonds, reference)
