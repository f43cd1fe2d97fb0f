"""The training view, in JupyterLab and Chromium."""

from __future__ import annotations

import pytest
from browser.lab import open_notebook, write_notebook

pytestmark = pytest.mark.browser

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
