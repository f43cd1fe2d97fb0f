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
from asteroid_nb.shapes import Float
from asteroid_nb.states.landscapes import FS_PER_UNIT, WELLS, four_wells

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


#: A timescale that leaves out more of the frames, because their states are not connected, is none.
LEAST_SHARE = 0.99


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


def write(folder: Path, name: str, findings: Sequence[Finding], *, command: str) -> Path:
    """Write one Markdown page, the numbers behind it as JSON, and every drawing as a page of its own."""
    import torch

    exact = four_wells().timescales(2)
    said = (
        f"Made by `{command}` on {processor()} ({os.cpu_count()} cores, one thread for each training), torch "
        f"{torch.__version__}. Timescales of the four wells are in units of the model's own time, each called 1 ps in "
        f"drawings; exact are t2 = {exact[0]:.2f} and t3 = {exact[1]:.2f}."
    )
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


def reasons(records: Sequence[dict[str, Any]]) -> list[Rule]:
    """Return why arms have no result, or a part of theirs has none."""
    found = []
    for one in records:
        parts = {"": one, **{of: one.get(f"{of}_kinetics", {}) for of in ("data", "chain", "model")}}
        for of, part in parts.items():
            if "failed" in part:
                named = " ".join(filter(None, [f"{one['states']}, {one['model']}, seed {one['seed']}", of]))
                found.append(Rule(asked=f"no result of {named}", measured=str(part["failed"]), holds=None))
    return found


def processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def timescale(
    record: dict[str, Any],
    of: str = "model",
    *,
    lag: int = 10,
    mode: int = 0,
    fs: bool = False,
    key: str = "timescales_fs",
) -> float:
    """Return a timescale of a record, or an end of its band, in units of the four wells' time, or in fs.

    NaN where there is none, or where it leaves out more than a few frames.
    """
    found = record.get(f"{of}_kinetics", {})
    if found.get(key) is None or lag not in found["lags_frames"]:
        return float("nan")
    if found["share_used"][found["lags_frames"].index(lag)] < LEAST_SHARE:
        return float("nan")
    value = found[key][found["lags_frames"].index(lag)][mode]
    return float("nan") if value is None else value / (1.0 if fs else FS_PER_UNIT)


def passages(record: dict[str, Any], of: str) -> Float[np.ndarray, "wells wells"]:
    """Return passage times of a record between the four wells in fs, NaN where there are none."""
    found = record.get(f"{of}_kinetics", {}).get("passage_fs")
    return np.full((len(WELLS), len(WELLS)), np.nan) if found is None else np.array(found, dtype=float)


def seen(records: Sequence[dict[str, Any]]) -> str:
    """Return how many frames were trained on, the mean over records."""
    known = [one["n_training_frames"] for one in records if "n_training_frames" in one]
    return f"{np.mean(known):,.0f}" if known else "–"


def spread(values: Sequence[float] | np.ndarray, digits: int = 1) -> str:
    """Return mean ± standard deviation over seeds, and how many there are not."""
    array = np.asarray(values, dtype=float)
    known = array[np.isfinite(array)]
    if not known.size:
        return "–"
    lost = f" ({len(array) - len(known)} without)" if len(known) < len(array) else ""
    return f"{known.mean():.{digits}f} ± {known.std(ddof=min(1, len(known) - 1)):.{digits}f}{lost}"


def error_of(values: Sequence[float] | np.ndarray, exact: float) -> float:
    """Return how far the mean is off, as a share of the exact value."""
    return float(np.mean(np.asarray(values, dtype=float)) / exact - 1)
