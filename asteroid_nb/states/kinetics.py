"""Kinetics of state sequences, simulated or sampled: the door to timescales, passage times and what follows from them.

Everything takes one `StateTrajectory` or several, counts within trajectories alone, and answers in fs, ns or eV as its
name says. deeptime does the estimation.
"""

from asteroid_nb.states.chapman import CKTest, chapman_kolmogorov
from asteroid_nb.states.metastable import Metastable, metastable
from asteroid_nb.states.occupancy import free_energies_eV, jump_rates, mean_dwell_fs, populations
from asteroid_nb.states.passage import PassageTimes, passage_times
from asteroid_nb.states.plateau import plateau_msm
from asteroid_nb.states.timescales import Timescales, bayesian_band, implied_timescales, plateau_lag

__all__ = [
    "CKTest",
    "Metastable",
    "PassageTimes",
    "Timescales",
    "bayesian_band",
    "chapman_kolmogorov",
    "free_energies_eV",
    "implied_timescales",
    "jump_rates",
    "mean_dwell_fs",
    "metastable",
    "passage_times",
    "plateau_lag",
    "plateau_msm",
    "populations",
]
