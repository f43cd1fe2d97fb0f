"""Bundled trajectories; `asteroid_nb.data.catalogue.sample` reads them, ``python -m asteroid_nb.data.samples`` made them."""
