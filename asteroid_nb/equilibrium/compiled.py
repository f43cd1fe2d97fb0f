"""f and its vector–Jacobian product as ``torch.compile`` makes them: fewer launches, for long runs of one system."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asteroid_nb.equilibrium.force_field import ForceField, Prepared
from asteroid_nb.equilibrium.graph import Graph
from asteroid_nb.errors import InvalidSettings, MissingExtra


class CompiledMaps:
    """The two maps a solver repeats, compiled at their first use, which takes a minute or two.

    Args:
        model: an equilibrium model whose weights no longer change.

    Raises:
        InvalidSettings: an explicit twin.
    """

    def __init__(self, model: ForceField) -> None:
        if not model.settings.implicit:
            raise InvalidSettings(
                f"An explicit stack of {model.settings.depth} blocks repeats nothing that could be compiled. "
                "Leave compiled out."
            )
        self.model = model
        self._applied = torch.compile(self._apply, dynamic=False)
        self._pulled = torch.compile(self._pull, dynamic=False)

    def f(self, z: Tensor, prepared: Prepared) -> Tensor:
        """Return f(z)."""
        return self._asked(self._applied, z, prepared)

    def pulled_back(self, z: Tensor, prepared: Prepared, weights: Tensor) -> Tensor:
        """Return Jᵀ weights at z."""
        return self._asked(self._pulled, z, prepared, weights)

    def _apply(self, z: Tensor, numbers: Tensor, inputs: Tensor, *filters: Tensor) -> Tensor:
        nothing = inputs.new_zeros(1)  # a layer looks at filters, not at lengths
        bare = Graph(numbers, nothing, nothing, nothing, self.model.settings.cutoff_ang)
        return self.model.layers[0](z, inputs, filters, bare)

    def _pull(self, z: Tensor, weights: Tensor, numbers: Tensor, inputs: Tensor, *filters: Tensor) -> Tensor:
        pull = torch.func.vjp(lambda state: self._apply(state, numbers, inputs, *filters), z)[1]
        return pull(weights)[0]

    def _asked(self, compiled: Any, z: Tensor, prepared: Prepared, *given: Tensor) -> Tensor:
        if prepared.graph.source is not None:
            raise InvalidSettings(
                "Compiled maps need all pairs; this system has a neighbour list, whose length changes from step to "
                "step. Leave compiled out."
            )
        from torch._dynamo.exc import TorchDynamoException

        try:
            return compiled(z, *given, prepared.graph.atomic_numbers, prepared.inputs, *prepared.filters[0])
        except TorchDynamoException as error:
            raise MissingExtra(
                f"torch.compile failed ({type(error).__name__}); it needs a C++ compiler on the CPU, Triton on a GPU. "
                "Install one, or leave compiled out."
            ) from error
