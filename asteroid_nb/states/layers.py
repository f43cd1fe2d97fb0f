"""What the language models share: states to numbers at one end, numbers to scores of the next state at the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Features to scores of the next state, with weights of its own or, tied, with the rows of the embedding."""

    def __init__(self, n_states: int, *, width: int, embedding: int, tied: bool) -> None:
        super().__init__()
        self.tied = tied
        narrow = nn.Identity() if width == embedding else nn.Linear(width, embedding, bias=False)
        self.before = narrow if tied else nn.Linear(width, n_states, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_states))

    def forward(self, features: Tensor, embedding: nn.Embedding) -> Tensor:
        scores = self.before(features)
        return (scores @ embedding.weight.T if self.tied else scores) + self.bias


def embedding_of(n_states: int, width: int) -> nn.Embedding:
    """Return an embedding with rows of length about one, so that a tied head starts with small scores."""
    embedding = nn.Embedding(n_states, width)
    nn.init.normal_(embedding.weight, std=width**-0.5)
    return embedding
