"""A tiny STI-Transformer, trained once for all tests that need one."""

from __future__ import annotations

import functools

import torch
from vibrating import vibrating_ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import preset
from asteroid_nb.forecast.training import train

TINY = preset("tiny", width=16, heads=2, encoder_layers=1)
ONE_EPOCH = FitSettings(n_epochs=1, batch_size=16, learning_rate=3e-3, device="cpu")


@functools.cache
def shaken_ethanol() -> Trajectory:
    return vibrating_ethanol(240, dt_fs=1.0)


@functools.cache
def tiny_run() -> Run:
    """Return a run on `shaken_ethanol`; nobody may change it."""
    return train(shaken_ethanol(), settings=TINY, fit_settings=ONE_EPOCH, observers=())


def same(one: Run, other: Run) -> bool:
    """Return whether two runs have the same weights, to the last bit."""
    first, second = one.model.state_dict(), other.model.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
