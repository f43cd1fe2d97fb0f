"""What an exported page shows of a run: windows to play, figures for every choice, attention as it was recorded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, ModelMismatch
from asteroid_nb.exhibit import Exhibit
from asteroid_nb.forecast.rollout import delay_matrices
from asteroid_nb.metrics.horizon import MEASURES
from asteroid_nb.views.attention import attention_map
from asteroid_nb.views.camera import orientation
from asteroid_nb.views.delay import delay_matrix, refilled
from asteroid_nb.views.horizon import error_over_horizon
from asteroid_nb.views.molecule import description, quantised
from asteroid_nb.views.per_atom import per_atom_bars
from asteroid_nb.views.scene import STAGE
from asteroid_nb.views.training import loss_curve
from asteroid_nb.views.worst_windows import error_heatmap, window_in_words
from asteroid_nb.widgets.attention_records import Recorded, record
from asteroid_nb.widgets.delay import coordinate

#: Å per step of the positions on a page, where the molecule fits: far below what a screen can show.
STEP_ANG = 1e-3

#: Bytes of positions on a page, before packing: more windows are left out, which the page says.
MOST_BYTES = 4 * 2**20

XYZ = ("x", "y", "z")

#: Windows whose attention and delay matrices are kept too, and pairs of atoms in them all: attention has a number each.
DETAILED, MOST_PAIRS = 5, 50_000


def chosen_windows(exhibit: Exhibit, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows to keep, worst first, and the positions among them of those kept in detail."""
    shown = exhibit.run.settings
    per_window = 2 * (shown.history + shown.horizon) * exhibit.trajectories[0].n_atoms * 3 * 2
    n_kept = max(1, min(most, exhibit.table.n_windows, MOST_BYTES // per_window))
    n_worst = min(n_kept, max(1, n_kept // 10))
    order = exhibit.worst_first
    spread = order[np.linspace(n_worst, len(order) - 1, n_kept - n_worst).round().astype(int)] if n_kept > 1 else []
    kept = np.array(list(dict.fromkeys([*order[:n_worst].tolist(), *np.asarray(spread, dtype=int).tolist()])))
    n_detailed = int(np.clip(MOST_PAIRS // exhibit.trajectories[0].n_atoms ** 2, 1, DETAILED))
    return kept, np.unique(np.linspace(0, len(kept) - 1, n_detailed).round().astype(int))


def packed_windows(pairs: list[tuple[Trajectory, Trajectory]], error_max_ang: float) -> tuple[bytes, np.ndarray, float]:
    """Return all positions as int16 around each window's centre, then all errors as bytes; the centres; Å per step.

    Steps are so wide that every reference fits; atoms of a forecast that flew further away stop at the border.
    """
    paths = np.array([[np.asarray(path.positions, dtype=float) for path in pair] for pair in pairs])
    centres = paths[:, 0].mean((1, 2))
    placed = paths - centres[:, None, None, None]
    limit = np.iinfo(np.int16).max
    step_ang = max(STEP_ANG, float(np.abs(placed[:, 0]).max()) / limit)
    steps = np.clip(np.round(placed / step_ang), -limit, limit).astype("<i2")
    errors = [
        quantised(np.linalg.norm(own - true, axis=-1), pair[0], error_max_ang)
        for (true, own), pair in zip(paths, pairs, strict=True)
    ]
    return steps.tobytes() + b"".join(errors), centres, step_ang


def contents(
    exhibit: Exhibit,
    kept: np.ndarray,
    detailed: np.ndarray,
    pairs: list[tuple[Trajectory, Trajectory]],
    centres: np.ndarray,
    step_ang: float,
    error_max_ang: float,
) -> dict[str, Any]:
    """Return what ``page.js`` draws."""
    times, first = exhibit.times_fs, pairs[0][0]
    scene = description(
        first, bonds_of(first), names=[""], style="auto", coloured=[True], error_max_ang=error_max_ang, stage=STAGE
    )
    return {
        "times_fs": times.tolist(),
        "present": exhibit.history - 1,
        "step_ang": step_ang,
        "scene": scene,
        "windows": [
            _window(exhibit, int(row), rank, pair[0], centre)
            for rank, (row, pair, centre) in enumerate(zip(kept, pairs, centres, strict=True))
        ],
        "panels": [
            _errors_panel(exhibit),
            _windows_panel(exhibit, kept),
            _bars_panel(exhibit),
            _attention_panel(exhibit, kept, detailed),
            _delay_panel(exhibit, kept, detailed),
            *_training_panel(exhibit),
        ],
    }


def _window(exhibit: Exhibit, row: int, rank: int, truth: Trajectory, centre: np.ndarray) -> dict[str, Any]:
    table = exhibit.table
    error = float(table.per_window(exhibit.name)[row].mean())
    last = len(table.lead_times_fs) - 1
    return {
        "index": row,
        "label": f"{rank + 1 if rank else 'worst'}: window {row}, mean RMSE {error:.3f} Å",
        "told": window_in_words(table, exhibit.name, row, last, rival=exhibit.best_rival),
        "matrix": orientation(truth.positions),
        "centre": centre.tolist(),
        "names": [truth.name, exhibit.name],
    }


def as_json(figure: Figure) -> dict[str, Any]:
    return json.loads(str(figure.to_json()))


def _errors_panel(exhibit: Exhibit) -> dict[str, Any]:
    figures = {
        str(index): as_json(error_over_horizon(exhibit.table, measure=measure, forecasters=[exhibit.name]))
        for index, measure in enumerate(MEASURES)
    }
    controls = [{"label": "measure", "options": [measure.upper() for measure in MEASURES]}]
    return {
        "kind": "figures",
        "title": "Error over the horizon",
        "time": True,
        "controls": controls,
        "figures": figures,
    }


def _windows_panel(exhibit: Exhibit, kept: np.ndarray) -> dict[str, Any]:
    """Return the map of the windows that can be played, so that every cell answers a click."""
    n_windows = exhibit.table.n_windows
    some = f" Kept are {len(kept)} of {n_windows} windows, the worst tenth and others spread over all errors."
    return {
        "kind": "heatmap",
        "title": "Windows",
        "time": True,
        "figure": as_json(error_heatmap(exhibit.table, exhibit.name, some=kept)),
        "note": "Click a cell to load its window." + (some if len(kept) < n_windows else ""),
    }


def _bars_panel(exhibit: Exhibit) -> dict[str, Any]:
    leads = exhibit.table.lead_times_fs
    figures = [
        as_json(per_atom_bars(exhibit.table, exhibit.name, float(lead), rival=exhibit.best_rival)) for lead in leads
    ]
    return {
        "kind": "bars",
        "title": "Error per atom",
        "along": "x",
        "atoms": exhibit.trajectories[0].n_atoms,
        "figures": figures,
    }


def _attention_panel(exhibit: Exhibit, kept: np.ndarray, detailed: np.ndarray) -> dict[str, Any]:
    panel: dict[str, Any] = {"kind": "attention", "title": "Attention"}
    try:
        found = [_recorded(exhibit, int(kept[at])) for at in detailed]
    except (InvalidSettings, InvalidTrajectory) as error:
        return {**panel, "missing": str(error)}
    first = found[0]
    return {
        **panel,
        "records": [_record_frame(first, name) for name in first.records],
        "windows": [
            {
                "window": int(at),
                "weights": [
                    np.nan_to_num(weights).astype(float).round(4).ravel().tolist() for weights in one.records.values()
                ],
            }
            for at, one in zip(detailed, found, strict=True)
        ],
    }


def _recorded(exhibit: Exhibit, row: int) -> Recorded:
    trajectory, start = exhibit.place(row)
    return record(exhibit.run, trajectory, start=start)


def _record_frame(recorded: Recorded, name: str) -> dict[str, Any]:
    """Return a figure to be filled with any head of a record, and the names along its axes."""
    labels, weights = recorded.labels[name], np.nan_to_num(recorded.records[name])
    template = attention_map(weights[0].mean(0), labels.queries, labels.keys, kind=name.rsplit(".", 1)[-1])
    return {
        "name": name,
        "shape": list(weights.shape),
        "atoms": labels.between_atoms,
        "along": "y" if labels.between_atoms else "",
        "labels": {
            "queries": list(labels.queries),
            "keys": list(labels.keys),
            "each": list(labels.each),
            "each_name": labels.each_name,
        },
        "template": as_json(template),
    }


def _delay_panel(exhibit: Exhibit, kept: np.ndarray, detailed: np.ndarray) -> dict[str, Any]:
    panel: dict[str, Any] = {"kind": "delay", "title": "Delay matrix"}
    try:
        windows = [{"window": int(at), "figures": _delay_figures(exhibit, int(kept[at]))} for at in detailed]
    except ModelMismatch as error:
        return {**panel, "missing": str(error)}
    return {**panel, "windows": windows}


def _delay_figures(exhibit: Exhibit, row: int) -> list[list[dict[str, Any]]]:
    """Return a figure for each atom and axis, all filled into the first."""
    trajectory, start = exhibit.place(row)
    found = delay_matrices(exhibit.run, trajectory, start)
    common = {"dt_fs": found.dt_fs, "rows": found.rows}
    first = as_json(delay_matrix(**coordinate(found, 0, XYZ[0]), **common))
    return [
        [refilled(first, **coordinate(found, atom, axis), **common, what=f"{label}, {axis}") for axis in XYZ]
        for atom, label in enumerate(found.labels)
    ]


def _training_panel(exhibit: Exhibit) -> list[dict[str, Any]]:
    if not exhibit.run.history:
        return []
    figures = {"": as_json(loss_curve(exhibit.run.history))}
    return [{"kind": "figures", "title": "Training", "controls": [], "figures": figures}]
