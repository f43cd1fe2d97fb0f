"""A run remembers what it was fitted on, through its folder too, and refuses to be judged there."""

from __future__ import annotations

import pytest
from trained import shaken_ethanol, tiny_run

from asteroid_nb.data.splits import split
from asteroid_nb.data.windows import Windows
from asteroid_nb.errors import ModelMismatch
from asteroid_nb.forecast.run import Run


@pytest.fixture(params=["in memory", "from its folder"])
def run(request, tmp_path):
    return tiny_run() if request.param == "in memory" else Run.load(tiny_run().save(tmp_path))


def test_its_own_test_windows_are_welcome(run):
    parts = split(shaken_ethanol(), run.settings.window_shape())
    run.must_not_have_seen(parts.test)


def test_training_and_validation_windows_are_refused(run):
    parts = split(shaken_ethanol(), run.settings.window_shape())
    for part in (parts.train, parts.validation):
        with pytest.raises(ModelMismatch, match="used in training or validation"):
            run.must_not_have_seen(part)


def test_a_reordered_or_shortened_copy_is_recognised(run):
    cut = shaken_ethanol()[:60]
    with pytest.raises(ModelMismatch):
        run.must_not_have_seen(Windows([cut], run.settings.window_shape()))


def test_another_trajectory_is_welcome(run):
    later = shaken_ethanol()[100:]
    run.must_not_have_seen(Windows([later], run.settings.window_shape()))
