"""The doctor: whatever is wrong has a state, what was found and a command; what is right says so."""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from asteroid_nb.cli import main
from asteroid_nb.health import packages, surroundings
from asteroid_nb.health.checks import Check, install, numbers
from asteroid_nb.health.diagnosis import WEBGL_HINT, Diagnosis, doctor
from asteroid_nb.views.front_ends import NGLVIEW

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def pretend(monkeypatch):
    """Let packages have other versions than they have; None is not installed."""
    real = importlib.metadata.version

    def set_versions(**versions: str | None) -> None:
        def version(name: str) -> str:
            found = versions[name] if name in versions else real(name)
            if found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return found

        monkeypatch.setattr(importlib.metadata, "version", version)

    return set_versions


def of(checks, name: str) -> Check:
    [found] = [check for check in checks if check.name == name]
    return found


def requirements(remedy: str) -> list[Requirement]:
    """Return what the command in a remedy installs, as a shell would hand it to pip."""
    words = shlex.split(remedy.removeprefix("Run: ").split(";")[0])
    start = words.index("install") + 1
    return [Requirement(word) for word in words[start:] if not word.startswith("--")]


def test_this_environment_is_healthy():
    diagnosis = doctor()
    assert diagnosis.healthy and diagnosis.summary.startswith("Healthy"), str(diagnosis)
    assert diagnosis.browser is None
    assert len({check.name for check in diagnosis.checks}) == len(diagnosis.checks)


def test_bounds_agree_with_the_project():
    def lower(lines: list[str]) -> dict[str, str]:
        found = {}
        for requirement in map(Requirement, lines):
            [bound] = requirement.specifier
            found[requirement.name] = bound.version
        return found

    assert packages.OLDEST == lower(PROJECT["dependencies"])
    assert packages.OLDEST_EXTRA == lower(PROJECT["optional-dependencies"]["md"])
    assert NGLVIEW in PROJECT["dependencies"]
    low, high = (".".join(map(str, python)) for python in packages.PYTHONS)
    assert PROJECT["requires-python"] == f">={low},<{high}"
    assert f"numpy<{packages.NUMPY_BEYOND_NGLVIEW}" in (importlib.metadata.requires("nglview") or [])


@pytest.mark.parametrize(
    ("older", "newer"),
    [("7.0.1", "7.1"), ("7.1", "7.10"), ("0.9.13", "0.10.0"), ("4", "4.0.1"), ("1.11", "1.11.1.post2"), ("", "0.1")],
)
def test_versions_are_compared_as_numbers(older, newer):
    assert numbers(older) < numbers(newer)


@pytest.mark.parametrize(("one", "same"), [("4.0", "4"), ("2.13.0+cpu", "2.13"), ("7.1.0rc1", "7.1"), ("5.0.0", "5")])
def test_endings_without_meaning_do_not_count(one, same):
    assert numbers(one) == numbers(same)


@pytest.mark.parametrize(
    ("package", "version", "state", "word"),
    [
        ("nglview", "4.0.1", "broken", "4.0.1: its JupyterLab extension"),
        ("nglview", "3.1.5", "broken", "3.1.5"),
        ("nglview", None, "broken", "not installed"),
        ("ipykernel", "7.0.0", "broken", "views stay empty"),
        ("ipykernel", "7.0.1", "broken", "views stay empty"),
        ("ipykernel", "6.29.5", "warning", "buttons"),
        ("ipykernel", None, "broken", "not installed"),
        ("ipywidgets", "7.8.5", "broken", "7.8.5"),
        ("jupyterlab", "4.3.9", "broken", "4.3.9"),
        ("anywidget", "0.9.2", "broken", "0.9.2"),
        ("plotly", "5.24.1", "broken", "5.24.1"),
        ("numpy", "1.26.4", "broken", "1.26.4"),
        ("numpy", "2.4.6", "warning", "newer than nglview==4.0"),
        ("torch", None, "broken", "not installed"),
        ("mdtraj", None, "broken", "not installed"),
        ("openmm", None, "warning", "not installed"),
        ("tblite", "0.4", "warning", "0.4"),
    ],
)
def test_a_bad_version_is_told_with_the_command_that_mends_it(pretend, package, version, state, word):
    works = Version(importlib.metadata.version(package))
    pretend(**{package: version})
    check = of(packages.packages(), package)
    assert check.state == state and word in check.found
    [wanted] = requirements(check.remedy)
    assert wanted.name == package
    assert version is None or Version(version) not in wanted.specifier
    assert works in wanted.specifier


@pytest.mark.parametrize(
    ("package", "version"),
    [("ipykernel", "7.1.0"), ("ipykernel", "8.0"), ("nglview", "4.0.0"), ("numpy", "2.2.6"), ("plotly", "10.0")],
)
def test_a_version_that_works_needs_nothing(pretend, package, version):
    pretend(**{package: version})
    check = of(packages.packages(), package)
    assert check.state == "ok" and check.found == version and not check.remedy


def test_the_remedy_is_quoted_for_a_shell():
    assert install("ipykernel>=7.1") == 'Run: pip install "ipykernel>=7.1"; then restart the kernel.'


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 9), "broken"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "broken")]
)
def test_python(monkeypatch, version, state):
    monkeypatch.setattr(packages, "sys", SimpleNamespace(version_info=(*version, "final", 0)))
    check = of(packages.packages(), "Python")
    assert (check.state, check.needed) == (state, "3.11 to 3.13")
    assert ("python=3.1" in check.remedy) == (state == "broken")


