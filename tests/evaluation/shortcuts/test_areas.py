"""The verdict on areas: clear, near the model's own, and for which class."""

from __future__ import annotations

import pytest

from lungwise.evaluation.intervals import Estimate
from lungwise.evaluation.shortcuts.areas import Told, gravest, kept, told_most
from lungwise.evaluation.shortcuts.films import ALL

OWN = Estimate(0.9, 0.86, 0.93)


def area(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value, value - half, min(1.0, value + half))


@pytest.mark.parametrize(
    ("value", "severity"), [(0.50, "ok"), (0.64, "ok"), (0.66, "warning"), (0.79, "warning"), (0.81, "error"), (0.99, "error")]
)
def test_the_limits_of_the_verdict(value: float, severity: str) -> None:
    told = told_most({ALL: area(value)}, {ALL: OWN})
    assert told.severity == severity
    assert told.kept == pytest.approx((value - 0.5) / 0.4)


def test_a_wide_interval_is_no_verdict() -> None:
    assert told_most({ALL: area(0.85, 0.3)}, {ALL: OWN}).severity == "ok"


def test_a_model_at_chance_has_nothing_to_come_near_to() -> None:
    assert kept(area(0.8), area(0.5)) is None
    assert kept(Estimate(None, None, None), OWN) is None
    assert told_most({ALL: area(0.8)}, {ALL: area(0.45)}).severity == "warning"


def test_one_class_that_is_given_away_is_named_though_the_mean_is_not() -> None:
    part = {ALL: area(0.6), "covid": area(0.88), "normal": area(0.5), "pneumonia": area(0.5)}
    told = told_most(part, dict.fromkeys(part, OWN))
    assert (told.what, told.severity, told.apart) == ("covid", "error", "'covid' from the others")
    assert told_most({ALL: area(0.9)}, {ALL: OWN}).apart == "the classes apart"


def test_the_gravest_goes_before_the_highest() -> None:
    near = Told("a", area(0.7), area(0.72), 0.91)
    high = Told("b", area(0.8), area(0.99), 0.61)
    assert gravest([high, near]) is near
