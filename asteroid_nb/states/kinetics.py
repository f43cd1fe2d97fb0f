"""Kinetics of state sequences, simulated or sampled: the door to timescales, passage times and what follows from them.

Everything takes one `StateTrajectory` or several, counts within trajectories alone, and answers in fs, ns or eV as its
name says. deeptime does the estimation.
"""

from asteroid_nb.states.passage import PassageTimes, passage_times
from asteroid_nb.states.timescales import Timescales, bayesian_band, implied_timescales, plateau_lag

__all__ = [
    "PassageTimes",
    "Timescales",
    "bayesian_band",
    "implied_timescales",
    "passage_times",
    "plateau_lag",
]
