"""deeptime without what its package loads for the rest: scikit-learn, Matplotlib and parts of SciPy, 55 MB."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader, module_from_spec
from types import ModuleType

#: Parts that deeptime's package imports and nothing here needs.
LATER = ("deeptime.plots", "deeptime.sindy")


class _Later(MetaPathFinder):
    """Finds those parts as modules that are executed when an attribute is asked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in LATER else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def load_deeptime() -> None:
    """Load deeptime; its plots and its sparse identification follow when something is asked of them."""
    if "deeptime" not in sys.modules:
        with _without_the_rest():
            import_module("deeptime")


@contextmanager
def _without_the_rest() -> Iterator[None]:
    """Meanwhile Matplotlib is there by name alone, and of scikit-learn only the exceptions, where neither is loaded."""
    placed = {"matplotlib": ModuleType("matplotlib"), "sklearn.exceptions": _exceptions_of_sklearn()}
    placed = {name: module for name, module in placed.items() if module and name not in sys.modules}
    finder = _Later()
    sys.modules.update(placed)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in placed:
            del sys.modules[name]


def _exceptions_of_sklearn() -> ModuleType | None:
    """Return that module without its package; None where it is not found."""
    package = PathFinder.find_spec("sklearn")
    spec = package and PathFinder.find_spec("sklearn.exceptions", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
