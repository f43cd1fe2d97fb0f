"""What Binder would build of this repository, without building it: repo2docker's Dockerfile and its frozen base."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Conda's names of packages that pip knows by another one; the base's other tools are no Python packages.
PIP_NAMES = {"jupyterhub-singleuser": "jupyterhub", "jupyterhub-base": "jupyterhub", "nbconvert-core": "nbconvert"}
NO_PYTHON_PACKAGES = {"python", "nodejs", "pip", "tzdata"}


def repo2docker_is_there() -> bool:
    return find_spec("repo2docker") is not None


def copy_of_the_repository(folder: Path) -> Path:
    """Copy what git tracks, as it is now, which is what Binder would clone after a commit."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def dockerfile(repository: Path) -> str:
    """Return the Dockerfile that repo2docker makes of a repository; needs no Docker."""
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(repository)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    return said.stdout


def frozen_base(python: str) -> tuple[list[str], list[str]]:
    """Return the packages of Binder's base environment that serve notebooks, and the frozen versions of all, for pip.

    Args:
        python: its version, such as "3.11".
    """
    spec = find_spec("repo2docker")
    assert spec and spec.origin, "repo2docker is not installed: pip install 'asteroid-nb[dev]'"
    folder = Path(spec.origin).parent / "buildpacks" / "conda"
    asked = (folder / f"environment.py-{python}.yml").read_text().split("dependencies:")[1]
    roots = re.findall(r"^- ([a-z][a-z_-]*)", asked, flags=re.M)
    lock = (folder / f"environment.py-{python}-linux-64.lock").read_text()
    # Only builds for Python: compilers and libraries would be names that pip does not know.
    builds = re.findall(r"/([A-Za-z0-9._-]+)-([0-9][^-/]*)-(?:py|[0-9]*py3)[^/]*\.(?:conda|tar\.bz2)", lock)
    builds += re.findall(r"/(jupyterhub-singleuser)-([0-9][^-/]*)-", lock)
    pins = {PIP_NAMES.get(name, name): version for name, version in builds if name not in NO_PYTHON_PACKAGES}
    wanted = [PIP_NAMES.get(name, name) for name in roots if name not in NO_PYTHON_PACKAGES]
    return wanted, [f"{name}=={version}" for name, version in sorted(pins.items())]
