"""Everything ``asteroid-nb bench equilibrium`` does: trainings, figures, their rules, one page with all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from asteroid_nb.bench import accuracy, cost, distribution, fixed_points, motion, time_step, work
from asteroid_nb.bench.setting import FULL, Setting, Size
from asteroid_nb.bench.sources import Source
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.finding import Finding, write

FIGURES: dict[str, Callable[[Setting], Finding]] = {
    **{"A1": fixed_points.figure_a1, "A2": fixed_points.figure_a2, "A3": fixed_points.figure_a3},
    **{"B1": work.figure_b1, "B2": work.figure_b2, "B3": work.figure_b3, "B4": time_step.figure_b4},
    **{"C1": cost.figure_c1, "C2": cost.figure_c2, "C3": cost.figure_c3, "C4": accuracy.figure_c4},
    **{"D1": motion.figure_d1, "D2": motion.figure_d2, "D3": motion.figure_d3, "D4": distribution.figure_d4},
}
ALL = tuple(FIGURES)


def run(
    *,
    folder: Path,
    names: Sequence[str] = ALL,
    source: Source | None = None,
    size: Size = FULL,
    processes: int = 2,
    compiled: bool = False,
    page: str = "equilibrium",
    command: str = "asteroid-nb bench equilibrium",
) -> Path:
    """Train what the figures need, write a page with tables and rules, and return it.

    Finished trainings and logs are kept in the folder: the same call goes on where it was stopped.

    Args:
        page: name of the files that are written.

    Raises:
        InvalidSettings: a name that is no figure.
    """
    if unknown := [name for name in names if name not in FIGURES]:
        raise InvalidSettings(f"No figure is called {unknown[0]!r}; there are {', '.join(ALL)}.")
    setting = Setting(folder, source or Source(), size, processes, compiled)
    setting.parts  # noqa: B018  # a file that cannot be read is told of before hours of training
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    found = []
    for name in names:
        print(f"{name} …", flush=True)
        found.append(FIGURES[name](setting))
    path = write(folder, page, found, command=command, about=_about(setting))
    print(path.read_text(encoding="utf-8"))
    return path


def _about(setting: Setting) -> str:
    parts, test = setting.parts, setting.parts.test
    judged = "on the last fifth of the same one" if parts.single else "on another one"
    return (
        f"Data: {setting.source.name}; learnt from {len(parts.train)} trajectories, judged {judged} ({test.n_frames} "
        f"frames of {test.n_atoms} atoms, every {test.dt_fs:g} fs). Evaluations are calls of f and of its "
        "vector–Jacobian product."
    )
