"""Many comparisons need stricter p-values."""

from __future__ import annotations

import pytest

from lungwise.evaluation.multiplicity import holm


def test_a_worked_example() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, each at least as large as the one before it."""
    assert holm({"d": 0.04, "b": 0.02, "a": 0.01, "c": 0.03}) == pytest.approx({"d": 0.06, "b": 0.06, "a": 0.04, "c": 0.06})


def test_what_was_not_tested_does_not_count() -> None:
    assert holm({1: None, 2: 0.02, 3: None}) == {1: None, 2: 0.02, 3: None}
    assert list(holm({1: None, 2: 0.5, 3: 0.5})) == [1, 2, 3]


def test_a_p_value_stays_one() -> None:
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_nothing_is_nothing() -> None:
    assert holm({}) == {}
