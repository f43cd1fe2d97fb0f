"""The same question on molecular dynamics, where no exact answer exists: a Bayesian Markov model is the reference.

The reference sees all trajectories. States of the language models are made of the training replicas alone: k-means on
torsions or their TICA components, PCCA+ memberships as cores, the last core visited.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asteroid_nb.data.catalogue import SAMPLES, sample
from asteroid_nb.data.coordinates import Coordinates
from asteroid_nb.data.data_sets import DIPEPTIDE
from asteroid_nb.data.torsion_files import load_torsions
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.files import replacing
from asteroid_nb.finding import Finding, Rule
from asteroid_nb.rare_events.arms import MODELS, Arm, Prepared
from asteroid_nb.rare_events.cores import MEMBERSHIPS, purest_cores
from asteroid_nb.rare_events.figures import Record, chosen, each
from asteroid_nb.states import discretise
from asteroid_nb.states.kinetics import bayesian_band, chapman_kolmogorov, implied_timescales, metastable, plateau_lag
from asteroid_nb.states.projection import tica

#: Lags of the reference, in frames, and how flat it must be from the plateau on: the strictest that holds is taken.
LAGS, TOLERANCES = (1, 2, 5, 10, 20, 50, 100), (0.1, 0.15, 0.2, 0.3)

#: States of the reference and of the fine partition that is merged into cores.
N_CLUSTERS = 100

#: How near to the reference's mean a model passes outside its band.
NEAR = 0.25


@dataclass(frozen=True, kw_only=True)
class System:
    """Torsions of one molecule.

    Args:
        name: in tables.
        path: of an archive that `load_torsions` reads; the bundled alanine dipeptide when empty.
        dt_fs: between its frames.
        names: of its columns.
        n_sets: slow sets that PCCA+ looks for.
        n_components: of TICA, which many torsions need; 0 for none.
    """

    name: str
    path: str = ""
    dt_fs: float = 1000.0
    names: tuple[str, ...] = ("φ", "ψ")
    n_sets: int = 3
    n_components: int = 0

    def load(self) -> list[Coordinates]:
        """Return one `Coordinates` per trajectory."""
        if not self.path:
            return [one for one in sample("alanine-dipeptide") if isinstance(one, Coordinates)]
        return load_torsions(self.path, dt_fs=self.dt_fs, names=self.names, name=self.name)

    @property
    def made_with(self) -> str:
        """Return a word that other data, or other ways to make states of them, would not have."""
        content = Path(self.path or SAMPLES / f"{DIPEPTIDE}.npz").read_bytes()
        return f"{zlib.crc32(content):08x} {(LAGS, TOLERANCES, N_CLUSTERS, MEMBERSHIPS)}"

    def arm(self, model: str, seed: int) -> Arm:
        options = {key: value for key, value in vars(self).items() if key != "name"}
        return Arm(
            states=self.name,
            model=model,
            seed=seed,
            lags_frames=LAGS,
            options=tuple(sorted(options.items())),
            made_with=self.made_with,
        )


BUNDLED = System(name="alanine dipeptide, 450 K (bundled)")

#: Layouts of torsion archives that are known by name: the MSMBuilder runs at 300 K, and the pentapeptide WLALL.
KNOWN = {
    "ala2": System(name="alanine dipeptide, 300 K", n_sets=2),
    "pentapeptide": System(
        name="pentapeptide WLALL, 300 K",
        dt_fs=100_000.0,
        names=(*(f"φ{number}" for number in range(2, 6)), *(f"ψ{number}" for number in range(1, 5))),
        n_sets=3,
        n_components=4,
    ),
}


def system_of(arm: Arm) -> System:
    return System(name=arm.states, **dict(arm.options))


def prepare(arm: Arm) -> Prepared:
    """Return core states of an arm's system; the last trajectory is held out and parts nothing."""
    system = system_of(arm)
    *train, held_out = _looked_at(system, seed=arm.seed)
    fine = discretise.kmeans(train, N_CLUSTERS, seed=arm.seed)
    lag = _plateau([fine.assign(one) for one in train])
    cores = purest_cores(fine, train, lag_frames=lag, n_sets=system.n_sets)
    *states, last = discretise.core_states(cores, [*train, held_out])
    return Prepared(states, last, list)


def _looked_at(system: System, *, seed: int) -> list[Coordinates]:
    """Return torsions in an order of the seed, or their TICA components, projected by all but the last alone."""
    found = system.load()
    if len(found) < 3:
        raise InvalidTrajectory(f"{system.name!r} has {len(found)} trajectories; needed are three. Cut long ones.")
    found = [found[at] for at in np.random.default_rng(seed).permutation(len(found))]
    if not system.n_components:
        return found
    projection = tica(found[:-1], lag_frames=5, n_dimensions=system.n_components)
    return [projection.apply(one) for one in found]


def _plateau(states: Sequence[Any]) -> int:
    """Return the plateau lag in frames under the strictest tolerance that has one."""
    found = implied_timescales(states, lags_frames=LAGS, n_modes=2)
    for tolerance in TOLERANCES[:-1]:
        try:
            return plateau_lag(found, tolerance=tolerance)
        except InvalidTrajectory:
            continue
    return plateau_lag(found, tolerance=TOLERANCES[-1])


