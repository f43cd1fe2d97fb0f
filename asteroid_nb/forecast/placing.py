"""One rigid transform per window, from its first history frame alone, and its undoing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from asteroid_nb.data.geometry import superposition
from asteroid_nb.data.windows import Window


def placed(window: Window, frame: str, reference: Tensor) -> tuple[Window, Callable[[Tensor], Tensor]]:
    """Return the window in the model's frame and the function that brings predictions back.

    Only ``frame="window"`` moves anything: the first history frame is superposed on the reference and everything else
    moves with it. Windows come already centred, so a rotation is all that is needed.
    """
    if frame != "window":
        return window, lambda predicted: predicted
    rotation = rotation_onto(window.history[:, 0], reference)
    turned = window.rotated(rotation)
    return turned, lambda predicted: torch.einsum("wba,w...b->w...a", rotation, predicted)


def rotation_onto(first: Tensor, reference: Tensor) -> Tensor:
    """Return [windows, 3, 3] that turn centred structures onto a centred reference."""
    found = superposition(first.detach().cpu().double().numpy(), reference.detach().cpu().double().numpy())
    return torch.as_tensor(found.rotation).to(first)
