"""Random numbers of a step: what `torch.manual_seed` would give, other numbers for every neighbour."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asteroid_nb.draws import seed_step

CPU = torch.device("cpu")


def drawn(*numbers: int, device: torch.device = CPU) -> list[float]:
    seed_step(*numbers, device=device)
    return torch.rand(3, device=device).tolist()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_are_those_of_torch_with_the_same_seed(device):
    torch.manual_seed(int(np.random.SeedSequence((7, 41, 1)).generate_state(1)[0]))
    expected = torch.rand(3, device=device).tolist()
    assert drawn(7, 41, 1, device=torch.device(device)) == expected


def test_seed_step_and_process_each_change_them():
    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    others = [drawn(*numbers) for numbers in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3)]]
    assert len({tuple(numbers) for numbers in others}) == 5