def test_nothing_installed_is_told_line_by_line(pretend, monkeypatch):
    pretend(**dict.fromkeys([*packages.OLDEST, *packages.OLDEST_EXTRA]))
    monkeypatch.setitem(sys.modules, "pooch", None)
    diagnosis = doctor()
    states = {check.name: check.state for check in diagnosis.checks}
    assert list(states.values()) == sorted(states.values(), key=["broken", "warning", "ok"].index)
    assert not diagnosis.healthy
    assert {name for name, state in states.items() if state == "broken"} == set(packages.OLDEST)
    assert {name for name, state in states.items() if state == "warning"} == {*packages.OLDEST_EXTRA, "download cache"}
    assert all(bool(check.remedy) == (check.state != "ok") for check in diagnosis.checks)
    assert diagnosis.summary == f"Not healthy: {len(packages.OLDEST)} broken, 3 warnings."


def test_a_package_replaced_under_a_running_kernel(monkeypatch):
    assert surroundings.session() == []
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(__version__="7.0.1"))
    [check] = surroundings.session()
    assert check.state == "warning" and "ipykernel 7.0.1 is running" in check.found and "Restart" in check.remedy


def checked(**texts: str) -> Diagnosis:
    bad = {"name": "ipykernel", "found": "7.0.1", "needed": "7.1", "remedy": "Run: pip", **texts}
    return Diagnosis((Check("Python", "ok", "3.12", "3.11"), Check(state="broken", **bad)))


def test_the_text_is_aligned_and_says_the_state_in_words():
    summary, _, *lines = str(checked(remedy=install("ipykernel>=7.1"))).splitlines()
    assert lines[1].startswith("ok ") and lines[2].startswith("broken ")
    for heading, *cells in (("what", "Python", "ipykernel"), ("needed", "3.11", "7.1"), ("found", "3.12", "7.0.1")):
        assert lines[0].index(heading) == lines[1].index(cells[0]) == lines[2].index(cells[1])
    assert lines[3].strip() == '-> Run: pip install "ipykernel>=7.1"; then restart the kernel.'
    assert summary == "Not healthy: 1 broken." and WEBGL_HINT in lines


class Table(HTMLParser):
    def __init__(self, source: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_has_a_table_that_reads_without_colour():
    table = Table(checked()._repr_html_())
    scopes = [attributes["scope"] for tag, attributes in table.tags if tag == "th"]
    assert scopes == ["col"] * 5 + ["row"] * 2
    assert "caption" in dict(table.tags)
    assert {"ok", "broken", "what to do", "Run: pip", "Not healthy: 1 broken."} <= set(table.texts)


def test_without_anything_to_do_there_is_no_column_for_it():
    table = Table(checked(remedy="")._repr_html_())
    cells = [tag for tag, _ in table.tags if tag in ("th", "td")]
    assert "what to do" not in table.texts and len(cells) == 3 * 4


def test_names_and_paths_are_escaped():
    words = "<script>alert('1') & \"2\"</script>"
    table = Table(checked(**dict.fromkeys(("name", "found", "needed", "remedy"), words))._repr_html_())
    assert "script" not in dict(table.tags) and table.texts.count(words) == 4


def test_outside_a_notebook_the_table_stands_alone():
    diagnosis = checked()
    assert diagnosis._repr_mimebundle_() == {"text/plain": str(diagnosis), "text/html": diagnosis._repr_html_()}
    assert repr(diagnosis) == str(diagnosis)
    with pytest.raises(NotImplementedError):
        diagnosis._ipython_display_()


def test_in_a_notebook_the_browser_answers_below_the_table(monkeypatch):
    monkeypatch.setattr(surroundings, "in_kernel", lambda: True)
    monkeypatch.setattr("asteroid_nb.widgets.parts._cell", lambda: None)
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **options: shown.append(thing))
    diagnosis = doctor()
    diagnosis._ipython_display_()
    assert shown == [diagnosis._repr_mimebundle_(), diagnosis.browser]
    assert diagnosis.browser is not None and WEBGL_HINT not in str(diagnosis)


def test_the_command_says_by_its_exit_status_whether_something_is_broken(pretend, capsys):
    assert main(["doctor"]) == 0
    pretend(tblite=None)
    assert main(["doctor"]) == 0
    pretend(ipykernel="7.0.1")
    capsys.readouterr()
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert '-> Run: pip install "ipykernel>=7.1"; then restart the kernel.' in printed and "Traceback" not in printed


HIDDEN = """
import sys

HIDDEN = {hidden!r}

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, fullname, path=None, target=None):
        return None if fullname.split(".")[0] in HIDDEN else self.finder.find_spec(fullname, path, target)

    def find_distributions(self, *context):
        found = getattr(self.finder, "find_distributions", lambda *context: ())(*context)
        return [one for one in found if one.name.lower() not in HIDDEN]

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
from asteroid_nb.cli import main
status = main(["doctor"])
loaded = {{"IPython", "anywidget", "ipywidgets", "nglview", "plotly", "mdtraj"}} & set(sys.modules)
sys.exit(f"loaded {{loaded}}" if loaded else status)
"""


@pytest.mark.parametrize("hidden", [set(), {"numpy", "torch", "nglview", "ipywidgets", "jupyter_core", "psutil"}])
def test_the_command_works_where_packages_are_missing_altogether(hidden):
    program = HIDDEN.format(hidden=hidden)
    outcome = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert outcome.stderr == "" and outcome.returncode == (1 if hidden else 0), outcome.stdout + outcome.stderr
    rows = [line.split()[:2] for line in outcome.stdout.splitlines() if "not installed" in line]
    assert {tuple(row) for row in rows} == {("broken", name) for name in hidden & packages.OLDEST.keys()}
