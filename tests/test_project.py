"""The files around the package agree with each other: bounds, tested set, Binder, hooks, verbs."""

from __future__ import annotations

import ast
import json
import re
import statistics
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import asteroid_nb

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(path: str) -> dict[str, Version]:
    rows = [line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines()]
    found = {}
    for row in filter(None, rows):
        assert re.fullmatch(r"[a-z0-9-]+==[^\s@+]+", row), f"{path}: {row!r} is not 'name==version'"
        package, version = row.split("==")
        found[package] = Version(version)
    return found


TESTED = pins("constraints.txt")


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *EXTRAS["md"], *EXTRAS["dev"]])
def test_the_tested_set_lies_within_the_bounds(line):
    requirement = Requirement(line)
    package = canonicalize_name(requirement.name)
    assert package in TESTED, f"{package} is needed but constraints.txt does not say which version is tested"
    assert TESTED[package] in requirement.specifier


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_no_dependency_is_capped(line):
    requirement = Requirement(line)
    caps = [bound for bound in requirement.specifier if bound.operator in ("<", "<=", "==", "~=")]
    assert not caps or requirement.name == "nglview", f"{line}: a library must not cap its users' packages"


@pytest.mark.parametrize("version, fits", [("4.0", True), ("4.0.1", False), ("3.1.2", False)])
def test_only_the_nglview_that_draws_is_allowed(version, fits):
    [bound] = [Requirement(line) for line in PROJECT["dependencies"] if line.startswith("nglview")]
    assert (version in bound.specifier) == fits


def test_binder_runs_the_tested_set_without_a_second_torch():
    binder = pins("binder/requirements.txt")
    assert binder == {package: TESTED[package] for package in binder}
    assert not {"torch", "lightning-fabric", "e3nn"} & binder.keys(), (
        "these draw in the CUDA build before postBuild chooses"
    )
    runtime = (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    assert Version(runtime) in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_commit_hooks_use_the_tested_set():
    hooks = re.findall(r"\[([a-z-]+)==([^\]]+)\]", (ROOT / ".pre-commit-config.yaml").read_text())
    assert hooks
    assert all(TESTED[package] == Version(version) for package, version in hooks)


@pytest.mark.parametrize(
    "path", [".ci/run", ".ci/commands", ".ci/venv", ".ci/install", ".ci/browser", "binder/postBuild", "binder/start"]
)
def test_scripts_can_be_executed_and_stop_at_the_first_error(path):
    assert (ROOT / path).stat().st_mode & 0o111, f"chmod +x {path}"
    assert "set -euo pipefail" in (ROOT / path).read_text()


def test_every_verb_is_there():
    for verb in asteroid_nb.__all__:
        assert getattr(asteroid_nb, verb).__name__ == verb


def test_verbs_agree_with_what_editors_are_told():
    [block] = [node for node in ast.parse(Path(asteroid_nb.__file__).read_text()).body if isinstance(node, ast.If)]
    told = {alias.name: line.module for line in block.body for alias in line.names}
    assert told == {verb: f"asteroid_nb.{module}" for verb, module in asteroid_nb._VERBS.items()}
    assert set(asteroid_nb.__all__) == told.keys() == set(dir(asteroid_nb)) - {"__version__"}


def test_no_verb_hides_a_room():
    """Importing a subpackage sets the attribute of its name, so a verb of that name would turn into a module."""
    rooms = {path.stem for path in Path(asteroid_nb.__file__).parent.iterdir()}
    assert not rooms & set(asteroid_nb.__all__)


def test_an_unknown_verb_names_the_known_ones():
    with pytest.raises(AttributeError, match="offers.*compare.*train"):
        getattr(asteroid_nb, "tarin")  # noqa: B009  (the name is wrong on purpose)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_small(path):
    assert path.stat().st_size <= 60_000


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_tell_a_story(path):
    """A question, short cells, and nothing defined: a missing verb belongs in the package."""
    first, *_ = cells(path, "markdown")
    assert first.splitlines()[0].startswith("# ") and first.splitlines()[0].endswith("?")
    assert "**caution:**" in " ".join(cells(path, "markdown")[-2:]).lower()
    for cell in cells(path, "code"):
        assert len(cell.splitlines()) <= 15
        assert not re.search(r"^\s*(def|class) |update_layout|update_traces", cell, flags=re.M), cell


def test_code_cells_are_short():
    lengths = [len(cell.splitlines()) for path in NOTEBOOKS for cell in cells(path, "code")]
    assert statistics.median(lengths) <= 6


def test_every_notebook_is_found_from_the_contents():
    contents = "\n".join(cells(ROOT / "notebooks" / "00_contents.ipynb", "markdown"))
    linked = dict(re.findall(r"^\| \[\d\d\]\((\S+)\) \| ([^|]+) \|", contents, flags=re.M))
    asked = {path.name: cells(path, "markdown")[0].splitlines()[0].removeprefix("# ") for path in NOTEBOOKS}
    assert linked == {name: question for name, question in asked.items() if name != "00_contents.ipynb"}
