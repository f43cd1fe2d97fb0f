"""Batches made ahead come in order, no more of them than asked for, and errors are not lost."""

import threading

import pytest

from asteroid_nb.data.loading import made_ahead


def test_order_is_kept_and_work_is_done_elsewhere():
    where = set()

    def square(number):
        where.add(threading.current_thread().name)
        return number**2

    assert list(made_ahead(square, range(20))) == [number**2 for number in range(20)]
    assert threading.current_thread().name not in where


def test_no_more_is_made_than_the_depth_allows():
    made = []
    results = made_ahead(lambda number: made.append(number) or number, range(100), depth=2)
    assert next(results) == 0
    results.close()
    assert len(made) <= 3


def test_an_error_reaches_the_reader_at_its_turn():
    def picky(number):
        if number == 3:
            raise ValueError("three")
        return number

    results = made_ahead(picky, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
