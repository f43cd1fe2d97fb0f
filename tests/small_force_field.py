"""A tiny force field on few frames of ethanol, and malonaldehyde, made once: for laws, not for good forces."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

import asteroid_nb as anb
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.forces import Answer, evaluate
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.settings import FORCE_FIT, ForceFieldSettings, ForceObjective
from asteroid_nb.equilibrium.training import train_force_field
from asteroid_nb.fitting import FitSettings

TINY = ForceFieldSettings(width=8, n_radial=6)

#: As far as double precision goes.
TIGHT = Solver(tolerance=1e-13, max_steps=200)

#: Two epochs of four steps, solved no better than they need be.
BRIEFLY = FitSettings(**(vars(FORCE_FIT) | {"n_epochs": 2, "batch_size": 5, "ema_decay": 0.5, "device": "cpu"}))
LOOSE = ForceObjective(forward=Solver(tolerance=1e-2), backward=Solver(tolerance=3e-2), validation=Solver())


@functools.cache
def frames(name: str = "ethanol", n_frames: int = 22) -> Trajectory:
    """Return some frames of a bundled sample, 10 fs apart."""
    return anb.sample(name)[0][: 10 * n_frames : 10]


@functools.cache
def fragment(n_frames: int = 12) -> Trajectory:
    """Return five atoms of ethanol with made-up energies: a smaller molecule."""
    small = frames().select([0, 3, 4, 5, 2])[:n_frames]
    return small.replace(energies=np.linspace(-200, -199, n_frames), name="fragment")


@functools.cache
def untrained(**changes: Any) -> ForceField:
    """Return a force field with random weights in double precision; nobody may change it."""
    torch.manual_seed(1)
    return ForceField(TINY.replace(**changes)).double().requires_grad_(False)


@functools.cache
def learnt() -> ForceFieldRun:
    """Return a run on frames of ethanol that has seen each often enough to know bonds; nobody may change it."""
    return briefly(frames(n_frames=44), objective=LOOSE.replace(energy_weight=0.5), n_epochs=12, learning_rate=1e-2)


def briefly(data: Any = None, **options: Any) -> ForceFieldRun:
    """Return a run of two epochs."""
    options = {"settings": TINY, "objective": LOOSE, "fit_settings": BRIEFLY, "observers": ()} | options
    return train_force_field(frames() if data is None else data, **options)


def places(trajectory: Trajectory, n_frames: int = 1) -> tuple[Tensor, Tensor]:
    """Return positions [frames, atoms, 3] in double precision and atomic numbers [frames, atoms]."""
    positions = torch.tensor(np.array(trajectory.positions[:n_frames], dtype=float))
    return positions, torch.tensor(np.array(trajectory.atomic_numbers)).expand(n_frames, -1)


@functools.cache
def untrained_run(**changes: Any) -> ForceFieldRun:
    """Return random weights as a run that knows ethanol and malonaldehyde; nobody may change it."""
    return ForceFieldRun(copy.deepcopy(untrained(**changes)).float(), {1: -13.6, 6: -1030.0, 8: -2041.0})


def ethanol(n_frames: int = 1) -> tuple[Tensor, Tensor]:
    return places(frames(), n_frames)


def answer(positions: Tensor, numbers: Tensor, *, solver: Solver = TIGHT, cell: Any = None, **changes: Any) -> Answer:
    """Return what an untrained model says, tightly solved."""
    return evaluate(untrained(**changes), positions, numbers, solver=solver, cell=cell)
