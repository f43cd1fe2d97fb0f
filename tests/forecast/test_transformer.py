"""The STI-Transformer as a forecaster: the contract in every mode, causality, decoding, and a strong start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.forecaster import ForecasterContract
from contracts.small_models import held_out, small_model, small_settings, training, untrained, validating
from small_molecules import rotations
from torch.testing import assert_close

from asteroid_nb.data.windows import Window, Windows
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast.baselines import ConstantVelocity, Copy
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import train

AUTOREGRESSIVE = {"decode": "autoregressive"}
LISTED = {"pairs": "listed", "conjugate": "none"}


class TestFrames(ForecasterContract):
    """Local frames turn with the molecule, and so does the window superposed by its first frame."""

    @pytest.fixture(scope="class", params=["local", "window"])
    @classmethod
    def forecaster(cls, request):
        return small_model(frame=request.param)


class TestNoFrame(ForecasterContract):
    rotates = False

    @pytest.fixture(scope="class")
    @classmethod
    def forecaster(cls):
        return small_model(frame="none")


class TestModes(ForecasterContract):
    @pytest.fixture(
        scope="class",
        params=[
            AUTOREGRESSIVE,
            {"decode": "none"},
            {"sti": False},
            {"attention": "continuous"},
            AUTOREGRESSIVE | {"frame": "window"},
            LISTED,
            LISTED | AUTOREGRESSIVE | {"most_near": 4},
        ],
        ids=lambda changes: " ".join(map(str, changes.values())),
    )
    @classmethod
    def forecaster(cls, request):
        return small_model(**request.param)


class TestTrained(ForecasterContract):
    @pytest.fixture(scope="class", params=["supervised", "self_supervised"])
    @classmethod
    def forecaster(cls, request):
        return train(
            list(training().trajectories[:1]) * 3,
            settings=small_settings(decode="none" if request.param == "self_supervised" else "parallel"),
            objective=ObjectiveSettings(training=request.param),
            fit_settings=FitSettings(n_epochs=1, device="cpu"),
            observers=[],
        )


def in_double(window: Window) -> Window:
    return window.replace(history=window.history.double(), future=window.truth.double())


# Causality: a row of the encoder, a delay-matrix row and a decoder slot know nothing of what comes after them.


@pytest.mark.parametrize(
    "changes",
    [
        *({"row_stride": stride} for stride in (1, 2, 3)),
        *({"spatial": spatial} for spatial in ("local", "global")),
        *({"fusion": "gated"}, {"local": "variable"}, {"local": "variable", "fusion": "gated"}),
        *(LISTED, LISTED | {"fusion": "gated"}, LISTED | {"local": "variable", "attention": "continuous"}),
        *({"attention": "continuous"}, {"frame": "window"}, {"frame": "none"}, {"state": "positions"}),
    ],
    ids=str,
)
@torch.no_grad()
def test_changing_a_frame_changes_no_earlier_row(changes):
    model = small_model(encoder_layers=2, **changes)
    history = held_out()[:2].history

    def rows_of(history):
        states = model.environment(history, model.rows)
        memory = model.encode(states)
        return memory, model.delay_matrices(memory, states, model.skip(states))

    before = rows_of(history)
    for frame in range(1, 8):
        changed = history.clone()
        changed[:, frame] += 0.1 * torch.randn_like(changed[:, frame])
        for old, new in zip(before, rows_of(changed), strict=True):
            moved = (new - old).abs().flatten(2).amax((0, 2))
            assert (moved[model.rows < frame] < 1e-5).all()
            if frame in model.rows.tolist():
                assert (moved[model.rows == frame] > 1e-3).all()


def test_the_first_history_frame_alone_decides_how_a_window_is_turned():
    model, window = small_model(frame="window"), held_out()[:3]
    history, future = window.history.clone(), torch.randn_like(window.truth)
    history[:, 1:] = torch.randn_like(history[:, 1:])
    before, after = model.prepare(window), model.prepare(window.replace(history=history, future=future))
    assert_close(after.history[:, 0], before.history[:, 0], rtol=0, atol=0)
    assert_close(torch.cdist(after.truth, after.history), torch.cdist(future, history), rtol=0, atol=1e-4)


@pytest.mark.parametrize("slot_frames", [1, 2, 4])
@torch.no_grad()
def test_a_slot_that_is_taught_sees_the_true_frames_before_it_and_none_after(slot_frames):
    model = small_model(slot_frames=slot_frames, decoder_layers=2, **AUTOREGRESSIVE)
    window = held_out()[:2]
    taught = model(window, teacher_forcing=1.0).forecast
    for frame in range(8):
        future = window.truth.clone()
        future[:, frame] += 0.1 * torch.randn_like(future[:, frame])
        moved = (model(window.replace(future=future), teacher_forcing=1.0).forecast - taught).abs().amax((0, 2, 3))
        next_slot = (frame // slot_frames + 1) * slot_frames
        assert (moved[:next_slot] < 1e-5).all()
        assert (moved[next_slot : next_slot + slot_frames] > 1e-3).all()


@pytest.mark.parametrize(
    "changes",
    [{}, {"slot_frames": 1}, {"spatial": "local"}, {"local": "variable"}, {"attention": "continuous"}, LISTED],
    ids=str,
)
@torch.no_grad()
def test_the_autoregressive_pass_is_the_taught_pass_on_its_own_output(changes):
    model, window = small_model(decoder_layers=2, **AUTOREGRESSIVE | changes).double(), in_double(held_out()[:3])
    own = model(window.replace(future=None)).forecast
    assert_close(model(window.replace(future=own), teacher_forcing=1.0).forecast, own, rtol=0, atol=1e-9)
    assert (own - window.truth).abs().max() > 1e-2


@pytest.mark.parametrize(
    "changes",
    [{}, {"slot_frames": 1}, {"local": "variable"}, {"attention": "continuous", "local": "variable"}, LISTED],
    ids=str,
)
@torch.no_grad()
def test_the_cache_changes_nothing(changes):
    model, window = small_model(decoder_layers=2, **AUTOREGRESSIVE | changes).double(), in_double(held_out()[:3])
    assert_close(model.forecast(window, cached=True), model.forecast(window, cached=False), rtol=0, atol=1e-9)


@torch.no_grad()
def test_scheduled_sampling_lies_between_its_own_and_the_true_frames():
    model, window = small_model(**AUTOREGRESSIVE), held_out()[:64]
    own, taught = (model(window, teacher_forcing=share).forecast for share in (0.0, 1.0))
    mixed = model(window, teacher_forcing=0.5).forecast
    like_own = torch.isclose(mixed, own, atol=1e-4).flatten(1).all(1)
    like_taught = torch.isclose(mixed, taught, atol=1e-4).flatten(1).all(1)
    assert (like_own | like_taught).all()
    assert 16 < like_taught.sum() < 48


# A strong start: before any training the model is its linear forecast.


@pytest.mark.parametrize("decode", ["parallel", "autoregressive"])
@pytest.mark.parametrize("frame", ["local", "window", "none"])
@pytest.mark.parametrize("skip", ["none", "constant_velocity"])
@torch.no_grad()
def test_untrained_it_is_copy_or_constant_velocity(skip, frame, decode):
    model, window = untrained(small_settings(skip=skip, frame=frame, decode=decode)), held_out()[:10]
    rival = {"none": Copy, "constant_velocity": ConstantVelocity}[skip](8)
    assert_close(model.forecast(window), rival.forecast(window), rtol=0, atol=1e-4)


@torch.no_grad()
def test_untrained_it_is_its_ridge_map():
    model, window = untrained(small_settings()), held_out()[:]
    linear = model.start_forecast(window)
    assert_close(model.forecast(window), linear, rtol=0, atol=1e-5)
    assert (linear - window.truth).square().mean() < 0.1 * (Copy(8).forecast(window) - window.truth).square().mean()


@torch.no_grad()
def test_untrained_and_taught_it_is_the_ridge_map_of_each_slot():
    model, window = untrained(small_settings(**AUTOREGRESSIVE)), held_out()[:20]
    assert_close(model(window, teacher_forcing=1.0).forecast, model.start_forecast(window), rtol=0, atol=1e-5)
    first = model.skip(model.environment(window.history, torch.tensor([7])))[:, 0, 1:5]
    assert_close(model.forecast(window)[:, :4], first, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_delay_matrix_begins_each_row_with_the_observed_frame():
    model, window = small_model(), held_out()[:4]
    prediction = model.predict(window)
    assert prediction.matrix.shape == (4, len(model.rows), 9, 9, 3)
    assert_close(prediction.matrix[:, :, 0], window.history[:, model.rows], rtol=0, atol=1e-6)
    assert prediction.sti_forecast.shape == window.truth.shape
    assert_close(small_model(decode="none").forecast(window), prediction.sti_forecast, rtol=0, atol=1e-4)


# Symmetries.


@pytest.mark.parametrize("changes", [{}, AUTOREGRESSIVE, LISTED], ids=str)
@torch.no_grad()
def test_in_double_precision_rotation_is_exact_to_the_ninth_digit(changes):
    model, window = small_model(**changes).double(), in_double(held_out()[:5])
    rotation = torch.as_tensor(rotations(5))
    turned = torch.einsum("wab,wtnb->wtna", rotation, model.forecast(window))
    assert_close(model.forecast(window.rotated(rotation)), turned, rtol=0, atol=1e-9)


@pytest.mark.parametrize("changes", [{}, AUTOREGRESSIVE, {"frame": "none"}, LISTED], ids=str)
@torch.no_grad()
def test_without_atom_identity_listing_the_atoms_otherwise_changes_nothing(changes):
    order = np.array([4, 2, 8, 0, 6, 1, 7, 3, 5])
    settings = small_settings(atom_identity=False, **changes)
    model = small_model(atom_identity=False, **changes)

    def relisted(part):
        return Windows([walker.select(order) for walker in part.trajectories], part.shape)

    other = untrained(settings, relisted(training()), relisted(validating()))
    other.load_state_dict(dict(model.named_parameters()), strict=False)
    window = held_out()[:4]
    there = window.replace(history=window.history[:, :, order], future=None)
    assert_close(other.forecast(there), model.forecast(window)[:, :, order], rtol=0, atol=1e-3)
    wrong = other.forecast(window.replace(future=None))
    assert (wrong - model.forecast(window)).abs().max() > 0.1
