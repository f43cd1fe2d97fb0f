"""The house keeps its shape: who imports whom, what importing costs, how long files are, what never enters the tree."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asteroid_nb"
FILES = sorted(PACKAGE.rglob("*.py"))

WINGS = {"forecast", "states", "equilibrium"}
ENDS = {"widgets", "dashboard", "one_door", "reporting", "exhibit", "gallery", "rare_events", "bench", "health", "cli"}

#: Room → rooms it never imports, not even inside a function.
CLOSED_DOORS = {
    "data": WINGS | ENDS | {"fitting", "metrics", "views"},
    "fitting": WINGS | ENDS | {"metrics", "views"},
    "captured": WINGS | ENDS | {"data", "fitting", "metrics", "views"},
    "processes": WINGS | ENDS | {"data", "fitting", "metrics", "views"},
    **{wing: (WINGS - {wing}) | ENDS | {"metrics", "views"} for wing in WINGS},
    "metrics": WINGS | ENDS | {"fitting", "views"},
    "views": WINGS | ENDS | {"fitting"},
    "widgets": ENDS - {"widgets"},
    **{
        room: WINGS | ENDS | {"data", "fitting", "metrics", "views"}
        for room in ("units", "errors", "files", "memory", "shapes")
    },
}

#: Rooms that training needs, which runs where only torch, Lightning, NumPy and e3nn are installed.
TRAINING_ROOMS = WINGS | {
    "captured", "data", "fitting", "fit_settings", "memory", "processes", "units", "errors", "files", "shapes"
}  # fmt: skip
ABSENT_ON_A_GPU_MACHINE = {
    *(
        "anywidget",
        "ase",
        "deeptime",
        "ipywidgets",
        "IPython",
        "jaxtyping",
        "beartype",
        "matplotlib",
        "mdtraj",
        "nglview",
    ),
    *("lightning", "pytorch_lightning", "torchmetrics"),  # of which Fabric alone is used
    *("openmm", "plotly", "pooch", "safetensors", "scipy", "sklearn", "tblite"),
}
TRAINED_WITH = [PACKAGE / "data/trajectory.py", PACKAGE / "data/windows.py", PACKAGE / "fitting.py"]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(node: ast.AST, *, inside: bool) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each import; inside functions only if asked, for type checkers never."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: a relative import; write the whole name"
            yield from ((child.lineno, f"{child.module}.{alias.name}") for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from (found for kept in child.orelse for found in imports(kept, inside=inside))
        elif inside or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imports(child, inside=inside)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_flow_one_way(path):
    closed = CLOSED_DOORS.get(room(path), set())
    for line, dotted in imports(tree(path), inside=True):
        parts = dotted.split(".")
        if parts[0] == "asteroid_nb":
            assert parts[1] not in closed, f"{name(path)}:{line} imports {dotted}"


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in TRAINING_ROOMS - {"shapes"}], ids=name)
def test_training_rooms_import_heavy_packages_inside_functions(path):
    for line, dotted in imports(tree(path), inside=False):
        assert dotted.split(".")[0] not in ABSENT_ON_A_GPU_MACHINE, (
            f"{name(path)}:{line} imports {dotted} at the top; import it inside the function that needs it"
        )


BARE = """
import importlib, sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, fullname, path=None, target=None):
        return None if fullname.split(".")[0] in {absent!r} else self.finder.find_spec(fullname, path, target)

    def find_distributions(self, *context):
        found = getattr(self.finder, "find_distributions", lambda *context: ())(*context)
        return [one for one in found if one.name.lower() not in {absent!r}]

    def invalidate_caches(self):
        return None

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
for module in {modules!r}:
    importlib.import_module(module)
"""


def test_training_imports_where_only_torch_lightning_numpy_and_e3nn_are():
    files = [path for path in FILES if path in TRAINED_WITH or room(path) in WINGS]
    modules = [name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files]
    program = BARE.format(absent=ABSENT_ON_A_GPU_MACHINE - {"scipy"}, modules=modules)  # e3nn brings SciPy
    outcome = run_python(program)
    assert outcome.returncode == 0, outcome.stderr


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)


IMPORT_ALONE = """
import sys, time
start = time.perf_counter()
import asteroid_nb
seconds = time.perf_counter() - start
heavy = {"torch", "numpy", "lightning_fabric", "nglview", "plotly", "mdtraj", "ase", "ipywidgets", "scipy"}
heavy &= set(sys.modules)
print(seconds, *sorted(heavy))
"""


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    answers = [run_python(IMPORT_ALONE).stdout.split() for _ in range(3)]
    assert not answers[0][1:], f"import asteroid_nb loads {answers[0][1:]}"
    assert min(float(seconds) for seconds, *_ in answers) <= 0.3


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_stay_small_and_errors_are_not_swallowed(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, f"{name(path)} is over 300 lines; split it"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type, f"{name(path)}:{node.lineno} catches everything; name the errors it can answer"
            empty = all(isinstance(line, ast.Pass) for line in node.body)
            assert not empty, f"{name(path)}:{node.lineno} swallows an exception"


def tracked(*patterns: str) -> list[Path]:
    """Return the files git tracks, or skip where this is no checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.split("\0") if line and (ROOT / line).is_file()]


#: In pieces, so that this file does not hold what it looks for.
FOREIGN = [
    *("/" + folder + "/" for folder in ("work", "tmp", "root")),
    *(".".join(host) for host in (("pypi", "org"), ("registry", "npmjs"), ("deb", "debian"), ("download", "pytorch"))),
    "python" + "hosted",
]


def test_no_path_of_a_machine_and_no_registry_host_in_the_tree():
    found = []
    for path in tracked(".", ":!*.lock"):
        content = path.read_bytes()
        found += [f"{name(path)}: {word}" for word in FOREIGN if word.encode() in content]
    assert not found, "use tempfile or tmp_path for files, pip's own configuration for hosts: " + "; ".join(found)


def test_saved_notebooks_are_stripped():
    for path in tracked("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert "widgets" not in notebook["metadata"], f"{name(path)} stores widget state; run nbstripout on it"
        for cell in notebook["cells"]:
            checked = "keep_output" in cell["metadata"].get("tags", ())  # see test_checked_outputs.py
            stored = (cell.get("outputs") and not checked) or cell.get("execution_count")
            assert not stored, f"{name(path)} stores outputs; run nbstripout on it"
