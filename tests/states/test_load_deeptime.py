"""deeptime is loaded without what its package loads for others, and all of it is there when it is asked for."""

from __future__ import annotations

import subprocess
import sys

LOADED = "import sys; from asteroid_nb.states.load_deeptime import load_deeptime; load_deeptime(); import deeptime; "


def told(code: str) -> list[str]:
    """Return what a fresh Python prints, by words."""
    done = subprocess.run([sys.executable, "-c", LOADED + code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_nothing_of_scikit_learn_or_matplotlib_is_loaded():
    names = told("print(*sys.modules)")
    assert "deeptime.markov.msm" in names
    assert not [name for name in names if name.split(".")[0] in ("sklearn", "matplotlib") or name == "scipy.stats"]


def test_parts_that_are_left_out_come_when_they_are_asked_for():
    assert told("print(deeptime.sindy.SINDy.__name__, deeptime.plots.plot_energy2d.__name__)") == [
        "SINDy",
        "plot_energy2d",
    ]


def test_the_libraries_themselves_are_whole_afterwards():
    code = "import sklearn.exceptions, matplotlib; print(sklearn.__version__ > '', matplotlib.__version__ > '')"
    assert told(code) == ["True", "True"]


def test_what_is_loaded_already_stays():
    code = "before = deeptime; load_deeptime(); print(sys.modules['deeptime'] is before)"
    assert told(code) == ["True"]
