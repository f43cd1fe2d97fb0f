"""Training: one window overfits, each term of the loss looks where it should, augmentation keeps the physics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.small_models import held_out, small_model, small_settings, training, untrained, validating
from torch.testing import assert_close

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.fitting import FitSettings
from asteroid_nb.forecast import sti
from asteroid_nb.forecast.losses import lead_scale, loss_terms, loss_weights
from asteroid_nb.forecast.settings import ObjectiveSettings
from asteroid_nb.forecast.training import ForecastTask, train

SUPERVISED = ("decoder", "matrix")
SELF_SUPERVISED = ("determined_state", "future_consistency", "reconstruction")
PLAIN = ObjectiveSettings(exchange=False, reverse=False)


def task_of(model, objective=PLAIN) -> ForecastTask:
    return ForecastTask(model, training(), validating(), objective, batch_size=8)


@pytest.mark.parametrize(
    "changes", [{}, {"decode": "autoregressive"}, {"frame": "window"}, {"skip": "none"}], ids=lambda each: str(each)
)
def test_one_window_overfits(changes):
    model = untrained(small_settings(width=32, conjugate="none", **changes)).train()
    window = model.prepare(training()[[100]])
    task, optimiser = task_of(model), torch.optim.Adam(model.parameters(), lr=5e-3)
    errors = []
    for step in range(150):
        for group in optimiser.param_groups:
            group["lr"] = 5e-3 * (1 - step / 150)
        terms = task.loss(model, window, done=0.0)
        errors.append(float(terms["decoder"].detach()))
        optimiser.zero_grad()
        terms["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    assert errors[-1] < 0.01 * errors[0]


def test_the_untrained_losses_are_near_one():
    """The terms are in units of the linear forecast's error, and the untrained model is the linear forecast."""
    model = untrained(small_settings())
    window = model.prepare(training()[:])
    with torch.no_grad():
        terms = loss_terms(model, model(window), window, forced=False)
    assert terms["decoder"].item() == pytest.approx(1.0, rel=0.05)
    assert terms["matrix"].item() == pytest.approx(1.0, rel=0.05)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    model = small_model(conjugate="none")
    window = model.prepare(training()[:4])
    objective = ObjectiveSettings(decoder=2.0, matrix=3.0, determined_state=5.0, future_consistency=7.0)
    terms = task_of(model, objective).loss(model, window, done=0.0)
    weights = loss_weights(objective)
    assert_close(terms["loss"], sum(weights[name] * terms[name] for name in terms if name != "loss"))


def test_self_supervision_never_sees_the_future():
    model = small_model(conjugate="hide_first", decode="none").train()
    objective = ObjectiveSettings(training="self_supervised")
    window = model.prepare(training()[:4])
    gradients = []
    for future in (window.truth, window.truth + torch.randn_like(window.truth)):
        model.zero_grad()
        terms = task_of(model, objective).loss(model, window.replace(future=future), done=1.0)
        terms["loss"].backward()
        gradients.append([weight.grad.clone() for weight in model.parameters() if weight.grad is not None])
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other, rtol=0, atol=0)
    weights = loss_weights(objective)
    assert all(weights[name] == 0 for name in SUPERVISED)
    assert all(weights[name] > 0 for name in SELF_SUPERVISED)


def test_determined_state_in_training_reads_the_history_in_its_place():
    """A model whose delay matrix is the truth has no DS; one whose matrix is a frame late has."""
    model = small_model()
    window = model.prepare(training()[:4])
    path = torch.cat([window.history, window.truth], dim=1)
    true = sti.delay_matrix(path, model.rows, 8)
    late = sti.delay_matrix(torch.cat([path[:, :1], path[:, :-1]], dim=1), model.rows, 8)
    with torch.no_grad():
        prediction = model(window)
        terms, wrong = (
            loss_terms(model, prediction._replace(matrix=matrix), window, forced=False) for matrix in (true, late)
        )
    for name in ("determined_state", "future_consistency"):
        assert terms[name] < 1e-9
    assert wrong["determined_state"] > 1.0
    unit = lead_scale(model.row_scale)
    assert unit.shape == (8,) and (unit > 0).all()


