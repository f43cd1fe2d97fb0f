"""A thermostat for chained forecasts: between two of them, the velocities the next one starts from are rescaled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.shapes import Float
from asteroid_nb.units import BOLTZMANN_EV_PER_K, EV_PER_AMU_ANG2_PER_FS2

#: Frames further apart do not show how fast hydrogen moves: a C–H stretch keeps 0.95 of its speed at 2 fs, 0.70 at 5.
FURTHEST_FS = 2.0


@dataclass(frozen=True, kw_only=True)
class Thermostat:
    """Stochastic velocity rescaling, which samples the canonical ensemble and hardly disturbs how a molecule moves.

    What is rescaled are the displacements of a whole history from the present. That is exact where a forecaster reads
    velocities from the last two frames, as Newton's equations do at one step a frame, and to first order elsewhere:
    keep ``coupling_fs`` well above the horizon there. Velocities are those half a frame before the present, which
    leaves molecules of a few atoms slightly too hot where frames are 2 fs apart.

    Args:
        temperature_K: of the internal motion, as finite differences of the forecast's own frames show it.
        coupling_fs: the time in which a wrong kinetic energy falls to 1/e.
        seed: of the random part of each rescaling.

    Raises:
        InvalidSettings: a temperature or time that is not positive and finite.

    Reference:
        Bussi, Donadio & Parrinello (2007), doi:10.1063/1.2408420.
    """

    temperature_K: float
    coupling_fs: float = 100.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("temperature_K", "coupling_fs"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InvalidSettings(f"{name} was {value!r}; a positive, finite number is needed.")


class Rescaling:
    """What a thermostat does to the histories of one molecule.

    Args:
        thermostat: how warm, how closely.
        masses: amu, of a molecule in vacuum: neither its momentum nor its angular momentum is heat.
        dt_fs: between frames.

    Raises:
        InvalidSettings: frames too far apart, or no internal motion.
    """

    def __init__(self, thermostat: Thermostat, masses: Float[np.ndarray, " atoms"], dt_fs: float) -> None:
        self.thermostat, self.dt_fs = thermostat, dt_fs
        self.masses = torch.as_tensor(np.array(masses, dtype=float))
        self.n_free = 3 * len(masses) - 6
        self.random = np.random.default_rng(thermostat.seed)
        if dt_fs > FURTHEST_FS * (1 + 1e-6):
            raise InvalidSettings(
                f"Frames are {dt_fs:g} fs apart; a thermostat reads velocities from them, and needs at most "
                f"{FURTHEST_FS:g} fs. Train on closer frames, or chain without a thermostat."
            )
        if self.n_free < 1:
            raise InvalidSettings(f"Found {len(masses)} atoms; the thermostat needs three or more.")

    def __call__(
        self, history: Float[Tensor, "windows frames atoms 3"], passed_fs: float
    ) -> Float[Tensor, "windows frames atoms 3"]:
        """Return histories that end where these do and got there faster or slower, after so many fs without."""
        if history.shape[1] < 2:
            raise InvalidSettings("A thermostat needs two frames of history, found one. Give a longer history.")
        heat, drift = self._parts(history[:, -2:])
        hot = self._kelvin(heat).clamp_min(1e-3 * self.thermostat.temperature_K)
        keep = math.exp(-passed_fs / self.thermostat.coupling_fs)
        one, rest = (
            torch.as_tensor(drawn).to(hot)
            for drawn in (self.random.normal(size=len(hot)), self.random.chisquare(self.n_free - 1, len(hot)))
        )
        new = (1 - keep) * self.thermostat.temperature_K / (self.n_free * hot)
        squared = keep + new * (one.square() + rest) + 2 * one * (keep * new).sqrt()
        scale = squared.clamp_min(0).sqrt()[:, None, None, None].to(history)
        ago_fs = self.dt_fs * torch.arange(history.shape[1] - 1, -1, -1, device=history.device)
        carried = history[:, -1:] - ago_fs[:, None, None].to(history) * drift[:, None].to(history)
        return carried + scale * (history - carried)

    def temperature_K(self, pair: Float[Tensor, "windows two atoms 3"]) -> Float[Tensor, " windows"]:
        """Return how warm the internal motion between two frames is."""
        return self._kelvin(self._parts(pair)[0])

    def _kelvin(self, heat: Tensor) -> Tensor:
        twice_kinetic = EV_PER_AMU_ANG2_PER_FS2 * (self.masses.to(heat.device)[:, None] * heat.square()).sum((1, 2))
        return twice_kinetic / (self.n_free * BOLTZMANN_EV_PER_K)

    def _parts(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Return [windows, atoms, 3] velocities between two frames: of the internal motion, and of the rigid one.

        Rescaling the rigid motion, too, would let rotation grow: no thermostat sees it.
        """
        masses = self.masses.to(pair.device)[:, None]
        velocities, places = (pair[:, 1] - pair[:, 0]).double() / self.dt_fs, pair.double().mean(dim=1)
        mean = lambda vectors: (masses * vectors).sum(1, keepdim=True) / masses.sum()  # noqa: E731
        places = places - mean(places)
        turning = torch.linalg.cross(places, masses * velocities).sum(1)
        spread = torch.einsum("waj,wak,ab->wjk", places, places, masses)
        inertia = torch.diag_embed(spread.diagonal(dim1=1, dim2=2).sum(1, keepdim=True).expand(-1, 3)) - spread
        spin = (torch.linalg.pinv(inertia, rtol=1e-9) @ turning[..., None])[..., 0]
        rigid = mean(velocities) + torch.linalg.cross(spin[:, None].expand_as(places), places)
        return velocities - rigid, rigid
