"""The force field that comes with the package: ethanol, learnt from the bundled GFN2-xTB walkers.

``python -m asteroid_nb.equilibrium.pretrained FOLDER`` trains it again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from asteroid_nb.checkpoints import CHECKPOINT_FILE
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.errors import UnknownName

FOLDER = Path(__file__).parent / "models"

NAMES = ("ethanol",)

#: Of its training: frames spread over all walkers but the last two, and passes over them.
N_FRAMES, N_EPOCHS = 950, 200


def pretrained(name: str = "ethanol") -> ForceFieldRun:
    """Return a trained force field of the package; ``trained_on`` says on what, and its errors on the last walker.

    Raises:
        UnknownName: there is none of this name.
    """
    if name not in NAMES:
        raise UnknownName(f"No force field called {name!r} comes with the package; there is {', '.join(NAMES)}.")
    return ForceFieldRun.load(FOLDER / name)


def make(folder: Path) -> ForceFieldRun:
    """Train the bundled force field, judge it on the last walker, and keep it; goes on where it was stopped."""
    from asteroid_nb.data.catalogue import sample
    from asteroid_nb.equilibrium.training import train_force_field

    *learnt, held_out, test = sample("ethanol")
    run = train_force_field(
        learnt, validation=held_out, n_frames=N_FRAMES, n_epochs=N_EPOCHS, folder=folder,
        resume=(folder / CHECKPOINT_FILE).is_file(),
    )  # fmt: skip
    if run.finished:
        errors = run.errors(test)._asdict()
        run.trained_on |= {"data": "bundled ethanol, GFN2-xTB", "test": errors, "n_test_frames": test.n_frames}
        run.save(folder)
    return run


if __name__ == "__main__":
    make(Path(sys.argv[1]))
