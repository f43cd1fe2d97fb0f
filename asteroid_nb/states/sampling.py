"""Sampling of many chains at once, the same for every model of states: one loop over frames, no work per chain.

A state is drawn by turning one uniform number per chain and frame through the cumulative probabilities, in double
precision, because rare jumps live in the last digits. A state of probability zero is never drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from asteroid_nb.data.trajectory import StateTrajectory
from asteroid_nb.errors import InvalidSettings, InvalidTrajectory
from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.windows import StateWindows, must_fit

#: Frames whose random numbers are drawn together.
BLOCK_FRAMES = 256

#: Windows that are scored together.
SCORED_TOGETHER = 16

Start = int | Sequence[int] | np.ndarray | None


class Stepper(Protocol):
    """What sampling needs of a model: scores of the next state, and a memory of the chains so far."""

    @property
    def name(self) -> str: ...

    @property
    def n_states(self) -> int: ...

    @property
    def context(self) -> int:
        """Return the frames of history in a training window."""
        ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, states: Tensor) -> Tensor:
        """Return scores [windows, history, states] of the state after each of [windows, history]."""
        ...

    def begin(self, n_chains: int) -> Any:
        """Return the memory of chains that have seen nothing."""
        ...

    def step(self, states: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Return scores [chains, states] of the state after [chains], and the memory with these in it."""
        ...


