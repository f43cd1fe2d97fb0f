"""Bundled trajectories: read by `asteroid_nb.data.catalogue.sample`, made by ``python -m asteroid_nb.data.samples``."""
