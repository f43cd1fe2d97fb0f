"""Replay Binder without Docker (``make binder``): its frozen base, our binder/ folder, a notebook in a real browser.

What it cannot replay: Ubuntu packages, conda's builds of Python and of the base, the limits of memory and of cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from binder_image import copy_of_the_repository, dockerfile, frozen_base  # noqa: E402
from browser.lab import FLAGS, blank, pixels, run_notebook, running_lab  # noqa: E402
from conftest import chromium_path  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

TOLD = ("ipykernel", "ipywidgets", "jupyterlab", "notebook", "nglview", "numpy", "torch")

#: Peak of the kernel's own memory in MB; Binder guarantees 1 GB.
PEAK_MB = "__import__('resource').getrusage(0).ru_maxrss * 1024 // 10**6"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--python", default=sys.executable, help="a Python of the version binder/runtime.txt names")
    asked.add_argument("--notebook", default="01_forecast", help="which one is run")
    asked.add_argument("--folder", help="keep the environment there, or run in the one that is there")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary).resolve()
        binder = replay(folder, options.python)
        paint(Path(temporary) / "lab", binder, binder.home / "notebooks" / f"{options.notebook}.ipynb")


def replay(folder: Path, python: str) -> Environment:
    """Return the environment that Binder would have made, made anew unless it is there."""
    home = copy_of_the_repository(folder / "home")
    assert "binder/postBuild" in dockerfile(home)
    version = told([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
    wanted = (home / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    if version != wanted:
        print(f"Note: binder/runtime.txt asks for Python {wanted}; this replay runs on {version}.")
    binder, done = Environment(folder / "venv", home), folder / "venv" / ".done"
    if done.exists():
        print(f"An environment that is there: {binder.versions()}")
        return binder
    began = time.perf_counter()
    subprocess.run([python, "-m", "venv", "--clear", str(folder / "venv")], check=True)
    roots, frozen = frozen_base(version)
    (folder / "frozen.txt").write_text("\n".join(frozen) + "\n")
    binder.run("python", "-m", "pip", "install", "--quiet", *roots, "-c", str(folder / "frozen.txt"))
    print(f"Binder's frozen base, Python {version}: {binder.versions()}")
    binder.run("python", "-m", "pip", "install", "--quiet", "-r", "binder/requirements.txt")
    binder.run("binder/postBuild")
    print(f"After binder/requirements.txt and postBuild, {time.perf_counter() - began:.0f} s: {binder.versions()}")
    done.touch()
    return binder


class Environment:
    """A virtual environment that stands for the image, and the folder its commands run in."""

    def __init__(self, folder: Path, home: Path):
        self.home, self.bin = home, folder / "bin"
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        # postBuild signs notebooks and empties pip's cache: not those of whoever runs this.
        own = {"PIP_CACHE_DIR": "cache", "JUPYTER_DATA_DIR": "data", "JUPYTER_CONFIG_DIR": "config"}
        kept |= {variable: str(folder.parent / part) for variable, part in own.items()}
        self.variables = {**kept, "PATH": f"{self.bin}{os.pathsep}{kept['PATH']}", "VIRTUAL_ENV": str(folder)}

    def run(self, *command: str) -> None:
        subprocess.run(self._found(command), cwd=self.home, env=self.variables, check=True, stdout=sys.stderr)

    def versions(self) -> str:
        program = "from importlib.metadata import distributions; d = {x.name: x.version for x in distributions()}\n"
        program += f"print(', '.join(f'{{n}} {{d[n]}}' for n in {TOLD!r} if n in d))"
        return told([str(self.bin / "python"), "-c", program])

    def _found(self, command: Sequence[str]) -> list[str]:
        inside = self.home if "/" in command[0] else self.bin
        return [str(inside / command[0]), *command[1:]]


def told(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def paint(folder: Path, binder: Environment, notebook: Path) -> None:
    """Run a notebook in JupyterLab as binder/start starts it, and look at what it painted."""
    chromium, began = chromium_path(), time.perf_counter()
    assert chromium, "no Chromium starts on this machine: apt-get install chromium"
    os.environ.update(binder.variables)
    start = [str(binder.home / "binder/start"), str(binder.bin / "python")]
    with running_lab(folder, start, imported=()) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        opened = run_notebook(page, lab, notebook)
        page.wait_for_timeout(3000)
        assert not opened.cell_errors(), opened.cell_errors()
        assert Path(opened.ask("anb.__file__")).is_relative_to(binder.home), "the kernel imports another checkout"
        assert opened.ask("__import__('os').environ['OMP_NUM_THREADS']") == "1"
        views = [blank(pixels(canvas)) for canvas in opened.canvases.all()]
        assert views and not any(views), f"{sum(views)} of {len(views)} 3D views are blank"
        assert not opened.complaints, opened.complaints
        shot, peak_mb = opened.screenshot(f"binder-{notebook.stem}"), opened.ask(PEAK_MB)
        browser.close()
    seconds = time.perf_counter() - began
    print(f"{notebook.stem}: {len(views)} 3D views painted in {seconds:.0f} s, kernel's peak {peak_mb} MB: {shot}")


if __name__ == "__main__":
    main()
