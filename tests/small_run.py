"""A run trained for a second, for tests of what shows runs; the same one for all of them."""

from __future__ import annotations

import functools

import asteroid_nb as anb
from asteroid_nb.forecast.run import Run
from asteroid_nb.forecast.settings import preset
from asteroid_nb.metrics.horizon import ErrorTable


@functools.cache
def small_run(**changes) -> Run:
    """Return a tiny model with its split of three short walkers of ethanol."""
    walkers = [walker[:160].replace(name=f"walker <b>{number}</b>") for number, walker in enumerate(_ethanol())]
    return anb.train(walkers, settings=preset("tiny", **changes), n_epochs=1, batch_size=32, device="cpu", observers=())


@functools.cache
def small_table() -> ErrorTable:
    """Return its errors beside those of the closed-form rivals."""
    run = small_run()
    return anb.evaluate([run, *anb.rivals(run.split.train, run.split.validation)], run.split.test, most=40)


def _ethanol():
    return anb.sample("ethanol")[:3]
