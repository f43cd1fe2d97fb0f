"""Learned potentials with fewer weights than the usual one: their speed, and what it costs."""

from __future__ import annotations

from pathlib import Path

import torch

from asteroid_nb.bench.forecasts.arms import NEWTON_STEPS, chosen_folder
from asteroid_nb.bench.forecasts.protocols import PROTOCOLS, Protocol
from asteroid_nb.bench.sources import Source
from asteroid_nb.data.splits import Split
from asteroid_nb.errors import TrainingDiverged
from asteroid_nb.files import replacing
from asteroid_nb.forecast.newton import LearnedNewton, can_be_learnt
from asteroid_nb.forecast.potential import Potential
from asteroid_nb.forecast.potential_fit import USUAL_WIDTH, learn_potential, paths_file
from asteroid_nb.parallel import side_by_side

#: Of the layers of a narrow one.
WIDTH = 64

#: File of a potential, and of its training while that lasts.
WEIGHTS, TRAINING = "potential.pt", "training.pt"


def narrow_newtons(
    folder: Path, source: Source, protocol: Protocol, *, seeds: int, processes: int
) -> list[LearnedNewton]:
    """Return one for every seed, learnt where that was not done.

    An empty list where frames are too far apart or atoms too many; seeds whose training failed are left out.
    """
    if not can_be_learnt(source.trajectories()[0]):
        return []
    where = [_folder(folder, source, protocol.name, seed) for seed in range(seeds)]
    jobs = [(one, source, protocol.name, seed) for seed, one in enumerate(where) if not (one / WEIGHTS).is_file()]
    side_by_side(_learn, jobs, processes=processes, label="narrow potentials")
    parts = protocol.parts(source.trajectories())
    kept = [one / WEIGHTS for one in where if (one / WEIGHTS).is_file()]
    return [named(LearnedNewton(read(path, parts, width=WIDTH), horizon=protocol.horizon)) for path in kept]


def named(newton: LearnedNewton) -> LearnedNewton:
    """Return it under the name that tells its width."""
    newton.name = f"{LearnedNewton.name}, {WIDTH} wide"
    return newton


def kept_potential(folder: Path, parts: Split, *, width: int = USUAL_WIDTH, seed: int = 0) -> Potential:
    """Return the potential that a folder keeps, learnt where there is none.

    Raises:
        KeyboardInterrupt: the training was stopped; the same call goes on with it.
    """
    path, training = folder / WEIGHTS, folder / TRAINING
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        found = learn_potential(
            parts.train, parts.validation, width=width, seed=seed, checkpoint=training, resume=training.is_file(),
            observers=(), **NEWTON_STEPS,
        )  # fmt: skip
        if not found.finished:
            raise KeyboardInterrupt
        with replacing(path) as temporary:
            torch.save(found.state_dict(), temporary)
        for done in (training, paths_file(training)):
            done.unlink(missing_ok=True)
    return read(path, parts, width=width)


def read(path: Path, parts: Split, *, width: int) -> Potential:
    """Return a potential of the molecule from its file."""
    potential = Potential(parts.train.molecule, width=width).requires_grad_(False)
    potential.load_state_dict(torch.load(path, weights_only=True))
    return potential


def _learn(where: Path, source: Source, protocol: str, seed: int) -> None:
    try:
        kept_potential(where, PROTOCOLS[protocol].parts(source.trajectories()), width=WIDTH, seed=seed)
    except TrainingDiverged:
        return


def _folder(folder: Path, source: Source, protocol: str, seed: int) -> Path:
    return chosen_folder(folder, source, protocol, f"narrow-seed{seed}", str(WIDTH))
