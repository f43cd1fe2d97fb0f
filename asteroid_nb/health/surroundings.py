"""What surrounds the packages: devices, the running kernel and its JupyterLab, and room on the disk."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from asteroid_nb.errors import MissingExtra
from asteroid_nb.files import runs_folder
from asteroid_nb.health.checks import Check, State, install, installed, numbers

#: Below the first a run of the demo does not fit, below the second one large data set does not.
LEAST_BYTES, ENOUGH_BYTES = 50 * 2**20, 2**30

#: Of modules whose version matters to a kernel that runs already.
LOADED = ("ipykernel", "ipywidgets", "anywidget", "nglview", "plotly", "numpy")

CHOOSE_TORCH = "Install the build of PyTorch for your driver: https://pytorch.org/get-started/locally/ has the command."


def devices() -> Check:
    """Return what PyTorch can compute on. This imports torch, to hear from the driver itself."""
    name, needed = "devices", "CPU; a GPU trains faster"
    try:
        import torch
    except Exception as error:  # a half-installed torch raises whatever its broken library does
        found = f"torch cannot be imported ({_first_line(error)})"
        return Check(name, "broken", found, needed, install("torch", flags="--force-reinstall "))
    try:
        gpus, said = _cuda(torch)
    except RuntimeError as error:
        gpus, said = [], _first_line(error)
    apple = ["Apple GPU (MPS)"] if torch.backends.mps.is_available() else []
    n_threads = torch.get_num_threads()
    found = "; ".join([*gpus, *apple, f"CPU, {n_threads} thread{'s' if n_threads > 1 else ''}"])
    if said or not gpus and _idle_gpu():
        return Check(
            name, "warning", f"{found}; {said or 'an NVIDIA GPU that torch does not see'}", needed, CHOOSE_TORCH
        )
    return Check(name, "ok", found, needed)


def _cuda(torch: Any) -> tuple[list[str], str]:
    """Return name and memory of each CUDA device, and what torch warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        each = [torch.cuda.get_device_properties(index) for index in range(n_devices)]
    gpus = [f"CUDA {index}: {one.name}, {one.total_memory / 2**30:.0f} GiB" for index, one in enumerate(each)]
    return gpus, _first_line(said[0].message) if said else ""


def _idle_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")


def in_kernel() -> bool:
    """Return whether this runs in a Jupyter kernel; outside one, IPython is not even imported."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def session() -> list[Check]:
    """Return a warning if packages were replaced while this Python was running, else nothing."""
    changed = []
    for name in LOADED:
        running, there = getattr(sys.modules.get(name), "__version__", None), installed(name)
        if running and there and numbers(running) != numbers(there):
            changed.append(f"{name} {running} is running, {there} is installed")
    if not changed:
        return []
    return [Check("this session", "warning", "; ".join(changed), "what is installed", "Restart the kernel.")]


def environment(server: Path | None) -> Check:
    """Return whether JupyterLab runs in this Python's environment.

    Args:
        server: the Python that JupyterLab runs on, None where that is unknown.
    """
    name, needed = "JupyterLab's environment", "that of this Python"
    prefix = server and prefix_of(server)
    if not prefix:
        return Check(name, "ok", "not known from here", needed)
    if prefix.resolve() == Path(sys.prefix).resolve():
        return Check(name, "ok", str(prefix), needed)
    remedy = f'Start JupyterLab with this Python: "{sys.executable}" -m jupyterlab'
    return Check(name, "warning", f"{prefix}; this Python's is {sys.prefix}", needed, remedy)


def server_python() -> Path | None:
    """Return the Python of the server that started this kernel or, outside a kernel, of the ``jupyter-lab`` on PATH."""
    return _python_of_parent() if in_kernel() else _python_of_command()


def _python_of_parent() -> Path | None:
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdigit() or sys.platform == "win32":  # Windows has a handle there
        return None
    try:
        import psutil
    except ImportError:
        return None
    try:
        process = psutil.Process(int(parent))
        first, folder = process.cmdline()[0], process.cwd()
    except (psutil.Error, IndexError):
        return None
    found = Path(folder, first) if os.sep in first else Path(shutil.which(first) or first)
    return found if found.is_file() and found.name.startswith("python") else None


def _python_of_command() -> Path | None:
    command = shutil.which("jupyter-lab")
    if command is None:
        return None
    if sys.platform == "win32":  # a small program beside its Python
        return Path(command).with_name("python.exe")
    with open(command, "rb") as script:
        head = script.read(1000).decode("utf-8", "replace")
    named = re.search(r"""(?:^#!|exec'? ["'])(/[^"'\n]*python[\d.]*)""", head, re.MULTILINE)
    return Path(named.group(1)) if named else None


def prefix_of(python: Path) -> Path | None:
    """Return the environment a Python belongs to, None where its place does not tell."""
    own = Path(os.path.abspath(python))  # resolving would leave a virtual environment for the Python it was made from
    for path in (own, own.resolve()):
        prefix = path.parent.parent
        virtual = (prefix / "pyvenv.cfg").is_file()
        if path.parent.name in ("bin", "Scripts") and (virtual or path == own.resolve()):
            return prefix
    return own.resolve().parent if sys.platform == "win32" else None


def folders() -> list[Check]:
    """Return whether runs and downloads find room on the disk."""
    runs = _folder("run folder", runs_folder(), "broken", "Choose another: export ASTEROID_NB_RUNS=FOLDER")
    try:
        from asteroid_nb.data.downloads import cache_folder

        cache = cache_folder(None)
    except (MissingExtra, ImportError) as error:
        return [runs, Check("download cache", "warning", _first_line(error), "room on the disk", install("pooch"))]
    return [runs, _folder("download cache", cache, "warning", "Choose another: anb.download(NAME, cache=FOLDER)")]


def _folder(name: str, folder: Path, lacking: State, remedy: str) -> Check:
    """Try to write where ``folder`` is or will be, and leave nothing."""
    path, needed = folder.absolute(), f"writable, {_size(ENOUGH_BYTES)} free"
    there = next((one for one in (path, *path.parents) if os.path.exists(one)), path)
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, lacking, f"{path} cannot be written ({error.strerror or error})", needed, remedy)
    found = f"{path}, {_size(free)} free"
    if free >= ENOUGH_BYTES:
        return Check(name, "ok", found, needed)
    return Check(name, lacking if free < LEAST_BYTES else "warning", found, needed, f"Free some space there. {remedy}")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.0f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
