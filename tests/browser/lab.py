"""A real JupyterLab in a real browser: start it, run a notebook, ask its kernel, look at its pixels.

A notebook is only opened once its kernel is ready: before that a dialog would block every command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import ConsoleMessage, Locator, Page

from asteroid_nb.gallery.browser import FLAGS as FLAGS

ROOT = Path(__file__).parents[2]
ARTEFACTS = Path(__file__).parent / "artefacts"

#: JupyterLab looks for news and updates unless told otherwise; a test must not need a network.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "apputils-extension/themes": {"adaptive-theme": False},
}

START_S, RUN_S = 120, 900

#: anywidget gives a widget two seconds to get ready; then it hears no more of the kernel. Two browsers that draw 3D on
#: two cores can take longer, a reader opens one, mostly with a GPU; so here it is twenty.
PATIENT = "const asked = AbortSignal.timeout; AbortSignal.timeout = (ms) => asked.call(AbortSignal, 10 * ms);"

CURRENT = "window.jupyterapp?.shell.currentWidget"


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab that serves ``folder``."""

    url: str
    folder: Path


@contextlib.contextmanager
def running_lab(
    folder: Path, python: Sequence[str] = (sys.executable,), *, imported: Sequence[Path] = (ROOT, ROOT / "tests")
) -> Iterator[Lab]:
    """Start JupyterLab on a free port with its own settings, and end it.

    Args:
        folder: where it keeps everything; notebooks in ``served``.
        python: the command that runs it, a Python or a script that ends in one.
        imported: what its kernels import before what that Python has installed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = folder / "served"
    served.mkdir(parents=True)
    for name, setting in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(setting), encoding="utf-8")
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*python, *_options(port, served)], env=_environment(folder, imported), stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server, folder / "server.log")
            yield Lab(url, served)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _options(port: int, served: Path) -> list[str]:
    return [
        *("-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1"),
        *("--IdentityProvider.token=", f"--ServerApp.root_dir={served}", "--ServerApp.terminals_enabled=False"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
    ]


def _environment(folder: Path, imported: Sequence[Path]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    # The checkout comes first, so that a kernel in another folder tests this code.
    others = [kept.pop("PYTHONPATH", "")] if imported else []
    path = os.pathsep.join([*map(str, imported), *filter(None, others)])
    folders = {name: str(folder / part) for name, part in own.items()}
    return {**kept, **folders, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/status", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start in {START_S} s:\n{log.read_text(errors='replace')[-4000:]}")


@dataclass
class NotebookPage:
    """One notebook open in a browser page; ``complaints`` collects what its console called an error."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error.stack or error}"))
        self.page.on("console", lambda said: self._note(said) if said.type == "error" else None)

    def _note(self, said: ConsoleMessage) -> None:
        self.complaints.append(f"{said.text} ({said.location})")

    def open(self, lab: Lab, name: str) -> None:
        self.page.goto(f"{lab.url}/lab/tree/{name}?reset", timeout=START_S * 1000)
        self.wait(f"{CURRENT}?.context?.isReady && {CURRENT}.sessionContext?.isReady", START_S)
        self.wait(f"{CURRENT}.sessionContext.session?.kernel?.status === 'idle'", START_S)
        if self.page.evaluate("() => document.body.dataset.jpThemeLight") == "false":
            self.theme("JupyterLab Light")  # the last test's choice was remembered

    def run_all(self, timeout_s: float = RUN_S) -> None:
        self.start_all()
        self.wait("window.__ran", timeout_s)

    def start_all(self) -> None:
        """Run all cells without waiting for their end, which sets ``window.__ran``."""
        self.page.evaluate(
            "() => { window.__ran = false; window.jupyterapp.commands.execute('notebook:run-all-cells')"
            ".finally(() => { window.__ran = true; }); }"
        )

    def wait(self, condition: str, timeout_s: float = 30) -> None:
        self.page.wait_for_function(f"() => Boolean({condition})", timeout=timeout_s * 1000, polling=100)

    def cell_errors(self) -> list[str]:
        outputs = self.page.evaluate(
            f"() => {CURRENT}.content.widgets.flatMap(c => c.model.type === 'code' ? c.model.outputs.toJSON() : [])"
        )
        return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]

    def ask(self, expression: str):
        """Return the value of a Python expression in the notebook's kernel, by way of JSON."""
        program = f"import json as _json; print(_json.dumps({expression}))"
        answer = self.page.evaluate(
            f"""async (code) => {{
                const kernel = {CURRENT}.sessionContext.session.kernel;
                const future = kernel.requestExecute({{ code, store_history: false }});
                const said = [];
                future.onIOPub = ({{ content }}) => said.push(content.text ?? content.evalue ?? "");
                const {{ content }} = await future.done;
                return [content.status, said.join("")];
            }}""",
            program,
        )
        assert answer[0] == "ok", f"{expression}: {answer[1]}"
        return json.loads(answer[1])

    def theme(self, name: str) -> None:
        self.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        dark = "false" if "Dark" in name else "true"
        self.wait(f"document.body.dataset.jpThemeLight === '{dark}'")
        self.page.wait_for_timeout(500)

    def run_cell(self, index: int) -> None:
        """Run one cell again, and wait for its end."""
        self._run_active(f"notebook.activeCellIndex = {index}")

    def add_cell_and_run(self, code: str) -> None:
        """Append a cell at the end of the notebook and run it."""
        cell = json.dumps({"cell_type": "code", "source": code})
        add = f"notebook.model.sharedModel.addCell({cell})"
        self._run_active(f"{add}; notebook.activeCellIndex = notebook.widgets.length - 1")

    def _run_active(self, choose: str) -> None:
        self.page.evaluate(
            f"() => {{ window.__ran = false; const notebook = {CURRENT}.content; {choose};"
            " window.jupyterapp.commands.execute('notebook:run-cell').finally(() => { window.__ran = true; }); }"
        )
        self.wait("window.__ran", 60)

    def settle(self, condition: Callable[[], bool], timeout_s: float = 20) -> None:
        """Wait until ``condition`` holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, f"not so within {timeout_s} s"
            self.page.wait_for_timeout(100)

    def drawn(self, n_canvases: int) -> None:
        """Wait for so many 3D views with something in them."""
        self.settle(lambda: self.canvases.count() == n_canvases)
        self.settle(lambda: not any(blank(picture) for picture in self.pictures()))

    def seconds_until_drawn(self, n_canvases: int) -> float:
        """Return how long it takes from now until so many 3D views have something in them."""
        began = time.monotonic()
        while self.canvases.count() != n_canvases or any(blank(pixels(canvas)) for canvas in self.canvases.all()):
            assert time.monotonic() < began + 30, "nothing drawn within 30 s"
        return time.monotonic() - began

    def pictures(self) -> list[np.ndarray]:
        """Return what each 3D view shows once nothing moves any more, the mouse elsewhere."""
        self.page.mouse.move(2, 2)
        earlier: list[np.ndarray] = []
        for _ in range(40):
            now = [pixels(canvas) for canvas in self.canvases.all()]
            if len(now) == len(earlier) and all(map(np.array_equal, earlier, now)):
                return now
            earlier = now
            self.page.wait_for_timeout(100)
        raise AssertionError("the 3D views never came to rest")

    def drag(self, pane: int, right: int, down: int, *, wheel: int = 0) -> None:
        """Drag the mouse from the middle of a 3D view, then turn its wheel."""
        box = self.canvases.nth(pane).bounding_box()
        assert box is not None
        mouse, x, y = self.page.mouse, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + right, y + down, steps=8)
        mouse.up()
        if wheel:
            mouse.wheel(0, wheel)
        self.page.wait_for_timeout(300)

    @property
    def canvases(self) -> Locator:
        return self.page.locator(".jp-OutputArea-output canvas:visible")

    def screenshot(self, name: str) -> Path:
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.png"
        self.page.screenshot(path=path)
        return path

    def keep_outputs(self, name: str) -> None:
        """Keep one screenshot per cell that shows something."""
        ARTEFACTS.mkdir(exist_ok=True)
        outputs = self.page.locator(".jp-Cell-outputWrapper:visible")
        for index, output in enumerate(outputs.all()):
            if (box := output.bounding_box()) and box["height"] > 40:
                output.screenshot(path=ARTEFACTS / f"{name}-{index:02d}.png")


def pixels(element: Locator) -> np.ndarray:
    """Return [height, width, 3] of what the reader sees there."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)


