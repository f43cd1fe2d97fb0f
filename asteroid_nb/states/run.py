"""A `LanguageRun`: a trained language model with what it needs to refuse data it was not made for, kept as a folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.checkpoints import load_run, must_fit, save_model
from asteroid_nb.data.checks import spacing_fs
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.states.language import LanguageModel, build, n_parameters
from asteroid_nb.states.sampling import StateModel
from asteroid_nb.states.settings import LanguageSettings, LSTMSettings, TransformerSettings

KIND = "state-language-model"
SETTINGS: dict[str, type] = {"LSTM": LSTMSettings, "Transformer": TransformerSettings}


@dataclass(eq=False, repr=False)
class LanguageRun(StateModel):
    """A trained language model over states.

    Args:
        stepper: the model.
        dt_fs: between the frames it has learnt from, and so between those it makes.
        labels: one name per state.
        frequencies: [states], the share of training frames in each.
        history: of the training, one record per epoch; validation_loss in nats per frame.
        n_training_frames: how many frames it has learnt from.
        finished: False when training was stopped before its end.
        folder: where it is kept.
    """

    stepper: LanguageModel
    dt_fs: float
    labels: tuple[str, ...]
    frequencies: np.ndarray
    history: list[dict[str, float]] = field(default_factory=list)
    n_training_frames: int = 0
    finished: bool = True
    folder: Path | None = None

    def __repr__(self) -> str:
        best = min((record["validation_loss"] for record in self.history), default=float("nan"))
        said = f"{len(self.history)} epochs, validation {best:.4f} nats per frame" if self.history else "untrained"
        return f"<LanguageRun of the {self.name} over {self.n_states} states, every {self.dt_fs:g} fs: {said}>"

    @property
    def model(self) -> LanguageModel:
        return self.stepper

    @property
    def settings(self) -> LanguageSettings:
        return self.model.settings

    def save(self, folder: str | Path) -> Path:
        """Write ``settings.json`` and ``weights.safetensors``."""
        record = {
            "model": self.name,
            "settings": dataclasses.asdict(self.settings),
            "n_states": self.n_states,
            **{name: getattr(self, name) for name in ("dt_fs", "labels", "frequencies", "history")},
            **{name: getattr(self, name) for name in ("n_training_frames", "finished")},
        }
        self.folder = save_model(folder, kind=KIND, record=record, weights=self.model.state_dict())
        return self.folder

    @classmethod
    def load(cls, folder: str | Path) -> LanguageRun:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: something in it is missing, damaged or contradicts the rest.
        """
        return load_run(cls, folder, kind=KIND, make=_model, describe=_description)


def _model(record: dict[str, Any], n_bytes: int) -> LanguageModel:
    """Return the untrained model of a record, unless the file of weights could not hold its weights."""
    settings, n_states = SETTINGS[record["model"]](**record["settings"]), int(record["n_states"])
    must_fit(n_parameters(settings, n_states), n_bytes)
    return build(settings, n_states).eval()


def _description(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says beside the model, each held to the rules of a fresh one."""
    n_states, labels = int(record["n_states"]), tuple(str(label) for label in record["labels"])
    frequencies = np.asarray(record["frequencies"], dtype=float)
    if len(labels) != n_states or frequencies.shape != (n_states,) or not np.isclose(frequencies.sum(), 1):
        raise InvalidSettings(
            f"{len(labels)} labels and {frequencies.size} frequencies do not describe {n_states} states"
        )
    if not (frequencies >= 0).all():
        raise InvalidSettings("a frequency is negative")
    return {
        "dt_fs": spacing_fs(record["dt_fs"]),
        "labels": labels,
        "frequencies": frequencies,
        "history": [dict(entry) for entry in record["history"]],
        "n_training_frames": int(record["n_training_frames"]),
        "finished": bool(record["finished"]),
    }
