"""What surrounds the packages: front ends, devices, JupyterLab's environment, room on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from asteroid_nb.errors import MissingExtra, UnreadableFile
from asteroid_nb.health import surroundings
from asteroid_nb.health.diagnosis import doctor
from asteroid_nb.health.packages import front_ends, nglview_front_end
from asteroid_nb.views.front_ends import data_folders, lab_extension, lab_extension_version, nglview_script

MANAGER = "@jupyter-widgets/jupyterlab-manager"


@pytest.fixture
def prefix(tmp_path, monkeypatch) -> Path:
    """An environment without extensions, and a user without any."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "first"))
    return tmp_path / "environment"


def put(data: Path, extension: str, version: str) -> Path:
    folder = data / "labextensions" / extension
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": extension, "version": version}))
    return folder


def put_all(prefix: Path) -> Path:
    data = prefix / "share" / "jupyter"
    own = (("nglview-js-widgets", "3.1.5"), (MANAGER, "5.0.16"), ("anywidget", "0.11.3"), ("jupyterlab-plotly", "6.0"))
    for extension, version in own:
        put(data, extension, version)
    return data


def of(checks, name: str):
    [found] = [check for check in checks if check.name == f"{name} in JupyterLab"]
    return found


def test_the_bundle_of_nglview_is_a_module_for_a_page():
    with nglview_script().open(encoding="utf-8") as script:
        assert 'define(["@jupyter-widgets/base"]' in script.read(500)


def test_without_the_bundle_it_says_what_to_install(prefix, monkeypatch):
    monkeypatch.setattr("asteroid_nb.views.front_ends.data_folders", lambda: [prefix])
    with pytest.raises(MissingExtra, match='pip install .*"nglview==4.0"') as raised:
        nglview_script()
    assert str(prefix) in str(raised.value)


def test_extensions_are_found_as_a_server_finds_them(prefix):
    assert lab_extension_version(MANAGER, prefix=prefix) is None
    own = put(prefix / "share" / "jupyter", MANAGER, "5.0.16")
    assert lab_extension(MANAGER, prefix=prefix) == own
    assert lab_extension_version(MANAGER, prefix=prefix) == "5.0.16"
    first = put(Path(os.environ["JUPYTER_PATH"]), MANAGER, "3.1.1")
    assert lab_extension(MANAGER, prefix=prefix) == first
    assert lab_extension_version(MANAGER, prefix=prefix) == "3.1.1"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version"'])
def test_a_damaged_extension_is_named(prefix, content):
    folder = put(prefix / "share" / "jupyter", MANAGER, "5.0.16")
    (folder / "package.json").write_text(content)
    with pytest.raises(UnreadableFile, match="is damaged"):
        lab_extension_version(MANAGER, prefix=prefix)
    check = of(front_ends(prefix), "ipywidgets")
    assert (check.state, check.found) == ("broken", "damaged") and str(folder) in check.remedy


