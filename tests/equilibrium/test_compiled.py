"""Compiled maps give what the model's own maps give, and refuse what they cannot repeat."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asteroid_nb.equilibrium.compiled import CompiledMaps
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.graph import graph
from asteroid_nb.equilibrium.settings import ForceFieldSettings
from asteroid_nb.errors import InvalidSettings

#: In a process of its own: the tests' checks of shapes and torch.compile do not go together.
COMPARE = """
import json, torch
import asteroid_nb as anb
from asteroid_nb.equilibrium.dynamics import WarmForces
from asteroid_nb.equilibrium.force_field import ForceField
from asteroid_nb.equilibrium.settings import ForceFieldSettings
torch.manual_seed(0)
walker = anb.sample("ethanol")[0]
run = anb.ForceFieldRun(ForceField(ForceFieldSettings(width=8)), {1: 0.0, 6: 0.0, 8: 0.0})
both = [WarmForces(run, compiled=flag) for flag in (False, True)]
apart = 0.0
for frame in range(3):
    at = walker.positions[frame : frame + 1].astype(float)
    (energy, forces), (same_energy, same_forces) = (one(at, walker.atomic_numbers[None]) for one in both)
    apart = max(apart, abs(energy - same_energy).max(), abs(forces - same_forces).max())
steps = [[(call.steps, call.adjoint_steps) for call in one.history] for one in both]
print(json.dumps({"apart": float(apart), "size": float(abs(forces).max()), "alike": steps[0] == steps[1]}))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_forces_are_the_same():
    root = Path(__file__).parents[2]
    outcome = subprocess.run([sys.executable, "-c", COMPARE], cwd=root, capture_output=True, text=True, timeout=600)
    assert outcome.returncode == 0, outcome.stderr
    told = json.loads(outcome.stdout.splitlines()[-1])
    assert told["apart"] < 1e-9 < 1e-4 < told["size"] and told["alike"]


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, when it loads its compiler
def test_a_stack_of_blocks_and_a_neighbour_list_are_refused():
    with pytest.raises(InvalidSettings, match="4 blocks repeats nothing"):
        CompiledMaps(ForceField(ForceFieldSettings(width=8, depth=4)))
    model = ForceField(ForceFieldSettings(width=8))
    places, numbers = torch.tensor([[[0.0, 0, 0], [0, 0, 1.1]]]), torch.tensor([[6, 1]])
    listed = model.prepare(graph(places, numbers, cutoff_ang=5.0, dense=False))
    with pytest.raises(InvalidSettings, match="neighbour list"):
        CompiledMaps(model).f(model.start(listed), listed)
