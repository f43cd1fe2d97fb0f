"""Which steps of training a force field can be recorded as one CUDA graph.

An explicit stack does the same work for every batch of one shape. A solver decides as it goes how often it applies f;
the equilibrium model's step can therefore not be recorded.
"""

from __future__ import annotations

import dataclasses

import torch

from asteroid_nb.captured import CapturedLoss, Terms
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.graph import MOST_DENSE
from asteroid_nb.equilibrium.matching import Batch, matching_loss
from asteroid_nb.equilibrium.settings import ForceObjective


@dataclasses.dataclass
class Recorder:
    """Records the step of a training where that gains something, once for each shape of batches, and replays it.

    Args:
        precision: of the training; others than "32-true" are the trainer's, which a recorded step would go past.
    """

    precision: str
    captured: dict[tuple[int, ...], CapturedLoss] = dataclasses.field(default_factory=dict)

    def __call__(self, model: ForceField, batch: Batch, objective: ForceObjective) -> Terms | None:
        """Return the terms of the loss, or None where the step must be launched kernel by kernel."""
        if self.precision != "32-true" or not _can_be_recorded(model, batch):
            return None
        shape = tuple(batch.positions.shape)
        if shape not in self.captured:
            self.captured[shape] = CapturedLoss(model, batch, lambda one: matching_loss(model, one, objective))
        return self.captured[shape](batch)


def _can_be_recorded(model: ForceField, batch: Batch) -> bool:
    """Return whether the step is the same for every batch, and one process alone takes it on a GPU."""
    explicit_vectors = not model.settings.implicit and model.settings.layer == "vector"
    all_pairs = batch.positions.shape[1] <= MOST_DENSE
    return batch.positions.is_cuda and explicit_vectors and all_pairs and not torch.distributed.is_initialized()