def blank(picture: np.ndarray) -> bool:
    """Return whether fewer than one pixel in a thousand differs from the corner's colour, or it has no room yet."""
    if min(picture.shape[:2]) < 3:
        return True
    return float((np.abs(picture - picture[2, 2]).max(axis=-1) > 24).mean()) < 1e-3


def run_notebook(page: Page, lab: Lab, path: Path, *, timeout_s: float = RUN_S) -> NotebookPage:
    """Open a copy of a notebook, run all its cells, and return it for further questions."""
    notebook = open_notebook(page, lab, path)
    notebook.run_all(timeout_s)
    return notebook


def write_notebook(path: Path, cells: list[str]) -> Path:
    import nbformat

    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def open_notebook(page: Page, lab: Lab, path: Path) -> NotebookPage:
    """Open a copy of a notebook with a kernel of its own."""
    content = json.loads(path.read_text(encoding="utf-8"))
    # Without a kernel name JupyterLab asks for one in a dialog.
    content["metadata"]["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    # A name of its own, and so a kernel of its own: JupyterLab finds a kernel again by the notebook's name.
    name = f"{path.stem}-{len(list(lab.folder.iterdir()))}.ipynb"
    (lab.folder / name).write_text(json.dumps(content), encoding="utf-8")
    notebook = NotebookPage(page)
    page.add_init_script(PATIENT)
    notebook.listen()
    notebook.open(lab, name)
    return notebook