class StateModel:
    """A model of state sequences that samples and is judged like any other: a `LanguageRun` or a `MarkovChain`.

    Args:
        stepper: the model itself.
        dt_fs: between the frames it has learnt from, and so between those it makes.
        labels: one name per state.
        frequencies: [states], the share of training frames in each.
    """

    stepper: Stepper
    dt_fs: float
    labels: tuple[str, ...]
    frequencies: np.ndarray

    @property
    def name(self) -> str:
        return self.stepper.name

    @property
    def context(self) -> int:
        """Return the frames of history in a window it is judged on."""
        return self.stepper.context

    @property
    def device(self) -> torch.device:
        return self.stepper.device

    @property
    def n_states(self) -> int:
        return self.stepper.n_states

    def sample(
        self,
        n_frames: int,
        *,
        n_chains: int | None = None,
        start: Start = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> Int[np.ndarray, "chains frames"]:
        """Return chains that the model makes by feeding its own states back, the first frame of each its start.

        Args:
            n_frames: of each chain, the start included.
            n_chains: how many; 256, or as many as there are starts, when not given.
            start: one state for all, [chains] states, or [chains, history] states that came before, of which the last
                is the first frame; drawn from the training frequencies when not given.
            temperature: scores are divided by it before a state is drawn. Below 1 likely states become likelier;
                at 0 every chain takes the likeliest state (of several the lowest number), so that nothing is random.
            seed: of the starts and of every draw. More frames from the same seed begin with the same frames.

        Raises:
            InvalidSettings: no frames, no chains, starts that are not so many, a temperature below 0 or not finite.
            InvalidTrajectory: starts that are no states of this model.
        """
        if not (math.isfinite(temperature) and temperature >= 0):
            raise InvalidSettings(f"The temperature was {temperature!r}; it must be finite and at least 0.")
        if n_frames < 1 or (n_chains is not None and n_chains < 1):
            raise InvalidSettings(f"Found n_frames={n_frames}, n_chains={n_chains}; at least 1 of each is needed.")
        generator = torch.Generator().manual_seed(seed)
        history = self._history(start, n_chains, generator).to(self.device)
        return sample_chains(self.stepper, history, n_frames, temperature=temperature, generator=generator)

    def trajectories(self, n_frames: int, **options: Any) -> list[StateTrajectory]:
        """Return what `sample` does as one `StateTrajectory` per chain, ready for whatever reads simulations."""
        said = {"model": self.name, "temperature": 1.0, "seed": 0, **options}
        said.pop("start", None)
        return [
            StateTrajectory(
                chain, self.n_states, self.dt_fs, self.labels, name=f"{self.name}, chain {number}", provenance=said
            )
            for number, chain in enumerate(self.sample(n_frames, **options), start=1)
        ]

    def cross_entropy(self, trajectories: StateTrajectory | Sequence[StateTrajectory]) -> float:
        """Return the mean −ln p of the states that came next, in nats per frame: smaller is better.

        Histories begin anew every ``context`` frames.

        Raises:
            ModelMismatch: states or spacing are not the model's.
            TrajectoryTooShort: a trajectory has not even one context and a frame after it.
        """
        several = [trajectories] if isinstance(trajectories, StateTrajectory) else list(trajectories)
        for trajectory in several:
            self.must_fit(trajectory)
        return mean_cross_entropy(self.stepper, StateWindows(several, self.context + 1), self.device)

    def must_fit(self, trajectory: StateTrajectory) -> None:
        """Raise `ModelMismatch` unless a trajectory has the model's states and spacing."""
        must_fit(trajectory, n_states=self.n_states, dt_fs=self.dt_fs, what="the model")

    def _history(self, start: Start, n_chains: int | None, generator: torch.Generator) -> Int[Tensor, "chains history"]:
        if start is None:
            weights = torch.as_tensor(self.frequencies, dtype=torch.float64)
            return torch.multinomial(weights, n_chains or 256, replacement=True, generator=generator)[:, None]
        given = np.asarray(start)
        if given.ndim > 2 or given.size == 0 or not np.issubdtype(given.dtype, np.integer):
            raise InvalidTrajectory(
                f"Starts were {given.dtype} of shape {given.shape}; needed is one state, [chains] or [chains, history]."
            )
        if given.min() < 0 or given.max() >= self.n_states:
            raise InvalidTrajectory(
                f"Starts run from {given.min()} to {given.max()}; the model's states are 0 to {self.n_states - 1}."
            )
        if given.ndim == 0:
            given = np.full(n_chains or 256, given)
        if n_chains is not None and len(given) != n_chains:
            raise InvalidSettings(f"Found {len(given)} starts for {n_chains} chains. Give one per chain, or a number.")
        return torch.as_tensor(given.astype(np.int64)).reshape(len(given), -1)


@torch.inference_mode()
def sample_chains(
    stepper: Stepper,
    history: Int[Tensor, "chains history"],
    n_frames: int,
    *,
    temperature: float,
    generator: torch.Generator,
) -> Int[np.ndarray, "chains frames"]:
    """Return chains that go on from ``history``; its last frame is their first."""
    memory = stepper.begin(len(history))
    for states in history.T[:-1]:
        _, memory = stepper.step(states, memory)
    frames = history.new_empty(n_frames, len(history))
    frames[0] = history[:, -1]
    for first in range(1, n_frames, BLOCK_FRAMES):
        uniform = torch.rand(BLOCK_FRAMES, len(history), dtype=torch.float64, generator=generator).to(history.device)
        for frame, numbers in zip(range(first, n_frames), uniform, strict=False):  # the last block is cut short
            scores, memory = stepper.step(frames[frame - 1], memory)
            frames[frame] = drawn(scores, numbers, temperature)
    return frames.T.contiguous().cpu().numpy()


def drawn(
    scores: Float[Tensor, "chains states"], numbers: Float[Tensor, " chains"], temperature: float
) -> Int[Tensor, " chains"]:
    """Return the state of each chain that its number between 0 and 1 points at; temperature 0 takes the likeliest."""
    if temperature == 0:
        return scores.argmax(-1)
    below_best = (scores - scores.amax(-1, keepdim=True)).double()
    cumulative = (below_best / temperature).exp().cumsum(-1)
    return torch.searchsorted(cumulative, (numbers * cumulative[:, -1])[:, None], right=True)[:, 0]


@torch.inference_mode()
def mean_cross_entropy(
    model: Stepper, windows: StateWindows, device: torch.device, *, most: int | None = None
) -> float:
    """Return the mean −ln p of next states over windows side by side, at most ``most`` of them, evenly spread."""
    starts = windows.starts()
    if most is not None and len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).astype(int)]
    total = 0.0
    for batch in windows.batches(starts, SCORED_TOGETHER, device):
        scores = model(batch[:, :-1]).double().flatten(0, 1)
        total += float(torch.nn.functional.cross_entropy(scores, batch[:, 1:].flatten(), reduction="sum"))
    return total / (len(starts) * (windows.length - 1))