def test_without_jupyter_the_environment_is_still_searched(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyter_core.paths", None)
    assert data_folders() == [Path(sys.prefix, "share", "jupyter")]


def test_fitting_extensions_are_well(prefix):
    put_all(prefix)
    assert [check.state for check in front_ends(prefix)] == ["ok"] * 4


@pytest.mark.parametrize(
    ("package", "extension", "version", "state", "requirement"),
    [
        ("nglview", "nglview-js-widgets", "3.1.4", "broken", '"nglview==4.0"'),
        ("nglview", "nglview-js-widgets", None, "broken", '"nglview==4.0"'),
        ("ipywidgets", MANAGER, "3.1.1", "broken", '"jupyterlab_widgets>=3"'),
        ("ipywidgets", MANAGER, None, "broken", '"jupyterlab_widgets>=3"'),
        ("anywidget", "anywidget", "0.9.21", "broken", '"anywidget>=0.9.13"'),
        ("anywidget", "anywidget", "1.11.0", "broken", '"anywidget>=0.9.13"'),
        ("plotly", "jupyterlab-plotly", None, "warning", '"plotly>=6"'),
    ],
)
def test_an_extension_that_does_not_fit(prefix, package, extension, version, state, requirement):
    data = put_all(prefix)
    path = data / "labextensions" / extension / "package.json"
    path.unlink() if version is None else path.write_text(json.dumps({"version": version}))
    check = of(front_ends(prefix), package)
    assert (check.state, check.found) == (state, version or "not installed")
    assert f"pip install --force-reinstall --no-deps {requirement}; then restart JupyterLab" in check.remedy
    assert sum(other.state == "ok" for other in front_ends(prefix)) == 3


def test_an_extension_that_hides_the_right_one_is_to_be_deleted(prefix):
    put_all(prefix)
    hiding = put(Path(os.environ["JUPYTER_PATH"]), "nglview-js-widgets", "3.0.1")
    check = of(front_ends(prefix), "nglview")
    assert check.state == "broken" and f"Delete the folder {hiding}" in check.remedy


def test_extensions_of_a_server_elsewhere_are_installed_with_its_python(prefix):
    check = of(front_ends(prefix, "/opt/a b/bin/python"), "nglview")
    assert check.remedy.startswith('Run: "/opt/a b/bin/python" -m pip install')


def test_the_front_end_nglview_asks_for_is_read_without_importing_it(tmp_path, monkeypatch):
    assert nglview_front_end() == "3.1.5"
    (tmp_path / "nglview").mkdir()
    (tmp_path / "nglview" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "nglview" / "_frontend.py").write_text("__frontend_version__ = '4.0'\n")
    monkeypatch.delitem(sys.modules, "nglview", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert nglview_front_end() == "4.0"
    check = of(front_ends(), "nglview")
    assert (check.state, check.found, check.needed) == ("broken", "3.1.5", "4.0, as it asks")


def cuda(*, there: bool = True, warning: str = "", fails: bool = False):
    def is_available() -> bool:
        if warning:
            warnings.warn(warning, stacklevel=1)
        return there

    def properties(index: int):
        if fails:
            raise RuntimeError("CUDA unknown error\nand more")
        return SimpleNamespace(name=f"H{index}", total_memory=140 * 2**30)

    return SimpleNamespace(is_available=is_available, device_count=lambda: 2, get_device_properties=properties)


def with_torch(monkeypatch, *, mps: bool = False, nvidia: bool = False, **kind):
    fake = SimpleNamespace(
        cuda=cuda(**kind),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        get_num_threads=lambda: 3,
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(surroundings.shutil, "which", lambda name: "/bin/nvidia-smi" if nvidia else None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return surroundings.devices()


def test_devices_are_listed_with_their_memory(monkeypatch):
    check = with_torch(monkeypatch, nvidia=True)
    assert (check.state, check.found) == ("ok", "CUDA 0: H0, 140 GiB; CUDA 1: H1, 140 GiB; CPU, 3 threads")
    assert with_torch(monkeypatch, there=False, mps=True).found == "Apple GPU (MPS); CPU, 3 threads"
    assert with_torch(monkeypatch, there=False).state == "ok"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ({"there": False, "warning": "The NVIDIA driver is too old"}, "driver is too old"),
        ({"there": False, "nvidia": True}, "an NVIDIA GPU that torch does not see"),
        ({"fails": True}, "CUDA unknown error"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_a_warning(monkeypatch, kind, word):
    check = with_torch(monkeypatch, **kind)
    assert check.state == "warning" and word in check.found and "\n" not in check.found
    assert "pytorch.org" in check.remedy


def test_a_gpu_that_was_hidden_on_purpose_is_no_warning(monkeypatch):
    with_torch(monkeypatch, there=False)
    monkeypatch.setattr(surroundings.shutil, "which", lambda name: "/bin/nvidia-smi")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert surroundings.devices().state == "ok"


def test_a_torch_that_cannot_be_imported_is_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    check = surroundings.devices()
    assert check.state == "broken" and 'pip install --force-reinstall "torch"' in check.remedy


def environment_at(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder / "bin" / "python"


def test_a_server_in_the_same_environment_is_well():
    check = surroundings.environment(Path(sys.executable))
    assert (check.state, check.found) == ("ok", sys.prefix)
    assert surroundings.environment(None).state == "ok"


def test_a_server_in_another_environment_is_a_warning(tmp_path):
    check = surroundings.environment(environment_at(tmp_path / "other"))
    assert check.state == "warning" and check.found.startswith(str(tmp_path / "other"))
    assert check.remedy == f'Start JupyterLab with this Python: "{sys.executable}" -m jupyterlab'


def test_a_python_outside_virtual_environments_is_found_behind_its_links(tmp_path):
    real = tmp_path / "opt" / "bin" / "python3.12"
    real.parent.mkdir(parents=True)
    real.touch()
    link = tmp_path / "local" / "bin" / "python3"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert surroundings.prefix_of(link) == tmp_path / "opt"


@pytest.mark.parametrize("head", ["#!{python}\nimport re", "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''"])
def test_the_python_of_the_command_on_the_path(tmp_path, monkeypatch, head):
    python = environment_at(tmp_path / "an other")
    command = python.with_name("jupyter-lab")
    command.write_text(head.format(python=python))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    assert surroundings.server_python() == python
    command.unlink()
    assert surroundings.server_python() is None


def test_the_python_of_the_server_that_started_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(surroundings, "in_kernel", lambda: True)
    python = environment_at(tmp_path / "other")
    server = subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE, env={"PYTHONHOME": sys.base_prefix})
    try:
        monkeypatch.setenv("JPY_PARENT_PID", str(server.pid))
        assert surroundings.server_python() == python
        asked = {check.name: check for check in doctor_checks(monkeypatch)}
    finally:
        server.communicate(b"\n")
    assert asked["JupyterLab's environment"].state == "warning"
    assert asked["nglview in JupyterLab"].found == "not installed"
    assert f'"{python}" -m pip install' in asked["nglview in JupyterLab"].remedy
    assert surroundings.server_python() is None  # it has ended


def doctor_checks(monkeypatch):
    monkeypatch.setattr("asteroid_nb.health.diagnosis._browser", lambda: None)
    return doctor().checks


def test_a_kernel_that_was_started_by_no_server_asks_nobody(monkeypatch):
    monkeypatch.setattr(surroundings, "in_kernel", lambda: True)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert surroundings.server_python() is None


def folders(monkeypatch, tmp_path, free: int = 2**40) -> dict[str, object]:
    monkeypatch.setattr(surroundings.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setenv("ASTEROID_NB_RUNS", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {check.name: check for check in surroundings.folders()}


def test_folders_to_come_are_looked_at_without_being_made(monkeypatch, tmp_path):
    checks = folders(monkeypatch, tmp_path)
    assert [check.state for check in checks.values()] == ["ok", "ok"]
    assert f"{tmp_path / 'not' / 'yet'}, 1024 GiB free" == checks["run folder"].found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "run", "cache"), [(10 * 2**20, "broken", "warning"), (200 * 2**20, "warning", "warning")]
)
def test_a_full_disk(monkeypatch, tmp_path, free, run, cache):
    checks = folders(monkeypatch, tmp_path, free)
    assert (checks["run folder"].state, checks["download cache"].state) == (run, cache)
    assert f"{free // 2**20} MiB free" in checks["run folder"].found
    assert "ASTEROID_NB_RUNS" in checks["run folder"].remedy and "cache=" in checks["download cache"].remedy


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "not").write_text("a file where a folder should be")
    check = folders(monkeypatch, tmp_path)["run folder"]
    assert check.state == "broken" and "cannot be written" in check.found
