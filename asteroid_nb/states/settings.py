"""What a language model over states is made of, and how it is trained unless told otherwise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.fit_settings import FitSettings

#: No setting is larger: what a forged folder may not ask for.
LARGEST = 10_000

#: How language models are trained. The average of the weights is short, because an epoch has few steps. No patience:
#: rare jumps hardly show in the validation loss, and are told apart only once the learning rate has come down.
LANGUAGE_FIT = FitSettings(n_epochs=40, batch_size=16, learning_rate=5e-3, ema_decay=0.98)


@dataclass(frozen=True, kw_only=True)
class LSTMSettings:
    """An LSTM over states.

    Args:
        context: frames of history in a training window. When it samples, it remembers for as long as it has learnt to.
        embedding: numbers a state is turned into.
        width: of the hidden state.
        layers: LSTMs above each other.
        tied: the scores are taken with the embedding itself, so that similar states are predicted alike.
        dropout: share of embedding and output that is hidden in training.

    Raises:
        InvalidSettings: a number of another type or outside its range.
    """

    context: int = 128
    embedding: int = 32
    width: int = 128
    layers: int = 1
    tied: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_values(self)

    def replace(self, **changes: Any) -> LSTMSettings:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class TransformerSettings:
    """A causal Transformer over states, its defaults of the LSTM's size; see `language.matched` for many states.

    Args:
        context: frames it can see, the present one included: what happened earlier cannot change its answer.
        width: of a token.
        layers: attention and feed-forward, one after the other. Each looks back over its share of the context.
        heads: of every attention.
        feed_forward: width of the hidden layer between two attentions.
        tied: the scores are taken with the embedding itself, so that similar states are predicted alike.
        dropout: share of embedding and sub-layer outputs that is hidden in training.

    Raises:
        InvalidSettings: a number of another type or outside its range, or heads that do not divide the width.
    """

    context: int = 128
    width: int = 64
    layers: int = 2
    heads: int = 4
    feed_forward: int = 192
    tied: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _check_values(self)
        if self.width % self.heads:
            raise InvalidSettings(f"heads {self.heads} must divide width {self.width}. Change one of them.")

    @property
    def window(self) -> int:
        """Return the frames each layer sees, so that all layers together reach no further than ``context``."""
        return (self.context - 1) // self.layers + 1

    def replace(self, **changes: Any) -> TransformerSettings:
        return dataclasses.replace(self, **changes)


LanguageSettings = LSTMSettings | TransformerSettings


def _check_values(settings: LanguageSettings) -> None:
    """Raise `InvalidSettings` for a value that its field cannot have."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name == "tied":
            allowed, needed = isinstance(value, bool), "True or False"
        elif field.name == "dropout":
            allowed, needed = _is_number(value, int | float) and 0 <= value < 1, "at least 0 and below 1"
        else:
            allowed, needed = _is_number(value, int) and 1 <= value <= LARGEST, f"a whole number from 1 to {LARGEST}"
        if not allowed:
            raise InvalidSettings(f"{field.name} was {value!r}; it must be {needed}.")


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
