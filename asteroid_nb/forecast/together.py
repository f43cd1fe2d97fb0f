"""Several molecules in one network: a model for each that owns what belongs to it, all with the same weights.

A molecule keeps its species, bonds, reference structure, scales and start; everything learnt by the network is shared.
Each forward pass is of one molecule, so that nothing is padded and a molecule's forecast is that of its own model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from asteroid_nb.data.windows import Window
from asteroid_nb.forecast.transformer import Prediction, STITransformer

#: What molecules share, by its name in each one's model; a model may lack some.
SHARED = (
    *("encoder", "decoder", "row_head", "slot_head", "conjugate"),
    *(f"{bias}.{reach}" for bias in ("encoder_bias", "decoder_bias") for reach in ("near", "far")),
    *(
        f"{tokens}.{part}"
        for tokens in ("embed_rows", "embed_slots")
        for part in ("kinds", "element", "time", "registers", "mix")
    ),
)


def share(model: STITransformer, network: STITransformer) -> STITransformer:
    """Give a model the network of another, and return it; both must be of the same kinds of atoms."""
    assert model.kinds is not None and model.kinds == network.kinds, "weights of atoms fit no other molecule"
    for path in SHARED:
        owner, _, name = path.rpartition(".")
        theirs = getattr(network.get_submodule(owner), name, None)
        if theirs is not None:
            setattr(model.get_submodule(owner), name, theirs)
    return model


class Together(nn.Module):
    """Models of several molecules with one network; its state holds each shared weight once.

    Args:
        models: by the molecule's name, made for the same kinds of atoms; the first one's network becomes everyone's.
    """

    def __init__(self, models: Mapping[str, STITransformer]) -> None:
        super().__init__()
        self.names = tuple(models)
        first = models[self.names[0]]
        self.members = nn.ModuleList(model if model is first else share(model, first) for model in models.values())
        self.register_load_state_dict_pre_hook(_fill_in)

    def __getitem__(self, name: str) -> STITransformer:
        member = self.members[self.names.index(name)]
        assert isinstance(member, STITransformer)
        return member

    def forward(self, window: Window, *, molecule: int, **options: Any) -> Prediction:
        """Return the prediction for windows of one molecule, by its number, already in its model's frame."""
        return self.members[molecule](window, **options)

    @property
    def repeated(self) -> dict[str, str]:
        """Return the further names of shared weights, each with the first name of the same weight."""
        first: dict[int, str] = {}
        named = self.named_parameters(remove_duplicate=False)
        return {name: kept for name, weight in named if (kept := first.setdefault(id(weight), name)) != name}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        state, prefix = super().state_dict(*args, **kwargs), kwargs.get("prefix", "")
        for name in self.repeated:
            state.pop(prefix + name)
        return state


def _fill_in(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Put the further names of shared weights back before they are loaded."""
    assert isinstance(module, Together)
    for name, first in module.repeated.items():
        if prefix + first in state:
            state[prefix + name] = state[prefix + first]
