"""An LSTM over states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asteroid_nb.shapes import Float, Int
from asteroid_nb.states.layers import Head, embedding_of
from asteroid_nb.states.settings import LSTMSettings


class LSTM(nn.Module):
    """States through an embedding, LSTM layers and a head.

    Reference:
        Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; for molecular dynamics Tsai, Kuo & Tiwary
        (2020), doi:10.1038/s41467-020-18959-8.
    """

    name = "LSTM"

    def __init__(self, settings: LSTMSettings, n_states: int) -> None:
        super().__init__()
        self.settings, self.n_states = settings, n_states
        self.embedding = embedding_of(n_states, settings.embedding)
        self.lstm = nn.LSTM(settings.embedding, settings.width, num_layers=settings.layers, batch_first=True)
        self.head = Head(n_states, width=settings.width, embedding=settings.embedding, tied=settings.tied)
        self.dropout = nn.Dropout(settings.dropout)
        for layer in range(settings.layers):  # open forget gates: it begins by remembering (Jozefowicz et al. 2015)
            bias = getattr(self.lstm, f"bias_ih_l{layer}")
            nn.init.ones_(bias.data[settings.width : 2 * settings.width])

    @property
    def context(self) -> int:
        return self.settings.context

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def forward(self, states: Int[Tensor, "windows history"]) -> Float[Tensor, "windows history states"]:
        """Return the scores of the state after each one, from that one and those before it."""
        features, _ = self.lstm(self.dropout(self.embedding(states)))
        return self.head(self.dropout(features), self.embedding)

    def begin(self, n_chains: int) -> tuple[Tensor, Tensor]:
        """Return the memory of chains that have seen nothing: hidden states and cells."""
        empty = self.embedding.weight.new_zeros(self.settings.layers, n_chains, self.settings.width)
        return empty, empty

    def step(
        self, states: Int[Tensor, " chains"], memory: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return scores [chains, states] of the next state, and the memory with this one in it."""
        features, memory = self.lstm(self.embedding(states)[:, None], memory)
        return self.head(features[:, 0], self.embedding), memory
