"""Make the links of README and notebooks to Binder and Colab follow the address in pyproject.toml (``make badges``)."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
OURS = re.compile(r"(https://mybinder\.org/v2/gh|https://colab\.research\.google\.com/github)/[^/\s]+/[^/\s]+/")


def led_home(text: str) -> str:
    """Return a text whose links to Binder and Colab lead to our address."""
    owner = HOME.removeprefix("https://github.com/")
    return OURS.sub(lambda found: f"{found[1]}/{owner}/", text)


def with_links(path: Path) -> str:
    """Return a notebook whose first cell says where it can be opened."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    first = notebook["cells"][0]
    text = "".join(first["source"])
    if "https://mybinder.org/" not in text:
        binder = f"https://mybinder.org/v2/gh/OWNER/NAME/HEAD?labpath=notebooks%2F{path.name}"
        colab = f"https://colab.research.google.com/github/OWNER/NAME/blob/main/notebooks/{path.name}"
        text = f"{text.rstrip()}\n\nRun it on [Binder]({binder}) or [Colab]({colab})."
    first["source"] = led_home(text).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    readme = ROOT / "README.md"
    readme.write_text(led_home(readme.read_text(encoding="utf-8")), encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        path.write_text(with_links(path), encoding="utf-8")


if __name__ == "__main__":
    main()
