"""The random numbers of a training step, which follow from seed, step and process alone."""

from __future__ import annotations

import numpy as np
import torch


def seed_step(*numbers: int, device: torch.device) -> None:
    """Seed what a step draws from, on the CPU and on its device.

    `torch.manual_seed` does the same for every kind of device there could be, which takes it ten times as long.

    Args:
        numbers: of the training, the step and the process; neighbours among them give unrelated random numbers.
        device: where the step is computed.
    """
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        getattr(torch, device.type).manual_seed(seed)
