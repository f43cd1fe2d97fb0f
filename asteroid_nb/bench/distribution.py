"""Figure D4: does a thermostatted run with reuse visit bonds and torsions as often as one that starts cold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asteroid_nb.bench.runs import BATH_K, Log, Motion, how_it_ended, moved
from asteroid_nb.bench.samples import Compared, compared, detectable, frames_per_sample, holm, opened, thinned
from asteroid_nb.bench.setting import Setting
from asteroid_nb.equilibrium.dynamics import DEFAULT_POLICY, DEFAULT_TOLERANCE
from asteroid_nb.finding import Finding, Rule, spread
from asteroid_nb.shapes import Float
from asteroid_nb.views.solver_looks import tolerance_words
from asteroid_nb.views.structure import bond_lengths, torsions

REUSE, COLD, CONTROL = f"reuse ({DEFAULT_POLICY})", "cold", "K = 4"

#: Weak enough that heat of the solver would show, strong enough that a short run forgets its start.
FRICTION_PER_FS, STORED_FS = 0.005, 10.0

#: Of every run, thrown away: all walkers start from one frame.
FIRST_PART = 0.25

#: Below it two distributions differ, all quantities taken together.
LEVEL = 0.01

HEAD = (
    "quantity", "thinned to", "independent values", "means", "KS distance", "seen from", "p", "p, Holm",
    f"{CONTROL} against cold: distance", "p, Holm",
)  # fmt: skip


class Quantity(NamedTuple):
    """One bond or torsion in one run, [walkers, frames] Å or rad."""

    values: Float[np.ndarray, "walkers frames"]
    periodic: bool


class Pair(NamedTuple):
    """One quantity in two runs: thinned alike, compared."""

    every: int
    samples: tuple[np.ndarray, np.ndarray]
    test: Compared


def figure_d4(setting: Setting) -> Finding:
    """Return whether reuse changes what a thermostatted run samples."""
    motions = {name: _motion(setting, name, seed) for seed, name in enumerate((REUSE, COLD, CONTROL), start=1)}
    logs = dict(zip(motions, moved(setting, list(motions.values())), strict=True))
    known = {name: _quantities(log) for name, log in logs.items()}
    pairs = {who: _pairs(known[who], known[COLD]) for who in (REUSE, CONTROL)}
    size = setting.size
    return Finding(
        key="D4",
        title="Does reuse change the distribution?",
        head=HEAD,
        rows=_rows(pairs, known),
        rules=[_rule(pairs[REUSE], logs), _reported(pairs[CONTROL], logs), _temperatures(logs)],
        drawings=_drawings(logs),
        note=f"Langevin at {BATH_K:g} K, friction {FRICTION_PER_FS:g}/fs, {size.langevin_walkers} walkers of "
        f"{size.langevin_ps:g} ps with seeds of their own in each run; reuse and cold at tolerance "
        f"{tolerance_words(DEFAULT_TOLERANCE)}. The first {FIRST_PART:.0%} are thrown away. Each quantity is thinned "
        "to one value in as many frames as its autocorrelation says (the longest of value, squared deviation, sine and "
        "cosine, of either run). p is of the two-sample Kolmogorov–Smirnov test; angles are cut at the widest gap. "
        "Among many quantities one p is small by chance; Holm's make up for that: where nothing differs, any of them "
        f"falls below {LEVEL:g} in {LEVEL:.0%} of benches. “Seen from” is the distance that would fail. What this does "
        "not show: a thermostat takes "
        "away the heat that a warm start adds, so that equal distributions do not prove a kept energy (see D1); "
        "differences below “seen from”, joint distributions and rates are not tested; and both runs are of one "
        "model: whether it is right about the molecule is asked elsewhere.",
    )


def _motion(setting: Setting, name: str, seed: int) -> Motion:
    size = setting.size
    kind: dict[str, Any] = {"model": CONTROL} if name == CONTROL else {}
    return Motion(
        policy=DEFAULT_POLICY if name == REUSE else "cold", tolerance=DEFAULT_TOLERANCE, ensemble="langevin",
        length_ps=size.langevin_ps, n_walkers=size.langevin_walkers, stored_fs=STORED_FS,
        friction_per_fs=FRICTION_PER_FS, seed=seed, structure=True, **kind,
    )  # fmt: skip


def _quantities(log: Log) -> dict[str, Quantity]:
    """Return every bond and torsion by name, without the first part; nothing of a run that has too little left."""
    found = {}
    for names, key, periodic in (("bond_names", "bonds_ang", False), ("torsion_names", "torsions_rad", True)):
        values = _used(log[key])
        for at, name in enumerate(log[names] if values.size else []):
            found[name] = Quantity(values[:, :, at], periodic)
    return found


def _used(values: Any) -> np.ndarray:
    array = np.array(values, dtype=float)
    return array[:, int(FIRST_PART * array.shape[1]) :] if array.ndim == 3 else np.empty((0, 0, 0))


def _pairs(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> dict[str, Pair]:
    return {name: _pair(one[name], other[name]) for name in one if name in other}


def _pair(one: Quantity, other: Quantity) -> Pair:
    frames = max(frames_per_sample(part.values, periodic=part.periodic) for part in (one, other))
    every = int(np.ceil(frames))
    samples = (thinned(one.values, every), thinned(other.values, every))
    tested = opened(*samples) if one.periodic else samples
    return Pair(every, samples, compared(*tested))


def _able(pairs: Mapping[str, Pair]) -> list[str]:
    """Return the quantities with values enough to differ at the level, had they nothing in common."""
    return [name for name, pair in pairs.items() if pair.test.smallest_p <= LEVEL / len(pairs)]


def _adjusted(pairs: Mapping[str, Pair]) -> dict[str, float]:
    able = _able(pairs)
    return dict(zip(able, holm([pairs[name].test.p for name in able]), strict=True))


def _rows(
    pairs: Mapping[str, Mapping[str, Pair]], known: Mapping[str, Mapping[str, Quantity]]
) -> list[tuple[Any, ...]]:
    adjusted = {who: _adjusted(found) for who, found in pairs.items()}
    rows = []
    for name, pair in pairs[REUSE].items():
        level = LEVEL / max(1, len(adjusted[REUSE]))
        test, control = pair.test, pairs[CONTROL].get(name)
        rows.append(
            (
                name, f"one in {pair.every * STORED_FS:g} fs", f"{test.n_one}, {test.n_other}",
                _means(pair.samples, known[REUSE][name].periodic), f"{test.distance:.3f}",
                f"{detectable(test.n_one, test.n_other, level):.3f}", f"{test.p:.3f}",
                _said(adjusted[REUSE].get(name)), "–" if control is None else f"{control.test.distance:.3f}",
                _said(adjusted[CONTROL].get(name)),
            )
        )  # fmt: skip
    return rows


def _said(p: float | None) -> str:
    return "too few values" if p is None else f"{p:.2g}"


def _means(samples: Sequence[np.ndarray], periodic: bool) -> str:
    if not periodic:
        return " and ".join(f"{one.mean():.4f}" for one in samples) + " Å"
    shares = (f"{np.mean(np.abs(one) > 2 * np.pi / 3):.0%}" for one in samples)
    return " and ".join(shares) + " beyond ±120°"


def _rule(pairs: Mapping[str, Pair], logs: Mapping[str, Log]) -> Rule:
    asked = f"reuse against cold: p > {LEVEL:g} for every bond and torsion, after Holm"
    if ended := _ended(logs, (REUSE, COLD)):
        return Rule(asked=asked, measured=ended, holds=False)
    adjusted = _adjusted(pairs)
    if not adjusted:
        return Rule(asked=asked, measured="too few independent values to tell; run longer", holds=None)
    measured, lowest = _lowest(pairs, adjusted)
    return Rule(asked=asked, measured=measured, holds=lowest > LEVEL)


def _reported(pairs: Mapping[str, Pair], logs: Mapping[str, Log]) -> Rule:
    asked = f"{CONTROL}, another model, against cold"
    adjusted = _adjusted(pairs)
    told = _ended(logs, (CONTROL,)) or (
        _lowest(pairs, adjusted)[0] if adjusted else "too few independent values to tell"
    )
    return Rule(asked=asked, measured=told, holds=None)


def _ended(logs: Mapping[str, Log], names: Sequence[str]) -> str:
    return "; ".join(f"{name} {how_it_ended(logs[name])}" for name in names if logs[name]["why"] is not None)


def _lowest(pairs: Mapping[str, Pair], adjusted: Mapping[str, float]) -> tuple[str, float]:
    name = min(adjusted, key=adjusted.__getitem__)
    told = f"smallest p {adjusted[name]:.2g} ({name}), of {len(adjusted)} quantities"
    left_out = len(pairs) - len(adjusted)
    return told + (f"; {left_out} more have too few independent values" if left_out else ""), adjusted[name]


def _temperatures(logs: Mapping[str, Log]) -> Rule:
    means = {}
    for name, log in logs.items():
        walkers = [np.array(one, dtype=float) for one in log["temperature_K"]]
        means[name] = spread([float(one[int(FIRST_PART * len(one)) :].mean()) for one in walkers])
    told = "; ".join(f"{name} {value} K" for name, value in means.items())
    return Rule(asked="mean kinetic temperature, ± over walkers", measured=told, holds=None)


def _drawings(logs: Mapping[str, Log]) -> dict[str, Any]:
    """Return one figure of all bonds and one for each torsion, cold first."""
    ordered = [name for name in (COLD, REUSE, CONTROL) if _used(logs[name].get("bonds_ang", [])).size]
    if not ordered:
        return {}
    flat = lambda name, key: (used := _used(logs[name][key])).reshape(-1, used.shape[-1])  # noqa: E731
    drawn = {"figure-D4-bonds": bond_lengths({name: flat(name, "bonds_ang") for name in ordered})}
    for at, title in enumerate(logs[COLD]["torsion_names"]):
        angles = {name: flat(name, "torsions_rad")[:, at] for name in ordered}
        drawn[f"figure-D4-torsion-{at + 1}"] = torsions(angles, title=title, n_bins=36)
    return drawn
