"""Language models on discretised trajectories, and what it takes for them to learn rare events.

`recrossing` removes spurious changes of state, `partitions` turns coordinates into states and cores, `chains` and
`landscapes` hold systems with exactly known kinetics, `one_step` says what any partition would show of them.

Written from the abstract of arXiv:2107.06573 and the literature each function cites; the paper's own systems, sizes
and numbers were not available to us.
"""
