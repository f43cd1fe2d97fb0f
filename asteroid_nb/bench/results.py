"""The measured tables of the repository, for lessons that show them beside what the reader's own machine does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Where the repository keeps them; an installed package has none.
FOLDER = Path("tests", "benchmarks", "results")


def measured(name: str) -> dict[str, Any]:
    """Return a table by its name, from the checkout this package runs in; an empty one where there is no checkout."""
    path = Path(__file__).parents[2] / FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def rates_on_a_gpu(found: dict[str, Any], forecaster: str = "notebook") -> dict[str, dict[int, float]]:
    """Return fs forecast in a second by how the work was launched and by windows forecast together.

    Args:
        found: ``measured("forecast_gpu")``; an empty one gives nothing.
        forecaster: preset, or "potential".
    """
    rows = [one for one in found.get("forecasts", []) if one["forecaster"] == forecaster]
    named = {f"{found['hardware']}, {how}": how for how in ("launched", "recorded") if rows}
    return {name: {one["at_once"]: one[how] for one in rows if how in one} for name, how in named.items()}


def training_on_a_gpu(found: dict[str, Any], preset: str = "notebook") -> dict[str, dict[int, float]]:
    """Return windows a second of training sees, by how its steps were launched and by windows in a step."""
    rows = [one for one in found.get("steps", []) if one.get("preset") == preset]
    named = {f"{found['hardware']}, {how}": f"{how}_ms" for how in ("launched", "recorded") if rows}
    return {
        name: {one["batch"]: 1e3 * one["batch"] / one[ms] for one in rows if ms in one} for name, ms in named.items()
    }
