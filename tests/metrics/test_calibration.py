"""Calibration of what a forecast says about itself: known answers of Gaussian errors with a known spread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from asteroid_nb.errors import InvalidSettings
from asteroid_nb.metrics.calibration import calibration_curve, fitted_factor, rank_correlation, share_inside

DRAW = np.random.default_rng(0)
SPREAD = np.exp(DRAW.normal(size=20_000))
ERRORS = SPREAD[:, None] * DRAW.normal(size=(20_000, 3))
RMS = np.sqrt((ERRORS**2).mean(-1))


class TestRanks:
    def test_any_growing_function_has_one_and_any_falling_one_minus_one(self):
        assert rank_correlation(SPREAD, np.exp(3 * SPREAD.clip(max=50))) == pytest.approx(1, abs=1e-4)
        assert rank_correlation(SPREAD, -np.sqrt(SPREAD)) == pytest.approx(-1)

    def test_ties_are_halved_as_scipy_halves_them(self):
        first, second = DRAW.integers(0, 5, 60), DRAW.integers(0, 4, 60)
        assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)

    def test_what_is_unrelated_has_none_and_a_constant_says_nothing(self):
        assert abs(rank_correlation(SPREAD, DRAW.permutation(RMS))) < 0.03
        assert np.isnan(rank_correlation(np.ones(5), np.arange(5)))

    def test_the_spread_of_gaussian_errors_ranks_them(self):
        assert 0.85 < rank_correlation(SPREAD, RMS) < 0.95


class TestCalibration:
    def test_gaussian_errors_lie_on_the_diagonal(self):
        curve = calibration_curve(SPREAD, RMS, n_bins=10)
        np.testing.assert_allclose(curve.found, curve.said, rtol=0.05)
        assert curve.counts.tolist() == [2000] * 10 and curve.normalised_error < 0.03
        assert (np.diff(curve.said) > 0).all()

    def test_spreads_half_as_large_are_off_by_all_of_themselves_until_they_are_scaled(self):
        assert calibration_curve(SPREAD / 2, RMS).normalised_error == pytest.approx(1.0, abs=0.05)
        factor = fitted_factor(SPREAD[::2] / 2, RMS[::2])
        assert factor == pytest.approx(2.0, rel=0.03)
        assert calibration_curve(factor * SPREAD[1::2] / 2, RMS[1::2]).normalised_error < 0.06

    def test_a_constant_cannot_be_scaled_right_but_on_the_whole(self):
        constant = np.full_like(RMS, fitted_factor(np.ones_like(RMS), RMS))
        assert np.sqrt(np.mean(constant**2)) == pytest.approx(np.sqrt(np.mean(RMS**2)))

    def test_as_many_are_inside_as_the_normal_distribution_says(self):
        assert share_inside(SPREAD, ERRORS) == pytest.approx(0.683, abs=0.01)
        assert share_inside(SPREAD, ERRORS, n_sigma=2) == pytest.approx(0.954, abs=0.005)

    def test_counts_that_do_not_divide_differ_by_one(self):
        assert sorted(calibration_curve(SPREAD[:11], RMS[:11], n_bins=4).counts.tolist()) == [2, 3, 3, 3]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("spread", "error", "said"),
        [
            (np.ones(3), np.ones(4), r"shape \(3,\), errors \(4,\)"),
            (np.ones(0), np.ones(0), "give one for each"),
            (np.array([1.0, np.nan]), np.ones(2), "no finite number"),
        ],
    )
    def test_shapes_and_numbers(self, spread, error, said):
        for judge in (rank_correlation, fitted_factor, calibration_curve):
            with pytest.raises(InvalidSettings, match=said):
                judge(spread, error)

    def test_more_bins_than_values(self):
        with pytest.raises(InvalidSettings, match="n_bins was 4 for 3 values"):
            calibration_curve(np.ones(3), np.ones(3), n_bins=4)

    def test_a_spread_of_nothing_has_no_factor(self):
        assert np.isnan(fitted_factor(np.zeros(3), np.ones(3)))
