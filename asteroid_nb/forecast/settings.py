"""What an STI-Transformer is made of and trained with: frozen settings, presets, every ablation one change away."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from asteroid_nb.data.windows import WindowShape
from asteroid_nb.errors import InvalidSettings


@dataclass(frozen=True, kw_only=True)
class STISettings:
    """The model. Names follow ``ASTEROID.md``: T = history, H = horizon, L = H + 1.

    Args:
        history: frames seen.
        horizon: frames predicted in one call.
        width: of a token.
        heads: of every attention.
        encoder_layers: local, global and temporal attention, then feed-forward.
        decoder_layers: temporal, local-global and transformation attention, then feed-forward.
        delay_frames: frames each token sees (its delay vector); 2 is positions and velocities.
        row_stride: an encoder token, and so a row of the delay matrix, every n frames; 1 is the literal reading.
        slot_frames: frames a decoder token predicts; 1 is the literal reading.
        state: "positions" leaves the velocities out.
        frame: "local" atom frames (exact rotation), the "window" superposed as a whole on the training reference by its
            first frame, or "none" (rotations are learnt from augmentation).
        skip: what training starts from and corrects: a linear forecast, or "newton", the path of a potential learnt
            from the training frames (`asteroid_nb.forecast.potential`; stored at most 1.5 fs apart, at most 64 atoms).
            "auto" is "newton" where `train` finds that one can be learnt, and "ridge" elsewhere.
        spatial: which attention over atoms.
        fusion: of local and global.
        local: "neighbours" in space, or "variable": each atom over its own time.
        hops: atoms within so many bonds are local,
        cutoff_ang: and those within this distance.
        registers: learned tokens that global attention may use.
        pairs: "all" pairs of atoms are weighed, at a cost that grows as their square; or "listed": local attention over
            tables of neighbours, global attention through the registers, at a cost that grows as the atoms do.
        most_near: atoms that one looks at locally where pairs are listed, at most; the nearest.
        attention: "softmax" or "continuous" (see `Attention`).
        sti: the delay-matrix head; without it the decoder corrects the start alone.
        conjugate: what Ψ must reconstruct the structure from, if anything.
        decode: "autoregressive" slot by slot, "parallel": all slots at once see what the STI forecast expects and
            correct the linear one, or "none": the STI forecast itself is the result.
        atom_identity: each atom has weights of its own (one molecule); else atoms differ by element and bonds alone.
            Of several molecules this concerns starts and scales: their one network knows kinds of atoms.
    """

    history: int = 16
    horizon: int = 32
    width: int = 96
    heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 1
    delay_frames: int = 8
    row_stride: int = 8
    slot_frames: int = 16
    state: Literal["positions+velocities", "positions"] = "positions+velocities"
    frame: Literal["local", "window", "none"] = "local"
    skip: Literal["auto", "ridge", "newton", "constant_velocity", "none"] = "auto"
    spatial: Literal["local+global", "local", "global"] = "local+global"
    fusion: Literal["sequential", "gated"] = "sequential"
    local: Literal["neighbours", "variable"] = "neighbours"
    hops: int = 2
    cutoff_ang: float = 3.0
    registers: int = 2
    pairs: Literal["all", "listed"] = "all"
    most_near: int = 64
    attention: Literal["softmax", "continuous"] = "softmax"
    sti: bool = True
    conjugate: Literal["none", "subset", "hide_first"] = "none"
    decode: Literal["autoregressive", "parallel", "none"] = "parallel"
    atom_identity: bool = True

    def __post_init__(self) -> None:
        _check_values(self)
        for name in ("history", "horizon", "width", "heads", "delay_frames", "row_stride", "slot_frames"):
            if getattr(self, name) < 1:
                raise InvalidSettings(f"{name} was {getattr(self, name)}; it must be at least 1.")
        if not 1 <= self.seen_frames <= self.history:
            raise InvalidSettings(
                f"delay_frames is {self.delay_frames}, history {self.history}: a token cannot see more than that."
            )
        if self.horizon % self.slot_frames:
            raise InvalidSettings(f"slot_frames {self.slot_frames} must divide horizon {self.horizon}.")
        if self.width % self.heads:
            raise InvalidSettings(f"heads {self.heads} must divide width {self.width}.")
        if self.pairs == "listed":
            self._must_do_without_pairs()
        if self.decode == "none" and not self.sti:
            raise InvalidSettings("decode='none' returns the STI forecast, but sti is False. Switch one of them on.")
        if self.skip in ("constant_velocity", "newton") and self.seen_frames < 2:
            raise InvalidSettings(
                f"skip={self.skip!r} needs velocities: use delay_frames of 2 or more, or skip='none'."
            )

    def _must_do_without_pairs(self) -> None:
        if self.spatial != "local" and not self.registers:
            raise InvalidSettings(
                "pairs='listed' reads far atoms through registers, but registers is 0. Use some, or spatial='local'."
            )
        if self.conjugate != "none":
            raise InvalidSettings(
                f"conjugate={self.conjugate!r} attends to all pairs of atoms. Use conjugate='none' with pairs='listed'."
            )
        if not self.most_near:
            raise InvalidSettings("most_near was 0; an atom looks at itself at least.")

    @property
    def seen_frames(self) -> int:
        """Return how many frames a token holds: one when velocities are left out."""
        return 1 if self.state == "positions" else self.delay_frames

    @property
    def rows(self) -> tuple[int, ...]:
        """Return the history frames that head a row of the delay matrix, the present one last."""
        last = self.history - 1
        return tuple(range(last, self.seen_frames - 2, -self.row_stride))[::-1]

    @property
    def n_slots(self) -> int:
        return self.horizon // self.slot_frames

    @property
    def slot_starts(self) -> tuple[int, ...]:
        """Return the frame each future slot continues from, the present one first."""
        return tuple(self.history - 1 + slot * self.slot_frames for slot in range(self.n_slots))

    @property
    def context_starts(self) -> tuple[int, ...]:
        """Return the observed frames the decoder reads before the first slot, within the last L − 1."""
        first = max(self.seen_frames - 1, self.history - self.horizon)
        return tuple(range(self.history - 1 - self.slot_frames, first - 1, -self.slot_frames))[::-1]

    def window_shape(self, stride_frames: int = 1) -> WindowShape:
        return WindowShape(history=self.history, horizon=self.horizon, stride_frames=stride_frames)

    def replace(self, **changes: Any) -> STISettings:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """The loss: weights of its terms and what is done to the windows.

    Args:
        decoder: weight of the decoder's squared error,
        matrix: of the STI forecast's,
        determined_state: of DS,
        future_consistency: of FC,
        reconstruction: of Ψ's error.
        training: "self_supervised" drops the first two, the regime of STICM and its successors.
        exchange: training windows are shown under the molecule's symmetries: equal atoms exchanged, mirrored.
        reverse: half of them run backwards in time.
        rotate: the windows are turned at random; needed only where the model is not equivariant.
        teacher_forcing: share of decoder slots that see the true previous slot, at the start of training and from its
            middle on (scheduled sampling); only autoregressive decoding has any.
        noise_ang: Gaussian noise added to the history in training, the ridge map's too: chained blocks start from the
            model's own errors, which a model trained on clean frames has never met.
    """

    decoder: float = 1.0
    matrix: float = 0.5
    determined_state: float = 0.3
    future_consistency: float = 0.1
    reconstruction: float = 0.05
    training: Literal["supervised", "self_supervised"] = "supervised"
    exchange: bool = True
    reverse: bool = True
    rotate: bool | None = None
    teacher_forcing: tuple[float, float] = (1.0, 0.0)
    noise_ang: float = 0.0

    def __post_init__(self) -> None:
        _check_values(self)
        object.__setattr__(self, "teacher_forcing", tuple(self.teacher_forcing))  # JSON knows lists only


def _is_number(value: Any, most: float = math.inf) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and 0 <= value <= most and value != math.inf


def _are_shares(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(share, 1) for share in value)


#: By annotation: what a value must be, as a test and in words.
RULES: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "True or False"),
    bool | None: (lambda value: value is None or isinstance(value, bool), "True, False or None"),
    int: (lambda value: isinstance(value, int) and _is_number(value), "a whole number, not negative"),
    float: (_is_number, "a finite number, not negative"),
    tuple[float, float]: (_are_shares, "two shares between 0 and 1, at the start and at the end"),
}


def _check_values(settings: Any) -> None:
    """Raise `InvalidSettings` for a value that its annotation does not allow."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if get_origin(hint) is Literal:
            if value not in get_args(hint):
                raise InvalidSettings(f"{name} was {value!r}; choose one of {', '.join(map(repr, get_args(hint)))}.")
            continue
        allowed, needed = RULES[hint]
        if not allowed(value):
            raise InvalidSettings(f"{name} was {value!r}; it must be {needed}.")


#: By name; "notebook" has a start that takes seconds, the better one takes minutes.
PRESETS: dict[str, STISettings] = {
    "default": STISettings(),
    "tiny": STISettings(
        history=8,
        horizon=8,
        width=48,
        encoder_layers=2,
        decoder_layers=1,
        delay_frames=4,
        row_stride=2,
        slot_frames=4,
        skip="ridge",
    ),  # fmt: skip
    "notebook": STISettings(skip="ridge"),
    "large": STISettings(width=256, heads=8, encoder_layers=4, decoder_layers=3, row_stride=1, slot_frames=4),
}


def preset(name: str, **changes: Any) -> STISettings:
    """Return a preset by name, some of its fields changed."""
    if name not in PRESETS:
        raise InvalidSettings(f"No preset is called {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name].replace(**changes)
