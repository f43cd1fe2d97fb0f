"""Figure C4: errors of the equilibrium model beside its explicit twins, and beside rivals that learn nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asteroid_nb.bench.arms import DEQ, EXPLICIT, MATCHED, TEST_FRAMES, judging
from asteroid_nb.bench.runs import kept, log_path, weights_digest
from asteroid_nb.bench.setting import Setting
from asteroid_nb.checkpoints import FEWEST_MEMBERS
from asteroid_nb.equilibrium.committee import Committee
from asteroid_nb.equilibrium.frames import Frames
from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.units import FS_PER_PS, MEV_PER_EV
from asteroid_nb.views.force_errors import force_errors

Record = dict[str, Any]

#: The target of ethanol, and what is aimed at, in meV/Å.
MOST_FORCE_MAE, AIMED_AT = 10.0, 5.0

#: The data the target is meant for, and the most frames it may be reached with.
TARGET_DATA, TARGET_FRAMES = ("ethanol", "sGDML"), 950

#: All seeds of the equilibrium model as one force field.
COMMITTEE = f"{DEQ}, mean of all seeds' energies and forces"

#: What is said of frames that are not spread evenly in time.
FARTHEST = {"evenly": "", "farthest": ", of all stored ones those that differ most in shape (no label is looked at)"}


def figure_c4(setting: Setting) -> Finding:
    """Return errors on the test of every model, mean and spread over seeds."""
    by_model = {model: setting.records((model,)) for model in setting.size.models}
    means, longer = _means(by_model), _longer(setting)
    committee = _committee(setting, by_model.get(DEQ, []))
    name = f"{DEQ}, {setting.size.long_epochs} epochs, one seed"
    return Finding(
        key="C4",
        title=f"How accurate is it beside its explicit twins? {setting.source.name}",
        head=(
            *("model", "weights", "force MAE, meV/Å", "energy MAE, meV", "validation force MAE, meV/Å"),
            *("gain of the last tenth of epochs, %", "minutes of training"),
        ),
        rows=[
            *(_row(model, records) for model, records in by_model.items()),
            *([_row(name, longer)] if longer else []),
            *([_row(COMMITTEE, committee)] if committee else []),
            *_rivals(setting),
        ],
        rules=[
            *_rules(means, strict=setting.size.strict),
            *(_target(setting, name, _means({DEQ: longer})[DEQ]) if longer else _target(setting, DEQ, means[DEQ])),
            *(_target(setting, COMMITTEE, _means({DEQ: committee})[DEQ]) if committee else []),
            *reasons(by_model | ({name: longer} if longer else {})),
        ],
        drawings={"force-errors": _drawing(by_model)},
        note=_note(setting, by_model),
    )


def forces_of(setting: Setting) -> dict[str, float] | None:
    """Return each model's mean force MAE in meV/Å where figure C4 has trained them all, otherwise None."""
    found = {model: setting.known_records((model,)) for model in (DEQ, *EXPLICIT)}
    known = {model: records for model, records in found.items() if records}
    return _means(known) if len(known) == len(found) else None


def _means(by_model: Mapping[str, Sequence[Record]]) -> dict[str, float]:
    """Return the mean over all seeds, NaN where the training of one failed."""
    return {model: float(_column(records, "force_meV_per_ang").mean()) for model, records in by_model.items()}


def _row(model: str, records: Sequence[Record]) -> tuple[Any, ...]:
    told = lambda name: np.array([one.get(name) for one in records], dtype=float)  # noqa: E731
    largest = lambda values, form: form.format(np.nanmax(values)) if np.isfinite(values).any() else "–"  # noqa: E731
    minutes = told("seconds") / 60
    known = lambda values: spread(values, 2) if len(values) > 1 or np.isnan(values[0]) else f"{values[0]:.2f}"  # noqa: E731
    return (
        model, f"{records[0]['n_parameters']:,}", known(_column(records, "force_meV_per_ang")),
        known(_column(records, "energy_meV")), known(told("validation")),
        largest(100 * told("late_gain"), "{:.1f}"),
        f"{np.nanmean(minutes):.0f}" if np.isfinite(minutes).any() else "–",
    )  # fmt: skip


def _column(records: Sequence[Record], name: str) -> np.ndarray:
    """Return one error of every seed, NaN where its training failed."""
    return np.array([one.get("test", {}).get(name) for one in records], dtype=float)


def reasons(by_model: Mapping[str, Sequence[Record]]) -> list[Rule]:
    """Return why trainings have no result."""
    return [
        Rule(asked=f"no result of {model}, seed {one['seed']}", measured=str(one["failed"]), holds=None)
        for model, records in by_model.items()
        for one in records
        if "failed" in one
    ]


def _longer(setting: Setting) -> list[Record]:
    """Return the record of the equilibrium model that was trained for the target, not for the comparison."""
    epochs = setting.size.long_epochs
    return setting.records((DEQ,), seeds=1, n_epochs=epochs) if epochs else []


