"""How time and memory grow with the atoms: of listed pairs, and of all pairs as far as memory allows."""

from __future__ import annotations

import argparse
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asteroid_nb.bench.forecasts.footprint import GIB, REGISTERS, Found, Wanted, apart
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.finding import Finding, Rule, write

#: Atoms of an ethanol.
ATOMS_EACH = 9

#: Atoms that are asked for; boxes hold whole molecules.
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)

#: Atoms from which an exponent is fitted: below, what every call costs at least hides it.
FITTED_FROM = 900

#: What the cost of listed pairs may grow as.
MOST_EXPONENT = 1.1

#: All pairs are not tried where they would need longer than this for one call.
MOST_S = 300.0

#: The same of every page.
ABOUT = (
    "One window. Boxes are copies of the bundled ethanol on a lattice as dense as the liquid, each turned at random "
    "and moving as a bundled walker does; no model was trained on them, for this is about cost. Seconds are medians "
    "of up to five calls, with the lowest and highest; training is forward and backward. Memory is the peak of one "
    "call above what model and window hold, each in a process of its own; of a GPU, what torch allocated."
)

WORKS, MODES = ("forecast", "training"), ("listed", "all")

#: What each of a mode's works took, by the number of molecules.
Curves = dict[tuple[str, str], dict[int, Found]]


