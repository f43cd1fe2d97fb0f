"""Figure C4: errors of the equilibrium model beside its explicit twins, and beside rivals that learn nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from asteroid_nb.bench.arms import DEQ, EXPLICIT, MATCHED, MODELS
from asteroid_nb.bench.setting import Setting
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.views.force_errors import force_errors

MEV_PER_EV = 1000.0

#: The target of ethanol, and what is aimed at, in meV/Å.
MOST_FORCE_MAE, AIMED_AT = 10.0, 5.0

#: A training whose validation error still fell by more over its last tenth is not finished.
CONVERGED = 0.05


def figure_c4(setting: Setting) -> Finding:
    """Return errors on the test of every model, mean and spread over seeds."""
    by_model = {model: [one for one in setting.records((model,)) if "failed" not in one] for model in MODELS}
    errors = {model: _column(records, "force_meV_per_ang") for model, records in by_model.items()}
    means = {model: float(np.mean(values)) if values.size else float("nan") for model, values in errors.items()}
    rows = [
        (
            model, f"{records[0]['n_parameters']:,}" if records else "–", spread(errors[model], 2),
            spread(_column(records, "energy_meV"), 2), spread([one["validation"] for one in records], 2),
            f"{100 * max((one['late_gain'] for one in records), default=float('nan')):.1f}",
            f"{np.mean([one['seconds'] for one in records]) / 60:.0f}" if records else "–",
        )
        for model, records in by_model.items()
    ]  # fmt: skip
    return Finding(
        key="C4",
        title=f"How accurate is it beside its explicit twins? {setting.source.name}",
        head=(
            *("model", "weights", "force MAE, meV/Å", "energy MAE, meV", "validation force MAE, meV/Å"),
            *("gain of the last tenth of epochs, %", "CPU minutes"),
        ),
        rows=[*rows, *_rivals(setting)],
        rules=_rules(setting, means, by_model),
        drawings={"force-errors": _drawing(by_model)},
        note=_note(setting, by_model),
    )


def _column(records: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([one["test"][name] for one in records], dtype=float)


def _rules(setting: Setting, means: dict[str, float], by_model: dict[str, list[dict[str, Any]]]) -> list[Rule]:
    deq, strict = means[DEQ], setting.size.strict
    told = f"{deq:.2f} against {means['K = 1']:.2f} meV/Å"
    late = max((one["late_gain"] for records in by_model.values() for one in records), default=float("nan"))
    rules = [
        Rule(asked="better than K = 1", measured=told, holds=deq < means["K = 1"]),
        Rule(
            asked="at most 1.1 × K = 4",
            measured=f"{deq / means['K = 4']:.2f} ×",
            holds=deq <= 1.1 * means["K = 4"] if strict else None,
        ),
        Rule(asked="against as many weights in four blocks", measured=f"{deq / means[MATCHED]:.2f} ×", holds=None),
        Rule(asked="the explicit depth that is as accurate", measured=_as_accurate(means), holds=None),
        Rule(
            asked=f"all converged: the last tenth of epochs gains at most {100 * CONVERGED:g} %",
            measured=f"{100 * late:.1f} %",
            holds=late <= CONVERGED if strict else None,
        ),
    ]
    if "ethanol" in setting.source.name and strict:
        rules.append(
            Rule(
                asked=f"force MAE of ethanol at most {MOST_FORCE_MAE:g} meV/Å, aiming at {AIMED_AT:g}",
                measured=f"{deq:.2f} meV/Å",
                holds=deq <= MOST_FORCE_MAE,
            )
        )
    return rules


def _as_accurate(means: dict[str, float]) -> str:
    fits = [name for name in EXPLICIT if means[name] <= means[DEQ]]
    return f"{fits[0]} ({means[fits[0]]:.2f} meV/Å)" if fits else "none of them"


def _rivals(setting: Setting) -> list[tuple[Any, ...]]:
    """Return what no force and the mean energy would score: the size of what is predicted."""
    test, train = Frames.of([setting.parts.test]), Frames.of(list(setting.parts.train))
    force = MEV_PER_EV * float(np.abs(test.forces[test.atomic_numbers > 0]).mean())
    energy = MEV_PER_EV * float(np.abs(test.energies - train.energies.mean()).mean())
    return [("no force, mean energy", "0", f"{force:.0f}", f"{energy:.0f}", "–", "–", "0")]


def _drawing(by_model: dict[str, list[dict[str, Any]]]) -> Any:
    known = {model: records for model, records in by_model.items() if records}
    return force_errors(
        {model: _column(records, "force_meV_per_ang") for model, records in known.items()},
        notes={model: f"{records[0]['n_parameters']:,} weights" for model, records in known.items()},
        target_meV_per_ang=MOST_FORCE_MAE,
    )


def _note(setting: Setting, by_model: dict[str, list[dict[str, Any]]]) -> str:
    size = setting.size
    n_seeds = {len(records) for records in by_model.values()}
    caveat = ""
    if len(setting.parts.train) == 1:
        one = setting.parts.train[0]
        caveat = (
            f" All of it is {one.duration_fs / 700:.1f} ps of one run: the test is near in time to what was learnt."
        )
    return (
        f"{size.n_frames} frames, {size.n_epochs} epochs, epoch chosen on validation, {min(n_seeds)} to {max(n_seeds)} "
        f"seeds; mean ± standard deviation over seeds.{caveat}"
    )
