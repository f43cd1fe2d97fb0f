"""One arm of an experiment: make states, train one model on them, let it make chains, and judge these like the data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asteroid_nb import __version__
from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch, TrainingDiverged
from asteroid_nb.files import replacing
from asteroid_nb.finding import plain
from asteroid_nb.states.kinetics import Timescales, implied_timescales, passage_times, populations
from asteroid_nb.states.language import matched, n_parameters
from asteroid_nb.states.markov import MarkovChain
from asteroid_nb.states.sampling import StateModel
from asteroid_nb.states.settings import LANGUAGE_FIT, LanguageSettings, LSTMSettings, TransformerSettings
from asteroid_nb.states.training import train_language

#: Frames a model looks at in training: small data are shown more often, though never more than so many times.
TRAINED_FRAMES, MOST_EPOCHS = 6_000_000, 60

#: Chains of a model; their first frames, as many as its context, are let go.
N_CHAINS, CHAIN_FRAMES = 256, 10_000

#: Samples of every bootstrap, which only few states get, like passage times.
N_SAMPLES, FEW_STATES = 100, 10

MODELS = ("LSTM", "Transformer")


class Prepared(NamedTuple):
    """States to learn from, and how to look at what is made of them.

    Args:
        train: replicas.
        held_out: another one, which chooses the epoch.
        judged: chains of a model, or the replicas themselves, to the states that are compared.
    """

    train: list[StateTrajectory]
    held_out: StateTrajectory
    judged: Callable[[Sequence[StateTrajectory]], list[StateTrajectory]]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is trained on what.

    Args:
        states: the name of a choice of states.
        model: LSTM or Transformer.
        seed: of the data, the weights and the chains.
        lags_frames: at which timescales are taken.
        options: of the choice of states, as sorted pairs.
        made_with: a word that differs where anything else differs that the result depends on, such as the data.
    """

    states: str
    model: str
    seed: int
    lags_frames: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
    options: tuple[tuple[str, Any], ...] = ()
    made_with: str = ""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InvalidSettings(f"No model is called {self.model!r}; there are {' and '.join(MODELS)}.")

    def option(self, name: str, default: Any = None) -> Any:
        return dict(self.options).get(name, default)

    def path(self, folder: Path) -> Path:
        """Return where its record is kept; other settings have another name."""
        effort = (TRAINED_FRAMES, MOST_EPOCHS, N_CHAINS, CHAIN_FRAMES, N_SAMPLES, LANGUAGE_FIT, *map(_settings, MODELS))
        said = repr(dataclasses.astuple(self)) + repr(effort)
        plain = "".join(letter if letter.isalnum() else "-" for letter in f"{self.states}-{self.model}")
        short = hashlib.sha256((said + __version__).encode()).hexdigest()[:8]
        return folder / "arms" / f"{plain}-seed{self.seed}-{short}.json"


def run_arm(folder: Path, arm: Arm, prepare: Callable[[Arm], Prepared]) -> None:
    """Train, sample, judge, and keep the record; where that cannot be done, the reason."""
    try:
        record = _record(arm, prepare)
    except (InvalidTrajectory, InvalidSettings, ModelMismatch, TrainingDiverged) as error:
        record = {**dataclasses.asdict(arm), "failed": f"{type(error).__name__}: {error}"}
    with replacing(arm.path(folder)) as temporary:
        temporary.write_text(json.dumps(plain(record), indent=1), encoding="utf-8")


def _record(arm: Arm, prepare: Callable[[Arm], Prepared]) -> dict[str, Any]:
    began = time.process_time()
    prepared = prepare(arm)
    settings = _settings(arm.model, prepared.train[0].n_states)
    n_frames = sum(one.n_frames for one in prepared.train)
    n_epochs = int(np.clip(round(TRAINED_FRAMES / n_frames), 1, MOST_EPOCHS))
    made = time.process_time()
    run = train_language(
        prepared.train, validation=prepared.held_out, settings=settings, observers=(), seed=arm.seed, n_epochs=n_epochs
    )
    trained = time.process_time()
    return {
        **dataclasses.asdict(arm),
        "n_states": run.n_states,
        "n_parameters": n_parameters(settings, run.n_states),
        "n_training_frames": n_frames,
        "dt_fs": run.dt_fs,
        "n_epochs": len(run.history),
        "best_epoch": 1 + int(np.argmin([one["validation_loss"] for one in run.history])),
        "validation_loss": min(one["validation_loss"] for one in run.history),
        "model_kinetics": kinetics(lambda: made_by(run, prepared, seed=arm.seed), arm),
        "data_kinetics": kinetics(lambda: prepared.judged([*prepared.train, prepared.held_out]), arm),
        "chain_kinetics": kinetics(lambda: rival(prepared, seed=arm.seed), arm, bands=False),
        "seconds": {"data": made - began, "training": trained - made, "rest": time.process_time() - trained},
    }


def made_by(model: StateModel, prepared: Prepared, *, seed: int) -> list[StateTrajectory]:
    """Return what a model makes, in the states that are compared, without the frames in which it warms up."""
    options = {"n_chains": N_CHAINS, "seed": seed}
    chains = model.trajectories(CHAIN_FRAMES + model.context, **options)
    return prepared.judged([chain[model.context :] for chain in chains])


def rival(prepared: Prepared, *, seed: int) -> list[StateTrajectory]:
    """Return chains of the order-1 Markov chain counted in the same training frames."""
    return made_by(MarkovChain.fit(prepared.train, stay_where_unknown=True), prepared, seed=seed)


def kinetics(make: Callable[[], list[StateTrajectory]], arm: Arm, *, bands: bool = True) -> dict[str, Any]:
    """Return timescales at every lag, passage times and populations of what is made."""
    try:
        return _kinetics(make(), arm, bands=bands)
    except InvalidTrajectory as error:  # nothing ever moves, or no core is entered: a result, and a bad one
        return {"failed": str(error)}


def _kinetics(states: Sequence[StateTrajectory], arm: Arm, *, bands: bool) -> dict[str, Any]:
    few = states[0].n_states <= FEW_STATES
    band: Any = "bootstrap" if bands and few else None
    found = implied_timescales(states, lags_frames=_spanned(states, arm), band=band, n_samples=N_SAMPLES)
    passages = passage_times(states, n_samples=0) if few else None
    return {
        **_timescales(found),
        "populations": populations(states) if few else None,
        "passage_fs": None if passages is None else passages.times_fs,
        "censored": None if passages is None else passages.censored,
        "n_frames": sum(one.n_frames for one in states),
    }


def _spanned(states: Sequence[StateTrajectory], arm: Arm) -> list[int]:
    longest = max(one.n_frames for one in states)
    return [lag for lag in arm.lags_frames if lag < longest // 2]


def _timescales(found: Timescales) -> dict[str, Any]:
    kept = {"lags_frames": found.lags_frames, "timescales_fs": found.timescales_fs}
    return kept | {"low_fs": found.low, "high_fs": found.high, "share_used": found.share_used}


def _settings(model: str, n_states: int = 4) -> LanguageSettings:
    """Return the defaults; the Transformer has as many parameters as the LSTM for these states."""
    if model == "LSTM":
        return LSTMSettings()
    return matched(TransformerSettings(), n_states=n_states, like=LSTMSettings())
