"""The API reference: it builds without a warning, and what it says of every verb agrees with the code."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.util
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import asteroid_nb as anb
from asteroid_nb import errors

ROOT = Path(__file__).parents[1]
VERBS = sorted(anb.__all__)

#: What the name of a number with a fraction ends in, and the numbers that have no unit.
UNITS = ("_fs", "_ps", "_ang", "_K", "_eV", "_amu", "_per_fs", "_s", "_px", "_percent")
WITHOUT_UNIT = {"largest", "level", "kept_loss"}  # an attention weight, a share of samples, a loss


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    if importlib.util.find_spec("pdoc") is None:
        pytest.skip("NOT INSTALLED: pdoc, so the API reference was not built: pip install 'asteroid-nb[dev]'")
    out = tmp_path_factory.mktemp("reference")
    command = [sys.executable, "-W", "error", ".ci/reference.py", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    assert not built.stderr, built.stderr
    return out


@pytest.mark.slow
def test_the_reference_builds_without_a_warning_and_shows_every_verb(reference):
    page = (reference / "asteroid_nb.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<section id="([A-Za-z_]+)">', page))
    assert set(VERBS) <= shown
    for verb in VERBS:
        section = page.split(f'<section id="{verb}">')[1].split("</section>")[0]
        assert '<div class="docstring">' in section, f"{verb} is shown without a word"


@pytest.mark.slow
def test_every_module_a_verb_is_defined_in_has_a_page_unless_it_is_an_end_of_the_house(reference):
    defined = {getattr(anb, verb).__module__ for verb in VERBS}
    paged = {str(page.relative_to(reference).with_suffix("")).replace("/", ".") for page in reference.rglob("*.html")}
    assert {name for name in defined - paged if name.split(".")[1] not in ("reporting", "health")} == set()


@functools.cache
def sections(verb: str) -> dict[str, str]:
    """Return a docstring by its headings; what stands before the first is "" ."""
    text = inspect.getdoc(getattr(anb, verb)) or ""
    parts = re.split(r"^(Args|Raises|Reference|Returns):\n", text, flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(verb: str) -> dict[str, str]:
    """Return what Args says of each parameter."""
    found = re.findall(r"^    (\w+): ((?:.+\n?)(?:^        .+\n?)*)", sections(verb).get("Args", ""), flags=re.M)
    return dict(found)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_in_a_sentence_what_it_does(verb):
    first = sections(verb)[""].strip().split("\n\n")[0]
    assert len(first.split()) >= 3 and re.search(r"[.:…]( |$)", first), f"{verb}: {first!r}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_describes_no_parameter_that_is_gone(verb):
    assert set(described(verb)) <= set(inspect.signature(getattr(anb, verb)).parameters)


@pytest.mark.parametrize("verb", VERBS)
def test_arrays_say_their_shape_and_numbers_their_unit(verb):
    for name, parameter in inspect.signature(getattr(anb, verb)).parameters.items():
        annotation = str(parameter.annotation)
        if re.search("ndarray|Tensor", annotation) and "Callable" not in annotation:
            shaped = re.search(r"(Float|Int|Bool)\[", annotation) or "[" in described(verb).get(name, "")
            indices = "Sequence[int]" in annotation
            assert shaped or indices, f"{verb}({name}): neither its type nor Args says a shape"
        if re.match(r"float\b", annotation):
            assert name.endswith(UNITS) or name in WITHOUT_UNIT, f"{verb}({name}): a number without a unit"


def raised(verb: str) -> set[str]:
    """Return the names of the errors that a verb's own lines raise, those of its helpers left out."""
    tree: ast.AST = ast.parse(textwrap.dedent(inspect.getsource(getattr(anb, verb))))
    if inspect.isclass(getattr(anb, verb)):
        makers = [node for node in ast.walk(tree) if getattr(node, "name", "") in ("__init__", "__post_init__")]
        tree = ast.Module([*makers], [])
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_names_the_errors_it_raises_and_no_others_exist(verb):
    said = set(re.findall(r"\b[A-Z]\w+(?=[,.:])", re.sub(r":.*", ":", sections(verb).get("Raises", ""))))
    assert raised(verb) <= said, f"{verb} raises {sorted(raised(verb) - said)} and does not say so"
    for name in said:
        assert hasattr(errors, name) or hasattr(builtins, name), f"{verb} speaks of an error {name}, which there is not"
