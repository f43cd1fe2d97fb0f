"""Who matters to whom in a forecast, by intervention: an atom is hidden from attention, or held still.

Attention says where information was read. Whether it made a difference is seen only by taking it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.attention import Attention, blocked, recording
from asteroid_nb.forecast.run import Run
from asteroid_nb.shapes import Float

#: Windows forecast at a time.
BATCH = 64

Intervention = Literal["unseen", "still"]


@torch.no_grad()
def influence(run: Run, windows: Windows, *, by: Intervention = "unseen") -> Float[np.ndarray, "windows atoms atoms"]:
    """Return how far, in Å, the forecast of each atom moves when another one is taken away: [window, moved, taken].

    The distance between both forecasts, root mean square over the horizon. An atom's own entry says what it is to
    itself: 0 where it is only unseen by others.

    Args:
        windows: on which it is measured.
        by: "unseen": no other atom and no register may attend to it, in any layer, and the weights go to the rest;
            "still": its history is replaced by its present position, which every part of the model sees.

    Raises:
        ModelMismatch: windows of other atoms, length or spacing.
        InvalidSettings: no such intervention.
    """
    if by not in ("unseen", "still"):
        raise InvalidSettings(f"by was {by!r}; an atom is made 'unseen' or held 'still'.")
    run.stride_for(windows.trajectories[0])
    parts = []
    for window in windows.batches(BATCH):
        seen = window.replace(future=None)
        usual, moved = run.forecast(seen), []
        for atom in range(windows.molecule.n_atoms):
            if by == "still":
                changed = run.forecast(held_still(seen, atom))
            else:
                with unseen(run.model, atom):
                    changed = run.forecast(seen)
            moved.append((changed - usual).square().sum(-1).mean(1).sqrt())
        parts.append(torch.stack(moved, dim=-1))
    return torch.cat(parts).cpu().numpy()


def held_still(window: Window, atom: int) -> Window:
    """Return the windows with one atom's history replaced by its present position."""
    history = window.history.clone()
    history[:, :, atom] = history[:, -1:, atom]
    return window.replace(history=history)


@contextmanager
def unseen(model: nn.Module, atom: int) -> Iterator[None]:
    """Let no other atom and no register attend to one atom; it still attends to itself.

    Raises:
        InvalidSettings: the model attends over unbounded sums ("continuous"), where masking changes every weight, or
            over listed pairs.
    """
    settings: Any = model.settings
    if settings.attention != "softmax":
        raise InvalidSettings(
            f"attention was {settings.attention!r}: without a key its weights do not sum to what they did. "
            "Use a model with attention='softmax'."
        )
    if settings.pairs != "all":
        raise InvalidSettings(
            f"pairs was {settings.pairs!r}: listed atoms, and those read through registers, cannot be masked one by "
            "one. Use a model with pairs='all', or by='still'."
        )
    n_nodes = model.molecule.n_atoms + settings.registers  # type: ignore[union-attr, operator]
    handles = [
        layer.register_forward_pre_hook(_hiding(atom, n_nodes, over_time=over_time), with_kwargs=True)
        for layer, over_time in _looking_at_atoms(model)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _looking_at_atoms(model: nn.Module) -> list[tuple[Attention, bool]]:
    """Return the attentions whose keys are atoms, and whether their queries are times of one atom."""
    variable = getattr(model.settings, "local", "") == "variable"
    endings = {"wide": False, "transformation": True} | ({} if variable else {"local": False})
    found = []
    for name, module in model.named_modules():
        ending = name.rsplit(".", 1)[-1]
        if isinstance(module, Attention) and ending in endings:
            found.append((module, endings[ending]))
    return found


def _hiding(atom: int, n_nodes: int, *, over_time: bool) -> Callable[..., tuple[Any, Any]]:
    """Return a hook that adds the bias which hides one atom from the others."""

    def hook(layer: Attention, args: tuple[Tensor, ...], options: dict[str, Any]) -> tuple[Any, Any]:
        projected = options.get("projected")
        n_keys = args[0].shape[-2] if projected is None else layer.n_keys(projected)
        allowed = torch.ones(n_nodes, n_keys, dtype=torch.bool, device=args[0].device)
        allowed[:, n_keys - n_nodes + atom] = False  # the atoms, then registers, are the last keys
        allowed[atom] = True
        mask = blocked(allowed)
        mask = mask[:, None, None] if over_time else mask  # [nodes, heads, times, keys], or [nodes, keys]
        bias = options.get("bias")
        return args, {**options, "bias": mask if bias is None else bias + mask}

    return hook


@torch.no_grad()
def pair_attention(run: Run, windows: Windows) -> Float[np.ndarray, "windows atoms atoms"]:
    """Return the mean weight with which each atom attends to each: [window, looking, looked at].

    Over local and global attention, all layers, heads and times; registers are left out, so rows sum to less than one.

    Raises:
        InvalidSettings: the model has no attention over atoms.
    """
    n_atoms, parts = windows.molecule.n_atoms, []
    for window in windows.batches(BATCH):
        with recording(run.model.eval()) as record:
            run.model.predict(window.replace(future=None).to(run.device), cached=False)
        between = [weights for name, weights in record.items() if _between_atoms(name, weights, n_atoms, run)]
        if not between:
            raise InvalidSettings("This model has no attention over atoms in a forecast. Train one with layers of it.")
        means = [weights.float().mean((1, 2))[:, :n_atoms, :n_atoms] for weights in between]
        parts.append(torch.stack(means).mean(0).cpu())
    return torch.cat(parts).numpy()


def _between_atoms(name: str, weights: Tensor, n_atoms: int, run: Run) -> bool:
    ending = name.rsplit(".", 1)[-1]
    nodes = n_atoms + run.settings.registers
    return ending in ("local", "wide") and weights.shape[-2:] == (nodes, nodes)
