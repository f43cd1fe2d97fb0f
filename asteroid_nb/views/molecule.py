"""What ``molecule.js`` draws, as JSON and bytes: the same in a notebook's widget and in an exported page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.errors import InvalidTrajectory
from asteroid_nb.metrics.structure import BREAK_ANG, bond_lengths

Style = Literal["auto", "ball+stick", "licorice", "line", "spacefill"]

#: From no error to much, lightness falling all the way: it reads without colour, and on white and dark paper alike.
ERROR_COLOURS = ("#d5d9e0", "#eaa52a", "#d9541a", "#8f1445")

#: Of carbon, by layer: grey, then what tells forecasts apart that lie over one another.
LAYER_COLOURS = ("#7d8794", "#0072B2", "#E69F00", "#009E73")

#: Positions one pane may hold in the browser; longer trajectories are thinned by `compare`.
MOST_BYTES = 4 * 2**20

#: Atoms up to which balls and sticks are readable, and beyond which only lines stay smooth.
FEW_ATOMS, MANY_ATOMS = 200, 2000


def description(
    structure: Trajectory,
    bonds: np.ndarray,
    *,
    names: Sequence[str],
    style: Style,
    coloured: Sequence[bool],
    error_max_ang: float,
    **more: Any,
) -> dict[str, Any]:
    """Return all that ``molecule.js`` needs to know beside positions and errors, as JSON."""
    lengths = bond_lengths(structure.positions, bonds).mean(0) if len(bonds) else []
    several = len(names) > 1
    return {
        "mol2": mol2(structure, bonds),
        "labels": list(structure.labels),
        "names": list(names),
        "bonds": [[int(a), int(b), float(length)] for (a, b), length in zip(bonds, lengths, strict=True)],
        "break_ang": BREAK_ANG,
        "error_max_ang": float(error_max_ang),
        "layers": [
            {
                "coloured": bool(by_error),
                "representations": _representations(
                    structure.n_atoms, style, number, several=several, by_error=bool(by_error)
                ),
            }
            for number, by_error in enumerate(coloured)
        ],
        **more,
    }


def mol2(trajectory: Trajectory, bonds: np.ndarray) -> str:
    """Return the first frame as MOL2, which NGL takes at any size and with exactly these bonds."""
    atoms = (
        f"{i} {label} {x:.4f} {y:.4f} {z:.4f} {symbol} 1 MOL 0.0"
        for i, (label, symbol, (x, y, z)) in enumerate(
            zip(trajectory.labels, trajectory.symbols, trajectory.positions[0], strict=True), start=1
        )
    )
    links = (f"{i} {a + 1} {b + 1} 1" for i, (a, b) in enumerate(bonds.tolist(), start=1))
    head = ["@<TRIPOS>MOLECULE", "molecule", f"{trajectory.n_atoms} {len(bonds)} 1", "SMALL", "NO_CHARGES", ""]
    return "\n".join([*head, "@<TRIPOS>ATOM", *atoms, "@<TRIPOS>BOND", *links, ""])


def _representations(n_atoms: int, style: Style, layer: int, *, several: bool, by_error: bool) -> list[dict[str, Any]]:
    chosen = style
    if style == "auto":
        chosen = "ball+stick" if n_atoms <= FEW_ATOMS else "licorice" if n_atoms <= MANY_ATOMS else "line"
    sizes = {"ball+stick": {"radiusSize": 0.12, "aspectRatio": 2.2}, "licorice": {"radiusSize": 0.18}}.get(chosen, {})
    carbon = LAYER_COLOURS[layer % len(LAYER_COLOURS)] if several else LAYER_COLOURS[0]
    plain = {"colorScheme": "element", "colorValue": carbon, "colorMode": "rgb"}
    faint = {"opacity": 0.4, "depthWrite": False} if several and layer == 0 else {}
    error = {"colorScheme": "bfactor", "colorScale": list(ERROR_COLOURS), "colorDomain": [0, 255]}
    error["colorMode"] = "rgb"  # as the colour bar mixes them; NGL's own mixing passes through pink
    params = {"sele": "all", "multipleBond": "off", **sizes, **faint}
    return [{"type": chosen, "params": params, "plain": plain, "byError": error if by_error else None}]


def packed(layers: Sequence[Trajectory]) -> bytes:
    return b"".join(np.ascontiguousarray(layer.positions, "<f4").tobytes() for layer in layers)


def quantised(errors: np.ndarray, trajectory: Trajectory, error_max_ang: float | None) -> bytes:
    """Return one byte per frame and atom, 255 at ``error_max_ang`` and beyond."""
    errors = np.asarray(errors, dtype=float)
    if errors.shape != trajectory.positions.shape[:2]:
        raise InvalidTrajectory(
            f"Errors have shape {errors.shape}, the trajectory asks for {trajectory.positions.shape[:2]}: "
            "give one per frame and atom, in Å."
        )
    highest = error_max_ang or float(errors.max()) or 1.0
    return np.clip(np.round(errors * (255 / highest)), 0, 255).astype(np.uint8).tobytes()


@cache
def program(*names: str) -> str:
    """Return the script of a view in a notebook, or the named scripts alone."""
    folder = files("asteroid_nb.views")
    text = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names or ("molecule.js", "scene.js"))
    return text if names else f"(function () {{\n{text}\n}}).call(this);"
