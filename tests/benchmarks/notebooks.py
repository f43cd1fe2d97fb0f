"""Every notebook run once from top to bottom: seconds, and the most memory its kernel held.

python tests/benchmarks/notebooks.py, or after `make gallery`, which has run them: … --kept gallery/executed
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from asteroid_nb.finding import Finding, Rule, write
from asteroid_nb.gallery.executing import cost, executed

MOST_S, MOST_TOGETHER_S, MOST_MB, MOST_LINES = 120, 1200, 600, 6

NOTE = (
    "Each in a kernel of its own, one after the other; memory is the most the kernel had resident (VmHWM), libraries "
    "and what it shares with other processes included."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--notebooks", nargs="+", type=Path, default=sorted(Path("notebooks").glob("[0-9]*.ipynb")))
    parser.add_argument("--kept", type=Path, help="folder of executed notebooks; those in it are not run again")
    parser.add_argument("--out", type=Path, default=Path("tests/benchmarks/results"))
    options = parser.parse_args()
    rows, lines = [], []
    for path in options.notebooks:
        kept = None if options.kept is None else options.kept / path.name
        notebook = executed(path, kept=kept, resume=True)
        seconds, most_mb = cost(notebook)
        if seconds is None or most_mb is None:
            raise SystemExit(
                f"{path.name}: what it cost was not kept, or this system does not say. Run it again on Linux."
            )
        lines += [len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code"]
        print(f"{path.name}: {seconds:.0f} s, {most_mb:.0f} MB", flush=True)
        rows.append((path.stem, round(seconds), round(most_mb)))
    times, memories = (np.array([row[column] for row in rows]) for column in (1, 2))
    middle = float(np.median(lines))
    rules = [
        _at_most(MOST_S, "s, each", times.max()),
        _at_most(MOST_TOGETHER_S, "s, together", times.sum()),
        _at_most(MOST_MB, "MB, each", memories.max()),
        _at_most(MOST_LINES, "lines in a code cell, median", middle),
    ]
    finding = Finding(key="N", title="What does it cost to open them?", head=("notebook", "seconds", "most memory, MB"),
                      rows=rows, rules=rules, note=NOTE)  # fmt: skip
    made_by, told = ("", "") if options.kept is None else ("make gallery && ", f" --kept {options.kept}")
    print(
        write(
            options.out,
            "notebooks",
            [finding],
            threads="torch's own choice of threads",
            command=f"{made_by}python tests/benchmarks/notebooks.py{told}",
        )
    )


def _at_most(limit: float, of: str, found: float) -> Rule:
    return Rule(asked=f"at most {limit} {of}", holds=bool(found <= limit), measured=f"{found:g}")


if __name__ == "__main__":
    main()
