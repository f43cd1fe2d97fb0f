"""Links lead somewhere: files, headings and pictures exist, addresses are well-formed, badges name our own address."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from test_architecture import tracked

ROOT = Path(__file__).parents[1]
HOME = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]

LINK = re.compile(r"\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)")
ADDRESS = re.compile(r"\bhttps?:/?/?[^\s<>\"'`\\)\]}|]*")
DOI = re.compile(r"\bdoi:(\S+)")
ARXIV = re.compile(r"\barXiv:([^\s,;)]+)")

#: Where http is a name or this machine, and archives as their owners publish them: what comes is read as numbers alone.
UNENCRYPTED = (
    *("http://www.w3.org/", "http://127.0.0.1", "http://localhost"),
    *("http://www.quantum-machine.org/gdml/", "http://ftp.imp.fu-berlin.de/pub/cmb-data/"),
)


def pages() -> dict[str, tuple[Path, str]]:
    """Return all prose by a name: Markdown files, and the Markdown cells of notebooks."""
    found = {}
    for path in tracked("*.md", "*.ipynb"):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
            text = "\n\n".join("".join(cell["source"]) for cell in cells)
        found[str(path.relative_to(ROOT))] = (path, text)
    return found


def prose(text: str) -> str:
    """Return a text without its code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(text: str) -> set[str]:
    """Return what GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one).lower()) for one in headings]
    return {one.strip().replace(" ", "-") for one in plain}


def broken(path: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    text = prose(text)
    targets = [*LINK.findall(text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    near = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [target for target in near if not leads_somewhere(path, target)]


def leads_somewhere(path: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    there = path if not name else (path.parent / name).resolve()
    if not there.exists() or not there.is_relative_to(ROOT):
        return False
    return not anchor or (there.suffix == ".md" and anchor in anchors(there.read_text(encoding="utf-8")))


def ill_formed(text: str) -> list[str]:
    """Return the addresses, DOIs and arXiv numbers of a text that cannot be right."""
    found = []
    for one in ADDRESS.findall(text):
        address = one.rstrip(".,;:*_")
        parts = urlsplit(address)
        host = re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc)
        if not address.startswith(UNENCRYPTED) and "{" not in address and not (parts.scheme == "https" and host):
            found.append(address)
    found += [one for one in DOI.findall(text) if not re.match(r"10\.\d{4,9}/[\w(]", one)]
    return found + [one for one in ARXIV.findall(text) if not re.match(r"\d{4}\.\d{4,5}(v\d+)?\b|[a-z-]+/\d{7}", one)]


@pytest.mark.parametrize("name", pages())
def test_relative_links_lead_somewhere(name):
    assert broken(*pages()[name]) == []


@pytest.mark.parametrize("name", [*pages(), "the package", "the tests"])
def test_addresses_are_well_formed_and_encrypted(name):
    if name in ("the package", "the tests"):
        folder = "asteroid_nb" if name == "the package" else "tests"
        texts = {str(path): path.read_text(encoding="utf-8") for path in tracked(f"{folder}/**.py", f"{folder}/**.js")}
        texts.pop(str(Path(__file__)), None)
    else:
        texts = {name: pages()[name][1]}
    assert {where: found for where, text in texts.items() if (found := ill_formed(text))} == {}


def test_a_module_that_a_docstring_or_page_names_exists():
    named = re.compile(r"`(asteroid_nb/[\w./]+)`|``?(?:~)?(asteroid_nb\.[a-z_]+(?:\.[a-z_]+)*)(?:\.[A-Za-z_]+)?``?")
    for path in tracked("*.md", "asteroid_nb/**.py", "*.ipynb"):
        for in_folder, dotted in named.findall(path.read_text(encoding="utf-8")):
            there = in_folder or dotted.replace(".", "/")
            exists = (ROOT / there).exists() or (ROOT / f"{there}.py").exists()
            # A name of a module: the module before it.
            parent = ROOT / Path(there).parent
            named_in_it = parent.with_suffix(".py").exists() or (parent / "__init__.py").exists()
            word = re.compile(rf"\b{Path(there).name}\b")
            sources = [parent.with_suffix(".py"), parent / "__init__.py"]
            inside = any(source.exists() and word.search(source.read_text(encoding="utf-8")) for source in sources)
            assert exists or (named_in_it and inside), f"{path.relative_to(ROOT)} names {there}, which there is not"


@pytest.mark.parametrize(
    "text, found",
    [
        ("[a](gone.md)", ["gone.md"]),
        ("[a](README.md) [b](README.md#two-commands) ![c](notebooks/picture.png)", []),
        ("[a](README.md#three-commands)", ["README.md#three-commands"]),
        ("[![badge](gone.svg)](README.md)", ["gone.svg"]),
        ("`[a](gone.md)` is code", []),
        ("[out](../../elsewhere.md)", ["../../elsewhere.md"]),
        ("[there](https://example.org/x)", []),
    ],
)
def test_a_broken_link_is_found(text, found):
    assert broken(ROOT / "README.md", text) == found


@pytest.mark.parametrize(
    "text, found",
    [
        ("see https://example.org/a_(b) and https://example.org.", []),
        ("http://example.org/a", ["http://example.org/a"]),
        ("https:/example.org", ["https:/example.org"]),
        ("https://example", ["https://example"]),
        ("doi:10.1021/jp037421y, arXiv:2606.17668", []),
        ("doi:1021/jp037421y", ["1021/jp037421y"]),
        ("arXiv:26.1", ["26.1"]),
    ],
)
def test_an_ill_formed_address_is_found(text, found):
    assert ill_formed(text) == found


def badges(notebook: str) -> dict[str, str]:
    """Return the addresses under which Binder and Colab open a notebook of ours."""
    owner = urlsplit(HOME).path.strip("/")
    return {
        "Binder": f"https://mybinder.org/v2/gh/{owner}/HEAD?labpath=notebooks%2F{notebook}",
        "Colab": f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{notebook}",
    }


def test_the_address_of_the_repository_is_one_of_github():
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", HOME)


@pytest.mark.parametrize("name", [name for name in pages() if name.endswith(".ipynb")])
def test_the_first_cell_of_a_notebook_opens_it_on_binder_and_colab(name):
    notebook = json.loads((ROOT / name).read_text(encoding="utf-8"))
    first = "".join(notebook["cells"][0]["source"])
    for place, address in badges(Path(name).name).items():
        assert f"[{place}]({address})" in first, f"{name}: its first cell has no link to {address}; run make badges"


def test_the_readme_has_badges_for_binder_and_colab():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for address in badges("00_contents.ipynb").values():
        assert re.search(rf"\[!\[[^\]]+\]\(https://[^)]+\)\]\({re.escape(address)}\)", readme), address


def test_make_badges_leads_links_home_and_adds_them_where_there_are_none(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("badges", ROOT / ".ci" / "badges.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for path in tracked("notebooks/*.ipynb"):
        assert tool.with_links(path) == path.read_text(encoding="utf-8")
    fresh = tmp_path / "99_new.ipynb"
    fresh.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Why?\n", "\n", "So."]}]}))
    monkeypatch.setattr(tool, "HOME", "https://github.com/someone/elsewhere")
    [cell] = json.loads(tool.with_links(fresh))["cells"]
    assert "".join(cell["source"]).startswith("# Why?\n\nSo.\n\nRun it on [Binder](https://mybinder.org/v2/gh/someone/")
    assert "github/someone/elsewhere/blob/main/notebooks/99_new.ipynb" in cell["source"][-1]


@pytest.mark.parametrize("name", pages())
def test_whatever_a_page_says_to_make_can_be_made(name):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    _, text = pages()[name]
    code = re.findall(r"`make ([a-z ]+)`", text) + re.findall(r"^make ([a-z ]+?)(?:\s+#|$)", text, flags=re.M)
    assert {target for line in code for target in line.split()} <= targets
