"""The attention explorer and the training view, in JupyterLab and Chromium."""

from __future__ import annotations

import pytest
from browser.lab import open_notebook, run_notebook, write_notebook

pytestmark = pytest.mark.browser

ATTENTION = """
import numpy as np
from asteroid_nb.widgets.attention import attention_explorer
rng = np.random.default_rng(0)
records = {f"encoder.{layer}.local": rng.dirichlet(np.ones(9), (16, 4, 9)) for layer in range(2)}
explorer = attention_explorer(records)
explorer
"""

TRAINING = """
import time
from asteroid_nb.widgets.progress import TrainingView
view = TrainingView("Training the model")
view.start(total_epochs=400)
for epoch in range(1, 401):
    view.update({"epoch": epoch, "train_loss": 1 / epoch, "validation_loss": 2 / epoch, "seconds_left": 9})
    time.sleep(0.1)
    if view.stopped:
        break
view.finish(f"Stopped after {epoch} epochs.")
"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_attention_explorer_follows_its_controls(page, lab, tmp_path, theme):
    notebook = run_notebook(page, lab, write_notebook(tmp_path / "attention.ipynb", [ATTENTION]))
    notebook.theme(f"JupyterLab {theme}")
    title = page.locator(".gtitle")
    assert "layer 0, mean over heads" in (title.text_content() or "")
    page.locator(".jp-OutputArea-output select").nth(1).select_option("1")
    page.locator(".jp-OutputArea-output select").nth(2).select_option("3")
    notebook.settle(lambda: "layer 1, head 3" in (title.text_content() or ""))
    assert notebook.ask("explorer.record") == "encoder.1.local"
    notebook.screenshot(f"attention-{theme}")
    assert notebook.complaints == [] == notebook.cell_errors()


def test_stop_ends_a_training_that_runs(page, lab, tmp_path):
    notebook = open_notebook(page, lab, write_notebook(tmp_path / "training.ipynb", [TRAINING]))
    notebook.start_all()
    curve = page.locator(".scatterlayer .trace")
    notebook.settle(lambda: curve.count() == 2, 60)
    page.wait_for_timeout(2000)
    notebook.screenshot("training")
    page.locator(".jp-OutputArea-output button", has_text="Stop").click()
    notebook.wait("window.__ran", 20)
    assert notebook.ask("view.stopped") is True and 5 < notebook.ask("epoch") < 400
    assert notebook.complaints == [] == notebook.cell_errors()
