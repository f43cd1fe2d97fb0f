"""Weights that atoms of one group share, applied without a copy for every atom where groups are large."""

from __future__ import annotations

import torch
from torch import Tensor

from asteroid_nb.shapes import Float, Int

#: Atoms a group must hold, in the mean, for one product of matrices for each group.
MANY = 16


def by_group(
    values: Float[Tensor, "windows times atoms values"],
    weights: Float[Tensor, "groups values made"],
    group: Int[Tensor, " atoms"],
) -> Float[Tensor, "windows times atoms made"]:
    """Return each atom's values times the weights of its group."""
    if len(group) < MANY * len(weights):
        return torch.einsum("wtnf,nfd->wtnd", values, weights[group])
    order = group.argsort(stable=True)
    sizes = torch.bincount(group, minlength=len(weights)).tolist()
    products = [
        values[:, :, atoms] @ shared for atoms, shared in zip(order.split(sizes), weights, strict=True) if len(atoms)
    ]
    return torch.cat(products, dim=2)[:, :, order.argsort()]
