"""How a model is trained, on which device, and in which precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import nn

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.processes import how_many, part_at_exit

#: What each number may be: at least the first, below the second.
RANGES = {
    **dict.fromkeys(("batch_size", "patience", "n_devices", "n_nodes"), (1, math.inf)),
    **dict.fromkeys(("n_epochs", "seed", "learning_rate", "weight_decay", "clip_norm"), (0, math.inf)),
    **dict.fromkeys(("warmup_share", "ema_decay"), (0, 1)),
}


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a model is trained.

    Args:
        n_epochs: passes over the training windows.
        batch_size: windows per step, shared among all processes.
        learning_rate: at its highest, after ``warmup_share`` of all steps; it then falls along a cosine.
        weight_decay: of AdamW.
        clip_norm: gradients longer than this are shortened to it.
        ema_decay: of the moving average of the weights, which is what is validated and kept.
        patience: epochs without a better validation before training stops; None never stops early.
        seed: of weights, order and augmentation.
        device: "auto", "cpu", "cuda", "mps".
        precision: "auto" is bf16-mixed on a CUDA GPU (models keep their geometry out of it) and 32-true elsewhere.
        n_devices: processes on each machine, one per GPU; ``torchrun`` says it by itself.
        n_nodes: machines; ``torchrun`` says it by itself.

    Raises:
        InvalidSettings: a number outside its range.
    """

    n_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.995
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    n_devices: int = 1
    n_nodes: int = 1

    def __post_init__(self) -> None:
        for name, (least, below) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value < below:
                raise InvalidSettings(f"{name} was {value!r}; it must be at least {least} and below {below}.")


def make_fabric(settings: FitSettings) -> Fabric:
    """Return a launched Fabric for the device and precision asked for; several processes have then met.

    Raises:
        InvalidSettings: a device that is not there, other processes than ``torchrun`` started, or more of them than
            windows in a batch.
    """
    device, precision = device_and_precision(settings)
    n_devices, n_nodes = how_many(settings.n_devices, settings.n_nodes)
    if settings.batch_size < n_devices * n_nodes:
        raise InvalidSettings(
            f"batch_size was {settings.batch_size}: too few windows for {n_devices * n_nodes} processes, which share "
            "each batch. Raise batch_size, or start fewer."
        )
    one = n_devices * n_nodes == 1
    fabric = Fabric(
        accelerator=device,
        strategy="auto" if one else "ddp_find_unused_parameters_true",  # an ablated model leaves weights unused
        devices=n_devices,
        num_nodes=n_nodes,
        precision=precision,  # type: ignore[arg-type]  # a word of a long list
        plugins=LightningEnvironment() if one else None,  # who trains alone asks no launcher how many there are
    )
    fabric.launch()
    if not one:
        part_at_exit()
    return fabric


def device_and_precision(settings: FitSettings) -> tuple[str, str]:
    """Return what "auto" stands for on this machine: a GPU with bfloat16 where there is one.

    Models must keep what is a position in full precision: three digits are 0.01 Å, more than a good forecast errs.
    """
    has_cuda = torch.cuda.is_available()
    device = ("cuda" if has_cuda else "cpu") if settings.device == "auto" else settings.device
    there = {"cpu": True, "cuda": has_cuda, "mps": torch.backends.mps.is_available()}
    if not there.get(device, False):
        choices = ", ".join(repr(name) for name in ("auto", *there) if there.get(name, True))
        raise InvalidSettings(f"device was {device!r}, which is not on this machine; choose one of {choices}.")
    fitting = "bf16-mixed" if device == "cuda" else "32-true"
    precision = fitting if settings.precision == "auto" else settings.precision
    return device, precision


def adamw(model: nn.Module, settings: FitSettings) -> torch.optim.AdamW:
    """Return the optimiser of a training."""
    return torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98),
        fused=can_be_fused(settings),
    )  # fmt: skip


def can_be_fused(settings: FitSettings) -> bool:
    """Return whether all weights are updated by one kernel: on a GPU, where no loss is scaled (Fabric refuses then)."""
    device, precision = device_and_precision(settings)
    return device == "cuda" and not precision.startswith("16")
