"""Short trainings of every wing, for one process or several: run as a script by what launches processes.

torchrun --nproc_per_node 2 tests/trainings.py FOLDER [--resume] [--die-at STEP] [--devices N] NAME ...
"""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_force_field import BRIEFLY as FORCE_BRIEFLY
from small_force_field import TINY as FORCE_TINY
from small_force_field import frames
from token_chains import ring
from trained import ONE_EPOCH, TINY, shaken_ethanol
from vibrating import vibrating_ethanol

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.settings import ForceObjective
from asteroid_nb.equilibrium.training import train_force_field
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.forecast.training import ForecastTask, train
from asteroid_nb.states.settings import LSTMSettings
from asteroid_nb.states.training import train_language

#: Odd, so that two processes have unequal shares; three epochs of nine steps.
FORECAST_FIT = dataclasses.replace(ONE_EPOCH, n_epochs=3, batch_size=15)

#: Nothing random in the loss, and solved so tightly that rounding is what is left.
EXACT = ForceObjective(
    forward=Solver(tolerance=1e-6), backward=Solver(tolerance=1e-6), validation=Solver(), contraction_weight=0.0
)


def forecast(folder: Path, **options: Any) -> Any:
    return train(shaken_ethanol(), settings=TINY, fit_settings=FORECAST_FIT, folder=folder, observers=(), **options)


def several(folder: Path, **options: Any) -> Any:
    """Train one network on ethanol and on what is left of it without a hydrogen."""
    whole = shaken_ethanol()
    without = Trajectory(whole.positions[:, :8], whole.atomic_numbers[:8], dt_fs=whole.dt_fs, name="without a hydrogen")
    molecules = {"ethanol": whole, "radical": without}
    options |= {"n_epochs": 1}  # of as many steps of each
    return train(molecules, settings=TINY, fit_settings=FORECAST_FIT, folder=folder, observers=(), **options)


def newton(folder: Path, **options: Any) -> Any:
    options |= {"potential": {"n_steps": 12, "n_path_steps": 4, "batch_size": 32}, "n_epochs": 1}
    settings = TINY.replace(skip="newton")
    return train(shaken_ethanol(), settings=settings, fit_settings=FORECAST_FIT, folder=folder, observers=(), **options)


def language(folder: Path, **options: Any) -> Any:
    settings = LSTMSettings(context=10, embedding=4, width=8, dropout=0.0)
    fitting = dataclasses.replace(ONE_EPOCH, batch_size=7)
    replicas = [walker[:300] for walker in ring()]
    return train_language(replicas, settings=settings, fit_settings=fitting, folder=folder, observers=(), **options)


def force_field(folder: Path, **options: Any) -> Any:
    """Train on 19 frames, six at a time: of the last batch, one frame, nothing is left for the second process."""
    fitting = dataclasses.replace(FORCE_BRIEFLY, n_epochs=1, batch_size=6)
    return train_force_field(
        frames(), settings=FORCE_TINY, objective=EXACT, fit_settings=fitting, folder=folder, observers=(), **options
    )


def too_far_apart(folder: Path, **options: Any) -> Any:
    """Fail where the first process works for all: a potential needs frames closer than these."""
    data = vibrating_ethanol(240, dt_fs=4.0)
    return train(data, settings=TINY.replace(skip="newton"), fit_settings=FORECAST_FIT, folder=folder, observers=())


ALL: dict[str, Callable[..., Any]] = {
    one.__name__: one for one in (forecast, several, newton, language, force_field, too_far_apart)
}


def digest(run: Any) -> str:
    whole = hashlib.sha256()
    for weight in run.model.state_dict().values():
        whole.update(weight.numpy().tobytes())
    return whole.hexdigest()


def die_at(step: int) -> None:
    """Kill the second process when it comes to a step, as a node that fails would."""
    whole, seen = ForecastTask.loss, []

    def loss(self: ForecastTask, *given: Any, **named: Any) -> Any:
        seen.append(None)
        if torch.distributed.get_rank() == 1 and len(seen) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, *given, **named)

    ForecastTask.loss = loss  # type: ignore[method-assign]


def tell_the_end(folder: Path) -> None:
    """Write down whether this process still holds on to the others, which may abort it once its interpreter ends."""
    (folder / f"end-{os.environ.get('RANK', '0')}.txt").write_text(
        "held" if torch.distributed.is_initialized() else "parted"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", choices=ALL)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--die-at", type=int, default=0)
    parser.add_argument("--devices", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    atexit.register(tell_the_end, options.folder)  # before the library does: what is registered first comes last
    if options.die_at:
        die_at(options.die_at)
    for name in options.names:
        try:
            told = digest(ALL[name](options.folder / name, resume=options.resume, n_devices=options.devices))
        except InvalidTrajectory as error:
            told = f"{type(error).__name__}: {error}"
        rank = torch.distributed.get_rank()
        (options.folder / f"{name}-{rank}.txt").write_text(told)


if __name__ == "__main__":
    main()
