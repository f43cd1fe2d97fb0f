"""Molecular dynamics by ASE on a trained force field whose solver starts where the last step ended."""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from asteroid_nb.equilibrium.compiled import CompiledMaps
from asteroid_nb.equilibrium.fixed_point import Solver
from asteroid_nb.equilibrium.forces import Answer, evaluate
from asteroid_nb.equilibrium.frames import own_energies
from asteroid_nb.equilibrium.run import ForceFieldRun
from asteroid_nb.equilibrium.warm_start import FARTHEST_ANG, Policy, WarmStart
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory, NotConverged

if TYPE_CHECKING:
    import ase

#: Cheap, and keeps the energy in short runs (notebook 06); figures B1 and D1 of ``asteroid-nb bench equilibrium`` judge
#: it over longer ones.
DEFAULT_POLICY, DEFAULT_TOLERANCE = "linear+recycle", 3e-4

PRECISIONS = {"single": torch.float32, "double": torch.float64}


@dataclass(frozen=True, kw_only=True)
class SolverRecord:
    """What one call for forces took.

    Args:
        each_steps: evaluations of f, of each molecule.
        each_adjoint_steps: vector–Jacobian products, of each molecule.
        residual, adjoint_residual: of the last state, the largest over molecules.
        seconds: of the whole call.
        cold: nothing was known from before.
    """

    each_steps: tuple[int, ...]
    each_adjoint_steps: tuple[int, ...]
    residual: float
    adjoint_residual: float
    seconds: float
    cold: bool

    @property
    def steps(self) -> int:
        """Return evaluations of f of the molecule that needed most, which are those of the batch."""
        return max(self.each_steps)

    @property
    def adjoint_steps(self) -> int:
        return max(self.each_adjoint_steps)


