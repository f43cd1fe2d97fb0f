"""What every test starts from: one seed, one torch thread, and polite skips where a browser or a GPU is missing."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _same_start_for_every_test():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (third-party code still reads the old global state)
    random.seed(0)


def chromium_path() -> str | None:
    """Return a Chromium that starts, or None; imported late, so that the package's shapes are checked."""
    from asteroid_nb.gallery import browser

    return browser.chromium_path()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium that starts; tests that ask for it carry the marker ``browser``."""
    path = chromium_path()
    assert path, "a test without the marker 'browser' asked for a browser"
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last, and skip what this machine cannot run."""
    items.sort(key=lambda item: "browser" in item.keywords)
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        if "browser" in item.keywords and not chromium_path():
            item.add_marker(pytest.mark.skip(reason="no Chromium starts on this machine: apt-get install chromium"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Keep a file's tests in one process, so that it makes its fixtures once; minutes of notebooks may be dealt out."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if "browser/test_notebooks.py" in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter) -> None:
    said = [str(r.longrepr) for r in terminalreporter.stats.get("skipped", [])]
    if skipped := sum("no Chromium" in one for one in said):
        terminalreporter.write_sep("!", f"NO CHROMIUM: {skipped} BROWSER TESTS WERE SKIPPED", red=True, bold=True)
    for tool in sorted({found[1] for one in said if (found := re.search(r"NOT INSTALLED: ([\w-]+)", one))}):
        terminalreporter.write_sep("!", f"{tool} IS NOT INSTALLED: ITS TESTS WERE SKIPPED", red=True, bold=True)
