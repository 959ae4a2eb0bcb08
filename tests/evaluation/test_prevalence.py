"""PPV and NPV where a class is rarer than in the test set."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.metrics import measure
from lungwise.evaluation.prevalence import JOINED, UNSURE, adjusted, check_prevalence
from lungwise.labels import LabelSet
from tests.evaluation.factory import random_cases, scored


def test_bayes_rule_by_hand() -> None:
    # Of 1,000 images 20 are sick: 18 are found, and 49 of the 980 others called sick too.
    ppv, npv = adjusted(0.9, 0.95, 0.02)
    assert (float(ppv), float(npv)) == pytest.approx((18 / 67, 931 / 933))


def test_what_is_never_called_has_no_predictive_value() -> None:
    assert np.isnan(adjusted(0.0, 1.0, 0.1)[0])
    assert np.isnan(adjusted(1.0, 0.0, 0.1)[1])


def test_at_the_prevalence_of_the_part_nothing_changes() -> None:
    found = random_cases(90, 3, films=2)
    mix = float((found.y == 1).mean())
    part = measure(found, Decision(), prevalence={"c1": mix})["classes"]["c1"]
    assert part["at_prevalence"]["prevalence"] == mix
    for key in ("ppv", "npv"):
        assert part["at_prevalence"][key]["value"] == pytest.approx(part[key]["value"])


def test_the_interval_comes_from_the_resamples() -> None:
    found = random_cases(300, 3, films=2)
    part = measure(found, Decision(), prevalence={"c1": 0.02})["classes"]
    adapted = part["c1"]["at_prevalence"]["ppv"]
    assert set(adapted) == {"value", "low", "high"}
    assert adapted["low"] < adapted["value"] < adapted["high"] < part["c1"]["ppv"]["value"]
    assert part["c0"]["at_prevalence"] is None


def test_where_resamples_agree_the_ends_join_those_of_sensitivity_and_specificity() -> None:
    perfect = scored([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.1, 0.8, 0.9, 0.7])
    part = measure(perfect, Decision(), prevalence={"sick": 0.02})["classes"]["sick"]
    ppv = part["at_prevalence"]["ppv"]
    low = [part[key]["low"] for key in ("sensitivity", "specificity")]
    assert (ppv["value"], ppv["high"]) == (1.0, 1.0)
    assert ppv["low"] == pytest.approx(float(adjusted(low[0], low[1], 0.02)[0]))
    assert ppv["reason"].endswith("The interval joins those of sensitivity and specificity.")


def test_what_hangs_on_a_class_of_few_patients_is_as_unsure_as_they_are() -> None:
    few = scored([1] * 4 + [0] * 40, [0.9, 0.3, 0.8, 0.7, *np.linspace(0.05, 0.6, 40)])
    part = measure(few, Decision(), prevalence={"sick": 0.02})["classes"]["sick"]
    ends = [float(adjusted(part["sensitivity"][end], part["specificity"][end], 0.02)[0]) for end in ("low", "high")]
    assert [part["at_prevalence"]["ppv"][end] for end in ("low", "high")] == pytest.approx(ends)
    assert part["at_prevalence"]["ppv"]["reason"] == f"{UNSURE} {JOINED}"


def test_a_class_that_is_absent_has_no_adjusted_values() -> None:
    part = measure(scored([0, 0], [0.1, 0.2]), Decision(), prevalence={"sick": 0.02})["classes"]["sick"]["at_prevalence"]
    assert part["ppv"]["value"] is part["ppv"]["low"] is None


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0, -0.1, float("nan")])
def test_a_prevalence_must_be_a_share(share: float) -> None:
    with pytest.raises(DataError, match=r"^A prevalence must lie between 0 and 1, got .* for sick; give a share such as 0.02"):
        check_prevalence({"sick": share}, LabelSet(("normal", "sick")))


def test_a_prevalence_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"^'covid' is not one of the classes \['normal', 'sick'\]; check the label's spelling"):
        measure(scored([0, 1], [0.1, 0.9]), Decision(), prevalence={"covid": 0.1})
