"""`explore`: one verb for whatever there is to look at; each wing's own verb behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

from asteroid_nb.data.trajectory import StateTrajectory, Trajectory
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch
from asteroid_nb.memory import giving_back

if TYPE_CHECKING:
    from asteroid_nb.dashboard import Dashboard
    from asteroid_nb.equilibrium.run import ForceFieldRun
    from asteroid_nb.forecast.run import Run
    from asteroid_nb.widgets.solver_explorer import SolverExplorer
    from asteroid_nb.widgets.state_explorer import StateExplorer
    from asteroid_nb.widgets.structure import StructureExplorer


@overload
def explore(what: Run, **options: Any) -> Dashboard: ...


@overload
def explore(what: Mapping[str, Any], **options: Any) -> StateExplorer: ...


@overload
def explore(what: ForceFieldRun, trajectory: Trajectory, **options: Any) -> SolverExplorer: ...


@overload
def explore(what: Trajectory, *forecasts: Trajectory, **options: Any) -> StructureExplorer: ...


@giving_back()
def explore(what: Any, *others: Any, **options: Any) -> Any:
    """Show a trained run, states, a force field or trajectories: linked panels; space plays, arrow keys step.

    Args:
        what: a `Run` shows its dashboard, the worst window first; state trajectories by name what models make of slow
            motion (`explore_states`); a `ForceFieldRun` how hard its frames are (`explore_solver`); a `Trajectory`
            whether forecasts visit its structures (`explore_structure`).
        others: of a force field the trajectory whose frames are solved; of a trajectory the forecasts.
        options: of that verb. Of a run: ``errors``, of the run and its rivals on ``run.split.test``, measured here if
            not given; ``height_px`` of the molecules.

    Raises:
        InvalidTrajectory: nothing of these kinds, or what the kind's own verb raises.
        ModelMismatch: a run that does not know its test windows, or others than it was trained for.
    """
    from asteroid_nb.equilibrium.run import ForceFieldRun
    from asteroid_nb.forecast.run import Run

    if isinstance(what, Run):
        from asteroid_nb.dashboard import explore as show
    elif isinstance(what, ForceFieldRun):
        from asteroid_nb.widgets.solver_explorer import explore_solver as show
    elif isinstance(what, Mapping) and all(map(_are_states, what.values())):
        from asteroid_nb.widgets.state_explorer import explore_states as show
    elif isinstance(what, Trajectory):
        from asteroid_nb.widgets.structure import explore_structure as show
    elif isinstance(what, Mapping) and all(isinstance(one, Run) for one in what.values()):
        raise ModelMismatch(f"These are runs of {', '.join(what)}. Explore one of them: explore(runs[name]).")
    else:
        raise InvalidTrajectory(
            f"Found {type(what).__name__}; a run, state trajectories by name, a force field with a trajectory, or "
            "trajectories can be explored. Of a language model show what it makes: {'LSTM': model.trajectories(…)}."
        )
    door: Any = show
    return door(what, *others, **options)


def _are_states(given: Any) -> bool:
    several = given if isinstance(given, (list, tuple)) else [given]
    return bool(several) and all(isinstance(one, StateTrajectory) for one in several)