def run(
    *,
    folder: Path,
    sizes: Sequence[int] = SIZES,
    device: str = "cpu",
    preset: str = "notebook",
    limit_gib: float = 8.0,
    page: str = "scale",
    command: str = "asteroid-nb bench scale",
) -> Path:
    """Measure every size, write a page, and return it.

    Args:
        limit_gib: all pairs are not tried where they would need more.

    Raises:
        InvalidSettings: a device that is not there, or a size below one molecule.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidSettings("--device was cuda, but torch finds no GPU here. Leave it out to use the CPU.")
    if not sizes or min(sizes) < 1:
        raise InvalidSettings(f"--sizes were {list(sizes)}; needed is one number of atoms or more, each above 0.")
    copies = sorted({max(1, round(size / ATOMS_EACH)) for size in sizes})
    curves: Curves = {(mode, work): {} for mode in MODES for work in WORKS}
    ends: dict[tuple[str, str], str] = {}
    for n_copies in copies:
        for key, curve in curves.items():
            if key in ends:
                continue
            wanted = Wanted(n_copies=n_copies, pairs=key[0], work=key[1], device=device, preset=preset)
            if said := _too_much(wanted, curve, limit_gib):
                ends[key] = said
            elif (found := apart(wanted)) is None:
                ends[key] = f"{n_copies * ATOMS_EACH:,} atoms did not fit into memory"
            else:
                curve[n_copies] = found
                print(f"{found.n_atoms:>7} atoms, {key[0]} pairs, {key[1]}: {found.median_s:.3g} s, {_gib(found)} GiB")
    machine = torch.cuda.get_device_name() if device == "cuda" else f"one thread, {platform.machine()}"
    path = write(folder, page, [_finding(curves, ends, preset)], command=command, about=f"Measured on {machine}.")
    print(path.read_text(encoding="utf-8"))
    return path


def asked(options: argparse.Namespace) -> None:
    """Do what ``asteroid-nb bench scale`` was asked for."""
    told = {"--sizes": " ".join(map(str, options.sizes)), "--device": options.device, "--preset": options.preset}
    told |= {"--limit": f"{options.limit:g}", "--page": shlex.quote(options.page)}
    run(
        folder=options.out,
        sizes=options.sizes,
        device=options.device,
        preset=options.preset,
        limit_gib=options.limit,
        page=options.page,
        command=" ".join(["asteroid-nb bench scale", *(f"{name} {value}" for name, value in told.items())]),
    )


def _too_much(wanted: Wanted, curve: dict[int, Found], limit_gib: float) -> str:
    """Return why all pairs of so many atoms are not tried, judged by the largest two sizes that were; or nothing."""
    if wanted.pairs != "all" or len(curve) < 2:
        return ""
    smaller, larger = sorted(curve)[-2:]
    grown = (wanted.n_copies / larger) ** 2
    per_pair = (curve[larger].peak_bytes - curve[smaller].peak_bytes) / (larger**2 - smaller**2)
    needed_gib = max(per_pair * wanted.n_copies**2, 0) / GIB
    n_atoms = wanted.n_copies * ATOMS_EACH
    if needed_gib > limit_gib:
        return f"{n_atoms:,} atoms would need about {needed_gib:,.0f} GiB; the limit was {limit_gib:g}"
    if (seconds := grown * curve[larger].median_s) > MOST_S:
        return f"{n_atoms:,} atoms would take about {seconds:,.0f} s; the limit was {MOST_S:g}"
    return ""


def exponent(curve: dict[int, Found], of: str) -> tuple[float, list[int]] | None:
    """Return the slope of a straight line through the logarithms, by least squares, and the atoms it was fitted on.

    The sizes are those from `FITTED_FROM` on, or the largest two where fewer were possible.
    """
    found = sorted(curve.values(), key=lambda one: one.n_atoms)
    fitted = [one for one in found if one.n_atoms >= FITTED_FROM]
    fitted = fitted if len(fitted) > 1 else found[-2:]
    if len(fitted) < 2:
        return None
    values = [one.median_s if of == "time" else max(one.peak_bytes, 1) for one in fitted]
    slope = np.polyfit(np.log([one.n_atoms for one in fitted]), np.log(values), 1)[0]
    return float(slope), [one.n_atoms for one in fitted]


def _finding(curves: Curves, ends: dict[tuple[str, str], str], preset: str) -> Finding:
    fits = {(key, of): exponent(curve, of) for key, curve in curves.items() for of in ("time", "memory")}
    rows = [
        (f"{n * ATOMS_EACH:,}", *(cell for curve in curves.values() for cell in _cells(curve.get(n))))
        for n in sorted({n for curve in curves.values() for n in curve})
    ]
    rows.append(("exponent", *("–" if one is None else f"{one[0]:.2f}" for one in fits.values())))
    stopped = [f"{_said(work)} with {mode} pairs: {why}" for (mode, work), why in ends.items()]
    return Finding(
        key="scale",
        title="Seconds and peak memory by the number of atoms",
        head=("atoms", *(f"{mode} pairs, {work}: {unit}" for mode, work in curves for unit in ("s", "GiB"))),
        rows=rows,
        rules=[_rule(mode, work, of, *one) for ((mode, work), of), one in fits.items() if one is not None],
        note=f"The {preset!r} preset without weights of each atom's own (atom_identity=False), and with {REGISTERS} "
        f"registers where pairs are listed. {ABOUT} "
        + (f"Where it stopped: {'; '.join(stopped)}." if stopped else "Every size was possible."),
    )


def _rule(mode: str, work: str, of: str, found: float, atoms: list[int]) -> Rule:
    """Return what an exponent is held to: nothing for all pairs, or where sizes do not span a decade of large boxes."""
    judged = mode == "listed" and atoms[0] >= FITTED_FROM and atoms[-1] >= 10 * atoms[0]
    return Rule(
        asked=f"{of} of {_said(work)}, {mode} pairs: exponent" + f" at most {MOST_EXPONENT:g}" * (mode == "listed"),
        measured=f"{found:.2f}, fitted on {atoms[0]:,} to {atoms[-1]:,} atoms ({len(atoms)} sizes)",
        holds=found <= MOST_EXPONENT if judged else None,
    )


def _said(work: str) -> str:
    return "a step of training" if work == "training" else "a forecast"


def _cells(found: Found | None) -> tuple[str, str]:
    if found is None:
        return "–", "–"
    return f"{found.median_s:.3g} ({found.seconds[0]:.3g} to {found.seconds[-1]:.3g})", _gib(found)


def _gib(found: Found) -> str:
    return f"{found.peak_bytes / GIB:.3g}"
