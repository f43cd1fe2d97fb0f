"""Several forecasters that differ by chance alone: their mean is the forecast, and how far they lie apart its doubt.

Reference:
    Lakshminarayanan, Pritzel & Blundell (2017), arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.checkpoints import (
    FEWEST_MEMBERS,
    MOST_MEMBERS,
    load_record,
    member_folder,
    member_folders,
    save_members,
)
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import CorruptModel, Interrupted, InvalidSettings, ModelMismatch
from asteroid_nb.forecast.newton import LearnedNewton
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.start import Files
from asteroid_nb.forecast.training import are_several, train
from asteroid_nb.shapes import Float

KIND = "ensemble"


class Ensemble:
    """A forecaster made of several, which says how sure it is.

    Args:
        members: trained alike but for the seed.
        name: in tables.

    Raises:
        InvalidSettings: fewer than two members.
        ModelMismatch: members of other molecules, spacings, histories or horizons.
    """

    def __init__(self, members: Sequence[Any], *, name: str = KIND) -> None:
        self.members, self.name = list(members), name
        if len(self.members) < FEWEST_MEMBERS:
            raise InvalidSettings(
                f"An ensemble needs {FEWEST_MEMBERS} members or more, found {len(self.members)}. Train more."
            )
        known: dict[str, Any] = {}
        for number, member in enumerate(self.members):
            for what, value in _facts(member).items():
                if known.setdefault(what, value) != value:
                    raise ModelMismatch(
                        f"Member {number} of the ensemble has {what} {value}, those before it {known[what]}. Members "
                        "must agree on molecule, spacing, history and horizon: train them on the same windows."
                    )

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"<Ensemble {self.name!r} of {len(self)} × {self.members[0].name}>"

    @classmethod
    def fit(cls, train: Windows, validation: Windows, *, n_members: int = 4, seed: int = 0, **options: Any) -> Ensemble:
        """Learn potentials with seeds of their own; ``options`` are those of `LearnedNewton.fit`."""
        seeds = range(seed, seed + n_members)
        return cls([LearnedNewton.fit(train, validation, seed=one, **options) for one in seeds])

    def forecasts(self, window: Window) -> Float[Tensor, "members windows horizon atoms 3"]:
        """Return what each member says."""
        return torch.stack([member.forecast(window) for member in self.members])

    def forecast(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return the mean of the members' forecasts where the window lies."""
        return self.forecasts(window).mean(0)

    def spread(self, window: Window) -> Float[Tensor, "windows horizon atoms"]:
        """Return the standard deviation of the members' forecasts in Å, root mean square over x, y and z."""
        return self.forecast_and_spread(window)[1]

    def forecast_and_spread(self, window: Window) -> tuple[Tensor, Tensor]:
        """Return both, the members asked once."""
        each = self.forecasts(window)
        return each.mean(0), each.var(0).mean(-1).sqrt()

    def stride_for(self, trajectory: Trajectory) -> int:
        """Return every how many frames of a trajectory the members read; 1 where they read any spacing.

        Raises:
            ModelMismatch: a trajectory that is not for them.
        """
        return max([1, *(one.stride_for(trajectory) for one in self.members if hasattr(one, "stride_for"))])

    def save(self, folder: str | Path) -> Path:
        """Write each member's folder below one that counts them.

        Raises:
            InvalidSettings: members that are no `Run`, and so have no folder.
        """
        if other := [type(one).__name__ for one in self.members if not isinstance(one, Run)]:
            raise InvalidSettings(f"A {other[0]} has no folder of its own. Save an ensemble of runs, or fit again.")
        return save_members(folder, self.members, kind=KIND, record={"name": self.name})

    @classmethod
    def load(cls, folder: str | Path) -> Ensemble:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: a member is missing or damaged, or the count is none.
        """
        record = load_record(folder, kind=KIND)
        name, folders = record.get("name"), member_folders(folder, record)
        if not isinstance(name, str):
            raise CorruptModel(f"{folder} is called {name!r}, which is no name. Copy the folder or train again.")
        return cls([Run.load(one) for one in folders], name=name)


def train_ensemble(
    trajectories: Trajectory | Sequence[Trajectory],
    *,
    n_members: int = 4,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    **options: Any,
) -> Ensemble:
    """Train STI-Transformers that differ in their seeds alone, one after the other, and return them as one forecaster.

    Args:
        trajectories: as for `train`.
        n_members: how many; their seeds follow ``seed``.
        folder: where the members are kept; nothing is written without.
        resume: go on where the folder's training was interrupted.
        options: of `train`.

    Raises:
        InvalidSettings: fewer than two members, or more than `MOST_MEMBERS`; several molecules.
        Interrupted: a member's training was stopped.
    """
    if are_several(trajectories):
        raise InvalidSettings("An ensemble forecasts one molecule, found several. Pass the trajectories of one.")
    if not FEWEST_MEMBERS <= n_members <= MOST_MEMBERS:
        raise InvalidSettings(f"n_members was {n_members}; an ensemble has {FEWEST_MEMBERS} to {MOST_MEMBERS}.")
    members = []
    for number in range(n_members):
        where = None if folder is None else member_folder(folder, number)
        begun = resume and where is not None and any(one is not None and one.is_file() for one in Files.of(where))
        run = train(trajectories, seed=seed + number, folder=where, resume=begun, **options)
        if not run.finished:
            kept = "Go on with resume=True." if folder else "Give a folder, so that it can be gone on with."
            raise Interrupted(f"Member {number} of {n_members} was stopped before its end. {kept}")
        members.append(run)
    found = Ensemble(members)
    if folder is not None:
        found.save(folder)
    return found


def _facts(member: Any) -> dict[str, Any]:
    """Return what members must agree on, as far as this one knows it."""
    if isinstance(member, Run):
        molecule, settings = member.model.molecule, member.settings
        known = {"atomic numbers": molecule.atomic_numbers.tolist(), "masses": _rounded(molecule.masses)}
        known |= {"spacing": f"{member.dt_fs:g} fs", "history": settings.history}
        return known | {"horizon": settings.horizon}
    if isinstance(member, LearnedNewton):
        return {"masses": _rounded(member.potential.masses.flatten().numpy(force=True)), "horizon": member.horizon}
    return {"horizon": member.horizon} if hasattr(member, "horizon") else {}


def _rounded(masses: np.ndarray) -> list[float]:
    return np.round(masses.astype(float), 1).tolist()
