"""Trajectories: the objects everything exchanges, the doors they come in by, and what is done to them before a model.

`trajectory` holds the objects, `readers` the files, `geometry` superposition, unwrapping, bonds and torsions, `windows`
what models are trained on, `catalogue` named data sets, `simulate` reference runs.
"""

from asteroid_nb.data.trajectory import StateTrajectory, Trajectory

__all__ = ["StateTrajectory", "Trajectory"]
