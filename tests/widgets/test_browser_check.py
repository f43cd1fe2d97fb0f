"""The line about WebGL: it knows nothing before a browser answered, then what the browser said."""

from __future__ import annotations

from asteroid_nb.widgets import parts
from asteroid_nb.widgets.browser_check import BrowserCheck, browser_check


def test_it_knows_nothing_before_a_browser_has_answered():
    check = BrowserCheck()
    assert (check.webgl, check.renderer, check.problem) == (None, "", "")


def test_the_browser_s_answer_can_be_read():
    check = BrowserCheck()
    check.set_state({"webgl": 2, "renderer": "SwiftShader", "problem": ""})
    assert (check.webgl, check.renderer) == (2, "SwiftShader")
    check.set_state({"webgl": 0, "renderer": "", "problem": "disabled"})
    assert (check.webgl, check.problem) == (0, "disabled")


def test_its_state_is_small_and_its_text_is_never_read_as_html():
    program = str(BrowserCheck()._esm)
    assert len(program) < 5000
    assert "textContent" in program and "innerHTML" not in program


def test_running_the_cell_again_closes_the_former_line(monkeypatch):
    run = {"count": 1}
    monkeypatch.setattr(parts, "_cell", lambda: ("cell of this test", run["count"]))
    first = browser_check()
    run["count"] = 2
    second = browser_check()
    assert first.comm is None and second.comm is not None
