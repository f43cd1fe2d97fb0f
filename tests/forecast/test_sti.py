"""Laws of the STI equation: which cells are known, what averaging does, what the losses look at."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from asteroid_nb.forecast import sti

HISTORY, HORIZON = 8, 5
ROWS = {"every row": list(range(8)), "strided": [1, 3, 5, 7], "late": [6, 7], "present": [7]}


@pytest.fixture(params=list(ROWS.values()), ids=list(ROWS))
def rows(request):
    return torch.tensor(request.param)


@pytest.fixture
def matrix(rows):
    return torch.randn(3, len(rows), HORIZON + 1, 2, 3, dtype=torch.float64)


@pytest.fixture
def hankel(rows):
    return sti.delay_matrix(torch.randn(3, HISTORY + HORIZON, 2, 3, dtype=torch.float64), rows, HORIZON)


def spread(means, rows):
    """Return the means written back over the cells."""
    return means[:, sti.frame_index(rows, HORIZON) - int(rows.min())]


def test_known_cells_are_those_whose_frame_was_seen(rows):
    mask = sti.known_mask(rows, HISTORY, HORIZON)
    for number, row in enumerate(rows.tolist()):
        for column in range(HORIZON + 1):
            assert mask[number, column] == (row + column <= HISTORY - 1)


def test_the_unknown_triangle_has_L_times_L_minus_1_half_cells():
    rows = torch.arange(HISTORY)
    assert (~sti.known_mask(rows, HISTORY, HORIZON)).sum() == (HORIZON + 1) * HORIZON // 2


@pytest.mark.parametrize("horizon", [3, 5, 12])
def test_future_step_k_stands_in_min_of_L_minus_k_and_T_cells(horizon):
    _, counts = sti.cells(tuple(range(HISTORY)), horizon, torch.device("cpu"))
    for k in range(1, horizon + 1):
        assert counts[HISTORY - 1 + k] == min(horizon + 1 - k, HISTORY)


def test_a_matrix_of_frame_numbers_forecasts_the_numbers_that_come_next(rows):
    numbers = sti.frame_index(rows, HORIZON).double()[None, :, :, None, None].expand(1, -1, -1, 2, 3)
    forecast = sti.forecast_from(numbers, rows, HISTORY)
    expected = torch.arange(HISTORY, HISTORY + HORIZON).double()
    assert_close(forecast, expected.view(1, -1, 1, 1).expand(1, HORIZON, 2, 3))


def test_the_mean_leaves_a_hankel_tensor_as_it_is(hankel, rows):
    assert_close(spread(sti.anti_diagonal_mean(hankel, rows), rows), hankel)


def test_the_mean_is_idempotent(matrix, rows):
    once = sti.anti_diagonal_mean(matrix, rows)
    assert_close(sti.anti_diagonal_mean(spread(once, rows), rows), once)


def test_the_mean_is_the_orthogonal_projection(matrix, hankel, rows):
    residual = matrix - spread(sti.anti_diagonal_mean(matrix, rows), rows)
    assert_close((residual * hankel).sum((1, 2)), torch.zeros(3, 2, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    nearer, farther = residual.square().sum(), (matrix - hankel).square().sum()
    assert nearer < farther


def test_future_consistency_is_zero_on_any_hankel_tensor_and_positive_elsewhere(matrix, hankel):
    rows = torch.arange(HISTORY)
    hankel = sti.delay_matrix(torch.randn(3, HISTORY + HORIZON, 2, 3, dtype=torch.float64), rows, HORIZON)
    assert sti.future_consistency_loss(hankel, rows, HISTORY) < 1e-24
    assert sti.future_consistency_loss(hankel + torch.randn_like(hankel), rows, HISTORY) > 0.1


def test_future_consistency_reads_the_unknown_cells_that_have_company_and_no_other():
    rows = torch.arange(HISTORY)
    matrix = torch.randn(1, HISTORY, HORIZON + 1, 2, 3)
    before = sti.future_consistency_loss(matrix, rows, HISTORY)
    last = HISTORY - 1 + HORIZON  # stands in one cell alone, which is its own mean
    for row in range(HISTORY):
        for column in range(HORIZON + 1):
            changed = matrix.clone()
            changed[:, row, column] += 1.0
            differs = sti.future_consistency_loss(changed, rows, HISTORY) != before
            assert bool(differs) == (HISTORY <= row + column < last)


def test_future_consistency_is_measured_in_the_unit_of_each_lead_time():
    rows, unit = torch.arange(HISTORY), torch.linspace(1.0, 3.0, HORIZON)
    matrix = torch.randn(2, HISTORY, HORIZON + 1, 2, 3)
    by_lead = torch.ones(HISTORY + HORIZON)
    by_lead[HISTORY:] = unit
    scaled = matrix * by_lead[sti.frame_index(rows, HORIZON)][None, :, :, None, None]
    plain = sti.future_consistency_loss(matrix, rows, HISTORY)
    assert_close(sti.future_consistency_loss(scaled, rows, HISTORY, scale_ang=unit), plain)


def test_determined_state_reads_every_known_cell_and_no_other(matrix, rows):
    seen = torch.randn(3, HISTORY, 2, 3, dtype=torch.float64)
    before = sti.determined_state_loss(matrix, seen, rows)
    mask = sti.known_mask(rows, HISTORY, HORIZON)
    for number in range(len(rows)):
        for column in range(HORIZON + 1):
            changed = matrix.clone()
            changed[:, number, column] += 1.0
            differs = sti.determined_state_loss(changed, seen, rows) != before
            assert bool(differs) == bool(mask[number, column])


def test_determined_state_is_the_mean_over_known_cells(hankel, rows):
    sequence = torch.randn(3, HISTORY + HORIZON, 2, 3, dtype=torch.float64)
    true = sti.delay_matrix(sequence, rows, HORIZON)
    seen = sequence[:, :HISTORY]
    assert sti.determined_state_loss(true, seen, rows) == 0
    assert_close(sti.determined_state_loss(true + 2.0, seen, rows).item(), 4.0)
    number, column = (rows == HISTORY - 1).nonzero()[0].item(), 0
    one_off = true.clone()
    one_off[:, number, column] += 1.0
    n_known = int(sti.known_mask(rows, HISTORY, HORIZON).sum())
    assert_close(sti.determined_state_loss(one_off, seen, rows).item(), 1.0 / n_known)


def test_who_asks_first_without_gradients_does_not_take_them_from_others():
    rows, matrix = (0, 3, 5), torch.randn(1, 3, 8, 2, 3, requires_grad=True)
    with torch.inference_mode():
        sti.anti_diagonal_mean(matrix.detach(), rows)
    sti.anti_diagonal_mean(matrix, rows).sum().backward()
    assert matrix.grad is not None