def _reference(system: System) -> dict[str, Any]:
    coordinates = system.load()
    if system.n_components:
        projection = tica(coordinates, lag_frames=5, n_dimensions=system.n_components)
        coordinates = [projection.apply(one) for one in coordinates]
    fine = discretise.kmeans(coordinates, N_CLUSTERS, seed=0)
    states = [fine.assign(one) for one in coordinates]
    lag = _plateau(states)
    slowest = implied_timescales(states, lags_frames=LAGS, n_modes=1)
    mean, low, high = bayesian_band(states, lag_frames=lag)
    sets = metastable(states, lag_frames=lag, n_sets=system.n_sets)
    test = chapman_kolmogorov(states, lag_frames=lag, sets=sets)
    return {
        "lag_frames": lag,
        "dt_fs": states[0].dt_fs,
        "n_frames": sum(one.n_frames for one in states),
        "n_trajectories": len(states),
        "lags_frames": list(LAGS),
        "timescale_fs": slowest.timescales_fs[:, 0].tolist(),
        "mean_fs": mean,
        "low_fs": low,
        "high_fs": high,
        "chapman_kolmogorov": test.largest_difference,
    }


def reference(folder: Path, system: System) -> dict[str, Any]:
    """Return the Bayesian model's slowest timescale at the plateau lag, kept in the folder once it is known."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in system.name)
    path = folder / "references" / f"{plain}.json"
    told = {"system": json.loads(json.dumps({**vars(system), "made_with": system.made_with}))}
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["system"] == told["system"]:
            return stored
    found = {**told, **_reference(system)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def known_system(word: str) -> System:
    """Return the system that NAME=PATH asks for.

    Raises:
        InvalidSettings: no such name, or no path.
    """
    name, _, path = word.partition("=")
    if name not in KNOWN or not path:
        raise InvalidSettings(f"--torsions {word} must be NAME=FILE, with one of {', '.join(KNOWN)}.")
    known = KNOWN[name]
    return System(**{**vars(known), "path": path})


def figure_i(records: Sequence[Record], references: dict[str, dict[str, Any]]) -> Finding:
    """The slowest timescale of each model at the plateau lag, beside the Bayesian band."""
    rows, rules = [], []
    for name, found in references.items():
        lag, unit, fs = found["lag_frames"], *_unit(found["mean_fs"])
        low, high = found["low_fs"] / fs, found["high_fs"] / fs
        arms = {model: chosen(records, states=name, model=model) for model in MODELS}
        first = arms[MODELS[0]]
        plateau = found["timescale_fs"][found["lags_frames"].index(lag)]
        said = {
            "MD, 100 states: plateau MSM": np.array([plateau / fs]),
            "MD, core states": each(first, "data", lag=lag, fs=True) / fs,
            "order-1 chain, core states": each(first, "chain", lag=lag, fs=True) / fs,
            **{f"{model}, core states": each(several, lag=lag, fs=True) / fs for model, several in arms.items()},
        }
        for who, values in said.items():
            inside = int(((values >= low) & (values <= high)).sum())
            rows.append((name, who, ", ".join(f"{value:.3g}" for value in values), unit, f"{inside} of {len(values)}"))
        rules += [_inside(f"{name}, {model}", said[f"{model}, core states"], found, unit, fs) for model in MODELS]
        rules.append(
            Rule(
                asked=f"{name}: Chapman–Kolmogorov, largest difference of a probability",
                measured=f"{found['chapman_kolmogorov']:.3f}",
                holds=None,
            )
        )
    return Finding(
        key="I",
        title="Does it hold on molecular dynamics?",
        head=("molecule", "who", "slowest timescale, each seed", "unit", "inside the band"),
        rows=rows,
        rules=rules,
        note=f"The band is that of a Bayesian Markov model of {N_CLUSTERS} k-means states at its plateau lag, on all "
        "trajectories. Models learn core states of all trajectories but one, which a seed chooses.",
    )


def _inside(asked: str, values: np.ndarray, found: dict[str, Any], unit: str, fs: float) -> Rule:
    """Return whether the mean over seeds passes, and whether it is inside the band."""
    low, high, mean = (found[key] / fs for key in ("low_fs", "high_fs", "mean_fs"))
    middle = float(np.mean(values))
    inside = low <= middle <= high
    return Rule(
        asked=f"{asked}: slowest timescale inside the Bayesian 90 % band, or within {NEAR:.0%} of its mean",
        measured=f"{'inside' if inside else 'outside'}: {middle:.3g} {unit} (mean of {len(values)} seeds), reference "
        f"{mean:.3g} ({low:.3g} to {high:.3g}) at a lag of {found['lag_frames'] * found['dt_fs'] / fs:.3g} {unit}",
        holds=inside or abs(middle / mean - 1) <= NEAR,
    )


def _unit(time_fs: float) -> tuple[str, float]:
    return ("ns", 1e6) if time_fs >= 1e6 else ("ps", 1e3)
