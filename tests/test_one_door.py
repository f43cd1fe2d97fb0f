"""`anb.explore` opens what fits: each kind's own panels, and one clear error for all else."""

import numpy as np
import pytest
from small_force_field import untrained_run
from small_molecules import ethanol
from small_run import small_run, small_table

import asteroid_nb as anb
from asteroid_nb.dashboard import Dashboard
from asteroid_nb.errors import InvalidTrajectory, ModelMismatch
from asteroid_nb.widgets.solver_explorer import SolverExplorer
from asteroid_nb.widgets.state_explorer import StateExplorer
from asteroid_nb.widgets.structure import StructureExplorer


def states(seed: int) -> anb.StateTrajectory:
    return anb.StateTrajectory(np.random.default_rng(seed).integers(3, size=400), 3, 1000.0)


def test_a_run_shows_its_dashboard():
    assert isinstance(anb.explore(small_run(), errors=small_table()), Dashboard)


@pytest.mark.parametrize("several", [states(0), [states(0), states(1)]])
def test_states_show_their_explorer(several):
    assert isinstance(anb.explore({"MD": several, "LSTM": states(2)}), StateExplorer)


def test_a_force_field_shows_its_solver():
    shown = anb.explore(untrained_run(), anb.sample("ethanol")[-1], tolerances=(1e-1, 1e-2), n_frames=2)
    assert isinstance(shown, SolverExplorer)


def test_trajectories_show_their_structure():
    walkers = [one[:60] for one in anb.sample("ethanol")[:2]]
    assert isinstance(anb.explore(*walkers, names=["truth", "forecast"]), StructureExplorer)


@pytest.mark.parametrize("what", [3, None, {"MD": 3}, {"MD": []}, ethanol().to_mdtraj()])
def test_what_cannot_be_explored_is_told(what):
    with pytest.raises(InvalidTrajectory, match="can be explored"):
        anb.explore(what)


def test_several_runs_are_explored_one_by_one():
    with pytest.raises(ModelMismatch, match="runs of ethanol"):
        anb.explore({"ethanol": small_run()})
