"""Errors over the horizon: the measures of `pointwise`, and `ErrorTable`, from which figures and verdicts are drawn."""

import dataclasses
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from asteroid_nb.errors import ModelMismatch, UnreadableFile
from asteroid_nb.files import replacing
from asteroid_nb.metrics import pointwise
from asteroid_nb.metrics.pointwise import (
    Band,
    ade,
    ade_by_lead,
    band,
    displacement,
    fde,
    mae,
    per_atom_rmse,
    rmse,
    rmse_per_window,
    skill_horizon_fs,
    summed_errors,
)
from asteroid_nb.metrics.resampling import Interval, block_labels, interval, resampled_means
from asteroid_nb.shapes import Float

__all__ = [
    "Band",
    "ErrorTable",
    "ade",
    "ade_by_lead",
    "band",
    "displacement",
    "fde",
    "mae",
    "per_atom_rmse",
    "rmse",
    "rmse_per_window",
    "skill_horizon_fs",
    "summed_errors",
]

Measure = Literal["rmse", "mae", "ade"]
MEASURES: tuple[Measure, ...] = ("rmse", "mae", "ade")
KEYS = ("lead_times_fs", "atom_labels", "starts", "walkers")


@dataclass(frozen=True, kw_only=True, eq=False)
class ErrorTable:
    """Errors of several forecasters on the same windows, small enough to keep and rich enough to ask again.

    Args:
        squared: per forecaster [windows, horizon, atoms] Å², squared errors per coordinate summed over x, y, z.
        absolute: the same in Å for absolute errors.
        lead_times_fs: [horizon].
        atom_labels: [atoms], as in `Trajectory.labels`.
        starts: [windows] first frame of each window.
        walkers: [windows] trajectory of each window.

    Raises:
        ModelMismatch: shapes that disagree, or no forecaster.
    """

    squared: Mapping[str, np.ndarray]
    absolute: Mapping[str, np.ndarray]
    lead_times_fs: np.ndarray
    atom_labels: tuple[str, ...]
    starts: np.ndarray
    walkers: np.ndarray

    def __post_init__(self) -> None:
        fill = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731  (the class is frozen)
        for key in ("squared", "absolute"):
            fill(key, {name: np.asarray(array, dtype=np.float32) for name, array in getattr(self, key).items()})
        fill("lead_times_fs", np.asarray(self.lead_times_fs, dtype=float))
        fill("atom_labels", tuple(str(label) for label in self.atom_labels))
        fill("starts", np.asarray(self.starts, dtype=np.int64))
        fill("walkers", np.asarray(self.walkers, dtype=np.int64))
        needed = (len(self.starts), len(self.lead_times_fs), len(self.atom_labels))
        found = {name: (self.squared[name].shape, array.shape) for name, array in self.absolute.items()}
        if not found or set(self.squared) != set(found) or any(pair != (needed, needed) for pair in found.values()):
            raise ModelMismatch(f"Errors have shapes {found}; starts, lead times and atoms ask for {needed} in each.")
        if self.walkers.shape != self.starts.shape:
            raise ModelMismatch(
                f"Found {self.walkers.shape} walkers for {self.starts.shape} starts; give one per window."
            )

    @classmethod
    def of(
        cls,
        forecasts: Mapping[str, Any],
        truth: Any,
        *,
        dt_fs: float,
        atom_labels: Sequence[str] = (),
        starts: Any | None = None,
        walkers: Any | None = None,
    ) -> "ErrorTable":
        """Return the table of forecasts [windows, horizon, atoms, 3] Å against one truth of that shape.

        Windows without ``starts`` are numbered in order, and all belong to walker 0 unless told otherwise.
        """
        errors = {name: pointwise.summed_errors(forecast, truth) for name, forecast in forecasts.items()}
        n_windows, n_leads, n_atoms, _ = np.shape(truth)
        return cls(
            squared={name: squared for name, (squared, _) in errors.items()},
            absolute={name: absolute for name, (_, absolute) in errors.items()},
            lead_times_fs=np.arange(1, n_leads + 1) * dt_fs,
            atom_labels=tuple(atom_labels) or tuple(f"atom {index}" for index in range(n_atoms)),
            starts=np.arange(n_windows) if starts is None else starts,
            walkers=np.zeros(n_windows) if walkers is None else walkers,
        )

    @classmethod
    def join(cls, tables: Iterable["ErrorTable"]) -> "ErrorTable":
        """Return one table of batches of windows that name the same forecasters, lead times and atoms."""
        tables = list(tables)
        if not tables or len({(t.names, t.atom_labels, tuple(t.lead_times_fs)) for t in tables}) > 1:
            raise ModelMismatch(
                f"{len(tables)} tables differ in forecasters, lead times or atoms; only batches of one evaluation join."
            )
        stack = lambda pick: np.concatenate([pick(table) for table in tables])  # noqa: E731
        return dataclasses.replace(
            tables[0],
            squared={name: stack(lambda t, name=name: t.squared[name]) for name in tables[0].names},
            absolute={name: stack(lambda t, name=name: t.absolute[name]) for name in tables[0].names},
            starts=stack(lambda t: t.starts),
            walkers=stack(lambda t: t.walkers),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.squared)

    @property
    def n_windows(self) -> int:
        return len(self.starts)

    def per_window(self, name: str, measure: Measure = "rmse") -> Float[np.ndarray, "windows horizon"]:
        """Return the measure in Å of each window, over its atoms."""
        return self._mean(name, measure, axis=2)

    def by_lead(self, name: str, measure: Measure = "rmse") -> Float[np.ndarray, " horizon"]:
        """Return the measure in Å over all windows and atoms; the RMSE pools squares, so large windows weigh more."""
        if measure == "rmse":
            return np.sqrt(self._of(self.squared, name).mean(axis=(0, 2), dtype=float) / 3)
        return self.per_window(name, measure).mean(axis=0)

    def rmse(self, name: str) -> Float[np.ndarray, " horizon"]:
        return self.by_lead(name, "rmse")

    def mae(self, name: str) -> Float[np.ndarray, " horizon"]:
        return self.by_lead(name, "mae")

    def ade(self, name: str) -> float:
        return float(self.by_lead(name, "ade").mean())

    def fde(self, name: str) -> float:
        return float(self.by_lead(name, "ade")[-1])

    def per_atom_rmse(self, name: str) -> Float[np.ndarray, "horizon atoms"]:
        return self.per_atom(name, "rmse")

    def per_atom(
        self, name: str, measure: Measure = "rmse", *, windows: slice = slice(None), leads: slice = slice(None)
    ) -> Float[np.ndarray, "leads atoms"]:
        """Return the measure in Å of each atom, over all windows or some, at all lead times or some."""
        return self._mean(name, measure, axis=0, windows=windows, leads=leads)

    def band(self, name: str, measure: Measure = "rmse", low: float = 10, high: float = 90) -> Band:
        """Return median and percentiles over windows."""
        return pointwise.band(self.per_window(name, measure), low, high)

    def ratio(self, name: str, rival: str | Sequence[str]) -> Float[np.ndarray, " horizon"]:
        """Return RMSE over that of the rival; of several rivals the best at each lead time counts."""
        rivals = [rival] if isinstance(rival, str) else rival
        return self.rmse(name) / np.min([self.rmse(one) for one in rivals], axis=0)

    def mean_ratio(self, name: str, rival: str, *, confidence: float = 0.9, seed: int = 0) -> Interval:
        """Return the ratio averaged over the horizon, with an interval from 1000 draws of blocks of windows."""
        pair = np.stack([self._of(self.squared, one).mean(axis=2, dtype=float) for one in (name, rival)], axis=-1)
        draws = resampled_means(pair, block_labels(self.starts, self.walkers), n_resamples=1000, seed=seed)
        ratios = np.sqrt(draws[..., 0] / draws[..., 1]).mean(axis=1)
        return interval(float(self.ratio(name, rival).mean()), ratios, confidence=confidence)

    def best_of(self, names: Sequence[str]) -> str:
        """Return the name with the smallest RMSE averaged over the horizon; what is not a number loses to any."""
        return min(names, key=lambda name: np.nan_to_num(self.rmse(name).mean(), nan=np.inf))

    def skill_horizon_fs(self, name: str, mean_of_history: str, **draws: Any) -> Interval:
        """Return the vibrational memory with its interval; see `skill_horizon_fs` for ``draws``."""
        own, rival = (self._of(self.squared, one).mean(axis=2, dtype=float) for one in (name, mean_of_history))
        draws.setdefault("blocks", block_labels(self.starts, self.walkers))
        return pointwise.skill_horizon_fs(own, rival, self.lead_times_fs, **draws)

    def right_for_fs(self, name: str, tolerated_ang: float) -> Interval:
        """Return how far ahead the RMSE stays below what is tolerated; see `pointwise.right_for_fs`."""
        squared = self._of(self.squared, name).mean(axis=2, dtype=float) / 3
        blocks = block_labels(self.starts, self.walkers)
        return pointwise.right_for_fs(squared, tolerated_ang, self.lead_times_fs, blocks=blocks)

    def nearest_lead(self, lead_fs: float) -> int:
        """Return the index of the lead time nearest to ``lead_fs``."""
        return int(np.abs(self.lead_times_fs - lead_fs).argmin())

    def to_markdown(self, leads_fs: Sequence[float] | None = None) -> str:
        """Return a table: RMSE per coordinate at some lead times and averaged over the horizon, ADE, FDE; all in Å.

        Lead times outside the table are refused, because a neighbour's number under another heading misleads.
        """
        leads = self._default_leads() if leads_fs is None else [self._exact_lead(lead_fs) for lead_fs in leads_fs]
        heads = ["RMSE / Å", *(f"{self.lead_times_fs[lead]:g} fs" for lead in leads), "mean", "ADE", "FDE"]
        rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        for name in self.names:
            values = self.rmse(name)
            numbers = [*values[leads], values.mean(), self.ade(name), self.fde(name)]
            rows.append([name.replace("|", "\\|").replace("\n", " "), *(f"{number:.4f}" for number in numbers)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the curves as JSON-able values (NaN and infinity become None), without the windows."""
        curve = lambda values: [float(value) if np.isfinite(value) else None for value in values]  # noqa: E731
        return {
            "lead_times_fs": self.lead_times_fs.tolist(),
            "n_windows": self.n_windows,
            "forecasters": {
                name: {measure: curve(self.by_lead(name, measure)) for measure in MEASURES} for name in self.names
            },
        }

    def save(self, path: str | Path) -> Path:
        """Write everything as npz."""
        content: dict[str, Any] = {key: np.asarray(getattr(self, key)) for key in KEYS}
        content["names"] = np.array(self.names)
        for key in ("squared", "absolute"):
            content[key] = np.stack([getattr(self, key)[name] for name in self.names])
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **content)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "ErrorTable":
        """Read what `save` wrote; nothing in the file is run.

        Raises:
            UnreadableFile: it is no such file, or a damaged one.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
                names = [str(name) for name in file["names"]]
                stacks = {key: dict(zip(names, file[key], strict=True)) for key in ("squared", "absolute")}
                return cls(**stacks, **{key: file[key] for key in KEYS})
        except (KeyError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
            raise UnreadableFile(
                f"{path} is no table of errors, or a damaged one ({error}). Evaluate again."
            ) from error

    def _mean(
        self, name: str, measure: Measure, *, axis: int, windows: slice = slice(None), leads: slice = slice(None)
    ) -> np.ndarray:
        """Return the measure over one axis of [windows, horizon, atoms]."""
        if measure not in MEASURES:
            raise ValueError(f"The measure was {measure!r}; choose one of {', '.join(MEASURES)}.")
        errors = self._of(self.absolute if measure == "mae" else self.squared, name)[windows, leads]
        if measure == "ade":
            return np.sqrt(errors).mean(axis=axis, dtype=float)
        per_coordinate = errors.mean(axis=axis, dtype=float) / 3
        return np.sqrt(per_coordinate) if measure == "rmse" else per_coordinate

    def _of(self, errors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        if name not in errors:
            raise KeyError(f"No forecaster {name!r} in this table; it has {', '.join(self.names)}.")
        return errors[name]

    def _default_leads(self) -> list[int]:
        """Return lead times 1, 2, 4, … frames, and the last."""
        n_leads = len(self.lead_times_fs)
        return sorted({2**power - 1 for power in range(n_leads.bit_length())} | {n_leads - 1})

    def _exact_lead(self, lead_fs: float) -> int:
        lead = self.nearest_lead(lead_fs)
        if not np.isclose(self.lead_times_fs[lead], lead_fs):
            first, *_, last = [self.lead_times_fs[0], *self.lead_times_fs]
            raise ValueError(
                f"No lead time of {lead_fs:g} fs; this table has {first:g} to {last:g} fs. Choose one of those."
            )
        return lead
