"""Closed-form ridge maps: the rivals that published tables leave out, and the forecast our network starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.forecast.environment import Environment, State
from asteroid_nb.forecast.frames import full_precision, into, out_of
from asteroid_nb.forecast.groups import by_group
from asteroid_nb.shapes import Float

#: Regularisation strengths tried on validation data, relative to unit-variance features.
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)

#: Windows looked at together, of systems up to so many atoms; of larger ones fewer.
CHUNK_WINDOWS, CHUNK_ATOMS = 1024, 32

#: Of its atoms that the largest group has, when groups of unequal size are brought to one.
MOST_REPEATS = 8


class Moments:
    """Sums from which every ridge solution and its error follow: count, means, XᵀX, XᵀY, ΣY², in float64, per group."""

    def __init__(self) -> None:
        self.count, self.sums = 0, []

    @classmethod
    def of(cls, pairs: Iterable[tuple[Tensor, Tensor]]) -> Moments:
        """Return the sums over all pairs of features and targets, one held at a time."""
        moments = cls()
        for x, y in pairs:
            moments.add(x, y)
        return moments

    def add(self, x: Float[Tensor, "groups samples features"], y: Float[Tensor, "groups samples targets"]) -> None:
        x, y = x.double(), y.double()
        new = [x.sum(1), y.sum(1), x.mT @ x, x.mT @ y, y.square().sum(1)]
        self.sums = [old.add_(more) for old, more in zip(self.sums, new, strict=True)] if self.sums else new
        self.count += x.shape[1]

    def solve(self, strengths: Iterable[float], *, intercept: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield weights [groups, features, targets] and intercepts [groups, targets]: least |y − xW − b|² + λ|W|²."""
        mean_x, mean_y, xx, xy, _ = [total / self.count for total in self.sums]
        if intercept:
            xx.baddbmm_(mean_x[:, :, None], mean_x[:, None], alpha=-1)
            xy.baddbmm_(mean_x[:, :, None], mean_y[:, None], alpha=-1)
        unregularised = xx.diagonal(dim1=-2, dim2=-1).clone()
        for strength in strengths:
            xx.diagonal(dim1=-2, dim2=-1).copy_(unregularised + strength)
            weights = torch.cholesky_solve(xy, torch.linalg.cholesky(xx))
            offset = mean_y - (mean_x[:, None] @ weights)[:, 0] if intercept else torch.zeros_like(mean_y)
            yield weights, offset

    def squared_error(self, weights: Tensor, offset: Tensor) -> Float[Tensor, "groups targets"]:
        """Return the mean squared error of a linear map on these pairs."""
        sum_x, sum_y, xx, xy, yy = self.sums
        squared = (weights * (xx @ weights - 2 * xy)).sum(1) + yy
        squared += offset * (self.count * offset + 2 * ((sum_x[:, None] @ weights)[:, 0] - sum_y))
        return squared.clamp(min=0) / self.count

    def one_by_one(self) -> Iterator[Moments]:
        """Yield each group's sums, from which its solution follows in a fraction of the memory."""
        for group in range(len(self.sums[0])):
            own = Moments()
            own.count, own.sums = self.count, [total[group : group + 1] for total in self.sums]
            yield own


def best_strength(
    moments: Moments, judged: Moments, *, horizon: int, intercept: bool, unit: float = 1.0
) -> tuple[float, Tensor, Tensor]:
    """Return error and solution of the strength, one of `STRENGTHS` in ``unit``, that validation likes best.

    The error is in Å, averaged over lead times, by which the targets are led.
    """
    strengths = [unit * strength for strength in STRENGTHS]
    solved = [list(group.solve(strengths, intercept=intercept)) for group in moments.one_by_one()]
    squared = [
        torch.stack([group.squared_error(*solution)[0] for solution in solutions])
        for group, solutions in zip(judged.one_by_one(), solved, strict=True)
    ]
    errors = torch.stack(squared).unflatten(-1, (horizon, -1)).mean((0, 3)).sqrt().mean(-1)
    best = int(errors.argmin())
    weights, offset = (torch.cat(parts) for parts in zip(*(solutions[best] for solutions in solved), strict=True))
    return float(errors[best]), weights, offset


