"""What the README tells a reader to type: CI runs the commands from the file itself, tests run its Python."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_force_field import BRIEFLY, LOOSE, TINY
from turning_dipeptide import coordinates_of, hopping

import asteroid_nb as anb
from asteroid_nb.forecast.settings import preset

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M | re.S)

README = """# House

## Two commands

```
echo first > made    # says nothing
false
test -t 0 || echo third >> made   # no terminal is waited for
```

```
echo not asked for
```

## More

```
echo neither
```
"""


def test_ci_runs_the_commands_that_stand_in_the_readme():
    command = [ROOT / ".ci/commands", ROOT / "README.md"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["make demo", "make test"]
    assert ".ci/commands README.md" in (ROOT / ".ci/run").read_text()


def run_ci(folder: Path, readme: str) -> subprocess.CompletedProcess[str]:
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    (folder / "README.md").write_text(readme)
    browser = folder / "bin" / "chromium"
    browser.parent.mkdir()
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    path = f"{browser.parent}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run([folder / ".ci/run"], env={"PATH": path}, capture_output=True, text=True, timeout=60)


def test_ci_runs_every_command_and_fails_if_one_does(tmp_path):
    outcome = run_ci(tmp_path, README)
    assert outcome.returncode == 1 and "FAILED: false" in outcome.stderr
    assert (tmp_path / "made").read_text() == "first\nthird\n"
    assert "not asked for" not in outcome.stdout and "neither" not in outcome.stdout


def test_ci_fails_where_the_readme_has_no_commands(tmp_path):
    outcome = run_ci(tmp_path, README.replace("## Two commands", "## Three commands"))
    assert outcome.returncode == 1 and "no block of commands" in outcome.stderr


def test_ci_passes_where_every_command_does(tmp_path):
    outcome = run_ci(tmp_path, README.replace("false\n", "true\n"))
    assert outcome.returncode == 0, outcome.stderr


#: What makes the verbs of the README quick; all else in its calls stays as it stands there.
BRIEF: dict[str, dict[str, Any]] = {
    "train": {"settings": preset("tiny"), "n_epochs": 1, "batch_size": 32, "device": "cpu", "observers": ()},
    "evaluate": {"most": 20},
    "report": {"most_windows": 4},
    "train_language": {"n_epochs": 1, "device": "cpu", "observers": ()},
    "train_force_field": {
        "settings": TINY, "objective": LOOSE, "fit_settings": BRIEFLY, "n_frames": 20, "n_epochs": 1, "observers": (),
    },
    "run_md": {"n_frames": 5, "progress": False},
    "explore_solver": {"tolerances": (1e-1, 1e-2), "n_frames": 2},
}  # fmt: skip


def brief(verb, settings: dict[str, Any]):
    """Return a verb that takes the README's call as it is, and then does less."""

    def called(*args: Any, **options: Any) -> Any:
        inspect.signature(verb).bind(*args, **options)
        return verb(*args, **options | settings)

    return called


@pytest.fixture
def reader(tmp_path, monkeypatch) -> dict[str, Any]:
    """Return the names a reader has who has run the blocks before, in a folder with files like theirs."""
    monkeypatch.chdir(tmp_path)
    for name, settings in BRIEF.items():
        monkeypatch.setattr(anb, name, brief(getattr(anb, name), settings), raising=False)
    walkers = [walker[:160] for walker in anb.sample("ethanol")[:3]]
    for number, walker in enumerate(walkers, start=1):
        walker.save(tmp_path / f"run{number}.xtc")
    walkers[0][0].save(tmp_path / "molecule.pdb")
    return {}


def test_the_readme_has_the_blocks_that_are_run_here():
    assert [block.splitlines()[0].split()[0] for block in BLOCKS] == ["import", "forecast", "from", "*learnt,"]


@pytest.mark.slow
def test_a_forecast_of_ones_own_trajectory(reader, tmp_path):
    for block in BLOCKS[:2]:
        exec(block, reader)
    assert reader["run"].name in reader["errors"].names and len(reader["errors"].names) > 5
    assert (tmp_path / "page.html").stat().st_size > 1e6
    assert len(reader["forecast"]) == reader["run"].settings.history + 2 * reader["run"].settings.horizon
    assert list((tmp_path / "runs/mine").iterdir())


@pytest.mark.slow
def test_rare_events_from_torsions(reader, tmp_path):
    paths = [hopping(1500, seed) for seed in range(3)]
    turns = [coordinates_of(path, seed, structure_every=1) for seed, path in enumerate(paths)]
    reader |= {"anb": anb, "walkers": [one.structures for one in turns]}
    exec(BLOCKS[2], reader)
    for found, made in zip(reader["torsions"], turns, strict=True):
        off = np.angle(np.exp(1j * (found.values - made.values)))
        assert np.abs(off).max() < 0.02  # rad
    assert reader["states"][0].n_states == 3
    assert list((tmp_path / "runs/language").iterdir())


@pytest.mark.slow
def test_a_force_field_and_a_simulation_with_it(reader):
    reader |= {"anb": anb}
    exec(BLOCKS[3], reader)
    assert reader["simulated"].n_frames == 5
    assert np.isfinite(reader["atoms"].get_potential_energy())
