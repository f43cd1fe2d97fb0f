"""Write the API reference from docstrings (``make docs``): .ci/reference.py [FOLDER]."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from pathlib import Path

import pdoc
import pdoc.render

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asteroid_nb"

#: Rooms a reader's own code may import from; benches, command line and their pages explain themselves by --help.
ROOMS = ("data", "forecast", "states", "equilibrium", "metrics", "views", "widgets")
MODULES = (
    "dashboard",
    "one_door",
    "ablation",
    "errors",
    "evaluation",
    "fit_settings",
    "fitting",
    "processes",
    "rolling",
    "units",
)


def public() -> list[str]:
    """Return the names of the modules that get a page, the one of all verbs first."""
    paths = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    paths += [PACKAGE / f"{name}.py" for name in MODULES]
    names = [str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in paths]
    return ["asteroid_nb", *(name for name in names if not name.endswith("__init__"))]


def explain_named_tuples(module) -> None:
    """Say where the constructors of named tuples belong, so that their annotations are read beside our imports."""
    for _, thing in inspect.getmembers(module, inspect.isclass):
        if issubclass(thing, tuple) and hasattr(thing, "_fields") and thing.__module__ == module.__name__:
            thing.__new__.__module__ = module.__name__


def explain_inherited_fields(module) -> None:
    """Let a dataclass's module know the names that fields of its bases elsewhere are annotated with."""
    for _, thing in inspect.getmembers(module, inspect.isclass):
        if thing.__module__ != module.__name__ or not dataclasses.is_dataclass(thing):
            continue
        said = set(re.findall(r"\w+", " ".join(str(one.type) for one in dataclasses.fields(thing))))
        for base in thing.__mro__[1:]:
            known = vars(sys.modules[base.__module__])
            for name in said & known.keys() - vars(module).keys():
                setattr(module, name, known[name])


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    names = public()
    for name in names:
        module = importlib.import_module(name)
        explain_named_tuples(module)
        explain_inherited_fields(module)
    pdoc.render.configure(docformat="google", show_source=False, search=False)
    pdoc.pdoc(*names, output_directory=out)
    print(f"{out / 'asteroid_nb.html'} and {len(names) - 1} more pages")


if __name__ == "__main__":
    main()
