"""Language models over states, built at matched size: an LSTM and a causal Transformer.

Both answer in two ways that agree: called with whole windows they score every next state, for training; `step` takes
one state per chain and a memory of what went before, for sampling.
"""

from __future__ import annotations

from bisect import bisect_left

import torch

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.states.lstm import LSTM
from asteroid_nb.states.settings import LARGEST, LanguageSettings, TransformerSettings
from asteroid_nb.states.transformer import Transformer

LanguageModel = LSTM | Transformer

#: Two sizes are matched when they differ by no more than this share.
MATCHED_WITHIN = 0.1


def build(settings: LanguageSettings, n_states: int) -> LanguageModel:
    """Return an untrained model, its weights drawn from torch's global generator.

    Raises:
        InvalidSettings: fewer than two states leave nothing to predict.
    """
    if n_states < 2:
        raise InvalidSettings(
            f"A language model needs at least 2 states, found {n_states}: nothing is left to predict."
        )
    if isinstance(settings, TransformerSettings):
        return Transformer(settings, n_states)
    return LSTM(settings, n_states)


def n_parameters(settings: LanguageSettings, n_states: int) -> int:
    """Return how many weights training changes, without making any of them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in build(settings, n_states).parameters())


def matched(settings: LanguageSettings, *, n_states: int, like: LanguageSettings) -> LanguageSettings:
    """Return settings with as many parameters as those of ``like``: a fair pair is made by changing one number.

    An LSTM changes its width, a Transformer its feed_forward.

    Raises:
        InvalidSettings: no choice comes within 10 %.
    """
    knob = "feed_forward" if isinstance(settings, TransformerSettings) else "width"
    wanted = n_parameters(like, n_states)
    size = lambda value: n_parameters(settings.replace(**{knob: value}), n_states)  # noqa: E731
    above = bisect_left(range(1, LARGEST), wanted, key=size) + 1
    best = min((above, max(1, above - 1)), key=lambda value: abs(size(value) - wanted))
    if abs(size(best) - wanted) > MATCHED_WITHIN * wanted:
        raise InvalidSettings(
            f"{like} has {wanted:,} parameters for {n_states} states; the nearest that {knob} can do is {size(best):,} "
            f"({knob} {best}). Change the other sizes of {settings}."
        )
    return settings.replace(**{knob: best})
