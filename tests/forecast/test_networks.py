"""The network rivals: the contract, a start on constant velocity, and a loss that falls."""

from __future__ import annotations

import pytest
import torch
from contracts.forecaster import ForecasterContract
from contracts.small_models import held_out, training, validating
from molecules_for_tests import shaken
from torch.testing import assert_close

from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.networks import FrameNetwork, NetworkTask, network_rivals


def network(core: str) -> FrameNetwork:
    torch.manual_seed(0)
    made = FrameNetwork(training().molecule, history=8, horizon=8, core=core, width=16, layers=1)
    NetworkTask(made, training(), validating(), batch_size=8)
    return made


class TestNetworks(ForecasterContract):
    @pytest.fixture(scope="class", params=["LSTM", "Transformer"])
    @classmethod
    def forecaster(cls, request):
        return shaken(network(request.param))


@pytest.mark.parametrize("core", ["LSTM", "Transformer"])
def test_an_untrained_network_begins_on_the_slowing_velocity(core):
    window = held_out()[:20]
    leads = torch.arange(1.0, 9.0).view(1, -1, 1, 1)
    step = window.history[:, -1:] - window.history[:, -2:-1]
    expected = window.history[:, -1:] + leads * step * torch.exp(-leads / 4)
    assert_close(network(core).forecast(window), expected, rtol=0, atol=1e-5)


def test_both_train_and_their_errors_fall():
    short, settings = training().subset(most=64), FitSettings(n_epochs=4, batch_size=16, device="cpu")
    trained = network_rivals(short, validating(), settings)
    assert [each.name for each in trained] == ["LSTM", "plain Transformer"]
    for model, core in zip(trained, ("LSTM", "Transformer"), strict=True):
        after, before = (NetworkTask(each, short, validating(), 16) for each in (model, network(core)))
        with torch.no_grad():
            cpu = torch.device("cpu")
            assert after.validate(model, device=cpu) < before.validate(before.model, device=cpu)
        assert model.forecast(held_out()[:3]).shape == (3, 8, 9, 3)
