"""STI-Transformers small enough for every test, and the windows they are fitted on."""

from __future__ import annotations

import functools

import torch
from molecules_for_tests import shaken

import asteroid_nb as anb
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Windows, WindowShape
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.transformer import STITransformer

SHAPE = WindowShape(history=8, horizon=8)


@functools.cache
def walkers(n_frames: int = 160) -> tuple[Trajectory, ...]:
    """Return the start of every walker of the bundled ethanol, 1 fs a frame."""
    return tuple(walker[:n_frames] for walker in anb.sample("ethanol"))


@functools.cache
def training(shape: WindowShape = SHAPE) -> Windows:
    return Windows(walkers()[:4], shape)


@functools.cache
def validating(shape: WindowShape = SHAPE) -> Windows:
    return Windows(walkers()[4:5], shape)


@functools.cache
def held_out(shape: WindowShape = SHAPE) -> Windows:
    return Windows(walkers()[5:], shape)


def small_settings(**changes) -> STISettings:
    made = STISettings(
        history=8, horizon=8, width=16, heads=2, encoder_layers=1, decoder_layers=1, delay_frames=4, row_stride=2,
        slot_frames=4, registers=1, conjugate="subset", skip="ridge",
    )  # fmt: skip
    return made.replace(**changes)


def untrained(settings: STISettings, train: Windows | None = None, validation: Windows | None = None) -> STITransformer:
    """Return a model whose linear forecast is fitted and whose network is as it was made."""
    shape = settings.window_shape()
    train, validation = train or training(shape), validation or validating(shape)
    torch.manual_seed(0)
    model = STITransformer(settings, train.molecule)
    model.fit_start(train, validation)
    return model.eval()


def small_model(**changes) -> STITransformer:
    """Return a model with noise on its weights, so that whatever it reads shows in what it says."""
    model = shaken(untrained(small_settings(**changes)))
    assert isinstance(model, STITransformer)
    return model
