"""Numbers that teach are kept in the notebooks and compared whenever these run; everything else is stripped.

A cell that begins with ``# NBVAL_CHECK_OUTPUT`` is compared by nbval; its tag ``keep_output`` tells nbstripout to leave
its output alone.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MARK, TAG = "# NBVAL_CHECK_OUTPUT", "keep_output"


def is_checked(cell) -> bool:
    return MARK in "".join(cell["source"]).splitlines()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_checked_cell_keeps_a_short_text_and_no_other_cell_keeps_anything(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code":
            assert is_checked(cell) == (TAG in cell.metadata.get("tags", ())) == bool(cell.outputs), cell.source
            assert all(one.output_type == "stream" and one.name == "stdout" for one in cell.outputs), cell.source
            assert len("".join(one.text for one in cell.outputs)) < 2000


@pytest.mark.parametrize("stem", ["02_sti", "05_rare_events", "07_own_trajectory"])
def test_notebooks_with_known_numbers_check_some(stem):
    assert any(is_checked(cell) for cell in nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", 4).cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_hook_strips_all_but_what_is_checked(path, tmp_path):
    wanted = nbformat.read(path, 4)
    dirty = copy.deepcopy(wanted)
    for number, cell in enumerate(dirty.cells):
        if cell.cell_type == "code":
            cell.execution_count = number
            if not is_checked(cell):
                cell.outputs = [nbformat.v4.new_output("stream", text="left behind\n")]
    nbformat.write(dirty, tmp_path / path.name)
    subprocess.run([sys.executable, "-m", "nbstripout", tmp_path / path.name], check=True, timeout=60)
    stripped = nbformat.read(tmp_path / path.name, 4).cells
    for cell in [*stripped, *wanted.cells]:
        cell.id = ""  # the hook counts anew
    assert stripped == wanted.cells


def passes(folder: Path, source: str, output: str) -> bool:
    """Return whether nbval, run as ``make test`` runs it, accepts a notebook with one cell and its stored output."""
    cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", text=output)])
    path = folder / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = ["-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options, str(path)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return ended.returncode == 0


@pytest.mark.slow
def test_nbval_compares_marked_cells_alone(tmp_path):
    assert passes(tmp_path, f"{MARK}\nprint(6 * 7)", "42\n")
    assert not passes(tmp_path, f"{MARK}\nprint(6 * 7)", "43\n")
    assert passes(tmp_path, "print(6 * 7)", "43\n")


def test_the_makefile_runs_nbval_so():
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "--nbval-lax" in line]
    assert "--nbval-current-env" in line and "notebooks/*.ipynb" in line
