"""Where Jupyter keeps the browser's half of a widget, and of which version it is. Imports no widget."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asteroid_nb.errors import MissingExtra, UnreadableFile

#: The one NGLView that draws in JupyterLab; see pyproject.toml.
NGLVIEW = "nglview==4.0"


def nglview_script() -> Path:
    """Return NGLView's AMD bundle, which also draws in a page without JupyterLab.

    Raises:
        MissingExtra: NGLView is not installed where this Python's Jupyter looks.
    """
    name = Path("nbextensions", "nglview-js-widgets", "index.js")
    for folder in data_folders():
        if (folder / name).is_file():
            return folder / name
    raise MissingExtra(
        f"{name.as_posix()} is in none of {', '.join(map(str, data_folders()))}; "
        f'NGLView brings it. Run: pip install --force-reinstall --no-deps "{NGLVIEW}"'
    )


def lab_extension(name: str, *, prefix: str | Path = sys.prefix) -> Path | None:
    """Return the folder of the JupyterLab extension that a server takes, or None where it has none of this name.

    Args:
        name: as JupyterLab knows it, such as ``"@jupyter-widgets/jupyterlab-manager"``.
        prefix: of the environment the server runs in.
    """
    folders = (folder / "labextensions" / name for folder in data_folders(prefix))
    return next((folder for folder in folders if (folder / "package.json").is_file()), None)


def lab_extension_version(name: str, *, prefix: str | Path = sys.prefix) -> str | None:
    """Return the version of the JupyterLab extension that a server takes, or None where it has none of this name.

    Raises:
        UnreadableFile: its description is damaged.
    """
    folder = lab_extension(name, prefix=prefix)
    if folder is None:
        return None
    path = folder / "package.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["version"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UnreadableFile(
            f"{path} is damaged ({error!r}). Delete {folder} and install the package again."
        ) from error


def data_folders(prefix: str | Path = sys.prefix) -> list[Path]:
    """Return the folders a Jupyter of that environment reads, the one that wins first."""
    own, asked = Path(sys.prefix, "share", "jupyter"), Path(prefix, "share", "jupyter")
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return [asked]
    folders = [asked if Path(folder) == own else Path(folder) for folder in jupyter_path()]
    return list(dict.fromkeys([*folders, asked]))
