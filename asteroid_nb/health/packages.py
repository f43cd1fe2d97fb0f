"""Versions of Python and of packages, read without importing them, and whether the browser's halves fit."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from asteroid_nb.errors import UnreadableFile
from asteroid_nb.health.checks import Check, State, install, installed, numbers
from asteroid_nb.views.front_ends import NGLVIEW, lab_extension, lab_extension_version

#: Of Python: the first that works, and the first that does not.
PYTHONS = (3, 11), (3, 14)

#: The oldest versions that work. A test holds them against pyproject.toml, which the installed package does not carry.
OLDEST = {
    "jupyterlab": "4.4",
    "ipykernel": "7.1",
    "ipywidgets": "8.1",
    "anywidget": "0.9.13",
    "nglview": "4.0",
    "plotly": "6",
    "numpy": "2.0",
    "torch": "2.11",
    "lightning-fabric": "2.5",
    "mdtraj": "1.11",
    "ase": "3.24",
    "deeptime": "0.4.4",
    "e3nn": "0.5.6",
    "scipy": "1.13",
    "networkx": "3",
    "pooch": "1.8",
    "safetensors": "0.5",
    "tqdm": "4.66",
}

#: The same for the extra ``md``, without which only reference simulations are missing.
OLDEST_EXTRA = {"openmm": "8.2", "tblite": "0.5"}

#: The first NumPy that nglview 4.0 does not ask for.
NUMPY_BEYOND_NGLVIEW = "2.3"

RELOAD = "restart JupyterLab and reload the page"


def packages() -> list[Check]:
    """Return a check of Python and of every package, installed or not."""
    own = {"nglview": _nglview, "ipykernel": _ipykernel, "numpy": _numpy}
    needed = [own[name]() if name in own else _package(name, oldest) for name, oldest in OLDEST.items()]
    extra = [
        _package(name, oldest, lacking="warning", purpose=" for reference simulations")
        for name, oldest in OLDEST_EXTRA.items()
    ]
    return [_python(), *needed, *extra]


def _python() -> Check:
    (low, high), found = PYTHONS, sys.version_info[:3]
    needed = f"{low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    if low <= found < high:
        return Check("Python", "ok", _dotted(found), needed)
    make = "Make an environment with such a Python, for example: conda create -n asteroid-nb python=3.12"
    return Check("Python", "broken", _dotted(found), needed, make)


def _package(name: str, oldest: str, *, lacking: State = "broken", purpose: str = "") -> Check:
    found, needed = installed(name), f"{oldest} or newer{purpose}"
    if found and numbers(found) >= numbers(oldest):
        return Check(name, "ok", found, needed)
    then = RELOAD if name in ("jupyterlab", "ipywidgets", "anywidget") else "restart the kernel"
    return Check(name, lacking, found or "not installed", needed, install(f"{name}>={oldest}", then=then))


def _nglview() -> Check:
    found, needed = installed("nglview"), NGLVIEW.removeprefix("nglview==")
    if found and numbers(found) == numbers(needed):
        return Check("nglview", "ok", found, needed)
    why = ": its JupyterLab extension is not the one it asks for" if found and numbers(found) == (4, 0, 1) else ""
    return Check("nglview", "broken", f"{found or 'not installed'}{why}", needed, install(NGLVIEW, then=RELOAD))


def _ipykernel() -> Check:
    found, oldest = installed("ipykernel"), OLDEST["ipykernel"]
    needed, remedy = f"{oldest} or newer", install(f"ipykernel>={oldest}")
    if found and numbers(found) < (7,):
        return Check("ipykernel", "warning", f"{found}: hears buttons only after the running cell", needed, remedy)
    if found and numbers(found) < (7, 1):
        return Check("ipykernel", "broken", f"{found}: loses NGLView's messages, views stay empty", needed, remedy)
    return _package("ipykernel", oldest)


def _numpy() -> Check:
    check, beyond = _package("numpy", OLDEST["numpy"]), NUMPY_BEYOND_NGLVIEW
    if check.state != "ok" or numbers(check.found) < numbers(beyond):
        return check
    found = f"{check.found}: newer than {NGLVIEW} was made for"
    return Check("numpy", "warning", found, f"older than {beyond}", install(f"numpy>={OLDEST['numpy']},<{beyond}"))


class _FrontEnd(NamedTuple):
    """The browser's half of a package, and how the two are told to fit."""

    package: str
    extension: str
    requirement: str
    fits: Callable[[str], bool]
    needed: str
    lacking: State = "broken"


def front_ends(prefix: str | Path = sys.prefix, python: str | Path | None = None) -> list[Check]:
    """Return whether JupyterLab has the right browser's half of each installed widget package.

    Args:
        prefix: of the environment the server runs in.
        python: the server's, if it is not this one: there the extensions are missing, and there they are installed.
    """
    halves = [half for half in _halves() if installed(half.package)]
    return [_front_end(half, Path(prefix), "pip" if python is None else f'"{python}" -m pip') for half in halves]


def _halves() -> list[_FrontEnd]:
    asked = nglview_front_end() or "unknown"
    any_asked = _minor(installed("anywidget") or "0")
    return [
        _FrontEnd("nglview", "nglview-js-widgets", NGLVIEW, lambda version: version == asked, f"{asked}, as it asks"),
        _FrontEnd(
            "ipywidgets",
            "@jupyter-widgets/jupyterlab-manager",
            "jupyterlab_widgets>=3",
            lambda version: numbers(version)[0] == 5,
            "5",
        ),
        _FrontEnd(
            "anywidget",
            "anywidget",
            f"anywidget>={OLDEST['anywidget']}",
            lambda version: _minor(version) == any_asked,
            f"{any_asked}, as it asks",
        ),
        _FrontEnd("plotly", "jupyterlab-plotly", f"plotly>={OLDEST['plotly']}", bool, "any version", "warning"),
    ]


def _front_end(half: _FrontEnd, prefix: Path, pip: str) -> Check:
    name = f"{half.package} in JupyterLab"
    try:
        found = lab_extension_version(half.extension, prefix=prefix)
    except UnreadableFile as error:
        return Check(name, half.lacking, "damaged", half.needed, str(error))
    if found and half.fits(found):
        return Check(name, "ok", found, half.needed)
    hiding = _hiding(half.extension, prefix)
    remedy = (
        f"Delete the folder {hiding}, which hides the extension of this environment; then {RELOAD}."
        if hiding
        else install(half.requirement, then=RELOAD, pip=pip, flags="--force-reinstall --no-deps ")
    )
    return Check(name, half.lacking, found or "not installed", half.needed, remedy)


def _hiding(extension: str, prefix: Path) -> Path | None:
    """Return the folder of another installation that a server takes before the environment's own."""
    taken, own = lab_extension(extension, prefix=prefix), prefix / "share" / "jupyter" / "labextensions" / extension
    return taken if taken and taken != own and (own / "package.json").is_file() else None


def nglview_front_end() -> str | None:
    """Return the version of the browser's half that the installed nglview asks for, without importing it."""
    spec = importlib.util.find_spec("nglview")
    for folder in (spec and spec.submodule_search_locations) or []:
        path = Path(folder, "_frontend.py")
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if told := re.search(r"""__frontend_version__\s*=\s*["']([^"']+)["']""", text):
            return told.group(1)
    return None


def _minor(version: str) -> str:
    return _dotted((*numbers(version), 0)[:2])


def _dotted(parts: tuple[int, ...]) -> str:
    return ".".join(map(str, parts))
