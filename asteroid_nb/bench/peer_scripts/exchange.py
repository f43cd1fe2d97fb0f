"""The exchange folder, from the side of a peer; needs NumPy alone, and nothing of asteroid_nb."""

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


class Exchange:
    """The folder named on the command line: task, windows, and where answers go."""

    def __init__(self):
        self.folder = Path(sys.argv[1])
        self.task = json.loads((self.folder / "task.json").read_text(encoding="utf-8"))
        self.present = self.task["history"] - 1

    def windows(self, name):
        """Return [windows, frames, atoms, 3] positions in Å and velocities in Å/fs; of the test the history alone."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as file:
            return file["positions"], file["velocities"]

    def seconds_left(self):
        """Return what is left of the processor time allowed for imports, preparation and training.

        Processor time is wall-clock on a core of one's own, and does not depend on what else a machine does.
        """
        return self.task["seconds"] - time.process_time()

    def trained(self, *, n_parameters, packages, about):
        """Say that training ended, with what and after how long."""
        versions = {name: importlib.metadata.version(name) for name in packages}
        self._put("report.json", lambda path: path.write_text(
            json.dumps({
                "n_parameters": n_parameters, "core_seconds": time.process_time(), "versions": versions, "about": about,
            }), encoding="utf-8"
        ))  # fmt: skip

    def answer(self, positions):
        """Write [windows, horizon, atoms, 3] forecasts in Å, in the order of the test."""
        self._put("forecast.npz", lambda path: np.savez(path, positions=np.asarray(positions, dtype=np.float32)))

    def _put(self, name, write):
        temporary = self.folder / f".unfinished-{name}"
        write(temporary)
        os.replace(temporary, self.folder / name)
