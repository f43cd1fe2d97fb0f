"""What a figure found: a drawing, a table, and its rules, each passed, failed or only reported."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asteroid_nb.files import replacing

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule, what was measured, and whether it holds; None where nothing was asked for but the number."""

    asked: str
    measured: str
    holds: bool | None

    def __str__(self) -> str:
        word = {True: "PASSED", False: "FAILED", None: "reported"}[self.holds]
        return f"**{word}** {self.asked}: {self.measured}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one figure found.

    Args:
        key: of the figure, such as "C".
        title: the question it answers.
        head: of the table's columns.
        rows: of the table, ready to print.
        rules: in the order of the design.
        drawings: by file name, without its ending.
        note: what to know when reading it.
    """

    key: str
    title: str
    head: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    rules: list[Rule]
    drawings: dict[str, Figure] = field(default_factory=dict)
    note: str = ""

    def markdown(self) -> str:
        """Return heading, rules and table."""
        cells = lambda row: (str(cell).replace("|", "\\|") for cell in row)  # noqa: E731
        table = [f"| {' | '.join(cells(row))} |" for row in (self.head, ["---"] * len(self.head), *self.rows)]
        rules = [f"- {rule}" for rule in self.rules]
        return "\n".join([f"### {self.key}. {self.title}", "", self.note, "", *rules, "", *table, ""])


def write(
    folder: Path,
    name: str,
    findings: Sequence[Finding],
    *,
    command: str,
    about: str = "",
    threads: str = "one thread for each training",
) -> Path:
    """Write one Markdown page, the numbers behind it as JSON, and every drawing as a page of its own.

    Args:
        about: what to know when reading the page, after what made it.
        threads: how many were used.
    """
    import torch

    made = f"Made by `{command}` on {processor()} ({os.cpu_count()} cores, {threads}), torch {torch.__version__}."
    said = f"{made} {about}".strip()
    failed = [f"{one.key}: {rule.asked}" for one in findings for rule in one.rules if rule.holds is False]
    summary = f"Rules that failed: {'; '.join(failed)}." if failed else "No rule failed."
    text = "\n".join([f"# {name}", "", said, "", summary, "", *(one.markdown() for one in findings)])
    with replacing(folder / f"{name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    told = [
        {
            "figure": one.key,
            "title": one.title,
            "head": one.head,
            "rows": one.rows,
            "rules": [vars(r) for r in one.rules],
        }
        for one in findings
    ]
    with replacing(folder / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for one in findings:
        for label, figure in one.drawings.items():
            with replacing(folder / f"{label}.html") as temporary:
                figure.write_html(temporary, include_plotlyjs="directory", full_html=True)
    return folder / f"{name}.md"


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def spread(values: Sequence[float] | np.ndarray, digits: int = 1) -> str:
    """Return mean ± standard deviation over seeds, and how many there are not."""
    array = np.asarray(values, dtype=float)
    known = array[np.isfinite(array)]
    if not known.size:
        return "–"
    lost = f" ({len(array) - len(known)} without)" if len(known) < len(array) else ""
    return f"{known.mean():.{digits}f} ± {known.std(ddof=min(1, len(known) - 1)):.{digits}f}{lost}"


def plain(value: Any) -> Any:
    """Return JSON's own types; what is no number becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
