"""A notebook as a page: it holds what was shown, asks for nothing outside, and a failure stops no other page."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from shown_notebook import CELLS, shown_notebook, written

import asteroid_nb as anb
from asteroid_nb.cli import EXIT_INPUT, main
from asteroid_nb.errors import UnreadableFile
from asteroid_nb.gallery import browser, build
from asteroid_nb.gallery.executing import NotebookFailed, cost, executed
from asteroid_nb.gallery.index import Card, index_page
from asteroid_nb.gallery.notebook import notebook_page
from asteroid_nb.gallery.views import STATE, Views


@pytest.fixture(scope="module")
def page():
    return notebook_page(shown_notebook(), "small.ipynb", beside=["00_contents.ipynb"])


def held(text: str, name: str) -> bytes:
    found = re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', text)
    assert found, f"the page holds no {name}"
    return gzip.decompress(base64.b64decode(found[1]))


def outside(text: str) -> str:
    """Return the page without what it holds packed."""
    return re.sub(r'<script type="text/plain".*?</script>', "", text, flags=re.DOTALL)


def views_of(page) -> dict:
    return json.loads(held(page.text, "anb-views"))


def models(page, kind: str) -> dict[str, dict]:
    return {name: model for name, model in views_of(page)["models"].items() if model["kind"] == kind}


def test_the_page_asks_for_nothing_and_needs_no_manager_of_widgets(page):
    text = outside(page.text)
    assert not re.search(r"<(script|iframe|img|embed|object)\b[^>]*\bsrc=[\"']?(https?:)?//", text)
    assert not re.search(r"<link\b(?![^>]*href=\"data:)", text)
    assert not re.search(r"@import|url\(\s*[\"']?https?:", text)
    assert "application/vnd.jupyter" not in text and "require(" not in text
    assert "default-src 'none'" in text


def test_libraries_are_there_once_and_only_where_something_is_drawn(page):
    assert page.text.count('id="anb-plotly"') == page.text.count('id="anb-nglview"') == 1
    assert b"plotly" in held(page.text, "anb-plotly")[:2000]
    bare = copy.deepcopy(shown_notebook())
    bare.cells = bare.cells[:2]
    plain = notebook_page(bare, "plain.ipynb")
    assert (plain.n_molecules, plain.n_figures) == (0, 0)
    assert re.findall(r'type="text/plain" id="(.*?)"', plain.text) == ["anb-views"]
    assert len(plain.text) < 100_000


def test_text_code_and_print_stand_in_it(page):
    assert page.title == "Does it <move>?" and "<title>Does it &lt;move&gt;?</title>" in page.text
    assert "1 &lt; 2 &amp; &lt;b&gt;text&lt;/b&gt;" in page.text
    assert "$x^2$" in page.text
    seconds, most_mb = cost(shown_notebook())
    assert f"run in {seconds:.0f} s, at most {most_mb:.0f} MB" in page.text
    assert most_mb > 20


def test_links_lead_to_pages_where_there_are_some(page):
    assert 'href="00_contents.html"' in page.text
    assert 'href="other.ipynb#part"' in page.text
    both = notebook_page(shown_notebook(), "small.ipynb", beside=["00_contents.ipynb", "other.ipynb"])
    assert 'href="other.html#part"' in both.text


def test_the_molecules_of_the_notebook_are_in_the_page(page):
    scenes = models(page, "NGLModel")
    assert len(scenes) == page.n_molecules == 2
    walkers = {name: walker[:40] for name, walker in zip(["one", "two"], anb.sample("ethanol"), strict=False)}
    for scene in scenes.values():
        positions = np.frombuffer(base64.b64decode(scene["buffers"]["anb_positions"]), "<f4")
        expected = walkers[scene["state"]["anb_scene"]["title"]].positions
        np.testing.assert_array_equal(positions.reshape(expected.shape), expected.astype("<f4"))
        assert scene["state"]["frame"] == 15 and not any(key.startswith("_ngl") for key in scene["state"])


def test_figures_are_in_the_page_and_their_library_is_not_a_widget(page):
    [figure] = views_of(page)["figures"]
    assert json.loads(figure)["data"][0]["type"] == "scatter"
    assert page.n_figures == 1
    assert all("library" not in model["state"] for model in views_of(page)["models"].values())


def test_links_of_the_browser_are_kept_unless_an_end_is_gone(page):
    links = views_of(page)["links"]
    named = {(trait, views_of(page)["models"][name]["kind"]) for link in links for name, trait in link["ends"]}
    assert {("frame", "AnyModel"), ("frame", "NGLModel"), ("value", "IntSliderModel")} <= named
    sliders = models(page, "IntSliderModel")
    assert [slider["state"]["description"] for slider in sliders.values()] == ["linked"], "the closed one is not there"
    assert all(name in views_of(page)["models"] for link in links for name, _ in link["ends"])


def test_what_asks_the_kernel_keeps_its_last_state(page):
    [menu] = models(page, "DropdownModel").values()
    assert (menu["state"]["_options_labels"], menu["state"]["index"]) == (["a", "b", "c"], 1)
    [bar] = models(page, "FloatProgressModel").values()
    assert bar["state"]["value"] == 3


def test_scripts_of_many_widgets_are_held_once(page):
    programs = views_of(page)["programs"]
    used = {model["state"]["_esm"] for model in models(page, "AnyModel").values()}
    assert used <= programs.keys() and all("render" in programs[name] for name in used)


def test_a_view_of_a_closed_widget_is_nothing_and_a_script_does_not_run():
    views = Views({})
    assert views.still({"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "x"}) is None
    assert views.still({"application/javascript": "alert(1)", "text/plain": "x"}) == {"text/plain": "x"}


def test_a_model_that_refers_to_itself_is_taken_once():
    state = {"a": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_a", "IPY_MODEL_b"], "deep": {"x": 1}}}}
    views = Views(state)
    views.still({"application/vnd.jupyter.widget-view+json": {"model_id": "a"}})
    assert list(views.models) == ["a"]


def test_the_run_leaves_nothing_beside_the_notebook():
    assert not list(Path.cwd().glob("written-here.npy"))
    assert STATE in shown_notebook().metadata["widgets"]


def test_a_damaged_notebook_is_named(tmp_path):
    (tmp_path / "bad.ipynb").write_text("{")
    with pytest.raises(UnreadableFile, match=r"bad\.ipynb.*Save it again"):
        executed(tmp_path / "bad.ipynb")


@pytest.mark.slow
def test_a_failing_notebook_is_named_and_stops_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(browser, "chromium_path", lambda: None)
    bad = written(tmp_path, "bad.ipynb", ("raise LookupError('not here')",))
    good = written(tmp_path, "good.ipynb", ("import time; print(time.time_ns())",))
    out = tmp_path / "out"
    command = ["gallery", str(bad), str(good), "--no-demo", "--out", str(out)]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "bad.ipynb ended early" in said.err and "LookupError: not here" in said.err
    assert "No pictures" in said.out
    index = (out / "index.html").read_text()
    assert 'href="good.html"' in index and "bad.html" not in index and "no picture" in index
    first = (out / "good.html").read_text()
    assert main([*command, "--resume"]) == 1
    assert (out / "good.html").read_text() == first, "it was not run again"
    written(tmp_path, "good.ipynb", ("import time; print(time.time_ns(), 'changed')",))
    assert main([*command, "--resume"]) == 1
    assert "changed" in (out / "good.html").read_text()


def test_a_cell_that_fails_raises(tmp_path):
    with pytest.raises(NotebookFailed, match=r"bad\.ipynb ended early(.|\n)*ZeroDivisionError"):
        executed(written(tmp_path, "bad.ipynb", ("1 / 0",)))


def test_wrong_input_is_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["gallery", "--no-demo"]) == EXIT_INPUT
    assert "The notebooks are none" in capsys.readouterr().err
    one = written(tmp_path, cells=CELLS[:1])
    assert main(["gallery", str(one), str(one), "--no-demo"]) == EXIT_INPUT
    assert main(["gallery", str(one), "--demo", str(tmp_path / "nowhere")]) == EXIT_INPUT
    assert "There is no" in capsys.readouterr().err


def test_the_demo_is_run_unless_one_is_kept(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(build.subprocess, "run", lambda command, **_: asked.append(command))
    assert build._demo(tmp_path, resume=False) == tmp_path
    (tmp_path / "report.html").write_text("x")
    build._demo(tmp_path, resume=True)
    [command] = asked
    assert command[1:] == ["-m", "asteroid_nb.cli", "demo", "--out", str(tmp_path)]


def test_the_index_shows_each_page_with_its_picture():
    text = index_page([Card("a.html", "<A>?", "told & so", b"png"), Card("b.html", "B", "")])
    assert '<a href="a.html">' in text and "&lt;A&gt;?" in text and "told &amp; so" in text
    assert base64.b64encode(b"png").decode() in text
    assert text.count("no picture") == 1
    assert not re.search(r"https?:", text)
