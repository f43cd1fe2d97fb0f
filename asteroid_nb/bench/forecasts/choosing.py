"""What is simulated next: where members run to when they are hot, and which of these structures a strategy wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.bench.forecasts.novelty import Known, farthest_apart
from asteroid_nb.data.bonds import bonds_of
from asteroid_nb.data.trajectory import Trajectory
from asteroid_nb.data.windows import Molecule, Window
from asteroid_nb.errors import SimulationFailed
from asteroid_nb.forecast.ensemble import Ensemble
from asteroid_nb.forecast.verlet import integrate
from asteroid_nb.metrics.structure import bond_lengths, broken_bonds
from asteroid_nb.shapes import Float
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2

#: Strategies: by largest spread, by chance, farthest from what is known, and no choice: hot dynamics from the start.
STRATEGIES = ("spread", "random", "farthest", "straight on")

#: Of all known frames of a piece, those that are learnt from; the rest, its end, chooses the best epoch.
LEARNT = 0.75

#: Of those with the largest spread, among which the chosen are the farthest apart.
MOST_UNSURE = 0.25

#: Frames of a chain before the molecule is given new velocities, and between those that may be chosen.
KICK_FRAMES, BETWEEN_FRAMES = 50, 10

#: Frames of a piece: its end, which chooses the best epoch, must show a bend.
FEWEST_FRAMES = 12


@dataclass(frozen=True, kw_only=True)
class LoopSize:
    """How much is learnt, simulated and judged.

    Args:
        n_members, n_steps, n_path_steps, width: of each ensemble of potentials.
        first_frames: of the cold walker, that all begin with.
        n_rounds: of choosing.
        n_chosen, piece_frames: simulated in each; at least `FEWEST_FRAMES` a piece.
        n_chains, n_kicks: of the ensemble's own hot dynamics.
        n_candidates: structures from these, among which is chosen.
        n_windows: of the hot walkers that judge.
        horizon: frames ahead.
        kelvin: between which the temperature of each chain is drawn; what begins from it is simulated at the same.
    """

    n_members: int = 3
    n_steps: int = 1500
    n_path_steps: int = 0
    width: int = 128
    first_frames: int = 300
    n_rounds: int = 2
    n_chosen: int = 6
    piece_frames: int = 50
    n_chains: int = 32
    n_kicks: int = 8
    n_candidates: int = 400
    n_windows: int = 400
    horizon: int = 32
    kelvin: tuple[float, float] = (650.0, 650.0)

    @property
    def middle_K(self) -> float:
        return sum(self.kelvin) / 2

    @property
    def told_K(self) -> str:
        """Return the temperatures in words."""
        low, high = self.kelvin
        return f"{low:g} K" if low == high else f"temperatures between {low:g} and {high:g} K"


def learnt_frames(known: Sequence[Trajectory]) -> np.ndarray:
    """Return the positions of all pieces that were learnt from."""
    return np.concatenate([np.asarray(one.positions[: int(LEARNT * one.n_frames)]) for one in known])


@torch.no_grad()
def candidates(
    ensemble: Ensemble, known: Sequence[Trajectory], *, seed: int, size: LoopSize
) -> tuple[Tensor, Float[np.ndarray, " structures"]]:
    """Return pairs of frames that the members come to before any bond breaks, and at which temperature.

    Returns:
        [structures, 2, atoms, 3] Å and [structures] K.

    Raises:
        SimulationFailed: there is none.
    """
    draw, molecule, dt_fs = np.random.default_rng(seed), Molecule.of(known), known[0].dt_fs
    frames, bonds = learnt_frames(known), bonds_of(known[0])
    lengths = bond_lengths(learnt_frames(known[:1]), bonds).mean(axis=0)
    found, warmth = [], []
    for number, member in enumerate(ensemble.members):
        n_mine = len(range(number, size.n_chains, len(ensemble)))
        temperatures = draw.uniform(*size.kelvin, size=n_mine)
        path = [torch.from_numpy(frames[draw.integers(len(frames), size=n_mine)]).float()[:, None]]
        for _ in range(size.n_kicks):
            speeds = _maxwell(draw, molecule.masses, temperatures)
            path.append(integrate(member.potential, path[-1][:, -1], speeds, dt_fs=dt_fs, n=KICK_FRAMES))
        whole = torch.cat(path, dim=1)
        for chain, temperature_K in zip(whole, temperatures, strict=True):
            broken = broken_bonds(chain.numpy(), bonds, lengths).any(axis=1)
            n_whole = int(broken.argmax()) if broken.any() else len(chain)
            taken = [chain[last - 1 : last + 1] for last in range(BETWEEN_FRAMES, n_whole, BETWEEN_FRAMES)]
            found, warmth = found + taken, warmth + [temperature_K] * len(taken)
    if not found:
        raise SimulationFailed(
            f"No chain kept its bonds for {BETWEEN_FRAMES} frames at {size.told_K}: there is nothing to choose. "
            "Train for more steps, or begin with more frames."
        )
    chosen = draw.permutation(len(found))[: size.n_candidates]
    return torch.stack([found[place] for place in chosen]), np.array(warmth)[chosen]


def _maxwell(draw: np.random.Generator, masses: np.ndarray, temperatures_K: np.ndarray) -> Tensor:
    """Return [paths, atoms, 3] Å/fs of warm molecules that do not drift."""
    of_each = BOLTZMANN_EV_PER_K * temperatures_K[:, None] / (EV_PER_AMU_ANG2_PER_FS2 * masses)
    speeds = draw.standard_normal((len(temperatures_K), len(masses), 3)) * np.sqrt(of_each)[..., None]
    speeds -= (masses[:, None] * speeds).sum(1, keepdims=True) / masses.sum()
    return torch.from_numpy(speeds).float()


def ordered(
    strategy: str, ensemble: Ensemble, known: Sequence[Trajectory], histories: Tensor, *, seed: int, n: int
) -> np.ndarray:
    """Return which candidates a strategy wants, the most wanted first."""
    if strategy == "random":
        return np.random.default_rng(seed).permutation(len(histories))[:n]
    familiar = Known(Molecule.of(known), learnt_frames(known))
    described = familiar.described(histories[:, -1].numpy())
    if strategy == "farthest":
        return farthest_apart(described, familiar.words, n)
    unsure = ensemble.spread(Window.of(histories, dt_fs=known[0].dt_fs)).double().square().mean((1, 2)).sqrt()
    order = unsure.nan_to_num(nan=torch.inf, posinf=torch.inf).argsort(descending=True)
    most = order[: max(n, round(MOST_UNSURE * len(order)))]
    others = farthest_apart(described[most], described[most[:1]], n - 1)
    return most[np.concatenate([[0], others])].numpy()
