"""What Binder would make of this repository, asked of repo2docker itself; ``make binder`` replays the rest."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from binder_image import ROOT, copy_of_the_repository, dockerfile, frozen_base, repo2docker_is_there
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module", autouse=True)
def _asked():
    if not repo2docker_is_there():
        pytest.skip("NOT INSTALLED: jupyter-repo2docker, so Binder was not asked: pip install 'asteroid-nb[dev]'")


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    return copy_of_the_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def image(repository) -> str:
    return dockerfile(repository)


def lines(image: str) -> list[str]:
    """Return the commands of a Dockerfile, each on one line."""
    whole = re.sub(r"\\\n\s*", "", image)
    return [line for line in whole.splitlines() if re.match(r"[A-Z]+ ", line)]


def place(image: str, pattern: str) -> int:
    found = [number for number, line in enumerate(lines(image)) if re.search(pattern, line)]
    assert len(found) == 1, f"{pattern!r} is in {len(found)} commands of the Dockerfile"
    return found[0]


def test_binder_installs_a_python_this_project_runs_on(image):
    unescaped = re.sub(r"-([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), image)
    [version] = re.findall(r"environment\.py-(3\.\d+)-linux", unescaped)
    assert version == (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")


def test_the_requirements_are_a_layer_that_changes_of_the_code_leave_alone(image):
    copied = place(image, r"^COPY .*src/binder/requirements\.txt")
    installed = place(image, r"^RUN .*pip install .*-r \"?binder/requirements\.txt")
    everything = place(image, r"^COPY .*src/ \$?\{?REPO_DIR\}?/?")
    assert copied < installed < everything


def test_binder_runs_our_own_steps_last(image):
    everything = place(image, r"^COPY .*src/ \$?\{?REPO_DIR\}?/?")
    assert everything < place(image, r"^RUN \./binder/postBuild")
    assert re.search(r'R2D_ENTRYPOINT[ =]"?.*binder/start', image)


def test_a_folder_that_binder_would_obey_instead_is_absent(repository, tmp_path):
    """An environment.yml or a Dockerfile would win over requirements.txt, without a word."""
    assert {path.name for path in (repository / "binder").iterdir()} == {
        *("postBuild", "requirements.txt", "runtime.txt", "start"),
    }
    assert not (repository / ".binder").exists()


def test_our_requirements_mend_the_frozen_base_and_lower_nothing():
    """The ipykernel that Binder freezes loses NGLView's messages, which is why ours is named."""
    runtime = (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    roots, frozen = frozen_base(runtime)
    assert {"jupyterlab", "notebook", "ipywidgets", "jupyterhub"} <= set(roots)
    base = {canonicalize_name(Requirement(line).name): Version(line.split("==")[1]) for line in frozen}
    rows = [line for line in (ROOT / "binder/requirements.txt").read_text().splitlines() if "==" in line]
    ours = {line.split("==")[0]: Version(line.split("==")[1]) for line in rows}
    assert {name: version for name, version in ours.items() if version < base.get(name, version)} == {}
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        needed = Requirement(line)
        there = ours.get(needed.name, base.get(needed.name))
        assert there is None or there in needed.specifier, f"Binder would run {needed.name} {there}; needed is {line}"


def test_start_hands_over_to_the_command_it_is_given(repository):
    asked = ["binder/start", "bash", "-c", 'echo "$OMP_NUM_THREADS $1"', "-", "a b"]
    said = subprocess.run(asked, cwd=repository, capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout == "1 a b\n"
    assert subprocess.run(["binder/start", "false"], cwd=repository, timeout=30).returncode == 1
