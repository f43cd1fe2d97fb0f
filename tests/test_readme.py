"""What the README tells a reader to type: CI runs the commands from the file itself, tests run its Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]

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
