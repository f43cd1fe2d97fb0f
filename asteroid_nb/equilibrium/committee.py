"""Several force fields asked together: their mean is the answer, and how far they lie apart its doubt.

Reference:
    Schran, Brezina & Marsalek (2020), arXiv:2006.01541.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.checkpoints import FEWEST_MEMBERS, MOST_MEMBERS, load_record, member_folders, save_members
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.equilibrium.dynamics import calculator
from asteroid_nb.equilibrium.run import ForceErrors, ForceFieldRun, errors_of
from asteroid_nb.errors import InvalidSettings, ModelMismatch
from asteroid_nb.shapes import Float

KIND = "force-field-committee"


class Agreed(NamedTuple):
    """What a committee says of frames.

    Args:
        energies: [frames] eV, the members' mean.
        forces: [frames, atoms, 3] eV/Å, the members' mean.
        energy_spread: [frames] eV, standard deviation over members.
        force_spread: [frames, atoms] eV/Å, the same of forces, root mean square over x, y and z.
    """

    energies: Float[np.ndarray, " frames"]
    forces: Float[np.ndarray, "frames atoms 3"]
    energy_spread: Float[np.ndarray, " frames"]
    force_spread: Float[np.ndarray, "frames atoms"]


class Committee:
    """A force field made of several that differ by chance, or by what they learnt from.

    A call costs what its members cost together. Where members have conservative forces, so does the committee: their
    mean is the slope of the mean energy.

    Args:
        members: that have learnt the same elements.

    Raises:
        InvalidSettings: fewer than two members, or more than `MOST_MEMBERS`.
        ModelMismatch: members that know other elements.
    """

    def __init__(self, members: Sequence[ForceFieldRun]) -> None:
        self.members = list(members)
        if not FEWEST_MEMBERS <= len(self.members) <= MOST_MEMBERS:
            raise InvalidSettings(
                f"A committee has {FEWEST_MEMBERS} to {MOST_MEMBERS} members, found {len(self.members)}."
            )
        first = self.members[0]
        for number, member in enumerate(self.members):
            if set(member.atomic_energies_eV) != set(first.atomic_energies_eV):
                raise ModelMismatch(
                    f"Member {number} of the committee has learnt from {member.elements}, the first from "
                    f"{first.elements}. Train them on the same molecules."
                )

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"<Committee of {len(self)} × {self.members[0]!r}>"

    def must_know(self, atomic_numbers: Iterable[int]) -> None:
        """Raise `ModelMismatch` for an element it has not learnt from."""
        self.members[0].must_know(atomic_numbers)

    def predict(self, trajectory: Trajectory, **options: Any) -> Agreed:
        """Return mean and spread of what the members say of every frame; the options are those of a member's `predict`.

        Raises:
            ModelMismatch: an element it has not learnt from.
            NotConverged: a fixed point was not reached.
        """
        said = [member.predict(trajectory, **options) for member in self.members]
        energies, forces = (np.stack([getattr(one, name) for one in said]) for name in ("energies", "forces"))
        force_spread = np.sqrt(forces.var(0, ddof=1).mean(-1))
        return Agreed(energies.mean(0), forces.mean(0), energies.std(0, ddof=1), force_spread)

    def errors(self, trajectory: Trajectory, **options: Any) -> ForceErrors:
        """Return how far the mean forces and energies are off; the options are those of `predict`."""
        return errors_of(self.predict(trajectory, **options), trajectory)

    def calculator(self, **options: Any) -> Any:
        """Return an ASE calculator of the mean; each member keeps what its own last step left.

        Args:
            options: of `asteroid_nb.equilibrium.dynamics.calculator`, for every member.
        """
        from ase.calculators.mixing import AverageCalculator

        return AverageCalculator([calculator(member, **options) for member in self.members])

    def save(self, folder: str | Path) -> Path:
        """Write each member's folder below one that counts them."""
        return save_members(folder, self.members, kind=KIND, record={})

    @classmethod
    def load(cls, folder: str | Path) -> Committee:
        """Read a folder that `save` wrote, running no code from it.

        Raises:
            CorruptModel: a member is missing or damaged, or the count is none.
            ModelMismatch: members that know other elements.
        """
        return cls([ForceFieldRun.load(one) for one in member_folders(folder, load_record(folder, kind=KIND))])
