"""Run a notebook from top to bottom and keep what it showed, with the state its widgets were left in."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from asteroid_nb.errors import AsteroidError, UnreadableFile
from asteroid_nb.files import replacing

#: One cell may take so long.
CELL_TIMEOUT_S = 1800

#: Where an executed notebook keeps what it cost to run.
RECORD = "asteroid_nb"


class NotebookFailed(AsteroidError, RuntimeError):
    """A cell of a notebook raised an error."""


def read(path: Path) -> Any:
    """Return a notebook.

    Raises:
        UnreadableFile: it is none.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, OSError, nbformat.ValidationError) as error:
        raise UnreadableFile(f"{path} is no readable notebook ({error}). Save it again in JupyterLab.") from error


def executed(path: Path, *, kept: Path | None = None, resume: bool = False) -> Any:
    """Return the notebook with its outputs, run in a folder of its own.

    Args:
        kept: where the executed notebook is written.
        resume: take the one that is kept, if no cell has changed since.

    Raises:
        NotebookFailed: a cell raised.
    """
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbconvert.filters import strip_ansi

    notebook = read(path)
    if resume and kept is not None and kept.is_file():
        former = read(kept)
        if _sources(former) == _sources(notebook):
            return former
    began, readings = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        try:
            client = _client(notebook, folder)
            client.on_cell_executed = lambda **_: readings.append(_most_mb(client))
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NotebookFailed(f"{path.name} ended early: {strip_ansi(str(error))}") from error
    notebook.metadata[RECORD] = {
        "seconds": round(time.perf_counter() - began, 1),
        "most_mb": readings[-1] if readings else None,
    }
    if kept is not None:
        _write(notebook, kept)
    return notebook


def cost(notebook: Any) -> tuple[float | None, float | None]:
    """Return the seconds it took to run and the most MB its kernel held, each None where it is not known."""
    record = notebook.metadata.get(RECORD, {})
    return record.get("seconds"), record.get("most_mb")


def cost_in_words(notebook: Any) -> str:
    """Return what it cost to run, as far as that is known."""
    seconds, most_mb = cost(notebook)
    told = [f"run in {seconds:.0f} s" if seconds is not None else "", f"at most {most_mb:.0f} MB" if most_mb else ""]
    return ", ".join(filter(None, told))


def _most_mb(client: Any) -> float | None:
    """Return the most memory that the kernel has had resident, None where the system does not say."""
    try:
        status = Path(f"/proc/{client.km.provisioner.pid}/status").read_text(encoding="ascii")
    except (OSError, AttributeError):
        return None
    kib = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), None)
    return None if kib is None else round(kib * 1024 / 1e6)


def _client(notebook: Any, folder: str) -> Any:
    from nbclient import NotebookClient

    class Client(NotebookClient):
        """Forgets the widgets that the kernel closed: their links must not act on."""

        def handle_comm_msg(self, outs: Any, msg: Any, cell_index: int) -> None:
            super().handle_comm_msg(outs, msg, cell_index)
            if msg["msg_type"] == "comm_close":
                self.widget_state.pop(msg["content"]["comm_id"], None)
                self.widget_buffers.pop(msg["content"]["comm_id"], None)

    return Client(
        notebook,
        timeout=CELL_TIMEOUT_S,
        coalesce_streams=True,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # else each kernel warns of its own transport
        resources={"metadata": {"path": folder}},
    )


def _sources(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def _write(notebook: Any, path: Path) -> None:
    import nbformat

    with replacing(path) as temporary:
        temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
