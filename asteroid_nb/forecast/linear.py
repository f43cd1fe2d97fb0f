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

#: Windows that are varied together, and by which validation windows are counted, of systems up to so many atoms; of
#: larger ones fewer.
CHUNK_WINDOWS, CHUNK_ATOMS = 1024, 32

#: Of its atoms that the largest group has, when groups of unequal size are brought to one.
MOST_REPEATS = 8


class Moments:
    """Running sums from which every ridge solution follows: count, means, XᵀX and XᵀY, in float64, per group."""

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
        if not self.sums:
            groups, features, targets = len(x), x.shape[-1], y.shape[-1]
            shapes = (features,), (targets,), (features, features), (features, targets)
            self.sums = [x.new_zeros(groups, *shape) for shape in shapes]
        for total, new in zip(self.sums[:2], (x, y), strict=True):
            total.add_(new.sum(1))
        for total, new in zip(self.sums[2:], (x, y), strict=True):
            total.baddbmm_(x.mT, new)
        self.count += x.shape[1]

    def solve(self, strengths: Iterable[float], *, intercept: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield weights [groups, features, targets], intercepts [groups, targets]: least mean |y − xW − b|² + λ|W|²."""
        mean_x, mean_y, xx, xy = [total / self.count for total in self.sums]
        if intercept:
            xx.baddbmm_(mean_x[:, :, None], mean_x[:, None], alpha=-1)
            xy.baddbmm_(mean_x[:, :, None], mean_y[:, None], alpha=-1)
        unregularised = xx.diagonal(dim1=-2, dim2=-1).clone()
        for strength in strengths:
            xx.diagonal(dim1=-2, dim2=-1).copy_(unregularised + strength)
            weights = torch.cholesky_solve(xy, torch.linalg.cholesky(xx))
            offset = mean_y - (mean_x[:, None] @ weights)[:, 0] if intercept else torch.zeros_like(mean_y)
            yield weights, offset

    def one_by_one(self) -> Iterator[Moments]:
        """Yield each group's sums, not to be added to: from them its solution follows in a fraction of the memory."""
        for group in range(len(self.sums[0])):
            own = Moments()
            own.count, own.sums = self.count, [total[group : group + 1] for total in self.sums]
            yield own


def best_strength(
    moments: Moments, judged: Iterable[tuple[Tensor, Tensor]], *, horizon: int, intercept: bool, unit: float = 1.0
) -> tuple[float, Tensor, Tensor]:
    """Return error and solution of the strength, one of `STRENGTHS` in ``unit``, that validation data like best.

    Args:
        judged: features and targets [groups, samples, …], led by lead time, of validation data, a batch at a time.

    Returns:
        The error in Å, averaged over lead times; weights and intercepts, in float32.
    """
    strengths = [unit * strength for strength in STRENGTHS]
    _, y_sums, _, xy_sums = moments.sums
    every_weights, every_offset = (
        sums.new_empty(len(strengths), *sums.shape, dtype=torch.float32) for sums in (xy_sums, y_sums)
    )
    for group, own in enumerate(moments.one_by_one()):
        for number, solution in enumerate(own.solve(strengths, intercept=intercept)):
            every_weights[number, group], every_offset[number, group] = (part[0] for part in solution)
    solutions = list(zip(every_weights, every_offset, strict=True))
    squared, count = torch.zeros(len(strengths), horizon, dtype=torch.float64), 0
    for x, y in judged:
        for number, (weights, offset) in enumerate(solutions):
            error = (x @ weights + offset[:, None] - y).square().unflatten(-1, (horizon, -1))
            squared[number] += error.double().sum((0, 1, 3)).cpu()
        count += y.numel() // horizon
    errors = (squared / count).sqrt().mean(-1)
    best = int(errors.argmin())
    weights, offset = solutions[best]
    return float(errors[best]), weights.clone(), offset.clone()  # what is kept must not keep the others


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
        chunk, together = chunk_windows(train), gathered_windows(train)
        pairs_of = lambda window: self._pairs(environment(window.history, present), window.truth)  # noqa: E731
        varied = (variant for window in train.enough().batches(chunk) for variant in vary(window))
        moments = Moments.of(pairs_of(part) for variant in varied for part in prepare(variant).pieces(together))
        judged = map(prepare, validation.subset(most=4 * chunk).batches(together))
        _, weights, offset = best_strength(moments, map(pairs_of, judged), horizon=self.horizon, intercept=True)
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
    """Return how many windows make a chunk: small as they are read, but not as features."""
    return max(1, CHUNK_WINDOWS * CHUNK_ATOMS // max(CHUNK_ATOMS, windows.molecule.n_atoms))


def gathered_windows(windows: Windows) -> int:
    """Return of how many windows all features are held at a time: an eighth of a chunk."""
    return max(1, chunk_windows(windows) // 8)


def looked_at_first(windows: Windows) -> int:
    """Return how many windows scales are taken from."""
    return (4 if windows.molecule.n_atoms <= CHUNK_ATOMS else 2) * chunk_windows(windows)
