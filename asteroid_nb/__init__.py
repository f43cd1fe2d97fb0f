"""A notebook-first bench for learned molecular dynamics: ``import asteroid_nb as anb``.

Train a forecaster, watch its trajectory beside the reference, and see where, when and why it goes wrong. The verbs
below are loaded when first used, so that importing does no work and needs neither torch nor a viewer.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Each verb and the module, below this package, that defines it.
_VERBS = {
    "Trajectory": "data.trajectory",
    "StateTrajectory": "data.trajectory",
    "load": "data.readers",
    "save": "data.readers",
    "convert": "data.conversion",
    "sample": "data.catalogue",
    "download": "data.catalogue",
    "check": "metrics.first_look",
    "split": "data.splits",
    "oscillator": "data.springs",
    "simulate": "data.simulate",
    "simulate_openmm": "data.openmm_engine",
    "train": "forecast.training",
    "Run": "forecast.run",
    "Runs": "forecast.runs",
    "Ensemble": "forecast.ensemble",
    "train_ensemble": "forecast.ensemble",
    "predict": "forecast.rollout",
    "Thermostat": "forecast.thermostat",
    "attention": "forecast.rollout",
    "rivals": "forecast.baselines",
    "evaluate": "evaluation",
    "rollout_quality": "rolling",
    "Coordinates": "data.coordinates",
    "backbone_torsions": "data.backbone",
    "load_torsions": "data.torsion_files",
    "train_language": "states.training",
    "LanguageRun": "states.run",
    "MarkovChain": "states.markov",
    "implied_timescales": "states.timescales",
    "passage_times": "states.passage",
    "remove_recrossings": "states.recrossing",
    "four_wells": "states.landscapes",
    "prinz": "states.landscapes",
    "train_force_field": "equilibrium.training",
    "ForceFieldRun": "equilibrium.run",
    "Committee": "equilibrium.committee",
    "pretrained": "equilibrium.pretrained",
    "calculator": "equilibrium.dynamics",
    "run_md": "equilibrium.md",
    "compare": "widgets.compare",
    "explore": "one_door",
    "explore_attention": "widgets.attention_door",
    "explore_delay": "widgets.delay",
    "explore_errors": "widgets.error_explorer",
    "explore_solver": "widgets.solver_explorer",
    "explore_states": "widgets.state_explorer",
    "explore_structure": "widgets.structure",
    "report": "reporting.report",
    "doctor": "health.diagnosis",
    "TrainingView": "widgets.progress",
    "error_over_horizon": "views.horizon",
    "error_heatmap": "views.worst_windows",
    "per_atom_bars": "views.per_atom",
    "attention_map": "views.attention",
}

if TYPE_CHECKING:  # the same, for editors and the type checker; a test holds the two together
    from asteroid_nb.data.backbone import backbone_torsions
    from asteroid_nb.data.catalogue import download, sample
    from asteroid_nb.data.conversion import convert
    from asteroid_nb.data.coordinates import Coordinates
    from asteroid_nb.data.openmm_engine import simulate_openmm
    from asteroid_nb.data.readers import load, save
    from asteroid_nb.data.simulate import simulate
    from asteroid_nb.data.splits import split
    from asteroid_nb.data.springs import oscillator
    from asteroid_nb.data.torsion_files import load_torsions
    from asteroid_nb.data.trajectory import StateTrajectory, Trajectory
    from asteroid_nb.equilibrium.committee import Committee
    from asteroid_nb.equilibrium.dynamics import calculator
    from asteroid_nb.equilibrium.md import run_md
    from asteroid_nb.equilibrium.pretrained import pretrained
    from asteroid_nb.equilibrium.run import ForceFieldRun
    from asteroid_nb.equilibrium.training import train_force_field
    from asteroid_nb.evaluation import evaluate
    from asteroid_nb.forecast.baselines import rivals
    from asteroid_nb.forecast.ensemble import Ensemble, train_ensemble
    from asteroid_nb.forecast.rollout import attention, predict
    from asteroid_nb.forecast.run import Run
    from asteroid_nb.forecast.runs import Runs
    from asteroid_nb.forecast.thermostat import Thermostat
    from asteroid_nb.forecast.training import train
    from asteroid_nb.health.diagnosis import doctor
    from asteroid_nb.metrics.first_look import check
    from asteroid_nb.one_door import explore
    from asteroid_nb.reporting.report import report
    from asteroid_nb.rolling import rollout_quality
    from asteroid_nb.states.landscapes import four_wells, prinz
    from asteroid_nb.states.markov import MarkovChain
    from asteroid_nb.states.passage import passage_times
    from asteroid_nb.states.recrossing import remove_recrossings
    from asteroid_nb.states.run import LanguageRun
    from asteroid_nb.states.timescales import implied_timescales
    from asteroid_nb.states.training import train_language
    from asteroid_nb.views.attention import attention_map
    from asteroid_nb.views.horizon import error_over_horizon
    from asteroid_nb.views.per_atom import per_atom_bars
    from asteroid_nb.views.worst_windows import error_heatmap
    from asteroid_nb.widgets.attention_door import explore_attention
    from asteroid_nb.widgets.compare import compare
    from asteroid_nb.widgets.delay import explore_delay
    from asteroid_nb.widgets.error_explorer import explore_errors
    from asteroid_nb.widgets.progress import TrainingView
    from asteroid_nb.widgets.solver_explorer import explore_solver
    from asteroid_nb.widgets.state_explorer import explore_states
    from asteroid_nb.widgets.structure import explore_structure

__all__ = [
    "Committee",
    "Coordinates",
    "Ensemble",
    "ForceFieldRun",
    "LanguageRun",
    "MarkovChain",
    "Run",
    "Runs",
    "StateTrajectory",
    "Thermostat",
    "TrainingView",
    "Trajectory",
    "attention",
    "attention_map",
    "backbone_torsions",
    "calculator",
    "check",
    "compare",
    "convert",
    "doctor",
    "download",
    "error_heatmap",
    "error_over_horizon",
    "evaluate",
    "explore",
    "explore_attention",
    "explore_delay",
    "explore_errors",
    "explore_solver",
    "explore_states",
    "explore_structure",
    "four_wells",
    "implied_timescales",
    "load",
    "load_torsions",
    "oscillator",
    "passage_times",
    "per_atom_bars",
    "predict",
    "pretrained",
    "prinz",
    "remove_recrossings",
    "report",
    "rivals",
    "rollout_quality",
    "run_md",
    "sample",
    "save",
    "simulate",
    "simulate_openmm",
    "split",
    "train",
    "train_ensemble",
    "train_force_field",
    "train_language",
]


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    verb = getattr(import_module(f"{__name__}.{_VERBS[name]}"), name)
    globals()[name] = verb
    return verb


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