def test_augmented_batches_keep_every_distance_and_depend_on_the_seed():
    model = untrained(small_settings())
    task = task_of(model, ObjectiveSettings(rotate=True))
    window = training()[:8]
    first, again, other = (task.augment(window, seed) for seed in (1, 1, 2))
    assert_close(first.history, again.history, rtol=0, atol=0)
    assert not torch.equal(first.history, other.history)
    before, after = (torch.cat([each.history, each.truth], dim=1) for each in (window, first))
    distances = [torch.cdist(path, path).flatten(2).sort(-1).values for path in (before, after)]
    back = distances[0].flip(1)
    same = torch.stack([(distances[1] - each).abs().amax((1, 2)) < 1e-3 for each in (distances[0], back)])
    assert same.any(0).all()


def test_without_augmentation_windows_stay_as_they_are():
    window = training()[:8]
    same = task_of(untrained(small_settings()), PLAIN).augment(window, 0)
    assert_close(same.history, window.history, rtol=0, atol=0)


def test_noise_touches_the_history_alone():
    window = training()[:64]
    objective = ObjectiveSettings(exchange=False, reverse=False, noise_ang=0.01)
    shaken = task_of(untrained(small_settings()), objective).augment(window, 0)
    assert_close(shaken.truth, window.truth, rtol=0, atol=0)
    assert (shaken.history - window.history).std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(("objective", "count"), [(PLAIN, 1), (ObjectiveSettings(), 12)], ids=["plain", "all"])
def test_the_ridge_map_sees_every_variant_once(objective, count):
    window = training()[:3]
    variants = list(task_of(untrained(small_settings()), objective).variants(window))
    assert len(variants) == count
    for index, one in enumerate(variants):
        assert all((one.history - other.history).abs().max() > 1e-3 for other in variants[:index])


def test_scheduled_sampling_goes_from_the_first_share_to_the_last():
    model, shares = untrained(small_settings(decode="autoregressive")), []
    task = task_of(model, ObjectiveSettings(teacher_forcing=(1.0, 0.2)))

    def watched(batch, *, teacher_forcing):
        shares.append(teacher_forcing)
        return model(batch)

    for done in (0.0, 0.25, 0.5, 1.0):
        task.loss(watched, training()[:2], done=done)  # type: ignore[arg-type]
    np.testing.assert_allclose(shares, [1.0, 0.6, 0.2, 0.2])


def test_training_improves_on_the_linear_start():
    settings = small_settings(width=32, skip="constant_velocity")
    fitting = FitSettings(n_epochs=8, batch_size=16, learning_rate=5e-3, ema_decay=0.8, device="cpu")
    run = train(list(training().trajectories[:3]), settings=settings, fit_settings=fitting, observers=[])
    errors = [record["validation_loss"] for record in run.history]
    assert len(errors) == 8
    assert min(errors) < 0.9
    window = held_out()[:]
    with torch.no_grad():
        start = untrained(settings).forecast(window)
    assert (run.forecast(window) - window.truth).square().mean() < 0.7 * (start - window.truth).square().mean()


def test_self_supervised_training_teaches_the_delay_matrix_and_so_the_forecast_read_from_it():
    run = train(
        list(training().trajectories[:3]),
        settings=small_settings(decode="none"),
        objective=ObjectiveSettings(training="self_supervised"),
        fit_settings=FitSettings(n_epochs=1, batch_size=16, device="cpu"),
        observers=[],
    )
    window = held_out()[:8]
    with torch.no_grad():
        linear = untrained(run.settings, run.split.train, run.split.validation).forecast(window)
    assert (run.forecast(window) - linear).abs().max() > 1e-4


def test_self_supervision_refuses_a_decoder_it_could_not_teach():
    with pytest.raises(InvalidSettings, match="decode='none'"):
        task_of(small_model(decode="parallel"), ObjectiveSettings(training="self_supervised"))
