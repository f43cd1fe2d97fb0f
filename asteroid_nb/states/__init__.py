"""Language models on discretised trajectories, and what it takes for them to learn rare events.

`discretise` makes states of coordinates, `projection` fewer coordinates, `recrossing` removes spurious changes of
state, `training` and `language` hold the models, `markov` and `plateau` their simple rivals, `kinetics` is the door to
timescales, passage times and what follows from them. `chains` and `landscapes` hold systems with exactly known
kinetics, `one_step` says what any partition would show of them.

Written from the abstract of arXiv:2107.06573 and the literature each function cites; the paper's own systems, sizes
and numbers were not available to us.
"""
