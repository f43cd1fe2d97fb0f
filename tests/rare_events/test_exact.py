"""Figures A and B: the design's table is met and a changed digit is noticed; cores beat every dwell."""

from __future__ import annotations

import numpy as np
import pytest
from rare_event_records import T2, T3, verdicts

from asteroid_nb.rare_events import exact
from asteroid_nb.states.one_step import one_step_table
from asteroid_nb.views.style import alt_text


@pytest.fixture(scope="module")
def found():
    """The exact table and figure A, computed once."""
    tables = []

    def kept(*arguments):
        tables.append(one_step_table(*arguments))
        return tables[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "one_step_table", kept)
        return exact.figure_a(), tables[0]


@pytest.fixture
def again(found, monkeypatch):
    monkeypatch.setattr(exact, "one_step_table", lambda *_: found[1])
    return exact.figure_a


def test_the_exact_numbers_are_those_of_the_design(found):
    figure, table = found
    assert verdicts(figure, "design's table") == [True]
    for name, printed in exact.PRINTED.items():
        np.testing.assert_allclose(table[name][:, 0], printed, atol=0.06)


@pytest.mark.parametrize(("name", "at"), [("x only, 4 states", 0), ("2-D, 400 cells", 3), ("core set", 6)])
def test_a_number_of_the_table_that_is_changed_fails_the_rule(again, name, at, monkeypatch):
    wrong = list(exact.PRINTED[name])
    wrong[at] += 0.1 + 0.02 * wrong[at]
    monkeypatch.setitem(exact.PRINTED, name, tuple(wrong))
    assert verdicts(again(), "design's table") == [False]


def test_figure_a_prints_what_it_computed_and_draws_it(found):
    figure, table = found
    assert figure.head == ("interval", *exact.PRINTED) and [row[0] for row in figure.rows] == list(exact.INTERVALS)
    for column, name in enumerate(exact.PRINTED, start=1):
        assert [float(row[column]) for row in figure.rows] == pytest.approx(table[name][:, 0], abs=0.051)
    assert "71 ps" in alt_text(figure.drawings["figure-A"])


def test_core_sets_are_flat_where_raw_states_climb(found):
    table = found[1]
    assert np.ptp(table["core set"][:, 0]) < 0.01 * T2
    for name in ("x only, 4 states", "2-D, nearest of 4"):
        assert (np.diff(table[name][:, 0]) > 0).all() and table[name][0, 0] < 0.25 * T2


def test_no_dwell_replaces_a_core_set():
    figure = exact.figure_b(n_frames=20_000)
    assert verdicts(figure, "") == [True, True]
    assert [row[0] for row in figure.rows] == [*exact.DWELLS, "core set", "exact"]
    assert figure.rows[-1][1:] == (f"{T2:.1f}", f"{T3:.1f}"[:4]) or figure.rows[-1][1] == "71.0"
    assert float(figure.rows[0][1]) < 0.3 * T2, "x alone, and nothing cut"
    assert float(figure.rows[-2][1]) == pytest.approx(T2, rel=0.1)
    assert "core set" in alt_text(figure.drawings["figure-B"])


@pytest.mark.parametrize(("off", "holds"), [(0.09, True), (0.11, False), (-0.11, False)])
def test_figure_b_asks_ten_percent_of_the_core_set(off, holds, monkeypatch):
    for mode in (0, 1):
        assert verdicts(scanned(monkeypatch, cores={mode: off}), "core set") == [holds]


@pytest.mark.parametrize(("off", "holds"), [(0.29, False), (0.31, True), (-0.31, True)])
def test_figure_b_asks_that_some_dwell_wrecks_t3(off, holds, monkeypatch):
    assert verdicts(scanned(monkeypatch, dwell={1: off}), "dwell") == [holds]
    assert verdicts(scanned(monkeypatch, dwell={0: off}), "dwell") == [False], "t2 does not count"


def scanned(monkeypatch, *, cores=None, dwell=None):
    """Return figure B of timescales that are exact, but for the core set's, and one dwell's, by mode."""
    truth, calls = exact.four_wells().timescales(2), []

    def made(states, *, lag):
        calls.append(lag)
        changed = {1: cores or {}, 4: dwell or {}}.get(len(calls), {})
        return truth * [1 + changed.get(mode, 0) for mode in (0, 1)]

    monkeypatch.setattr(exact, "_timescales", made)
    return exact.figure_b(n_frames=50)


def test_a_dwell_that_leaves_nothing_is_no_number_and_ends_nothing():
    still = [np.zeros(100, dtype=int)] * 2
    assert np.isnan(exact._timescales(still, lag=1)).all()