class WarmForces:
    """Energies and forces of one system after another step, each solved from what the steps before left.

    Args:
        run: a trained force field, an equilibrium model or an explicit twin.
        policy: of the warm start, one of `warm_start.POLICIES`.
        tolerance: of the solvers of z and λ. It should be a tenth of what z changes by in a step, or less; a looser one
            lets a stale state pass as converged after one evaluation, and the molecule heats.
        max_steps: evaluations before giving up.
        precision: "double", or "single", whose rounding of 1e-7 no tolerance may come near.
        device: where the model computes.
        compiled: the solver's maps by ``torch.compile``, which takes a minute or two at first; all pairs only.

    Raises:
        InvalidSettings: an unknown policy or precision, or an impossible tolerance.
    """

    def __init__(
        self,
        run: ForceFieldRun,
        *,
        policy: str = DEFAULT_POLICY,
        tolerance: float = DEFAULT_TOLERANCE,
        max_steps: int = 100,
        precision: str = "double",
        device: str = "cpu",
        compiled: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise InvalidSettings(f"precision was {precision!r}; it must be one of {', '.join(PRECISIONS)}.")
        self.run, self.device, self.precision = run, device, PRECISIONS[precision]
        self.solver = Policy(policy).solver(Solver(tolerance=tolerance, max_steps=max_steps))
        self.model = run.copy_of_model(device, self.precision)
        self.compiled = CompiledMaps(self.model) if compiled else None
        self.warm = WarmStart(policy)
        self.history: list[SolverRecord] = []
        self.system: tuple[Any, ...] = ()
        self.cell: np.ndarray | None = None

    def reset(self) -> None:
        """Start the next solve cold, as for another system."""
        self.warm.reset()
        self.system = ()

    def __call__(
        self,
        positions: np.ndarray,
        atomic_numbers: np.ndarray,
        *,
        cell: np.ndarray | None = None,
        periodic: tuple[bool, bool, bool] = (False, False, False),
        charges: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return energies [molecules] in eV and forces [molecules, atoms, 3] in eV/Å.

        Another system than at the last call (elements, their order, charges, periodicity, a box vector that is more
        than `FARTHEST_ANG` from the last one) starts cold.

        Args:
            positions: [molecules, atoms, 3] Å.
            atomic_numbers: [molecules, atoms].
            charges: part of what the system is; the model itself does not know them.

        Raises:
            InvalidTrajectory: positions that are not finite, or atoms on top of each other.
            ModelMismatch: an element it has not learnt from.
            NotConverged: the tolerance was not met; what was kept is dropped.
        """
        began = time.perf_counter()
        self._must_be_places(positions)
        self.run.must_know(np.unique(atomic_numbers))
        self._must_be_the_same(atomic_numbers, cell, periodic, charges)
        places = torch.tensor(positions, dtype=self.precision, device=self.device)
        start = self.warm.start(places)
        try:
            answer = evaluate(
                self.model,
                places,
                torch.tensor(atomic_numbers, dtype=torch.int64, device=self.device),
                solver=self.solver,
                start=start,
                cell=None if cell is None else torch.tensor(cell, dtype=self.precision, device=self.device),
                periodic=periodic,
                compiled=self.compiled,
            )
        except NotConverged:
            self.warm.reset()
            raise
        self.warm.update(answer, places)
        own = own_energies(self.run.atomic_energies_eV, atomic_numbers)
        energies, forces = answer.energies.double().cpu().numpy() + own, answer.forces.double().cpu().numpy()
        self.history.append(_record(answer, time.perf_counter() - began, cold=start.z is None))
        return energies, forces

    def _must_be_places(self, positions: np.ndarray) -> None:
        if not np.isfinite(positions).all():
            atom = int(np.argwhere(~np.isfinite(positions))[0][1])
            self.reset()
            raise InvalidTrajectory(
                f"The position of atom {atom} is not a number. Look at the step before: the time step may be too long."
            )

    def _must_be_the_same(
        self, atomic_numbers: np.ndarray, cell: np.ndarray | None, periodic: tuple[bool, ...], charges: Any
    ) -> None:
        """Forget what is known of another system."""
        box = (cell is not None, *periodic)
        known = (atomic_numbers.shape, atomic_numbers.tobytes(), box, None if charges is None else charges.tobytes())
        moved = cell is not None and self.cell is not None and np.abs(cell - self.cell).max() > FARTHEST_ANG
        if known != self.system or moved:
            self.warm.reset()
        self.system, self.cell = known, None if cell is None else np.array(cell)


def _record(answer: Answer, seconds: float, *, cold: bool) -> SolverRecord:
    parts = (answer.z, answer.adjoint)
    none = (0,) * len(answer.energies)
    steps = [none if part is None else tuple(part.n_steps.tolist()) for part in parts]
    residuals = [0.0 if part is None else float(part.residual.max()) for part in parts]
    return SolverRecord(
        each_steps=steps[0], each_adjoint_steps=steps[1], residual=residuals[0], adjoint_residual=residuals[1],
        seconds=seconds, cold=cold,
    )  # fmt: skip


def calculator(run: ForceFieldRun, *, n_molecules: int = 1, **options: Any) -> Any:
    """Return an ASE calculator that keeps what the last step left.

    It has ``history``, one `SolverRecord` a call, and ``reset()``.

    Args:
        n_molecules: copies of one molecule, one after the other in the Atoms, that do not see each other and are
            solved as one batch.
        options: of `WarmForces`: policy, tolerance, max_steps, precision, device, compiled.

    Raises:
        MissingExtra: ASE is not installed.
        InvalidSettings: an option outside its range.
    """
    if n_molecules < 1:
        raise InvalidSettings(f"n_molecules was {n_molecules!r}; it must be at least 1.")
    return _calculator_class()(WarmForces(run, **options), n_molecules)


@functools.cache
def _calculator_class() -> Any:
    from ase.calculators.calculator import Calculator, all_changes

    class EquilibriumCalculator(Calculator):
        """Energies and forces of a trained force field; ``energies`` holds those of each molecule of a batch."""

        implemented_properties = ["energy", "forces"]

        def __init__(self, forces: WarmForces, n_molecules: int) -> None:
            super().__init__()
            self.solves, self.n_molecules = forces, n_molecules
            self.energies = np.zeros(n_molecules)

        @property
        def history(self) -> list[SolverRecord]:
            return self.solves.history

        def reset(self) -> None:
            """Start the next solve cold."""
            super().reset()
            if hasattr(self, "solves"):  # ASE resets before there is anything
                self.solves.reset()

        def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes):
            super().calculate(atoms, properties, system_changes)
            here: Any = self.atoms
            self.energies, forces = _of_atoms(self.solves, here, self.n_molecules)
            self.results = {"energy": float(self.energies.sum()), "forces": forces.reshape(-1, 3)}

    return EquilibriumCalculator


def _of_atoms(solves: WarmForces, atoms: ase.Atoms, n_molecules: int) -> tuple[np.ndarray, np.ndarray]:
    boxed, uneven = n_molecules > 1 and atoms.pbc.any(), len(atoms) % n_molecules
    if boxed or uneven or (atoms.numbers.reshape(n_molecules, -1) != atoms.numbers[: len(atoms) // n_molecules]).any():
        raise InvalidSettings(
            f"Found {len(atoms)} atoms{' in a box' if atoms.pbc.any() else ''} for {n_molecules} molecules; a batch "
            "needs equal molecules without a box. Set n_molecules to how many there are."
        )
    periodic = tuple(bool(flag) for flag in atoms.pbc)
    if any(periodic) and not atoms.cell.array[atoms.pbc].any(axis=1).all():
        raise InvalidTrajectory("The atoms are periodic along a box vector that is zero. Set the cell, or pbc=False.")
    return solves(
        atoms.positions.reshape(n_molecules, -1, 3),
        atoms.numbers.reshape(n_molecules, -1),
        cell=atoms.cell.array if any(periodic) else None,
        periodic=periodic,  # type: ignore[arg-type]
        charges=atoms.get_initial_charges(),
    )


def settings_of(solves: WarmForces) -> dict[str, Any]:
    """Return policy and solver as plain values, for records."""
    return {"policy": solves.warm.policy.name, "solver": asdict(solves.solver), "precision": str(solves.precision)}
