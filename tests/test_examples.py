"""The examples in docstrings are true: each is run, quickly, as a reader would type it."""

from __future__ import annotations

import doctest
import importlib
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for path in (ROOT / "asteroid_nb").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

#: Doors and ideas that are quicker shown than said.
SHOWN = ("data.readers", "data.trajectory", "forecast.sti", "metrics.pointwise", "states.recrossing")


def test_what_is_quicker_shown_than_said_has_an_example():
    assert {f"asteroid_nb.{name}" for name in SHOWN} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_are_true_and_quick(name):
    examples = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    runner, said = doctest.DocTestRunner(), []
    for example in examples:
        began = time.process_time()
        runner.run(example, out=said.append)
        seconds = time.process_time() - began
        assert seconds < 5, f"{example.name} took {seconds:.1f} s; use fewer frames"
    assert runner.tries and not runner.failures, "".join(said)
