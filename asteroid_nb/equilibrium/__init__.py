"""Force fields whose state is a fixed point, solved anew at every step of a simulation from what the last steps left.

`graph`, `layers` and `attention` hold what is repeated, `fixed_point` the solvers, `force_field` and `forces` the model
and its exact forces, `matching` and `training` how it learns, `warm_start` and `dynamics` how a simulation reuses
states, `md` the simulation itself.

Written from the abstract of arXiv:2509.08734 and the literature each function cites; conservative forces and warm
starts that keep the energy are not of that paper.
"""
