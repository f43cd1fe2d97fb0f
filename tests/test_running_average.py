"""The running average of weights: torch's own, without asking how many steps there were."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asteroid_nb.running_average import RunningAverage

DECAY = 0.9


def moved(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    return model


@pytest.fixture
def model() -> nn.Module:
    found = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    found[1].running_mean.fill_(2.0)
    return found


def test_is_that_of_torch(model):
    mine, reference = RunningAverage(model, DECAY), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    for step in range(4):
        moved(model)[1].running_mean.fill_(float(step))
        mine.update_parameters(model)
        reference.update_parameters(model)
    torch.testing.assert_close(mine.state_dict(), reference.state_dict())
    assert float(mine.module[1].running_mean[0]) == 3.0


def test_begins_with_the_weights(model):
    average = RunningAverage(copy.deepcopy(model), DECAY)
    average.update_parameters(moved(model))
    torch.testing.assert_close(average.module.state_dict(), model.state_dict())


def test_goes_on_from_what_was_kept(model):
    whole, first = RunningAverage(model, DECAY), RunningAverage(model, DECAY)
    moved(model)
    whole.update_parameters(model)
    first.update_parameters(model)
    second = RunningAverage(model, DECAY)
    second.load_state_dict(first.state_dict())
    moved(model)
    whole.update_parameters(model)
    second.update_parameters(model)
    torch.testing.assert_close(second.state_dict(), whole.state_dict())
