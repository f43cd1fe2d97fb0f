"""Mixed precision rounds what the network adds, never a position."""

import torch
from contracts.small_models import held_out, small_model


def test_bfloat16_moves_no_forecast_by_more_than_the_networks_own_rounding():
    model, window = small_model(), held_out()[:16]
    with torch.no_grad():
        exact = model.forecast(window)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model.forecast(window)
        linear = model.skip(model.environment(window.history, model.rows[-1:]))[:, 0, 1:]
    added = (exact - linear).abs().amax()
    assert mixed.dtype == torch.float32
    assert added > 0
    assert (mixed - exact).abs().amax() < 0.05 * added, "a rounded position would be off by 0.01 Å"


def test_the_linear_forecast_is_exact_under_autocast():
    model, window = small_model(), held_out()[:16]
    with torch.no_grad():
        exact = model.skip(model.environment(window.history, model.rows))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(model.skip(model.environment(window.history, model.rows)), exact)