def _committee(setting: Setting, records: Sequence[Record]) -> list[Record]:
    """Return the record of the equilibrium models of all seeds asked together, where there are several."""
    if len(records) < FEWEST_MEMBERS or any("failed" in one for one in records):
        return []
    runs = [setting.run(DEQ, seed) for seed in range(len(records))]
    path = log_path(setting, "committee", runs[0], [weights_digest(one) for one in runs], TEST_FRAMES)
    found = kept(path, lambda: {"test": Committee(runs).errors(judging(setting.parts))._asdict()})
    weights, seconds = (sum(one[name] for one in records) for name in ("n_parameters", "seconds"))
    return [found | {"n_parameters": weights, "seconds": seconds}]


def _rules(means: Mapping[str, float], *, strict: bool) -> list[Rule]:
    """Return the rules on models that were compared; a mean that is not known, for a seed that failed, fails them."""
    deq, rules = means[DEQ], []
    if "K = 1" in means:
        measured = f"{deq:.2f} against {means['K = 1']:.2f} meV/Å"
        rules.append(Rule(asked="better than K = 1", measured=measured, holds=deq < means["K = 1"]))
    if "K = 4" in means:
        holds = deq <= 1.1 * means["K = 4"] if strict else None
        rules.append(Rule(asked="at most 1.1 × K = 4", measured=f"{deq / means['K = 4']:.2f} ×", holds=holds))
    if MATCHED in means:
        times = f"{deq / means[MATCHED]:.2f} ×"
        rules.append(Rule(asked="against as many weights in four blocks", measured=times, holds=None))
    asked = "the explicit depth that is as accurate"
    return [*rules, Rule(asked=asked, measured=_in_words(means), holds=None)]


def _target(setting: Setting, name: str, force_meV_per_ang: float) -> list[Rule]:
    """Return the rule of the target for one model, where the data are those it is meant for."""
    if not (setting.size.strict and _has_target(setting)):
        return []
    asked = f"force MAE of ethanol at most {MOST_FORCE_MAE:g} meV/Å, aiming at {AIMED_AT:g}"
    measured = f"{force_meV_per_ang:.2f} meV/Å ({name})"
    return [Rule(asked=asked, measured=measured, holds=bool(force_meV_per_ang <= MOST_FORCE_MAE))]


def _has_target(setting: Setting) -> bool:
    named = all(word.lower() in setting.source.name.lower() for word in TARGET_DATA)
    return named and setting.size.n_frames <= TARGET_FRAMES


def as_accurate(means: Mapping[str, float]) -> str | None:
    """Return the explicit twin of fewest blocks that is at least as accurate; None where none is."""
    return next((name for name in EXPLICIT if name in means and means[name] <= means[DEQ]), None)


def _in_words(means: Mapping[str, float]) -> str:
    if not np.isfinite(means[DEQ]):
        return "not known"
    twin = as_accurate(means)
    return f"{twin} ({means[twin]:.2f} meV/Å)" if twin else "none of them"


def _rivals(setting: Setting) -> list[tuple[Any, ...]]:
    """Return what no force and the mean energy would score: the size of what is predicted."""
    test, train = Frames.of([setting.parts.test]), Frames.of(list(setting.parts.train))
    force = MEV_PER_EV * float(np.abs(test.forces[test.atomic_numbers > 0]).mean())
    energy = MEV_PER_EV * float(np.abs(test.energies - train.energies.mean()).mean())
    return [("no force, mean energy", "0", f"{force:.0f}", f"{energy:.0f}", "–", "–", "0")]


def _drawing(by_model: Mapping[str, Sequence[Record]]) -> Any:
    return force_errors(
        {model: _column(records, "force_meV_per_ang") for model, records in by_model.items()},
        notes={model: f"{records[0]['n_parameters']:,} weights" for model, records in by_model.items()},
        target_meV_per_ang=MOST_FORCE_MAE,
    )


def _note(setting: Setting, by_model: Mapping[str, Sequence[Record]]) -> str:
    size, parts = setting.size, setting.parts
    caveat = ""
    if parts.single:
        looked_at = (*parts.train, parts.validation, parts.test)
        whole_ps = sum(one.duration_fs for one in looked_at) / FS_PER_PS
        caveat = (
            f" All of it is {whole_ps:.1f} ps of one run: the test is near in time to what was learnt, though not next "
            "to it."
        )
    return (
        f"{size.n_frames} frames{FARTHEST[size.choose]}, {size.n_epochs} epochs where nothing else is said, epoch "
        f"chosen on validation, {max(len(records) for records in by_model.values())} seeds of each model; mean ± "
        "standard deviation over seeds. The learning rate falls to zero, so that a small gain of the last tenth of "
        f"epochs does not show that a longer training would gain nothing.{caveat}"
    )
