"""Differences and p-values as texts."""

from __future__ import annotations

import pytest

from lungwise.evaluation.wording import change, p_value, points


def found(difference: float | None, low: float | None = None, high: float | None = None) -> dict[str, float | None]:
    return {"difference": difference, "low": low, "high": high}


def test_differences_have_their_sign_and_interval() -> None:
    assert points(found(0.0385, -0.015, 0.064)) == "+3.9 points [−1.5,\u00a0+6.4]"
    assert change(found(-0.0237, -0.0415, 0.0)) == "−0.024 [−0.042,\u00a0+0.000]"


def test_what_is_not_known_is_said() -> None:
    assert (points(found(None)), change(found(None))) == ("–", "–")
    assert points(found(0.0)) == "+0.0 points [unknown]"


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0496, "0.050"), (1.0, "1.000")]
)
def test_p_values(p: float | None, text: str) -> None:
    assert p_value(p) == text
