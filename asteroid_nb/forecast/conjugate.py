"""Ψ, the conjugate of the STI equation: from the delay matrix back to the structure at the row's own time.

When every atom is a target, column 0 of the delay matrix *is* that structure and Ψ would be a copy. So either column 0
is hidden, or half of the atoms are, and the structure must be found from what is left.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asteroid_nb.forecast.attention import Attention
from asteroid_nb.forecast.frames import into
from asteroid_nb.forecast.settings import STISettings

HIDDEN_SHARE = 0.5


class Conjugate(nn.Module):
    def __init__(self, settings: STISettings) -> None:
        super().__init__()
        self.hide = settings.conjugate
        n_columns = settings.horizon + (self.hide == "subset")
        self.embed = nn.Linear(n_columns * 3, settings.width)
        self.unseen = nn.Parameter(torch.randn(settings.width) * 0.1)
        self.element_free = nn.LayerNorm(settings.width)
        self.attention = Attention(settings.width, settings.heads)
        self.read = nn.Sequential(
            nn.LayerNorm(settings.width),
            nn.Linear(settings.width, settings.width),
            nn.GELU(),
            nn.Linear(settings.width, 3),
        )

    def forward(self, matrix: Tensor, frames: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstructed structures and the true ones, [windows, rows, atoms, 3] Å from a visible centre.

        Args:
            matrix: [windows, rows, columns, atoms, 3] Å.
            frames: [windows, rows, atoms, 3, 3], which only turn what comes in and goes out.
            identity: [atoms, width], who each atom is.
        """
        visible = self._visible(matrix)
        columns = matrix if self.hide == "subset" else matrix[:, :, 1:]
        share = visible / visible.sum(-1, keepdim=True)
        centre = torch.einsum("wra,wrcax->wrx", share, columns) / columns.shape[2]
        around = (columns - centre[:, :, None, None]).transpose(2, 3)
        tokens = self.embed(into(frames, around).flatten(-2))
        tokens = torch.where(visible[..., None] > 0, tokens, self.unseen) + identity
        tokens = tokens + self.attention(self.element_free(tokens))
        true = into(frames, (matrix[:, :, 0] - centre[:, :, None])[..., None, :])[..., 0, :]
        return self.read(tokens), true.detach()

    def _visible(self, matrix: Tensor) -> Tensor:
        windows, rows, _, n_atoms, _ = matrix.shape
        if self.hide == "hide_first":
            return matrix.new_ones(windows, rows, n_atoms)
        order = torch.rand(windows, rows, n_atoms, device=matrix.device).argsort(-1).argsort(-1)
        return (order >= int(HIDDEN_SHARE * n_atoms)).to(matrix.dtype)
