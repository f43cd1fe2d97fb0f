"""A recorded step: the same loss and gradients as one that is launched kernel by kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asteroid_nb.captured import CapturedLoss, _WithGradients
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.equilibrium.matching import Batch, matching_loss
from asteroid_nb.equilibrium.settings import ForceFieldSettings, ForceObjective
from asteroid_nb.equilibrium.training import ForceTask


def batch_of(seed, n_molecules=4, device="cuda"):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.tensor([6, 8, 1, 1]).expand(n_molecules, -1)
    places = torch.eye(4, 3) * 1.5 + 0.1 * torch.randn(n_molecules, 4, 3, generator=generator)
    forces, energies = (torch.randn(shape, generator=generator) for shape in ((n_molecules, 4, 3), (n_molecules,)))
    return Batch(*(one.to(device) for one in (places, numbers, forces, energies)))


def test_known_gradients_reach_the_weights():
    weights, loss = torch.ones(3, requires_grad=True), torch.tensor(2.0)
    unused = torch.ones(2, requires_grad=True)
    value = _WithGradients.apply(loss, (torch.tensor([1.0, 2.0, 3.0]), None), weights, unused)
    (2 * value).backward()
    assert float(value.detach()) == 2.0
    np.testing.assert_array_equal(weights.grad, [2.0, 4.0, 6.0])
    assert unused.grad is None


@pytest.mark.parametrize(
    ("changes", "n_atoms", "alike"),
    [({"depth": 0}, 4, False), ({"depth": 2}, 4, True), ({"depth": 2, "layer": "attention"}, 4, False),
     ({"depth": 2}, 65, False)],
)  # fmt: skip
def test_only_explicit_stacks_over_all_pairs_do_the_same_work_each_time(changes, n_atoms, alike):
    shape = (1, n_atoms)
    frames = Frames(np.zeros((*shape, 3)), np.ones(shape, dtype=int), np.zeros((*shape, 3)), np.zeros(1))
    task = ForceTask(ForceField(ForceFieldSettings(width=8, **changes)), frames, frames, ForceObjective(), 1)
    assert task.steps_alike == alike


@pytest.mark.gpu
@pytest.mark.parametrize("depth", [1, 4])
def test_a_recorded_step_is_the_launched_one_also_after_the_weights_moved(depth):
    torch.manual_seed(0)
    model = ForceField(ForceFieldSettings(depth=depth, width=16)).to("cuda")
    loss = lambda batch: matching_loss(model, batch, ForceObjective())  # noqa: E731
    recorded = CapturedLoss(model, batch_of(0), loss)
    for seed in (1, 2):
        batch = batch_of(seed)
        found = []
        for terms in (recorded(batch), loss(batch)):
            model.zero_grad()
            terms["loss"].backward()
            slopes = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
            found.append({"loss": terms["loss"].detach(), **slopes})
        assert found[0].keys() == found[1].keys()
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.01 * torch.randn_like(weight))
