"""Settings: every ablation makes a model that predicts and learns, every contradiction is refused."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
from contracts.small_models import held_out, small_model, small_settings

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.forecast.losses import loss_terms, loss_weights
from asteroid_nb.forecast.settings import PRESETS, ObjectiveSettings, STISettings, preset

AUTOREGRESSIVE = {"decode": "autoregressive"}
LISTED = {"pairs": "listed", "conjugate": "none"}
ABLATIONS = [
    {},
    AUTOREGRESSIVE,
    {"decode": "none"},
    {"sti": False},
    {"sti": False} | AUTOREGRESSIVE,
    {"spatial": "local"},
    {"spatial": "global"},
    {"fusion": "gated"},
    {"local": "variable"},
    {"local": "variable", "fusion": "gated"} | AUTOREGRESSIVE,
    {"state": "positions"},
    {"state": "positions", "skip": "none"} | AUTOREGRESSIVE,
    {"skip": "none"},
    {"skip": "constant_velocity"},
    {"conjugate": "none"},
    {"conjugate": "hide_first"},
    {"attention": "continuous"},
    {"attention": "continuous"} | AUTOREGRESSIVE,
    {"registers": 0},
    {"registers": 0, "spatial": "local"},
    {"row_stride": 1},
    {"slot_frames": 1},
    {"slot_frames": 1} | AUTOREGRESSIVE,
    {"delay_frames": 2},
    {"delay_frames": 8},
    {"frame": "window"},
    {"frame": "none"},
    {"atom_identity": False},
    {"encoder_layers": 0, "decoder_layers": 0},
    {"row_stride": 1, "slot_frames": 1, "delay_frames": 2} | AUTOREGRESSIVE,
    LISTED,
    LISTED | AUTOREGRESSIVE | {"attention": "continuous", "atom_identity": False},
    LISTED | {"fusion": "gated"},
    LISTED | {"spatial": "local", "registers": 0, "most_near": 1},
    LISTED | {"spatial": "global"},
    LISTED | {"local": "variable"},
]


@pytest.mark.parametrize("training", ["supervised", "self_supervised"])
@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_every_ablation_predicts_and_learns(changes, training):
    model = small_model(**changes).train()
    window = model.prepare(held_out()[:2])
    prediction = model(window, teacher_forcing=1.0)
    assert prediction.forecast.shape == window.truth.shape
    terms = loss_terms(model, prediction, window, forced=model.autoregressive)
    weights = loss_weights(ObjectiveSettings(training=training))
    loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    expected = {"decoder"}
    expected |= {"matrix", "determined_state", "future_consistency"} if model.settings.sti else set()
    expected |= {"reconstruction"} if model.settings.sti and model.settings.conjugate != "none" else set()
    assert set(terms) == expected and loss.isfinite()
    if training == "self_supervised" and not model.settings.sti:
        assert loss == 0  # nothing to learn from: refusing it is the settings' task
        return
    loss.backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    head = model.row_head if training == "self_supervised" or changes == {"decode": "none"} else model.slot_head
    assert head[1].weight.grad.abs().max() > 0


@torch.no_grad()
def test_ablations_are_not_all_the_same_model():
    window = held_out()[:2]
    ablated = ({}, {"sti": False}, {"spatial": "local"}, {"fusion": "gated"}, {"attention": "continuous"})
    forecasts = [small_model(**changes).forecast(window) for changes in ablated]
    for index, one in enumerate(forecasts):
        for other in forecasts[:index]:
            assert (one - other).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frame": "atom"}, "frame was 'atom'; choose one of 'local', 'window', 'none'"),
        ({"delay_frames": 9}, "a token cannot see more"),
        ({"slot_frames": 3}, "must divide horizon 8"),
        ({"heads": 5}, "must divide width"),
        ({"decode": "none", "sti": False}, "returns the STI forecast"),
        ({"skip": "constant_velocity", "state": "positions"}, "needs velocities"),
        (LISTED | {"registers": 0}, "reads far atoms through registers, but registers is 0"),
        (LISTED | {"conjugate": "subset"}, "conjugate='subset' attends to all pairs"),
        (LISTED | {"most_near": 0}, "an atom looks at itself at least"),
        ({"width": 16.0}, "must be a whole number"),
        ({"encoder_layers": -1}, "not negative"),
        ({"width": True}, "width was True; it must be a whole number"),
        ({"sti": "no"}, "sti was 'no'; it must be True or False"),
        ({"atom_identity": 1}, "atom_identity was 1; it must be True or False"),
        ({"cutoff_ang": "far"}, "cutoff_ang was 'far'; it must be a finite number, not negative"),
        ({"cutoff_ang": float("inf")}, "cutoff_ang was inf; it must be a finite number"),
        ({"cutoff_ang": True}, "cutoff_ang was True; it must be a finite number"),
    ],
    ids=str,
)
def test_contradictions_are_refused(changes, words):
    with pytest.raises(InvalidSettings, match=words):
        small_settings(**changes)


def test_unknown_words_of_the_objective_and_presets_are_refused():
    with pytest.raises(InvalidSettings, match="self_supervised"):
        ObjectiveSettings(training="unsupervised")  # type: ignore[arg-type]
    with pytest.raises(InvalidSettings, match="tiny"):
        preset("huge")
    assert preset("tiny", width=32).width == 32
    assert all(isinstance(made, STISettings) for made in PRESETS.values())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("exchange", "no", "it must be True or False"),
        ("reverse", None, "it must be True or False"),
        ("rotate", 0, "it must be True, False or None"),
        ("noise_ang", -1, "it must be a finite number, not negative"),
        ("decoder", -5, "it must be a finite number, not negative"),
        ("matrix", float("nan"), "it must be a finite number, not negative"),
        ("teacher_forcing", (3, 2), "it must be two shares between 0 and 1"),
        ("teacher_forcing", (1.0, float("nan")), "it must be two shares between 0 and 1"),
        ("teacher_forcing", (1.0, 0.5, 0.0), "it must be two shares between 0 and 1"),
        ("teacher_forcing", 0.5, "it must be two shares between 0 and 1"),
    ],
)
def test_objectives_that_mean_nothing_are_refused(name, value, words):
    with pytest.raises(InvalidSettings, match=re.escape(f"{name} was {value!r}; {words}")):
        ObjectiveSettings(**{name: value})


@pytest.mark.parametrize(
    "settings",
    [*PRESETS.values(), small_settings(cutoff_ang=3), ObjectiveSettings(rotate=True, teacher_forcing=(1, 0.5))],
    ids=lambda settings: type(settings).__name__,
)
def test_settings_come_back_from_json(settings):
    again = type(settings)(**json.loads(json.dumps(dataclasses.asdict(settings))))
    assert again == settings and hash(again) == hash(settings)


@pytest.mark.parametrize("history", [1, 5, 8])
@pytest.mark.parametrize("row_stride", [1, 2, 3])
def test_rows_end_at_the_present_and_begin_where_a_token_is_whole(history, row_stride):
    settings = small_settings(history=history, delay_frames=min(4, history), row_stride=row_stride)
    assert settings.rows[-1] == history - 1
    assert settings.rows[0] >= settings.seen_frames - 1
    assert all(b - a == row_stride for a, b in zip(settings.rows, settings.rows[1:], strict=False))


@pytest.mark.parametrize("slot_frames", [1, 2, 4, 8])
def test_slots_cover_the_horizon_and_contexts_the_frames_before(slot_frames):
    settings = small_settings(slot_frames=slot_frames)
    ahead = [start + step for start in settings.slot_starts for step in range(1, slot_frames + 1)]
    assert ahead == list(range(8, 16))
    starts = settings.context_starts + settings.slot_starts
    assert all(b - a == slot_frames for a, b in zip(starts, starts[1:], strict=False))
    assert all(start >= settings.seen_frames - 1 for start in settings.context_starts)


def test_a_replaced_setting_is_checked_again():
    with pytest.raises(InvalidSettings):
        small_settings().replace(slot_frames=5)
    assert small_settings().replace(width=32).width == 32