class LinearSkip(nn.Module):
    """A linear forecast from one state: copy, constant velocity, or a ridge map for each group of atoms in its frame.

    Args:
        environment: that makes the states.
        horizon: frames ahead.
        kind: "none", "constant_velocity" or "ridge".
    """

    group: Tensor
    weights: Tensor
    offset: Tensor

    def __init__(self, environment: Environment, *, horizon: int, kind: str) -> None:
        super().__init__()
        self.horizon, self.kind = horizon, kind
        self.register_buffer("group", environment.group, persistent=False)
        if kind == "ridge":
            self.register_buffer("weights", torch.zeros(environment.n_groups, environment.n_features, horizon * 3))
            self.register_buffer("offset", torch.zeros(environment.n_groups, horizon * 3))

    def forward(self, state: State) -> Float[Tensor, "windows times columns atoms 3"]:
        """Return columns 0 (the frame itself) to ``horizon`` of the delay-matrix row at every time of the state."""
        anchor = state.anchor[:, :, None]
        if self.kind == "ridge":
            with full_precision(anchor):
                moved = by_group(state.features, self.weights, self.group)
            components = moved + self.offset[self.group]
            steps = out_of(state.frames, components.unflatten(-1, (self.horizon, 3))).movedim(2, 3)
        else:
            leads = torch.arange(1, self.horizon + 1, device=anchor.device).view(1, 1, -1, 1, 1)
            steps = leads * state.velocity[:, :, None] * (self.kind == "constant_velocity")
        return torch.cat([anchor, anchor + steps], dim=2)

    def fit(
        self,
        environment: Environment,
        train: Windows,
        validation: Windows,
        prepare: Callable[[Window], Window],
        *,
        vary: Callable[[Window], Iterable[Window]] = lambda window: [window],
    ) -> None:
        """Solve the ridge map on the training windows, regularised as the validation windows like it best.

        Args:
            prepare: brings a window into the frame the map works in.
            vary: returns the variants of a batch of training windows that are fitted.
        """
        if self.kind != "ridge":
            return
        present = torch.tensor([train.shape.history - 1])
        moments = Moments()
        pairs_of = lambda window: self._pairs(environment(window.history, present), window.truth)  # noqa: E731
        batches = train.enough().batches(gathered_windows(train))
        moments = Moments.of(pairs_of(prepare(variant)) for window in batches for variant in vary(window))
        judged = validation.subset(most=4 * chunk_windows(train)).batches(gathered_windows(train))
        checked = Moments.of(pairs_of(prepare(window)) for window in judged)
        _, weights, offset = best_strength(moments, checked, horizon=self.horizon, intercept=True)
        self.weights.copy_(weights)
        self.offset.copy_(offset)

    def _pairs(self, state: State, future: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and targets [groups, samples, …] of the present state."""
        moved = (future - state.anchor).movedim(1, 2)
        targets = into(state.frames[:, 0], moved).flatten(-2)
        return self._grouped(state.features[:, 0]), self._grouped(targets)

    def _grouped(self, per_atom: Float[Tensor, "windows atoms values"]) -> Float[Tensor, "groups samples values"]:
        """Return the samples of each group; smaller groups repeat theirs evenly, which leaves their solution alone."""
        n_groups, sizes = int(self.group.max()) + 1, torch.bincount(self.group)
        copies = math.lcm(*sizes.tolist())
        copies = copies if copies <= MOST_REPEATS * int(sizes.max()) else int(sizes.max())  # then even but for one
        picked = [self.group.eq(g).nonzero()[:, 0] for g in range(n_groups)]
        picked = [atoms.repeat(-(-copies // len(atoms)))[:copies] for atoms in picked]
        return per_atom[:, torch.stack(picked)].movedim(1, 0).flatten(1, 2)


def chunk_windows(windows: Windows) -> int:
    """Return how many windows are looked at together."""
    return max(1, CHUNK_WINDOWS * CHUNK_ATOMS // max(CHUNK_ATOMS, windows.molecule.n_atoms))


def gathered_windows(windows: Windows) -> int:
    """Return how many windows are gathered at a time while sums are accumulated."""
    return max(1, chunk_windows(windows) // 4)


def looked_at_first(windows: Windows) -> int:
    """Return how many windows, held in memory together, scales are taken from."""
    return (4 if windows.molecule.n_atoms <= CHUNK_ATOMS else 2) * chunk_windows(windows)
