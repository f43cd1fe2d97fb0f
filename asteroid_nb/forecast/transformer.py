"""The STI-Transformer: encoder over history frames, delay-matrix head, decoder over future slots, and a start."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asteroid_nb.data.windows import Molecule, Window, Windows
from asteroid_nb.forecast import sti
from asteroid_nb.forecast.conjugate import Conjugate
from asteroid_nb.forecast.environment import TOGETHER, Environment, State
from asteroid_nb.forecast.frames import out_of
from asteroid_nb.forecast.kinds import KindEmbedding, Kinds, likeness
from asteroid_nb.forecast.layers import Biases, Caches, DecoderLayer, EncoderLayer, causal, spatial_bias
from asteroid_nb.forecast.linear import LinearSkip, looked_at_first
from asteroid_nb.forecast.newton import NewtonSkip
from asteroid_nb.forecast.placing import placed
from asteroid_nb.forecast.settings import STISettings
from asteroid_nb.forecast.tokens import TokenEmbedding
from asteroid_nb.shapes import Float


class Prediction(NamedTuple):
    """Everything one pass yields, in the frame the model works in.

    Args:
        forecast: [windows, horizon, atoms, 3] Å, the decoder's.
        matrix: [windows, rows, columns, atoms, 3] Å, the predicted delay matrices; None without STI.
        sti_forecast: [windows, horizon, atoms, 3] Å, their anti-diagonal means; None without STI.
        reconstruction: in training, what Ψ makes of the delay matrices and what it should, [windows, rows, atoms, 3] Å.
    """

    forecast: Tensor
    matrix: Tensor | None = None
    sti_forecast: Tensor | None = None
    reconstruction: tuple[Tensor, Tensor] | None = None


class STITransformer(nn.Module):
    """Predicts ``horizon`` frames of every atom from ``history`` frames.

    Args:
        settings: its make; ``skip="auto"`` is "ridge" here, where nothing is known of the frames.
        molecule: species, bonds and the reference structure.
        kinds: by which its atoms share weights with those of other molecules; each has its own weights, or its
            element's, when not given.
    """

    name = "STI-Transformer"
    rows: Tensor
    starts: Tensor
    reference: Tensor
    row_scale: Tensor
    slot_scale: Tensor
    sti_scale: Tensor

    def __init__(self, settings: STISettings, molecule: Molecule, kinds: Kinds | None = None) -> None:
        super().__init__()
        settings = settings.replace(skip="ridge") if settings.skip == "auto" else settings
        self.settings, self.molecule, self.kinds = settings, molecule, kinds
        kind = "local" if settings.frame == "local" else "fixed"
        self.environment = Environment(
            molecule,
            seen_frames=settings.seen_frames,
            frame=kind,
            shared=not settings.atom_identity,
            likeness=None if kinds is None else likeness(molecule),
        )
        self.skip: LinearSkip | NewtonSkip = (
            NewtonSkip(molecule, horizon=settings.horizon, n_back=settings.seen_frames - 1)
            if settings.skip == "newton"
            else LinearSkip(self.environment, horizon=settings.horizon, kind=settings.skip)
        )
        self.register_buffer("rows", torch.tensor(settings.rows), persistent=False)
        self.register_buffer("starts", torch.tensor(settings.context_starts + settings.slot_starts), persistent=False)
        self.embed_rows = _embedding(settings, molecule, self.environment, len(settings.rows), kinds)
        self.embed_slots = _embedding(settings, molecule, self.environment, len(self.starts), kinds)
        self.encoder_bias, self.decoder_bias = (spatial_bias(settings, molecule) for _ in range(2))
        self.encoder = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(settings) for _ in range(settings.decoder_layers))
        self.row_head = _zero_head(settings.width, settings.horizon * 3)
        self.slot_head = _zero_head(settings.width, settings.slot_frames * 3)
        self.conjugate = Conjugate(settings) if settings.sti and settings.conjugate != "none" else None
        self.register_buffer("row_scale", torch.ones(settings.horizon, molecule.n_atoms))
        self.register_buffer("slot_scale", torch.ones(settings.horizon, molecule.n_atoms))
        self.register_buffer("sti_scale", torch.ones(settings.horizon))
        self.register_buffer("reference", torch.tensor(molecule.reference).float(), persistent=False)

    @property
    def autoregressive(self) -> bool:
        return self.settings.decode == "autoregressive"

    @property
    def n_context(self) -> int:
        return len(self.settings.context_starts)

    def forecast(self, window: Window, *, cached: bool = True) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return the forecast where the window lies."""
        return self.predict(window, cached=cached).forecast

    def predict(self, window: Window, *, cached: bool = True) -> Prediction:
        """Return forecast, delay matrices and STI forecast where the window lies, from its history alone."""
        inside, back = placed(window.replace(future=None), self.settings.frame, self.reference)
        prediction = self(inside, cached=cached)
        if prediction.matrix is None or prediction.sti_forecast is None:
            return Prediction(back(prediction.forecast))
        return Prediction(back(prediction.forecast), back(prediction.matrix), back(prediction.sti_forecast))

    def forward(self, window: Window, *, teacher_forcing: float = 0.0, cached: bool = True) -> Prediction:
        """Return the prediction for a window already in the model's frame.

        Args:
            teacher_forcing: chance that a decoder slot continues from the true frames instead of the model's own.
        """
        states = self.environment(window.history, self.rows)
        memory = self.encode(states)
        skip_rows = self._start(window.history, self.rows, states)
        matrix = sti_forecast = reconstruction = None
        if self.settings.sti:
            matrix = self.delay_matrices(memory, states, skip_rows)
            sti_forecast = sti.forecast_from(matrix, self.settings.rows, self.settings.history)
            if self.training and self.conjugate is not None:
                reconstruction = self.conjugate(matrix, states.frames, self.embed_rows.who)
        if self.settings.decode == "none":
            assert sti_forecast is not None, "settings refuse decode='none' without STI"
            forecast = sti_forecast
        elif not self.autoregressive:
            forecast = self._decode_parallel(window, memory, skip_rows, sti_forecast)
        elif teacher_forcing >= 1.0:
            forecast = self._decode_teacher_forced(window, memory)
        else:
            forecast = self.generate(window, memory, teacher_forcing=teacher_forcing, cached=cached)
        return Prediction(forecast, matrix, sti_forecast, reconstruction)

    def _start(
        self, sequence: Tensor, times: Tensor, states: State, columns: int | None = None
    ) -> Float[Tensor, "windows times columns atoms 3"]:
        """Return what the network corrects: the frame at each time and the start's forecast from there."""
        columns = columns or self.settings.horizon
        if isinstance(self.skip, NewtonSkip):
            return self.skip(sequence, times, columns)
        return self.skip(states)[:, :, : columns + 1]

    def encode(self, states: State) -> Float[Tensor, "windows rows nodes width"]:
        """Return the encoder's memory; row t depends on frames up to t alone."""
        x = self.embed_rows(states.features)
        n_rows = x.shape[1]
        local, wide = self.encoder_bias(states.anchor)
        biases = Biases(local, wide, causal(n_rows, n_rows, x.device))
        for layer in self.encoder:
            x = layer(x, biases)
        return x

    def delay_matrices(self, memory: Tensor, states: State, skip_rows: Tensor) -> Tensor:
        """Return Φ: the rows of the start plus what the encoder adds; column 0 is the observed frame itself."""
        n_atoms = self.molecule.n_atoms
        components = self.row_head(memory[:, :, :n_atoms]).unflatten(-1, (self.settings.horizon, 3))
        added = out_of(states.frames, components * self.row_scale.T[..., None]).movedim(2, 3)
        return torch.cat([skip_rows[:, :, :1], skip_rows[:, :, 1:] + added], dim=2)

    def _decode(
        self, states: State, memory: Tensor, *, first: int = 0, caches: Caches | None = None
    ) -> Float[Tensor, "windows slots frames atoms 3"]:
        """Return what the decoder adds to each slot, still unscaled; ``first`` numbers the first token given."""
        x = self.embed_slots(states.features, first)
        n_new = x.shape[1]
        local, wide = self.decoder_bias(states.anchor)
        biases = Biases(local, wide, causal(n_new, first + n_new, x.device))
        for layer, cache in zip(self.decoder, caches.layers if caches else [None] * len(self.decoder), strict=True):
            x = layer(x, memory, biases, cache)
        components = self.slot_head(x[:, :, : self.molecule.n_atoms]).unflatten(-1, (self.settings.slot_frames, 3))
        return out_of(states.frames, components).movedim(2, 3)

    def _scale(self) -> Float[Tensor, "slots frames atoms 1"]:
        return self.slot_scale.unflatten(0, (self.settings.n_slots, -1))[..., None]

    def _decode_parallel(
        self, window: Window, memory: Tensor, skip_rows: Tensor, sti_forecast: Tensor | None
    ) -> Tensor:
        """Correct the start everywhere at once, looking at the molecule as the STI forecast expects it."""
        start = skip_rows[:, -1, 1:]
        expected = (start if sti_forecast is None else sti_forecast).detach()
        states = self.environment(torch.cat([window.history, expected], dim=1), self.starts)
        added = self._decode(states, memory)[:, self.n_context :] * self._scale()
        return start + added.flatten(1, 2)

    def _decode_teacher_forced(self, window: Window, memory: Tensor) -> Tensor:
        """Decode every slot at once, each from the true frames before it."""
        sequence = torch.cat([window.history, window.truth], dim=1)
        states = self.environment(sequence, self.starts)
        added = self._decode(states, memory)[:, self.n_context :] * self._scale()
        base = self._slot_base(sequence, self.starts, states)[:, self.n_context :]
        return (base + added).flatten(1, 2)

    def _slot_base(
        self, sequence: Tensor, times: Tensor, states: State
    ) -> Float[Tensor, "windows slots frames atoms 3"]:
        """Return where each slot starts from, by the frames just before it."""
        return self._start(sequence, times, states, self.settings.slot_frames)[:, :, 1:]

    def generate(
        self, window: Window, memory: Tensor, *, teacher_forcing: float = 0.0, cached: bool = True
    ) -> Float[Tensor, "windows horizon atoms 3"]:
        """Decode slot after slot, each from the frames before it: the model's own or, by chance, the true ones."""
        sequence, outputs = window.history, []
        caches = Caches.empty(len(self.decoder)) if cached else None
        for slot in range(self.settings.n_slots):
            new = slice(0 if slot == 0 or not cached else self.n_context + slot, self.n_context + slot + 1)
            states = self.environment(sequence, self.starts[new])
            added = self._decode(states, memory, first=new.start, caches=caches)[:, -1] * self._scale()[slot]
            outputs.append(self._slot_base(sequence, self.starts[new], states)[:, -1] + added)
            sequence = torch.cat([sequence, self._continue_with(outputs[-1], window, slot, teacher_forcing)], dim=1)
        return torch.cat(outputs, dim=1)

    def _continue_with(self, own: Tensor, window: Window, slot: int, teacher_forcing: float) -> Tensor:
        if not teacher_forcing:
            return own
        true = window.truth[:, slot * self.settings.slot_frames : (slot + 1) * self.settings.slot_frames]
        forced = torch.rand(len(own), 1, 1, 1, device=own.device) < teacher_forcing
        return torch.where(forced, true, own)

    def start_forecast(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return what the decoder starts from in the model's frame: slot by slot from true frames, or at once."""
        if not self.autoregressive:
            return self.at_once(window)
        sequence, times = torch.cat([window.history, window.truth], dim=1), self.starts[self.n_context :]
        return self._slot_base(sequence, times, self.environment(sequence, times)).flatten(1, 2)

    def at_once(self, window: Window) -> Float[Tensor, "windows horizon atoms 3"]:
        """Return the start's forecast of the whole horizon from the present, in the model's frame."""
        present = self.rows[-1:]
        return self._start(window.history, present, self.environment(window.history, present))[:, 0, 1:]

    def stay_at_start(self) -> None:
        """Add nothing to what the network starts from."""
        for head in (self.row_head, self.slot_head):
            _silenced(head)

    def prepare(self, window: Window) -> Window:
        """Return the window, future included, in the model's frame."""
        return placed(window, self.settings.frame, self.reference)[0]

    @torch.no_grad()
    def fit_start(
        self,
        train: Windows,
        validation: Windows,
        vary: Callable[[Window], Iterable[Window]] = lambda window: [window],
        **potential: Any,
    ) -> None:
        """Fix scales, mean structure and what the network starts from on training windows and their variants.

        Args:
            vary: returns the variants of a batch that a ridge map is fitted on.
            potential: of a start by Newton's equations, the options of `learn_potential`.
        """
        some = train.subset(most=looked_at_first(train))
        parts = lambda: map(self.prepare, some.batches(TOGETHER))  # noqa: E731
        self.environment.fit(lambda: (part.history for part in parts()), self.rows)
        if isinstance(self.skip, NewtonSkip):
            with torch.enable_grad():
                self.skip.fit(train, validation, **potential)
        else:
            self.skip.fit(self.environment, train, validation, self.prepare, vary=vary)
        errors = [[len(part) * error for error in self._start_errors(part)] for part in parts()]
        row, slot, of_sti = (torch.stack(each).sum(0) / len(some) for each in zip(*errors, strict=True))
        for scale, error in ((self.row_scale, row), (self.slot_scale, slot)):
            by_group = self.environment.over_group(error.T)[self.environment.group].T
            scale.copy_(by_group.sqrt().clamp(min=1e-6))
        self.sti_scale.copy_(of_sti.sqrt().clamp(min=1e-6))

    def _start_errors(self, window: Window) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean squared errors of the start: rows and slots [horizon, atoms], STI forecast [horizon]."""
        rows = self._start(window.history, self.rows, self.environment(window.history, self.rows))
        row_error = (rows[:, -1, 1:] - window.truth).square().mean((0, 3))
        slots = self.start_forecast(window) if self.autoregressive else rows[:, -1, 1:]
        sti_error = sti.forecast_from(rows, self.settings.rows, self.settings.history) - window.truth
        return row_error, (slots - window.truth).square().mean((0, 3)), sti_error.square().mean((0, 2, 3))


def _embedding(
    settings: STISettings, molecule: Molecule, environment: Environment, n_times: int, kinds: Kinds | None
) -> TokenEmbedding:
    if kinds is None:
        return TokenEmbedding(settings, molecule, environment, n_times)
    return KindEmbedding(settings, molecule, environment, n_times, kinds)


def _zero_head(width: int, n_out: int) -> nn.Sequential:
    """Return a head that adds nothing at first, so that training never begins below the start."""
    return _silenced(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_out)))


def _silenced(head: nn.Sequential) -> nn.Sequential:
    for weights in head[-1].parameters():
        nn.init.zeros_(weights)
    return head
